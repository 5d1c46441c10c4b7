"""Schemes under load: service times from simulated runs, the queue at each rate, the largest load under a target."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.config.hardware import System
from accelsim.config.scheme import Engine
from accelsim.config.workload import Workload
from accelsim.errors import ConfigError
from accelsim.explore.serve.arrivals import (
    ArrivalKind,
    Lengths,
    Traffic,
    check_rates,
    drawn,
    first_requests,
    read_trace,
)
from accelsim.explore.serve.batching import Batching
from accelsim.explore.serve.queue import QueueEngine, Served, run_queue
from accelsim.explore.serve.request import ServeRequest
from accelsim.explore.serve.runs import simulate_services
from accelsim.explore.serve.search import largest_load
from accelsim.explore.serve.services import PS_PER_US, ServiceTimes
from accelsim.explore.serve.serving import SchemeServed, Serving
from accelsim.explore.serve.statistics import summarise

Progress = Callable[[int, int], None]
Watch = Callable[[str, float, Served], None]
"""Shown every run of the queue at a rate that is told: scheme, rate, and each request's way."""
DEFAULT_REQUESTS = 100_000
MOST_REQUESTS = 10_000_000
DEFAULT_LOADS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.1)
"""Of the largest capacity among the schemes, where no rates are asked for; the last shows what is served at most."""


@dataclass(frozen=True)
class Demand:
    """Requests and how runs of the queue are made and judged.

    Raises
    ------
    ConfigError
        When a number is not allowed.
    """

    rates: tuple[float, ...] = ()
    """Requests a second; none for the trace's own, or for shares of the largest capacity."""
    arrivals: ArrivalKind = "poisson"
    trace: str | Path | None = None
    """CSV of arrivals, whose times are stretched to each rate."""
    lengths: Lengths | None = None
    """Of drawn requests; left out, from 1 to the largest bucket."""
    requests: int | None = None
    """For each rate; `DEFAULT_REQUESTS` of drawn ones, all of a trace."""
    warmup: float = 0.1
    """Share of the requests, from the first, that do not count."""
    target_p95_us: float | None = None
    """For which the largest load is looked for."""
    queue: QueueEngine = "compiled"

    def __post_init__(self) -> None:
        check_rates(self.rates)
        if not 0 <= self.warmup < 1:
            raise ConfigError(f"warmup {self.warmup:g}: a share of the requests, from 0 up to but without 1")
        if self.requests is not None and not 2 <= self.requests <= MOST_REQUESTS:
            raise ConfigError(f"requests {self.requests}: allowed: 2 to {MOST_REQUESTS:,}")
        if self.target_p95_us is not None and not self.target_p95_us > 0:
            raise ConfigError(f"target p95 {self.target_p95_us:g} us: needs to be above 0")
        if self.trace is not None and self.lengths is not None:
            raise ConfigError("lengths are for drawn requests; those of a trace are its column length")


