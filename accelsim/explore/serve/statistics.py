"""Figures of one run of the queue: latencies with intervals, throughput, queue, utilisation and energy."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import ConfigError
from accelsim.explore.serve.queue import Served
from accelsim.explore.serve.services import PS_PER_SECOND, PS_PER_US

BATCHES = 20
"""Batches of consecutive requests whose means give the intervals."""
T_95 = 2.093024
"""0.975 quantile of Student's t with `BATCHES` - 1 degrees of freedom: 95 % of intervals hold the mean."""
LEAST = 20
"""Requests in each of them at least, so that there is an interval."""
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Window:
    """Requests that count, and the time in which they arrive."""

    first: int
    """Requests before this one belong to the warm-up."""
    begin_ps: int
    end_ps: int

    @property
    def seconds(self) -> float:
        """Length."""
        return (self.end_ps - self.begin_ps) / PS_PER_SECOND


def window_of(served: Served, warmup: float) -> Window:
    """The window behind a warm-up of this share of the requests.

    It begins with the first arrival that counts and ends with the last: after that the queue only drains.

    Raises
    ------
    ConfigError
        Unless 0 <= warmup < 1.
    """
    if not 0 <= warmup < 1:
        raise ConfigError(f"warmup {warmup:g}: a share of the requests, from 0 up to but without 1")
    times = served.arrivals_ps
    first = int(warmup * len(times))
    return Window(first, int(times[first]), max(int(times[-1]), int(times[first]) + 1))


def batch_means(values: NDArray[np.float64], percentile: float | None = None) -> tuple[float, float] | None:
    """95 % interval of the mean, or of a percentile, of values that follow each other and are not independent.

    Parameters
    ----------
    values : float64 [n]
        In order; cut into `BATCHES` equal parts, each long enough to forget the one before.
    percentile : float, optional
        The mean when left out.

    Returns
    -------
    tuple or None
        Both ends; None for too few values.
    """
    each = len(values) // BATCHES
    if each < LEAST:
        return None
    parts = values[len(values) - each * BATCHES :].reshape(BATCHES, each)
    found = parts.mean(axis=1) if percentile is None else np.percentile(parts, percentile, axis=1)
    centre = float(values.mean() if percentile is None else np.percentile(values, percentile))
    half = T_95 * float(found.std(ddof=1)) / float(np.sqrt(BATCHES))
    return max(0.0, centre - half), centre + half


def summarise(served: Served, idle_w: float = 0.0, warmup: float = 0.1) -> dict[str, Any]:
    """Figures of a run, by name.

    Parameters
    ----------
    served : Served
    idle_w : float
        Power of a machine between batches.
    warmup : float
        Share of the requests, from the first, that do not count.

    Returns
    -------
    dict
        Numbers; both ends of an interval are None for too few requests, and energies for each request that is served
        when none is.
    """
    window = window_of(served, warmup)
    arrivals, starts, ends = served.arrivals_ps, served.starts_ps, served.ends_ps
    latencies = (ends - arrivals)[window.first :] / PS_PER_US
    waits = (starts - arrivals)[window.first :] / PS_PER_US
    busy = _inside(served.batch_starts_ps, served.batch_ends_ps, window)
    done = int(((ends > window.begin_ps) & (ends <= window.end_ps)).sum())
    length = window.end_ps - window.begin_ps
    offered = length * served.servers
    durations = served.batch_ends_ps - served.batch_starts_ps
    spent = float((served.batch_energies_uj * (busy / durations)).sum())
    idle = idle_w * (offered - int(busy.sum())) / PS_PER_US
    counted = np.bincount(served.batch_of[window.first :], minlength=len(durations)) > 0
    sizes = served.batch_sizes[counted]
    requests = len(latencies)
    mean, p95, wait = batch_means(latencies), batch_means(latencies, 95), batch_means(waits)
    percentiles = np.percentile(latencies, PERCENTILES)
    return {
        "requests": requests,
        "throughput_per_s": done / window.seconds,
        "mean_us": float(latencies.mean()),
        **_ends("mean", mean),
        **{f"p{share}_us": float(value) for share, value in zip(PERCENTILES, percentiles, strict=True)},
        **_ends("p95", p95),
        "mean_wait_us": float(waits.mean()),
        **_ends("mean_wait", wait),
        "p95_wait_us": float(np.percentile(waits, 95)),
        "queue_length": float(_inside(arrivals, starts, window).sum()) / length,
        "queue_max": _longest(arrivals, starts, window),
        "utilisation": float(busy.sum()) / offered,
        "batch_mean": float(sizes.mean()),
        "energy_per_request_uj": (spent + idle) / done if done else None,
        "idle_energy_per_request_uj": idle / done if done else None,
    }


def _ends(name: str, interval: tuple[float, float] | None) -> dict[str, float | None]:
    low, high = (None, None) if interval is None else interval
    return {f"{name}_low_us": low, f"{name}_high_us": high}


def _inside(begins: NDArray[np.int64], ends: NDArray[np.int64], window: Window) -> NDArray[np.int64]:
    """Of each stretch of time, how much lies in the window."""
    inside: NDArray[np.int64] = np.minimum(ends, window.end_ps) - np.maximum(begins, window.begin_ps)
    return np.maximum(inside, 0, out=inside)


def _longest(arrivals: NDArray[np.int64], starts: NDArray[np.int64], window: Window) -> int:
    """Most requests that waited at once when one arrived in the window; those that leave on its tick do not count."""
    gone = np.searchsorted(np.sort(starts, kind="stable"), arrivals[window.first :], side="right")
    waiting = np.arange(window.first + 1, len(arrivals) + 1) - gone
    return int(waiting.max(initial=0))
