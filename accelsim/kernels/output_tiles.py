"""What products by thread blocks have in common: output tiles, operands in panels, and checks of what kernels index."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from accelsim.kernels.microkernel import COLUMNS, MAX_DEPTH, ROWS, accumulate
from accelsim.kernels.panels import Strips, copy, distinct_rows, pack, pack_rows

Array = NDArray[Any]
IntArray = NDArray[np.int64]

DEPTH = min(256, MAX_DEPTH)
"""Steps of k between visits to the output tile: both operands' panels of so many steps stay in the first two caches."""


class Blocks(Protocol):
    """Thread blocks, each array int64 [blocks]: output rows m0:m1 and columns n0:n1, summed over k0:k1.

    In a tile-wise product columns are compact (counted over all weight tiles) and k0:k1 are kept rows of `weight_tile`.
    """

    @property
    def batch(self) -> IntArray: ...
    @property
    def m0(self) -> IntArray: ...
    @property
    def m1(self) -> IntArray: ...
    @property
    def n0(self) -> IntArray: ...
    @property
    def n1(self) -> IntArray: ...
    @property
    def k0(self) -> IntArray: ...
    @property
    def k1(self) -> IntArray: ...
    @property
    def weight_tile(self) -> IntArray: ...


class OutputTiles(NamedTuple):
    """Thread blocks sorted by output tile, then by k. Each array int64 [blocks], `first_block` [tiles + 1]."""

    first_block: IntArray
    batch: IntArray
    m0: IntArray
    m1: IntArray
    n0: IntArray
    n1: IntArray
    k0: IntArray
    k1: IntArray
    a_panel: IntArray
    """First element of the block's strip among the panels of A."""
    b_panel: IntArray
    b_depth: IntArray
    """Rows of its strip of B."""
    row_start: IntArray
    """Where the kept rows (blocks, elements) of its weight tile begin; 0 when it has none of its own."""


@njit(cache=True, nogil=True)
def multiply_panels(
    a: Array, a_start: int, a_stride: int, b: Array, b_start: int, b_stride: int, depth: int, tile: Array, height: int,
    width: int,
) -> None:  # fmt: skip
    """Adds `depth` steps of k to the output tile [height, width]: every panel of A times every panel of B."""
    for column in range(0, width, COLUMNS):
        b_panel = b_start + column // COLUMNS * b_stride
        for row in range(0, height, ROWS):
            accumulate(a, a_start + row // ROWS * a_stride, b, b_panel, depth, tile, row * width + column, width)


@njit(cache=True, nogil=True)
def gather_rows(a: Array, a_start: int, a_depth: int, panels: int, kept_row: Array, gathered: Array) -> None:
    """Copies the kept rows of each panel of A next to each other."""
    target = 0
    for panel in range(panels):
        origin = a_start + panel * a_depth * ROWS
        for original in kept_row:
            copy(ROWS, a, origin + original * ROWS, gathered, target)
            target += ROWS


def pack_a(a: Array, blocks: Blocks, threads: int | None) -> tuple[NDArray[np.float32], IntArray]:
    """Panels of A, whole in k, for the rows of each thread block."""
    _, m, k = a.shape
    leading = np.full(len(blocks.m0), k, np.int64)
    start = (blocks.batch * m + blocks.m0) * k
    return pack(pack_rows, ROWS, a, Strips(start, leading, blocks.m1 - blocks.m0, leading, start), threads)


def sort_tiles(
    blocks: Blocks, a_panel: IntArray, b_panel: IntArray, b_depth: IntArray, row_start: IntArray
) -> OutputTiles:
    """Thread blocks in order of output tile and k."""
    order, _ = distinct_rows(blocks.batch, blocks.m0, blocks.m1, blocks.n0, blocks.n1, blocks.k0)
    columns = [
        np.ascontiguousarray(column[order], np.int64)
        for column in (
            blocks.batch, blocks.m0, blocks.m1, blocks.n0, blocks.n1, blocks.k0, blocks.k1,
            a_panel, b_panel, b_depth, row_start,
        )
    ]  # fmt: skip
    new = np.ones(len(order), bool)
    new[1:] = np.any([np.diff(column) != 0 for column in columns[:5]], axis=0)
    return OutputTiles(np.append(np.flatnonzero(new), len(order)), *columns)


def check(condition: bool | np.bool_, message: str) -> None:
    """Raises ValueError with the message unless the condition holds."""
    if not condition:
        raise ValueError(message)


def check_blocks(blocks: Blocks, batch: int, m: int, n: int, k: int | IntArray) -> None:
    """Raises ValueError when a thread block leaves the operands; the kernels themselves check no index."""
    for first, last, size, name in (
        (blocks.batch, blocks.batch + 1, batch, "batch"),
        (blocks.m0, blocks.m1, m, "m"),
        (blocks.n0, blocks.n1, n, "n"),
        (blocks.k0, blocks.k1, k, "k"),
    ):
        inside = np.all((first >= 0) & (first <= last) & (last <= size))
        check(inside, f"thread blocks leave the operands: {name} must be within 0 and {np.max(size, initial=0)}")


def operand(array: Array, name: str) -> Array:
    """The array, contiguous. Raises ValueError unless it is float32 or int8 of three dimensions."""
    check(array.ndim == 3, f"{name} must have three dimensions, not {array.ndim}")
    check(array.dtype in (np.float32, np.int8), f"{name} must be float32 or int8, not {array.dtype}")
    return np.ascontiguousarray(array)


def tile_size(blocks: Blocks) -> tuple[int, int]:
    """Height and width of the largest output tile in whole panels."""
    height = int(np.max(blocks.m1 - blocks.m0, initial=0))
    width = int(np.max(blocks.n1 - blocks.n0, initial=0))
    return -(-height // ROWS) * ROWS, -(-width // COLUMNS) * COLUMNS


def accumulator_type(dtype: Any) -> type[np.generic]:
    """Type of sums of products: int32 of int8 operands, else float32."""
    return np.int32 if dtype == np.int8 else np.float32


def original_index(offset: NDArray[np.int32], start: IntArray, size: int, name: str) -> IntArray:
    """Original index of every kept row (column); `start` [tiles + 1] is where the compact index begins anew."""
    compact = np.arange(len(offset)) - np.repeat(start[:-1], np.diff(start))
    original: IntArray = offset.astype(np.int64) + compact
    check(np.all((original >= 0) & (original < size)), f"an offset of a kept {name} leads outside the matrix")
    return original
