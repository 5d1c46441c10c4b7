"""How a table's board power was metered: the spec of a collector that goes through a sweep of products."""

from itertools import pairwise
from typing import Annotated

from pydantic import Field, model_validator

from accelsim.config.base import Spec
from accelsim.config.quantity import Time

_Sizes = Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=1)]
_Count = Annotated[int, Field(gt=0)]


class Meter(Spec):
    """A slow power meter, and a collector that measures product after product of a sweep on one board with it.

    Each reading remembers what ran before. `accelsim.validate.meter` follows the sweep to say what the meter shows.
    """

    dataset: str
    """Rows with this name in their column dataset were measured so; others show what the board draws for good."""
    average: Time = Field(gt=0)
    """Time over which the meter averages."""
    sample: Time = Field(gt=0)
    """Between two readings of a run; what a table gives is their mean, the first taken as the run begins."""
    copies: _Count
    """Products, each with weights of its own, in one replay."""
    warm_ups: _Count
    """Replays, or launches of as much, before a run."""
    fewest: _Count
    """Replays of a run at least."""
    replays: _Count
    """At most."""
    run: Time = Field(gt=0)
    """A run ends with the replay that reaches this time, or with the last one allowed."""
    gap: Time
    """Between two runs, with nothing on the board."""
    host: Time = Field(gt=0)
    """Between two launches of the sweep's runs without a graph."""
    sweep_rows: _Sizes
    """Values of m in the sweep, which takes m, n and k in that order, each from the largest down."""
    sweep_sizes: _Sizes
    """Values of n and of k."""

    @model_validator(mode="after")
    def _falling(self) -> "Meter":
        for name in ("sweep_rows", "sweep_sizes"):
            values = getattr(self, name)
            if any(later >= former for former, later in pairwise(values)):
                raise ValueError(f"{name} must fall from the largest to the smallest, each once")
        return self
