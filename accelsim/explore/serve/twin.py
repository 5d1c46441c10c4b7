"""The queue in SimPy, written to be read: requests arrive, wait in buckets, and idle servers take batches of them.

It is the specification of the compiled queue (`accelsim.kernels.serving`), and equal to it for every request.
"""

from collections import deque
from collections.abc import Generator

import numpy as np
import simpy
from numpy.typing import NDArray

from accelsim.explore.serve.services import ServiceTimes

Ints = NDArray[np.int64]
_Process = Generator[simpy.Event, object, None]


class _Queue:
    """Requests that wait, by bucket, and servers that are idle."""

    def __init__(
        self,
        times: Ints,
        buckets: Ints,
        draws: NDArray[np.float64],
        batch: int,
        timeout: int,
        services: ServiceTimes,
        servers: int,
    ) -> None:
        self.env = simpy.Environment()
        self.times = times.tolist()
        self.buckets = buckets.tolist()
        self.draws = draws
        self.batch = batch
        self.timeout = timeout
        self.services = services
        self.idle = servers
        self.waiting: list[deque[int]] = [deque() for _ in range(services.buckets)]
        self.arrival = self.release = self.env.event()
        self.batch_of = np.empty(len(self.times), np.int64)
        self.starts: list[int] = []
        self.chosen: list[int] = []

    def source(self) -> _Process:
        """Requests come in, and wake whoever hands them out."""
        for request, at in enumerate(self.times):
            if at > self.env.now:
                yield self.env.timeout(at - self.env.now)
            self.waiting[self.buckets[request]].append(request)
            if not self.arrival.triggered:
                self.arrival.succeed()

    def dispatcher(self) -> _Process:
        """Batch after batch goes to an idle server, until every request is served."""
        left = len(self.times)
        while left:
            yield self.env.timeout(0)  # what ends or arrives on this tick was scheduled before this
            ready = [queue for queue in self.waiting if self._is_ready(queue)]
            if not self.idle:
                self.release = self.env.event()
                yield self.release
            elif not ready:
                yield self._change()
            else:
                queue = min(ready, key=lambda queue: queue[0])
                requests = [queue.popleft() for _ in range(min(self.batch, len(queue)))]
                self.idle -= 1
                self.env.process(self.server(self._start(requests)))
                left -= len(requests)

    def server(self, duration: int) -> _Process:
        """One batch, after which its server is idle."""
        yield self.env.timeout(duration)
        self.idle += 1
        if not self.release.triggered:
            self.release.succeed()

    def _deadline(self, queue: deque[int]) -> int:
        return int(self.times[queue[0]]) + self.timeout

    def _is_ready(self, queue: deque[int]) -> bool:
        return len(queue) >= self.batch or (len(queue) > 0 and self._deadline(queue) <= self.env.now)

    def _change(self) -> simpy.Event:
        """What idle servers wait for: an arrival, or the first deadline."""
        self.arrival = self.env.event()
        deadlines = [self._deadline(queue) for queue in self.waiting if queue]
        if not deadlines:
            return self.arrival
        return self.arrival | self.env.timeout(min(deadlines) - self.env.now)

    def _start(self, requests: list[int]) -> int:
        """Note a batch that starts now; returns how long it takes."""
        size, bucket, services = len(requests), self.buckets[requests[0]], self.services
        choice = int(services.first[size, bucket]) + int(self.draws[requests[0]] * services.count[size, bucket])
        self.batch_of[requests] = len(self.starts)
        self.starts.append(int(self.env.now))
        self.chosen.append(choice)
        return int(services.outcomes_ps[choice])


def serve_batches_simpy(
    times: Ints,
    buckets: Ints,
    draws: NDArray[np.float64],
    batch: int,
    timeout: int,
    services: ServiceTimes,
    servers: int,
) -> tuple[Ints, Ints, Ints]:
    """`accelsim.kernels.serving.serve_batches` as processes.

    Parameters
    ----------
    times, buckets, draws, batch, timeout
        As there.
    services : ServiceTimes
    servers : int

    Returns
    -------
    batch_of : int64 [requests]
    starts, chosen : int64 [batches]
    """
    queue = _Queue(times, buckets, draws, batch, timeout, services, servers)
    queue.env.process(queue.source())
    queue.env.run(until=queue.env.process(queue.dispatcher()))
    return queue.batch_of, np.asarray(queue.starts, np.int64), np.asarray(queue.chosen, np.int64)
