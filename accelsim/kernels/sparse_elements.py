"""Products with element-wise weights, alone or added to another product: what CUDA cores do with CSR.

Every element of a column adds its multiple of a row of A^T, so activations are transposed first and the sum runs over
output rows side by side.
"""

import numpy as np
from numba import njit

from accelsim.kernels.gemm import PackedWeights, tile_wise_product
from accelsim.kernels.output_tiles import (
    Array,
    Blocks,
    IntArray,
    OutputTiles,
    accumulator_type,
    check,
    operand,
    sort_tiles,
)
from accelsim.kernels.panels import aligned_empty, distinct_rows, share
from accelsim.kernels.sparse_formats import ElementForm, check_tiles, sparse_values


@njit(cache=True, nogil=True, fastmath={"contract"})
def _add_elements(
    a: Array, origin: int, rows: int, row_index: IntArray, values: Array, first: int, last: int, tile: Array, place: int
) -> None:
    """tile[place : place + rows] += the elements first:last times their rows of A^T, in order, four at a time.

    Row 0 of A^T begins at `origin` in `a`. Unsigned, as in `accelsim.kernels.panels.copy`.
    """
    target, count = np.uint64(place), np.uint64(rows)
    position = first
    while position + 4 <= last:
        # One load and one store of a sum for four elements.
        one, two = np.uint64(origin + row_index[position] * rows), np.uint64(origin + row_index[position + 1] * rows)
        three, four = (
            np.uint64(origin + row_index[position + 2] * rows),
            np.uint64(origin + row_index[position + 3] * rows),
        )
        weight_one, weight_two = values[position], values[position + 1]
        weight_three, weight_four = values[position + 2], values[position + 3]
        for row in range(count):
            total = tile[target + row] + weight_one * a[one + row]
            total += weight_two * a[two + row]
            total += weight_three * a[three + row]
            tile[target + row] = total + weight_four * a[four + row]
        position += 4
    while position < last:
        one, weight_one = np.uint64(origin + row_index[position] * rows), values[position]
        for row in range(count):
            tile[target + row] += weight_one * a[one + row]
        position += 1


@njit(cache=True, nogil=True)
def _multiply_elements(
    first: int, last: int, tiles: OutputTiles, a: Array, element_start: IntArray, row_index: IntArray, values: Array,
    tile: Array, out: Array,
) -> None:  # fmt: skip
    """Adds output tiles first:last to `out`, by way of `tile` [columns, rows]. `a` holds strips of A^T [k, rows]."""
    for number in range(first, last):
        lead = tiles.first_block[number]
        rows, columns = tiles.m1[lead] - tiles.m0[lead], tiles.n1[lead] - tiles.n0[lead]
        tile[: rows * columns] = 0
        for column in range(columns):
            begin, end = element_start[tiles.n0[lead] + column], element_start[tiles.n0[lead] + column + 1]
            own = row_index[begin:end]
            for block in range(lead, tiles.first_block[number + 1]):
                low = begin + np.searchsorted(own, tiles.k0[block])
                high = begin + np.searchsorted(own, tiles.k1[block])
                _add_elements(a, tiles.a_panel[lead], rows, row_index, values, low, high, tile, column * rows)
        for row in range(rows):
            target = out[tiles.batch[lead], tiles.m0[lead] + row]
            for column in range(columns):
                target[tiles.n0[lead] + column] += tile[column * rows + row]


def _transposed_strips(a: Array, blocks: Blocks, kind: type[np.generic]) -> tuple[Array, IntArray]:
    """A^T [k, rows] for every distinct strip of output rows, and where the strip of each thread block begins.

    In strips of their own, rows of A^T do not lie a power of two apart, where they would share a few lines of a cache.
    """
    order, new = distinct_rows(blocks.batch, blocks.m0, blocks.m1)
    first = order[new]
    size = (blocks.m1 - blocks.m0)[first] * a.shape[2]
    start = np.cumsum(size) - size
    strips = np.empty(int(size.sum()), kind)
    for position, block in zip(start, first, strict=True):
        rows = a[blocks.batch[block], blocks.m0[block] : blocks.m1[block]]
        strips[position : position + rows.size].reshape(a.shape[2], len(rows))[:] = rows.T
    block_strip = np.empty(len(order), np.int64)
    block_strip[order] = start[np.cumsum(new) - 1]
    return strips, block_strip


