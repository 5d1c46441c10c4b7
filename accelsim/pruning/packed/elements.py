"""Element-wise weights: compressed sparse columns of B, and the overlay of restored elements over tile-wise weights."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.pruning.masks import TileElementWiseMask
from accelsim.pruning.pack import pack
from accelsim.pruning.pack import unpack as unpack_tiles
from accelsim.pruning.packed.checks import INDEX_BYTES, check_mask, check_shape, known, offset_bytes, starts
from accelsim.pruning.packing import TileWiseWeights


@dataclass(frozen=True)
class ElementWeights:
    """Single weights of B[k, n], output column after output column: CSC of B, or CSR of the transposed weights.

    To the product they are one tile of all rows and columns.
    """

    k: int
    n: int
    element_start: NDArray[np.int64]
    """[n + 1] where the elements of each column begin."""
    row_index: NDArray[np.int32]
    """Row of each element, ascending within its column."""
    values: NDArray[np.float32] | None
    """None when only the mask is known."""

    @property
    def tiles(self) -> int:
        """1: the whole matrix."""
        return 1

    @property
    def row_start(self) -> NDArray[np.int64]:
        """[2]: 0 and k."""
        return np.array([0, self.k])

    @property
    def row_count(self) -> NDArray[np.int64]:
        """[1] k, over which a thread block's range of k is taken."""
        return np.array([self.k])

    @property
    def column_start(self) -> NDArray[np.int64]:
        """[2]: 0 and n."""
        return np.array([0, self.n])

    @property
    def column_count(self) -> NDArray[np.int64]:
        """[1] n."""
        return np.array([self.n])

    @property
    def kept(self) -> int:
        """Weights that are kept."""
        return len(self.row_index)

    def value_bytes(self, element_bytes: int) -> int:
        """Bytes of the values."""
        return self.kept * element_bytes

    @property
    def index_bytes(self) -> int:
        """Bytes of the row indices and of the pointers to each column."""
        return INDEX_BYTES * (self.kept + self.n + 1)

    def unpack(self) -> NDArray[np.float32]:
        """Dense weights [k, n] with zeros where they are pruned.

        Raises
        ------
        OperandError
            If only the mask was packed.
        """
        values, dense = known(self.values), np.zeros((self.k, self.n), np.float32)
        dense[self.row_index, np.repeat(np.arange(self.n), np.diff(self.element_start))] = values
        return dense


@dataclass(frozen=True)
class TileElementWeights:
    """Tile-wise weights, and single weights outside the tiles that are added to their product."""

    tile_wise: TileWiseWeights
    overlay: ElementWeights

    @property
    def k(self) -> int:
        """Rows."""
        return self.tile_wise.k

    @property
    def n(self) -> int:
        """Columns."""
        return self.tile_wise.n

    @property
    def kept(self) -> int:
        """Weights that are kept."""
        return self.tile_wise.kept + self.overlay.kept

    def value_bytes(self, element_bytes: int) -> int:
        """Bytes of the values of both parts."""
        return self.tile_wise.kept * element_bytes + self.overlay.value_bytes(element_bytes)

    @property
    def index_bytes(self) -> int:
        """Bytes of the tiles' offsets and of the overlay's indices and pointers."""
        return offset_bytes(self.tile_wise) + self.overlay.index_bytes

    def unpack(self) -> NDArray[np.float32]:
        """Dense weights [k, n] with zeros where they are pruned.

        Raises
        ------
        OperandError
            If only the mask was packed.
        """
        return unpack_tiles(self.tile_wise) + self.overlay.unpack()


def pack_elements(weights: NDArray[Any] | None, mask: NDArray[np.bool_]) -> ElementWeights:
    """Pack single weights by column.

    Parameters
    ----------
    weights : array [k, n] or None
        None packs the mask alone. Nothing is read of a pruned weight, which may even be NaN.
    mask : bool array [k, n]
        True where a weight is kept.

    Returns
    -------
    ElementWeights

    Raises
    ------
    OperandError
        For weights of another shape.
    """
    mask = check_mask(mask)
    k, n = mask.shape
    check_shape(weights, k, n)
    column, row = np.nonzero(mask.T)
    return ElementWeights(
        k=k,
        n=n,
        element_start=starts(np.bincount(column, minlength=n)),
        row_index=row.astype(np.int32),
        values=None if weights is None else weights[row, column].astype(np.float32),
    )


def pack_tile_element_wise(weights: NDArray[Any] | None, mask: TileElementWiseMask) -> TileElementWeights:
    """Pack tile-wise weights with their overlay. An element that the tiles hold already is not restored once more.

    Parameters
    ----------
    weights : array [k, n] or None
        None packs the mask alone.
    mask : TileElementWiseMask

    Raises
    ------
    OperandError
        For weights of another shape than the mask.
    """
    check_shape(weights, mask.k, mask.n)
    restored = check_mask(mask.restored) & ~mask.tiles.to_dense()
    return TileElementWeights(pack(weights, mask.tiles), pack_elements(weights, restored))
