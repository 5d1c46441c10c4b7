"""What ran when: slices on tracks and counters over time, as plain values that can be written, drawn or summed up.

Time is whole picoseconds. Slices of one track lie apart or within one another, and never overlap in part.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import pandas as pd

PS_PER_US = 1e6
Scalar = int | float | str


class Slice(NamedTuple):
    """Something that takes time."""

    begin_ps: int
    end_ps: int
    name: str
    about: tuple[tuple[str, Scalar], ...] = ()
    """What else is known of it, by name."""
    detail: bool = False
    """Whether it is among the first to be left out when there are too many."""


@dataclass(frozen=True)
class Track:
    """A line of a timeline."""

    path: tuple[str, ...]
    """Its name, after those of the groups that it belongs to; the first is the run."""
    slices: tuple[Slice, ...]
    """By begin, an outer one before what lies within it."""


@dataclass(frozen=True)
class Counter:
    """A number that changes over time."""

    path: tuple[str, ...]
    unit: str
    samples: tuple[tuple[int, float], ...]
    """Picosecond from which it holds, and value; ascending."""


@dataclass(frozen=True)
class Timeline:
    """Tracks and counters of one run or of several."""

    tracks: tuple[Track, ...]
    counters: tuple[Counter, ...] = ()
    left_out: int = 0
    """Slices that there were beside."""
    notes: tuple[str, ...] = ()
    """What a reader should know of it, one sentence each."""

    @property
    def slices(self) -> int:
        """Number of slices."""
        return sum(len(track.slices) for track in self.tracks)

    def find(self, *names: str) -> "Timeline":
        """The tracks and counters whose path holds all these names."""
        return replace(
            self,
            tracks=tuple(track for track in self.tracks if set(names) <= set(track.path)),
            counters=tuple(counter for counter in self.counters if set(names) <= set(counter.path)),
        )

    def to_frame(self) -> pd.DataFrame:
        """A row for each slice: run, group (names between, joined by a slash), track, depth, name, begin_us, end_us."""
        rows = [
            (track.path[0], "/".join(track.path[1:-1]), track.path[-1], depth, one.name, one.begin_ps, one.end_ps)
            for track in self.tracks
            for one, depth in zip(track.slices, depths(track.slices), strict=True)
        ]
        frame = pd.DataFrame(rows, columns=["run", "group", "track", "depth", "name", "begin_us", "end_us"])
        frame[["begin_us", "end_us"]] = frame[["begin_us", "end_us"]].astype(float) / PS_PER_US
        return frame


def join(timelines: Iterable[Timeline]) -> Timeline:
    """Several timelines as one, beside each other."""
    parts = tuple(timelines)
    return Timeline(
        tuple(track for part in parts for track in part.tracks),
        tuple(counter for part in parts for counter in part.counters),
        sum(part.left_out for part in parts),
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def depths(slices: Sequence[Slice]) -> list[int]:
    """How many slices each lies within.

    Raises
    ------
    ValueError
        When two overlap in part, or are not in order.
    """
    open_until: list[int] = []
    found, last = [], 0
    for one in slices:
        while open_until and open_until[-1] <= one.begin_ps:
            open_until.pop()
        if one.begin_ps < last or one.end_ps < one.begin_ps or (open_until and one.end_ps > open_until[-1]):
            raise ValueError(f"slice {one.name} from {one.begin_ps} to {one.end_ps} ps overlaps another, or is late")
        found.append(len(open_until))
        open_until.append(one.end_ps)
        last = one.begin_ps
    return found


def lanes(intervals: Sequence[tuple[int, int]]) -> list[int]:
    """For intervals by begin, the lowest line on which each follows what is there."""
    free: list[int] = []
    taken: list[tuple[int, int]] = []
    chosen, lines = [], 0
    for begin, end in intervals:
        while taken and taken[0][0] <= begin:
            heapq.heappush(free, heapq.heappop(taken)[1])
        lane = heapq.heappop(free) if free else lines
        lines = max(lines, lane + 1)
        heapq.heappush(taken, (end, lane))
        chosen.append(lane)
    return chosen


class TimelineBuilder:
    """Collects slices by track; tracks stand in the order in which they were first named."""

    def __init__(self, run: str) -> None:
        self.run = run
        self._tracks: dict[tuple[str, ...], list[Slice]] = {}
        self._counters: dict[tuple[str, ...], tuple[str, list[tuple[int, float]]]] = {}
        self.notes: list[str] = []
        self.left_out = 0
        """Slices that were never made."""

    def track(self, *path: str) -> list[Slice]:
        """The slices of a track so far, to be added to."""
        return self._tracks.setdefault((self.run, *path), [])

    def sample(self, *path: str, unit: str, at_ps: int, value: float) -> None:
        """Add a value to a counter; nothing where it holds already."""
        samples = self._counters.setdefault((self.run, *path), (unit, []))[1]
        if not samples or samples[-1][1] != value:
            samples.append((at_ps, value))

    def built(self, limit: int) -> Timeline:
        """The timeline with so many slices at most: details go first, then others, each from some moment on."""
        plain = self._cut(detail=False, room=limit)
        kept = sum(one.begin_ps < plain for some in self._tracks.values() for one in some if not one.detail)
        fine = self._cut(detail=True, room=limit - kept)
        tracks, left_out = [], self.left_out
        for path, some in self._tracks.items():
            shown = [one for one in some if one.begin_ps < min(fine if one.detail else plain, plain)]
            shown.sort(key=lambda one: (one.begin_ps, -one.end_ps))
            left_out += len(some) - len(shown)
            if shown:
                tracks.append(Track(path, tuple(shown)))
        notes = list(self.notes)
        for begin, what in ((fine, "no details"), (plain, "nothing")):
            if begin < _NEVER:
                notes.append(f"{self.run}: {what} from {begin / PS_PER_US:,.3f} us on, for want of room")
        counters = tuple(Counter(path, unit, tuple(some)) for path, (unit, some) in self._counters.items())
        return Timeline(tuple(tracks), counters, left_out, tuple(notes))

    def _cut(self, detail: bool, room: int) -> int:
        """Begin of the first slice of a kind that there is no room for."""
        begins = sorted(one.begin_ps for some in self._tracks.values() for one in some if one.detail == detail)
        return begins[room] if len(begins) > room else _NEVER


_NEVER = 2**63 - 1
