"""A guard on HDP's decisions: which heads are too close to a threshold to be pruned on the strength of integer scores.

Such a head falls back to attention with everything kept. Two decisions can be close: the head's own, and those of its
blocks. Plain NumPy on what the decision has measured already, head by head, so that no temporary outgrows one head.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accelsim.kernels.hdp_counts import BoolArray, IntArray
from accelsim.kernels.hdp_decision import HdpDecision


def row_thresholds(theta: IntArray, rho_b: float) -> NDArray[np.float64]:
    """Importance from which the blocks of each row stay, as `accelsim.kernels.hdp_decision.decide` has it.

    Parameters
    ----------
    theta : int64 [rows, columns]
        Importance of blocks.
    rho_b : float
        From -1 to 1.

    Returns
    -------
    float64 [rows]
    """
    low, high = theta.min(axis=1).astype(np.float64), theta.max(axis=1).astype(np.float64)
    if rho_b <= -1:
        return np.asarray(low, dtype=np.float64)
    mean = theta.sum(axis=1).astype(np.float64) / theta.shape[1]
    reach = high - mean if rho_b >= 0 else mean - low
    thresholds: NDArray[np.float64] = np.clip(mean + rho_b * reach, low, high)
    return thresholds


def near_share(theta: IntArray, kept: BoolArray, selection: str, rho_b: float, margin: float) -> float:
    """Share of a head's blocks that are pruned only just: of those that lower thresholds would keep.

    Thresholds of rows are lowered by `margin` times the row's range, from its least to its most important block. With
    "top_k" a row's threshold is the least importance that was kept.

    Parameters
    ----------
    theta : int64 [nb, nb]
    kept : bool [nb, nb]
        At least one block.
    selection : {"threshold", "top_k"}
    rho_b, margin : float
    """
    if selection == "top_k":
        thresholds = np.where(kept, theta, np.iinfo(np.int64).max).min(axis=1).astype(np.float64)
    else:
        thresholds = row_thresholds(theta, rho_b)
    lowered = thresholds - margin * (theta.max(axis=1) - theta.min(axis=1))
    near = int(np.count_nonzero(np.logical_not(kept) & (theta >= lowered[:, None])))
    return near / (near + int(np.count_nonzero(kept)))


def uncertain_heads(
    decision: HdpDecision,
    *,
    selection: str = "threshold",
    rho_b: float = 0.0,
    tau_h: ArrayLike = 0.0,
    tau_normalised: bool = True,
    margin: float = 0.1,
    share: float = 0.5,
) -> BoolArray:
    """Heads whose pruning is uncertain.

    A head is, when its importance lies within ``margin x tau_h`` of a `tau_h` above 0, on either side, or when it is
    kept and more than `share` of the blocks that slightly lower thresholds would keep are pruned (`near_share`). A head
    that keeps everything is never uncertain, since nothing is pruned of it.

    Parameters
    ----------
    decision : HdpDecision
        With the importance of every block.
    selection, rho_b, tau_h, tau_normalised
        As the decision was made with.
    margin : float
        At least 0.
    share : float
        From 0 to 1.

    Returns
    -------
    bool [heads]

    Raises
    ------
    ValueError
        For a margin or share out of range, or a decision without the importance of blocks.
    """
    if not margin >= 0 or not 0 <= share <= 1:
        raise ValueError(f"guard_margin is {margin} and guard_share {share}; allowed: at least 0, and 0 to 1")
    if decision.importance is None:
        raise ValueError("a guard needs the importance of every block (keep_importance)")
    heads, nb, _ = decision.block_kept.shape
    measured = decision.head_importance * (1 if tau_normalised else nb * nb)
    limits = np.broadcast_to(np.asarray(tau_h, dtype=np.float64), (heads,))
    uncertain: BoolArray = (limits > 0) & (np.abs(measured - limits) <= margin * limits)
    for head in np.flatnonzero(decision.head_kept & ~uncertain):
        theta, kept = decision.importance[head], decision.block_kept[head]
        uncertain[head] = near_share(theta, kept, selection, rho_b, margin) > share
    return uncertain & np.logical_not(np.asarray(decision.block_kept.all(axis=(1, 2))))
