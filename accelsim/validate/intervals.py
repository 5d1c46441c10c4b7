"""Held-out errors of a GPU as intervals: measured from a table, and checked on rows and pairs that gave none of them.

Ends are order statistics of measured over predicted latency, of ranks ``floor(0.1 (n + 1))`` and ``ceil(0.9 (n + 1))``
among n held-out rows. For a further row that is exchangeable with them, the interval holds its measurement with a
probability of at least 80 % (split conformal prediction, here by regime: Vovk, Gammerman and Shafer, Algorithmic
Learning in a Random World, 2005), however many rows there are, where plain percentiles of few rows are too narrow.
"""

import csv
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from accelsim.config.accuracy import (
    INTERVAL_PERCENT,
    MIN_ROWS,
    REGIMES,
    Accuracy,
    AccuracyEngine,
    Regime,
    Spread,
    regime_of,
)
from accelsim.config.hardware import Dtype, Gpu
from accelsim.config.loader import load_accuracy, load_hardware
from accelsim.config.record import gpu_digest
from accelsim.errors import UserError
from accelsim.results.intervals import UNDECIDED, Interval, quotient, verdict, widened
from accelsim.validate.calibrate import is_held_out
from accelsim.validate.predict import predict
from accelsim.validate.report import frame_of
from accelsim.validate.rows import MeasuredRow, read_rows
from accelsim.validate.run import rows_of

ENGINES: tuple[AccuracyEngine, ...] = get_args(AccuracyEngine)
SHAPE = ("batch", "m", "n", "k", "dtype")
_TAIL = (1 - INTERVAL_PERCENT / 100) / 2

PAIRS = {
    "gpu_against_gpu": "one GPU against another, one shape",
    "neighbours": "one GPU, shapes of one n and k, m and the next larger",
    "dense_against_sparse": "one GPU, one shape, dense against tile-wise",
}
"""Kinds of pairs whose speed-ups are checked."""


@dataclass(frozen=True)
class Measured:
    """Held-out errors of one GPU."""

    accuracy: Accuracy
    frames: dict[AccuracyEngine, pd.DataFrame]
    """For each engine a row for each held-out measurement: see `held_out_rows`."""


@dataclass(frozen=True)
class Coverage:
    """How often measurements fall into intervals that were made without them."""

    n: int
    inside_percent: float | None
    """Of the n; None when there is none."""
    decided_percent: float | None = None
    """Speed-ups only: share whose interval does not hold 1."""
    right_percent: float | None = None
    """Of those: share whose faster side was measured to be the faster one."""


def spread_of(ratios: ArrayLike) -> Spread:
    """Interval of measured over predicted latency, from those of held-out rows.

    Parameters
    ----------
    ratios : array_like
        Measured over predicted, positive, at least one.
    """
    ordered = np.sort(np.asarray(ratios, dtype=float))
    n = len(ordered)
    # Rounded before the floor, since 0.1 x 20 is just above 2 in binary and 0.9 x 20 just below 18.
    low = max(1, math.floor(round(_TAIL * (n + 1), 9)))
    high = min(n, math.ceil(round((1 - _TAIL) * (n + 1), 9)))
    low_ratio, middle, high_ratio = ordered[low - 1], float(np.median(ordered)), ordered[high - 1]
    return Spread(n=n, low=round(low_ratio, 4), median=round(middle, 4), high=round(high_ratio, 4))


def spreads(frame: pd.DataFrame) -> dict[Regime, Spread]:
    """Interval of all rows and of each regime that has at least `MIN_ROWS`.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns measured_us, predicted_us and regime.
    """
    ratios = frame["measured_us"] / frame["predicted_us"]
    found: dict[Regime, Spread] = {"all": spread_of(ratios)}
    for regime in REGIMES:
        alike = ratios[frame["regime"] == regime]
        if len(alike) >= MIN_ROWS:
            found[regime] = spread_of(alike)
    return found


