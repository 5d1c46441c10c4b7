"""What HDP pruned of one input, head by head, by which numbers, and what that did to the answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from accelsim.config.hardware import System
from accelsim.config.names import near
from accelsim.config.scheme import SchemeName
from accelsim.config.workload import Workload
from accelsim.errors import ConfigError, MappingError
from accelsim.explore.accuracy.forward import AttentionMethod, StudyModel, load_model, run_model, some_inputs
from accelsim.explore.accuracy.quality import cosines
from accelsim.explore.accuracy.recorder import HeadOf, HeadRecord, Recorder
from accelsim.mapping.network import check_scheme
from accelsim.results.schema import SCHEMA_VERSION
from accelsim.results.store import json_text, npz_bytes, write_folder
from accelsim.results.tables import csv_text, parquet_bytes

SCHEMES = ("hdp", "tile_wise+hdp")
_DRAWN = 4
"""Heads that are drawn unless some are named: those whose output changed most."""


@dataclass(frozen=True)
class Watched:
    """One input under HDP, beside dense attention."""

    workload: str
    scheme: str
    item: int
    label: int | None
    dense: NDArray[np.float64]
    """Outputs of this input without dynamic pruning, such as logits."""
    pruned: NDArray[np.float64]
    heads: tuple[HeadRecord, ...]
    """In the order of layers; those that were asked for."""
    spared: tuple[NDArray[np.float64], ...]
    """By head: outputs when HDP leaves that head alone."""
    classifies: bool
    """Whether outputs are classes, of which the largest is the answer."""
    pairs_pruned: float
    heads_pruned: float

    @property
    def margins(self) -> tuple[float, float]:
        """Margin of the dense answer without and with pruning: its output less the largest other one."""
        answer = int(np.argmax(self.dense))
        return margin(self.dense, answer), margin(self.pruned, answer)

    @property
    def cosine(self) -> float:
        """Agreement of the outputs with the dense ones."""
        return float(cosines(self.pruned[None], self.dense[None])[0])

    def heads_frame(self) -> pd.DataFrame:
        """A row for each head: importance against threshold, what stayed, and what it meant for the answer."""
        rows = []
        answer = int(np.argmax(self.dense))
        for record, outputs in zip(self.heads, self.spared, strict=True):
            rows.append(
                {
                    "layer": record.layer,
                    "head": record.head,
                    "importance": record.head_importance,
                    "threshold": record.head_threshold,
                    "kept": record.kept,
                    "guarded": record.guarded,
                    "blocks_kept": float(record.block_kept.mean()),
                    "output_change": record.output_change,
                    "margin_if_spared": margin(outputs, answer),
                    "answer_if_spared": int(np.argmax(outputs)),
                    "cosine_if_spared": float(cosines(outputs[None], self.dense[None])[0]),
                }
            )
        return pd.DataFrame(rows)

    def rows_frame(self) -> pd.DataFrame:
        """A row for each block row of each head: threshold, importance of its blocks, and how many stayed."""
        frames = []
        for record in self.heads:
            theta = record.importance
            frames.append(
                pd.DataFrame(
                    {
                        "layer": record.layer,
                        "head": record.head,
                        "block_row": np.arange(len(theta)),
                        "threshold": record.thresholds,
                        "blocks": len(theta),
                        "kept": np.count_nonzero(record.block_kept, axis=1),
                        "importance_min": theta.min(axis=1),
                        "importance_mean": theta.mean(axis=1),
                        "importance_max": theta.max(axis=1),
                    }
                )
            )
        return pd.concat(frames, ignore_index=True)

    def most_changed(self, count: int = _DRAWN) -> list[HeadRecord]:
        """Heads in the order of how much pruning changed their output."""
        return sorted(self.heads, key=lambda record: -record.output_change)[:count]

    def to_json(self) -> str:
        """Outputs and the table of heads as one document."""
        return json_text(
            {
                "schema_version": SCHEMA_VERSION,
                "workload": self.workload,
                "scheme": self.scheme,
                "item": self.item,
                "label": self.label,
                "dense": self.dense.tolist(),
                "pruned": self.pruned.tolist(),
                "margin_dense": self.margins[0],
                "margin_pruned": self.margins[1],
                "cosine": self.cosine,
                "classifies": self.classifies,
                "pairs_pruned": self.pairs_pruned,
                "heads_pruned": self.heads_pruned,
                "heads": self.heads_frame().to_dict(orient="records"),
            }
        )

    def save(self, folder: str | Path, others: Mapping[str, bytes] | None = None) -> Path:
        """Write a folder of results: ``watch.json``, ``heads.csv``, ``rows.csv`` (and .parquet), ``heads.npz`` (scores,
        importance and mask of each head), and other files.

        Raises
        ------
        ResultError
            When the folder holds something else or cannot be written.
        """
        rows = self.rows_frame()
        arrays: dict[str, NDArray[np.generic]] = {}
        for record in self.heads:
            for name in ("scores", "importance", "block_kept"):
                arrays[f"{name}_{record.layer}_{record.head}"] = getattr(record, name)
        files = {
            "watch.json": self.to_json().encode(),
            "heads.csv": csv_text(self.heads_frame()).encode(),
            "rows.csv": csv_text(rows).encode(),
            "rows.parquet": parquet_bytes(rows),
            "heads.npz": npz_bytes(arrays),
        }
        write_folder(Path(folder), files | dict(others or {}))
        return Path(folder)


def watch(
    hardware: str | Path | System,
    workload: str | Path | Workload,
    item: int,
    *,
    scheme: str = "hdp",
    layer: int | None = None,
    head: int | None = None,
    sets: Sequence[str] = (),
    seed: int = 0,
) -> Watched:
    """Run one input dense and under HDP, write down what was pruned and why, and spare one head after the other.

    Parameters
    ----------
    hardware, workload, sets, seed
        As of `accelsim.pipeline.run`; the machine needs an attention unit.
    item : int
        Index of the input.
    scheme : str
        hdp or tile_wise+hdp.
    layer, head : int, optional
        Only this layer, or this head of each.

    Returns
    -------
    Watched

    Raises
    ------
    ConfigError
        For another scheme.
    MappingError
        When there is no such input, layer or head, or the scheme cannot run there.
    """
    if scheme not in SCHEMES:
        raise ConfigError(f"scheme {scheme!r} prunes nothing dynamically; {near(scheme, SCHEMES)}")
    model = load_model(workload, sets, hardware=hardware, scheme=_weights(scheme), seed=seed)
    check_scheme(model.plan.network, model.config.model_copy(update={"scheme": scheme}))
    one, place = _alone(model, item)
    wanted = _wanted(one, layer, head)
    recorder = Recorder(model.hdp, place)
    dense = _outputs(one, None, place)
    found = run_model(one, recorder)
    spared = [_outputs(one, Recorder(model.hdp, place, [of_head]), place) for of_head in wanted]
    labels = model.operands.labels
    kept = float(found.kept_pairs[:, place].sum()) / float(found.real_pairs[:, place].sum() * one.attentions[0].heads)
    return Watched(
        workload=model.name,
        scheme=scheme,
        item=item,
        label=None if labels is None else int(labels[item]),
        dense=dense,
        pruned=_rows_of(one, found.output, place),
        heads=tuple(record for record in recorder.records if (record.layer, record.head) in wanted),
        spared=tuple(spared),
        classifies=getattr(model.config.workload, "classes", None) is not None,
        pairs_pruned=1 - kept,
        heads_pruned=1 - float(found.head_kept[:, place].mean()),
    )


def margin(outputs: NDArray[np.float64], answer: int) -> float:
    """One output less the largest of the others; 0 when it is the only one."""
    others = np.delete(outputs, answer)
    return float(outputs[answer] - others.max()) if others.size else 0.0


def _weights(scheme: str) -> SchemeName:
    """What a scheme does to weights alone."""
    name = scheme.removesuffix("hdp").removesuffix("+") or "dense"
    assert name in get_args(SchemeName)
    return "tile_wise" if name == "tile_wise" else "dense"


def _alone(model: StudyModel, item: int) -> tuple[StudyModel, int]:
    """The model on this input, and its place there; where keys are centred by the first input, that one comes too."""
    chosen = [0, item] if model.hdp.center_keys == "first_input" and item else [item]
    return some_inputs(model, chosen), len(chosen) - 1


def _wanted(model: StudyModel, layer: int | None, head: int | None) -> list[HeadOf]:
    layers, heads = len(model.attentions), model.attentions[0].heads
    for name, given, count in (("layer", layer, layers), ("head", head, heads)):
        if given is not None and not 0 <= given < count:
            raise MappingError(f"workload {model.name} has no {name} {given}; allowed: 0 to {count - 1}")
    return [
        (one, other)
        for one in (range(layers) if layer is None else [layer])
        for other in (range(heads) if head is None else [head])
    ]


def _outputs(model: StudyModel, method: AttentionMethod | None, place: int) -> NDArray[np.float64]:
    return _rows_of(model, run_model(model, method).output, place)


def _rows_of(model: StudyModel, output: NDArray[np.generic], place: int) -> NDArray[np.float64]:
    """All that was put out for one input."""
    rows: NDArray[np.float64] = np.asarray(output, np.float64).reshape(model.plan.network.items, -1)[place]
    return rows
