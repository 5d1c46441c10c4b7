"""Specs of sparsity patterns: which weights of B[k, n] go, in what shapes, and how the rest is found.

`sparsity` is the share of all weights that goes, the *total*. What a pattern prunes in one of its dimensions or stages
follows from it and is a property of its own, so that the two cannot be taken for one another.
"""

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from accelsim.config.base import Spec

_ROUNDING = 1e-9
"""``(1 - 0.7) * 10`` is 2.9999999999999996; whole numbers within this of the next one are meant as it."""


def whole_share(density: float, units: int) -> int:
    """Whole units that a density leaves of `units`, rounded down: ``floor(density * units)``."""
    return math.floor(density * units + _ROUNDING)


class _Pattern(Spec):
    score: Literal["magnitude", "taylor"] = "magnitude"
    """Importance of a weight: ``|w|``, or ``(g w)^2`` with the gradients g that are given beside the weights."""


class _Ranked(_Pattern):
    sparsity: float = Field(default=0.75, ge=0, lt=1)
    """Share of weights pruned."""
    threshold: Literal["global", "per_layer"] = "per_layer"
    """Whether one threshold ranks the units of all layers or each layer has its own."""


class ElementWisePattern(_Ranked):
    """Single weights (EW, unstructured)."""

    kind: Literal["element_wise"] = "element_wise"

    @property
    def total_sparsity(self) -> float:
        """Share of all weights that is asked to go."""
        return self.sparsity


class VectorWisePattern(_Pattern):
    """Vectors along k that keep equally many weights each (VW). Every vector ranks its own; there is no threshold."""

    kind: Literal["vector_wise"] = "vector_wise"
    sparsity: float = Field(default=0.75, ge=0, lt=1)
    """Share of weights pruned, rounded so that a vector keeps a whole number: floor((1 - sparsity) vector)."""
    vector: int = Field(default=16, ge=2, le=256)
    """Weights of a vector."""

    @property
    def keep(self) -> int:
        """Weights that a vector keeps."""
        return whole_share(1.0 - self.sparsity, self.vector)

    @property
    def total_sparsity(self) -> float:
        """Share of all weights that goes: of whole weights per vector, so at least `sparsity`."""
        return 1.0 - self.keep / self.vector

    @model_validator(mode="after")
    def _keeps_something(self) -> "VectorWisePattern":
        if self.keep < 1:
            limit = 1.0 - 1.0 / self.vector
            raise ValueError(
                f"vectors of {self.vector} keep nothing at sparsity {self.sparsity:g}; at most {limit:g} is possible"
            )
        return self


class BlockWisePattern(_Ranked):
    """Whole blocks (BW), ranked by their l2 norm."""

    kind: Literal["block_wise"] = "block_wise"
    block_rows: int = Field(default=32, gt=0)
    """Rows (k) of a block."""
    block_columns: int = Field(default=32, gt=0)
    """Columns (n) of a block."""

    @property
    def total_sparsity(self) -> float:
        """Share of all weights that is asked to go."""
        return self.sparsity


class NMPattern(_Pattern):
    """At most n of every m weights along k (N:M). Its sparsity is 1 - n/m."""

    kind: Literal["n_m"] = "n_m"
    n: int = Field(default=2, ge=1)
    """Weights that a group keeps."""
    m: int = Field(default=4, ge=1, le=256)
    """Weights of a group."""

    @property
    def sparsity(self) -> float:
        """Share of weights pruned."""
        return 1.0 - self.n / self.m

    @property
    def total_sparsity(self) -> float:
        """Share of all weights that goes."""
        return self.sparsity

    @property
    def is_hardware(self) -> bool:
        """Whether sparse tensor cores run it: 2:4 alone."""
        return (self.n, self.m) == (2, 4)

    @model_validator(mode="after")
    def _fits(self) -> "NMPattern":
        if self.n > self.m:
            raise ValueError(f"{self.n}:{self.m} keeps more weights than a group has; n is at most m")
        return self


class _Tiled(_Ranked):
    granularity: int = Field(default=128, gt=0)
    """Kept columns of a tile (G)."""
    stages: int = Field(default=2, ge=1, le=2)
    """2: columns go first, then rows of each tile; 1: rows of each tile alone, tiles being cut every G columns."""


