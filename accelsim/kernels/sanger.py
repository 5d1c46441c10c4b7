"""Attention that a low-bit prediction prunes element by element, as Sanger does, in fixed point.

Q and K are brought to a few bits, their softmax is predicted from them, and a pair stays when its predicted probability
is above a threshold. Kept pairs are then computed at full width: exact integer scores, exponentials of
`EXPONENTIAL_FRACTION_BITS` fraction bits, exact sums of exponential times V, and one division for each output. So the
only floating point between operands and output is the argument of an exponential.

Rows are computed alone and shared out among threads; no array of n x n numbers exists unless the mask is asked for.
`accelsim.kernels.sanger_reference` is the plain twin, and equal bit for bit.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.fixed_point import quantise
from accelsim.kernels.sanger_rows import EXPONENTIAL_FRACTION_BITS, TABLE_BITS, count_windows, sanger_rows

FloatArray = NDArray[np.float32]
Float64Array = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

EXPONENTIALS = ("exact", "table")
NORMALISATIONS = ("none", "inner_product")

KEEP_ALL = -1.0
"""A threshold that every predicted probability is above."""

__all__ = [
    "EXPONENTIALS", "EXPONENTIAL_FRACTION_BITS", "KEEP_ALL", "NORMALISATIONS", "LowBits", "SangerValues",
    "column_windows", "exponential_table", "load_balance", "low_bits", "sanger_attention", "segments",
]  # fmt: skip


@dataclass(frozen=True)
class LowBits:
    """Q and K in a few bits: a score is about ``(query . key) * query_factor * key_factor``, 1 / sqrt(d) included."""

    query: NDArray[np.int32]
    """[heads, n, head_dim], from -(2**(bits - 1) - 1) to 2**(bits - 1) - 1."""
    key: NDArray[np.int32]
    query_factor: Float64Array
    """[heads, n]"""
    key_factor: Float64Array
    """[heads, n]"""


@dataclass(frozen=True)
class SangerValues:
    """What is kept, and what comes out."""

    output: FloatArray | None
    """[heads, n, head_dim]; None when only the decision was asked for."""
    vector_counts: NDArray[np.int32]
    """[heads, n, ceil(n / vector)] kept pairs of each query in each run of `vector` keys."""
    mask: BoolArray | None
    """[heads, n, n] when asked for."""
    saturated: int
    """Numbers of Q, K and V that the full-width format could not hold; 0 when only the decision was asked for."""


def _symmetric(values: Float64Array, bits: int) -> tuple[NDArray[np.int32], float]:
    """Integers of `bits` bits, symmetric about 0, and the step that their largest magnitude gives."""
    limit = (1 << (bits - 1)) - 1
    largest = float(np.abs(values).max())
    if largest == 0.0:
        return np.zeros(values.shape, dtype=np.int32), 1.0
    return np.rint(values * (limit / largest)).astype(np.int32), largest / limit


def _low_bits(values: FloatArray, bits: int, normalise: str) -> tuple[NDArray[np.int32], Float64Array]:
    """Integers [heads, n, head_dim], and the factor [heads, n] that each row is to be multiplied by."""
    wide = values.astype(np.float64)
    if normalise == "none":
        numbers, step = _symmetric(wide, bits)
        return numbers, np.full(values.shape[:2], step)
    # cumsum fixes the order of additions, which sum does not.
    norms = np.sqrt(np.cumsum(wide * wide, axis=2)[:, :, -1])
    wide /= np.where(norms > 0, norms, 1.0)[:, :, None]
    numbers, step = _symmetric(wide, bits)
    return numbers, step * norms


def low_bits(query: FloatArray, key: FloatArray, *, bits: int = 4, normalise: str = "inner_product") -> LowBits:
    """Bring Q and K to `bits` bits by symmetric quantisation, one step for all heads of each.

    Parameters
    ----------
    query, key : float32 [heads, n, head_dim]
    bits : int
        2 to 8; the largest magnitude becomes ``2**(bits - 1) - 1``. The public code follows that magnitude by a moving
        average in training; here it is that of the operands themselves.
    normalise : {"inner_product", "none"}
        "inner_product" divides each row by its length before, and multiplies scores by both lengths after.

    Raises
    ------
    ValueError
        For widths or names that do not exist, shapes that differ, NaN or infinity.
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"bits is {bits}; allowed: 2 to 8")
    if normalise not in NORMALISATIONS:
        raise ValueError(f"unknown normalise {normalise!r}; allowed: {', '.join(NORMALISATIONS)}")
    if query.ndim != 3 or query.shape != key.shape or 0 in query.shape:
        raise ValueError(f"need operands of one shape [heads, n, head_dim], not {query.shape}, {key.shape}")
    if not (np.isfinite(query).all() and np.isfinite(key).all()):
        raise ValueError("a low-bit prediction cannot be made from NaN or infinity")
    query_numbers, query_factor = _low_bits(query, bits, normalise)
    key_numbers, key_factor = _low_bits(key, bits, normalise)
    return LowBits(query_numbers, key_numbers, query_factor / math.sqrt(query.shape[2]), key_factor)


