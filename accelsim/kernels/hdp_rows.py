"""Compiled loops of `accelsim.kernels.hdp`: block rows of many heads, shared out among threads.

No loop adds up across block rows, and all that is added in floating point is one row's exponentials, in the order of
its keys. So every result is a function of its row alone.
"""

import math

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

_EXCLUDED, _ZERO, _ZERO_IN_DENOMINATOR = 0, 1, 2
_POLYNOMIAL = 1
_LN2 = math.log(2.0)
_UNDERFLOW = 60.0
"""Halvings after which an exponential is 0: far below half a step of a probability, whatever the row's sum."""
_PROBABILITY_BITS = 15
_CHUNKS = 64
"""Shares that the block rows are cut into; each has scratch of its own."""


@njit(cache=True, nogil=True)
def exponential(x: float, kind: int) -> float:
    """exp(x) for x <= 0: exactly, or by halvings and a polynomial of second order."""
    if kind != _POLYNOMIAL:
        return math.exp(x)
    halvings = math.floor(-x / _LN2)
    if halvings > _UNDERFLOW:
        return 0.0
    shifted = x + halvings * _LN2 + 1.353
    return (0.3585 * (shifted * shifted) + 0.344) * 2.0**-halvings


@njit(cache=True, nogil=True)
def _integer_scores(
    query: NDArray[np.signedinteger],
    keys: NDArray[np.signedinteger],
    top: NDArray[np.signedinteger],
    bottom: NDArray[np.signedinteger],
) -> None:
    """Scores of two query rows [2, head_dim] with all keys [head_dim, n]: the keys are the inner loop, to vectorise."""
    top[:] = 0
    bottom[:] = 0
    for c in range(keys.shape[0]):
        first, second = query[0, c], query[1, c]
        for j in range(keys.shape[1]):
            top[j] += first * keys[c, j]
            bottom[j] += second * keys[c, j]


@njit(cache=True, nogil=True)
def _block_importance(
    top: NDArray[np.signedinteger], bottom: NDArray[np.signedinteger], signed: bool, theta: NDArray[np.int64]
) -> np.int64:
    """Importance of each block of a block row; returns the sum of all magnitudes."""
    total = np.int64(0)
    for b in range(len(theta)):
        a, c = np.int64(top[2 * b]), np.int64(top[2 * b + 1])
        e, g = np.int64(bottom[2 * b]), np.int64(bottom[2 * b + 1])
        magnitude = abs(a) + abs(c) + abs(e) + abs(g)
        theta[b] = a + c + e + g if signed else magnitude
        total += magnitude
    return total


@njit(cache=True, nogil=True)
def row_threshold(theta: NDArray[np.int64], rho: float) -> float:
    """Importance from which a block of this row stays, as `accelsim.kernels.hdp.decide` documents it."""
    low, high, total = theta[0], theta[0], np.int64(0)
    for value in theta:
        low, high, total = min(low, value), max(high, value), total + value
    if rho <= -1.0:
        return float(low)
    mean = float(total) / len(theta)
    reach = float(high) - mean if rho >= 0.0 else mean - float(low)
    return min(max(mean + rho * reach, float(low)), float(high))


@njit(cache=True, nogil=True)
def keep_largest(theta: NDArray[np.int64], keep: int, kept: NDArray[np.bool_]) -> None:
    """Mark the `keep` largest of a row, of equals those that come first."""
    bound = np.sort(theta)[len(theta) - keep]
    left = keep
    for b in range(len(theta)):
        kept[b] = theta[b] > bound
        left -= kept[b]
    for b in range(len(theta)):
        if left and theta[b] == bound:
            kept[b] = True
            left -= 1


