"""SpAtten's attention on raw fixed point: coarse scores first, a second pass where they are flat, top-k of each query's
probabilities, and what every key received.

Products of raw numbers are held in float64, which is exact for them. What keys receive is added up in whole steps, so
no sum depends on an order, and no result on the number of threads. No array of n x n scores exists at any time.
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

ENGINE_LATENCY = 3
"""Cycles that each pass of the top-k engine takes beyond its elements."""
RECEIVED_FRACTION_BITS = 24
"""Received probabilities are added up in steps of 2**-24, those of an fp32 mantissa at 1."""
_CHUNKS = 64
"""Shares that the queries of all heads are cut into; each has scratch of its own."""


@dataclass(frozen=True)
class SpattenValues:
    """Heads after the unit."""

    output: NDArray[np.float32]
    """[heads, queries, head_dim]"""
    received: IntArray
    """[heads, keys] sum over queries of the probability that a key got, in steps of ``2**-RECEIVED_FRACTION_BITS``."""
    recomputed: BoolArray
    """[heads, queries] those for which the low bits of K were needed."""
    select_cycles: IntArray
    """[heads, queries] of the top-k engine; 0 when no value is left out."""
    compared: IntArray
    """[heads] numbers that went through the engine's comparators."""
    value_used: BoolArray
    """[heads, keys] whether any query weighs the key's value."""


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


@njit(cache=True, nogil=True)
def _probabilities(query: FloatArray, keys: FloatArray, factor: float, row: FloatArray) -> float:
    """Softmax of a query's exact scores with all keys [head_dim, n]; returns the largest."""
    row[:] = 0.0
    whole = len(query) // 4 * 4
    # Four numbers of the query at a time: the row is read and written a quarter as often, and sums are exact anyway.
    for c in range(0, whole, 4):
        first, second, third, fourth = query[c], query[c + 1], query[c + 2], query[c + 3]
        for j in range(len(row)):
            row[j] += first * keys[c, j] + second * keys[c + 1, j] + third * keys[c + 2, j] + fourth * keys[c + 3, j]
    for c in range(whole, len(query)):
        for j in range(len(row)):
            row[j] += query[c] * keys[c, j]
    peak = row[0]
    for j in range(len(row)):
        peak = max(peak, row[j])
    total = 0.0
    for j in range(len(row)):
        row[j] = math.exp((row[j] - peak) * factor)
        total += row[j]
    for j in range(len(row)):
        row[j] /= total
    return 1.0 / total


@njit(cache=True, nogil=True)
def _weigh(
    row: FloatArray, kept: BoolArray, step: float, values: FloatArray, unit: float, output: NDArray[np.float32]
) -> None:
    """P x V with probabilities in whole steps; sums of whole numbers, exact, rounded once."""
    total = np.zeros(len(output))
    for j in range(len(row)):
        level = np.rint(row[j] / step)
        if kept[j] and level:
            for c in range(len(total)):
                total[c] += level * values[j, c]
    for c in range(len(total)):
        output[c] = np.float32(total[c] * unit)


