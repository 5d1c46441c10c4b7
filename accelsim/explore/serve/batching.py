"""How requests are put together (largest batch, wait of the first for others, buckets), for how many machines."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import ConfigError

MAX_BATCH = 65536
MAX_SERVERS = 1024


@dataclass(frozen=True)
class Batching:
    """Rules of servers (`accelsim.kernels.serving` lists them in order).

    Raises
    ------
    ConfigError
        When a size is not allowed.
    """

    batch: int = 1
    """Requests that run together at most."""
    timeout_ps: int = 0
    """How long a request waits for others while a server is idle; 0 starts with whatever waits."""
    buckets: tuple[int, ...] = ()
    """Lengths that requests are padded to, ascending; empty when all requests have one length."""
    sizes: tuple[int, ...] = ()
    """Sizes that batches are padded to, ascending and up to `batch`; empty for every size."""
    servers: int = 1
    """Equal machines that take batches from one queue, one batch at a time each."""

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= MAX_BATCH:
            raise ConfigError(f"batch {self.batch}: allowed: 1 to {MAX_BATCH}")
        if not 1 <= self.servers <= MAX_SERVERS:
            raise ConfigError(f"servers {self.servers}: allowed: 1 to {MAX_SERVERS}")
        if self.timeout_ps < 0:
            raise ConfigError(f"timeout {self.timeout_ps} ps: needs to be at least 0")
        for what, given in (("buckets", self.buckets), ("sizes", self.sizes)):
            if any(value < 1 for value in given) or list(given) != sorted(set(given)):
                raise ConfigError(f"{what} {', '.join(map(str, given))}: need to rise, from 1 on")
        if self.sizes and self.sizes[-1] != self.batch:
            raise ConfigError(
                f"sizes {', '.join(map(str, self.sizes))}: need to end with the largest batch, {self.batch}"
            )

    @property
    def run_sizes(self) -> tuple[int, ...]:
        """Sizes that run."""
        return self.sizes or tuple(range(1, self.batch + 1))

    def bucket_of(self, lengths: Iterable[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """Index of each request's bucket, [requests]: the smallest that holds it.

        Raises
        ------
        ConfigError
            When a request is longer than the largest bucket.
        """
        lengths = np.asarray(lengths, np.int64)
        if not self.buckets:
            return np.zeros(len(lengths), np.int64)
        too_long = np.flatnonzero(lengths > self.buckets[-1])
        if len(too_long):
            first = int(too_long[0])
            raise ConfigError(
                f"request {first + 1} has length {lengths[first]}, and the largest bucket holds {self.buckets[-1]}; "
                f"{len(too_long)} of {len(lengths)} requests are too long"
            )
        return np.searchsorted(np.asarray(self.buckets, np.int64), lengths).astype(np.int64)
