"""Brings up to date what pages take from the code and from runs: ``python docs/generate.py [--quick]``.

- docs/config.md, from the specs;
- tables of options in docs/cli.md, from the commands;
- outputs in README.md and the pages, and the figures of docs/images, from runs.

``--quick`` leaves the runs out. tests/docs hold that what is committed is what this writes.
"""

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from blocks import with_outputs  # noqa: E402
from pattern_figures import pattern_figures  # noqa: E402
from reference import config_page, with_options  # noqa: E402
from trace_figures import trace_figures  # noqa: E402

PAGES = (
    "README.md",
    "docs/tutorial.md",
    "docs/cli.md",
    "docs/schemes.md",
    "docs/patterns.md",
    "docs/breakeven.md",
    "docs/accuracy.md",
    "docs/accuracy_budget.md",
    "docs/accuracy_weights.md",
    "docs/attention.md",
    "docs/attention_a3.md",
    "docs/attention_acceltran.md",
    "docs/attention_energon.md",
    "docs/attention_hdp.md",
    "docs/attention_sanger.md",
    "docs/attention_spatten.md",
    "docs/attention_unit.md",
    "docs/formats.md",
    "docs/explain.md",
    "docs/models.md",
    "docs/own_gpu.md",
    "docs/own_pattern.md",
    "docs/report.md",
    "docs/notebooks.md",
    "docs/serve.md",
    "docs/sweeps.md",
    "docs/tune.md",
    "docs/trace.md",
    "docs/validation.md",
)
"""Pages whose blocks run."""

FIGURES = {
    "comparison_bert_base_layer": ("a100_hdp", "bert_base_layer"),
    "comparison_digits_vit": ("edge_hdp", "digits_vit"),
}
"""docs/images/NAME.png: the comparison of all schemes for a machine and a workload."""


def quick_pages() -> dict[str, str]:
    """Pages that no run is needed for, by path from the root."""
    cli = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    return {"docs/config.md": config_page(), "docs/cli.md": with_options(cli)}


def figures() -> dict[str, bytes]:
    """The figures of docs/images by path from the root."""
    import accelsim
    from accelsim.explore.attention import compare_attention
    from accelsim.explore.tune import read_tune, tune
    from accelsim.show.attention import attention_figure
    from accelsim.show.figures import comparison_figure
    from accelsim.show.style import figure_bytes
    from accelsim.show.tune import tune_figure

    drawn = {
        f"docs/images/{name}.png": figure_bytes(comparison_figure(accelsim.compare(*subject)), "png")
        for name, subject in FIGURES.items()
    }
    found = tune(read_tune("tune_gemm"))
    drawn["docs/images/tune.png"] = figure_bytes(tune_figure(found.to_frame(), found.objectives), "png")
    units = compare_attention()
    frames = units.to_frame(), units.account_frame()
    return drawn | {"docs/images/attention.png": figure_bytes(attention_figure(*frames), "png")}


def main() -> None:
    """Write what is out of date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only what needs no run")
    quick = parser.parse_args().quick
    for path, text in quick_pages().items():
        _write(path, text.encode())
    if quick:
        return
    for path in PAGES:
        with tempfile.TemporaryDirectory() as folder:
            _write(path, with_outputs((ROOT / path).read_text(encoding="utf-8"), Path(folder)).encode())
    for path, content in (figures() | pattern_figures() | trace_figures()).items():
        _write(path, content)


def _write(path: str, content: bytes) -> None:
    file = ROOT / path
    if file.is_file() and file.read_bytes() == content:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
