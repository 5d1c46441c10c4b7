"""Errors of 2:4 and V:N:M products, and of their speed-up over dense ones."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from accelsim.config.loader import load_hardware
from accelsim.validate import read_rows
from accelsim.validate.calibrate import is_held_out
from accelsim.validate.errors import summarise
from accelsim.validate.predict import ValidationEngine
from accelsim.validate.sparse_rows import SPARSE_OPS
from error_report.markdown import short, table
from error_report.measured import ENGINES, HEAD, HOLDOUT, KEYS, SEED, is_fitted, validations
from error_report.measured import held_out as measured_rows

TABLE = "gemm_sparse.csv"
GPUS = ("rtx3090", "a100_sxm4_80gb")
NAMES = {"gemm": "dense", **SPARSE_OPS}
SEEN = (("a100_sxm4_80gb", "spmm_2to4"), ("rtx3090", "spmm_vnm"))
"""Rows that were read one by one while the model of them was made: left out of fits, but not held out."""
SHAPE = ["hardware", "m", "n", "k"]


def sparse(folder: Path) -> str:
    """Errors by GPU, product and library: of rows that gave a fit, and of those left out of it."""
    rows = [
        [machine, NAMES[op], library, half, engine, len(part), *_errors(part)]
        for machine, op, library, half, engine, part in _parts(folder)
    ]
    return table(["GPU", "product", "library", "rows", "engine", "n", *HEAD], rows, texts=5)


def sparse_speedups(folder: Path) -> str:
    """Errors of sparse products' speed-up over the dense one of their shape."""
    rows = []
    for machine, op, library, half, engine, part in _parts(folder):
        dense = _frame(folder, engine).query("op == 'gemm'").groupby(SHAPE)[["measured_us", "predicted_us"]].median()
        both = part.merge(dense, left_on=SHAPE, right_index=True, suffixes=("", "_dense"))
        if op != "gemm" and len(both):
            measured, predicted = (both[f"{name}_us_dense"] / both[f"{name}_us"] for name in ("measured", "predicted"))
            found = summarise(measured, predicted)
            right = 100 * float(np.mean(np.sign(measured - 1) == np.sign(predicted - 1)))
            told = [measured.mean(), predicted.mean(), found.mape_percent, found.median_ape_percent, right]
            cells = [f"{told[0]:.2f}", f"{told[1]:.2f}", *map(short, told[2:])]
            rows.append([machine, NAMES[op], library, half, engine, len(both), *cells])
    head = ["GPU", "product", "library", "rows", "engine", "n", "mean measured", "mean predicted"]
    return table([*head, "MAPE (%)", "median (%)", "faster side right (%)"], rows, texts=5)


def held_out(folder: Path) -> str:
    """Errors of rows that no fit has seen, of dense and sparse products, for the README."""
    head = ["GPU", "rows", "n", "events: mean / median (%)", "estimate: mean / median (%)", "roofline fitted to them"]
    found: dict[tuple[str, str], dict[str, pd.DataFrame]] = {}
    for machine, op, library, half, engine, part in _parts(folder):
        if op != "gemm" and half != "calibrated":
            found.setdefault((machine, f"{NAMES[op]} ({library}), {half}"), {})[engine] = part
    rows = [
        [*key, len(by["events"]), *(" / ".join(_errors(by[engine])[:2]) for engine in ("events", "estimate")), ""]
        for key, by in found.items()
    ]
    return table(head, [*measured_rows(folder), *rows])


@cache
def _frame(folder: Path, engine: ValidationEngine) -> pd.DataFrame:
    """Rows of the table on these GPUs, with their half."""
    held = {row.row for row in read_rows(folder / TABLE) if is_held_out(row, HOLDOUT, SEED)}
    frame = validations(folder)[TABLE, engine].timed
    frame = frame[frame["hardware"].isin(GPUS) & frame["op"].isin(list(NAMES))]
    fitted = {name: is_fitted(load_hardware(name).gpu, TABLE) for name in GPUS}
    free = (frame["op"] == "gemm") & ~frame["hardware"].map(fitted)
    seen = [pair in SEEN for pair in zip(frame["hardware"], frame["op"], strict=True)]
    kept = np.where(seen, "left out", "held out")
    halves = np.where(frame["row"].isin(held), kept, "calibrated")
    return frame.assign(half=np.where(free, "not fitted", halves))


def _parts(folder: Path) -> Iterator[tuple[str, str, str, str, ValidationEngine, pd.DataFrame]]:
    """Rows by GPU, product, library and half."""
    if (TABLE, ENGINES[0]) not in validations(folder):
        return
    keys = ["hardware", "op", "library", "half"]
    for values in _frame(folder, ENGINES[0])[keys].drop_duplicates().itertuples(index=False):
        machine, op, library, half = map(str, values)
        for engine in ENGINES:
            frame = _frame(folder, engine)
            yield machine, op, library, half, engine, frame[(frame[keys] == list(values)).all(axis=1)]


def _errors(part: pd.DataFrame) -> list[Any]:
    found = summarise(part["measured_us"], part["predicted_us"]).as_dict()
    return [short(found[key]) for key in KEYS]
