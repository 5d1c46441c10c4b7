"""Compiled loops of `accelsim.kernels.sanger`: rows of many heads, shared out among threads.

Nothing is added up across rows, and all sums are of integers: a result is a function of its row alone.
"""

import math

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

EXPONENTIAL_FRACTION_BITS = 15
"""Exponentials are unsigned, 0 to 1 inclusive in steps of 2**-15: 16 bits."""
TABLE_BITS = 6
"""Bits of a fraction that choose an entry of the exponential's table."""
LOG2_E = 1.4375
"""1 + 1/2 - 1/16, which shifts and adds make: the exponential unit's log2(e)."""
TABLE = 1
"""The table's place in `accelsim.kernels.sanger.EXPONENTIALS`."""
UNDERFLOW = -40.0
"""Arguments below give 0: less than half a step of an exponential, whatever its kind."""
_ENTRIES = 1 << TABLE_BITS
_ONE = float(1 << EXPONENTIAL_FRACTION_BITS)
_HALVES = _ONE * 2.0 ** -np.arange(64.0)
"""One, halved so many times."""
_CHUNKS = 64
"""Shares that rows are cut into; each has scratch of its own."""


@njit(cache=True, nogil=True)
def _exponential(x: float, kind: int, table: NDArray[np.float64]) -> int:
    """exp(x) for x <= 0, rounded to steps of 2**-15."""
    if x < UNDERFLOW:
        return 0
    if kind != TABLE:
        return int(math.exp(x) * _ONE + 0.5)
    halvings = math.ceil(x * -LOG2_E)
    fraction = halvings + x * LOG2_E
    return int((fraction + table[int(fraction * _ENTRIES)]) * _HALVES[halvings] + 0.5)


@njit(cache=True, nogil=True)
def _low_bit_scores(query: NDArray[np.int32], keys: NDArray[np.int32], raw: NDArray[np.int32]) -> None:
    """Products of a query with all keys [head_dim, n]: the keys are the inner loop, to vectorise, four numbers of the
    query at a time, to write sums less often."""
    head_dim, n = keys.shape
    raw[:] = 0
    fours = head_dim - head_dim % 4
    for c in range(0, fours, 4):
        first, second, third, fourth = query[c], query[c + 1], query[c + 2], query[c + 3]
        for j in range(n):
            raw[j] += first * keys[c, j] + second * keys[c + 1, j] + third * keys[c + 2, j] + fourth * keys[c + 3, j]
    for c in range(fours, head_dim):
        factor = query[c]
        for j in range(n):
            raw[j] += factor * keys[c, j]


@njit(cache=True, nogil=True)
def _predict_row(
    query: NDArray[np.int32],
    keys: NDArray[np.int32],
    query_factor: float,
    key_factor: NDArray[np.float64],
    threshold: float,
    kind: int,
    table: NDArray[np.float64],
    raw: NDArray[np.int32],
    scores: NDArray[np.float64],
    exponentials: NDArray[np.int64],
    columns: NDArray[np.int64],
) -> int:
    """Write the keys that a query keeps, ascending; returns how many. `keys` is [head_dim, n]."""
    n = keys.shape[1]
    _low_bit_scores(query, keys, raw)
    best = 0
    for j in range(n):
        scores[j] = raw[j] * key_factor[j] * query_factor
        if scores[j] > scores[best]:
            best = j
    top, total = scores[best], np.int64(0)
    for j in range(n):
        exponentials[j] = _exponential(scores[j] - top, kind, table)
        total += exponentials[j]
    limit = threshold * total
    count = 0
    for j in range(n):
        if exponentials[j] > limit:
            columns[count] = j
            count += 1
    if count == 0:
        columns[0] = best
        count = 1
    return count


