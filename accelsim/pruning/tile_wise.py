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

from accelsim.pruning.ranking import per_dimension, rank_together, ranked_groups
from accelsim.pruning.scores import Matrix, magnitude

Indices = NDArray[np.int64]


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
            if len(columns):
                # Whole rows of a slab are written at once, which is faster than cell by cell.
                first, end = int(columns.min()), int(columns.max()) + 1
                slab, row = np.zeros((self.k, end - first), dtype=np.bool_), np.zeros(end - first, dtype=np.bool_)
                row[columns - first] = True
                slab[rows] = row
                mask[:, first:end] |= slab
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
    share = per_dimension(sparsity)
    return tile_wise_from_scores(scores, share, share, granularity, threshold)


def stage_shares(sparsity: float, stages: int) -> tuple[float, float]:
    """Shares of columns and of tiles' rows to prune so that `sparsity` goes in all, in two stages or by rows alone."""
    share = per_dimension(sparsity)
    return (share, share) if stages == 2 else (0.0, sparsity)


def tile_wise_from_scores(
    scores: Mapping[str, NDArray[np.float64]],
    column_share: float,
    row_share: float,
    granularity: int,
    threshold: Literal["global", "per_layer"] = "per_layer",
    first: Mapping[str, Indices] | None = None,
) -> dict[str, TileWiseMask]:
    """Tile-wise masks from the scores of weights, with the share of each stage given.

    Parameters
    ----------
    scores : mapping of name to float64 array [k, n]
        At least 0.
    column_share : float
        Share of columns to prune, in [0, 1); with 0 every column stays, and tiles are cut every `granularity` columns.
    row_share : float
        Share of the rows of tiles to prune, in [0, 1).
    granularity : int
        Kept columns per tile.
    threshold : {"global", "per_layer"}
        See `tile_wise_masks`.
    first : mapping of name to int64 array, optional
        Columns whose score counts as 0, so that they go first (apriori tuning).

    Returns
    -------
    dict of name to TileWiseMask
    """
    masks: dict[str, TileWiseMask] = {}
    for group in ranked_groups(scores, threshold):
        columns = _kept_columns(group, column_share, granularity, first or {})
        masks |= _with_rows(group, columns, row_share, granularity)
    return masks


def _kept_columns(
    scores: Mapping[str, NDArray[np.float64]], share: float, granularity: int, first: Mapping[str, Indices]
) -> list[tuple[Indices, ...]]:
    """Tiles of kept columns of each layer, the columns of all layers being ranked as one."""
    norms = [np.sqrt(np.sum(score**2, axis=0)) / len(score) for score in scores.values()]
    for norm, name in zip(norms, scores, strict=True):
        norm[first.get(name, np.zeros(0, dtype=np.int64))] = 0.0
    return [cut_tiles(np.flatnonzero(keep), granularity) for keep in rank_together(norms, share)]


def _with_rows(
    scores: Mapping[str, NDArray[np.float64]], columns: list[tuple[Indices, ...]], share: float, granularity: int
) -> dict[str, TileWiseMask]:
    """Masks of layers whose tiles' rows are ranked as one."""
    row_scores = [
        _row_score(score[:, tile], width)
        for score, tiles in zip(scores.values(), columns, strict=True)
        for tile, width in zip(tiles, tile_widths(tiles, score.shape[1], granularity), strict=True)
    ]
    rows = iter([np.flatnonzero(keep) for keep in rank_together(row_scores, share)])
    return {
        name: TileWiseMask(len(score), score.shape[1], granularity, tiles, tuple(next(rows) for _ in tiles))
        for (name, score), tiles in zip(scores.items(), columns, strict=True)
    }


def _row_score(score: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.sqrt(np.sum(score**2, axis=1)) / width
    return result


def cut_tiles(kept_columns: Indices, granularity: int) -> tuple[Indices, ...]:
    """Ascending kept columns, cut after every `granularity` of them; the last tile takes the remainder."""
    return tuple(
        kept_columns[first : first + granularity].astype(np.int64) for first in range(0, len(kept_columns), granularity)
    )


def tile_widths(tiles: Sequence[Indices], n: int, granularity: int) -> list[int]:
    """Original columns that each tile spans. A tile short of `granularity` reaches to the edge at n."""
    ends = [int(tile[-1]) + 1 if len(tile) == granularity else n for tile in tiles]
    return [end - begin for begin, end in pairwise([0, *ends])]
