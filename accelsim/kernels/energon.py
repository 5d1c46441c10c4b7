"""Attention behind a filter of mixed precision: rounds of low-bit scores choose the keys that full precision sees.

`energon_attention` is the whole of it, `energon_filter` its decision alone. Operands are scaled to 16-bit integers by
their largest magnitude. A round scores the keys that the round before left with the uppermost bits of Q and K, and
keeps those at or above a threshold between the mean and an extreme of the row. Attention over the survivors takes the
16-bit numbers. Scores are exact integers; floating point enters with the exponential and leaves with probabilities of
15 fraction bits, so P x V is exact again.

`accelsim.kernels.energon_reference` is the plain twin, and equal bit for bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.energon_rows import attend_rows, select_rows
from accelsim.kernels.fixed_point import quantise
from accelsim.kernels.hdp import EXPONENTIALS

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

OPERAND_BITS = 16
MAX_CODE_BITS = 8
"""Widest operands of a filtering round, so that 32-bit integers hold every score."""
SCALINGS = ("layer", "head")
"""Whether all heads share a scale, or each has its own."""
ROUNDINGS = ("floor", "round")
"""How upper bits are taken: cut off from two's complement, or to the nearest (ties upwards) that they hold."""


@dataclass(frozen=True)
class FilterResult:
    """Which keys the filter leaves."""

    kept: BoolArray
    """[heads, n, n] by query and key; at least one key of every query."""
    survivors: IntArray
    """[heads, n, rounds] keys of each query that each round leaves."""


@dataclass(frozen=True)
class EnergonValues:
    """Result of filtered attention."""

    output: FloatArray
    """[heads, n, head_dim]"""
    kept: BoolArray
    survivors: IntArray


def scaled(values: FloatArray, scaling: str) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """16-bit integers of numbers [heads, n, head_dim], the largest magnitude becoming 32,767.

    Returns
    -------
    raw : int32 [heads, n, head_dim]
    scale : float64 [heads]
        What the numbers were multiplied by; 1 where all are 0.

    Raises
    ------
    ValueError
        For an unknown scaling, and for NaN or infinity.
    """
    if scaling not in SCALINGS:
        raise ValueError(f"unknown scaling {scaling!r}; allowed: {', '.join(SCALINGS)}")
    if not np.isfinite(values).all():
        raise ValueError("16-bit integers cannot hold NaN or infinity")
    largest = np.abs(values).max(axis=(1, 2)).astype(np.float64)
    if scaling == "layer":
        largest[:] = largest.max()
    top = float((1 << (OPERAND_BITS - 1)) - 1)
    scale = np.divide(top, largest, out=np.ones_like(largest), where=largest > 0)
    raw = np.stack([quantise(head, OPERAND_BITS, 0, scale=float(s)).raw for head, s in zip(values, scale, strict=True)])
    return raw, scale


def upper_bits(raw: NDArray[np.int32], bits: int, rounding: str) -> NDArray[np.int32]:
    """Uppermost `bits` of 16-bit numbers, as signed integers of that width.

    Raises
    ------
    ValueError
        For an unknown rounding or a width that no round can have.
    """
    if rounding not in ROUNDINGS:
        raise ValueError(f"unknown rounding {rounding!r}; allowed: {', '.join(ROUNDINGS)}")
    if not 1 <= bits <= MAX_CODE_BITS:
        raise ValueError(f"a round's operands have {bits} bits; allowed: 1 to {MAX_CODE_BITS}")
    shift = OPERAND_BITS - bits
    half = 1 << (shift - 1) if rounding == "round" else 0
    code: NDArray[np.int32] = np.minimum((raw + half) >> shift, (1 << (bits - 1)) - 1).astype(np.int32)
    return code


