"""Compiled loops of `accelsim.kernels.energon`: queries of many heads, shared out among threads.

Scores are exact integers and each query is worked on alone; all that is added in floating point is one query's
exponentials, in the order of its keys. So no result depends on the number of threads.
"""

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from accelsim.kernels.hdp_rows import exponential, row_threshold

PROBABILITY_BITS = 15
"""Probabilities are unsigned, 0 to 1 inclusive in steps of 2**-15."""
_CHUNKS = 64
"""Shares that the queries are cut into; each has scratch of its own."""


@njit(cache=True, nogil=True)
def _scores(query: NDArray[np.int32], keys: NDArray[np.int32], scores: NDArray[np.int32]) -> None:
    """Scores of a query [head_dim] with all keys [head_dim, n]: the keys are the inner loop, to vectorise."""
    scores[:] = 0
    for c in range(keys.shape[0]):
        factor = query[c]
        for j in range(keys.shape[1]):
            scores[j] += factor * keys[c, j]


@njit(cache=True, nogil=True)
def _filter(
    candidates: NDArray[np.int64], count: int, scores: NDArray[np.int32], alpha: float, packed: NDArray[np.int64]
) -> int:
    """Leave the candidates whose score is at or above their threshold at the front; returns how many."""
    for k in range(count):
        packed[k] = scores[candidates[k]]
    threshold = row_threshold(packed[:count], alpha)
    left = 0
    for k in range(count):
        if packed[k] >= threshold:
            candidates[left] = candidates[k]
            left += 1
    return left


@njit(cache=True, nogil=True, parallel=True)
def select_rows(
    queries: NDArray[np.int32],
    keys: NDArray[np.int32],
    alpha: float,
    kept: NDArray[np.bool_],
    survivors: NDArray[np.int64],
) -> None:
    """Fill the mask [heads, n, n], False before, and how many keys each round leaves of each query [heads, n, rounds].

    `queries` [rounds, heads, n, head_dim] and `keys` [rounds, heads, head_dim, n] are the codes of each round.
    """
    rounds, heads, n, _ = queries.shape
    tasks = heads * n
    chunks = min(tasks, _CHUNKS)
    for chunk in prange(chunks):
        scores = np.empty(n, dtype=np.int32)
        packed = np.empty(n, dtype=np.int64)
        for task in range(chunk * tasks // chunks, (chunk + 1) * tasks // chunks):
            head, row = task // n, task % n
            candidates = np.arange(n)
            count = n
            for turn in range(rounds):
                _scores(queries[turn, head, row], keys[turn, head], scores)
                count = _filter(candidates, count, scores, alpha, packed)
                survivors[head, row, turn] = count
            for k in range(count):
                kept[head, row, candidates[k]] = True


@njit(cache=True, nogil=True)
def _weigh(
    scores: NDArray[np.int64],
    columns: NDArray[np.int64],
    count: int,
    factor: float,
    kind: int,
    value: NDArray[np.int32],
    scratch: NDArray[np.float64],
    total: NDArray[np.int64],
) -> None:
    """Softmax of a query's scores and its product with V: sums of integers, in steps of a probability and of V."""
    peak = scores[0]
    for k in range(1, count):
        peak = max(peak, scores[k])
    denominator = 0.0
    for k in range(count):
        scratch[k] = exponential((scores[k] - peak) * factor, kind)
        denominator += scratch[k]
    one = float(1 << PROBABILITY_BITS)
    total[:] = 0
    for k in range(count):
        probability = np.int64(np.rint(scratch[k] / denominator * one))
        row = value[columns[k]]
        for c in range(len(total)):
            total[c] += probability * np.int64(row[c])


@njit(cache=True, nogil=True, parallel=True)
def attend_rows(
    query: NDArray[np.int32],
    key: NDArray[np.int32],
    value: NDArray[np.int32],
    kept: NDArray[np.bool_],
    factor: NDArray[np.float64],
    step: NDArray[np.float64],
    kind: int,
    output: NDArray[np.float32],
) -> None:
    """Fill the output; operands and output are [heads, n, head_dim], `factor` and `step` (of V) are [heads]."""
    heads, n, head_dim = value.shape
    tasks = heads * n
    chunks = min(tasks, _CHUNKS)
    for chunk in prange(chunks):
        columns = np.empty(n, dtype=np.int64)
        scores = np.empty(n, dtype=np.int64)
        scratch = np.empty(n, dtype=np.float64)
        total = np.empty(head_dim, dtype=np.int64)
        for task in range(chunk * tasks // chunks, (chunk + 1) * tasks // chunks):
            head, row = task // n, task % n
            count = 0
            for j in range(n):
                if kept[head, row, j]:
                    score = np.int64(0)
                    for c in range(head_dim):
                        score += np.int64(query[head, row, c]) * np.int64(key[head, j, c])
                    columns[count] = j
                    scores[count] = score
                    count += 1
            _weigh(scores, columns, count, factor[head], kind, value[head], scratch, total)
            for c in range(head_dim):
                output[head, row, c] = np.float32(float(total[c]) * step[head] * 2.0**-PROBABILITY_BITS)
