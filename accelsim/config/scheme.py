"""Spec of a run as a whole: hardware, workload, scheme and options."""

from typing import Literal

from pydantic import Field, model_validator

from accelsim.config.base import Spec
from accelsim.config.hardware import System
from accelsim.config.options import Hdp, Mapping, TileWise
from accelsim.config.workload import Workload

__all__ = ["Engine", "Hdp", "Mapping", "RunConfig", "SchemeName", "TileWise"]

SchemeName = Literal["dense", "tile_wise", "hdp", "tile_wise+hdp", "dense_on_unit"]
"""``dense_on_unit`` runs attention unpruned on the attention unit, so that machine and algorithm are told apart."""

Engine = Literal["events", "simpy", "estimate"]


class RunConfig(Spec):
    """Everything that a run depends on: the same config gives the same result."""

    hardware: System
    workload: Workload
    scheme: SchemeName = "dense"
    mapping: Mapping = Mapping()
    tile_wise: TileWise = TileWise()
    hdp: Hdp = Hdp()
    engine: Engine = "events"
    values: bool = True
    """Whether products are computed; without, time comes from shapes and masks alone."""
    seed: int = Field(default=0, ge=0)
    operands: str | None = None
    """.npz of the user's matrices (A and B, or Q, K and V)."""
    masks: str | None = None
    """arrays.npz of a saved result, whose masks a run without values takes in place of seeded ones."""

    @model_validator(mode="after")
    def _masks(self) -> "RunConfig":
        if self.masks is not None and self.values:
            raise ValueError("recorded masks are for runs without values (--no-values); with values, masks follow them")
        return self
