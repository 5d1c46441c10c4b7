"""How important a weight is. A score is never negative; the least important units are pruned first."""

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import OperandError


def magnitude(weights: NDArray[np.floating] | NDArray[np.integer], name: str = "weights") -> NDArray[np.float64]:
    """Score of a weight by its size: ``|w|``.

    Parameters
    ----------
    weights : array [k, n]
    name : str
        What the error calls the array.

    Returns
    -------
    float64 array [k, n]

    Raises
    ------
    OperandError
        If the array is not a matrix, or holds NaN or infinity, which no ranking can place.
    """
    if weights.ndim != 2:
        raise OperandError(f"{name}: tile-wise pruning takes a matrix [k, n], not an array of shape {weights.shape}")
    scores = np.abs(weights.astype(np.float64))
    bad = np.argwhere(~np.isfinite(scores))
    if len(bad):
        row, column = bad[0]
        raise OperandError(f"{name}[{row}, {column}] is {weights[row, column]}; weights to prune must be finite")
    return scores
