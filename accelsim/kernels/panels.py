"""Operands copied into panels: the order in which the micro-kernel reads them. And threads that share such work."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numba import config, njit
from numpy.typing import NDArray

from accelsim.kernels.microkernel import COLUMNS, ROWS

Array = NDArray[Any]
IntArray = NDArray[np.int64]


class Strips(NamedTuple):
    """Runs of rows of A, or of columns of B, that thread blocks share. Each array int64 [strips]."""

    start: IntArray
    """First element in the operand."""
    leading: IntArray
    """Elements from one row of the operand to the next."""
    extent: IntArray
    """Rows of A, or columns of B."""
    depth: IntArray
    """Size along k."""
    panel: IntArray
    """First element among the panels."""


@njit(cache=True, nogil=True)
def pack_rows(first: int, last: int, source: Array, strips: Strips, panels: Array) -> None:
    """Strips first:last of A to panels of ROWS rows, k-major; beyond the strip zeros, which cost no denormals."""
    for strip in range(first, last):
        target, leading = strips.panel[strip], strips.leading[strip]
        for row in range(0, strips.extent[strip], ROWS):
            rows = min(ROWS, strips.extent[strip] - row)
            origin = strips.start[strip] + row * leading
            for step in range(strips.depth[strip]):
                for lane in range(rows):
                    panels[target + lane] = source[origin + lane * leading + step]
                for lane in range(rows, ROWS):
                    panels[target + lane] = 0
                target += ROWS


@njit(cache=True, nogil=True)
def copy(count: int, source: Array, origin: int, target: Array, place: int) -> None:
    """target[place : place + count] = source[origin : origin + count], converted.

    Unsigned, because the check for negative indices keeps LLVM from copying whole vectors (a tenth of the speed).
    """
    first, second = np.uint64(origin), np.uint64(place)
    for lane in range(np.uint64(count)):
        target[second + lane] = source[first + lane]


@njit(cache=True, nogil=True)
def pack_columns(first: int, last: int, source: Array, strips: Strips, panels: Array) -> None:
    """Strips first:last of B to panels of COLUMNS columns, k-major; beyond the strip zeros, which cost no denormals."""
    for strip in range(first, last):
        depth = strips.depth[strip]
        whole, rest = divmod(strips.extent[strip], COLUMNS)
        for step in range(depth):
            origin = strips.start[strip] + step * strips.leading[strip]
            target = strips.panel[strip] + step * COLUMNS
            for _ in range(whole):
                copy(COLUMNS, source, origin, panels, target)
                origin += COLUMNS
                target += depth * COLUMNS
            if rest > 0:
                copy(rest, source, origin, panels, target)
                panels[target + rest : target + COLUMNS] = 0


def default_threads() -> int:
    """Numba's number of threads: NUMBA_NUM_THREADS, else the CPUs of this process."""
    settings: Any = config
    return int(settings.NUMBA_NUM_THREADS)


def share(work: Callable[[int, int], None], count: int, threads: int | None) -> None:
    """Calls work(first, last) for pieces of range(count) in `threads` threads."""
    threads = threads or default_threads()
    if threads == 1 or count <= 1:
        work(0, count)
        return
    # Several pieces to a thread, since tiles differ in work and cores in speed.
    bounds = np.linspace(0, count, min(count, 8 * threads) + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, bounds[:-1], bounds[1:]))


def aligned_empty(count: int, dtype: Any = np.float32) -> Array:
    """Array of 4-byte elements on a 64-byte boundary, so that no vector lies across two cache lines."""
    memory: Array = np.empty(count + 16, dtype)
    first = -memory.ctypes.data % 64 // 4
    return memory[first : first + count]


def distinct_rows(*keys: IntArray) -> tuple[IntArray, IntArray]:
    """(order, new): positions that sort the rows of `keys`, and which of the sorted rows differ from the one before."""
    order = np.lexsort(keys[::-1])
    new = np.ones(len(order), bool)
    new[1:] = False
    for key in keys:
        new[1:] |= np.diff(key[order]) != 0
    return order, new


def pack(
    kernel: Callable[..., None], lanes: int, operand: Array, strips: Strips, threads: int | None
) -> tuple[NDArray[np.float32], IntArray]:
    """Panels of every distinct strip, and where the strip of each thread block begins in them.

    `strips` has an entry for each thread block; `lanes` is ROWS for A, COLUMNS for B.
    """
    order, new = distinct_rows(strips.start, strips.extent, strips.depth)
    first = order[new]
    size = -(-strips.extent[first] // lanes) * lanes * strips.depth[first]
    panel = np.cumsum(size) - size
    start, leading, extent, depth, _ = (column[first] for column in strips)
    distinct = Strips(start, leading, extent, depth, panel)
    panels = aligned_empty(int(size.sum()))
    source = operand.reshape(-1)
    share(lambda low, high: kernel(low, high, source, distinct, panels), len(first), threads)
    block_panel = np.empty(len(order), np.int64)
    block_panel[order] = panel[np.cumsum(new) - 1]
    return panels, block_panel
