"""A systolic array stepped cycle by cycle, register by register: the oracle of the closed forms in `pe_array`.

Operands enter at the edges, one element a row and column in each cycle, skewed so that those which belong together
meet; every register passes on what it held in the cycle before. The product is read from the array itself, so a timing
that could not have computed it cannot pass.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.machine.attention.pe_array import Dataflow

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class SteppedProduct:
    """What a stepped array did."""

    product: IntArray
    """[m, n]"""
    cycles: int
    """Steps of all tiles less one: the first cycle has the number 0, as in `gemm_cycles`."""
    macs: int
    """Multiplications of an element that both operands reached."""


def stepped_gemm(
    a: IntArray, b: IntArray, rows: int, columns: int, dataflow: Dataflow = "output_stationary"
) -> SteppedProduct:
    """C[m, n] = A[m, k] B[k, n], tile after tile, on an array of `rows` x `columns` elements.

    A tile's steps end when its last number has left the multipliers: output-stationary sums stay where they are, and
    another network takes them out; the others leave through the lower edge.

    Parameters
    ----------
    a, b : int64 [m, k] and [k, n]
    rows, columns : int
        Processing elements.
    dataflow : {"output_stationary", "weight_stationary", "input_stationary"}
        Whether sums, B or A stay in the elements.

    Raises
    ------
    ValueError
        For shapes that do not fit, sizes below 1 or an unknown dataflow.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0] or min(*a.shape, *b.shape, rows, columns) < 1:
        raise ValueError(
            f"need A [m, k] and B [k, n] of at least 1, not {a.shape} and {b.shape}, on at least 1 element"
        )
    if dataflow == "output_stationary":
        return _output_stationary(a, b, rows, columns)
    if dataflow == "weight_stationary":
        return _operand_stationary(a, b, rows, columns)
    if dataflow == "input_stationary":
        # Transposed, A is the operand that stays: C^T = B^T A^T.
        turned = _operand_stationary(b.T, a.T, rows, columns)
        return SteppedProduct(turned.product.T, turned.cycles, turned.macs)
    raise ValueError(f"unknown dataflow {dataflow!r}; allowed: output_stationary, weight_stationary, input_stationary")


def _skewed(lanes: IntArray, length: int) -> IntArray:
    """What enters each lane in each cycle, [length, lanes]: lane i begins i cycles late; 0 where nothing enters."""
    count, items = lanes.shape
    fed = np.zeros((length, count), dtype=np.int64)
    for lane in range(count):
        fed[lane : lane + items, lane] = lanes[lane]
    return fed


def _output_stationary(a: IntArray, b: IntArray, rows: int, columns: int) -> SteppedProduct:
    m, n = len(a), b.shape[1]
    product = np.zeros((m, n), dtype=np.int64)
    cycles = macs = 0
    for i in range(0, m, rows):
        for j in range(0, n, columns):
            left, top = a[i : i + rows], b[:, j : j + columns].T
            sums, steps, done = _output_tile(left, top, rows, columns)
            product[i : i + rows, j : j + columns] = sums[: len(left), : len(top)]
            cycles, macs = cycles + steps, macs + done
    return SteppedProduct(product, cycles - 1, macs)


def _output_tile(left: IntArray, top: IntArray, rows: int, columns: int) -> tuple[IntArray, int, int]:
    """Rows of A move right, columns of B down, and each element adds up what meets in it.

    The array takes its time for a whole tile, whether or not this one fills it: marks travel with the operands in every
    row and column, and steps end when all k pairs of them have met in the far corner.
    """
    k = left.shape[1]
    length = k + rows + columns
    fed_left, fed_top = _skewed(left, length), _skewed(top, length)
    mark_left, mark_top = (
        _skewed(np.ones((rows, k), np.int64), length),
        _skewed(np.ones((columns, k), np.int64), length),
    )
    right, down, sums, marked_right, marked_down = (np.zeros((rows, columns), dtype=np.int64) for _ in range(5))
    macs = steps = corner = 0
    while corner < k:
        for register, fed in ((right, fed_left), (marked_right, mark_left)):
            register[:, 1:] = register[:, :-1].copy()
            register[: fed.shape[1], 0] = fed[steps]
        for register, fed in ((down, fed_top), (marked_down, mark_top)):
            register[1:] = register[:-1].copy()
            register[0, : fed.shape[1]] = fed[steps]
        sums += right * down
        met = marked_right * marked_down
        macs += int(met[: len(left), : len(top)].sum())
        corner += int(met[-1, -1])
        steps += 1
    return sums, steps, macs


def _operand_stationary(moving: IntArray, staying: IntArray, rows: int, columns: int) -> SteppedProduct:
    """`staying` [k, n] lies in the elements, `moving` [m, k] crosses them, and sums leave at the lower edge."""
    (m, k), n = moving.shape, staying.shape[1]
    product = np.zeros((m, n), dtype=np.int64)
    cycles = macs = 0
    for i in range(0, k, rows):
        for j in range(0, n, columns):
            held, streamed = staying[i : i + rows, j : j + columns], moving[:, i : i + rows].T
            sums, steps, done = _operand_tile(streamed, held, rows, columns)
            product[:, j : j + columns] += sums[:, : held.shape[1]]
            cycles, macs = cycles + steps, macs + done
    return SteppedProduct(product, cycles - 1, macs)


def _operand_tile(streamed: IntArray, held: IntArray, rows: int, columns: int) -> tuple[IntArray, int, int]:
    """One tile of the operand that stays: shifted in from above, then crossed by `streamed` [k of the tile, m]."""
    depth, m = streamed.shape
    weights = np.zeros((rows, columns), dtype=np.int64)
    padded = np.zeros_like(weights)
    padded[:depth, : held.shape[1]] = held
    steps = 0
    for row in padded[::-1]:  # the lowest row goes in first
        weights[1:] = weights[:-1].copy()
        weights[0] = row
        steps += 1
    length = m + rows + columns
    # The number of its item travels with each operand, so that a sum that leaves is known by what it met last.
    fed, numbers = _skewed(streamed, length), _skewed(np.tile(np.arange(1, m + 1), (rows, 1)), length)
    right, down, item = (np.zeros_like(weights) for _ in range(3))
    sums = np.zeros((m, columns), dtype=np.int64)
    macs, entered, last = 0, 0, 0
    while last < m:
        for register, source in ((right, fed), (item, numbers)):
            register[:, 1:] = register[:, :-1].copy()
            register[: source.shape[1], 0] = source[entered]
        above = np.zeros_like(down)
        above[1:] = down[:-1]
        down = above + right * weights
        macs += int((item[:depth, : held.shape[1]] > 0).sum())
        leaving = np.flatnonzero(item[-1])
        sums[item[-1, leaving] - 1, leaving] = down[-1, leaving]
        last = int(item[-1, -1])
        entered, steps = entered + 1, steps + 1
    return sums, steps, macs