def measure_accuracy(
    measured: str | Path, hardware: str, *, gpu: str | None = None, holdout: float = 0.5, seed: int = 0
) -> Measured:
    """Held-out errors of a GPU's dense products, under both engines and as `accelsim run` predicts them.

    Parameters
    ----------
    measured : str or path-like
        CSV, as for `accelsim.validate.validate`.
    hardware : str
        Name or path of the GPU.
    gpu : str, optional
        Which GPU of the table; left out, the one that the machine is known as.
    holdout : float
        Share of shapes that took no part in a fit: as it was given to `accelsim calibrate-hw`, or 1 for a GPU that was
        never fitted to the table.
    seed : int
        Likewise.

    Raises
    ------
    UserError
        When the table is unfit, has fewer than `MIN_ROWS` held-out rows, or `holdout` is out of range.
    """
    if not 0.1 <= holdout <= 1:
        raise UserError(f"holdout is {holdout}; allowed: 0.1 to 1")
    machine = load_hardware(hardware).gpu
    rows = rows_of(read_rows(measured), machine, gpu, True, measured)
    held = [row for row in rows if row.op == "gemm" and row.latency_us and is_held_out(row, holdout, seed)]
    frames = {engine: held_out_rows(held, machine, engine, seed) for engine in ENGINES}
    count = min(map(len, frames.values()))
    if count < MIN_ROWS:
        raise UserError(f"{measured}: {count} dense rows are held out and modelled; at least {MIN_ROWS} are needed")
    text = Path(measured).read_bytes()
    digest = hashlib.sha256(text).hexdigest()
    source = f"{count} rows of {Path(measured).name} (sha256 {digest[:12]}) that took no part in a fit"
    accuracy = Accuracy(
        kind="accuracy",
        name=f"accuracy_{machine.name}",
        description=f"Held-out errors of {machine.description or machine.name}",
        of_gpu=machine.name,
        gpu_digest=gpu_digest(machine),
        formats=_formats(held, machine),
        table=Path(measured).name,
        table_digest=digest,
        stack=_stack(text.decode("utf-8-sig"), {row.line for row in held}),
        holdout=holdout,
        split_seed=seed,
        engines={engine: spreads(frame) for engine, frame in frames.items()},
        sources=dict.fromkeys(("engines", "holdout", "split_seed"), source),
    )
    return Measured(accuracy, frames)


def held_out_rows(rows: Sequence[MeasuredRow], gpu: Gpu, engine: AccuracyEngine, seed: int) -> pd.DataFrame:
    """Rows beside what a run predicts of them.

    Returns
    -------
    pandas.DataFrame
        The columns of `accelsim.validate.report.frame_of`; regime; half, a second split of shapes by which intervals
        are checked.
    """
    frame = frame_of(rows, predict(rows, gpu, engine, as_run=True), gpu, gpu.name)
    frame["half"] = [is_held_out(row, 0.5, seed + 1) for row in rows]
    frame = frame[frame["reason"] == ""].reset_index(drop=True)
    frame["regime"] = [regime_of(*each) for each in zip(frame["rows_of_c"], frame["predicted_us"], strict=True)]
    return frame


def cross_checked(frame: pd.DataFrame) -> list[Interval]:
    """Interval of each row's latency in us, from the rows of the other half."""
    made = {half: spreads(frame[frame["half"] != half]) for half in frame["half"].unique() if len(frame) > 1}
    columns = zip(frame["half"], frame["regime"], frame["predicted_us"], strict=True)
    found = []
    for half, regime, predicted in columns:
        spread = made[half].get(regime, made[half]["all"])
        found.append(widened(float(predicted), spread.low, spread.high))
    return found


def latency_coverage(frame: pd.DataFrame) -> Coverage:
    """How often a latency falls into its interval, which the other half of the held-out shapes gives."""
    intervals = cross_checked(frame)
    inside = [one.low <= value <= one.high for one, value in zip(intervals, frame["measured_us"], strict=True)]
    return Coverage(len(inside), _percent(inside))


def speedup_coverage(frames: Sequence[pd.DataFrame]) -> dict[str, Coverage]:
    """How often a measured speed-up falls into its interval when errors of the two sides are taken as independent.

    Parameters
    ----------
    frames : sequence of pandas.DataFrame
        Held-out rows of one machine each, under one engine.

    Returns
    -------
    dict
        By `PAIRS`.
    """
    entries = [entry for frame in frames for entry in _entries(frame)]
    return {
        "gpu_against_gpu": _pair_coverage(_gpu_pairs(entries)),
        "neighbours": _pair_coverage(_neighbours(entries)),
    }


