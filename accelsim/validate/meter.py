"""What a slow power meter shows of a kernel in the midst of a sweep.

A public table's board power is the mean of a few samples of a meter that averages over a second, and the run of a short
kernel lasts less than that. What the meter shows then is mostly what ran before: the same collector's measurements of
larger k on the same board. Their order and lengths are public (`accelsim.config.meter.Meter` has them), so the readings
can be simulated: the sweep before a row, run by run, with the board's simulated power.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from accelsim.config.meter import Meter
from accelsim.validate.built_kernels import SCALE_BLOCK, compiled_rows
from accelsim.validate.rows import MeasuredRow

if TYPE_CHECKING:
    from accelsim.validate.predict import Prediction

BEFORE = 12
"""Shapes before a row that are followed: with the collector's gaps they fill the second that the meter remembers."""

Shape = tuple[int, int, int]
"""m, n, k."""


@dataclass(frozen=True)
class Replayed:
    """A product that is replayed for good."""

    seconds: float
    """From one to the next."""
    watt: float


def shapes_before(shape: Shape, meter: Meter) -> list[Shape]:
    """The shapes that the sweep took before one, oldest first; none for a shape that is not in the sweep."""
    m, n, k = shape
    if m not in meter.sweep_rows or n not in meter.sweep_sizes or k not in meter.sweep_sizes:
        return []
    each = len(meter.sweep_sizes)
    at = (meter.sweep_rows.index(m) * each + meter.sweep_sizes.index(n)) * each + meter.sweep_sizes.index(k)
    before: list[Shape] = []
    while at and len(before) < BEFORE:
        at -= 1
        found = (meter.sweep_rows[at // each**2], meter.sweep_sizes[at // each % each], meter.sweep_sizes[at % each])
        # The collector leaves out the one weight that fills the board.
        if found[1:] != (meter.sweep_sizes[0], meter.sweep_sizes[0]):
            before.insert(0, found)
    return before


def reading(shape: Shape, runs: Mapping[Shape, Replayed], idle_watt: float, meter: Meter, sm_count: int) -> float:
    """What the meter shows, on average over a run of one shape.

    The sweep measures each shape as a replayed graph, once more in fp8 (taken to last and draw as much), and, where n
    and k fill blocks of 128, launch by launch in fp8 with a scale for each block; where that needed a new kernel the
    board idled for longer than the meter remembers.

    Parameters
    ----------
    shape : tuple of int
        m, n, k.
    runs : mapping
        Replays of the shape and of all `shapes_before` it.
    idle_watt : float
        Power between runs.
    meter : Meter
        The meter and its collector.
    sm_count : int
        Of the device, on which the choice of an fp8 kernel depends.

    Returns
    -------
    float
        Watts.
    """
    parts: list[tuple[float, float]] = [(meter.average, idle_watt)]
    for before in shapes_before(shape, meter):
        run = runs[before]
        length = _warm_up(run.seconds, meter) + _length(run.seconds, meter.copies, meter)
        parts += 2 * [(meter.gap, idle_watt), (length, run.watt)]
        m, n, k = before
        if min(n, k) >= SCALE_BLOCK:
            if m in compiled_rows(tuple(meter.sweep_rows), n, k, sm_count):
                parts.append((meter.average, idle_watt))
            step = max(run.seconds, meter.host)
            busy = idle_watt + (run.watt - idle_watt) * run.seconds / step
            parts += [(meter.gap, idle_watt), (_length(step, 1, meter), busy)]
    own = runs[shape]
    length = _length(own.seconds, meter.copies, meter)
    parts += [(meter.gap, idle_watt), (_warm_up(own.seconds, meter), own.watt), (length, own.watt)]
    seconds, watts = np.array(parts).T
    ends, joules = (np.concatenate([[0.0], np.cumsum(each)]) for each in (seconds, seconds * watts))
    samples = ends[-2] + np.arange(0.0, length, meter.sample)
    shown = np.interp(samples, ends, joules) - np.interp(samples - meter.average, ends, joules)
    return float(shown.mean() / meter.average)


def _length(seconds: float, copies: int, meter: Meter) -> float:
    """Of a run whose replays take so many copies of a time each."""
    replay = copies * seconds
    return float(np.clip(meter.run, meter.fewest * replay, meter.replays * replay))


def _warm_up(seconds: float, meter: Meter) -> float:
    return meter.warm_ups * meter.copies * seconds


def as_metered(
    rows: Sequence[MeasuredRow],
    predictions: Sequence["Prediction"],
    meter: Meter,
    idle_watt: float,
    sm_count: int,
    simulate: Callable[[Sequence[MeasuredRow]], Sequence["Prediction"]],
) -> list["Prediction"]:
    """Predictions with the power of the meter's rows as the meter showed it.

    Parameters
    ----------
    rows : sequence of MeasuredRow
    predictions : sequence of Prediction
        Of the rows, with what the board draws for good.
    meter : Meter
        The meter; rows of other datasets, and of shapes that are not in its sweep, stay as they are.
    idle_watt : float
        Power between runs.
    sm_count : int
    simulate : callable
        Predictions, without a meter, of the products that the sweep took before.
    """
    chosen = [index for index, row in enumerate(rows) if _is_metered(row, meter) and predictions[index].latency_us]
    wanted = {
        shape: replace(rows[index], m=shape[0], n=shape[1], k=shape[2])
        for index in chosen
        for shape in shapes_before(_shape(rows[index]), meter)
    }
    found = simulate(list(wanted.values()))
    runs = {shape: _replayed(one) for shape, one in zip(wanted, found, strict=True)}
    metered = list(predictions)
    for index in chosen:
        shape = _shape(rows[index])
        if shapes_before(shape, meter):
            own = {**runs, shape: _replayed(predictions[index])}
            watt = reading(shape, own, idle_watt, meter, sm_count)
            metered[index] = replace(predictions[index], power_w=watt)
    return metered


def _is_metered(row: MeasuredRow, meter: Meter) -> bool:
    return row.dataset == meter.dataset and row.power_w is not None and row.op == "gemm" and row.batch == 1


def _shape(row: MeasuredRow) -> Shape:
    return row.m, row.n, row.k


def _replayed(prediction: "Prediction") -> Replayed:
    return Replayed(1e-6 * (prediction.latency_us or 0.0), prediction.power_w)
