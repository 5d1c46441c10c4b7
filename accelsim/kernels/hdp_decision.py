"""Which 2 x 2 blocks and which heads stay, from the integer parts of Q and K alone."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accelsim.kernels.hdp_counts import BoolArray, IntArray, block_count
from accelsim.kernels.hdp_rows import decide_rows

IMPORTANCES = ("absolute", "signed")
SELECTIONS = ("threshold", "top_k")


@dataclass(frozen=True)
class HdpDecision:
    """What stays."""

    block_kept: BoolArray
    """[heads, nb, nb]; all False in pruned heads."""
    head_kept: BoolArray
    """[heads]"""
    head_importance: NDArray[np.float64]
    """[heads] mean over blocks of the sum of absolute integer scores."""
    importance: IntArray | None
    """[heads, nb, nb] importance of each block, when asked for."""


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a word that is not among those allowed.

    Raises
    ------
    ValueError
        With the words that are.
    """
    if value not in allowed:
        raise ValueError(f"unknown {name} {value!r}; allowed: {', '.join(allowed)}")


def kept_of_row(nb: int, top_k_ratio: float) -> int:
    """Blocks of a block row of `nb` that stay when `top_k_ratio` of them is pruned: ``ceil((1 - ratio) nb)``.

    Raises
    ------
    ValueError
        For a ratio outside of 0 <= ratio < 1.
    """
    if not 0 <= top_k_ratio < 1:
        raise ValueError(f"top_k_ratio is {top_k_ratio}; allowed: 0 <= top_k_ratio < 1")
    # Rounded first, or 0.3 of 10 would keep 8: 1 - 0.3 is a little more than 0.7 in binary.
    return max(1, math.ceil(round((1 - top_k_ratio) * nb, 9)))


def _integer_operands(
    query: NDArray[np.int32], key: NDArray[np.int32]
) -> tuple[NDArray[np.signedinteger], NDArray[np.signedinteger]]:
    """Q padded to an even number of rows, K likewise and transposed, both in a type that holds every score.

    Rows of zeros add nothing to any sum of scores, so ragged blocks need no care further on.
    """
    heads, n, head_dim = query.shape
    largest = max(int(np.abs(query).max()), int(np.abs(key).max()), 1)
    # 32-bit integers are several times faster; a block adds up four scores outside of them.
    dtype = np.int32 if largest * largest * head_dim < 2**31 else np.int64
    padded = np.zeros((heads, 2 * block_count(n), head_dim), dtype=dtype)
    padded[:, :n] = query
    transposed = np.zeros((heads, head_dim, 2 * block_count(n)), dtype=dtype)
    transposed[:, :, :n] = key.transpose(0, 2, 1)
    return padded, transposed


def decide(
    query_integer: NDArray[np.int32],
    key_integer: NDArray[np.int32],
    *,
    importance: str = "absolute",
    selection: str = "threshold",
    rho_b: float = 0.0,
    top_k_ratio: float = 0.5,
    tau_h: ArrayLike = 0.0,
    tau_normalised: bool = True,
    keep_importance: bool = False,
) -> HdpDecision:
    """Decide from integer parts alone which 2 x 2 blocks and which heads stay.

    A block's importance is the sum of its scores' magnitudes ("absolute"), or of the scores ("signed"). With
    `selection` "threshold", each block row has a threshold between the mean m and an extreme: ``m + rho_b (max - m)``
    for rho_b >= 0, ``m + rho_b (m - min)`` below; blocks at the threshold stay. It is computed in float64 from exact
    integers and then held between min and max, so that rounding prunes neither the largest block of any row nor, at
    rho_b = -1, any block. With "top_k", each block row keeps its `kept_of_row` most important blocks, of equals those
    that come first. A head stays when its mean block importance, always of magnitudes, is at least `tau_h`.

    Parameters
    ----------
    query_integer, key_integer : int32 [heads, n, head_dim]
        Units of 1 (of the scaled operands: importance grows with the square of the scale).
    rho_b : float
        From -1 (keeps all) over 0 (the mean) to 1 (row maxima).
    top_k_ratio : float
        Share of each block row that "top_k" prunes, 0 <= ratio < 1.
    tau_h : float or [heads]
    tau_normalised : bool
        Whether `tau_h` is compared with the mean over blocks, or with their sum, which grows with the square of n.
    keep_importance : bool
        Return the importance of every block, 8 bytes each.

    Raises
    ------
    ValueError
        For an unknown importance or selection, rho_b or a ratio out of range.
    """
    check_choice("importance", importance, IMPORTANCES)
    check_choice("selection", selection, SELECTIONS)
    if not -1 <= rho_b <= 1:
        raise ValueError(f"rho_b is {rho_b}; allowed: -1 <= rho_b <= 1")
    heads, n, _ = query_integer.shape
    nb = block_count(n)
    keep = kept_of_row(nb, top_k_ratio)
    queries, keys = _integer_operands(query_integer, key_integer)
    block_kept = np.empty((heads, nb, nb), dtype=np.bool_)
    magnitude = np.empty((heads, nb), dtype=np.int64)
    kept_importance = np.empty((heads, nb, nb) if keep_importance else (0, 0, 0), dtype=np.int64)
    decide_rows(
        queries,
        keys,
        float(rho_b),
        keep if selection == "top_k" else 0,
        importance == "signed",
        block_kept,
        magnitude,
        kept_importance,
    )
    total = magnitude.sum(axis=1)
    head_importance = total / float(nb * nb)
    measured = head_importance if tau_normalised else total
    head_kept = measured >= np.broadcast_to(np.asarray(tau_h, dtype=np.float64), (heads,))
    block_kept[~head_kept] = False
    return HdpDecision(block_kept, head_kept, head_importance, kept_importance if keep_importance else None)
