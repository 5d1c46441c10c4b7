"""Spec of a run as a whole: hardware, workload, scheme and options."""

from typing import Literal

from pydantic import Field, model_validator

from accelsim.config.base import Spec
from accelsim.config.hardware import System
from accelsim.config.options import Hdp, Mapping, TileWise
from accelsim.config.pattern_options import (
    NM,
    PATTERN_OPTIONS,
    BlockWise,
    ElementWise,
    PatternOptions,
    TileElementWise,
    TileVectorWise,
    VectorWise,
)
from accelsim.config.workload import Workload

__all__ = ["Engine", "Hdp", "Mapping", "RunConfig", "SchemeName", "TileWise"]

SchemeName = Literal[
    "dense",
    "element_wise",
    "vector_wise",
    "block_wise",
    "n_m",
    "tile_wise",
    "tile_element_wise",
    "tile_vector_wise",
    "hdp",
    "tile_wise+hdp",
    "dense_on_unit",
]
"""Patterns of weights by their kinds; ``dense_on_unit`` runs attention unpruned on the attention unit, so that machine
and algorithm are told apart."""

Engine = Literal["events", "simpy", "estimate"]


class RunConfig(Spec):
    """Everything that a run depends on: the same config gives the same result."""

    hardware: System
    workload: Workload
    scheme: SchemeName = "dense"
    mapping: Mapping = Mapping()
    tile_wise: TileWise = TileWise()
    element_wise: ElementWise = ElementWise()
    vector_wise: VectorWise = VectorWise()
    block_wise: BlockWise = BlockWise()
    n_m: NM = NM()
    tile_element_wise: TileElementWise = TileElementWise()
    tile_vector_wise: TileVectorWise = TileVectorWise()
    hdp: Hdp = Hdp()
    engine: Engine = "events"
    values: bool = True
    """Whether products are computed; without, time comes from shapes and masks alone."""
    seed: int = Field(default=0, ge=0)
    operands: str | None = None
    """.npz of the user's matrices (A and B, or Q, K and V)."""
    masks: str | None = None
    """arrays.npz of a saved result, whose masks a run without values takes in place of seeded ones."""
    force: bool = False
    """Whether a unit that the machine lacks is imagined: sparse tensor cores at twice the rate of its tensor cores."""

    @property
    def pattern_options(self) -> PatternOptions | None:
        """Options of the scheme's pattern of weights; None when it prunes no weights."""
        key = self.scheme.partition("+")[0]
        options: PatternOptions | None = getattr(self, key) if key in PATTERN_OPTIONS else None
        return options

    @model_validator(mode="after")
    def _masks(self) -> "RunConfig":
        if self.masks is not None and self.values:
            raise ValueError("recorded masks are for runs without values (--no-values); with values, masks follow them")
        return self
