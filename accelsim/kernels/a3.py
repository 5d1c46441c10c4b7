"""Attention as the A3 unit computes it: candidates from sorted keys, post-scoring, exponents from two tables.

All numbers are integers. Q, K and V are signed fixed point; a score's distance below the largest one of its query,
divided by sqrt(head_dim), has 8 integer and 8 fraction bits; exponents and weights lie from 0 to below 1. Keys beyond
one tile are taken tile by tile: a query's largest score, sum of exponents and weighted sum run along, faded by an
exponent of their own where a later tile holds a larger score, and the division comes last.

`accelsim.kernels.a3_reference` is the plain twin, and equal bit for bit.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.a3_rows import attend_tile
from accelsim.kernels.a3_tables import TABLE_BITS, distance_limit, exponent_tables, score_scaling
from accelsim.kernels.fixed_point import Quantised, quantise

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int32]

MAX_KERNEL_BITS = 12
"""Most bits of exponents and of weights: sums over a million keys then fit in 64 bits."""
BEFORE_ANY = -(2**62)
"""Below every score."""


@dataclass(frozen=True)
class A3Format:
    """Widths of the unit's numbers."""

    integer_bits: int = 4
    """Of Q, K and V before the binary point, sign included."""
    fraction_bits: int = 4
    """Of Q, K and V after it."""
    exponent_bits: int = 8
    """Fraction bits of an exponent; 1 is held as the largest number below it."""
    weight_bits: int = 8
    """Likewise, of a weight."""


@dataclass(frozen=True)
class A3Values:
    """Result of the unit's attention."""

    output: FloatArray
    """[heads, n, head_dim]"""
    candidates: IntArray
    """[heads, tiles, n] keys of a tile that a query's dot product is taken with."""
    kept: IntArray
    """[heads, tiles, n] those that post-scoring leaves."""
    saturated: int
    """Numbers of Q, K, V and the output that their formats could not hold."""


def tile_bounds(keys: int, tile: int) -> list[tuple[int, int]]:
    """First key, and the one after the last, of each tile."""
    return [(first, min(first + tile, keys)) for first in range(0, keys, tile)]


def selection_iterations(share: float, keys: int) -> int:
    """Iterations of candidate selection in a tile of so many keys: a share of them, and at least one."""
    return max(1, int(share * keys))


def _check(share: float | None, post_threshold: float, tile: int, number: A3Format) -> None:
    if share is not None and not 0 < share <= 1:
        raise ValueError(f"candidate_share is {share}; allowed: 0 < candidate_share <= 1, or none")
    if not 0 <= post_threshold < 1:
        raise ValueError(f"post_threshold is {post_threshold}; allowed: 0 <= post_threshold < 1")
    if tile < 1:
        raise ValueError(f"tile is {tile}; allowed: at least 1 key")
    for name in ("exponent_bits", "weight_bits"):
        if not 1 <= getattr(number, name) <= MAX_KERNEL_BITS:
            raise ValueError(f"{name} is {getattr(number, name)}; allowed: 1 to {MAX_KERNEL_BITS}")


def _score_type(head_dim: int, number: A3Format) -> type[np.floating]:
    """A float in which every partial sum of a score is an exact integer."""
    bits = 2 * (number.integer_bits + number.fraction_bits - 1) + (head_dim - 1).bit_length()
    return np.float32 if bits <= 24 else np.float64


def a3_attention(
    query: FloatArray,
    key: FloatArray,
    value: FloatArray,
    *,
    candidate_share: float | None = 0.5,
    post_threshold: float = 0.05,
    tile: int = 320,
    number: A3Format | None = None,
) -> A3Values:
    """Attention of every head as the A3 unit computes it.

    Parameters
    ----------
    query, key, value : float32 [heads, n, head_dim]
        Heads are independent of each other.
    candidate_share : float or None
        Iterations of candidate selection over keys of a tile. None: all keys are candidates and all of them are kept.
    post_threshold : float
        Candidates whose exponent is below this share of the largest one so far are dropped; 0 drops none.
    tile : int
        Keys that the unit holds. Up to here weights are divided before they weigh V, beyond it sums are divided last.
    number : A3Format, optional
        Widths; those of the unit's publication when left out.

    Raises
    ------
    ValueError
        For shapes that differ, values out of range, NaN or infinity.
    """
    number = number or A3Format()
    _check(candidate_share, post_threshold, tile, number)
    shapes = query.shape, key.shape, value.shape
    if query.ndim != 3 or len(set(shapes)) > 1 or 0 in query.shape:
        raise ValueError(f"need query, key and value of one shape [heads, n, head_dim], not {shapes}")
    heads, n = query.shape[:2]
    q, k, v = (quantise(array, number.integer_bits, number.fraction_bits) for array in (query, key, value))
    bounds = tile_bounds(n, tile)
    candidates = np.empty((heads, len(bounds), n), dtype=np.int32)
    kept = np.empty_like(candidates)
    output = np.empty(query.shape, dtype=np.float32)
    limit = distance_limit(post_threshold if candidate_share is not None else 0.0)
    lost = 0
    for head in range(heads):
        parts = q.raw[head], k.raw[head], v.raw[head]
        lost += _head(parts, bounds, candidate_share, limit, number, output[head], candidates[head], kept[head])
    return A3Values(output, candidates, kept, _saturated(q, k, v) + lost)


def _saturated(*parts: Quantised) -> int:
    return sum(part.saturated for part in parts)


def _head(
    raw: tuple[IntArray, IntArray, IntArray],
    bounds: list[tuple[int, int]],
    share: float | None,
    limit: int,
    number: A3Format,
    output: FloatArray,
    candidates: IntArray,
    kept: IntArray,
) -> int:
    """One head into `output`, `candidates` and `kept`; returns numbers of the output that saturated."""
    query, key, value = raw
    n, head_dim = query.shape
    kind = _score_type(head_dim, number)
    best, total = np.full(n, BEFORE_ANY, dtype=np.int64), np.zeros(n, dtype=np.int64)
    sums = np.zeros((n, head_dim), dtype=np.int64)
    for index, (first, last) in enumerate(bounds):
        keys = key[first:last]
        scores = query.astype(kind) @ keys.astype(kind).T
        order = np.argsort(keys, axis=0, kind="stable") if share is not None else np.empty((0, head_dim), np.int64)
        attend_tile(
            query,
            scores,
            value[first:last].astype(np.float64),
            np.ascontiguousarray(np.take_along_axis(keys, order, axis=0).T),
            np.ascontiguousarray(order.T.astype(np.int32)),
            selection_iterations(share, last - first) if share is not None else 0,
            limit,
            *score_scaling(head_dim, number.fraction_bits),
            *exponent_tables(),
            number.exponent_bits,
            number.weight_bits,
            2 * TABLE_BITS - number.exponent_bits,
            len(bounds) > 1,
            best,
            total,
            sums,
            candidates[index],
            kept[index],
        )
    if len(bounds) > 1:
        # Half of the divisor first: to the nearest, halves upwards.
        sums = ((sums << (number.weight_bits + 1)) + total[:, None]) // (2 * total[:, None])
    steps = number.weight_bits + number.fraction_bits
    half = 1 << (steps + number.integer_bits - 1)
    output[:] = np.clip(sums, -half, half - 1) * 2.0**-steps
    return int(np.count_nonzero((sums < -half) | (sums >= half)))
