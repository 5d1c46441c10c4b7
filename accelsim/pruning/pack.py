"""From mask to packed weights and back."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import OperandError
from accelsim.pruning.packing import TileWiseWeights
from accelsim.pruning.tile_wise import Indices, Matrix, TileWiseMask

_Scalar = TypeVar("_Scalar", bound=np.generic)


def pack(weights: Matrix | None, mask: TileWiseMask) -> TileWiseWeights:
    """Kept weights tile by tile, with the offsets of their rows and columns.

    Nothing is read of a pruned weight, which may even be NaN.

    Parameters
    ----------
    weights : array [k, n] or None
        None packs the mask alone, without values.
    mask : TileWiseMask

    Returns
    -------
    TileWiseWeights
        Its values are float32; int8 weights are held by it exactly.

    Raises
    ------
    OperandError
        If the weights are not of the mask's shape.
    """
    if weights is not None and weights.shape != (mask.k, mask.n):
        raise OperandError(f"weights have shape {weights.shape}, their mask [{mask.k}, {mask.n}]")
    tiles = list(zip(mask.rows, mask.columns, strict=True))
    return TileWiseWeights(
        k=mask.k,
        n=mask.n,
        row_start=_starts([len(rows) for rows in mask.rows]),
        column_start=_starts([len(columns) for columns in mask.columns]),
        row_offset=_joined([_offsets(rows) for rows in mask.rows], np.int32),
        column_offset=_offsets(_joined(list(mask.columns), np.int64)),
        values=None
        if weights is None
        else _joined(
            [weights[np.ix_(rows, columns)].astype(np.float32).ravel() for rows, columns in tiles], np.float32
        ),
        value_start=_starts([len(rows) * len(columns) for rows, columns in tiles]),
    )


def unpack(packed: TileWiseWeights) -> NDArray[np.float32]:
    """Dense weights [k, n] with zeros where they are pruned.

    Raises
    ------
    OperandError
        If only the mask was packed.
    """
    if packed.values is None:
        raise OperandError("the weights were packed without values: there is nothing to unpack")
    dense = np.zeros((packed.k, packed.n), dtype=np.float32)
    for tile in range(packed.tiles):
        rows, columns = packed.rows(tile), packed.columns(tile)
        values = packed.values[packed.value_start[tile] : packed.value_start[tile + 1]]
        dense[np.ix_(rows, columns)] = values.reshape(len(rows), len(columns))
    return dense


def _offsets(indices: Indices) -> NDArray[np.int32]:
    """Original minus compact index: how many pruned indices lie before each kept one."""
    return (indices - np.arange(len(indices))).astype(np.int32)


def _starts(counts: list[int]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(counts, dtype=np.int64))).astype(np.int64)


def _joined(parts: list[NDArray[_Scalar]], dtype: type[_Scalar]) -> NDArray[_Scalar]:
    """Parts one after another; an array of length 0 when there are none."""
    return np.concatenate([np.zeros(0, dtype=dtype), *parts])
