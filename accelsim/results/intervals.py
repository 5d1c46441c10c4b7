"""Intervals of latencies and speed-ups, and what they say of a comparison.

A kernel's interval comes from held-out errors of its regime (`accelsim.config.accuracy`). Errors of a run's kernels are
taken as fully correlated: ends add up. That is conservative, since errors of different shapes partly cancel. Errors of
two runs are taken as independent, but for the kernels that both run, whose error is one and the same.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accelsim.results.result import Result

COVERED_PERCENT = 50.0
"""Share of the time that must have measured errors; below it, an interval would be one of something else."""

FASTER, SLOWER, UNDECIDED = "faster", "slower", "undecided"


@dataclass(frozen=True)
class Interval:
    """A predicted value and where the measured one is expected, in one unit.

    Raises
    ------
    ValueError
        Unless 0 < low <= value <= high.
    """

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.value <= self.high < math.inf:
            raise ValueError(f"an interval needs 0 < low <= value <= high, not {self.low}, {self.value}, {self.high}")


@dataclass(frozen=True)
class Timed:
    """A kernel or transfer of a run."""

    name: str
    value: float
    """Its time, at least 0."""
    low: float | None = None
    """Where its measured time is expected; None for both where no error was measured."""
    high: float | None = None

    @property
    def down(self) -> float:
        """How far the lower end is below the value, as a number of at most 0."""
        return 0.0 if self.low is None else min(0.0, self.low - self.value)

    @property
    def up(self) -> float:
        """How far the upper end is above it."""
        return 0.0 if self.high is None else max(0.0, self.high - self.value)


def widened(value: float, low_ratio: float, high_ratio: float) -> Interval:
    """Interval of a value from ratios of measured over predicted; it always holds the value.

    >>> widened(10.0, 0.9, 1.2)
    Interval(value=10.0, low=9.0, high=12.0)
    """
    return Interval(value, min(value, value * low_ratio), max(value, value * high_ratio))


def covered_percent(parts: Sequence[Timed]) -> float:
    """Share of the time of parts that has measured errors; 100 where there is no time."""
    whole = sum(part.value for part in parts)
    return 100 * (sum(part.value for part in parts if part.low is not None) / whole) if whole else 100.0


def total(latency: float, parts: Sequence[Timed]) -> Interval | None:
    """Interval of a run's latency from those of its parts, whose errors are taken as fully correlated.

    Parameters
    ----------
    latency : float
        Of the whole; parts may overlap and have gaps between them.
    parts : sequence of Timed
        Those without an interval do not widen the whole.

    Returns
    -------
    Interval or None
        None when less than `COVERED_PERCENT` of the parts' time has an interval.
    """
    if latency <= 0 or covered_percent(parts) < COVERED_PERCENT:
        return None
    low = latency + sum(part.down for part in parts)
    # Parts that overlap can together exceed the latency; it is no less than any of them.
    floor = max((part.value + part.down for part in parts), default=latency)
    return Interval(latency, min(latency, max(low, floor)), latency + sum(part.up for part in parts))


def quotient(base: Interval, other: Interval) -> Interval:
    """Interval of `base` over `other` when their errors are independent: half-widths in the logarithm add in squares.

    >>> quotient(Interval(20.0, 20.0, 20.0), Interval(10.0, 8.0, 12.5))
    Interval(value=2.0, low=1.6, high=2.5)
    """
    return _from_moves(
        base.value / other.value,
        [
            (math.log(base.low / base.value), math.log(base.high / base.value)),
            (math.log(other.value / other.high), math.log(other.value / other.low)),
        ],
    )


def speedup(base: tuple[float, Sequence[Timed]], other: tuple[float, Sequence[Timed]]) -> Interval | None:
    """Interval of the speed-up of one run over another.

    Three errors are taken as independent: that of the kernels that both run (it moves both latencies alike), that of
    the first run's own, and that of the second's own. Each is moved to the ends of its interval, and the changes of
    the speed-up's logarithm add in squares.

    Parameters
    ----------
    base, other : tuple
        Latency, and parts with their intervals. A part of the same name and time is in both.

    Returns
    -------
    Interval or None
        None when less than `COVERED_PERCENT` of the time in which the runs differ has an interval.
    """
    (first, first_parts), (second, second_parts) = base, other
    if first <= 0 or second <= 0:
        return None
    shared = list((Counter(first_parts) & Counter(second_parts)).elements())
    own = [list((Counter(parts) - Counter(shared)).elements()) for parts in (first_parts, second_parts)]
    if covered_percent([*own[0], *own[1]]) < COVERED_PERCENT:
        return None
    value = first / second

    def move(add_first: float, add_second: float) -> float:
        """Change of the logarithm when latencies change so; neither falls below a thousandth of itself."""
        return math.log(max(first + add_first, first * 1e-3) / max(second + add_second, second * 1e-3) / value)

    ends = [(sum(part.down for part in parts), sum(part.up for part in parts)) for parts in (shared, *own)]
    return _from_moves(
        value,
        [
            (move(ends[0][0], ends[0][0]), move(ends[0][1], ends[0][1])),
            (move(ends[1][0], 0.0), move(ends[1][1], 0.0)),
            (move(0.0, ends[2][1]), move(0.0, ends[2][0])),
        ],
    )


def _from_moves(value: float, moves: Sequence[tuple[float, float]]) -> Interval:
    """Interval from what each independent error can change in the logarithm, ends in any order."""
    down = math.sqrt(sum(min(0.0, *ends) ** 2 for ends in moves))
    up = math.sqrt(sum(max(0.0, *ends) ** 2 for ends in moves))
    return Interval(value, value * math.exp(-down), value * math.exp(up))


def verdict(interval: Interval | None) -> str | None:
    """Whether a speed-up is `faster`, `slower` or `undecided`; None where no interval is known."""
    if interval is None:
        return None
    if interval.low > 1:
        return FASTER
    return SLOWER if interval.high < 1 else UNDECIDED


def timed_parts(result: Result) -> list[Timed] | None:
    """Kernels and transfers of a result with their intervals; None for a result that was saved without them."""
    kernels = result.kernels
    columns = ("name", "duration_us", "low_us", "high_us")
    if any(column not in kernels.columns for column in columns):
        return None
    rows = zip(*(kernels[column] for column in columns), strict=True)
    return [Timed(str(name), float(value), _known(low), _known(high)) for name, value, low, high in rows]


def compared(base: Result, result: Result) -> dict[str, object]:
    """`speedup_low`, `speedup_high` and `verdict` of a result over `base`; None where unknown and for `base` itself."""
    parts, others = timed_parts(base), timed_parts(result)
    found = None
    if parts is not None and others is not None and result.scheme != base.scheme:
        found = speedup((base.value("latency_us"), parts), (result.value("latency_us"), others))
    return {
        "speedup_low": None if found is None else found.low,
        "speedup_high": None if found is None else found.high,
        "verdict": verdict(found),
    }


def undecided_from_fastest(points: Sequence[Mapping[str, object]]) -> int | None:
    """How many points of a sweep cannot be told from the fastest, itself not counted.

    Parameters
    ----------
    points : sequence of mapping
        With latency_us, latency_low_us and latency_high_us.

    Returns
    -------
    int or None
        None when one of them has no interval.
    """
    found = []
    for point in points:
        ends = [point.get(f"latency{end}_us") for end in ("", "_low", "_high")]
        if not all(isinstance(end, (int, float)) and end > 0 for end in ends):
            return None
        found.append(Interval(*map(float, ends)))  # type: ignore[arg-type]
    if not found:
        return None
    fastest = min(range(len(found)), key=lambda index: found[index].value)
    others = [one for index, one in enumerate(found) if index != fastest]
    return sum(verdict(quotient(one, found[fastest])) == UNDECIDED for one in others)


def _known(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
