"""Spec of a run as a whole: hardware, workload, scheme and options."""

from typing import Literal

from pydantic import Field

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
