"""Exact counts of what each thread block does with packed sparse weights.

A thread block runs through its k in k-steps of `tile_k` rows of its tile (of `tile_k` elements, where a column's
elements are the only rows there are). What it loads in one k-step counts once, and again in the next.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from accelsim.kernels.gemm import PackedWeights
from accelsim.kernels.output_tiles import Blocks, IntArray, check
from accelsim.kernels.panels import distinct_rows
from accelsim.kernels.sectors import SECTOR_BYTES, ActivationLayout, gather_sectors, matrix_sectors
from accelsim.kernels.sparse_formats import (
    BlockForm,
    ElementForm,
    GroupedForm,
    TiledForm,
    check_groups,
    check_tiles,
)

INDEX_BYTES = 4
"""Bytes of an index, an offset, a pointer or a word of metadata."""


@dataclass(frozen=True)
class SparseCounts:
    """What each thread block does. Arrays are int64 [blocks]; loads are sums over its k-steps."""

    effectual_macs: IntArray
    """Multiply-accumulates with weights that are kept."""
    executed_macs: IntArray
    """Those that the unit carries out: with slots that were filled up too. The edges of tiles are not padded."""
    load_a_bytes: IntArray
    """Bytes of A's elements that it asks for."""
    load_a_sectors: IntArray
    """32-byte sectors that hold them."""
    load_value_bytes: IntArray
    load_value_sectors: IntArray
    load_index_bytes: IntArray
    """Metadata, indices, offsets and pointers."""
    load_c_bytes: IntArray
    """Outputs of another product that it adds to."""
    output_bytes: IntArray

    def __len__(self) -> int:
        return len(self.effectual_macs)


def _each_distinct(count: Callable[..., tuple[IntArray, ...]], *keys: IntArray) -> tuple[IntArray, ...]:
    """`count` of every distinct row of `keys`, dealt to the rows."""
    order, new = distinct_rows(*keys)
    number = np.empty(len(order), np.int64)
    number[order] = np.cumsum(new) - 1
    first = order[new]
    return tuple(column[number] for column in count(*(key[first] for key in keys)))


@njit(cache=True, nogil=True)
def _kept_in_groups(
    group_kept: NDArray[np.int16], start: IntArray, width: IntArray, column0: IntArray, column1: IntArray,
    group0: IntArray, group1: IntArray, out: IntArray,
) -> None:  # fmt: skip
    """Kept weights of groups group0:group1, columns column0:column1 of each block's tile."""
    for block in range(len(out)):
        for group in range(group0[block], group1[block]):
            origin = start[block] + group * width[block]
            for index in range(origin + column0[block], origin + column1[block]):
                out[block] += group_kept[index]


@njit(cache=True, nogil=True)
def _word_rows(slot0: IntArray, slot1: IntArray, step: int, per_word: int, out: IntArray) -> None:
    """Rows of metadata words that hold slots slot0:slot1, counted anew in every step of `step` slots."""
    for block in range(len(out)):
        for slot in range(slot0[block], slot1[block], step):
            last = min(slot + step, slot1[block])
            out[block] += (last - 1) // per_word - slot // per_word + 1


@njit(cache=True, nogil=True)
def _column_ranges(
    element_start: IntArray, row_index: NDArray[np.int32], column: IntArray, k0: IntArray, k1: IntArray,
    first: IntArray, last: IntArray,
) -> None:  # fmt: skip
    """Elements of each column within rows k0:k1."""
    for number in range(len(column)):
        begin, end = element_start[column[number]], element_start[column[number] + 1]
        own = row_index[begin:end]
        first[number] = begin + np.searchsorted(own, k0[number])
        last[number] = begin + np.searchsorted(own, k1[number])


def _check(weights: TiledForm, blocks: Blocks, m: int) -> None:
    """Raises ValueError when a thread block leaves the operands, of however many batch items."""
    check_tiles(weights, blocks, int(np.max(blocks.batch, initial=0)) + 1, m)


def _extents(blocks: Blocks) -> tuple[IntArray, IntArray, IntArray]:
    """Output rows, columns and rows of the weights of each thread block."""
    return blocks.m1 - blocks.m0, blocks.n1 - blocks.n0, blocks.k1 - blocks.k0