def serve(
    hardware: str | Path | System,
    workload: str | Path | Workload,
    *,
    schemes: Sequence[str] = ("dense",),
    demand: Demand | None = None,
    batching: Batching | None = None,
    sets: Sequence[str] = (),
    engine: Engine = "events",
    values: bool = True,
    seed: int = 0,
    sparsity: float | None = None,
    force: bool = False,
    inputs: int | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> Serving:
    """Requests come in, are put into batches, and run on a simulated machine, or several, one batch at a time each.

    Parameters
    ----------
    hardware, workload, sets, engine, values, seed, sparsity, force
        As of `accelsim.pipeline.run`. A request is one input of the workload.
    schemes : sequence of str
    demand : Demand, optional
        Requests, rates and target.
    batching : Batching, optional
        Left out, every request runs alone, on one machine.
    inputs : int, optional
        Inputs whose time is taken where it depends on them; left out, all of the workload's data, or 32 drawn ones.
    progress : callable, optional
        Called with the runs done and their number.
    watch : callable, optional
        Called with scheme, rate and `Served` of every run of the queue, as for a timeline.

    Returns
    -------
    Serving

    Raises
    ------
    UserError
        When settings do not go together, a scheme cannot run, or requests do not fit the buckets.

    Examples
    --------
    >>> found = serve("a100_hdp", "bert_tiny", demand=Demand(rates=(1000.0,), requests=5000))
    >>> found.schemes[0].points[0]["throughput_per_s"] < 1100
    True
    """
    demand, batching = demand or Demand(), batching or Batching()
    if not schemes or len(set(schemes)) != len(schemes):
        raise ConfigError(f"schemes {', '.join(schemes)}: need to be at least one, each once")
    request = ServeRequest.of(
        hardware,
        workload,
        sets,
        engine=engine,
        values=values,
        seed=seed,
        sparsity=sparsity,
        force=force,
        inputs=inputs,
    )
    traffic_of(demand, batching, seed, request)  # a trace that cannot be read is told before anything runs
    services = _services(request, schemes, batching, progress)
    settings = {
        "hardware": request.hardware.name,
        "workload": request.workload.name or request.workload.kind,
        "engine": engine,
        "values": values,
    }
    return serve_times(services, demand, batching, seed=seed, settings=settings, request=request, watch=watch)


def _services(
    request: ServeRequest, schemes: Sequence[str], batching: Batching, progress: Progress | None
) -> dict[str, ServiceTimes]:
    """Service times of each scheme."""
    runs = len(batching.run_sizes) * max(1, len(batching.buckets))
    found: dict[str, ServiceTimes] = {}
    for scheme in schemes:

        def show(done: int, of: int, begun: int = len(found) * runs) -> None:
            if progress is not None:
                progress(begun + done, len(schemes) * runs)

        found[scheme] = simulate_services(request, scheme, batching, show)
    return found


def serve_times(
    services: dict[str, ServiceTimes],
    demand: Demand,
    batching: Batching,
    *,
    seed: int = 0,
    settings: dict[str, Any] | None = None,
    request: ServeRequest | None = None,
    watch: Watch | None = None,
) -> Serving:
    """The queue alone, on service times from anywhere: measured on a real machine, or from another simulator.

    Parameters
    ----------
    services : dict
        By scheme, or whatever is to be compared.
    demand : Demand
    batching : Batching
    seed : int
        Of arrivals, lengths and outcomes.
    settings : dict, optional
        What else the document is to tell.
    request : ServeRequest, optional
        Whose workload limits lengths where there are no buckets.
    watch : callable, optional
        As of `serve`.
    """
    traffic = traffic_of(demand, batching, seed, request)
    shares = _shares(traffic, batching)
    capacities = {scheme: batching.servers * times.capacity_per_s(shares) for scheme, times in services.items()}
    rates = check_rates(demand.rates) or _default_rates(traffic, demand, max(capacities.values()))
    found = []
    for scheme, times in services.items():
        one = _Loaded(times, traffic, demand, batching, seed, capacities[scheme], request)
        seen = None if watch is None else partial(watch, scheme)
        points = tuple(one.point(rate, watch=seen) for rate in rates)
        largest = None
        if demand.target_p95_us is not None:
            largest = largest_load(one.point, demand.target_p95_us, capacities[scheme])
        rows = tuple(times.records(batching.buckets))
        found.append(SchemeServed(scheme, capacities[scheme], times.idle_w, rows, points, largest))
    return Serving((settings or {}) | _told(demand, batching, traffic, seed), tuple(found))


def _told(demand: Demand, batching: Batching, traffic: Traffic, seed: int) -> dict[str, Any]:
    """What was asked, as the document has it."""
    return {
        "arrivals": traffic.kind,
        "requests": len(traffic.gaps),
        "warmup": demand.warmup,
        "queue": demand.queue,
        "batch": batching.batch,
        "servers": batching.servers,
        "timeout_us": batching.timeout_ps / PS_PER_US,
        "buckets": list(batching.buckets),
        "sizes": list(batching.run_sizes),
        "seed": seed,
        "target_p95_us": demand.target_p95_us,
    }


@dataclass(frozen=True)
class _Loaded:
    """One scheme's queue at any rate."""

    services: ServiceTimes
    traffic: Traffic
    demand: Demand
    batching: Batching
    seed: int
    capacity: float
    request: ServeRequest | None

    def point(
        self, rate: float, times: int = 1, watch: Callable[[float, Served], None] | None = None
    ) -> dict[str, Any]:
        """Figures at a rate, with so many times the usual requests; a trace has no more than its own."""
        traffic = self.traffic
        if times > 1 and traffic.kind != "trace":
            more = min(MOST_REQUESTS, times * len(traffic.gaps))
            traffic = traffic_of(self.demand, self.batching, self.seed, self.request, more)
        served = run_queue(traffic.at(rate), self.batching, self.services, seed=self.seed, engine=self.demand.queue)
        if watch is not None:
            watch(rate, served)
        figures = summarise(served, self.services.idle_w, self.demand.warmup)
        return {"rate_per_s": rate, "load": rate / self.capacity, **figures}


def traffic_of(
    demand: Demand, batching: Batching, seed: int, request: ServeRequest | None = None, requests: int | None = None
) -> Traffic:
    """Requests of a demand, checked against buckets, or the workload's own length where there are none.

    Raises
    ------
    UserError
        When a trace cannot be read, a request is too long, or lengths are named that the workload does not have.
    """
    if demand.trace is not None:
        traffic = first_requests(read_trace(demand.trace), demand.requests)
    else:
        lengths = demand.lengths
        if lengths is None and batching.buckets:
            lengths = Lengths(tuple(range(1, batching.buckets[-1] + 1)))
        traffic = drawn(demand.arrivals, requests or demand.requests or DEFAULT_REQUESTS, seed, lengths)
    own = None if request is None else getattr(request.workload, "sequence", None)
    if request is not None and own is None and demand.lengths is not None:
        raise ConfigError(f"lengths mean nothing to {request.workload.name}, whose inputs are all of one size")
    if not batching.buckets and own is not None:
        Batching(buckets=(own,)).bucket_of(traffic.lengths)
    batching.bucket_of(traffic.lengths)
    return traffic


def _shares(traffic: Traffic, batching: Batching) -> NDArray[np.float64]:
    """Of the requests, how much belongs to each bucket."""
    counts = np.bincount(batching.bucket_of(traffic.lengths), minlength=max(1, len(batching.buckets)))
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares


def _default_rates(traffic: Traffic, demand: Demand, capacity: float) -> tuple[float, ...]:
    if traffic.own_rate_per_s is not None:
        return (traffic.own_rate_per_s,)
    return tuple(load * capacity for load in DEFAULT_LOADS)
