"""Products of matrices, thread block by thread block as a plan cuts them: dense and tile-wise.

Operands are copied once into panels that the micro-kernel reads in order. Output tiles are then shared among threads,
each tile to one thread, which adds up all thread blocks of that tile (split-K) in order of k. So results do not depend
on the number of threads. Plain threads serve here instead of Numba's parallel loops: the kernels release the GIL,
callers in several threads do not disturb each other, and the process may still fork.
"""

from typing import Any, Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from accelsim.kernels.microkernel import COLUMNS, ROWS
from accelsim.kernels.output_tiles import (
    DEPTH,
    Blocks,
    OutputTiles,
    accumulator_type,
    check,
    check_blocks,
    gather_rows,
    multiply_panels,
    operand,
    original_index,
    pack_a,
    sort_tiles,
    tile_size,
)
from accelsim.kernels.panels import Strips, aligned_empty, copy, pack, pack_columns, share

__all__ = ["Blocks", "PackedWeights", "block_product", "tile_wise_product"]

Array = NDArray[Any]
IntArray = NDArray[np.int64]


class PackedWeights(Protocol):
    """Tile-wise weights of a matrix [k, n]; `accelsim.pruning.packing.TileWiseWeights` says what each array holds."""

    @property
    def k(self) -> int: ...
    @property
    def n(self) -> int: ...
    @property
    def row_start(self) -> IntArray: ...
    @property
    def column_start(self) -> IntArray: ...
    @property
    def row_offset(self) -> NDArray[np.int32]: ...
    @property
    def column_offset(self) -> NDArray[np.int32]: ...
    @property
    def values(self) -> Array | None: ...
    @property
    def value_start(self) -> IntArray: ...


