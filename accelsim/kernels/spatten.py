"""SpAtten's attention of one head on raw fixed point: coarse scores first, a second pass where they are flat, top-k of
each query's probabilities, and what every key received.

Products are matrix products in float64, which holds them exactly: the order in which a library adds them does not
matter. Rows are independent of each other; what keys receive is added up in the order of the queries.
`accelsim.kernels.spatten_reference` is the plain twin, and equal bit for bit.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_TILE_ELEMENTS = 1 << 21
"""Scores that are held at a time."""
ENGINE_LATENCY = 3
"""Cycles that each pass of the top-k engine takes beyond its elements."""


@dataclass(frozen=True)
class SpattenHead:
    """One head after the unit."""

    output: NDArray[np.float32]
    """[queries, head_dim]"""
    received: FloatArray
    """[keys] sum over queries of the probability that each key got."""
    recomputed: BoolArray
    """[queries] whether the low bits of K were needed."""
    select_cycles: IntArray
    """[queries] of the top-k engine; 0 when no value is left out."""
    compared: int
    """Numbers that went through the engine's comparators."""
    value_used: BoolArray
    """[keys] whether any query weighs the key's value."""


@njit(cache=True, nogil=True)
def next_state(state: int) -> int:
    """Next of a sequence of 31-bit numbers (linear congruence), from which pivots are drawn."""
    return (state * 1103515245 + 12345) & 0x7FFFFFFF


@njit(cache=True, nogil=True)
def first_state(seed: int) -> int:
    """State to begin with, so that neighbouring seeds draw unlike pivots."""
    state = (seed * 40503 + 2531011) & 0x7FFFFFFF
    for _ in range(3):
        state = next_state(state)
    return state


@njit(cache=True, nogil=True)
def quick_select(
    values: FloatArray, count: int, parallelism: int, seed: int, scratch: FloatArray
) -> tuple[float, int, int]:
    """The `count`-th largest value, as the top-k engine finds it.

    Each pass compares what is left with a pivot, `parallelism` numbers a cycle, and keeps the side on which the value
    looked for lies: ``sum over passes of ceil(left / parallelism) + 3`` cycles (SpAtten's TopKLatencyModel).

    Parameters
    ----------
    values : float64 [n]
    count : int
        From 1 to n.
    parallelism : int
        Comparators.
    seed : int
        Of the pivots; it changes the cycles alone.
    scratch : float64 [n]
        Overwritten.

    Returns
    -------
    The value, the engine's cycles, and the numbers compared.
    """
    size = len(values)
    scratch[:size] = values
    state = first_state(seed)
    cycles = compared = 0
    while True:
        cycles += (size + parallelism - 1) // parallelism + ENGINE_LATENCY
        compared += size
        state = next_state(state)
        pivot = scratch[((state >> 8) * size) >> 23]
        above = equal = 0
        for i in range(size):
            above += scratch[i] > pivot
            equal += scratch[i] == pivot
        if above < count <= above + equal:
            return pivot, cycles, compared
        left = 0
        larger = count <= above
        for i in range(size):
            value = scratch[i]
            if (value > pivot) if larger else (value < pivot):
                scratch[left] = value
                left += 1
        if not larger:
            count -= above + equal
        size = left


@njit(cache=True, nogil=True)
def keep_largest(values: FloatArray, threshold: float, count: int, kept: BoolArray) -> None:
    """Mark the `count` largest values, of which `threshold` is the last; equals in the order of their index."""
    above = 0
    for value in values:
        above += value > threshold
    equal = count - above
    for i in range(len(values)):
        kept[i] = values[i] > threshold
        if values[i] == threshold and equal > 0:
            kept[i] = True
            equal -= 1


@njit(cache=True, nogil=True, parallel=True)
def _select_rows(
    weights: FloatArray, count: int, parallelism: int, seed: int, kept: BoolArray, cycles: IntArray, compared: IntArray
) -> None:
    """Mark the `count` largest of every row; row i draws its pivots from `seed` + i."""
    for row in prange(weights.shape[0]):
        scratch = np.empty(weights.shape[1])
        threshold, cycles[row], compared[row] = quick_select(weights[row], count, parallelism, seed + row, scratch)
        keep_largest(weights[row], threshold, count, kept[row])


@njit(cache=True, nogil=True, parallel=True)
def _softmax_rows(scores: FloatArray, factor: float, largest: FloatArray) -> None:
    """Scores become probabilities, in place; `largest` takes each row's."""
    for row in prange(scores.shape[0]):
        line = scores[row]
        peak = line.max()
        total = 0.0
        for j in range(len(line)):
            line[j] = math.exp((line[j] - peak) * factor)
            total += line[j]
        for j in range(len(line)):
            line[j] /= total
        largest[row] = 1.0 / total


