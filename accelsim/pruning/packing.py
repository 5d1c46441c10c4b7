"""Packed form of tile-wise weights: for each tile its kept rows and columns as offsets, and the dense rest."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TileWiseWeights:
    """Tile-wise weights B[k, n], packed tile by tile.

    Tile t keeps `column_count[t]` columns (the granularity, but for the last tile) and `row_count[t]` rows. The
    original row of kept row i of tile t is ``row_offset[row_start[t] + i] + i`` (the papers' offset: original minus
    compact index); columns likewise, with compact column c counted over all tiles: ``column_offset[c] + c``.
    """

    k: int
    n: int
    row_start: NDArray[np.int64]
    """[tiles + 1] where the rows of each tile begin in `row_offset`."""
    column_start: NDArray[np.int64]
    """[tiles + 1] first compact column of each tile."""
    row_offset: NDArray[np.int32]
    column_offset: NDArray[np.int32]
    values: NDArray[np.float32] | None
    """Kept weights, tile after tile, each row-major [row_count, column_count]; None when only the mask is known."""
    value_start: NDArray[np.int64]
    """[tiles + 1] where each tile begins in `values`."""

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return len(self.row_start) - 1

    @property
    def row_count(self) -> NDArray[np.int64]:
        """[tiles] kept rows of each tile."""
        return np.diff(self.row_start)

    @property
    def column_count(self) -> NDArray[np.int64]:
        """[tiles] kept columns of each tile."""
        return np.diff(self.column_start)

    @property
    def kept(self) -> int:
        """Weights that are kept."""
        return int(self.value_start[-1])

    def rows(self, tile: int) -> NDArray[np.int64]:
        """Original indices of the rows that `tile` keeps, ascending."""
        offsets = self.row_offset[self.row_start[tile] : self.row_start[tile + 1]]
        return offsets.astype(np.int64) + np.arange(len(offsets))

    def columns(self, tile: int) -> NDArray[np.int64]:
        """Original indices of the columns that `tile` keeps, ascending."""
        first, last = self.column_start[tile], self.column_start[tile + 1]
        return self.column_offset[first:last].astype(np.int64) + np.arange(first, last)
