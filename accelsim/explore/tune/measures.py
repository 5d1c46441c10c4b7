"""What is read off a record: objectives, limits, and who beats whom."""

from collections.abc import Mapping, Sequence

import numpy as np

from accelsim.errors import ConfigError
from accelsim.explore.sweep import Record
from accelsim.explore.tune.spec import Limits

_MIB = 2**20

Values = tuple[float, ...]


def measure(record: Record, name: str) -> float | None:
    """A quantity of a record by the name of an objective or of a limit; None where it does not have it."""
    if name == "edp":
        latency, energy = measure(record, "latency_us"), measure(record, "energy_uj")
        return None if latency is None or energy is None else latency * energy
    if name == "dram_mib":
        held = record.get("dram_bytes")
        return held / _MIB if isinstance(held, (int, float)) else None
    value = record.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def values_of(record: Record, objectives: Sequence[str]) -> Values | None:
    """Objectives of a record; None where it failed or was not run."""
    if record["error"] is not None:
        return None
    found = [measure(record, name) for name in objectives]
    return None if None in found else tuple(value for value in found if value is not None)


def excess(record: Record, limits: Limits) -> dict[str, float]:
    """For each limit, by what share of it a record is above it (0 or less where it holds).

    Raises
    ------
    ConfigError
        When a record does not have what a limit is about.
    """
    found = {}
    for name, most in limits.given().items():
        value = measure(record, name)
        if value is None:
            raise ConfigError(f"limits.{name}: this run does not tell {name}")
        found[name] = (value - most) / most if most else value
    return found


def holds(record: Record, limits: Limits) -> bool:
    """Whether a record keeps all limits; 1e-9 forgives rounding."""
    return record["error"] is None and all(over <= 1e-9 for over in excess(record, limits).values())


def beats(one: Values, other: Values) -> bool:
    """Whether values are no worse in anything, and better in something."""
    return all(mine <= theirs for mine, theirs in zip(one, other, strict=True)) and one != other


def front(values: Mapping[int, Values]) -> list[int]:
    """Keys of values that none beats, by the first objective; of equal ones the first."""
    chosen: list[int] = []
    seen: set[Values] = set()
    for key in sorted(values, key=lambda key: values[key]):
        own = values[key]
        if own not in seen and not any(beats(values[other], own) for other in chosen):
            chosen.append(key)
            seen.add(own)
    return chosen


def in_layers(values: Mapping[int, Values], count: int) -> list[int]:
    """The best `count` keys: those that none beats, then those that only these beat, and so on.

    With one objective that is the order of its values. Of equal ones the first key comes before others, which follow
    once values are used up.
    """
    if not values:
        return []
    if len(next(iter(values.values()))) == 1:
        order = sorted(values, key=lambda key: (values[key], key))
        once = list({values[key]: key for key in reversed(order)}.values())[::-1]
        first = set(once)
        return [*once, *(key for key in order if key not in first)][:count]
    chosen: list[int] = []
    left = dict(values)
    while left and len(chosen) < count:
        layer = front(left)
        equal = {left[key] for key in layer}
        layer += [key for key in sorted(left) if left[key] in equal and key not in layer]
        chosen += _spread(layer, left, count - len(chosen))
        left = {key: own for key, own in left.items() if key not in set(layer)}
    return chosen


def _spread(layer: Sequence[int], values: Mapping[int, Values], count: int) -> list[int]:
    """So many of a front, from end to end."""
    if len(layer) <= count:
        return list(layer)
    ordered = sorted(layer, key=lambda key: (values[key], key))
    return [ordered[round(at)] for at in np.linspace(0, len(ordered) - 1, count)]