@njit(cache=True, nogil=True)
def _receive(probabilities: FloatArray, received: FloatArray) -> None:
    for row in range(probabilities.shape[0]):
        for j in range(probabilities.shape[1]):
            received[j] += probabilities[row, j]


def select(values: FloatArray, count: int, parallelism: int, seed: int) -> tuple[BoolArray, int, int]:
    """Mask of the `count` largest values, the engine's cycles, and the numbers compared.

    Raises
    ------
    ValueError
        For a count outside 1 to n.
    """
    if not 1 <= count <= len(values):
        raise ValueError(f"cannot keep {count} of {len(values)} values")
    values = np.ascontiguousarray(values, dtype=np.float64)
    threshold, cycles, compared = quick_select(values, count, parallelism, seed, np.empty(len(values)))
    kept = np.empty(len(values), dtype=np.bool_)
    keep_largest(values, threshold, count, kept)
    return kept, cycles, compared


def high_plane(raw: NDArray[np.int32], low_bits: int) -> NDArray[np.int32]:
    """Raw fixed point with its `low_bits` lowest bits not there: what has been fetched at first."""
    return (raw >> low_bits) << low_bits


def spatten_head(
    query: NDArray[np.int32],
    key: NDArray[np.int32],
    value: NDArray[np.int32],
    *,
    fraction_bits: int,
    low_bits: int,
    low_threshold: float,
    probability_bits: int,
    keep_values: int,
    parallelism: int,
    seed: int = 0,
) -> SpattenHead:
    """Attention of one head's remaining tokens.

    Scores are exact products of Q with the high plane of K. Where a query's largest probability is below
    `low_threshold`, they are computed again with all bits of K. Probabilities of the `keep_values` largest then weigh
    V, each as a whole number of steps of the row's largest / (2^(probability_bits - 1) - 1); the others count in the
    denominator alone.

    Parameters
    ----------
    query, key, value : int32 [n, head_dim]
        Raw fixed point of `fraction_bits`.
    low_bits : int
        Bits of K that are fetched on demand; 0 for none.
    low_threshold : float
        Probability from which the high plane suffices; 0 never asks for more.
    probability_bits : int
        Signed width of a probability at the second multipliers, at least 2.
    keep_values : int
        Values that a query weighs, from 1 to n.
    parallelism, seed : int
        Of the top-k engine; see `quick_select`.

    Raises
    ------
    ValueError
        For shapes that differ, or a number out of range.
    """
    n = len(query)
    if query.ndim != 2 or query.shape != key.shape or query.shape != value.shape or 0 in query.shape:
        raise ValueError(
            f"need query, key and value of one shape [n, head_dim], not {query.shape}, {key.shape}, {value.shape}"
        )
    if not 1 <= keep_values <= n or probability_bits < 2 or low_bits < 0 or parallelism < 1:
        raise ValueError(
            f"keep_values {keep_values} of {n}, probability_bits {probability_bits}, low_bits {low_bits} and "
            f"parallelism {parallelism}: need 1 to {n}, at least 2, 0 and 1"
        )
    queries, values = query.astype(np.float64), value.astype(np.float64)
    full = np.ascontiguousarray(key.T.astype(np.float64))
    high = np.ascontiguousarray(high_plane(key, low_bits).T.astype(np.float64))
    factor = 1.0 / (math.sqrt(query.shape[1]) * 2.0 ** (2 * fraction_bits))
    levels = float((1 << (probability_bits - 1)) - 1)
    head = SpattenHead(
        np.empty(query.shape, dtype=np.float32),
        np.zeros(n),
        np.zeros(n, dtype=np.bool_),
        np.zeros(n, dtype=np.int64),
        0,
        np.full(n, keep_values == n),
    )
    compared = np.zeros(n, dtype=np.int64)
    rows = max(1, _TILE_ELEMENTS // n)
    for first in range(0, n, rows):
        tile = slice(first, min(first + rows, n))
        weights = queries[tile] @ high
        largest = np.empty(len(weights))
        _softmax_rows(weights, factor, largest)
        if low_bits:
            again = largest < low_threshold
            head.recomputed[tile] = again
            if again.any():
                finer, finest = queries[tile][again] @ full, np.empty(int(again.sum()))
                _softmax_rows(finer, factor, finest)
                weights[again], largest[again] = finer, finest
        _receive(weights, head.received)
        kept = np.ones(weights.shape, dtype=np.bool_) if keep_values < n else None
        if kept is not None:
            _select_rows(
                weights, keep_values, parallelism, seed + first, kept, head.select_cycles[tile], compared[tile]
            )
            head.value_used[:] |= kept.any(axis=0)
            weights *= kept
        weights /= largest[:, None]
        weights *= levels
        np.rint(weights, out=weights)
        head.output[tile] = (weights @ values) * (largest[:, None] * (2.0**-fraction_bits / levels))
    return SpattenHead(
        head.output, head.received, head.recomputed, head.select_cycles, int(compared.sum()), head.value_used
    )
