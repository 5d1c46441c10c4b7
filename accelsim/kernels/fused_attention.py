"""softmax(Q K^T / sqrt(head_dim)) V tile by tile, as a fused kernel computes it: scores never leave the tile.

Each query keeps a running maximum, a running sum and an accumulator in float32; a new tile of keys rescales them
(Milakov and Gimelshein, arXiv 1805.02867; Dao et al., FlashAttention, NeurIPS 2022). Exponentials are rounded to the
operands' format before they multiply V, since tensor cores take operands of that format; the sum adds them unrounded.
Thread blocks, heads by query tiles, are independent, so results do not depend on the number of threads.
"""

import math
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from accelsim.kernels.formats import round_to_format

FORMATS = ("fp16", "bf16", "fp32")

_DROPPED_BITS = {"fp32": 0, "bf16": 16, "fp16": 13}
"""Bits of float32's fraction that a format lacks."""
_LEAST_NORMAL = {"fp32": 0.0, "bf16": 0.0, "fp16": 2.0**-14}
"""Below it the steps of a format stay the same; bf16's begin where float32's do."""
_STEP = 2.0**-24
"""Of fp16 there."""

Floats = NDArray[np.float32]


def fused_attention(
    query: NDArray[Any],
    key: NDArray[Any],
    value: NDArray[Any],
    *,
    tile_q: int = 128,
    tile_k: int = 128,
    causal: bool = False,
    dtype: str = "fp16",
    lengths: NDArray[np.int64] | None = None,
) -> Floats:
    """Attention of many heads by tiles.

    Parameters
    ----------
    query : array [q_heads, q_len, head_dim]
        On the grid of `dtype`, in float32.
    key, value : array [kv_heads, kv_len, head_dim]
        Head h of the queries uses head h // (q_heads / kv_heads) of them.
    tile_q, tile_k : int
        Queries of a thread block, keys of one of its steps. The latter decides how sums are ordered.
    causal : bool
        Whether query i sees keys up to kv_len - q_len + i alone.
    dtype : str
        fp16, bf16 or fp32: to which exponentials are rounded.
    lengths : int [kv_heads], optional
        Real keys of each, from 1 to kv_len, which come first: no query sees the others. Left out, all are real.

    Returns
    -------
    array [q_heads, q_len, head_dim]
        float32, not yet rounded to the format.

    Raises
    ------
    ValueError
        Unknown format, tiles below 1, shapes that do not belong together, causal attention of more queries than keys,
        lengths out of range.
    """
    operands = _checked(query, key, value, tile_q, tile_k, causal, dtype)
    real = _real_keys(lengths, key)
    output = np.empty_like(operands[0])
    scale = np.float32(1 / math.sqrt(query.shape[2]))
    least = np.float32(_LEAST_NORMAL[dtype])
    _blocks(*operands, real, output, scale, tile_q, tile_k, causal, _DROPPED_BITS[dtype], least)
    return output


