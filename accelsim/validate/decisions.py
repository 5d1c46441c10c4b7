"""Whether predictions lead to the same decisions as measurements: speed-ups between options for one shape.

An option is a machine, an operation, a library, a sparsity and a kernel. Two options are a pair when they compute the
same m, n, k, batch and operand size and differ in one respect. Measurements of one option count as their median.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

SHAPE = ("batch", "m", "n", "k", "format")
OPTION = ("hardware", "op", "library", "sparsity", "pattern", "tile")

KINDS = {
    "gpu_against_gpu": "one GPU against another",
    "dense_against_sparse": "dense against sparse",
    "sparse_against_sparse": "one sparsity against another",
    "library_against_library": "one library against another",
    "tile_against_tile": "one tile against another",
}
"""Kinds of pairs, with what each compares."""

Entry = dict[str, Any]


def pairs(frame: pd.DataFrame) -> pd.DataFrame:
    """Every pair of options, with its measured and its predicted speed-up.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns `SHAPE`, `OPTION`, measured_us and predicted_us; one row for each measurement.

    Returns
    -------
    pandas.DataFrame
        Columns kind, measured (latency of the first option over that of the second; the first is the dense one, or
        comes first in the alphabet), predicted, and the shape.
    """
    keys = [*SHAPE, *OPTION]
    options = frame.groupby(keys, sort=True)[["measured_us", "predicted_us"]].median().reset_index()
    entries: list[Entry] = options.to_dict("records")  # type: ignore[assignment]
    shapes: dict[tuple[Any, ...], list[Entry]] = {}
    for entry in entries:
        shapes.setdefault(tuple(entry[name] for name in SHAPE), []).append(entry)
    found = [pair for alike in shapes.values() for pair in _pairs(alike)]
    return pd.DataFrame(found, columns=["kind", "measured", "predicted", *SHAPE])


def _pairs(options: list[Entry]) -> Iterator[Entry]:
    for first, second in combinations(sorted(options, key=lambda entry: entry["op"] != "gemm"), 2):
        kind = _kind(first, second)
        if kind:
            speedups = {name: first[f"{name}_us"] / second[f"{name}_us"] for name in ("measured", "predicted")}
            yield {"kind": kind, **speedups, **{name: first[name] for name in SHAPE}}


def _kind(first: Entry, second: Entry) -> str:
    """What a pair compares; an empty text where it differs in several respects."""
    differing = {name for name in OPTION if first[name] != second[name]}
    if "hardware" in differing:
        return "gpu_against_gpu" if differing == {"hardware"} else ""
    if "op" in differing and "gemm" in (first["op"], second["op"]):
        return "dense_against_sparse"
    if differing & {"op", "sparsity", "pattern"}:
        return "sparse_against_sparse"
    return "library_against_library" if "library" in differing else "tile_against_tile"


def decisions(found: pd.DataFrame) -> dict[str, dict[str, float | int]]:
    """Errors of speed-ups by kind of pair.

    Returns
    -------
    dict
        For each kind that occurs: n, mape_percent and median_ape_percent of the speed-up, and right_percent, the share
        of pairs whose faster side was predicted.
    """
    summary: dict[str, dict[str, float | int]] = {}
    for kind in KINDS:
        alike = found[found["kind"] == kind]
        if len(alike):
            measured, predicted = alike["measured"].to_numpy(float), alike["predicted"].to_numpy(float)
            error = np.sort(100 * np.abs(predicted / measured - 1))
            summary[kind] = {
                "n": len(alike),
                "mape_percent": float(error.mean()),
                "median_ape_percent": float(np.median(error)),
                "right_percent": float(100 * np.mean(np.sign(measured - 1) == np.sign(predicted - 1))),
            }
    return summary
