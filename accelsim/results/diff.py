"""What changed between two results: config, totals, time by cause, energy by action, kernels, output.

Numbers are compared exactly, since equal runs give equal numbers. A difference is always of the second less the first,
so those of (a, b) are those of (b, a) with the other sign. Time by cause is that of `accelsim.results.stack`, whose
differences add up to that of the latency.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from accelsim.results.result import Result
from accelsim.results.stack import PS_PER_US, exposed, ordered, stack_ps

GUARDED = ("latency_us", "energy_uj")
"""Keys of a summary that may not rise in a guard against regressions."""

_NOT_CONFIG = {"sources", "description"}


@dataclass(frozen=True)
class Setting:
    """A value that differs, by its dotted path; None where one of the two has none."""

    path: str
    before: object
    after: object

    def document(self) -> dict[str, object]:
        """As plain values of JSON."""
        return {"path": self.path, "before": self.before, "after": self.after}


@dataclass(frozen=True)
class Change:
    """A number that differs; None where one of the two has none, which counts as 0 in the difference."""

    name: str
    before: float | int | None
    after: float | int | None

    @property
    def delta(self) -> float | int:
        """What was added."""
        return (self.after or 0) - (self.before or 0)

    @property
    def percent(self) -> float | None:
        """The same in percent of what was; None where that was nothing."""
        return 100 * self.delta / abs(self.before) if self.before else None

    def document(self) -> dict[str, object]:
        """As plain values of JSON."""
        return {
            "name": self.name,
            "before": self.before,
            "after": self.after,
            "delta": self.delta,
            "percent": self.percent,
        }


@dataclass(frozen=True)
class ArrayDiff:
    """An array whose elements differ; None where one of the two lacks it, or shapes differ."""

    name: str
    differing: int | None
    """Elements that do."""
    size: int | None
    largest: float | None
    """Largest difference of two of them; infinite where one alone is no number."""

    def document(self) -> dict[str, object]:
        """As plain values of JSON."""
        return {"name": self.name, "differing": self.differing, "size": self.size, "largest": self.largest}


@dataclass(frozen=True)
class ResultDiff:
    """Differences of two results; what is alike is left out."""

    config: tuple[Setting, ...]
    totals: tuple[Change, ...]
    """Numbers of the summary."""
    texts: tuple[Setting, ...]
    """What else the summary says."""
    causes: tuple[Change, ...]
    """Time of the latency by cause, in us."""
    energy: tuple[Change, ...]
    """Energy by ``component.action``, in uJ."""
    kernels: tuple[Change, ...]
    """Duration by name, in us; the largest difference first."""
    arrays: tuple[ArrayDiff, ...]
    """Output and masks."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs."""
        return not any(self._parts().values())

    def worst_percent(self, keys: Sequence[str] = GUARDED) -> float:
        """Largest rise of a total in percent (`worst_rise`)."""
        return worst_rise(self.totals, keys)

    def document(self) -> dict[str, object]:
        """As plain values of JSON."""
        return {name: [one.document() for one in part] for name, part in self._parts().items()}

    def _parts(self) -> dict[str, Sequence[Setting | Change | ArrayDiff]]:
        return {
            "config": self.config,
            "totals": self.totals,
            "texts": self.texts,
            "causes": self.causes,
            "energy": self.energy,
            "kernels": self.kernels,
            "arrays": self.arrays,
        }


def diff_results(before: Result, after: Result) -> ResultDiff:
    """What changed from one result to another.

    Parameters
    ----------
    before, after : Result
        Of any machines, workloads and schemes.
    """
    numbers = [{key: entry for key, entry in one.summary.items() if _is_number(entry)} for one in (before, after)]
    texts = [
        {key: entry for key, entry in one.summary.items() if not _is_number(entry) and entry is not None}
        for one in (before, after)
    ]
    stacks = [{cause: ps / PS_PER_US for cause, ps in stack_ps(exposed(one)).items()} for one in (before, after)]
    kernels = changes(_durations(before), _durations(after))
    return ResultDiff(
        config=settings(_config(before), _config(after)),
        totals=changes(numbers[0], numbers[1]),
        texts=settings(texts[0], texts[1]),
        causes=changes(stacks[0], stacks[1], ordered({**stacks[0], **stacks[1]})),
        energy=changes(_energy(before), _energy(after)),
        kernels=tuple(sorted(kernels, key=lambda change: -abs(change.delta))),
        arrays=_arrays(before, after),
    )


