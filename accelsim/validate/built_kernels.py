"""Which measurements of a sweep had to wait for a kernel to be compiled.

Beside each bf16 product the serving stack measures the same product in fp8 with a scale for each block of 128, by a
library that compiles a kernel when it first needs one (DeepGEMM, MIT licence). A kernel is compiled for n, k and a
tile; the tile follows from m. While it is compiled, the board idles for longer than its power meter remembers.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SCALE_BLOCK = 128
"""Columns, and depth, that share a scale; smaller products have no such measurement."""

_FEW_ROWS, _FEW_TILE = 32, 16
"""Below so many rows another library multiplies (vLLM, FlashInfer), in tiles of so many rows."""

_SHARED_BYTES = 232448
_L2_BYTES_PER_CYCLE = 8e6 / 1.3e3
_CLUSTERS = ((1, 1), (1, 2), (2, 1))


@lru_cache(maxsize=4096)
def compiled_rows(rows: tuple[int, ...], n: int, k: int, sm_count: int) -> frozenset[int]:
    """Values of m whose fp8 product needs a kernel that no value before it did.

    Parameters
    ----------
    rows : tuple of int
        Values of m in the order of the sweep.
    n, k : int
        The other sizes.
    sm_count : int
        Streaming multiprocessors of the device.
    """
    if min(n, k) < SCALE_BLOCK:
        return frozenset()
    tiles = _tiles(np.array(rows, np.int64), n, k, sm_count)
    seen: set[tuple[str, int]] = set()
    first = set()
    for m, tile in zip(rows, tiles, strict=True):
        kernel = ("few", -(-m // _FEW_TILE)) if m < _FEW_ROWS else ("many", int(tile))
        if kernel not in seen:
            seen.add(kernel)
            first.add(m)
    return frozenset(first)


def _tiles(m: NDArray[np.int64], n: int, k: int, sm_count: int) -> NDArray[np.int64]:
    """[rows] index of the tile with the fewest cycles in L2 or shared memory, as the library estimates them."""
    block_m, block_n, cluster_m, cluster_n = _layouts(k)
    blocks = -(-m[:, None] // block_m) * -(-n // block_n)
    waves = -(-blocks // sm_count)
    written = 2 * block_m * block_n
    through_l2 = k * (block_m // cluster_n + block_n // cluster_m) + written
    through_shared = k * (block_m + np.maximum(64, block_m) + 2 * block_n) + 2 * written
    l2_rate, shared_rate = min(64.0 * sm_count, _L2_BYTES_PER_CYCLE), 128.0 * sm_count
    cycles = np.maximum(through_l2 / l2_rate, through_shared / shared_rate) * waves * sm_count
    allowed = (cluster_m * cluster_n == 1) | (waves > 1)
    # Tiles of 16 and 32 rows are for products of no more rows.
    allowed &= (block_m >= 64) | (m[:, None] <= block_m)
    best: NDArray[np.int64] = np.argmin(np.where(allowed, cycles, np.inf), axis=1)
    return best


@lru_cache(maxsize=64)
def _layouts(k: int) -> tuple[NDArray[np.int64], ...]:
    """Tiles that the library considers: rows, columns, and thread blocks of a cluster along both."""
    found = [
        (block_m, block_n, *cluster)
        for cluster in _CLUSTERS
        for block_m in (64, 128, 16, 32, 256)
        for block_n in range(16, 193, 16)
        if _is_legal(block_m, block_n, k)
    ]
    return tuple(np.array(found, np.int64).T)


def _is_legal(block_m: int, block_n: int, k: int) -> bool:
    over = block_n - SCALE_BLOCK
    if over > 0 and (block_m > SCALE_BLOCK or (block_n % over and SCALE_BLOCK % over)):
        return False
    scales = _aligned(4 * -(-k // SCALE_BLOCK) * (2 if SCALE_BLOCK % block_n else 1), 8)
    fixed = _aligned(2 * block_m * block_n, 1024) + 256 + scales
    stages = (_SHARED_BYTES - fixed) // (SCALE_BLOCK * (block_m + block_n) + _aligned(4 * block_m, 128))
    return stages >= (3 if block_m * block_n >= 128 * 192 else 4)


def _aligned(size: int, to: int) -> int:
    return -(-size // to) * to
