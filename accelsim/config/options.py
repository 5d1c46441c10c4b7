"""Options of a run beside hardware and workload: mapping, patterns of weights, HDP."""

from typing import Literal

from pydantic import Field, model_validator

from accelsim.config.base import Spec
from accelsim.config.pattern_options import (
    NM,
    BlockWise,
    ElementWise,
    TileElementWise,
    TileVectorWise,
    TileWise,
    VectorWise,
)

__all__ = ["Defaults", "Hdp", "Mapping", "TileWise"]


class Mapping(Spec):
    """How GEMMs are cut into thread blocks. The closed form chooses what is left out among the library's kernels."""

    tile_m: int | None = Field(default=None, gt=0)
    """Rows of a thread block's output tile."""
    tile_n: int | None = Field(default=None, gt=0)
    """Columns of it."""
    tile_k: int | None = Field(default=None, gt=0)
    """Depth of a k-step."""
    stages: int | None = Field(default=None, ge=2, le=16)
    """Tiles in flight in shared memory; `stages - 1` k-steps are loaded ahead."""
    split_k: int | None = Field(default=None, gt=0, le=1024)
    """Thread blocks that share the k of one output tile."""
    raster: Literal["along_m", "along_n", "swizzle"] = "swizzle"
    """Order of output tiles: down the columns, along the rows, or in square groups of `swizzle_width` tiles."""
    swizzle_width: int = Field(default=8, gt=0)
    """Side of such a group."""
    shared_layout: Literal["swizzled", "padded", "linear"] = "swizzled"
    """Placement of operand tiles in shared memory; ``linear`` meets in banks."""
    max_events: int = Field(default=40_000, ge=100)
    """K-steps are joined into chunks so that a launch has about so many events; at most 16 to a chunk."""


class Hdp(Spec):
    """Hybrid dynamic pruning. What the paper's text could not confirm is a switch, its default the literal reading."""

    integer_bits: int = Field(default=4, ge=1, le=15)
    """Bits before the binary point, sign included."""
    fraction_bits: int = Field(default=12, ge=0, le=15)
    """Bits after it."""
    rounding: Literal["truncate", "floor", "round"] = "truncate"
    """How the integer part is taken from a fixed-point number."""
    scale: float = Field(default=1.0, ge=2**-10, le=2**10)
    """Q and K are multiplied by it before they are rounded, and scores divided by its square after."""
    importance: Literal["absolute", "signed"] = "absolute"
    """Whether blocks are ranked by the sum of magnitudes of their integer scores or by the sum itself."""
    center_keys: Literal["none", "dynamic"] = "none"
    """``dynamic`` takes the mean key of the sequence from every key, which softmax does not see."""
    pruned_score: Literal["excluded", "zero", "zero_in_denominator"] = "excluded"
    """What softmax sees of a pruned block: nothing, a score of 0, or a score of 0 whose V is skipped."""
    rho_b: float = Field(default=0.0, gt=-1, lt=1)
    """Row threshold of block importance, between minimum (-1), mean (0) and maximum (1)."""
    tau_h: float = Field(default=0.0, ge=0)
    """A head whose mean block importance (absolute) is below it is pruned."""
    approximation: bool = True
    """Whether the product of the fractions is dropped."""
    exponential: Literal["polynomial", "exact"] = "polynomial"
    """A polynomial of second order with range reduction, as hardware has it, or the exact one."""
    block_ratio: float | None = Field(default=None, ge=0, lt=1)
    """Share of blocks pruned when values are off (a seeded mask, so named in the output); 0 if only heads are named."""
    head_ratio: float | None = Field(default=None, ge=0, lt=1)
    """Likewise of heads; 0 if only blocks are named."""

    @model_validator(mode="after")
    def _width(self) -> "Hdp":
        width = self.integer_bits + self.fraction_bits
        if width > 16:
            raise ValueError(f"integer_bits + fraction_bits is {width}; operands have at most 16 bits")
        return self


class Defaults(Spec):
    """Options that a workload asks for, as trained weights do; ``--set`` has the last word."""

    mapping: Mapping = Mapping()
    tile_wise: TileWise = TileWise()
    element_wise: ElementWise = ElementWise()
    vector_wise: VectorWise = VectorWise()
    block_wise: BlockWise = BlockWise()
    n_m: NM = NM()
    tile_element_wise: TileElementWise = TileElementWise()
    tile_vector_wise: TileVectorWise = TileVectorWise()
    hdp: Hdp = Hdp()
