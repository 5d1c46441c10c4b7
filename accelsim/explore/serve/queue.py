"""One run of the queue: arrivals, rules and service times in, when every request started and ended out."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import ConfigError
from accelsim.explore.serve.arrivals import Arrivals
from accelsim.explore.serve.batching import Batching
from accelsim.explore.serve.services import ServiceTimes
from accelsim.explore.serve.twin import serve_batches_simpy
from accelsim.kernels.serving import serve_batches

Ints = NDArray[np.int64]
QueueEngine = Literal["compiled", "simpy"]
QUEUE_ENGINES: tuple[QueueEngine, ...] = get_args(QueueEngine)
_LAST_PS = 2**63 - 1


@dataclass(frozen=True)
class Served:
    """Every request's way through the queue, in picoseconds."""

    arrivals_ps: Ints
    """[requests]"""
    batch_of: Ints
    """[requests]"""
    batch_starts_ps: Ints
    """[batches]"""
    batch_ends_ps: Ints
    """[batches]"""
    batch_energies_uj: NDArray[np.float64]
    """[batches]"""
    servers: int = 1
    """Machines that ran them."""

    @property
    def starts_ps(self) -> Ints:
        """[requests] when each stops waiting."""
        return self.batch_starts_ps[self.batch_of]

    @property
    def ends_ps(self) -> Ints:
        """[requests]"""
        return self.batch_ends_ps[self.batch_of]

    @property
    def batch_sizes(self) -> Ints:
        """[batches] requests in each."""
        return np.bincount(self.batch_of, minlength=len(self.batch_starts_ps)).astype(np.int64)


def run_queue(
    arrivals: Arrivals,
    batching: Batching,
    services: ServiceTimes,
    *,
    seed: int = 0,
    engine: QueueEngine = "compiled",
) -> Served:
    """Serve requests.

    Parameters
    ----------
    arrivals : Arrivals
    batching : Batching
    services : ServiceTimes
        Of the batching's sizes and buckets.
    seed : int
        Of what chooses among the outcomes of a batch; its oldest request decides, whatever the load.
    engine : str
        compiled, or simpy: the same written to be read, slow.

    Raises
    ------
    ConfigError
        When service times do not go with the batching, or a request is longer than the largest bucket.
    """
    if engine not in QUEUE_ENGINES:
        raise ConfigError(f"unknown queue {engine!r}; allowed: {', '.join(QUEUE_ENGINES)}")
    if services.batch != batching.batch or services.buckets != max(1, len(batching.buckets)):
        raise ConfigError(
            f"service times are of batches up to {services.batch} in {services.buckets} buckets, and the batching has "
            f"{batching.batch} and {max(1, len(batching.buckets))}"
        )
    if int(arrivals.times_ps[-1]) + len(arrivals.times_ps) * int(services.outcomes_ps.max()) > _LAST_PS:
        raise ConfigError("all requests together take longer than is simulated; take fewer of them")
    buckets = batching.bucket_of(arrivals.lengths)
    draws = np.random.default_rng((seed, 2)).random(len(buckets))
    rules = (arrivals.times_ps, buckets, draws, batching.batch, batching.timeout_ps)
    if engine == "simpy":
        batch_of, starts, chosen = serve_batches_simpy(*rules, services, batching.servers)
    else:
        table = (services.first, services.count, services.outcomes_ps)
        batch_of, starts, chosen = serve_batches(*rules, *table, batching.servers)
    ends = starts + services.outcomes_ps[chosen]
    return Served(arrivals.times_ps, batch_of, starts, ends, services.energies_uj[chosen], batching.servers)


def lindley(times: Ints, services: Ints) -> Ints:
    """When each request of one server without batches starts (Lindley 1952), all at once.

    A request starts when it has arrived and the one before has ended: starts[i] = max(times[i], starts[i-1] +
    services[i-1]), whose solution is a running maximum.

    Parameters
    ----------
    times, services : int64 [requests]
        Arrivals, ascending, and how long each request takes.

    Returns
    -------
    int64 [requests]
    """
    work = np.concatenate([[0], np.cumsum(services[:-1])]).astype(np.int64)
    starts: Ints = np.maximum.accumulate(times - work) + work
    return starts
