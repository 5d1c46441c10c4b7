"""The baseline of every validation: a roofline with three parameters, fitted on the very rows that it is judged by."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_FEWEST_ROWS = 4
"""Three parameters fit three rows exactly, which says nothing."""


@dataclass(frozen=True)
class Roofline:
    """Launch time, then the longer of arithmetic at one rate and traffic at one bandwidth."""

    launch_us: float
    tflop_per_s: float
    gb_per_s: float

    def latency_us(self, flops: Array, size: Array) -> Array:
        """Microseconds for so many floating-point operations and bytes."""
        result: Array = self.launch_us + np.maximum(flops / self.tflop_per_s / 1e6, size / self.gb_per_s / 1e3)
        return result


def fit_roofline(flops: Array, size: Array, measured_us: Array) -> Roofline | None:
    """The roofline of least mean absolute percentage error on some rows; None where there are fewer than four.

    Steps along each parameter's logarithm, halved when none of them helps, from several starts.

    Parameters
    ----------
    flops, size, measured_us : ndarray
        [rows] operations, bytes of operands and output, and latency of each.
    """
    if len(measured_us) < _FEWEST_ROWS:
        return None
    order = np.lexsort((measured_us, size, flops))  # equal results whatever the order of rows
    flops, size, measured = flops[order], size[order], measured_us[order]
    peak = np.log([measured.min(), (flops / measured).max() / 1e6, (size / measured).max() / 1e3])

    def error(point: Array) -> float:
        launch, rate, bandwidth = np.exp(point)
        return float(np.abs(Roofline(launch, rate, bandwidth).latency_us(flops, size) / measured - 1).mean())

    starts = [peak + np.log(factors) for factors in product((0.5, 0.95), (0.75, 1.0), (0.6, 1.0))]
    _, best = min((error(point), tuple(point)) for point in (_descend(error, start) for start in starts))
    return Roofline(*(float(value) for value in np.exp(best)))


def _descend(error: Callable[[Array], float], point: Array) -> Array:
    """A point that no small step along an axis or a diagonal improves."""
    directions = [np.array(way, dtype=float) for way in product((-1, 0, 1), repeat=3) if any(way)]
    least, step = error(point), 0.25
    while step > 1e-3:
        trials = [point + step * way for way in directions]
        errors = [error(trial) for trial in trials]
        if min(errors) < least:
            least, point = min(errors), trials[int(np.argmin(errors))]
        else:
            step /= 2
    return point
