"""Tile-vector-wise masks (TVW): tile-wise, then 2:4 (or vectors of 16) along the rows that each tile has left.

Vectors are counted along the *compacted* k, in which a kernel that gathers a tile's rows hands them to tensor cores.
Along the original k such a mask need not be 2:4.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from accelsim.config.patterns import TileVectorWisePattern
from accelsim.errors import OperandError
from accelsim.pruning.groups import best_of_groups, require_groups
from accelsim.pruning.masks import TileVectorWiseMask
from accelsim.pruning.recorded import as_tile_wise
from accelsim.pruning.tile_wise import stage_shares, tile_wise_from_scores


def tile_vector_wise_masks(
    scores: Mapping[str, NDArray[np.float64]], pattern: TileVectorWisePattern
) -> dict[str, TileVectorWiseMask]:
    """Prune tile-wise, then keep the best `keep` of every `vector` surviving rows in each column of each tile.

    Vectors of 4 take half of the weights, and tile-wise pruning the rest: ``1 - 2 (1 - sparsity)``. Below a sparsity of
    one half nothing is pruned tile-wise and 3 of 4 stay, a quarter pruned, which no hardware runs. Vectors of 16 share
    evenly: ``1 - sqrt(1 - sparsity)`` each.

    Parameters
    ----------
    scores : mapping of name to float64 array [k, n]
    pattern : TileVectorWisePattern

    Returns
    -------
    dict of name to TileVectorWiseMask
    """
    column_share, row_share = stage_shares(pattern.tile_sparsity, pattern.stages)
    tiles = tile_wise_from_scores(scores, column_share, row_share, pattern.granularity, pattern.threshold)
    return {
        name: TileVectorWiseMask(
            tiles[name],
            pattern.vector,
            pattern.keep,
            tuple(
                best_of_groups(score[np.ix_(rows, columns)], pattern.vector, pattern.keep)
                for rows, columns in zip(tiles[name].rows, tiles[name].columns, strict=True)
            ),
        )
        for name, score in scores.items()
    }


def as_tile_vector_wise(
    mask: NDArray[np.bool_], tiles: NDArray[np.bool_] | None, pattern: TileVectorWisePattern, where: str
) -> TileVectorWiseMask:
    """A dense mask [k, n] as the tile-vector-wise mask that it is.

    Parameters
    ----------
    mask : bool array [k, n]
    tiles : bool array [k, n] or None
        What the tiles held before vectors were pruned. Without it, a row belongs to a tile when any of its columns
        keeps it; in narrow tiles a row may have lost all, and vectors are then counted wrongly.
    pattern : TileVectorWisePattern
    where : str
        What errors call the mask.

    Raises
    ------
    OperandError
        When the tiles are not tile-wise, the mask keeps what they do not, or a vector keeps too many.
    """
    if tiles is None:
        tiles = _visible_tiles(mask, pattern)
    outside = np.argwhere(mask & ~tiles)
    if len(outside):
        row, column = (int(index) for index in outside[0])
        raise OperandError(f"{where}: keeps row {row}, column {column}, which its tiles prune")
    whole = as_tile_wise(tiles, pattern.granularity, f"{where}: tiles", pattern.stages)
    inner = tuple(mask[np.ix_(rows, columns)] for rows, columns in zip(whole.rows, whole.columns, strict=True))
    for index, part in enumerate(inner):
        require_groups(part, pattern.vector, pattern.keep, f"{where}: tile {index}, counted along its kept rows")
    return TileVectorWiseMask(whole, pattern.vector, pattern.keep, inner)


def _visible_tiles(mask: NDArray[np.bool_], pattern: TileVectorWisePattern) -> NDArray[np.bool_]:
    """The smallest tile-wise mask that holds `mask`."""
    columns = np.arange(mask.shape[1]) if pattern.stages == 1 else np.flatnonzero(mask.any(axis=0))
    tiles = np.zeros_like(mask)
    for first in range(0, len(columns), pattern.granularity):
        tile = columns[first : first + pattern.granularity]
        tiles[np.ix_(np.flatnonzero(mask[:, tile].any(axis=1)), tile)] = True
    return tiles
