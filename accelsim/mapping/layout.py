"""How an operand lies in memory, and what that costs its loads from DRAM."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accelsim.config.hardware import Gpu
from accelsim.mapping.tiles import ELEMENT_BYTES
from accelsim.model.graph import Layout


def strided_cost(k: ArrayLike, tile_k: ArrayLike, dtype: str, gpu: Gpu) -> NDArray[np.float64]:
    """DRAM time of a byte of an operand whose k lies contiguous, over that of a long stream.

    A k-step takes a short piece of each of its rows. Where a piece is shorter than the consecutive bytes of a channel,
    and rows are no power of two of bytes apart, only `dram.strided_efficiency` of the rate is left. That rule is read
    off measured rows (DeepBench on V100 and T4, the calibrated half: streams of 340 to 390 GB/s against 580 and more,
    and of 205 to 215 against 240 and more); the likely reason, hashes of addresses that spread powers of two evenly
    over channels and other pitches less so, is documented nowhere.

    Parameters
    ----------
    k : array_like of int
        Elements of a row.
    tile_k : array_like of int
        Of a k-step; both broadcast against each other.
    dtype : str
        Operand format.
    gpu : Gpu
        Its `dram.interleave` and `dram.strided_efficiency`.

    Returns
    -------
    ndarray
        At least 1.
    """
    element = ELEMENT_BYTES[dtype]
    pitch = np.asarray(k, dtype=np.int64) * element
    short = np.asarray(tile_k, dtype=np.int64) * element < gpu.dram.interleave
    return np.where(short & (pitch & (pitch - 1) != 0), 1 / (gpu.dram.strided_efficiency or 1.0), 1.0)


def dram_costs(
    k: ArrayLike, tile_k: ArrayLike, dtype: str, gpu: Gpu, a_layout: Layout, b_layout: Layout
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """DRAM time of a byte of A, and of B, over that of a long stream; k lies contiguous in A [m, k] and in B's [n, k].

    Parameters and shapes are those of `strided_cost`.
    """
    strided = strided_cost(k, tile_k, dtype, gpu)
    even = np.ones_like(strided)
    return strided if a_layout == "row_major" else even, strided if b_layout == "transposed" else even
