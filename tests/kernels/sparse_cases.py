"""Random packed weights and thread blocks, for tests of the sparse kernels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from accelsim.kernels.formats import round_to_format
from accelsim.kernels.sparse_formats import TiledForm
from accelsim.mapping.plan import BlockTable
from accelsim.pruning.masks import BlockWiseMask, TileVectorWiseMask
from accelsim.pruning.seeded import seeded_mask

Array = NDArray[Any]

SIZES = st.integers(1, 40)
TILES = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
PATTERNS = st.sampled_from([(2, 4), (1, 2), (3, 4), (4, 16), (5, 7), (1, 1), (2, 32)])


@dataclass(frozen=True)
class Case:
    """A product: activations, dense weights and the mask of what is kept."""

    a: Array
    weights: Array
    kept: Array

    @property
    def pruned(self) -> Array:
        return np.where(self.kept, self.weights, 0).astype(self.weights.dtype)

    @property
    def exact(self) -> Array:
        wide = np.int64 if self.a.dtype == np.int8 else np.float64
        return self.a.astype(wide) @ self.pruned.astype(wide)

    @property
    def bound(self) -> Array:
        return np.abs(self.a.astype(np.float64)) @ np.abs(self.pruned.astype(np.float64))


def operand(shape: tuple[int, ...], dtype: str, seed: int) -> Array:
    scale = 60.0 if dtype == "int8" else 1.0
    return round_to_format(scale * np.random.default_rng(seed).standard_normal(shape), dtype)


def case(kept: Array, dtype: str, m: int, seed: int, batch: int = 2) -> Case:
    k, n = kept.shape
    return Case(operand((batch, m, k), dtype, seed), operand((k, n), dtype, seed + 1), kept)


def group_mask(k: int, n: int, keep: int, group: int, seed: int, density: float = 0.8) -> Array:
    """At most `keep` of every `group` rows of a column, often fewer."""
    random = np.random.default_rng(seed)
    mask = np.zeros((k, n), bool)
    for first in range(0, k, group):
        part = random.random((min(group, k - first), n))
        mask[first : first + group] = (part.argsort(0).argsort(0) < keep) & (random.random(part.shape) < density)
    return mask


def tile_vector_mask(k: int, n: int, granularity: int, keep: int, group: int, seed: int) -> TileVectorWiseMask:
    """Tiles of uneven depth, some of them without rows."""
    tiles = seeded_mask(k, n, 0.5, granularity, seed, 1.0)
    shapes = [(len(rows), len(columns)) for rows, columns in zip(tiles.rows, tiles.columns, strict=True)]
    inner = tuple(group_mask(*shape, keep, group, seed + tile) for tile, shape in enumerate(shapes))
    return TileVectorWiseMask(tiles, group, keep, inner)


def random_blocks(k: int, n: int, rows: int, columns: int, density: float, seed: int) -> BlockWiseMask:
    grid = np.random.default_rng(seed).random((-(-k // rows), -(-n // columns))) < density
    return BlockWiseMask(k, n, rows, columns, grid)


def cut(first: int, last: int, size: int) -> list[tuple[int, int]]:
    return [(begin, min(begin + size, last)) for begin in range(first, last, size)]


def thread_blocks(
    weights: TiledForm, batch: int, m: int, tile: tuple[int, int, int], seed: int, group: int = 1
) -> BlockTable:
    """Every tile of the weights cut into thread blocks of `tile` (k in whole groups), in random order."""
    deep = -(-tile[2] // group) * group
    rows = [
        (item, m0, m1, n0, n1, k0, k1, index, split)
        for index, depth in enumerate(np.diff(weights.row_start))
        for item in range(batch)
        for m0, m1 in cut(0, m, tile[0])
        for n0, n1 in cut(int(weights.column_start[index]), int(weights.column_start[index + 1]), tile[1])
        for split, (k0, k1) in enumerate(cut(0, int(depth), deep) or [(0, 0)])
    ]
    order = np.random.default_rng(seed).permutation(len(rows))
    table = np.array(rows, np.int64).reshape(-1, 9)[order].T
    return BlockTable(*(np.ascontiguousarray(column) for column in table))
