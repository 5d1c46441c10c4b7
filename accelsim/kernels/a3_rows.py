"""Compiled loops of `accelsim.kernels.a3`: the queries of a head, one by one, against a tile of keys.

A query meets its tile alone and in integers (floats hold nothing but exact integers here), so results depend neither on
the number of threads nor on the order of queries.
"""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from accelsim.kernels.a3_tables import DISTANCE_STEPS, LARGEST_DISTANCE

_CHUNKS = 64
"""Shares that the queries are cut into; each has scratch of its own."""
_NOTHING = -(2**62)
"""Below every product: a column with no key left."""


@njit(cache=True, nogil=True)
def _replay(tree: NDArray[np.int64], gains: NDArray[np.int64], column: int) -> None:
    """Let a column whose product has changed meet its rivals again; the lower column wins a tie."""
    half = len(tree) // 2
    node = (half + column) // 2
    while node >= 1:
        left, right = tree[2 * node], tree[2 * node + 1]
        tree[node] = left if gains[left] >= gains[right] else right
        node //= 2


@njit(cache=True, nogil=True)
def _fill(
    query: NDArray[np.int32],
    side: int,
    sorted_keys: NDArray[np.int32],
    tree: NDArray[np.int64],
    gains: NDArray[np.int64],
    places: NDArray[np.int64],
) -> None:
    """First product of every column on one side: its largest (side 1) or the negative of its smallest (side -1)."""
    head_dim, keys = sorted_keys.shape
    half = len(tree) // 2
    gains[:] = _NOTHING
    for c in range(head_dim):
        factor = side * np.int64(query[c])
        places[c] = keys - 1 if factor >= 0 else 0
        gains[c] = factor * sorted_keys[c, places[c]]
    for c in range(half):
        tree[half + c] = c
    for node in range(half - 1, 0, -1):
        left, right = tree[2 * node], tree[2 * node + 1]
        tree[node] = left if gains[left] >= gains[right] else right


@njit(cache=True, nogil=True)
def _advance(
    query: NDArray[np.int32],
    side: int,
    sorted_keys: NDArray[np.int32],
    tree: NDArray[np.int64],
    gains: NDArray[np.int64],
    places: NDArray[np.int64],
) -> None:
    """Replace the winner by the next product of its column."""
    c = tree[1]
    factor = side * np.int64(query[c])
    places[c] += -1 if factor >= 0 else 1
    inside = 0 <= places[c] < sorted_keys.shape[1]
    gains[c] = factor * sorted_keys[c, places[c]] if inside else _NOTHING
    _replay(tree, gains, c)


@njit(cache=True, nogil=True)
def select_candidates(
    query: NDArray[np.int32],
    sorted_keys: NDArray[np.int32],
    rows: NDArray[np.int32],
    iterations: int,
    trees: NDArray[np.int64],
    gains: NDArray[np.int64],
    places: NDArray[np.int64],
    greedy: NDArray[np.int64],
    chosen: NDArray[np.int64],
) -> int:
    """Rows of the candidates of one query, ascending, into `chosen`; returns their number, at least 1.

    Parameters
    ----------
    query : int32 [head_dim]
    sorted_keys, rows : int32 [head_dim, keys]
        Each column of the keys in ascending order, and the rows that its numbers come from.
    iterations : int
        Each takes the largest product left and, unless the sum so far is negative, the smallest one left.
    trees : int64 [2, 2 p], gains : int64 [2, p], places : int64 [2, head_dim], greedy : int64 [keys]
        Scratch; p is the least power of two from head_dim.
    """
    greedy[:] = 0
    for side in range(2):
        _fill(query, 1 - 2 * side, sorted_keys, trees[side], gains[side], places[side])
    winner = trees[0, 1]
    first = rows[winner, places[0, winner]]
    total = np.int64(0)
    for _ in range(iterations):
        winner = trees[0, 1]
        gain = gains[0, winner]
        if gain > 0:
            greedy[rows[winner, places[0, winner]]] += gain
            total += gain
            _advance(query, 1, sorted_keys, trees[0], gains[0], places[0])
        winner = trees[1, 1]
        gain = gains[1, winner]
        if gain > 0 and total >= 0:
            greedy[rows[winner, places[1, winner]]] -= gain
            total -= gain
            _advance(query, -1, sorted_keys, trees[1], gains[1], places[1])
    count = 0
    for row in range(len(greedy)):
        if greedy[row] > 0:
            chosen[count] = row
            count += 1
    if count == 0:
        chosen[0] = first
        count = 1
    return count


@njit(cache=True, nogil=True)
def _distance(difference: np.int64, factor: int, shift: int) -> np.int64:
    """How far a score lies below the largest, in steps of the exponent's tables."""
    scaled = (difference * factor + (1 << (shift - 1))) >> shift
    return min(scaled, np.int64(LARGEST_DISTANCE))