def worst_rise(totals: Iterable[Change], keys: Sequence[str] = GUARDED) -> float:
    """Largest rise of the totals of these names in percent: 0 when none rose, infinite for one that was 0.

    One that only one side has is no rise.
    """
    rises = [one for one in totals if one.name in keys and one.before is not None and one.delta > 0]
    return max((float("inf") if one.percent is None else one.percent for one in rises), default=0.0)


def settings(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[Setting, ...]:
    """Values that differ, by key."""
    keys = dict.fromkeys((*before, *after))
    return tuple(Setting(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key))


def changes(
    before: Mapping[str, object], after: Mapping[str, object], order: Sequence[str] | None = None
) -> tuple[Change, ...]:
    """Numbers that differ, by key, in `order` or that of the mappings."""
    found = []
    for key in order or dict.fromkeys((*before, *after)):
        pair = [_plain(numbers.get(key)) for numbers in (before, after)]
        if pair[0] != pair[1]:
            found.append(Change(key, *pair))
    return tuple(found)


def flatten(node: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Leaves of a document by dotted path; texts that change no number are left out."""
    if isinstance(node, dict) and node:
        for key, entry in node.items():
            if key not in _NOT_CONFIG:
                yield from flatten(entry, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list) and node and all(isinstance(entry, (dict, list)) for entry in node):
        for index, entry in enumerate(node):
            yield from flatten(entry, f"{path}.{index}")
    else:
        yield path, node


def _config(result: Result) -> dict[str, object]:
    """The resolved config, and the version that ran it."""
    found = dict(flatten(result.provenance.get("config") or {}))
    found.pop("", None)
    return found | {"accelsim": result.provenance.get("accelsim")}


def _energy(result: Result) -> dict[str, float]:
    columns = (result.energy["component"], result.energy["action"], result.energy["energy_uj"])
    found: dict[str, float] = {}
    for component, action, energy in zip(*columns, strict=True):
        name = f"{component}.{action}"
        found[name] = found.get(name, 0.0) + float(energy)
    return found


def _durations(result: Result) -> dict[str, float]:
    """Duration of each kernel by name; one that runs again has its number behind it."""
    found: dict[str, float] = {}
    table = result.kernels
    for name, begin, end in zip(table["name"], table["begin_us"], table["end_us"], strict=True):
        again = sum(key == name or key.rpartition(" #")[0] == name for key in found) if name in found else 0
        found[f"{name} #{again + 1}" if again else str(name)] = (
            round(end * PS_PER_US) - round(begin * PS_PER_US)
        ) / PS_PER_US
    return found


def _arrays(before: Result, after: Result) -> tuple[ArrayDiff, ...]:
    """Arrays that differ."""
    sides = [{f"masks.{name}": mask for name, mask in one.masks.items()} for one in (before, after)]
    for side, one in zip(sides, (before, after), strict=True):
        side |= {} if one.output is None else {"output": one.output}
    found = []
    for name in dict.fromkeys((*sides[0], *sides[1])):
        left, right = (side.get(name) for side in sides)
        if left is None or right is None or left.shape != right.shape:
            found.append(ArrayDiff(name, None, None, None))
        elif (apart := _apart(left, right)).any():
            largest = float(np.nan_to_num(apart, nan=np.inf).max())
            found.append(ArrayDiff(name, int(np.count_nonzero(apart)), int(apart.size), largest))
    return tuple(found)


def _apart(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Differences of elements; 0 where both are no number, NaN where one alone is."""
    one, other = left.astype(np.float64), right.astype(np.float64)
    with np.errstate(invalid="ignore"):
        apart = np.abs(one - other)
    apart[(one == other) | (np.isnan(one) & np.isnan(other))] = 0.0
    return apart


def _plain(value: object) -> float | int | None:
    """A number as Python's, None for what is missing."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        return None
    number = value.item() if isinstance(value, np.number) else value
    return None if number != number else number


def _is_number(entry: object) -> bool:
    return isinstance(entry, (int, float)) and not isinstance(entry, bool)
