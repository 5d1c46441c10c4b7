"""Tile-wise masks without weights: random rows and columns from a seed, for runs that are about time alone."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from accelsim.pruning.tile_wise import Indices, TileWiseMask, cut_tiles, stage_shares


def seeded_mask(
    k: int, n: int, sparsity: float, granularity: int, seed: int | Sequence[int], uneven: float = 0.0, stages: int = 2
) -> TileWiseMask:
    """A tile-wise mask drawn from a seed, balanced unless asked otherwise.

    Both dimensions lose ``1 - sqrt(1 - sparsity)`` of their units, rounded to whole ones and at least one kept; which
    ones is uniform. Every tile keeps equally many rows, as in the published benchmark.

    Parameters
    ----------
    k, n : int
        Shape of the weights.
    sparsity : float
        In [0, 1).
    granularity : int
        Kept columns per tile.
    seed : int or sequence of int
    uneven : float
        In [0, 1]: how far the tiles' row counts are spread around their mean, evenly and in random order, as a share
        of what the mean leaves room for. The rows of all tiles together stay the same in number.
    stages : int
        With 1 all columns are kept, and rows lose the whole sparsity.

    Returns
    -------
    TileWiseMask
    """
    if not 0.0 <= uneven <= 1.0:
        raise ValueError(f"uneven must lie in [0, 1], not {uneven}")
    random = np.random.default_rng(seed)
    column_share, row_share = stage_shares(sparsity, stages)
    columns = cut_tiles(_draw(random, n, max(1, round((1.0 - column_share) * n))), granularity)
    counts = _row_counts(random, max(1, round((1.0 - row_share) * k)), k, len(columns), uneven)
    return TileWiseMask(k, n, granularity, columns, tuple(_draw(random, k, int(count)) for count in counts))


def _draw(random: np.random.Generator, size: int, count: int) -> Indices:
    """`count` of the indices below `size`, ascending."""
    return np.sort(random.choice(size, count, replace=False)).astype(np.int64)


def _row_counts(random: np.random.Generator, mean: int, k: int, tiles: int, uneven: float) -> NDArray[np.int64]:
    """[tiles] row counts in [0, k] with sum ``tiles * mean``: each tile and its mirror image move by the same."""
    swing = uneven * min(mean, k - mean)
    mirrored = np.arange(1 - tiles, tiles, 2)
    offsets = np.rint(swing * mirrored / max(1, tiles - 1)).astype(np.int64)
    return random.permutation(mean + offsets)