def _step_slots(weights: GroupedForm, tile_k: int) -> int:
    """Slots of a k-step; a whole tile where there are no k-steps."""
    check(tile_k % weights.group == 0, f"tile_k must be a multiple of the group {weights.group}, not {tile_k}")
    if tile_k > 0:
        return tile_k // weights.group * weights.slots
    return max(1, int(np.max(np.diff(weights.row_start), initial=0)) * weights.slots)


def _grouped_a_sectors(
    weights: GroupedForm, blocks: Blocks, m: int, element_bytes: int, tile_k: int, layout: ActivationLayout
) -> IntArray:
    """Sectors of A: gathered rows, or all rows of k0:k1."""
    if weights.row_offset is not None:
        return _gathered(weights.row_offset, weights, blocks, m, element_bytes, tile_k, layout)

    def count(m0: IntArray, m1: IntArray, k0: IntArray, k1: IntArray) -> tuple[IntArray]:
        if layout == "transposed":
            return (matrix_sectors(k0, k1, m0, m1, m, element_bytes, row_step=tile_k),)
        return (matrix_sectors(m0, m1, k0, k1, weights.k, element_bytes, column_step=tile_k),)

    return _each_distinct(count, blocks.m0, blocks.m1, blocks.k0, blocks.k1)[0]


def _gathered(
    row_offset: NDArray[np.int32], weights: TiledForm, blocks: Blocks, m: int, element_bytes: int, tile_k: int,
    layout: ActivationLayout,
) -> IntArray:  # fmt: skip
    """Sectors of the rows of A that each thread block gathers."""

    def count(tile: IntArray, m0: IntArray, m1: IntArray, k0: IntArray, k1: IntArray) -> tuple[IntArray]:
        shape = weights.k, m, element_bytes, layout, tile_k
        return (gather_sectors(row_offset, weights.row_start, tile, k0, k1, m0, m1, *shape),)

    return _each_distinct(count, blocks.weight_tile, blocks.m0, blocks.m1, blocks.k0, blocks.k1)[0]


def _grouped_weights(
    weights: GroupedForm, element_bytes: int, tile_k: int, tile: IntArray, n0: IntArray, n1: IntArray, k0: IntArray,
    k1: IntArray,
) -> tuple[IntArray, IntArray, IntArray]:  # fmt: skip
    """Kept weights, sectors of values and bytes of metadata of thread blocks."""
    first, width = weights.column_start[tile], np.diff(weights.column_start)[tile]
    group0, group1 = k0 // weights.group, -(-k1 // weights.group)
    kept, words = np.zeros_like(k0), np.zeros_like(k0)
    _kept_in_groups(weights.group_kept, weights.group_start[tile], width, n0 - first, n1 - first, group0, group1, kept)
    slot0, slot1, step = group0 * weights.slots, group1 * weights.slots, _step_slots(weights, tile_k)
    _word_rows(slot0, slot1, step, weights.slots_per_word, words)
    sectors = matrix_sectors(slot0, slot1, n0 - first, n1 - first, width, element_bytes, row_step=step)
    return kept, sectors, INDEX_BYTES * words * (n1 - n0)