def carried_coverage(measured: str | Path, hardware: str, engine: AccuracyEngine) -> dict[str, Coverage]:
    """How well the intervals that a machine carries hold on a table that they were not made of.

    Parameters
    ----------
    measured : str or path-like
        CSV with rows of the machine, dense or tile-wise.
    hardware : str
        Name or path of a GPU that names an accuracy, its own or a borrowed one.
    engine : str
        estimate or events.

    Returns
    -------
    dict
        latency, and dense_against_sparse: speed-ups of tile-wise over dense products of one shape.

    Raises
    ------
    UserError
        When the table has no row of the machine, or the machine names no accuracy of that engine.
    """
    gpu = load_hardware(hardware).gpu
    accuracy = None if gpu.accuracy is None else load_accuracy(gpu.accuracy)
    if accuracy is None or engine not in accuracy.engines:
        raise UserError(f"{gpu.name} names no accuracy under {engine}; measure one with accelsim accuracy-hw")
    rows = rows_of(read_rows(measured), gpu, None, False, measured)
    # Other sparse products are of no regime of dense ones: their kernels do other work.
    rows = [row for row in rows if row.latency_us and row.op in ("gemm", "tilewise")]
    frame = held_out_rows(rows, gpu, engine, 0)
    entries: list[_Entry] = []
    for record in frame.to_dict("records"):
        spread = accuracy.spread(engine, record["rows_of_c"], record["predicted_us"])
        assert spread is not None
        found = widened(record["predicted_us"], spread.low, spread.high)
        entries.append({**{str(key): value for key, value in record.items()}, "interval": found})
    inside = [one["interval"].low <= one["measured_us"] <= one["interval"].high for one in entries]
    pairs = (
        (dense, sparse)
        for alike in _groups(entries, SHAPE)
        for dense, sparse in product(alike, alike)
        if dense["op"] == "gemm" and sparse["op"] == "tilewise"
    )
    return {"latency": Coverage(len(inside), _percent(inside)), "dense_against_sparse": _pair_coverage(pairs)}


_Entry = dict[str, Any]


def _entries(frame: pd.DataFrame) -> list[_Entry]:
    records = frame.to_dict("records")
    return [{**record, "interval": one} for record, one in zip(records, cross_checked(frame), strict=True)]  # type: ignore[dict-item]


def _groups(entries: Sequence[_Entry], keys: Sequence[str]) -> list[list[_Entry]]:
    found: dict[tuple[Any, ...], list[_Entry]] = {}
    for entry in entries:
        found.setdefault(tuple(entry[key] for key in keys), []).append(entry)
    return list(found.values())


def _gpu_pairs(entries: Sequence[_Entry]) -> Iterator[tuple[_Entry, _Entry]]:
    for alike in _groups(entries, SHAPE):
        yield from (pair for pair in combinations(alike, 2) if pair[0]["hardware"] != pair[1]["hardware"])


def _neighbours(entries: Sequence[_Entry]) -> Iterator[tuple[_Entry, _Entry]]:
    for alike in _groups(entries, ("hardware", "batch", "n", "k", "dtype")):
        yield from pairwise(sorted(alike, key=lambda entry: int(entry["m"])))


def _pair_coverage(pairs: Iterator[tuple[_Entry, _Entry]]) -> Coverage:
    inside, decided, right = [], [], []
    for first, second in pairs:
        measured = first["measured_us"] / second["measured_us"]
        found = quotient(first["interval"], second["interval"])
        inside.append(found.low <= measured <= found.high)
        decided.append(verdict(found) != UNDECIDED)
        if decided[-1]:
            right.append((found.value > 1) == (measured > 1))
    return Coverage(len(inside), _percent(inside), _percent(decided), _percent(right))


def _percent(told: Sequence[bool]) -> float | None:
    return 100 * sum(told) / len(told) if told else None


def _formats(rows: Sequence[MeasuredRow], gpu: Gpu) -> list[Dtype]:
    """Formats that were measured; fp16 and bf16 stand for each other where the machine multiplies both at one rate."""
    found = {row.dtype for row in rows}
    rates = gpu.tensor_core
    if found & {"fp16", "bf16"} and rates.get("fp16") == rates.get("bf16"):
        found |= {"fp16", "bf16"}
    return cast(list[Dtype], sorted(found))


def _stack(table: str, lines: set[int]) -> str:
    """What the column of notes says of every row, and where the rows are from."""
    reader = csv.DictReader(table.splitlines(keepends=True))
    records = [record for record in reader if reader.line_num in lines]
    datasets = sorted({(record.get("dataset") or "").strip() for record in records} - {""})
    notes: list[str] = []
    for record in records[:1]:
        parts: Mapping[str, None] = dict.fromkeys(part.strip() for part in (record.get("notes") or "").split(";"))
        notes = [part for part in parts if part and all(part in (r.get("notes") or "").split(";") for r in records)]
    return ", ".join([*datasets, *notes]) or "not told"
