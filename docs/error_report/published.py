"""Errors that other tools publish, beside ours: as they stand at the places that are named, or derived from those."""

from pathlib import Path

from error_report.markdown import table
from error_report.measured import errors, parts

_NEUSIGHT = "summary/perop.csv of NeuSight (ASPLOS'25)"
_AUDIT = "audit by UPC, MICRO'25"


def _arxiv(number: str) -> str:
    return f"[arXiv {number}](https://arxiv.org/abs/{number})"


_SEEN = "fp32 linear layers and batched products, GPUs seen"
_UNSEEN = "likewise, GPUs and sizes not seen"

PUBLISHED = (
    ("NeuSight", "learned", "20.0 to 26.0", _SEEN, _NEUSIGHT),
    ("NeuSight", "learned", "13.8 to 13.9", _UNSEEN, _NEUSIGHT),
    ("Habitat", "learned, scaled from a GPU at hand", "16.8 to 18.8", _SEEN, _NEUSIGHT),
    ("Habitat", "learned, scaled from a GPU at hand", "123 to 799", _UNSEEN, _NEUSIGHT),
    ("Li et al.", "regression", "25.6 to 44.8", _SEEN, _NEUSIGHT),
    ("Li et al.", "regression", "30.0 to 152.6", _UNSEEN, _NEUSIGHT),
    ("LLMCompass", "analytical", "10.9", "operators of LLMs", "ISCA'24"),
    (
        "LLMCompass",
        "analytical",
        "5.2",
        "8 fp16 products on an A100",
        "its simulator on its own rows, recomputed",
    ),
    ("Vidur", "learned from the same operators", "below 9", "inference of LLMs, end to end", "MLSys'24"),
    ("Accel-Sim", "cycle level", "15", "cycles of many kernels on Volta", "ISCA'20"),
    ("Accel-Sim", "cycle level", "12", "CUTLASS's tensor-core kernels on Volta", "ISCA'20"),
    ("Accel-Sim", "cycle level", "29 to 34", "128 applications on Ampere", _AUDIT),
    ("the audit's own model", "cycle level", "13.5 to 19.3", "128 applications on Turing, Ampere, Blackwell", _AUDIT),
    ("SynPerf", "analytical and learned", "6.1", "kernels of serving stacks on 11 GPUs", _arxiv("2601.14910")),
    ("PM2Lat", "learned", "below 10", "fp32 and bf16 kernels", _arxiv("2603.00549")),
)
"""Tool, how it predicts, mean error in percent, on what, and where that is read."""


def others(folder: Path) -> str:
    """Our held-out errors, then those of other tools."""
    ours = []
    for name, machine, kind, engine, part in parts(folder):
        if kind == "held out" and name == "gemm_dense.csv":
            found = part.summary()
            what = f"{found['n']} {part.timed['dtype'].iloc[0]} products on {machine}"
            ours.append(("accelsim", f"{engine}, calibrated", errors(found)[0], what, "rows left out, above"))
    return table(["tool", "how", "mean error (%)", "on", "source"], [*ours, *PUBLISHED], texts=5)
