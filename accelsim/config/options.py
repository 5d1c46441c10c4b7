"""Options of a run beside hardware and workload: mapping, patterns of weights, HDP."""

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, model_validator

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
from accelsim.errors import MappingError

__all__ = ["HDP_PRESETS", "Defaults", "Hdp", "Mapping", "TileWise"]


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
    """Order of output tiles: down the columns, along the rows, or in square groups of `swizzle_width` tiles (along the
    rows for blocks and single weights in tiles of less than 128 columns)."""
    swizzle_width: int = Field(default=8, gt=0)
    """Side of such a group."""
    shared_layout: Literal["swizzled", "padded", "linear"] = "swizzled"
    """Placement of operand tiles in shared memory; ``linear`` meets in banks."""
    max_events: int = Field(default=40_000, ge=100)
    """K-steps are joined into chunks so that a launch has about so many events (50 times as many of block-wise
    weights); at most 16 to a chunk."""
    attention: Literal["unfused", "fused"] = "unfused"
    """Whether a GPU computes attention as two products with a softmax between them, which writes scores to memory, or
    as one kernel of its library's `fused_attention`."""
    attention_stack: str | None = None
    """Stack of the library that a fused kernel is taken from; left out, the library's default."""


LAYER_THRESHOLDS = ("rho_b", "tau_h")
"""Keys of `Hdp` that may list a number for each attention layer."""

HDP_PRESETS: dict[str, dict[str, str]] = {
    "paper": {"importance": "absolute", "center_keys": "none", "pruned_score": "excluded"},
    "robust": {"importance": "signed", "center_keys": "dynamic", "pruned_score": "zero_in_denominator"},
}
"""Switches that a preset of HDP stands for. The robust one is what `accelsim.explore.hdp_preset` chose."""


def _of_layers(given: object, check: Callable[[float], None]) -> float | list[float]:
    """A number, or one for each attention layer, that the check has nothing against."""
    if isinstance(given, list) and given:
        return [_of_layer(number, check) for number in given]
    return _of_layer(given, check)


def _of_layer(given: object, check: Callable[[float], None]) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ValueError(f"needs a number, or a list of one for each attention layer, not {given!r}")
    check(float(given))
    return float(given)


def _row_threshold(number: float) -> None:
    if not number > -1:
        raise ValueError(f"must be greater than -1, not {number:g}")
    if not number < 1:
        raise ValueError(f"must be less than 1, not {number:g}")


def _head_threshold(number: float) -> None:
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"must be at least 0, not {number:g}")


RowThresholds = Annotated[float | list[float], PlainValidator(lambda given: _of_layers(given, _row_threshold))]
HeadThresholds = Annotated[float | list[float], PlainValidator(lambda given: _of_layers(given, _head_threshold))]


class Hdp(Spec):
    """Hybrid dynamic pruning. What the paper's text could not confirm is a switch, its default the literal reading."""

    preset: Literal["none", "paper", "robust"] = "none"
    """Sets `importance`, `center_keys` and `pruned_score` where they are not given beside it: ``paper`` to the literal
    reading, ``robust`` to what lost least at worst on calibration data."""
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
    center_keys: Literal["none", "dynamic", "static", "first_input"] = "none"
    """Which mean key is taken from every key, which softmax does not see: that of the sequence (``dynamic``), that of
    `key_means` (``static``), or that of the first input of the batch (``first_input``)."""
    key_means: str | None = None
    """File (.npz) of mean keys, an array [heads, head_dim] under the name of each attention, for ``static``."""
    pruned_score: Literal["excluded", "zero", "zero_in_denominator"] = "excluded"
    """What softmax sees of a pruned block: nothing, a score of 0, or a score of 0 whose V is skipped."""
    selection: Literal["threshold", "top_k"] = "threshold"
    """Whether a block row keeps what reaches its threshold, or a fixed number of its most important blocks."""
    rho_b: RowThresholds = 0.0
    """Row threshold of block importance, between minimum (-1), mean (0) and maximum (1), the ends left out. A list has
    one for each attention layer."""
    top_k_ratio: float = Field(default=0.5, ge=0, lt=1)
    """Share of each block row that ``top_k`` prunes; the number kept is rounded up."""
    tau_h: HeadThresholds = 0.0
    """A head whose mean block importance (absolute) is below it is pruned; at least 0. A list has one for each
    attention layer."""
    tau_normalised: bool = True
    """Whether `tau_h` is compared with the mean over blocks, or with their sum, which grows with the length squared."""
    guard: Literal["none", "head", "input"] = "none"
    """What falls back to dense attention where a decision is uncertain: nothing, a head whose importance lies near
    `tau_h` or many of whose blocks are pruned only just, or an input whose two largest outputs lie near each other."""
    guard_margin: float = Field(default=0.1, ge=0, lt=1e6)
    """What is near: for ``head`` a share, of `tau_h` and of the range from the least to the most important block of a
    row; for ``input`` a difference of outputs."""
    guard_share: float = Field(default=0.5, ge=0, le=1)
    """A head falls back when more than this share of the blocks that are kept or near it is pruned."""
    approximation: bool = True
    """Whether the product of the fractions is dropped."""
    exponential: Literal["polynomial", "exact"] = "polynomial"
    """A polynomial of second order with range reduction, as hardware has it, or the exact one."""
    block_ratio: float | None = Field(default=None, ge=0, lt=1)
    """Share of blocks pruned when values are off (a seeded mask, so named in the output); 0 if only heads are named."""
    head_ratio: float | None = Field(default=None, ge=0, lt=1)
    """Likewise of heads; 0 if only blocks are named."""

    @model_validator(mode="before")
    @classmethod
    def _of_preset(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("preset"), str):
            return HDP_PRESETS.get(data["preset"], {}) | data
        return data

    @model_validator(mode="after")
    def _together(self) -> "Hdp":
        width = self.integer_bits + self.fraction_bits
        if width > 16:
            raise ValueError(f"integer_bits + fraction_bits is {width}; operands have at most 16 bits")
        if self.center_keys == "static" and self.key_means is None:
            raise ValueError(
                "center_keys static needs key_means, a .npz with an array [heads, head_dim] under the name of each "
                "attention (accelsim.explore.hdp_operands.calibrate_key_means writes one); dynamic and first_input do "
                "without"
            )
        return self

    def switches(self, layer: int) -> dict[str, Any]:
        """Arguments of `accelsim.kernels.hdp.hdp_attention` for the attention layer of this index, but mean keys.

        Raises
        ------
        MappingError
            When `rho_b` or `tau_h` lists thresholds of fewer layers.
        """
        of_layer = {key: self._of(key, layer) for key in LAYER_THRESHOLDS}
        beside = {"preset", "key_means", "block_ratio", "head_ratio", "guard", "guard_margin", "guard_share"}
        center = "static" if self.center_keys == "first_input" else self.center_keys
        guard = {"guard_margin": self.guard_margin, "guard_share": self.guard_share} if self.guard == "head" else {}
        return self.model_dump(exclude=beside) | {"center_keys": center} | of_layer | guard

    def _of(self, key: str, layer: int) -> float:
        given: float | list[float] = getattr(self, key)
        if not isinstance(given, list):
            return given
        if layer >= len(given):
            raise MappingError(f"hdp.{key} lists {len(given)} thresholds; attention layer {layer} has none")
        return given[layer]


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
