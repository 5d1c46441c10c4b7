"""Cycles of a systolic array of processing elements, for dense products and for products under a mask of 2 x 2 blocks.

One multiplier per element and cycle. A tile of the product occupies the array until it has drained: filling and
draining cost ``rows + columns - 2`` cycles, and the next tile begins after them.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

Dataflow = Literal["output_stationary", "weight_stationary", "input_stationary"]


def ceil_div(numerator: int, denominator: int) -> int:
    """Quotient rounded up."""
    return -(-numerator // denominator)


def tile_cycles(k: int, rows: int, columns: int) -> int:
    """Cycles of one output-stationary tile that adds up `k` products in each element, fill and drain included."""
    return k + rows + columns - 2


def gemm_cycles(m: int, n: int, k: int, rows: int, columns: int, dataflow: Dataflow = "output_stationary") -> int:
    """Cycles of a dense product C[m, n] = A[m, k] B[k, n] alone on the array, its operands always at hand.

    Output-stationary: ``ceil(m/R) ceil(n/C) (k + R + C - 2) - 1``. The others first shift a tile of the stationary
    operand in, which takes R more cycles: weights ``ceil(k/R) ceil(n/C) (m + 2R + C - 2) - 1``, inputs
    ``ceil(k/R) ceil(m/C) (n + 2R + C - 2) - 1``. These are SCALE-Sim's counts: its first cycle has the number 0, hence
    the 1 that is taken off a product that runs alone.

    Parameters
    ----------
    m, n, k : int
        Sizes of the product, at least 1.
    rows, columns : int
        Processing elements (R x C).
    dataflow : {"output_stationary", "weight_stationary", "input_stationary"}
        Which operand stays in the elements.

    Raises
    ------
    ValueError
        For sizes below 1 or an unknown dataflow.
    """
    if min(m, n, k, rows, columns) < 1:
        raise ValueError(f"sizes must be at least 1, not m={m}, n={n}, k={k} on {rows} x {columns} elements")
    if dataflow == "output_stationary":
        return ceil_div(m, rows) * ceil_div(n, columns) * tile_cycles(k, rows, columns) - 1
    if dataflow == "weight_stationary":
        return ceil_div(k, rows) * ceil_div(n, columns) * tile_cycles(m + rows, rows, columns) - 1
    if dataflow == "input_stationary":
        return ceil_div(k, rows) * ceil_div(m, columns) * tile_cycles(n + rows, rows, columns) - 1
    raise ValueError(f"unknown dataflow {dataflow!r}; allowed: output_stationary, weight_stationary, input_stationary")


def by_row_group(block_rows: IntArray, rows: int) -> IntArray:
    """Numbers of block rows [..., nb] in the groups that share the array: [..., groups, rows / 2], padded with zeros.

    A block row takes two rows of the array, so `rows` / 2 of them run side by side.
    """
    together = rows // 2
    block_rows = np.asarray(block_rows, dtype=np.int64)
    groups = ceil_div(block_rows.shape[-1], together)
    padded = np.zeros((*block_rows.shape[:-1], groups * together), dtype=np.int64)
    padded[..., : block_rows.shape[-1]] = block_rows
    return padded.reshape(*block_rows.shape[:-1], groups, together)


def sparse_tiles(row_blocks: IntArray, rows: int, columns: int) -> IntArray:
    """Tiles that each group of block rows needs for its kept 2 x 2 blocks: [..., groups].

    Every block row packs its own kept blocks side by side, `columns` / 2 to a tile, and the group moves on when its
    busiest block row has: ``max_i ceil(kept_i / (columns / 2))``. So imbalance among the rows of a group costs time.
    The array can do this because its rows are fed from the buffer in pairs, each pair with key rows of its own.

    Parameters
    ----------
    row_blocks : int [..., nb]
        Kept blocks of each block row.
    rows, columns : int
        Processing elements, both even.
    """
    tiles: IntArray = (-(-by_row_group(row_blocks, rows) // (columns // 2))).max(axis=-1)
    return tiles


def sparse_product_cycles(row_blocks: IntArray, k: int, rows: int, columns: int) -> IntArray:
    """Cycles of each group of block rows for products of length `k` at its kept blocks, output-stationary."""
    return sparse_tiles(row_blocks, rows, columns) * tile_cycles(k, rows, columns)


def weighted_sum_cycles(row_values: IntArray, n: int, rows: int, columns: int) -> IntArray:
    """Cycles of each group of block rows for P x V with n columns, output-stationary: [..., groups].

    Elements of a row add up the rows of V that it weighs, so the group lasts as long as its busiest row:
    ``ceil(n / C) (max_i values_i + R + C - 2)``, and nothing when no row weighs any.

    Parameters
    ----------
    row_values : int [..., nb]
        Rows of V that each query row of a block row weighs.
    """
    longest = by_row_group(row_values, rows).max(axis=-1)
    cycles: IntArray = np.where(longest > 0, ceil_div(n, columns) * (longest + rows + columns - 2), 0)
    return cycles