class TileWisePattern(_Tiled):
    """Columns, then rows in every tile of G kept columns (TW)."""

    kind: Literal["tile_wise"] = "tile_wise"
    sparsity_of: Literal["total", "per_dimension"] = "total"
    """What `sparsity` says: of all weights, or of the columns and again of each tile's rows (0.5 is 0.75 in total)."""
    apriori_blocks: int = Field(default=0, ge=0)
    """Column blocks from the head of a ranked list that are pruned before any other column; needs two stages."""
    apriori_width: int = Field(default=64, gt=0)
    """Original columns of such a block."""

    @property
    def total_sparsity(self) -> float:
        """Share of all weights that is asked to go."""
        both = self.sparsity_of == "per_dimension" and self.stages == 2
        return 1.0 - (1.0 - self.sparsity) ** 2 if both else self.sparsity

    @model_validator(mode="after")
    def _has_columns_to_prune(self) -> "TileWisePattern":
        if self.apriori_blocks and self.stages == 1:
            raise ValueError("apriori_blocks choose columns to prune first; with stages: 1 no column is pruned")
        return self


class TileElementWisePattern(_Tiled):
    """Tile-wise at sparsity + delta, and the share delta of single weights restored (TEW)."""

    kind: Literal["tile_element_wise"] = "tile_element_wise"
    delta: float = Field(default=0.05, gt=0, lt=1)
    """Share of all weights that is restored after tile-wise pruning."""

    @property
    def tile_sparsity(self) -> float:
        """Share of all weights that goes before any is restored."""
        return self.sparsity + self.delta

    @property
    def total_sparsity(self) -> float:
        """Share of all weights that is asked to go."""
        return self.sparsity

    @model_validator(mode="after")
    def _leaves_tiles(self) -> "TileElementWisePattern":
        if self.tile_sparsity >= 1.0:
            raise ValueError(f"sparsity + delta is {self.tile_sparsity:g}; tiles must keep something, so it is below 1")
        return self


class TileVectorWisePattern(_Tiled):
    """Tile-wise, then vectors of 4 (2:4) or 16 along the rows that each tile has left (TVW-4, TVW-16)."""

    kind: Literal["tile_vector_wise"] = "tile_vector_wise"
    vector: int = Field(default=4, ge=4, le=16)
    """4, which sparse tensor cores run, or 16."""
    granularity: int = Field(default=64, gt=0)
    """Kept columns of a tile (G)."""
    stages: int = Field(default=1, ge=1, le=2)
    """1, as published: rows of each tile alone, tiles being cut every G columns; 2: columns go first."""

    @property
    def tile_sparsity(self) -> float:
        """Share that tile-wise pruning takes: 1 - 2 (1 - s) for vectors of 4, 1 - sqrt(1 - s) for those of 16."""
        if self.vector == 4:
            return max(0.0, 1.0 - 2.0 * (1.0 - self.sparsity))
        return 1.0 - math.sqrt(1.0 - self.sparsity)

    @property
    def keep(self) -> int:
        """Weights that a vector keeps: 2 of 4 (3 of 4 below half sparsity), or floor((1 - tile sparsity) 16) of 16."""
        if self.vector == 4:
            return 2 if self.sparsity >= 0.5 else 3
        return whole_share(1.0 - self.tile_sparsity, self.vector)

    @property
    def total_sparsity(self) -> float:
        """Share of all weights that goes. Below 0.5, vectors of 4 give 0.25 whatever was asked."""
        return 1.0 - (1.0 - self.tile_sparsity) * self.keep / self.vector

    @property
    def is_hardware(self) -> bool:
        """Whether sparse tensor cores run it: 2 of 4."""
        return (self.keep, self.vector) == (2, 4)

    @model_validator(mode="after")
    def _has_vectors(self) -> "TileVectorWisePattern":
        if self.vector not in (4, 16):
            raise ValueError(f"vector is {self.vector}; allowed: 4, 16")
        if self.keep < 1:
            raise ValueError(f"vectors of 16 keep nothing at sparsity {self.sparsity:g}; at most 0.996 is possible")
        return self


Pattern = Annotated[
    ElementWisePattern
    | VectorWisePattern
    | BlockWisePattern
    | NMPattern
    | TileWisePattern
    | TileElementWisePattern
    | TileVectorWisePattern,
    Field(discriminator="kind"),
]

PATTERNS: dict[str, type[Pattern]] = {
    "element_wise": ElementWisePattern,
    "vector_wise": VectorWisePattern,
    "block_wise": BlockWisePattern,
    "n_m": NMPattern,
    "tile_wise": TileWisePattern,
    "tile_element_wise": TileElementWisePattern,
    "tile_vector_wise": TileVectorWisePattern,
}
"""Spec of every pattern by its kind."""