def exponential_table() -> Float64Array:
    """``2**t - t`` at the left end t of each of 64 intervals of [0, 1): what the unit adds to a fraction.

    One more entry at t = 1 serves arguments so little below a whole power that their fraction rounds to 1.
    """
    entries = 1 << TABLE_BITS
    left = np.arange(entries + 1) / entries
    return np.exp2(left) - left


def segments(vector_counts: NDArray[np.integer], segment: int) -> IntArray:
    """Runs of at most `segment` kept pairs that each vector splits into; none for an empty one."""
    split: IntArray = -(-np.asarray(vector_counts, dtype=np.int64) // segment)
    return split


def load_balance(vector_counts: NDArray[np.integer], segment: int = 16) -> float:
    """Share of a segment's processing elements that hold a kept pair, the mean over all segments (1 without any).

    Every full segment counts 1 and each remnant its share, over the number of segments; vectors without a kept pair are
    skipped. This is the metric of Sanger's public code (github.com/hatsu3/Sanger, modeling_sanger_spattn.py).
    """
    kept = int(np.asarray(vector_counts, dtype=np.int64).sum())
    return kept / (segment * int(segments(vector_counts, segment).sum())) if kept else 1.0


def column_windows(mask: BoolArray, rows: int, segment: int, ports: int) -> IntArray:
    """Windows of columns that each group of `rows` queries is cut into, [heads, groups].

    Keys are taken in order, for all queries of the group together. A window ends before the key that would give any
    query more than `segment` kept pairs, and after `ports` keys; windows without a kept pair are skipped. This is what
    the pack module of Sanger's public hardware description does.

    Parameters
    ----------
    mask : bool [heads, n, n]
    rows, segment, ports : int
        Queries of a group, processing elements of a query, keys that reach them together.
    """
    windows = np.empty((mask.shape[0], -(-mask.shape[1] // rows)), dtype=np.int64)
    count_windows(mask, rows, segment, ports, windows)
    return windows


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
    keep_mask: bool = False,
    decide_only: bool = False,
) -> SangerValues:
    """Attention of every head at the pairs whose predicted probability is above a threshold.

    A row that would keep nothing keeps its largest predicted score, the first of equals.

    Parameters
    ----------
    query, key, value : float32 [heads, n, head_dim]
        Heads share the step of the low-bit quantisation and nothing else.
    threshold : float
        Probability, at most 1; `KEEP_ALL` keeps every pair.
    predict_bits, normalise
        See `low_bits`.
    exponential : {"table", "exact"}
        Of the prediction and of kept scores, always relative to the row's largest. "table" is Sanger's unit:
        ``2**(1.4375 x)``, with 1.4375 for log2(e), by a shift and a table of 64 entries.
    vector : int
        Keys that `vector_counts` counts together.
    integer_bits, fraction_bits : int
        Format of Q, K and V at full width.
    keep_mask, decide_only : bool
        Return the mask; leave out the output.

    Raises
    ------
    ValueError
        For shapes that differ, settings out of range, NaN or infinity.
    """
    if exponential not in EXPONENTIALS:
        raise ValueError(f"unknown exponential {exponential!r}; allowed: {', '.join(EXPONENTIALS)}")
    if vector < 1 or not threshold <= 1:
        raise ValueError(f"vector {vector} and threshold {threshold}: need vector >= 1 and threshold <= 1")
    if value.shape != key.shape:
        raise ValueError(f"need operands of one shape [heads, n, head_dim], not {key.shape}, {value.shape}")
    low = low_bits(query, key, bits=predict_bits, normalise=normalise)
    heads, n, head_dim = query.shape
    counts = np.zeros((heads, n, -(-n // vector)), dtype=np.int32)
    mask = np.empty((heads, n, n) if keep_mask else (0, 0, 0), dtype=np.bool_)
    output = np.empty((0, 0, 0) if decide_only else query.shape, dtype=np.float32)
    full, saturated = np.empty((3, 0, 0, 0), dtype=np.int32), 0
    if not decide_only:
        parts = [quantise(operand, integer_bits, fraction_bits) for operand in (query, key, value)]
        full, saturated = np.stack([part.raw for part in parts]), sum(part.saturated for part in parts)
    sanger_rows(
        low.query,
        np.ascontiguousarray(low.key.transpose(0, 2, 1)),
        low.query_factor,
        low.key_factor,
        float(threshold),
        EXPONENTIALS.index(exponential),
        exponential_table(),
        vector,
        counts,
        mask,
        full,
        fraction_bits,
        1.0 / (math.sqrt(head_dim) * 2.0 ** (2 * fraction_bits)),
        output,
    )
    return SangerValues(None if decide_only else output, counts, mask if keep_mask else None, saturated)