@njit(cache=True, nogil=True)
def _attend_row(
    query: NDArray[np.int32],
    key: NDArray[np.int32],
    value: NDArray[np.int32],
    columns: NDArray[np.int64],
    count: int,
    fraction_bits: int,
    factor: float,
    kind: int,
    table: NDArray[np.float64],
    scores: NDArray[np.int64],
    sums: NDArray[np.int64],
    output: NDArray[np.float32],
) -> None:
    """Softmax of a query's scores with the listed keys, times V."""
    head_dim = len(query)
    for i in range(count):
        row, score = key[columns[i]], np.int64(0)
        for c in range(head_dim):
            score += np.int64(query[c]) * np.int64(row[c])
        scores[i] = score
    top, total = scores[:count].max(), np.int64(0)
    sums[:] = 0
    for i in range(count):
        weight = np.int64(_exponential((scores[i] - top) * factor, kind, table))
        total += weight
        if weight:
            row = value[columns[i]]
            for c in range(head_dim):
                sums[c] += weight * np.int64(row[c])
    scale = 2.0**fraction_bits * total
    for c in range(head_dim):
        output[c] = np.float32(sums[c] / scale)


@njit(cache=True, nogil=True, parallel=True)
def sanger_rows(
    query: NDArray[np.int32],
    keys: NDArray[np.int32],
    query_factor: NDArray[np.float64],
    key_factor: NDArray[np.float64],
    threshold: float,
    kind: int,
    table: NDArray[np.float64],
    vector: int,
    counts: NDArray[np.int32],
    mask: NDArray[np.bool_],
    full: NDArray[np.int32],
    fraction_bits: int,
    factor: float,
    output: NDArray[np.float32],
) -> None:
    """Fill the counts of kept pairs, and the mask and the output unless these arrays are empty.

    `query` [heads, n, head_dim] and `keys` [heads, head_dim, n] are the low-bit operands, their factors [heads, n],
    `full` [3, heads, n, head_dim] is Q, K and V at full width, `counts` [heads, n, vectors] begins with zeros.
    """
    heads, n, head_dim = query.shape
    tasks = heads * n
    chunks = min(tasks, _CHUNKS)
    for chunk in prange(chunks):
        raw = np.empty(n, dtype=np.int32)
        predicted = np.empty(n, dtype=np.float64)
        exponentials = np.empty(n, dtype=np.int64)
        columns = np.empty(n, dtype=np.int64)
        scores = np.empty(n, dtype=np.int64)
        sums = np.empty(head_dim, dtype=np.int64)
        for task in range(chunk * tasks // chunks, (chunk + 1) * tasks // chunks):
            head, row = task // n, task % n
            count = _predict_row(
                query[head, row], keys[head], query_factor[head, row], key_factor[head], threshold, kind, table,
                raw, predicted, exponentials, columns,
            )  # fmt: skip
            for i in range(count):
                counts[head, row, columns[i] // vector] += 1
            if mask.size:
                mask[head, row] = False
                for i in range(count):
                    mask[head, row, columns[i]] = True
            if output.size:
                _attend_row(
                    full[0, head, row], full[1, head], full[2, head], columns, count, fraction_bits, factor, kind,
                    table, scores, sums, output[head, row],
                )  # fmt: skip


@njit(cache=True, nogil=True, parallel=True)
def count_windows(mask: NDArray[np.bool_], rows: int, segment: int, ports: int, windows: NDArray[np.int64]) -> None:
    """Fill `windows` [heads, groups] as `accelsim.kernels.sanger.column_windows` documents it."""
    heads, n, _ = mask.shape
    groups = windows.shape[1]
    for task in prange(heads * groups):
        head, group = task // groups, task % groups
        first, last = group * rows, min((group + 1) * rows, n)
        held = np.zeros(rows, dtype=np.int64)
        begin, found, some = 0, 0, False
        for column in range(n):
            full = column - begin >= ports
            for row in range(first, last):
                full = full or (mask[head, row, column] and held[row - first] == segment)
            if full:
                found += some
                held[:] = 0
                begin, some = column, False
            for row in range(first, last):
                if mask[head, row, column]:
                    held[row - first] += 1
                    some = True
        windows[head, group] = found + some
