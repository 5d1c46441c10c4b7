"""What pruning left: sparsity and norm of each layer, and how evenly its tiles keep rows."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.pruning.masks import Mask, TileElementWiseMask, TileVectorWiseMask
from accelsim.pruning.scores import Matrix
from accelsim.pruning.tile_wise import TileWiseMask

BINS = 10
"""Bars of the histogram of rows that tiles keep."""


@dataclass(frozen=True)
class LayerReport:
    """One layer after pruning."""

    name: str
    k: int
    n: int
    kept: int
    """Weights."""
    sparsity: float
    """Share of weights that are pruned."""
    retained_norm: float | None
    """Frobenius norm of the kept weights over that of all; None when all are 0."""
    rows_per_tile: list[int] | None
    """Rows that each tile keeps; None where the pattern has no tiles."""

    def as_dict(self) -> dict[str, Any]:
        """Fields by name."""
        return asdict(self)


def layer_report(name: str, weights: Matrix, mask: Mask) -> LayerReport:
    """Report of one layer.

    Parameters
    ----------
    name : str
    weights : array [k, n]
        Before pruning.
    mask : mask
    """
    squares = np.square(weights.astype(np.float64))
    total = float(squares.sum())
    kept = float(squares.sum(where=mask.to_dense()))
    tiles = tiles_of(mask)
    return LayerReport(
        name=name,
        k=mask.k,
        n=mask.n,
        kept=mask.kept,
        sparsity=mask.sparsity,
        retained_norm=math.sqrt(kept / total) if total else None,
        rows_per_tile=None if tiles is None else [len(rows) for rows in tiles.rows],
    )


def tiles_of(mask: Mask) -> TileWiseMask | None:
    """The tiles of a mask of one of the tile-wise patterns; None for others."""
    if isinstance(mask, TileElementWiseMask | TileVectorWiseMask):
        return mask.tiles
    return mask if isinstance(mask, TileWiseMask) else None


def total_sparsity(layers: Sequence[LayerReport]) -> float:
    """Share of all layers' weights that are pruned."""
    return 1.0 - sum(layer.kept for layer in layers) / sum(layer.k * layer.n for layer in layers)


def rows_histogram(layers: Sequence[LayerReport]) -> NDArray[np.int64]:
    """[BINS] tiles of all layers by the share of k that they keep, in equal steps from 0 to 1; 1 lies in the last."""
    shares = [rows / layer.k for layer in layers for rows in layer.rows_per_tile or ()]
    return np.histogram(shares, bins=BINS, range=(0.0, 1.0))[0].astype(np.int64)
