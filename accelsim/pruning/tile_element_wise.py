"""Tile-element-wise masks (TEW): tile-wise beyond the asked sparsity, then the best single weights come back."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from accelsim.config.patterns import TileElementWisePattern
from accelsim.errors import OperandError
from accelsim.pruning.masks import TileElementWiseMask
from accelsim.pruning.ranking import highest, kept_count, ranked_groups
from accelsim.pruning.recorded import as_tile_wise
from accelsim.pruning.tile_wise import TileWiseMask, stage_shares, tile_wise_from_scores


def tile_element_wise_masks(
    scores: Mapping[str, NDArray[np.float64]], pattern: TileElementWisePattern
) -> dict[str, TileElementWiseMask]:
    """Prune tile-wise at sparsity + delta, and restore the share delta of all weights, the best that were pruned.

    What is restored lies anywhere, in pruned rows, columns and tiles. The published code lowers the scores of kept
    weights by 1, meant to make them lose; here they do not compete at all, which is the same where scores are below 1
    and still right where they are not. Sparsity is that of the tile-wise mask less delta, to within one weight.

    Parameters
    ----------
    scores : mapping of name to float64 array [k, n]
    pattern : TileElementWisePattern
        Its threshold says whether the best are looked for in all layers or in each.

    Returns
    -------
    dict of name to TileElementWiseMask
    """
    column_share, row_share = stage_shares(pattern.tile_sparsity, pattern.stages)
    tiles = tile_wise_from_scores(scores, column_share, row_share, pattern.granularity, pattern.threshold)
    masks: dict[str, TileElementWiseMask] = {}
    for group in ranked_groups(scores, pattern.threshold):
        for name, restored in _restore(group, tiles, pattern.delta).items():
            masks[name] = TileElementWiseMask(tiles[name], restored)
    return masks


def _restore(
    scores: Mapping[str, NDArray[np.float64]], tiles: Mapping[str, TileWiseMask], delta: float
) -> dict[str, NDArray[np.bool_]]:
    """Which pruned weights of layers that are ranked together come back."""
    pruned = {name: ~tiles[name].to_dense() for name in scores}
    lost = np.concatenate([score[pruned[name]] for name, score in scores.items()])
    count = kept_count(sum(score.size for score in scores.values()), 1.0 - delta)
    back = iter(np.split(highest(lost, min(count, len(lost))), np.cumsum([p.sum() for p in pruned.values()])[:-1]))
    restored = {}
    for name, open_ in pruned.items():
        restored[name] = np.zeros(open_.shape, dtype=np.bool_)
        restored[name][open_] = next(back)
    return restored


def as_tile_element_wise(
    mask: NDArray[np.bool_], tiles: NDArray[np.bool_], pattern: TileElementWisePattern, where: str
) -> TileElementWiseMask:
    """A dense mask [k, n] and the part of it that tiles hold as the tile-element-wise mask that they are.

    Raises
    ------
    OperandError
        When the tiles are not tile-wise, or keep what the mask does not.
    """
    outside = np.argwhere(tiles & ~mask)
    if len(outside):
        row, column = (int(index) for index in outside[0])
        raise OperandError(f"{where}: its tiles keep row {row}, column {column}, which the mask prunes")
    whole = as_tile_wise(tiles, pattern.granularity, f"{where}: tiles", pattern.stages)
    return TileElementWiseMask(whole, mask & ~tiles)
