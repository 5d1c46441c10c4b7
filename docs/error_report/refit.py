"""A short fit from values that are nearly right: one number at a time, by steps that shrink."""

from collections.abc import Sequence

import numpy as np

from accelsim.config.hardware import Gpu
from accelsim.validate import MeasuredRow, predict
from accelsim.validate.mechanisms import Switches
from accelsim.validate.parameters import Parameter, fitted_parameters, with_values

STEPS = (0.3, 0.15, 0.07, 0.03)
"""Relative changes of a number that are tried, one after the other."""
EVALUATIONS = 150
"""Predictions of all rows that a fit may make."""
_LEAST = 1e-4
"""Relative gain below which a round of all numbers ends the step."""


def log_ratios(gpu: Gpu, rows: Sequence[MeasuredRow], switches: Switches) -> np.ndarray:
    """Logarithms of predicted over measured latency, by the closed form."""
    predicted = [prediction.latency_us for prediction in predict(rows, gpu, switches=switches)]
    ratios: np.ndarray = np.log(np.array(predicted, float) / np.array([row.latency_us for row in rows], float))
    return ratios


def refit(gpu: Gpu, rows: Sequence[MeasuredRow], switches: Switches) -> Gpu:
    """The GPU with the numbers of calibration fitted anew to rows, without some mechanisms.

    As calibration, it minimises the mean of |log(predicted / measured)|, within the same bounds. Numbers that belong to
    the mechanisms stay as they are.
    """
    base = switches.gpu(gpu)
    possible = fitted_parameters(base, {row.conditions.launch or "graph" for row in rows})
    parameters = [parameter for parameter in possible if parameter.path not in switches.paths]
    bounds = {parameter.path: parameter.bounds(base) for parameter in parameters}

    def loss(machine: Gpu) -> float:
        return float(np.abs(log_ratios(machine, rows, switches)).mean())

    best, least, left = base, loss(base), EVALUATIONS
    for step in STEPS:
        before = np.inf
        while least < before * (1 - _LEAST):
            before = least
            for parameter in parameters:
                for changed in _neighbours(best, parameter, step, bounds[parameter.path])[:left]:
                    left -= 1
                    if (found := loss(changed)) < least:
                        best, least = changed, found
                        break
    return best


def _neighbours(gpu: Gpu, parameter: Parameter, step: float, bounds: tuple[float, float]) -> list[Gpu]:
    """The GPU with one number a step larger, and a step smaller, as far as its bounds allow."""
    value = parameter.value(gpu)
    tried = {float(np.clip(value * factor, *bounds)) for factor in (1 + step, 1 - step)} - {value}
    return [with_values(gpu, {parameter.path: other}) for other in sorted(tried, reverse=True)]
