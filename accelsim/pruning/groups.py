"""The best few of every group of weights along k: vectors, N:M, and the inside of tile-vector-wise tiles."""

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import OperandError


def best_of_groups(scores: NDArray[np.float64], group: int, keep: int) -> NDArray[np.bool_]:
    """In each column, the `keep` highest of every `group` scores along k; of equal ones those of lower k.

    A last group that is shorter keeps at most `keep`, as if it were filled up with weights that lose.

    Parameters
    ----------
    scores : float64 array [k, n]
        At least 0.
    group, keep : int
        1 <= keep <= group.

    Returns
    -------
    bool array [k, n]
    """
    k, n = scores.shape
    groups = -(-k // group)
    filled = np.full((groups * group, n), -1.0)
    filled[:k] = scores
    order = np.argsort(-filled.reshape(groups, group, n), axis=1, kind="stable")
    best = np.zeros((groups, group, n), dtype=np.bool_)
    np.put_along_axis(best, order[:, :keep], True, axis=1)
    return best.reshape(groups * group, n)[:k]


def require_groups(mask: NDArray[np.bool_], group: int, keep: int, where: str) -> None:
    """Raise `OperandError` when a column of `mask` [k, n] keeps more than `keep` of a group, naming the first."""
    k, n = mask.shape
    counts = np.add.reduceat(mask, np.arange(0, k, group), axis=0, dtype=np.int64) if mask.size else np.zeros((0, n))
    over = np.argwhere(counts > keep)
    if len(over):
        index, column = (int(value) for value in over[0])
        first, last = index * group, min((index + 1) * group, k) - 1
        raise OperandError(
            f"{where}: column {column} keeps {int(counts[index, column])} of rows {first} to {last}; "
            f"at most {keep} of {group} are allowed"
        )