def count_groups(
    weights: GroupedForm, blocks: Blocks, m: int, element_bytes: int, output_bytes: int, *, tile_k: int = 0,
    layout: ActivationLayout = "transposed",
) -> SparseCounts:  # fmt: skip
    """Counts of a product with N:M, vector-wise or tile-vector-wise weights. The unit multiplies each slot once, so 2:4
    executes half of the dense MACs. It loads the activations of all rows of a group.

    Parameters
    ----------
    weights : GroupedForm
        Values are not needed.
    blocks : Blocks
        As of `accelsim.kernels.sparse_groups.grouped_product`.
    m : int
        Output rows.
    element_bytes, output_bytes : int
        Of an operand's element (1, 2, 4 or 8) and of an output.
    tile_k : int
        Rows of a k-step, whole groups; 0 takes all rows of a thread block as one.
    layout : str
        A as ``transposed`` [k, m] or ``row_major`` [m, k].

    Returns
    -------
    SparseCounts

    Raises
    ------
    ValueError
        For thread blocks that leave the operands, for one or a k-step that cuts a group, or an unknown layout.
    """
    _check(weights, blocks, m)
    check_groups(weights, blocks)
    loads = partial(_grouped_weights, weights, element_bytes, tile_k)
    kept, sectors, metadata = _each_distinct(loads, blocks.weight_tile, blocks.n0, blocks.n1, blocks.k0, blocks.k1)
    rows, columns, run = _extents(blocks)
    slots = -(-run // weights.group) * weights.slots
    offsets = 0 if weights.row_offset is None else INDEX_BYTES * (run + columns)
    return SparseCounts(
        effectual_macs=rows * kept,
        executed_macs=rows * columns * slots,
        load_a_bytes=rows * run * element_bytes,
        load_a_sectors=_grouped_a_sectors(weights, blocks, m, element_bytes, tile_k, layout),
        load_value_bytes=columns * slots * element_bytes,
        load_value_sectors=sectors,
        load_index_bytes=metadata + offsets,
        load_c_bytes=np.zeros_like(rows),
        output_bytes=rows * columns * output_bytes,
    )


def count_block_sparse(
    weights: BlockForm, blocks: Blocks, m: int, element_bytes: int, output_bytes: int, *, tile_k: int = 0,
    layout: ActivationLayout = "transposed",
) -> SparseCounts:  # fmt: skip
    """Counts of a product with block-wise weights: parameters, result and errors are those of `count_groups`.

    A thread block gathers the rows of A of the blocks that its block column keeps. It reads where these begin and end
    and the block row of each, in whole or in part.
    """
    _check(weights, blocks, m)
    tile, height, width = blocks.weight_tile, weights.block_rows, weights.block_columns
    first = weights.column_start[tile]
    rows, columns, run = _extents(blocks)
    touched = np.where(run > 0, -(-blocks.k1 // height) - blocks.k0 // height, 0)

    def count(n0: IntArray, n1: IntArray, k0: IntArray, k1: IntArray) -> tuple[IntArray]:
        return (matrix_sectors(k0, k1, n0, n1, width, element_bytes, row_step=tile_k),)

    # Blocks one below the other are one matrix, as wide as a block.
    above = weights.block_start[tile] * height
    sectors = _each_distinct(count, blocks.n0 - first, blocks.n1 - first, blocks.k0 + above, blocks.k1 + above)[0]
    macs = rows * columns * run
    return SparseCounts(
        effectual_macs=macs,
        executed_macs=macs,
        load_a_bytes=rows * run * element_bytes,
        load_a_sectors=_gathered(weights.row_offset, weights, blocks, m, element_bytes, tile_k, layout),
        load_value_bytes=columns * run * element_bytes,
        load_value_sectors=sectors,
        load_index_bytes=INDEX_BYTES * (touched + 2),
        load_c_bytes=np.zeros_like(rows),
        output_bytes=rows * columns * output_bytes,
    )


def count_tile_wise(
    weights: PackedWeights, blocks: Blocks, m: int, element_bytes: int, output_bytes: int, *, tile_k: int = 0,
    layout: ActivationLayout = "transposed",
) -> SparseCounts:  # fmt: skip
    """Counts of a product with tile-wise weights: parameters, result and errors are those of `count_groups`.

    A thread block gathers the rows of A that its tile keeps by their offsets, and writes by those of its columns. Each
    packed tile begins on a sector.
    """
    _check(weights, blocks, m)
    tile = blocks.weight_tile
    first, width = weights.column_start[tile], np.diff(weights.column_start)[tile]
    rows, columns, run = _extents(blocks)

    def count(n0: IntArray, n1: IntArray, k0: IntArray, k1: IntArray, width: IntArray) -> tuple[IntArray]:
        return (matrix_sectors(k0, k1, n0, n1, width, element_bytes, row_step=tile_k),)

    macs = rows * columns * run
    return SparseCounts(
        effectual_macs=macs,
        executed_macs=macs,
        load_a_bytes=rows * run * element_bytes,
        load_a_sectors=_gathered(weights.row_offset, weights, blocks, m, element_bytes, tile_k, layout),
        load_value_bytes=columns * run * element_bytes,
        load_value_sectors=_each_distinct(count, blocks.n0 - first, blocks.n1 - first, blocks.k0, blocks.k1, width)[0],
        load_index_bytes=INDEX_BYTES * (run + columns),
        load_c_bytes=np.zeros_like(rows),
        output_bytes=rows * columns * output_bytes,
    )


def _element_loads(
    weights: ElementForm, m: int, element_bytes: int, tile_k: int, layout: ActivationLayout, m0: IntArray, m1: IntArray,
    n0: IntArray, n1: IntArray, k0: IntArray, k1: IntArray,
) -> tuple[IntArray, IntArray, IntArray, IntArray]:  # fmt: skip
    """Elements, columns that have any, and sectors of A and of values: sums over the columns of each thread block."""
    width = n1 - n0
    block = np.repeat(np.arange(len(width)), width)
    column = np.arange(len(block)) - np.repeat(np.cumsum(width) - width, width) + n0[block]
    first, last = np.zeros_like(column), np.zeros_like(column)
    _column_ranges(weights.element_start, weights.row_index, column, k0[block], k1[block], first, last)
    begin = weights.element_start[column]
    compact = np.arange(len(weights.row_index)) - np.repeat(weights.element_start[:-1], np.diff(weights.element_start))
    offset = (weights.row_index - compact).astype(np.int32)
    shape = weights.k, m, element_bytes, layout, tile_k
    starts = weights.element_start
    a = gather_sectors(offset, starts, column, first - begin, last - begin, m0[block], m1[block], *shape)
    values = matrix_sectors(0, 1, first, last, 0, element_bytes, column_step=tile_k)

    def total(part: Any) -> IntArray:
        result = np.zeros(len(width), np.int64)
        np.add.at(result, block, part)
        return result

    return total(last - first), total(last > first), total(a), total(values)


def _alike(blocks: Blocks, k: int, element_bytes: int, layout: ActivationLayout) -> tuple[IntArray, IntArray]:
    """Output rows of each thread block, moved up by whole sectors: those that come to lie alike load alike."""
    period = SECTOR_BYTES // element_bytes
    if layout == "row_major":
        period = SECTOR_BYTES // math.gcd(SECTOR_BYTES, k * element_bytes)
    m0 = blocks.m0 % period
    return m0, m0 + blocks.m1 - blocks.m0


def count_elements(
    weights: ElementForm, blocks: Blocks, m: int, element_bytes: int, output_bytes: int, *, tile_k: int = 0,
    layout: ActivationLayout = "transposed", onto: bool = False,
) -> SparseCounts:  # fmt: skip
    """Counts of a product with element-wise weights: parameters, result and errors are those of `count_groups`.

    Columns share nothing: each asks for the rows of A of its own elements, `tile_k` elements in a k-step. A thread
    block reads the pointers to its columns and the row index of every element. With `onto` (an overlay) it reads and
    writes the outputs of those columns alone that have an element.
    """
    _check(weights, blocks, m)
    m0, m1 = _alike(blocks, weights.k, element_bytes, layout)
    keys = m0, m1, blocks.n0, blocks.n1, blocks.k0, blocks.k1
    loads = partial(_element_loads, weights, m, element_bytes, tile_k, layout)
    elements, occupied, a_sectors, value_sectors = _each_distinct(loads, *keys)
    rows, columns, _ = _extents(blocks)
    written = rows * (occupied if onto else columns) * output_bytes
    return SparseCounts(
        effectual_macs=rows * elements,
        executed_macs=rows * elements,
        load_a_bytes=rows * elements * element_bytes,
        load_a_sectors=a_sectors,
        load_value_bytes=elements * element_bytes,
        load_value_sectors=value_sectors,
        load_index_bytes=INDEX_BYTES * (elements + columns + 1),
        load_c_bytes=written if onto else np.zeros_like(rows),
        output_bytes=written,
    )