@njit(cache=True, nogil=True, parallel=True)
def _rows(
    queries: FloatArray,
    high: FloatArray,
    full: FloatArray,
    values: FloatArray,
    factor: float,
    low_threshold: float,
    levels: float,
    unit: float,
    keep_values: int,
    parallelism: int,
    seeds: IntArray,
    output: NDArray[np.float32],
    received: IntArray,
    recomputed: BoolArray,
    cycles: IntArray,
    compared: IntArray,
    used: BoolArray,
) -> None:
    """Fill the results; `received` and `used` [chunks, heads, keys] hold each chunk's own share."""
    rows, n = queries.shape[1], values.shape[1]
    tasks, chunks = queries.shape[0] * rows, received.shape[0]
    steps = float(1 << RECEIVED_FRACTION_BITS)
    for chunk in prange(chunks):
        row, scratch = np.empty(n), np.empty(n)
        kept = np.ones(n, dtype=np.bool_)
        for task in range(chunk * tasks // chunks, (chunk + 1) * tasks // chunks):
            head, i = task // rows, task % rows
            largest = _probabilities(queries[head, i], high[head], factor, row)
            if largest < low_threshold:
                recomputed[head, i] = True
                largest = _probabilities(queries[head, i], full[head], factor, row)
            for j in range(n):
                received[chunk, head, j] += np.int64(np.rint(row[j] * steps))
            if keep_values < n:
                threshold, cycles[head, i], compared[head, i] = quick_select(
                    row, keep_values, parallelism, seeds[head] + i, scratch
                )
                keep_largest(row, threshold, keep_values, kept)
                for j in range(n):
                    used[chunk, head, j] |= kept[j]
            step = largest / levels
            _weigh(row, kept, step, values[head], step * unit, output[head, i])


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


def _check(
    query: NDArray[np.int32], key: NDArray[np.int32], value: NDArray[np.int32], least: dict[str, tuple[int, int]]
) -> None:
    fitting = query.ndim == key.ndim == 3 and query.shape[::2] == key.shape[::2] and key.shape == value.shape
    if not fitting or 0 in query.shape or 0 in key.shape:
        raise ValueError(
            "need query [heads, queries, head_dim] and key and value [heads, keys, head_dim], "
            f"not {query.shape}, {key.shape}, {value.shape}"
        )
    for name, (number, low) in least.items():
        if number < low:
            raise ValueError(f"{name} is {number}; allowed: at least {low}")


def spatten_heads(
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
    seeds: IntArray,
) -> SpattenValues:
    """Attention of the queries and keys that are left, in each of some heads.

    Scores are exact products of Q with the high plane of K. Where a query's largest probability is below
    `low_threshold`, they are computed again with all bits of K. Probabilities of the `keep_values` largest then weigh
    V, each as a whole number of steps of the row's largest / (2^(probability_bits - 1) - 1); the others count in the
    denominator alone.

    Parameters
    ----------
    query, key, value : int32 [heads, queries, head_dim], and twice [heads, keys, head_dim]
        Raw fixed point of `fraction_bits`.
    low_bits : int
        Bits of K that are fetched on demand; 0 for none.
    low_threshold : float
        Probability from which the high plane suffices; 0 never asks for more.
    probability_bits : int
        Signed width of a probability at the second multipliers, at least 2.
    keep_values : int
        Values that a query weighs, from 1 to all.
    parallelism : int
        Of the top-k engine; see `quick_select`.
    seeds : int64 [heads]
        Query i of a head draws the engine's pivots from the head's seed + i.

    Raises
    ------
    ValueError
        For shapes that do not fit, or a number out of range.
    """
    least = {"probability_bits": (probability_bits, 2), "low_bits": (low_bits, 0), "parallelism": (parallelism, 1)}
    _check(query, key, value, least)
    (heads, rows, head_dim), n = query.shape, key.shape[1]
    if not 1 <= keep_values <= n:
        raise ValueError(f"keep_values is {keep_values}; allowed: 1 to {n}")
    levels = float((1 << (probability_bits - 1)) - 1)
    chunks = min(_CHUNKS, heads * rows)
    output = np.empty(query.shape, dtype=np.float32)
    received, used = np.zeros((chunks, heads, n), dtype=np.int64), np.zeros((chunks, heads, n), dtype=np.bool_)
    recomputed = np.zeros((heads, rows), dtype=np.bool_)
    cycles, compared = np.zeros((2, heads, rows), dtype=np.int64)
    _rows(
        query.astype(np.float64),
        np.ascontiguousarray(high_plane(key, low_bits).transpose(0, 2, 1), dtype=np.float64),
        np.ascontiguousarray(key.transpose(0, 2, 1), dtype=np.float64),
        value.astype(np.float64),
        1.0 / (math.sqrt(head_dim) * 2.0 ** (2 * fraction_bits)),
        float(low_threshold) if low_bits else 0.0,
        levels,
        2.0**-fraction_bits,
        keep_values,
        parallelism,
        np.asarray(seeds, dtype=np.int64),
        output,
        received,
        recomputed,
        cycles,
        compared,
        used,
    )
    value_used = np.logical_or.reduce(used, axis=0) | (keep_values == n)
    return SpattenValues(output, received.sum(axis=0), recomputed, cycles, compared.sum(axis=1), value_used)
