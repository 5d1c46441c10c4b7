"""What every packed format shares: checks of weights and masks, and bytes of what is not values."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import OperandError
from accelsim.pruning.packing import TileWiseWeights

INDEX_BYTES = 4
"""Bytes of an index, an offset or a pointer on the device."""

_Scalar = TypeVar("_Scalar", bound=np.generic)


def check_shape(weights: NDArray[Any] | None, k: int, n: int) -> None:
    """Raises OperandError unless the weights are of the mask's shape; None stands for a mask alone."""
    if weights is not None and weights.shape != (k, n):
        raise OperandError(f"weights have shape {weights.shape}, their mask [{k}, {n}]")


def check_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask, contiguous. Raises OperandError unless it is a bool matrix."""
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise OperandError(f"a mask must be a bool matrix [k, n], not {mask.dtype} of shape {mask.shape}")
    return np.ascontiguousarray(mask)


def known(values: NDArray[_Scalar] | None) -> NDArray[_Scalar]:
    """The values. Raises OperandError where a mask was packed alone."""
    if values is None:
        raise OperandError("the weights were packed without values: there is nothing to unpack")
    return values


def starts(counts: NDArray[Any]) -> NDArray[np.int64]:
    """[parts + 1] where each part begins when they lie one after another."""
    return np.concatenate(([0], np.cumsum(counts, dtype=np.int64))).astype(np.int64)


def offset_bytes(weights: TileWiseWeights) -> int:
    """Bytes of the row and column offsets of tile-wise weights."""
    return INDEX_BYTES * (len(weights.row_offset) + len(weights.column_offset))