def fused_attention_reference(
    query: NDArray[Any],
    key: NDArray[Any],
    value: NDArray[Any],
    *,
    tile_k: int = 128,
    causal: bool = False,
    dtype: str = "fp16",
    lengths: NDArray[np.int64] | None = None,
) -> Floats:
    """Plain NumPy twin of `fused_attention`: all queries of a head at once, one tile of keys after another."""
    query, key, value = _checked(query, key, value, 1, tile_k, causal, dtype)
    q_len, kv_len, shared = query.shape[1], key.shape[1], len(query) // len(key)
    last = kv_len - q_len + np.arange(q_len) if causal else np.full(q_len, kv_len - 1)
    scale = np.float32(1 / math.sqrt(query.shape[2]))
    output, real = np.empty_like(query), _real_keys(lengths, key)
    for head in range(len(query)):
        seen = real[head // shared]
        keys, values = key[head // shared, :seen], value[head // shared, :seen]
        most, total = np.full(q_len, -np.inf, np.float32), np.zeros(q_len, np.float32)
        gathered = np.zeros_like(query[head])
        for first in range(0, seen, tile_k):
            scores = query[head] @ keys[first : first + tile_k].T * scale
            scores[np.arange(first, first + scores.shape[1]) > last[:, None]] = -np.inf
            higher = np.maximum(most, scores.max(axis=1))
            shrink, weights = np.exp(most - higher), np.exp(scores - higher[:, None])
            total = total * shrink + weights.sum(axis=1)
            rounded = round_to_format(weights, dtype)
            gathered = gathered * shrink[:, None] + rounded @ values[first : first + tile_k]
            most = higher
        output[head] = gathered / total[:, None]
    return output


def _real_keys(lengths: NDArray[np.int64] | None, key: NDArray[Any]) -> NDArray[np.int64]:
    heads, kv_len = key.shape[:2]
    if lengths is None:
        return np.full(heads, kv_len, np.int64)
    real = np.asarray(lengths)
    if real.shape != (heads,) or real.dtype.kind not in "iu" or real.min() < 1 or real.max() > kv_len:
        raise ValueError(f"lengths must be a whole number from 1 to {kv_len} for each of {heads} heads of keys")
    return real.astype(np.int64)


def _checked(
    query: NDArray[Any], key: NDArray[Any], value: NDArray[Any], tile_q: int, tile_k: int, causal: bool, dtype: str
) -> tuple[Floats, Floats, Floats]:
    """Contiguous float32 operands whose shapes belong together."""
    if dtype not in FORMATS:
        raise ValueError(f"unknown format {dtype!r}; allowed: {', '.join(FORMATS)}")
    if min(tile_q, tile_k) < 1:
        raise ValueError(f"tiles are {tile_q} x {tile_k}; both sides must be at least 1")
    same = query.ndim == key.ndim == 3 and key.shape == value.shape and query.shape[2] == key.shape[2]
    if not same or min(query.shape + key.shape) < 1 or len(query) % len(key):
        raise ValueError(f"shapes do not belong together: Q {query.shape}, K {key.shape}, V {value.shape}")
    if causal and query.shape[1] > key.shape[1]:
        raise ValueError(f"causal attention of {query.shape[1]} queries needs as many keys, not {key.shape[1]}")
    first, second, third = (np.ascontiguousarray(operand, np.float32) for operand in (query, key, value))
    return first, second, third


@njit(cache=True, nogil=True)
def _round(weights: Floats, dropped: int, least: np.float32) -> None:
    """Exponentials (0 to 1) to a format's grid in place, to nearest, ties to even."""
    if dropped == 0:
        return
    bits = weights.view(np.uint32)
    half = np.uint32((1 << (dropped - 1)) - 1)
    keep = ~np.uint32((1 << dropped) - 1)
    for i in range(weights.shape[0]):
        for j in range(weights.shape[1]):
            if weights[i, j] < least:
                weights[i, j] = np.float32(np.rint(weights[i, j] / _STEP) * _STEP)
            else:
                even = (bits[i, j] >> np.uint32(dropped)) & np.uint32(1)
                bits[i, j] = (bits[i, j] + half + even) & keep


@njit(cache=True, nogil=True)
def _step(
    query: Floats, keys: Floats, values: Floats, before: int, scale: np.float32, causal: bool,
    dropped: int, least: np.float32, scores: Floats, most: Floats, total: Floats, gathered: Floats,
) -> None:  # fmt: skip
    """One tile of keys [head_dim, k] and values [k, head_dim] for a tile of queries, of which the first sees keys up to
    `before`."""
    rows, count = query.shape[0], keys.shape[1]
    weights = scores[:rows, :count]
    weights[:] = 0
    for i in range(rows):
        for c in range(query.shape[1]):
            factor = query[i, c]
            for j in range(count):
                weights[i, j] += factor * keys[c, j]
        seen = min(count, before + i + 1) if causal else count
        highest = most[i]
        for j in range(seen):
            weights[i, j] *= scale
            highest = max(highest, weights[i, j])
        if seen <= 0:
            weights[i] = 0
            continue
        shrink = np.float32(math.exp(most[i] - highest))
        added = np.float32(0)
        for j in range(seen):
            weights[i, j] = np.float32(math.exp(weights[i, j] - highest))
            added += weights[i, j]
        weights[i, seen:] = 0
        most[i] = highest
        total[i] = total[i] * shrink + added
        gathered[i] *= shrink
    _round(scores, dropped, least)
    for i in range(rows):
        for j in range(count):
            factor = weights[i, j]
            for c in range(values.shape[1]):
                gathered[i, c] += factor * values[j, c]


@njit(cache=True, nogil=True, parallel=True)
def _blocks(
    query: Floats, key: Floats, value: Floats, lengths: NDArray[np.int64], output: Floats, scale: np.float32,
    tile_q: int, tile_k: int, causal: bool, dropped: int, least: np.float32,
) -> None:  # fmt: skip
    """Every thread block: a tile of queries of one head."""
    heads, q_len, head_dim = query.shape
    kv_len, shared = key.shape[1], heads // key.shape[0]
    tiles = -(-q_len // tile_q)
    for block in prange(heads * tiles):
        head, first = block // tiles, block % tiles * tile_q
        end = min(first + tile_q, q_len)
        own = query[head, first:end]
        scores = np.zeros((end - first, min(tile_k, kv_len)), np.float32)
        most = np.full(end - first, -np.inf, np.float32)
        total = np.zeros(end - first, np.float32)
        gathered = np.zeros((end - first, head_dim), np.float32)
        real = lengths[head // shared]
        seen = min(real, kv_len - q_len + end) if causal else real
        for begin in range(0, seen, tile_k):
            stop = min(begin + tile_k, real)
            keys = np.ascontiguousarray(key[head // shared, begin:stop].T)
            before = kv_len - q_len + first - begin
            _step(
                own, keys, value[head // shared, begin:stop], before, scale, causal,
                dropped, least, scores, most, total, gathered,
            )  # fmt: skip
        for i in range(end - first):
            output[head, first + i] = gathered[i] / total[i]
