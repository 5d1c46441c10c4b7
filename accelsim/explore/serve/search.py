"""The largest load that keeps a percentile of latency under a target."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Figures = dict[str, Any]
Evaluate = Callable[[float, int], Figures]
"""From a rate in requests a second, and how many times the usual requests, to the figures of a run."""

LOADS = (0.98, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)
"""Shares of the capacity from which the search goes down; above the first no queue settles within a run."""
RESOLUTION = 0.005
"""Of the answer, relative to it."""
MOST = 8
"""A run whose interval holds the target is repeated with twice the requests, up to so many times the usual number."""
KEY = "p95_us"


@dataclass(frozen=True)
class LargestLoad:
    """Where a latency meets its target."""

    target_us: float
    rate_per_s: float | None
    """Largest rate found under the target; None when no rate is."""
    surely_per_s: float | None
    """Largest rate that was run whose interval lies under the target."""
    missed_per_s: float | None
    """Lowest rate above `rate_per_s` that was run whose interval lies above the target."""
    figures: Figures | None
    """Of the run at `rate_per_s`."""
    remark: str | None
    """Why there is no rate, or what bounds it other than the target."""


class _Search:
    """Runs by rate, each with as many requests as it takes to tell it from the target."""

    def __init__(self, evaluate: Evaluate, target_us: float) -> None:
        self.evaluate = evaluate
        self.target = target_us
        self.found: dict[float, Figures] = {}

    def meets(self, rate: float) -> bool:
        """Whether the latency at a rate is at most the target."""
        if rate not in self.found:
            times = 1
            figures = self.evaluate(rate, times)
            while times < MOST and self._is_open(figures):
                times *= 2
                figures = self.evaluate(rate, times)
            self.found[rate] = figures
        return bool(self.found[rate][KEY] <= self.target)

    def _is_open(self, figures: Figures) -> bool:
        low, high = figures["p95_low_us"], figures["p95_high_us"]
        return low is None or low <= self.target < high

    def sure(self) -> float | None:
        """Largest rate whose whole interval is under the target."""
        ends = ((rate, one["p95_high_us"]) for rate, one in self.found.items())
        return max((rate for rate, high in ends if high is not None and high <= self.target), default=None)

    def missed(self, above: float) -> float | None:
        """Lowest rate from `above` on whose whole interval is over the target."""
        ends = ((rate, one["p95_low_us"]) for rate, one in self.found.items() if rate >= above)
        return min((rate for rate, low in ends if low is not None and low > self.target), default=None)


def largest_load(evaluate: Evaluate, target_us: float, capacity_per_s: float) -> LargestLoad:
    """Look for the largest rate whose 95th percentile of latency is at most a target.

    Latency need not rise with the load: a batch that waits for its timeout fills sooner when more requests come. So the
    search goes down from near the capacity to the first rate that meets the target, and bisects between it and the one
    above.

    Parameters
    ----------
    evaluate : callable
        Gives p95_us, p95_low_us and p95_high_us.
    target_us : float
    capacity_per_s : float
        Rate from which on the queue grows for ever.
    """
    search = _Search(evaluate, target_us)
    above: float | None = None
    for load in LOADS:
        rate = load * capacity_per_s
        if search.meets(rate):
            break
        above = rate
    else:
        least = min(figures[KEY] for figures in search.found.values())
        return LargestLoad(target_us, None, None, above, None, f"no load meets it: the lowest p95 was {least:.4g} us")
    while above is not None and above - rate > RESOLUTION * rate:
        middle = (rate + above) / 2
        if search.meets(middle):
            rate = middle
        else:
            above = middle
    remark = None if above is not None else f"met up to {LOADS[0]:.0%} of the capacity, and not looked for above"
    sure = search.sure()
    return LargestLoad(target_us, rate, sure, search.missed(rate), search.found[rate], remark)