def _round_codes(
    query: NDArray[np.int32], key: NDArray[np.int32], rounds: Sequence[tuple[int, int]], rounding: str
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Codes of Q [rounds, heads, n, head_dim] and, transposed, of K [rounds, heads, head_dim, n].

    K is taken once, at the width of the last round, and earlier rounds see upper bits of that code: this is what lets a
    round add to the scores of the one before.
    """
    widest = rounds[-1][1]
    code = upper_bits(key, widest, rounding)
    queries = np.stack([upper_bits(query, query_bits, rounding) for query_bits, _ in rounds])
    keys = np.stack([code >> (widest - key_bits) for _, key_bits in rounds])
    return queries, np.ascontiguousarray(keys.transpose(0, 1, 3, 2))


def _select(
    query: NDArray[np.int32], key: NDArray[np.int32], rounds: Sequence[tuple[int, int]], alpha: float, rounding: str
) -> FilterResult:
    widths = [key_bits for _, key_bits in rounds]
    if not rounds or widths != sorted(set(widths)):
        raise ValueError(f"rounds need key bits that grow from each to the next, not {widths}")
    if not -1 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}; allowed: -1 <= alpha <= 1")
    heads, n, _ = query.shape
    kept = np.zeros((heads, n, n), dtype=np.bool_)
    survivors = np.empty((heads, n, len(rounds)), dtype=np.int64)
    select_rows(*_round_codes(query, key, rounds, rounding), float(alpha), kept, survivors)
    return FilterResult(kept, survivors)


def energon_filter(
    query: FloatArray,
    key: FloatArray,
    *,
    rounds: Sequence[tuple[int, int]] = ((4, 2), (4, 4)),
    alpha: float = 0.0,
    rounding: str = "floor",
    scaling: str = "head",
) -> FilterResult:
    """Keys that survive all rounds of filtering.

    With m the mean of the scores that a query's remaining keys have in a round, its threshold is
    ``m + alpha (max - m)`` for alpha >= 0 and ``m + alpha (m - min)`` below; keys at the threshold stay. It is computed
    in float64 from exact integers and held between min and max, so the largest always stays.

    Parameters
    ----------
    query, key : float32 [heads, n, head_dim]
    rounds : sequence of (query_bits, key_bits)
        Widths of the operands of each round, 1 to 8 bits; those of K grow.
    alpha : float
        From -1 (keeps all) over 0 (the mean) to 1 (the largest alone).
    rounding : {"floor", "round"}
        How upper bits are taken.
    scaling : {"layer", "head"}
        Over what the largest magnitude is taken.

    Raises
    ------
    ValueError
        For rounds, alpha or switches out of range, NaN or infinity.
    """
    return _select(scaled(query, scaling)[0], scaled(key, scaling)[0], rounds, alpha, rounding)


def energon_attention(
    query: FloatArray,
    key: FloatArray,
    value: FloatArray,
    *,
    rounds: Sequence[tuple[int, int]] = ((4, 2), (4, 4)),
    alpha: float = 0.0,
    rounding: str = "floor",
    scaling: str = "head",
    exponential: str = "polynomial",
) -> EnergonValues:
    """Attention of every head over the keys that survive filtering.

    Parameters
    ----------
    query, key, value : float32 [heads, n, head_dim]
        Heads are independent of each other, but for the scale that they share under ``scaling="layer"``.
    rounds, alpha, rounding, scaling
        See `energon_filter`. `alpha` = -1 keeps everything.
    exponential : {"polynomial", "exact"}
        See `accelsim.kernels.hdp.attend`.

    Raises
    ------
    ValueError
        For rounds, alpha or switches out of range, NaN or infinity.
    """
    if exponential not in EXPONENTIALS:
        raise ValueError(f"unknown exponential {exponential!r}; allowed: {', '.join(EXPONENTIALS)}")
    (q, q_scale), (k, k_scale), (v, v_scale) = (scaled(matrix, scaling) for matrix in (query, key, value))
    found = _select(q, k, rounds, alpha, rounding)
    output = np.empty(query.shape, dtype=np.float32)
    factor = 1.0 / (np.sqrt(float(query.shape[2])) * q_scale * k_scale)
    attend_rows(q, k, v, found.kept, factor, 1.0 / v_scale, EXPONENTIALS.index(exponential), output)
    return EnergonValues(output, found.kept, found.survivors)


def keys_of_tiles(kept: BoolArray, tile: int) -> tuple[IntArray, IntArray]:
    """Keys that tiles of queries need, a tile being `tile` consecutive queries of a head (the last one may be shorter).

    Parameters
    ----------
    kept : bool [heads, n, n]
    tile : int
        At least 1.

    Returns
    -------
    needed : int64 [heads, tiles]
        Keys that any query of the tile keeps.
    new : int64 [heads, tiles]
        Those of them that no earlier tile of the head needed.
    """
    begins = np.arange(0, kept.shape[1], tile)
    needed = np.empty((len(kept), len(begins)), dtype=np.int64)
    new = np.empty_like(needed)
    for head, mask in enumerate(kept):
        tiles = np.logical_or.reduceat(mask, begins, axis=0)
        needed[head] = tiles.sum(axis=1)
        new[head] = np.diff(np.logical_or.accumulate(tiles, axis=0).sum(axis=1), prepend=0)
    return needed, new
