"""Attention with hybrid dynamic pruning in fixed point: decide which blocks and heads stay, then attend to those.

`hdp_attention` is the whole of it; `split_operands`, `hdp_decision.decide` and `attend` are its three steps, for those
who bring their own masks or parts. Scores are exact integers; floating point enters with the exponential and leaves
with probabilities of 15 fraction bits, so P x V is exact again. Work is shared out by block rows, each of which is
computed alone from integers: results do not depend on the number of threads, and no array of n x n scores exists at any
time.

`accelsim.kernels.hdp_reference` is the plain twin, and equal bit for bit.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accelsim.kernels.fixed_point import Quantised, quantise, split
from accelsim.kernels.hdp_counts import PRUNED_SCORES, BoolArray, HdpCounts, IntArray, block_count, counts_of_mask
from accelsim.kernels.hdp_decision import check_choice, decide
from accelsim.kernels.hdp_guard import uncertain_heads
from accelsim.kernels.hdp_rows import attend_rows, dense_rows

FloatArray = NDArray[np.float32]

EXPONENTIALS = ("exact", "polynomial")
CENTERINGS = ("none", "dynamic", "static")

PROBABILITY_FRACTION_BITS = 15
"""Probabilities are unsigned, 0 to 1 inclusive in steps of 2**-15: 16 bits."""


@dataclass(frozen=True)
class SplitOperands:
    """Q, K and V in fixed point, Q and K in two parts: ``raw = (integer << fraction_bits) + fraction``.

    Arrays are int32 [heads, n, head_dim].
    """

    query_integer: NDArray[np.int32]
    query_fraction: NDArray[np.int32]
    key_integer: NDArray[np.int32]
    key_fraction: NDArray[np.int32]
    value: NDArray[np.int32]
    integer_bits: int
    fraction_bits: int
    scale: float
    """What Q and K were multiplied by."""
    saturated: int
    """Numbers of Q, K and V that the format could not hold."""


@dataclass(frozen=True)
class HdpValues:
    """Result of pruned attention."""

    output: FloatArray
    """[heads, n, head_dim]; zeros in pruned heads."""
    block_kept: BoolArray
    """[heads, nb, nb]; all False in pruned heads."""
    head_kept: BoolArray
    head_importance: NDArray[np.float64]
    importance: IntArray | None
    counts: HdpCounts
    saturated: int
    """Numbers of Q, K and V that the format could not hold."""
    guarded: BoolArray | None = None
    """[heads] which the guard has made keep everything; None without a guard."""
    decided: BoolArray | None = None
    """[heads, nb, nb] what would be kept without the guard, nothing of pruned heads; None without a guard."""


def _check_shapes(query: FloatArray, key: FloatArray, value: FloatArray) -> None:
    if query.ndim != 3 or query.shape != key.shape or query.shape != value.shape or 0 in query.shape:
        raise ValueError(
            "need query, key and value of one shape [heads, n, head_dim], "
            f"not {query.shape}, {key.shape}, {value.shape}"
        )


def mean_key(key: FloatArray) -> NDArray[np.float64]:
    """Mean over the sequence, [heads, 1, head_dim], added up in float64 from the first key to the last."""
    # cumsum fixes the order of additions, which sum does not.
    total: NDArray[np.float64] = np.cumsum(key, axis=1, dtype=np.float64)[:, -1:, :]
    total /= key.shape[1]
    return total


def _centred(key: FloatArray, center: str, key_means: NDArray[np.floating] | None) -> NDArray[np.floating]:
    """Keys without their mean, or without one that was taken beforehand."""
    if center == "dynamic":
        return key - mean_key(key)
    if center == "none":
        return key
    if key_means is None:
        raise ValueError("center_keys 'static' needs key_means, [heads, head_dim]")
    means = np.asarray(key_means, dtype=np.float64)
    if means.shape != (key.shape[0], key.shape[2]) or not np.isfinite(means).all():
        raise ValueError(f"key_means must be finite numbers {[key.shape[0], key.shape[2]]}, not {list(means.shape)}")
    return key - means[:, None, :]


def _quantise_all(
    query: FloatArray,
    key: FloatArray,
    value: FloatArray,
    integer_bits: int,
    fraction_bits: int,
    scale: float,
    center: str,
    key_means: NDArray[np.floating] | None,
) -> tuple[Quantised, Quantised, Quantised]:
    _check_shapes(query, key, value)
    check_choice("center_keys", center, CENTERINGS)
    return (
        quantise(query, integer_bits, fraction_bits, scale=scale),
        quantise(_centred(key, center, key_means), integer_bits, fraction_bits, scale=scale),
        quantise(value, integer_bits, fraction_bits),
    )


def split_operands(
    query: FloatArray,
    key: FloatArray,
    value: FloatArray,
    *,
    integer_bits: int = 4,
    fraction_bits: int = 12,
    rounding: str = "truncate",
    scale: float = 1.0,
    center_keys: str = "none",
    key_means: NDArray[np.floating] | None = None,
) -> SplitOperands:
    """Bring Q, K and V [heads, n, head_dim] into fixed point and split Q and K.

    V is not scaled. With `center_keys` "dynamic" the head's mean key is subtracted first: it adds the same number to
    all scores of a query, which softmax does not see, but importance does. "static" subtracts `key_means`
    [heads, head_dim], measured beforehand: folded into the bias of the projection it costs nothing at run time.

    Raises
    ------
    ValueError
        For shapes that differ, formats or switches that do not exist, NaN or infinity.
    """
    q, k, v = _quantise_all(query, key, value, integer_bits, fraction_bits, scale, center_keys, key_means)
    query_integer, query_fraction = split(q.raw, integer_bits, fraction_bits, rounding)
    key_integer, key_fraction = split(k.raw, integer_bits, fraction_bits, rounding)
    return SplitOperands(
        query_integer,
        query_fraction,
        key_integer,
        key_fraction,
        v.raw,
        integer_bits,
        fraction_bits,
        scale,
        q.saturated + k.saturated + v.saturated,
    )


def _score_factor(head_dim: int, scale: float, fraction_bits: int) -> float:
    """What a raw score is multiplied by: 1 / (sqrt(d) scale^2 2^(2f))."""
    return 1.0 / (math.sqrt(head_dim) * scale * scale * 2.0 ** (2 * fraction_bits))


def attend(
    parts: SplitOperands,
    block_kept: BoolArray,
    head_kept: BoolArray,
    *,
    pruned_score: str = "excluded",
    approximation: bool = True,
    exponential: str = "polynomial",
) -> FloatArray:
    """Softmax of the scores of kept blocks, times V: [heads, n, head_dim] float32, rounded once from exact integers.

    Reads fractions of Q in kept heads, fractions of K in block columns with a kept block, and rows of V there (all rows
    of kept heads when `pruned_score` is "zero"); nothing else. Every block row of a kept head must keep a block.

    A score is ``IQ IK + IQ FK + FQ IK``, and ``+ FQ FK`` without `approximation`. The polynomial exponential takes
    ``x = p - z ln 2`` with p in (-ln 2, 0] and ``exp(p) = 0.3585 (p + 1.353)^2 + 0.344`` (I-BERT).

    Raises
    ------
    ValueError
        For an unknown switch, shapes that do not fit, or a block row that keeps nothing.
    """
    check_choice("pruned_score", pruned_score, PRUNED_SCORES)
    check_choice("exponential", exponential, EXPONENTIALS)
    heads, n, head_dim = parts.value.shape
    if block_kept.shape != (heads, block_count(n), block_count(n)) or head_kept.shape != (heads,):
        raise ValueError(f"masks of shapes {block_kept.shape}, {head_kept.shape} do not fit {heads} heads of {n} keys")
    if not block_kept[head_kept].any(axis=2).all():
        raise ValueError("every block row of a kept head must keep at least one block")
    output = np.zeros((heads, n, head_dim), dtype=np.float32)
    attend_rows(
        parts.query_integer,
        parts.query_fraction,
        parts.key_integer,
        parts.key_fraction,
        parts.value,
        block_kept,
        head_kept,
        PRUNED_SCORES.index(pruned_score),
        approximation,
        parts.fraction_bits,
        _score_factor(head_dim, parts.scale, parts.fraction_bits),
        EXPONENTIALS.index(exponential),
        output,
    )
    return output


def hdp_attention(
    query: FloatArray,
    key: FloatArray,
    value: FloatArray,
    *,
    integer_bits: int = 4,
    fraction_bits: int = 12,
    rounding: str = "truncate",
    scale: float = 1.0,
    importance: str = "absolute",
    center_keys: str = "none",
    key_means: NDArray[np.floating] | None = None,
    pruned_score: str = "excluded",
    selection: str = "threshold",
    rho_b: float = 0.0,
    top_k_ratio: float = 0.5,
    tau_h: ArrayLike = 0.0,
    tau_normalised: bool = True,
    approximation: bool = True,
    exponential: str = "polynomial",
    keep_importance: bool = False,
    guard_margin: float | None = None,
    guard_share: float = 0.5,
) -> HdpValues:
    """Attention of every head with hybrid dynamic pruning.

    Parameters
    ----------
    query, key, value : float32 [heads, n, head_dim]
        Heads are independent of each other; batch items are more heads.
    integer_bits, fraction_bits, rounding, scale, center_keys, key_means
        See `split_operands`.
    importance, selection, rho_b, top_k_ratio, tau_h, tau_normalised, keep_importance
        See `accelsim.kernels.hdp_decision.decide`. `rho_b` = -1 with `tau_h` = 0 keeps everything.
    pruned_score, approximation, exponential
        See `attend`.
    guard_margin, guard_share
        See `accelsim.kernels.hdp_guard.uncertain_heads`, whose heads keep everything; None for no guard.

    Raises
    ------
    ValueError
        For shapes that differ, switches that do not exist or values out of range, NaN or infinity.
    """
    parts = split_operands(
        query,
        key,
        value,
        integer_bits=integer_bits,
        fraction_bits=fraction_bits,
        rounding=rounding,
        scale=scale,
        center_keys=center_keys,
        key_means=key_means,
    )
    decision = decide(
        parts.query_integer,
        parts.key_integer,
        importance=importance,
        selection=selection,
        rho_b=rho_b,
        top_k_ratio=top_k_ratio,
        tau_h=tau_h,
        tau_normalised=tau_normalised,
        keep_importance=keep_importance or guard_margin is not None,
    )
    masks, guarded, decided = (decision.block_kept, decision.head_kept), None, None
    if guard_margin is not None:
        decided = decision.block_kept
        guarded = uncertain_heads(
            decision,
            selection=selection,
            rho_b=rho_b,
            tau_h=tau_h,
            tau_normalised=tau_normalised,
            margin=guard_margin,
            share=guard_share,
        )
        masks = decided | guarded[:, None, None], decision.head_kept | guarded
    output = attend(parts, *masks, pruned_score=pruned_score, approximation=approximation, exponential=exponential)
    counts = counts_of_mask(*masks, *query.shape[1:], approximation=approximation, pruned_score=pruned_score)
    importances = decision.head_importance, decision.importance if keep_importance else None
    return HdpValues(output, *masks, *importances, counts, parts.saturated, guarded, decided)


def fixed_point_attention(
    query: FloatArray,
    key: FloatArray,
    value: FloatArray,
    *,
    integer_bits: int = 4,
    fraction_bits: int = 12,
    scale: float = 1.0,
    exponential: str = "polynomial",
) -> tuple[FloatArray, int]:
    """Dense attention in the same fixed point, every product taken: what HDP computes when it prunes and drops nothing.

    Parameters
    ----------
    query, key, value : float32 [heads, n, head_dim]

    Returns
    -------
    output : float32 [heads, n, head_dim]
    saturated : int
        Numbers of Q, K and V that the format could not hold.

    Raises
    ------
    ValueError
        As `hdp_attention`.
    """
    check_choice("exponential", exponential, EXPONENTIALS)
    q, k, v = _quantise_all(query, key, value, integer_bits, fraction_bits, scale, "none", None)
    output = np.empty(query.shape, dtype=np.float32)
    factor = _score_factor(query.shape[2], scale, fraction_bits)
    dense_rows(q.raw, k.raw, v.raw, fraction_bits, factor, EXPONENTIALS.index(exponential), output)
    return output, q.saturated + k.saturated + v.saturated