@njit(cache=True, nogil=True)
def _exponent(distance: np.int64, high: NDArray[np.int64], low: NDArray[np.int64], bits: int, drop: int) -> np.int64:
    """exp(-distance) from two tables, in steps of 2**-bits and below 1."""
    product = high[distance // DISTANCE_STEPS] * low[distance % DISTANCE_STEPS]
    return min((product + (1 << (drop - 1))) >> drop, np.int64((1 << bits) - 1))


@njit(cache=True, nogil=True)
def _weigh(
    scores: NDArray[np.floating],
    chosen: NDArray[np.int64],
    count: int,
    best: np.int64,
    limit: int,
    factor: int,
    shift: int,
    high: NDArray[np.int64],
    low: NDArray[np.int64],
    bits: int,
    drop: int,
    weights: NDArray[np.int64],
) -> tuple[int, np.int64]:
    """Drop candidates further than `limit` below `best`; exponents of the others, their number and their sum."""
    kept, total = 0, np.int64(0)
    for i in range(count):
        distance = _distance(best - np.int64(scores[chosen[i]]), factor, shift)
        if distance <= limit:
            weight = _exponent(distance, high, low, bits, drop)
            chosen[kept] = chosen[i]
            weights[kept] = weight
            kept += 1
            total += weight
    return kept, total


@njit(cache=True, nogil=True)
def _weighted_sum(
    weights: NDArray[np.int64],
    chosen: NDArray[np.int64],
    kept: int,
    values: NDArray[np.float64],
    sums: NDArray[np.int64],
) -> None:
    """Add rows of V times their weights. A tile's part is added up in floats, which are exact here and faster."""
    part = np.zeros(len(sums))
    for i in range(kept):
        weight, row = float(weights[i]), chosen[i]
        if weight != 0.0:
            for c in range(len(sums)):
                part[c] += weight * values[row, c]
    for c in range(len(sums)):
        sums[c] += np.int64(part[c])


@njit(cache=True, nogil=True)
def _fade(total: NDArray[np.int64], sums: NDArray[np.int64], fade: np.int64, bits: int) -> None:
    """Scale what earlier tiles gave a query, total [1] and sums [head_dim], to a larger score: to the nearest."""
    half = 1 << (bits - 1)
    total[0] = (total[0] * fade + half) >> bits
    for c in range(len(sums)):
        sums[c] = (sums[c] * fade + half) >> bits


@njit(cache=True, nogil=True)
def _divide(weights: NDArray[np.int64], count: int, total: np.int64, bits: int) -> None:
    """Exponents to weights in steps of 2**-bits and below 1, to the nearest."""
    for j in range(count):
        weights[j] = min(((weights[j] << bits) + total // 2) // total, np.int64((1 << bits) - 1))


@njit(cache=True, nogil=True)
def _best(scores: NDArray[np.floating], chosen: NDArray[np.int64], count: int, before: np.int64) -> np.int64:
    top = before
    for j in range(count):
        top = max(top, np.int64(scores[chosen[j]]))
    return top


@njit(cache=True, nogil=True, parallel=True)
def attend_tile(
    query: NDArray[np.int32],
    scores: NDArray[np.floating],
    values: NDArray[np.float64],
    sorted_keys: NDArray[np.int32],
    rows: NDArray[np.int32],
    iterations: int,
    limit: int,
    factor: int,
    shift: int,
    high: NDArray[np.int64],
    low: NDArray[np.int64],
    exponent_bits: int,
    weight_bits: int,
    drop: int,
    deferred: bool,
    best: NDArray[np.int64],
    total: NDArray[np.int64],
    sums: NDArray[np.int64],
    candidates: NDArray[np.int32],
    kept: NDArray[np.int32],
) -> None:
    """Add one tile of keys to the attention of all queries of a head.

    Parameters
    ----------
    query : int32 [n, head_dim]
    scores : float [n, keys]
        Dot products, exact integers; those of candidates are read.
    values : float64 [keys, head_dim]
        Exact integers.
    sorted_keys, rows
        See `select_candidates`; of no columns where all keys are candidates.
    iterations : int
        0: all keys are candidates.
    limit : int
        Greatest distance that post-scoring keeps.
    deferred : bool
        Whether sums are of exponents, to be divided at the end, or of weights, divided already.
    best, total : int64 [n], sums : int64 [n, head_dim]
        What the tiles before gave: largest score, sum of exponents, weighted sum. Updated.
    candidates, kept : int32 [n]
        Keys of this tile, written.
    """
    n, head_dim = query.shape
    keys = scores.shape[1]
    size = 1
    while size < head_dim:
        size *= 2
    for chunk in prange(_CHUNKS):
        trees, gains = np.empty((2, 2 * size), np.int64), np.empty((2, size), np.int64)
        places, greedy = np.empty((2, head_dim), np.int64), np.empty(keys, np.int64)
        chosen, weights = np.empty(keys, np.int64), np.empty(keys, np.int64)
        for i in range(chunk * n // _CHUNKS, (chunk + 1) * n // _CHUNKS):
            count = keys
            if iterations:
                count = select_candidates(query[i], sorted_keys, rows, iterations, trees, gains, places, greedy, chosen)
            else:
                chosen[:] = np.arange(keys)
            top = _best(scores[i], chosen, count, best[i])
            if total[i] and top > best[i]:
                fade = _exponent(_distance(top - best[i], factor, shift), high, low, exponent_bits, drop)
                _fade(total[i : i + 1], sums[i], fade, exponent_bits)
            best[i] = top
            left, added = _weigh(
                scores[i], chosen, count, top, limit, factor, shift, high, low, exponent_bits, drop, weights
            )
            total[i] += added
            if not deferred:
                _divide(weights, left, total[i], weight_bits)
            _weighted_sum(weights, chosen, left, values, sums[i])
            candidates[i] = count
            kept[i] = left
