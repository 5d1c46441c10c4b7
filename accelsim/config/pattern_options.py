"""Options of the schemes that run a sparsity pattern: the pattern, and how its products are executed.

`TileWise` is older than the others and spells out its fields; the rest are those of a pattern
(`accelsim.config.patterns`) with what its execution adds.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from accelsim.config.base import Spec
from accelsim.config.patterns import (
    BlockWisePattern,
    ElementWisePattern,
    NMPattern,
    Pattern,
    TileElementWisePattern,
    TileVectorWisePattern,
    TileWisePattern,
    VectorWisePattern,
)

Layout = Literal["transposed", "row_major"]


class TileWise(Spec):
    """Tile-wise sparsity: columns pruned first, then rows in each tile of `granularity` kept columns."""

    sparsity: float = Field(default=0.75, ge=0, lt=1)
    """Share of weights pruned; per dimension 1 - sqrt(1 - sparsity)."""
    granularity: int = Field(default=128, gt=0)
    """Kept columns per tile (G)."""
    threshold: Literal["global", "per_layer"] = "per_layer"
    """Whether one threshold ranks the units of all layers or each layer has its own."""
    stages: int = Field(default=2, ge=1, le=2)
    """2: columns go first, then rows of each tile; 1: rows of each tile alone, tiles being cut every G columns."""
    uneven: float = Field(default=0.0, ge=0, le=1)
    """How far seeded masks (values off) spread the tiles' numbers of rows around their mean, as a share of what it
    leaves room for. Thresholds of real weights give such tiles; 0 is the published benchmark's balance."""
    strategy: Literal["merged", "padded_batch", "stream"] = "merged"
    """One launch of all tiles, one batched launch padded to the longest tile, or a launch and stream for each tile."""
    streams: int = Field(default=32, gt=0, le=128)
    """Streams that ``stream`` deals the launches to."""
    activations: Layout = "transposed"
    """Layout of the gathered operand: with rows of A^T contiguous, or gathered element by element."""
    scatter: Literal["fused", "separate"] = "fused"
    """Whether thread blocks write to the columns that their tile names, or a kernel of its own moves them there."""

    @property
    def pattern(self) -> TileWisePattern:
        """The pattern alone."""
        names = ("sparsity", "granularity", "threshold", "stages")
        return TileWisePattern(**{name: getattr(self, name) for name in names})


class _OfPattern(Spec):
    @property
    def pattern(self) -> Pattern:
        """The pattern alone."""
        base: type[Pattern] = next(kind for kind in type(self).__mro__ if kind in _PATTERN_TYPES)
        return base.model_validate({name: getattr(self, name) for name in base.model_fields})

    @model_validator(mode="after")
    def _by_magnitude(self) -> Self:
        if getattr(self, "score", "magnitude") != "magnitude":
            raise ValueError(
                "runs have no gradients and rank by magnitude; prune with accelsim prune --gradients and run its masks "
                "(--no-values --masks)"
            )
        return self


class ElementWise(ElementWisePattern, _OfPattern):
    """Element-wise sparsity, as compressed sparse columns on CUDA cores."""

    activations: Layout = "transposed"
    """Layout of the gathered operand: with rows of A^T contiguous, or gathered element by element."""


class VectorWise(VectorWisePattern, _OfPattern):
    """Vector-wise sparsity on CUDA cores, which select activations in shared memory."""

    activations: Layout = "transposed"
    """Layout of A in memory. All of its rows are loaded, so that either is read in runs."""


class BlockWise(BlockWisePattern, _OfPattern):
    """Block-wise sparsity: tensor cores multiply the kept blocks."""

    activations: Layout = "row_major"
    """Layout of the gathered operand; a block wants as many neighbours as it has rows."""


_EXECUTION = """Where 2:4 runs: on sparse tensor cores, or decompressed: weights are loaded packed and multiplied as a
dense tile. Left out, sparse tensor cores run what they can, and the rest is decompressed."""


class NM(NMPattern, _OfPattern):
    """N:M sparsity: 2:4 on sparse tensor cores, others decompressed into dense tiles."""

    execution: Literal["sparse_tensor_core", "decompressed"] | None = Field(default=None, description=_EXECUTION)
    activations: Layout = "row_major"
    """Layout of A in memory, all of which is loaded."""

    @property
    def on_sparse_tensor_core(self) -> bool:
        """Whether sparse tensor cores are to run it."""
        return self.is_hardware and self.execution != "decompressed"

    @model_validator(mode="after")
    def _runs(self) -> Self:
        _demand_hardware(self.execution, self.is_hardware, f"{self.n}:{self.m}")
        return self


class TileElementWise(TileElementWisePattern, _OfPattern):
    """Tile-element-wise sparsity: tile-wise kernels, then one on CUDA cores that adds the restored elements."""

    strategy: Literal["merged", "padded_batch", "stream"] = "merged"
    """As of ``tile_wise``."""
    streams: int = Field(default=32, gt=0, le=128)
    """Streams that ``stream`` deals the launches to."""
    activations: Layout = "transposed"
    """Layout of the gathered operand, of both kernels."""
    scatter: Literal["fused", "separate"] = "fused"
    """As of ``tile_wise``."""


class TileVectorWise(TileVectorWisePattern, _OfPattern):
    """Tile-vector-wise sparsity: tile-wise kernels whose tiles are 2:4 along the rows that they keep."""

    execution: Literal["sparse_tensor_core", "decompressed"] | None = Field(default=None, description=_EXECUTION)
    strategy: Literal["merged", "stream"] = "merged"
    """One launch of all tiles, or a launch and stream for each tile."""
    streams: int = Field(default=32, gt=0, le=128)
    """Streams that ``stream`` deals the launches to."""
    activations: Layout = "transposed"
    """Layout of the gathered operand: with rows of A^T contiguous, or gathered element by element."""
    scatter: Literal["fused", "separate"] = "fused"
    """As of ``tile_wise``."""

    @property
    def on_sparse_tensor_core(self) -> bool:
        """Whether sparse tensor cores are to run it."""
        return self.is_hardware and self.execution != "decompressed"

    @model_validator(mode="after")
    def _runs(self) -> Self:
        _demand_hardware(self.execution, self.is_hardware, f"{self.keep} of {self.vector}")
        return self


def _demand_hardware(execution: str | None, is_hardware: bool, found: str) -> None:
    if execution == "sparse_tensor_core" and not is_hardware:
        raise ValueError(f"sparse tensor cores run 2:4 alone, not {found}; leave execution out, or say decompressed")


_PATTERN_TYPES = (
    ElementWisePattern,
    VectorWisePattern,
    BlockWisePattern,
    NMPattern,
    TileElementWisePattern,
    TileVectorWisePattern,
)

PatternOptions = ElementWise | VectorWise | BlockWise | NM | TileWise | TileElementWise | TileVectorWise

PATTERN_OPTIONS: dict[str, type[PatternOptions]] = {
    "element_wise": ElementWise,
    "vector_wise": VectorWise,
    "block_wise": BlockWise,
    "n_m": NM,
    "tile_wise": TileWise,
    "tile_element_wise": TileElementWise,
    "tile_vector_wise": TileVectorWise,
}
"""Options of every scheme that prunes weights, by its name, which is also their key."""
