"""What changed between two finished sweeps: what they are of, their points, and results of points that both have."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accelsim.results.diff import GUARDED, Change, Setting, changes, flatten, settings, worst_rise
from accelsim.results.saved import SavedSweep


@dataclass(frozen=True)
class PointDiff:
    """Differences of a point that both sweeps have."""

    point: dict[str, object]
    """Value of every axis."""
    totals: tuple[Change, ...]
    texts: tuple[Setting, ...]
    """What else differs, `error` among them."""

    @property
    def newly_failed(self) -> bool:
        """Whether it ended with an error that it did not have before."""
        return any(text.path == "error" and text.before is None for text in self.texts)

    def worst_percent(self, keys: Sequence[str] = GUARDED) -> float:
        """Largest rise of a total in percent, infinite for a point that failed newly."""
        if self.newly_failed:
            return float("inf")
        return worst_rise(self.totals, keys)

    def document(self) -> dict[str, object]:
        """As plain values of JSON."""
        return {
            "point": self.point,
            "totals": [change.document() for change in self.totals],
            "texts": [text.document() for text in self.texts],
        }


@dataclass(frozen=True)
class SweepDiff:
    """Differences of two sweeps; what is alike is left out."""

    config: tuple[Setting, ...]
    axes: tuple[str, ...]
    added: tuple[dict[str, object], ...]
    """Points that only the second has, by their axes."""
    removed: tuple[dict[str, object], ...]
    changed: tuple[PointDiff, ...]
    """The largest rise of a guarded total first."""
    compared: int
    """Points that both have."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs."""
        return not (self.config or self.added or self.removed or self.changed)

    def worst_percent(self, keys: Sequence[str] = GUARDED) -> float:
        """Largest rise of a total of any point that both have, in percent."""
        return max((point.worst_percent(keys) for point in self.changed), default=0.0)

    def document(self) -> dict[str, object]:
        """As plain values of JSON."""
        return {
            "config": [one.document() for one in self.config],
            "axes": list(self.axes),
            "compared": self.compared,
            "added": list(self.added),
            "removed": list(self.removed),
            "changed": [one.document() for one in self.changed],
        }


def diff_sweeps(before: SavedSweep, after: SavedSweep) -> SweepDiff:
    """What changed from one sweep to another.

    Points are the same when they agree on every axis of either; where an axis is missing, the sweep's own value of that
    name counts.
    """
    axes = tuple(dict.fromkeys((*before.axes, *after.axes)))
    sides = [_keyed(one, axes) for one in (before, after)]
    both = [key for key in sides[0] if key in sides[1]]
    found = [_point(axes, sides[0][key], sides[1][key]) for key in both]
    changed = [point for point in found if point.totals or point.texts]
    return SweepDiff(
        config=settings(dict(flatten(before.identity)), dict(flatten(after.identity))),
        axes=axes,
        added=tuple(_axes_of(axes, point) for key, point in sides[1].items() if key not in sides[0]),
        removed=tuple(_axes_of(axes, point) for key, point in sides[0].items() if key not in sides[1]),
        changed=tuple(sorted(changed, key=lambda point: -point.worst_percent())),
        compared=len(both),
    )


def _keyed(sweep: SavedSweep, axes: Sequence[str]) -> dict[str, dict[str, object]]:
    """Points by their values of `axes`; one that stands again has its number in the key."""
    found: dict[str, dict[str, object]] = {}
    own = {axis: sweep.identity.get(axis) for axis in axes if axis not in sweep.axes}
    for point in sweep.points:
        whole = own | point
        key, number = json.dumps([_comparable(whole.get(axis)) for axis in axes]), 1
        while f"{key} {number}" in found:
            number += 1
        found[f"{key} {number}"] = whole
    return found


def _comparable(value: object) -> object:
    """A value in one form, whichever way a table held it: whole numbers among others are no other numbers."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _axes_of(axes: Sequence[str], point: Mapping[str, object]) -> dict[str, object]:
    return {axis: point.get(axis) for axis in axes}


def _point(axes: Sequence[str], before: Mapping[str, object], after: Mapping[str, object]) -> PointDiff:
    sides = [{key: entry for key, entry in one.items() if key not in axes} for one in (before, after)]
    numbers = [
        {key: entry for key, entry in side.items() if isinstance(entry, (int, float)) and not isinstance(entry, bool)}
        for side in sides
    ]
    texts = [
        {key: entry for key, entry in side.items() if key not in one and key != "config_hash" and entry is not None}
        for side, one in zip(sides, numbers, strict=True)
    ]
    return PointDiff(_axes_of(axes, before), changes(numbers[0], numbers[1]), settings(texts[0], texts[1]))
