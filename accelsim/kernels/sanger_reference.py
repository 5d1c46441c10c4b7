"""The plain twin of `accelsim.kernels.sanger`: NumPy, one row after another, whole matrices of scores."""

import math

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.fixed_point import quantise
from accelsim.kernels.sanger import SangerValues, exponential_table, low_bits
from accelsim.kernels.sanger_rows import EXPONENTIAL_FRACTION_BITS, LOG2_E, TABLE_BITS, UNDERFLOW

FloatArray = NDArray[np.float32]


def exponentials(x: NDArray[np.float64], kind: str) -> NDArray[np.int64]:
    """exp(x) for x <= 0 in steps of 2**-15, any shape; 0 below an argument of -40."""
    one = 1 << EXPONENTIAL_FRACTION_BITS
    if kind == "exact":
        # math.exp, because NumPy's own differs from it in the last place.
        scaled = np.array([math.exp(number) * one for number in x.ravel()]).reshape(x.shape)
    else:
        power = x * LOG2_E
        whole = np.floor(power)
        fraction = power - whole
        table = exponential_table()
        scaled = (fraction + table[(fraction * (1 << TABLE_BITS)).astype(np.int64)]) * np.exp2(whole) * one
    return np.where(x < UNDERFLOW, 0, np.floor(scaled + 0.5)).astype(np.int64)


def sanger_attention(
    query: FloatArray,
    key: FloatArray,
    value: FloatArray,
    *,
    threshold: float,
    predict_bits: int = 4,
    normalise: str = "inner_product",
    exponential: str = "table",
    vector: int = 64,
    integer_bits: int = 4,
    fraction_bits: int = 12,
) -> SangerValues:
    """As `accelsim.kernels.sanger.sanger_attention`, with its mask."""
    heads, n, head_dim = query.shape
    low = low_bits(query, key, bits=predict_bits, normalise=normalise)
    parts = [quantise(operand, integer_bits, fraction_bits) for operand in (query, key, value)]
    q, k, v = (part.raw.astype(np.int64) for part in parts)
    mask = np.zeros((heads, n, n), dtype=np.bool_)
    output = np.empty(query.shape, dtype=np.float32)
    for head in range(heads):
        raw = low.query[head].astype(np.int64) @ low.key[head].T.astype(np.int64)
        predicted = raw * low.key_factor[head] * low.query_factor[head][:, None]
        scores = q[head] @ k[head].T
        for row in range(n):
            guess = exponentials(predicted[row] - predicted[row].max(), exponential)
            kept = guess > threshold * int(guess.sum())
            if not kept.any():
                kept[predicted[row].argmax()] = True
            mask[head, row] = kept
            own = scores[row, kept]
            factor = 1.0 / (math.sqrt(head_dim) * 2.0 ** (2 * fraction_bits))
            weights = exponentials((own - own.max()) * factor, exponential)
            output[head, row] = (weights @ v[head, kept]) / (2.0**fraction_bits * weights.sum())
    vectors = -(-n // vector)
    padded = np.zeros((heads, n, vectors * vector), dtype=np.int32)
    padded[:, :, :n] = mask
    counts = padded.reshape(heads, n, vectors, vector).sum(axis=3, dtype=np.int32)
    return SangerValues(output, counts, mask, sum(part.saturated for part in parts))


def column_windows(mask: NDArray[np.bool_], rows: int, segment: int, ports: int) -> NDArray[np.int64]:
    """As `accelsim.kernels.sanger.column_windows`: the next window is the longest that still fits."""
    heads, n, _ = mask.shape
    windows = np.zeros((heads, -(-n // rows)), dtype=np.int64)
    for head, group in np.ndindex(windows.shape):
        part = mask[head, group * rows : (group + 1) * rows]
        begin = 0
        while begin < n:
            held = np.cumsum(part[:, begin : begin + ports], axis=1).max(axis=0)
            length = int(np.count_nonzero(held <= segment))
            windows[head, group] += held[length - 1] > 0
            begin += length
    return windows
