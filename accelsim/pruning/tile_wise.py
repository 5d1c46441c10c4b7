"""Tile-wise masks: columns are pruned first, then rows in every tile of G kept columns.

The procedure is that of "Accelerating Sparse DNN Models without Hardware-Support via Tile-Wise Sparsity" (SC 2020,
arXiv 2008.13006) as its published code carries it out: both stages prune ``1 - sqrt(1 - sparsity)`` of their units.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.pruning.ranking import kept_units, per_dimension
from accelsim.pruning.scores import magnitude

Indices = NDArray[np.int64]
Matrix = NDArray[np.floating] | NDArray[np.integer]


@dataclass(frozen=True)
class TileWiseMask:
    """What a layer's weights B[k, n] keep: for each tile its columns and rows, as ascending original indices."""

    k: int
    n: int
    granularity: int
    columns: tuple[Indices, ...]
    """Kept columns of each tile: `granularity` of them, in the last tile what is left over."""
    rows: tuple[Indices, ...]
    """Kept rows of each tile; none when the tile is pruned as a whole."""

    @property
    def kept(self) -> int:
        """Weights that are kept."""
        return sum(len(rows) * len(columns) for rows, columns in zip(self.rows, self.columns, strict=True))

    @property
    def sparsity(self) -> float:
        """Share of weights that are pruned: near what was asked for, not exactly it, since whole units go."""
        return 1.0 - self.kept / (self.k * self.n)

    def to_dense(self) -> NDArray[np.bool_]:
        """Bool array [k, n], true where a weight is kept."""
        mask = np.zeros((self.k, self.n), dtype=np.bool_)
        for rows, columns in zip(self.rows, self.columns, strict=True):
            mask[np.ix_(rows, columns)] = True
        return mask


def tile_wise_masks(
    weights: Mapping[str, Matrix],
    sparsity: float,
    granularity: int,
    threshold: Literal["global", "per_layer"] = "per_layer",
) -> dict[str, TileWiseMask]:
    """Prune each layer's weights by magnitude to tile-wise sparsity.

    A column scores its l2 norm over the k rows, divided by k. Kept columns are dealt from left to right into tiles of
    `granularity`; a tile reaches from the column after its predecessor's last to its own last kept column, the last
    tile to the edge. A row of a tile scores its l2 norm over the tile's kept columns, divided by the tile's original
    width, pruned columns included. Ranking and ties are those of `accelsim.pruning.ranking.kept_units`. Columns to
    the right of the last tile belong to none and count as no unit.

    Parameters
    ----------
    weights : mapping of name to array [k, n]
    sparsity : float
        Share of weights to prune, in [0, 1). 0 keeps everything.
    granularity : int
        Kept columns per tile; one tile when it is n or more.
    threshold : {"global", "per_layer"}
        Whether the units of all layers are ranked together or those of each layer alone. Together, a layer of small
        weights may lose more than its share, up to all of it.

    Returns
    -------
    dict of name to TileWiseMask

    Raises
    ------
    OperandError
        For weights that are not a finite matrix.
    """
    scores = {name: magnitude(array, name) for name, array in weights.items()}
    groups = [list(scores)] if threshold == "global" else [[name] for name in scores]
    masks: dict[str, TileWiseMask] = {}
    for group in groups:
        masks |= _prune_together({name: scores[name] for name in group}, per_dimension(sparsity), granularity)
    return masks


def _prune_together(scores: dict[str, NDArray[np.float64]], share: float, granularity: int) -> dict[str, TileWiseMask]:
    """Masks of layers that are ranked as one."""
    column_scores = [np.sqrt(np.sum(score**2, axis=0)) / len(score) for score in scores.values()]
    columns = [cut_tiles(np.flatnonzero(keep), granularity) for keep in _rank(column_scores, share)]
    row_scores = [
        _row_score(score[:, tile], width)
        for score, tiles in zip(scores.values(), columns, strict=True)
        for tile, width in zip(tiles, tile_widths(tiles, score.shape[1], granularity), strict=True)
    ]
    rows = iter([np.flatnonzero(keep) for keep in _rank(row_scores, share)])
    return {
        name: TileWiseMask(len(score), score.shape[1], granularity, tiles, tuple(next(rows) for _ in tiles))
        for (name, score), tiles in zip(scores.items(), columns, strict=True)
    }


def _row_score(score: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.sqrt(np.sum(score**2, axis=1)) / width
    return result


def _rank(parts: Sequence[NDArray[np.float64]], share: float) -> list[NDArray[np.bool_]]:
    """One ranking over the units of all parts, handed back part by part."""
    if not parts:
        return []
    keep = kept_units(np.concatenate(parts), share)
    return np.split(keep, np.cumsum([len(part) for part in parts])[:-1])


def cut_tiles(kept_columns: Indices, granularity: int) -> tuple[Indices, ...]:
    """Ascending kept columns, cut after every `granularity` of them; the last tile takes the remainder."""
    return tuple(
        kept_columns[first : first + granularity].astype(np.int64) for first in range(0, len(kept_columns), granularity)
    )


def tile_widths(tiles: Sequence[Indices], n: int, granularity: int) -> list[int]:
    """Original columns that each tile spans. A tile short of `granularity` reaches to the edge at n."""
    ends = [int(tile[-1]) + 1 if len(tile) == granularity else n for tile in tiles]
    return [end - begin for begin, end in pairwise([0, *ends])]
