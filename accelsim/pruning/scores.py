"""How important a weight is. A score is never negative; the least important units are pruned first."""

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import OperandError

Matrix = NDArray[np.floating] | NDArray[np.integer]


def magnitude(weights: Matrix, name: str = "weights") -> NDArray[np.float64]:
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
    _require_matrix(weights, name)
    scores = np.abs(weights.astype(np.float64))
    _require_finite(scores, weights, name, "weights to prune")
    return scores


def taylor(weights: Matrix, gradients: Matrix, name: str = "weights") -> NDArray[np.float64]:
    """Score of a weight by what its loss would cost to first order: ``(g w)^2``.

    With a mask m that multiplies the weights, dL/dm = g w at m = 1, and removing a weight changes the loss by its
    square root to first order (Molchanov et al., arXiv 1906.10771). The published code of tile-wise sparsity squares
    ``dL/dm * w``, hence (g w w)^2, one w more; to rank as it does, hand over ``gradients * weights`` as gradients.

    Parameters
    ----------
    weights, gradients : array [k, n]
        Gradients of the loss, for instance summed over the batches of a pruning set.
    name : str
        What errors call the weights.

    Returns
    -------
    float64 array [k, n]

    Raises
    ------
    OperandError
        If the arrays are not matrices of one shape, or hold NaN or infinity, or their product overflows.
    """
    magnitude(weights, name)
    if gradients.shape != weights.shape:
        raise OperandError(f"gradients of {name} have shape {list(gradients.shape)}, its weights {list(weights.shape)}")
    with np.errstate(over="ignore", invalid="ignore"):
        scores: NDArray[np.float64] = np.square(weights.astype(np.float64) * gradients.astype(np.float64))
    _require_finite(scores, gradients, f"gradients of {name}", "gradients")
    return scores


def _require_matrix(weights: Matrix, name: str) -> None:
    if weights.ndim != 2 or 0 in weights.shape:
        raise OperandError(f"{name}: pruning takes a matrix [k, n] with rows and columns, not shape {weights.shape}")


def _require_finite(scores: NDArray[np.float64], given: Matrix, name: str, what: str) -> None:
    bad = ~np.isfinite(scores)
    if bad.any():
        row, column = (int(index) for index in np.unravel_index(int(np.argmax(bad)), bad.shape))
        raise OperandError(f"{name}[{row}, {column}] is {given[row, column]}; {what} must be finite")
