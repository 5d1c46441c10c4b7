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
MORE = 4
"""Times the usual requests that decide, unless the usual ones miss the target by far."""
FAR = 2.0
"""Lower end of an interval over the target. Near the capacity intervals of few requests are too narrow: a run that is
unlucky once stays so for long."""
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
    """Runs by rate: those that may meet the target are decided by equally many requests."""

    def __init__(self, evaluate: Evaluate, target_us: float) -> None:
        self.evaluate = evaluate
        self.target = target_us
        self.found: dict[float, Figures] = {}

    def meets(self, rate: float) -> bool:
        """Whether the latency at a rate is at most the target."""
        figures = self.evaluate(rate, 1)
        if figures["p95_low_us"] is None or figures["p95_low_us"] <= FAR * self.target:
            figures = self.evaluate(rate, MORE)
        self.found[rate] = figures
        return bool(figures[KEY] <= self.target)

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
    above. A run that does not miss the target by far is repeated with `MORE` times the requests, which decide.

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
    for load in LOADS:
        if search.sure() is None and load * capacity_per_s < rate:
            search.meets(load * capacity_per_s)
    return LargestLoad(target_us, rate, search.sure(), search.missed(rate), search.found[rate], remark)
