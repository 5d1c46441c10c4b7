"""What a layer's weights B[k, n] keep, one class for each shape of pattern. `TileWiseMask` is in tile_wise.py.

All have `k`, `n`, `kept` (weights), `sparsity` (share pruned) and `to_dense()` (bool array [k, n]).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.pruning.tile_wise import TileWiseMask

Dense = NDArray[np.bool_]


@dataclass(frozen=True)
class ElementWiseMask:
    """Any weights."""

    dense: Dense
    """[k, n], true where a weight is kept."""

    @property
    def k(self) -> int:
        """Rows."""
        return int(self.dense.shape[0])

    @property
    def n(self) -> int:
        """Columns."""
        return int(self.dense.shape[1])

    @property
    def kept(self) -> int:
        """Weights that are kept."""
        return int(np.count_nonzero(self.dense))

    @property
    def sparsity(self) -> float:
        """Share of weights that are pruned."""
        return 1.0 - self.kept / self.dense.size

    def to_dense(self) -> Dense:
        """Bool array [k, n], true where a weight is kept."""
        return self.dense


@dataclass(frozen=True)
class GroupMask(ElementWiseMask):
    """At most `keep` of every `group` weights along k: vector-wise and N:M. The last group may be shorter."""

    group: int
    keep: int


@dataclass(frozen=True)
class BlockWiseMask:
    """Whole blocks of `block_rows` x `block_columns`; those at the far edges may be smaller."""

    k: int
    n: int
    block_rows: int
    block_columns: int
    blocks: Dense
    """[ceil(k / block_rows), ceil(n / block_columns)], true where a block is kept."""

    @property
    def kept(self) -> int:
        """Weights that are kept."""
        return int(_sizes(self.k, self.block_rows) @ self.blocks @ _sizes(self.n, self.block_columns))

    @property
    def sparsity(self) -> float:
        """Share of weights that are pruned."""
        return 1.0 - self.kept / (self.k * self.n)

    def to_dense(self) -> Dense:
        """Bool array [k, n], true where a weight is kept."""
        rows = np.repeat(self.blocks, _sizes(self.k, self.block_rows), axis=0)
        return np.repeat(rows, _sizes(self.n, self.block_columns), axis=1)


@dataclass(frozen=True)
class TileElementWiseMask:
    """Tiles, and single weights outside them that were restored."""

    tiles: TileWiseMask
    restored: Dense
    """[k, n], true where a weight is kept that the tiles do not hold."""

    @property
    def k(self) -> int:
        """Rows."""
        return self.tiles.k

    @property
    def n(self) -> int:
        """Columns."""
        return self.tiles.n

    @property
    def kept(self) -> int:
        """Weights that are kept."""
        return self.tiles.kept + int(np.count_nonzero(self.restored))

    @property
    def sparsity(self) -> float:
        """Share of weights that are pruned."""
        return 1.0 - self.kept / (self.k * self.n)

    def to_dense(self) -> Dense:
        """Bool array [k, n], true where a weight is kept."""
        return self.tiles.to_dense() | self.restored


@dataclass(frozen=True)
class TileVectorWiseMask:
    """Tiles, and in each of their columns at most `keep` of every `group` rows *that the tile keeps*."""

    tiles: TileWiseMask
    group: int
    keep: int
    inner: tuple[Dense, ...]
    """For each tile [its rows, its columns]: true where a weight is kept. Row i is the tile's i-th kept row."""

    @property
    def k(self) -> int:
        """Rows."""
        return self.tiles.k

    @property
    def n(self) -> int:
        """Columns."""
        return self.tiles.n

    @property
    def kept(self) -> int:
        """Weights that are kept."""
        return sum(int(np.count_nonzero(part)) for part in self.inner)

    @property
    def sparsity(self) -> float:
        """Share of weights that are pruned."""
        return 1.0 - self.kept / (self.k * self.n)

    def to_dense(self) -> Dense:
        """Bool array [k, n], true where a weight is kept."""
        mask = np.zeros((self.k, self.n), dtype=np.bool_)
        for rows, columns, inner in zip(self.tiles.rows, self.tiles.columns, self.inner, strict=True):
            mask[np.ix_(rows, columns)] = inner
        return mask


Mask = ElementWiseMask | GroupMask | BlockWiseMask | TileWiseMask | TileElementWiseMask | TileVectorWiseMask


def _sizes(length: int, block: int) -> NDArray[np.int64]:
    """Extent of each block along one dimension; the last takes what is left."""
    edges = np.append(np.arange(0, length, block), length)
    return np.diff(edges).astype(np.int64)
