"""The kernels once more in plain NumPy: slow, obviously right, and what the tests compare with."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accelsim.kernels.formats import LARGEST
from accelsim.kernels.gemm import Blocks, PackedWeights

_PRECISION = {"fp16": (11, -14), "bf16": (8, -126), "tf32": (11, -126), "fp32": (24, -126)}
"""Significant bits and least normal exponent."""

SECTOR_BYTES = 32


def round_to_format(array: ArrayLike, dtype: str) -> NDArray[np.float64]:
    """Nearest value of the format, ties to even, from the definition of a floating-point number."""
    values = np.asarray(array, np.float64)
    if dtype == "int8":
        return np.clip(np.rint(values), -128, 127)
    bits, least = _PRECISION[dtype]
    exponent = np.maximum(np.frexp(values)[1] - 1, least)
    unit = np.ldexp(1.0, exponent - (bits - 1))
    rounded = np.rint(values / unit) * unit
    return np.where(np.abs(rounded) > LARGEST[dtype], np.copysign(np.inf, values), rounded)


def _exact(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.int64 if array.dtype == np.int8 else np.float64)


def block_product(a: NDArray[Any], b: NDArray[Any], blocks: Blocks) -> NDArray[Any]:
    """`accelsim.kernels.gemm.block_product` in float64 or int64: the output [batch, m, n], block by block."""
    a, b = _exact(a), _exact(b)
    out = np.zeros((a.shape[0], a.shape[1], b.shape[2]), a.dtype)
    for block in range(len(blocks.m0)):
        batch = blocks.batch[block]
        rows = slice(blocks.m0[block], blocks.m1[block])
        columns = slice(blocks.n0[block], blocks.n1[block])
        depth = slice(blocks.k0[block], blocks.k1[block])
        out[batch, rows, columns] += a[batch, rows, depth] @ b[min(batch, len(b) - 1), depth, columns]
    return out


def tile_wise_product(a: NDArray[Any], weights: PackedWeights, blocks: Blocks) -> NDArray[Any]:
    """`accelsim.kernels.gemm.tile_wise_product` in float64 or int64, block by block."""
    assert weights.values is not None
    a, values = _exact(a), _exact(weights.values)
    out = np.zeros((a.shape[0], a.shape[1], weights.n), a.dtype)
    for block in range(len(blocks.m0)):
        tile, batch = blocks.weight_tile[block], blocks.batch[block]
        first, last = weights.column_start[tile], weights.column_start[tile + 1]
        matrix = values[weights.value_start[tile] : weights.value_start[tile + 1]].reshape(-1, last - first)
        kept = np.arange(blocks.k0[block], blocks.k1[block])
        rows = kept + weights.row_offset[weights.row_start[tile] + kept]
        compact = np.arange(blocks.n0[block], blocks.n1[block])
        columns = compact + weights.column_offset[compact]
        for row in range(blocks.m0[block], blocks.m1[block]):
            out[batch, row, columns] += a[batch, row, rows] @ matrix[kept][:, compact - first]
    return out


def sectors_of_elements(elements: ArrayLike, element_bytes: int) -> int:
    """Distinct sectors in which the elements of these indices lie."""
    return len({int(element) * element_bytes // SECTOR_BYTES for element in np.ravel(elements)})


def rectangle_sectors(rows: ArrayLike, columns: ArrayLike, leading: int, element_bytes: int) -> int:
    """Distinct sectors of the elements (row, column) of a row-major matrix."""
    return sectors_of_elements(np.ravel(rows)[:, None] * leading + np.ravel(columns)[None, :], element_bytes)
