"""Solving a unit's threshold so that it keeps the share of its pairs that publications cite."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from accelsim.config.attention_unit import AttentionUnit
from accelsim.errors import ConfigError
from accelsim.machine.attention.accelerator import Accelerator, Knob, Operands

_STEPS = 20
_PAIRS = 4_000_000
"""Pairs of query and key on which a threshold is solved, about; what it then keeps of all of them is reported."""


@dataclass(frozen=True)
class Threshold:
    """By what a unit decided in a comparison."""

    origin: str
    """``solved``, ``own`` (its YAML's) or ``off`` (nothing pruned)."""
    path: str | None = None
    value: float | None = None
    target: float | None = None
    """Share that was to be kept."""


def value_at(unit: AttentionUnit, path: str) -> Any:
    """Value of a dotted key of a unit."""
    node: Any = unit
    for part in path.split("."):
        node = getattr(node, part)
    return node


def with_value(unit: AttentionUnit, path: str, value: float) -> AttentionUnit:
    """The unit with one key changed."""
    data = unit.model_dump()
    node = data
    *parents, last = path.split(".")
    for part in parents:
        node = node[part]
    node[last] = value
    return type(unit).model_validate(data)


def solve(
    accelerator: Accelerator[Any], unit: AttentionUnit, layers: tuple[Operands, ...], target: float
) -> tuple[AttentionUnit, Threshold]:
    """The unit with its knob set so that it keeps `target` of the pairs of these operands, as nearly as it can.

    The share kept changes in one direction with the knob, so halving its range finds it.

    Raises
    ------
    ConfigError
        When the accelerator has no knob or the target is not a share.
    """
    knob = accelerator.knob_of(unit)
    if knob is None:
        raise ConfigError(f"{unit.name}: algorithm {unit.algorithm} has no threshold to solve; set its ratios")
    if not 0 < target <= 1:
        raise ConfigError(f"{unit.name}: keep ratio {target}; allowed: 0 < keep ratio <= 1")
    sample = _sample(layers)

    def kept(value: float) -> float:
        return accelerator.keep_ratio(with_value(unit, knob.path, value), sample)

    value = _halved(kept, knob, target)
    return with_value(unit, knob.path, value), Threshold("solved", knob.path, value, target)


def _halved(kept: Any, knob: Knob, target: float) -> float:
    low, high = knob.low, knob.high
    at_low, at_high = kept(low), kept(high)
    falls = at_low > at_high
    best = min(((abs(at_low - target), low), (abs(at_high - target), high)))
    for _ in range(_STEPS):
        middle = 0.5 * (low + high)
        share = kept(middle)
        best = min(best, (abs(share - target), middle))
        if best[0] < 1e-3 * target:
            break
        if (share > target) == falls:
            low = middle
        else:
            high = middle
    return best[1]


def _sample(layers: tuple[Operands, ...]) -> tuple[Operands, ...]:
    """So many whole heads of each layer as make up `_PAIRS`, spread over all of them, and at least one."""
    first = layers[0]
    wanted = max(1, _PAIRS // (len(layers) * first.sequence**2))
    if wanted >= first.heads:
        return layers
    chosen = np.unique(np.linspace(0, first.heads - 1, wanted).round().astype(int))
    return tuple(Operands(each.query[chosen], each.key[chosen], each.value[chosen]) for each in layers)
