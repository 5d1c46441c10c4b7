"""What a timeline is to hold: which SMs, and how much at most. It changes nothing in a run, so no config holds it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import ConfigError

DEFAULT_SMS = 4
DEFAULT_LIMIT = 200_000


@dataclass(frozen=True)
class Sampling:
    """SMs whose thread blocks a timeline shows, and its size.

    Raises
    ------
    ConfigError
        For a negative number of SMs, or room for nothing.

    Examples
    --------
    >>> Sampling(sms=4).of(108).tolist()
    [0, 27, 54, 81]
    """

    sms: int | None = DEFAULT_SMS
    """SMs, spread evenly over the device; None for all of them."""
    limit: int = DEFAULT_LIMIT
    """Slices of the timeline at most; what comes later is left out and counted."""

    def __post_init__(self) -> None:
        if self.sms is not None and self.sms < 0:
            raise ConfigError(f"a timeline of {self.sms} SMs; allowed: 0 and more, or all")
        if self.limit < 1:
            raise ConfigError(f"a timeline of at most {self.limit} slices; allowed: 1 and more")

    @property
    def rows(self) -> int:
        """Pieces of SMs that a kernel's record holds at most: several often join to one slice."""
        return 8 * self.limit

    def of(self, sm_count: int) -> NDArray[np.int64]:
        """Indices of the SMs that are shown of a device of so many."""
        wanted = sm_count if self.sms is None else min(self.sms, sm_count)
        return np.arange(wanted, dtype=np.int64) * sm_count // max(1, wanted)
