"""Of points with two qualities, those that no other one beats."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def unbeaten(x: ArrayLike, y: ArrayLike, *, more_is_better: bool = False) -> NDArray[np.bool_]:
    """Points than which no other one is as good in both and better in one; less of x is better.

    Parameters
    ----------
    x, y : float [points]
        Finite.
    more_is_better : bool
        Of y.

    Returns
    -------
    bool [points]
        Points that are equal in both are all unbeaten, or none.
    """
    cost, other = np.asarray(x, float), np.asarray(y, float) * (-1 if more_is_better else 1)
    found = np.zeros(len(cost), bool)
    best = math.inf
    order = np.lexsort((other, cost))
    for place, index in enumerate(order):
        before = order[place - 1] if place else None
        same = before is not None and cost[before] == cost[index] and other[before] == other[index]
        found[index] = found[before] if same else other[index] < best
        best = min(best, other[index])
    return found
