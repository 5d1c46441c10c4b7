"""Vector-wise (VW) and N:M masks: every group of weights along k keeps its best few, so all groups keep alike.

Both rank inside a group alone. No threshold reaches over groups, and so no column or layer loses more than another.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from accelsim.config.patterns import NMPattern, VectorWisePattern
from accelsim.pruning.groups import best_of_groups, require_groups
from accelsim.pruning.masks import GroupMask


def vector_wise_masks(scores: Mapping[str, NDArray[np.float64]], pattern: VectorWisePattern) -> dict[str, GroupMask]:
    """Keep ``floor((1 - sparsity) vector)`` weights of every vector along k.

    Where `vector` divides k, sparsity is ``1 - keep / vector``: at least the asked one, and less than 1 / vector above
    it. A shorter vector at the end keeps at most as many.

    Parameters
    ----------
    scores : mapping of name to float64 array [k, n]
    pattern : VectorWisePattern

    Returns
    -------
    dict of name to GroupMask
    """
    return {name: _grouped(score, pattern.vector, pattern.keep) for name, score in scores.items()}


def n_m_masks(scores: Mapping[str, NDArray[np.float64]], pattern: NMPattern) -> dict[str, GroupMask]:
    """Keep n of every m weights along k; sparsity is 1 - n / m where m divides k, else at most that.

    Parameters
    ----------
    scores : mapping of name to float64 array [k, n]
    pattern : NMPattern

    Returns
    -------
    dict of name to GroupMask
    """
    return {name: _grouped(score, pattern.m, pattern.n) for name, score in scores.items()}


def as_vector_wise(mask: NDArray[np.bool_], pattern: VectorWisePattern, where: str) -> GroupMask:
    """A dense mask [k, n] as the vector-wise mask that it is; raises `OperandError` when a vector keeps too many."""
    require_groups(mask, pattern.vector, pattern.keep, f"{where}: not vector-wise")
    return GroupMask(mask, pattern.vector, pattern.keep)


def as_n_m(mask: NDArray[np.bool_], pattern: NMPattern, where: str) -> GroupMask:
    """A dense mask [k, n] as the N:M mask that it is; raises `OperandError` when a group keeps too many."""
    require_groups(mask, pattern.m, pattern.n, f"{where}: not {pattern.n}:{pattern.m}")
    return GroupMask(mask, pattern.m, pattern.n)


def _grouped(score: NDArray[np.float64], group: int, keep: int) -> GroupMask:
    return GroupMask(best_of_groups(score, group, keep), group, keep)
