"""Products with block-wise weights: the dense micro-kernel on the blocks that are kept."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from accelsim.kernels.microkernel import COLUMNS, ROWS
from accelsim.kernels.output_tiles import (
    DEPTH,
    Array,
    Blocks,
    IntArray,
    OutputTiles,
    accumulator_type,
    check,
    multiply_panels,
    operand,
    pack_a,
    sort_tiles,
    tile_size,
)
from accelsim.kernels.panels import Strips, aligned_empty, copy, pack, pack_columns, share
from accelsim.kernels.sparse_formats import BlockForm, check_tiles, sparse_values


@njit(cache=True, nogil=True)
def _run_length(step: int, last: int, block_row: IntArray, first: int, height: int) -> int:
    """Rows from `step` on that follow one another in A too: to the end of a run of neighbouring blocks, or to `last`.

    At most DEPTH of them.
    """
    block = first + step // height
    end = (step // height + 1) * height
    while end < min(last, step + DEPTH) and block_row[block + 1] == block_row[block] + 1:
        block += 1
        end += height
    return min(end, last, step + DEPTH) - step


@njit(cache=True, nogil=True)
def _multiply_blocks(
    first: int, last: int, tiles: OutputTiles, a: Array, a_depth: int, b: Array, block_row: IntArray,
    block_height: int, tile: Array, out: Array,
) -> None:  # fmt: skip
    """Computes output tiles first:last into `out`. A panel of A holds the rows of a block one after another."""
    for number in range(first, last):
        lead = tiles.first_block[number]
        rows, columns = tiles.m1[lead] - tiles.m0[lead], tiles.n1[lead] - tiles.n0[lead]
        height, width = -(-rows // ROWS) * ROWS, -(-columns // COLUMNS) * COLUMNS
        tile[: height * width] = 0
        for block in range(lead, tiles.first_block[number + 1]):
            step, b_stride = tiles.k0[block], tiles.b_depth[block] * COLUMNS
            while step < tiles.k1[block]:
                depth = _run_length(step, tiles.k1[block], block_row, tiles.row_start[block], block_height)
                place = block_row[tiles.row_start[block] + step // block_height] * block_height + step % block_height
                a_start, b_start = tiles.a_panel[block] + place * ROWS, tiles.b_panel[block] + step * COLUMNS
                multiply_panels(a, a_start, a_depth * ROWS, b, b_start, b_stride, depth, tile, height, width)
                step += depth
        for row in range(rows):
            target = out[tiles.batch[lead], tiles.m0[lead] + row]
            copy(columns, tile, row * width, target, tiles.n0[lead])


def _block_rows(weights: BlockForm) -> NDArray[np.int64]:
    """Block row of every block, after a look at the arrays that index them."""
    rows, start = weights.block_row.astype(np.int64), weights.block_start
    check(weights.block_rows > 0 and weights.block_columns > 0, "a block must have rows and columns")
    check(len(start) == -(-weights.n // weights.block_columns) + 1, "block_start does not match n and the blocks")
    check(start[0] == 0 and start[-1] == len(rows) and bool(np.all(np.diff(start) >= 0)), "block_start is broken")
    inside = np.all((rows >= 0) & (rows * weights.block_rows < weights.k))
    check(inside, "a block row leads outside the matrix")
    ascending = np.diff(rows) > 0
    inner = start[(start > 0) & (start < len(rows))]
    ascending[inner - 1] = True
    check(np.all(ascending), "block rows must ascend within a block column")
    return rows


def block_sparse_product(a: Array, weights: BlockForm, blocks: Blocks, *, threads: int | None = None) -> Array:
    """Output of a plan with block-wise weights.

    Parameters
    ----------
    a : array of float32 or int8, [batch, m, k]
    weights : BlockForm
        With values (float32 or int8; whole numbers of int8 when `a` is int8).
    blocks : Blocks
        Thread blocks in any order, each within one block column (its `weight_tile`). n0 and n1 are original columns,
        k0 and k1 rows of the blocks that the block column keeps, one block after another.
    threads : int, optional
        Default: Numba's number of threads.

    Returns
    -------
    array of float32 or int32, [batch, m, n]
        Zero where no block is. Nothing is read of activations that only pruned blocks would multiply.

    Raises
    ------
    ValueError
        When shapes or types do not match, weights have no values, or a thread block or block row leaves the operands.
    """
    a = operand(a, "a")
    batch, m, k = a.shape
    check(k == weights.k, f"A has {k} columns, the weights have {weights.k} rows")
    block_row = _block_rows(weights)
    check_tiles(weights, blocks, batch, m)
    size = weights.block_rows * weights.block_columns
    values = sparse_values(weights, len(block_row) * size, a.dtype == np.int8)
    tile_of = blocks.weight_tile
    depth = np.diff(weights.block_start)[tile_of] * weights.block_rows
    start = weights.block_start[tile_of] * size + blocks.n0 - weights.column_start[tile_of]
    leading = np.full(len(depth), weights.block_columns, np.int64)
    b_panels, b_panel = pack(
        pack_columns, COLUMNS, values, Strips(start, leading, blocks.n1 - blocks.n0, depth, start), threads
    )
    a_panels, a_panel = pack_a(a, blocks, threads)
    tiles = sort_tiles(blocks, a_panel, b_panel, depth, weights.block_start[tile_of])
    height, width = tile_size(blocks)
    out = np.zeros((batch, m, weights.n), accumulator_type(a.dtype))

    def work(first: int, last: int) -> None:
        tile = aligned_empty(height * width, out.dtype)
        _multiply_blocks(first, last, tiles, a_panels, k, b_panels, block_row, weights.block_rows, tile, out)

    share(work, len(tiles.first_block) - 1, threads)
    return out
