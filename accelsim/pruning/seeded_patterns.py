"""Masks of every pattern without weights, from a seed, for runs that are about time alone.

Single weights, vectors, groups and blocks are ranked by scores that are drawn uniformly, so that layers have the
sparsity that is asked for. Tiles are those of `accelsim.pruning.seeded`: each keeps equally many rows, unless asked
otherwise.
"""

from collections.abc import Sequence

import numpy as np

from accelsim.config.patterns import Pattern, TileElementWisePattern, TileVectorWisePattern, TileWisePattern
from accelsim.pruning.groups import best_of_groups
from accelsim.pruning.masks import Mask, TileElementWiseMask, TileVectorWiseMask
from accelsim.pruning.patterns import BUILDERS
from accelsim.pruning.seeded import seeded_mask


def seeded_pattern_mask(k: int, n: int, pattern: Pattern, seed: int | Sequence[int], uneven: float = 0.0) -> Mask:
    """A mask of a pattern drawn from a seed.

    Parameters
    ----------
    k, n : int
        Shape of the weights.
    pattern : Pattern
    seed : int or sequence of int
    uneven : float
        Of the rows of tiles, as of `accelsim.pruning.seeded.seeded_mask`.

    Returns
    -------
    Mask
        Of the class that `accelsim.pruning.patterns.prune` gives for the pattern.
    """
    if isinstance(pattern, TileWisePattern):
        return seeded_mask(k, n, pattern.total_sparsity, pattern.granularity, seed, uneven, pattern.stages)
    random = np.random.default_rng(seed)
    if isinstance(pattern, TileElementWisePattern):
        tiles = seeded_mask(k, n, pattern.tile_sparsity, pattern.granularity, seed, uneven, pattern.stages)
        free = np.flatnonzero(~tiles.to_dense().ravel())
        restored = np.zeros(k * n, np.bool_)
        restored[random.choice(free, min(len(free), round(pattern.delta * k * n)), replace=False)] = True
        return TileElementWiseMask(tiles, restored.reshape(k, n))
    if isinstance(pattern, TileVectorWisePattern):
        tiles = seeded_mask(k, n, pattern.tile_sparsity, pattern.granularity, seed, uneven, pattern.stages)
        inner = tuple(
            best_of_groups(random.random((len(rows), len(columns))), pattern.vector, pattern.keep)
            for rows, columns in zip(tiles.rows, tiles.columns, strict=True)
        )
        return TileVectorWiseMask(tiles, pattern.vector, pattern.keep, inner)
    return BUILDERS[pattern.kind]({"": random.random((k, n))}, pattern)[""]