def _row_index(weights: ElementForm) -> IntArray:
    """Row of every element, after a look at the arrays that index them."""
    rows, start = weights.row_index.astype(np.int64), weights.element_start
    check(len(start) == weights.n + 1, f"element_start has {len(start)} entries for {weights.n} columns")
    check(start[0] == 0 and start[-1] == len(rows) and bool(np.all(np.diff(start) >= 0)), "element_start is broken")
    check(np.all((rows >= 0) & (rows < weights.k)), "a row index leads outside the matrix")
    ascending = np.diff(rows) > 0
    inner = start[(start > 0) & (start < len(rows))]
    ascending[inner - 1] = True
    check(np.all(ascending), "row indices must ascend within a column")
    return rows


def element_product(
    a: Array, weights: ElementForm, blocks: Blocks, *, onto: Array | None = None, threads: int | None = None
) -> Array:
    """Output of a plan with element-wise weights.

    Parameters
    ----------
    a : array of float32 or int8, [batch, m, k]
    weights : ElementForm
        With values (float32 or int8; whole numbers of int8 when `a` is int8).
    blocks : Blocks
        Thread blocks in any order: original columns and rows of the weights. Blocks of one output tile (split-K) are
        added up in order of k; different output tiles must not overlap.
    onto : array of float32 or int32, [batch, m, n], optional
        What the product is added to, in a copy; default: zeros.
    threads : int, optional
        Default: Numba's number of threads.

    Returns
    -------
    array of float32 or int32, [batch, m, n]
        Nothing is read of activations that no element multiplies.

    Raises
    ------
    ValueError
        When shapes or types do not match, weights have no values, or a thread block or row index leaves the operands.
    """
    a = operand(a, "a")
    batch, m, k = a.shape
    check(k == weights.k, f"A has {k} columns, the weights have {weights.k} rows")
    row_index = _row_index(weights)
    check_tiles(weights, blocks, batch, m)
    kind = accumulator_type(a.dtype)
    values = sparse_values(weights, len(row_index), a.dtype == np.int8).astype(kind)
    shape = batch, m, weights.n
    check(onto is None or onto.shape == shape, f"the product is added to an array {shape}")
    out = np.zeros(shape, kind) if onto is None else np.array(onto, kind)
    strips, strip = _transposed_strips(a, blocks, kind)
    nothing = np.zeros_like(strip)
    tiles = sort_tiles(blocks, strip, nothing, nothing, nothing)
    largest = int(np.max((blocks.m1 - blocks.m0) * (blocks.n1 - blocks.n0), initial=0))

    def work(first: int, last: int) -> None:
        tile = aligned_empty(largest, out.dtype)
        _multiply_elements(first, last, tiles, strips, weights.element_start, row_index, values, tile, out)

    share(work, len(tiles.first_block) - 1, threads)
    return out


def tile_element_product(
    a: Array, weights: PackedWeights, blocks: Blocks, overlay: ElementForm, overlay_blocks: Blocks,
    *, threads: int | None = None,
) -> Array:  # fmt: skip
    """Output of a plan with tile-element-wise weights: the tiles' product, then the overlay's added to it.

    Parameters
    ----------
    a : array of float32 or int8, [batch, m, k]
    weights, blocks
        Tile-wise weights and their thread blocks, as of `accelsim.kernels.gemm.tile_wise_product`.
    overlay, overlay_blocks
        Restored elements and their thread blocks, as of `element_product`.
    threads : int, optional
        Default: Numba's number of threads.

    Returns
    -------
    array of float32 or int32, [batch, m, n]

    Raises
    ------
    ValueError
        As the two products do.
    """
    tiles = tile_wise_product(a, weights, blocks, threads=threads)
    return element_product(a, overlay, overlay_blocks, onto=tiles, threads=threads)
