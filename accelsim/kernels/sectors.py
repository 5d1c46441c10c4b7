"""Sectors of 32 bytes that thread blocks touch when they load operands, from the addresses.

Every matrix begins on a sector. Within one k-step a sector counts once, however many of its elements are wanted; in the
next k-step it counts again, since loads pass the first-level cache by.
"""

from typing import Any, Literal, get_args

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

SECTOR_BYTES = 32

ActivationLayout = Literal["transposed", "row_major"]
IntArray = NDArray[np.int64]


@njit(cache=True, nogil=True)
def _rectangle(row0: int, row1: int, column0: int, column1: int, leading: int, size: int) -> int:
    """Distinct sectors of rows row0:row1, columns column0:column1 of a row-major matrix."""
    if row1 <= row0 or column1 <= column0:
        return 0
    if (leading * size) % SECTOR_BYTES == 0:
        # All rows begin on a sector: they count alike and share none.
        return (row1 - row0) * ((column1 * size - 1) // SECTOR_BYTES - column0 * size // SECTOR_BYTES + 1)
    total, previous = 0, -1
    for row in range(row0, row1):
        first = (row * leading + column0) * size // SECTOR_BYTES
        last = ((row * leading + column1) * size - 1) // SECTOR_BYTES
        total += last - first + 1 - (first == previous)
        previous = last
    return total


@njit(cache=True, nogil=True)
def _matrix_sectors(
    row0: IntArray, row1: IntArray, column0: IntArray, column1: IntArray, leading: IntArray, size: int,
    row_step: int, column_step: int, out: IntArray,
) -> None:  # fmt: skip
    """Sum of `_rectangle` over the k-steps of every block; a step of 0 takes the whole."""
    for block in range(len(out)):
        rows = row_step if row_step > 0 else max(1, row1[block] - row0[block])
        columns = column_step if column_step > 0 else max(1, column1[block] - column0[block])
        for row in range(row0[block], row1[block], rows):
            below = min(row + rows, row1[block])
            for column in range(column0[block], column1[block], columns):
                right = min(column + columns, column1[block])
                out[block] += _rectangle(row, below, column, right, leading[block], size)


@njit(cache=True, nogil=True)
def _gather_transposed(
    kept_row: IntArray, first: IntArray, last: IntArray, m0: IntArray, m1: IntArray, m: int, size: int, step: int,
    out: IntArray,
) -> None:  # fmt: skip
    """A^T [k, m]: each kept row is a run of m1 - m0 elements."""
    for block in range(len(out)):
        if m1[block] <= m0[block]:
            continue
        previous = -1
        for position in range(first[block], last[block]):
            if step > 0 and (position - first[block]) % step == 0:
                previous = -1
            start = kept_row[position] * m
            begin = (start + m0[block]) * size // SECTOR_BYTES
            end = ((start + m1[block]) * size - 1) // SECTOR_BYTES
            out[block] += end - begin + 1 - (begin == previous)
            previous = end


@njit(cache=True, nogil=True)
def _row_sectors(kept_row: IntArray, base: int, size: int) -> int:
    """Distinct sectors of single elements `base` + kept row."""
    count, previous = 0, -1
    for row in kept_row:
        sector = (base + row) * size // SECTOR_BYTES
        count += sector != previous
        previous = sector
    return count


@njit(cache=True, nogil=True)
def _gather_row_major(
    kept_row: IntArray, first: IntArray, last: IntArray, m0: IntArray, m1: IntArray, k: int, size: int, step: int,
    out: IntArray,
) -> None:  # fmt: skip
    """A [m, k]: every output row asks for single elements. Rows that lie alike on the grid of sectors count alike."""
    phases = np.empty(SECTOR_BYTES, np.int64)
    for block in range(len(out)):
        length = last[block] - first[block]
        stride = step if step > 0 else max(1, length)
        for position in range(first[block], last[block], stride):
            kept = kept_row[position : min(position + stride, last[block])]
            phases[:] = -1
            previous = -1
            for row in range(m0[block], m1[block]):
                phase = row * k * size % SECTOR_BYTES
                if phases[phase] < 0:
                    phases[phase] = _row_sectors(kept, phase // size, size)
                begin = (row * k + kept[0]) * size // SECTOR_BYTES
                out[block] += phases[phase] - (begin == previous)
                previous = (row * k + kept[-1]) * size // SECTOR_BYTES


def _columns(*arrays: ArrayLike) -> list[Any]:
    """int64 arrays of one length, copied so that all have the one type that is compiled for (writable, contiguous)."""
    return [np.array(array, np.int64) for array in np.broadcast_arrays(*(np.atleast_1d(array) for array in arrays))]


def _check_layout(layout: str) -> None:
    if layout not in get_args(ActivationLayout):
        raise ValueError(f"unknown layout {layout!r}; allowed: {', '.join(get_args(ActivationLayout))}")


def matrix_sectors(
    row0: ArrayLike, row1: ArrayLike, column0: ArrayLike, column1: ArrayLike, leading: ArrayLike, element_bytes: int,
    row_step: int = 0, column_step: int = 0,
) -> IntArray:  # fmt: skip
    """Sectors that each block touches in a rectangle of a row-major matrix.

    Parameters
    ----------
    row0, row1, column0, column1 : array of int, [blocks] or scalar
        Rectangle of each block.
    leading : array of int, [blocks] or scalar
        Elements from one row to the next.
    element_bytes : int
        1, 2, 4 or 8: sizes that no sector cuts.
    row_step, column_step : int
        Rows or columns of a k-step; 0 loads all of them in one.

    Returns
    -------
    array of int64, [blocks]
    """
    top, bottom, left, right, pitch = _columns(row0, row1, column0, column1, leading)
    out = np.zeros(len(top), np.int64)
    _matrix_sectors(top, bottom, left, right, pitch, element_bytes, row_step, column_step, out)
    return out


def tile_sectors(
    m0: ArrayLike, m1: ArrayLike, n0: ArrayLike, n1: ArrayLike, k0: ArrayLike, k1: ArrayLike, m: int, n: int, k: int,
    element_bytes: int, tile_k: int = 0, layout: ActivationLayout = "row_major",
    b_layout: ActivationLayout = "row_major",
) -> tuple[IntArray, IntArray]:  # fmt: skip
    """Sectors that each block of a dense product touches in A and in B over all of its k-steps.

    Parameters
    ----------
    m0, m1, n0, n1, k0, k1 : array of int, [blocks]
        Output rows, output columns and share of k of each block.
    m, n, k : int
        Shape of the product.
    element_bytes : int
        1, 2, 4 or 8.
    tile_k : int
        Depth of a k-step; 0 takes the block's whole k as one.
    layout : str
        A as ``row_major`` [m, k] or ``transposed`` [k, m].
    b_layout : str
        B as ``row_major`` [k, n] or ``transposed`` [n, k].

    Returns
    -------
    (a, b) : arrays of int64, [blocks]

    Raises
    ------
    ValueError
        For an unknown layout.
    """
    _check_layout(layout)
    _check_layout(b_layout)
    if layout == "transposed":
        a = matrix_sectors(k0, k1, m0, m1, m, element_bytes, row_step=tile_k)
    else:
        a = matrix_sectors(m0, m1, k0, k1, k, element_bytes, column_step=tile_k)
    if b_layout == "transposed":
        return a, matrix_sectors(n0, n1, k0, k1, k, element_bytes, column_step=tile_k)
    return a, matrix_sectors(k0, k1, n0, n1, n, element_bytes, row_step=tile_k)


def gather_sectors(
    row_offset: NDArray[np.int32], row_start: IntArray, tile: ArrayLike, k0: ArrayLike, k1: ArrayLike, m0: ArrayLike,
    m1: ArrayLike, k: int, m: int, element_bytes: int, layout: ActivationLayout = "transposed", tile_k: int = 0,
) -> IntArray:  # fmt: skip
    """Sectors that each block of a tile-wise product touches in A when it gathers the kept rows of its weight tile.

    Parameters
    ----------
    row_offset : array of int32
        Original minus compact index of each kept row, tile after tile.
    row_start : array of int64, [tiles + 1]
        Where each weight tile begins in `row_offset`.
    tile : array of int, [blocks]
        Weight tile of each block.
    k0, k1, m0, m1 : array of int, [blocks]
        Kept rows (counted within the tile) and output rows of each block.
    k, m : int
        Original rows of the weights and output rows of the product.
    element_bytes : int
        1, 2, 4 or 8.
    layout : str
        A as ``transposed`` [k, m], where a kept row is a run of consecutive elements, or ``row_major`` [m, k], where
        each of its elements lies in another row.
    tile_k : int
        Kept rows of a k-step; 0 takes all rows of the block as one.

    Returns
    -------
    array of int64, [blocks]

    Raises
    ------
    ValueError
        For an unknown layout.
    """
    _check_layout(layout)
    starts = np.asarray(row_start, np.int64)
    compact = np.arange(len(row_offset)) - np.repeat(starts[:-1], np.diff(starts))
    kept_row = row_offset.astype(np.int64) + compact
    tiles, *depth, top, bottom = _columns(tile, k0, k1, m0, m1)
    first, last = (starts[tiles] + edge for edge in depth)
    out = np.zeros(len(tiles), np.int64)
    if layout == "transposed":
        _gather_transposed(kept_row, first, last, top, bottom, m, element_bytes, tile_k, out)
    else:
        _gather_row_major(kept_row, first, last, top, bottom, k, element_bytes, tile_k, out)
    return out
