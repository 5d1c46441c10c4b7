"""How long batches take and what energy: every outcome of each size and bucket, from wherever it was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from accelsim.errors import ConfigError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
PS_PER_US = 1_000_000
PS_PER_SECOND = 10**12
_LONGEST_US = 1e12


@dataclass(frozen=True)
class ServiceTimes:
    """Outcomes by size of the batch and bucket, all of one size and bucket equally likely.

    One outcome says that the time does not depend on the inputs.
    """

    first: Ints
    """[batch + 1, buckets] where the outcomes begin; row 0 means nothing."""
    count: Ints
    """[batch + 1, buckets] how many there are."""
    outcomes_ps: Ints
    """[outcomes] positive."""
    energies_uj: Floats
    """[outcomes]"""
    idle_w: float = 0.0
    """Power that flows while the machine waits."""
    sizes: tuple[int, ...] = field(default=())
    """Those that have outcomes of their own; a batch between two of them runs as the larger."""

    @classmethod
    def from_arrays(
        cls,
        times_us: Mapping[tuple[int, int], npt.ArrayLike],
        energies_uj: Mapping[tuple[int, int], npt.ArrayLike] | None = None,
        idle_w: float = 0.0,
    ) -> "ServiceTimes":
        """Service times from arrays.

        Parameters
        ----------
        times_us : mapping of (size, bucket) to array
            A number or an array of outcomes, in microseconds. Every bucket from 0 on has the same sizes.
        energies_uj : mapping, optional
            Of the same keys and shapes; 0 when left out.
        idle_w : float
            Power between batches.

        Raises
        ------
        ConfigError
            When a time is not positive, or sizes, buckets or shapes do not go together.

        Examples
        --------
        >>> times = ServiceTimes.from_arrays({(1, 0): 100.0, (4, 0): [150.0, 170.0]})
        >>> times.mean_us(3, 0)
        160.0
        """
        sizes = sorted({size for size, _ in times_us})
        buckets = sorted({bucket for _, bucket in times_us})
        if not sizes or sizes[0] < 1 or buckets != list(range(len(buckets))):
            raise ConfigError("service times need sizes from 1 on and buckets 0, 1, 2 and so on")
        shape = (sizes[-1] + 1, len(buckets))
        first, count = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        times: list[Floats] = []
        energies: list[Floats] = []
        begin, below = 0, 1
        for size in sizes:
            for bucket in buckets:
                found, energy = _outcomes(size, bucket, times_us, energies_uj)
                first[below : size + 1, bucket], count[below : size + 1, bucket] = begin, len(found)
                begin += len(found)
                times.append(found)
                energies.append(energy)
            below = size + 1
        ticks = np.maximum(1, np.rint(np.concatenate(times) * PS_PER_US)).astype(np.int64)
        return cls(first, count, ticks, np.concatenate(energies), idle_w, tuple(sizes))

    @property
    def batch(self) -> int:
        """Largest batch."""
        return len(self.first) - 1

    @property
    def buckets(self) -> int:
        """Number of buckets."""
        return int(self.first.shape[1])

    def outcomes_of(self, size: int, bucket: int) -> Ints:
        """Outcomes of a size and bucket in picoseconds."""
        begin = int(self.first[size, bucket])
        return self.outcomes_ps[begin : begin + int(self.count[size, bucket])]

    def mean_us(self, size: int, bucket: int) -> float:
        """Mean time of a batch in microseconds."""
        return float(self.outcomes_of(size, bucket).mean()) / PS_PER_US

    def capacity_per_s(self, shares: Sequence[float] | Floats) -> float:
        """Requests a second that full batches get through, when these shares of them belong to the buckets."""
        full = [self.mean_us(self.batch, bucket) for bucket in range(self.buckets)]
        return float(self.batch * 1e6 / np.dot(np.asarray(shares, np.float64), full))

    def records(self, buckets: Sequence[int]) -> list[dict[str, object]]:
        """A row for each size and bucket: outcomes, mean, 5th and 95th percentile of time, and mean energy."""
        rows: list[dict[str, object]] = []
        for size in self.sizes:
            for bucket in range(self.buckets):
                times = self.outcomes_of(size, bucket) / PS_PER_US
                begin = int(self.first[size, bucket])
                energies = self.energies_uj[begin : begin + len(times)]
                low, high = np.percentile(times, (5, 95))
                rows.append(
                    {
                        "size": size,
                        "bucket": buckets[bucket] if buckets else None,
                        "outcomes": len(times),
                        "mean_us": float(times.mean()),
                        "p5_us": float(low),
                        "p95_us": float(high),
                        "energy_uj": float(energies.mean()),
                    }
                )
        return rows


def _outcomes(
    size: int,
    bucket: int,
    times_us: Mapping[tuple[int, int], npt.ArrayLike],
    energies_uj: Mapping[tuple[int, int], npt.ArrayLike] | None,
) -> tuple[Floats, Floats]:
    if (size, bucket) not in times_us:
        raise ConfigError(f"service times lack size {size} in bucket {bucket}, which another bucket has")
    times = np.atleast_1d(np.asarray(times_us[size, bucket], np.float64))
    where = f"service times of size {size} in bucket {bucket}"
    if times.ndim != 1 or not len(times) or not ((times > 0) & (times <= _LONGEST_US)).all():
        raise ConfigError(f"{where} need to be numbers above 0 and up to {_LONGEST_US:g} us")
    if energies_uj is None:
        return times, np.zeros(len(times))
    energies = np.atleast_1d(np.asarray(energies_uj.get((size, bucket), ()), np.float64))
    if energies.shape != times.shape or not np.isfinite(energies).all() or (energies < 0).any():
        raise ConfigError(f"{where}: energies need to be as many, and at least 0")
    return times, energies