@njit(cache=True, nogil=True, parallel=True)
def decide_rows(
    queries: NDArray[np.signedinteger],
    keys: NDArray[np.signedinteger],
    rho: float,
    keep: int,
    signed: bool,
    block_kept: NDArray[np.bool_],
    magnitude: NDArray[np.int64],
    importance: NDArray[np.int64],
) -> None:
    """Fill the mask, the sum of magnitudes of each block row, and the importance unless that array is empty.

    `queries` [heads, 2 nb, head_dim] and `keys` [heads, head_dim, 2 nb] are integers of one type that holds a score.
    Rows keep the blocks at or above the threshold of `rho`, or, where `keep` is not 0, so many of them.
    """
    heads, nb = block_kept.shape[0], block_kept.shape[1]
    tasks = heads * nb
    chunks = min(tasks, _CHUNKS)
    for chunk in prange(chunks):
        top = np.empty(2 * nb, dtype=keys.dtype)
        bottom = np.empty(2 * nb, dtype=keys.dtype)
        theta = np.empty(nb, dtype=np.int64)
        for task in range(chunk * tasks // chunks, (chunk + 1) * tasks // chunks):
            head, row = task // nb, task % nb
            _integer_scores(queries[head, 2 * row : 2 * row + 2], keys[head], top, bottom)
            magnitude[head, row] = _block_importance(top, bottom, signed, theta)
            if keep:
                keep_largest(theta, keep, block_kept[head, row])
            else:
                threshold = row_threshold(theta, rho)
                for b in range(nb):
                    block_kept[head, row, b] = theta[b] >= threshold
            if importance.size:
                importance[head, row] = theta


@njit(cache=True, nogil=True)
def _kept_columns(block_row: NDArray[np.bool_], n: int, columns: NDArray[np.int64]) -> int:
    """Write the keys of the kept blocks in ascending order; returns how many."""
    count = 0
    for b in range(len(block_row)):
        if block_row[b]:
            for j in range(2 * b, min(2 * b + 2, n)):
                columns[count] = j
                count += 1
    return count


@njit(cache=True, nogil=True)
def _kept_scores(
    query_integer: NDArray[np.int32],
    query_fraction: NDArray[np.int32],
    key_integer: NDArray[np.int32],
    key_fraction: NDArray[np.int32],
    columns: NDArray[np.int64],
    count: int,
    approximation: bool,
    fraction_bits: int,
    raw: NDArray[np.int32],
    scores: NDArray[np.int64],
) -> None:
    """Raw scores of one query row with the listed keys.

    With q = (I << f) + F a score is ``(q IK << f) + (IQ FK << f)`` under the approximation and ``(q IK << f) + q FK``
    without: two products either way.
    """
    head_dim = len(raw)
    for c in range(head_dim):
        raw[c] = (query_integer[c] << fraction_bits) + query_fraction[c]
    left = query_integer if approximation else raw
    shift = fraction_bits if approximation else 0
    for i in range(count):
        j = columns[i]
        with_integer, with_fraction = np.int64(0), np.int64(0)
        for c in range(head_dim):
            with_integer += np.int64(raw[c]) * np.int64(key_integer[j, c])
            with_fraction += np.int64(left[c]) * np.int64(key_fraction[j, c])
        scores[i] = (with_integer << fraction_bits) + (with_fraction << shift)


@njit(cache=True, nogil=True)
def _weigh(
    scores: NDArray[np.int64],
    columns: NDArray[np.int64],
    count: int,
    pruned: int,
    pruned_score: int,
    factor: float,
    kind: int,
    value: NDArray[np.int32],
    value_total: NDArray[np.int64],
    scratch: NDArray[np.float64],
    total: NDArray[np.int64],
    unit: float,
    output: NDArray[np.float32],
) -> None:
    """Softmax of a row's scores and its product with V: probabilities of 15 fraction bits, sums exact, one rounding."""
    counted = pruned if pruned_score != _EXCLUDED else 0
    peak = scores[0]
    for i in range(1, count):
        peak = max(peak, scores[i])
    if counted:
        peak = max(peak, np.int64(0))
    denominator = 0.0
    for i in range(count):
        scratch[i] = exponential((scores[i] - peak) * factor, kind)
        denominator += scratch[i]
    of_zero = 0.0
    if counted:
        of_zero = exponential(-peak * factor, kind)
        denominator += counted * of_zero
    one = float(1 << _PROBABILITY_BITS)
    background = np.int64(np.rint(of_zero / denominator * one)) if counted and pruned_score == _ZERO else np.int64(0)
    total[:] = 0
    for i in range(count):
        # With a background on every key, kept ones add what they have beyond it.
        probability = np.int64(np.rint(scratch[i] / denominator * one)) - background
        row = value[columns[i]]
        for c in range(len(total)):
            total[c] += probability * np.int64(row[c])
    if background:
        for c in range(len(total)):
            total[c] += background * value_total[c]
    for c in range(len(total)):
        output[c] = np.float32(float(total[c]) * unit)


@njit(cache=True, nogil=True)
def _column_sums(value: NDArray[np.int32]) -> NDArray[np.int64]:
    total = np.zeros(value.shape[1], dtype=np.int64)
    for j in range(value.shape[0]):
        for c in range(value.shape[1]):
            total[c] += value[j, c]
    return total


@njit(cache=True, nogil=True, parallel=True)
def attend_rows(
    query_integer: NDArray[np.int32],
    query_fraction: NDArray[np.int32],
    key_integer: NDArray[np.int32],
    key_fraction: NDArray[np.int32],
    value: NDArray[np.int32],
    block_kept: NDArray[np.bool_],
    head_kept: NDArray[np.bool_],
    pruned_score: int,
    approximation: bool,
    fraction_bits: int,
    factor: float,
    kind: int,
    output: NDArray[np.float32],
) -> None:
    """Fill the output of kept heads. All arrays [heads, n, head_dim] but the masks."""
    heads, n, head_dim = value.shape
    nb = block_kept.shape[1]
    tasks = heads * nb
    chunks = min(tasks, _CHUNKS)
    unit = 2.0 ** -(_PROBABILITY_BITS + fraction_bits)
    for chunk in prange(chunks):
        columns = np.empty(n, dtype=np.int64)
        scores = np.empty(n, dtype=np.int64)
        scratch = np.empty(n, dtype=np.float64)
        total = np.empty(head_dim, dtype=np.int64)
        raw = np.empty(head_dim, dtype=np.int32)
        value_total = np.zeros(head_dim, dtype=np.int64)
        summed = -1
        for task in range(chunk * tasks // chunks, (chunk + 1) * tasks // chunks):
            head, block_row = task // nb, task % nb
            if not head_kept[head]:
                continue
            if pruned_score == _ZERO and summed != head:
                value_total = _column_sums(value[head])
                summed = head
            count = _kept_columns(block_kept[head, block_row], n, columns)
            for row in range(2 * block_row, min(2 * block_row + 2, n)):
                _kept_scores(
                    query_integer[head, row], query_fraction[head, row], key_integer[head], key_fraction[head],
                    columns, count, approximation, fraction_bits, raw, scores,
                )  # fmt: skip
                _weigh(
                    scores, columns, count, n - count, pruned_score, factor, kind, value[head], value_total,
                    scratch, total, unit, output[head, row],
                )  # fmt: skip


@njit(cache=True, nogil=True, parallel=True)
def dense_rows(
    query: NDArray[np.int32],
    key: NDArray[np.int32],
    value: NDArray[np.int32],
    fraction_bits: int,
    factor: float,
    kind: int,
    output: NDArray[np.float32],
) -> None:
    """Fill the output of dense attention on raw fixed point, all arrays [heads, n, head_dim]."""
    heads, n, head_dim = value.shape
    tasks = heads * n
    chunks = min(tasks, _CHUNKS)
    unit = 2.0 ** -(_PROBABILITY_BITS + fraction_bits)
    for chunk in prange(chunks):
        columns = np.arange(n)
        scores = np.empty(n, dtype=np.int64)
        scratch = np.empty(n, dtype=np.float64)
        total = np.empty(head_dim, dtype=np.int64)
        for task in range(chunk * tasks // chunks, (chunk + 1) * tasks // chunks):
            head, row = task // n, task % n
            for j in range(n):
                score = np.int64(0)
                for c in range(head_dim):
                    score += np.int64(query[head, row, c]) * np.int64(key[head, j, c])
                scores[j] = score
            _weigh(
                scores, columns, n, 0, _EXCLUDED, factor, kind, value[head], total, scratch, total, unit,
                output[head, row],
            )  # fmt: skip