@njit(cache=True, nogil=True)
def _multiply_dense(
    first: int, last: int, tiles: OutputTiles, a: Array, a_depth: int, b: Array, tile: Array, out: Array
) -> None:
    """Computes output tiles first:last into `out`, by way of `tile`, which has whole panels."""
    for number in range(first, last):
        lead = tiles.first_block[number]
        rows, columns = tiles.m1[lead] - tiles.m0[lead], tiles.n1[lead] - tiles.n0[lead]
        height, width = -(-rows // ROWS) * ROWS, -(-columns // COLUMNS) * COLUMNS
        tile[: height * width] = 0
        for block in range(lead, tiles.first_block[number + 1]):
            b_stride = tiles.b_depth[block] * COLUMNS
            for step in range(tiles.k0[block], tiles.k1[block], DEPTH):
                depth = min(DEPTH, tiles.k1[block] - step)
                a_start, b_start = tiles.a_panel[block] + step * ROWS, tiles.b_panel[block] + step * COLUMNS
                multiply_panels(a, a_start, a_depth * ROWS, b, b_start, b_stride, depth, tile, height, width)
        for row in range(rows):
            target = out[tiles.batch[lead], tiles.m0[lead] + row]
            copy(columns, tile, row * width, target, tiles.n0[lead])


@njit(cache=True, nogil=True)
def _multiply_tile_wise(
    first: int, last: int, tiles: OutputTiles, a: Array, a_depth: int, b: Array, kept_row: Array, kept_column: Array,
    gathered: Array, tile: Array, out: Array,
) -> None:  # fmt: skip
    """Like `_multiply_dense`; A's columns are gathered by kept row, results scattered to original columns."""
    for number in range(first, last):
        lead = tiles.first_block[number]
        rows, columns = tiles.m1[lead] - tiles.m0[lead], tiles.n1[lead] - tiles.n0[lead]
        height, width = -(-rows // ROWS) * ROWS, -(-columns // COLUMNS) * COLUMNS
        tile[: height * width] = 0
        for block in range(lead, tiles.first_block[number + 1]):
            b_stride = tiles.b_depth[block] * COLUMNS
            for step in range(tiles.k0[block], tiles.k1[block], DEPTH):
                depth = min(DEPTH, tiles.k1[block] - step)
                first_row = tiles.row_start[block] + step
                kept = kept_row[first_row : first_row + depth]
                gather_rows(a, tiles.a_panel[block], a_depth, height // ROWS, kept, gathered)
                b_start = tiles.b_panel[block] + step * COLUMNS
                multiply_panels(gathered, 0, depth * ROWS, b, b_start, b_stride, depth, tile, height, width)
        for row in range(rows):
            target = out[tiles.batch[lead], tiles.m0[lead] + row]
            for column in range(columns):
                target[kept_column[tiles.n0[lead] + column]] = tile[row * width + column]


def block_product(a: Array, b: Array, blocks: Blocks, *, threads: int | None = None) -> Array:
    """Output of a dense plan: every thread block's product, added into its output tile.

    Parameters
    ----------
    a : array of float32 or int8, [batch, m, k]
    b : array of the same type, [batch, k, n] or [1, k, n] (shared by the batch)
    blocks : Blocks
        Thread blocks in any order. Blocks of one output tile (split-K) have equal m0, m1, n0, n1; different output
        tiles must not overlap.
    threads : int, optional
        Default: Numba's number of threads.

    Returns
    -------
    array of float32 or int32, [batch, m, n]
        Sums in float32 by fused multiply-add where the CPU has one; int8 exactly, modulo 2^32. Zero where no block is.

    Raises
    ------
    ValueError
        When shapes or types do not match, or a block leaves the operands.
    """
    a, b = operand(a, "a"), operand(b, "b")
    check(a.dtype == b.dtype, f"operands differ in type: {a.dtype} and {b.dtype}")
    batch, m, k = a.shape
    n = b.shape[2]
    check(b.shape[0] in (1, batch) and b.shape[1] == k, f"shapes do not match: {a.shape} and {b.shape}")
    check_blocks(blocks, batch, m, n, k)
    a_panels, a_panel = pack_a(a, blocks, threads)
    depth = np.full(len(blocks.m0), k, np.int64)
    start = (blocks.batch * k * n if b.shape[0] > 1 else 0) + blocks.n0
    strips = Strips(start, np.full(len(depth), n, np.int64), blocks.n1 - blocks.n0, depth, start)
    b_panels, b_panel = pack(pack_columns, COLUMNS, b, strips, threads)
    tiles = sort_tiles(blocks, a_panel, b_panel, depth, np.zeros_like(depth))
    height, width = tile_size(blocks)
    out = np.zeros((batch, m, n), accumulator_type(a.dtype))

    def work(first: int, last: int) -> None:
        tile = aligned_empty(height * width, out.dtype)
        _multiply_dense(first, last, tiles, a_panels, k, b_panels, tile, out)

    share(work, len(tiles.first_block) - 1, threads)
    return out


def tile_wise_product(a: Array, weights: PackedWeights, blocks: Blocks, *, threads: int | None = None) -> Array:
    """Output of a tile-wise plan: A's columns gathered by kept row, times packed weights, scattered by kept column.

    Parameters
    ----------
    a : array of float32 or int8, [batch, m, k]
    weights : PackedWeights
        With values (float32 or int8; whole numbers of int8 when `a` is int8).
    blocks : Blocks
        Thread blocks in any order, each within one weight tile. Several may share a weight tile, in columns or in k.
    threads : int, optional
        Default: Numba's number of threads.

    Returns
    -------
    array of float32 or int32, [batch, m, n]
        As of `block_product`; pruned columns are zero.

    Raises
    ------
    ValueError
        When shapes or types do not match, weights have no values, or a block or offset leaves the operands.
    """
    a = operand(a, "a")
    batch, m, k = a.shape
    check(k == weights.k, f"A has {k} columns, the weights have {weights.k} rows")
    values = _packed_values(weights, a.dtype == np.int8)
    kept_row = original_index(weights.row_offset, weights.row_start, k, "row")
    whole = np.array([0, len(weights.column_offset)])
    kept_column = original_index(weights.column_offset, whole, weights.n, "column")
    tile_of = blocks.weight_tile
    check(np.all((tile_of >= 0) & (tile_of < len(weights.row_start) - 1)), "a thread block has no weight tile")
    first_column = weights.column_start[tile_of]
    columns, rows = weights.column_start[tile_of + 1] - first_column, np.diff(weights.row_start)[tile_of]
    check_blocks(blocks, batch, m, len(kept_column), rows)
    inside = np.all((blocks.n0 >= first_column) & (blocks.n1 <= first_column + columns))
    check(inside, "a thread block leaves the columns of its weight tile")
    a_panels, a_panel = pack_a(a, blocks, threads)
    start = weights.value_start[tile_of] + blocks.n0 - first_column
    strips = Strips(start, columns, blocks.n1 - blocks.n0, rows, start)
    b_panels, b_panel = pack(pack_columns, COLUMNS, values, strips, threads)
    tiles = sort_tiles(blocks, a_panel, b_panel, rows, weights.row_start[tile_of])
    height, width = tile_size(blocks)
    out = np.zeros((batch, m, weights.n), accumulator_type(a.dtype))

    def work(first: int, last: int) -> None:
        tile, gathered = aligned_empty(height * width, out.dtype), aligned_empty(height * DEPTH)
        arrays = a_panels, k, b_panels, kept_row, kept_column, gathered, tile, out
        _multiply_tile_wise(first, last, tiles, *arrays)

    share(work, len(tiles.first_block) - 1, threads)
    return out


def _packed_values(weights: PackedWeights, integer: bool) -> Array:
    """Values of the weights, after a look at the arrays that index them."""
    check(weights.values is not None, "the weights have a mask only, no values")
    values = np.ascontiguousarray(weights.values)
    check(values.dtype in (np.float32, np.int8), f"weights must be float32 or int8, not {values.dtype}")
    size = np.diff(weights.row_start) * np.diff(weights.column_start)
    check(np.array_equal(np.diff(weights.value_start), size), "value_start does not match rows x columns of the tiles")
    check(len(values) == weights.value_start[-1], f"{len(values)} values instead of {weights.value_start[-1]}")
    check(len(weights.row_offset) == weights.row_start[-1], "row_offset and row_start do not match")
    check(len(weights.column_offset) == weights.column_start[-1], "column_offset and column_start do not match")
    if integer:
        whole = values == np.clip(np.rint(values), -128, 127)
        check(np.all(whole), "weights of an int8 product must be whole numbers from -128 to 127")
    return values
