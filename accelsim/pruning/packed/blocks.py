"""Block-wise weights: dense blocks, block column after block column.

This is block compressed sparse rows (BSR) of the transposed weights, or block compressed sparse columns of B itself: a
thread block computes columns of C, so it looks up which block rows its block column keeps.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import OperandError
from accelsim.pruning.masks import BlockWiseMask
from accelsim.pruning.packed.checks import INDEX_BYTES, check_shape, known, starts


@dataclass(frozen=True)
class BlockWeights:
    """Weights B[k, n] of which whole blocks of `block_rows` x `block_columns` are kept.

    A block column is a tile of the product: its columns are original ones, its rows those of its kept blocks, one block
    after another. Blocks at the far edges hold zeros beyond k and n, which are stored but not multiplied.
    """

    k: int
    n: int
    block_rows: int
    block_columns: int
    block_start: NDArray[np.int64]
    """[tiles + 1] where the blocks of each block column begin."""
    block_row: NDArray[np.int32]
    """[blocks] block row of each block, ascending within its block column."""
    values: NDArray[np.float32] | None
    """[blocks, block_rows, block_columns]; None when only the mask is known."""

    @property
    def blocks(self) -> int:
        """Blocks that are kept."""
        return len(self.block_row)

    @property
    def tiles(self) -> int:
        """Number of block columns."""
        return len(self.block_start) - 1

    @property
    def column_start(self) -> NDArray[np.int64]:
        """[tiles + 1] first column of each block column."""
        return np.minimum(np.arange(self.tiles + 1) * self.block_columns, self.n)

    @property
    def column_count(self) -> NDArray[np.int64]:
        """[tiles] columns of each block column."""
        return np.diff(self.column_start)

    @property
    def block_height(self) -> NDArray[np.int64]:
        """[blocks] rows of each block within k."""
        return np.minimum(self.block_rows, self.k - self.block_row.astype(np.int64) * self.block_rows)

    @property
    def row_start(self) -> NDArray[np.int64]:
        """[tiles + 1] first kept row of each block column, counted over all of them."""
        return starts(self.block_height)[self.block_start]

    @property
    def row_count(self) -> NDArray[np.int64]:
        """[tiles] kept rows of each block column."""
        return np.diff(self.row_start)

    @property
    def row_offset(self) -> NDArray[np.int32]:
        """Original minus compact index of each kept row, block column after block column."""
        height = self.block_height
        first = np.repeat(starts(height)[:-1], height)
        within = np.arange(len(first)) - first
        original = np.repeat(self.block_row.astype(np.int64) * self.block_rows, height) + within
        compact = np.arange(len(first)) - np.repeat(self.row_start[:-1], self.row_count)
        return (original - compact).astype(np.int32)

    @property
    def kept(self) -> int:
        """Weights that are kept."""
        return int(self.row_count @ self.column_count)

    def value_bytes(self, element_bytes: int) -> int:
        """Bytes of the values, whole blocks at the edges too."""
        return self.blocks * self.block_rows * self.block_columns * element_bytes

    @property
    def index_bytes(self) -> int:
        """Bytes of the block rows and of the pointers to each block column."""
        return INDEX_BYTES * (self.blocks + self.tiles + 1)

    def unpack(self) -> NDArray[np.float32]:
        """Dense weights [k, n] with zeros where they are pruned.

        Raises
        ------
        OperandError
            If only the mask was packed.
        """
        values = known(self.values)
        rows = -(-self.k // self.block_rows)
        grid = np.zeros((rows, self.tiles, self.block_rows, self.block_columns), np.float32)
        grid[self.block_row, np.repeat(np.arange(self.tiles), np.diff(self.block_start))] = values
        whole = grid.transpose(0, 2, 1, 3).reshape(rows * self.block_rows, self.tiles * self.block_columns)
        return np.ascontiguousarray(whole[: self.k, : self.n])


def pack_block_wise(weights: NDArray[Any] | None, mask: BlockWiseMask) -> BlockWeights:
    """Pack the kept blocks of weights.

    Parameters
    ----------
    weights : array [k, n] or None
        None packs the mask alone. Nothing is read of a pruned block, which may even hold NaN.
    mask : BlockWiseMask

    Returns
    -------
    BlockWeights

    Raises
    ------
    OperandError
        For weights of another shape, or a mask that does not cover k and n with blocks.
    """
    check_shape(weights, mask.k, mask.n)
    height, width = mask.block_rows, mask.block_columns
    grid = -(-mask.k // height), -(-mask.n // width)
    if mask.blocks.shape != grid:
        raise OperandError(
            f"[{mask.k}, {mask.n}] has {grid} blocks of {height} x {width}, its mask {mask.blocks.shape}"
        )
    column, row = np.nonzero(mask.blocks.T)
    values = None
    if weights is not None:
        whole = np.zeros((grid[0] * height, grid[1] * width), np.float32)
        whole[: mask.k, : mask.n] = np.where(mask.to_dense(), weights, 0)
        values = np.ascontiguousarray(whole.reshape(grid[0], height, grid[1], width).transpose(0, 2, 1, 3)[row, column])
    return BlockWeights(
        k=mask.k,
        n=mask.n,
        block_rows=height,
        block_columns=width,
        block_start=starts(np.bincount(column, minlength=grid[1])),
        block_row=row.astype(np.int32),
        values=values,
    )
