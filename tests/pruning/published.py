"""The published procedures once more, with loops and NumPy's percentile: slow, and for distinct scores alone."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Weights = list[NDArray[np.float64]]
Masks = list[NDArray[np.bool_]]


def element_wise(weights: Weights, sparsity: float) -> Masks:
    """A global percentile of magnitudes."""
    limit = np.percentile(np.concatenate([np.abs(w).ravel() for w in weights]), 100 * sparsity)
    return [np.abs(w) > limit for w in weights]


def vector_wise(weights: Weights, sparsity: float, vector: int) -> Masks:
    """The best int((1 - s) vector) of every vector along k."""
    return [in_groups(np.abs(w), vector, int((1 - sparsity) * vector)) for w in weights]


def in_groups(scores: NDArray[np.float64], group: int, keep: int) -> NDArray[np.bool_]:
    mask = np.zeros(scores.shape, dtype=np.bool_)
    for column in range(scores.shape[1]):
        for first in range(0, len(scores), group):
            part = scores[first : first + group, column]
            for place in sorted(range(len(part)), key=lambda i, part=part: -part[i])[:keep]:
                mask[first + place, column] = True
    return mask


def block_wise(weights: Weights, sparsity: float, block: tuple[int, int]) -> Masks:
    """A global percentile of the blocks' l2 norms."""
    height, width = block
    norms, places = [], []
    for layer, w in enumerate(weights):
        for row in range(0, w.shape[0], height):
            for column in range(0, w.shape[1], width):
                norms.append(np.linalg.norm(w[row : row + height, column : column + width]))
                places.append((layer, row, column))
    limit = np.percentile(norms, 100 * sparsity)
    masks = [np.zeros(w.shape, dtype=np.bool_) for w in weights]
    for norm, (layer, row, column) in zip(norms, places, strict=True):
        masks[layer][row : row + height, column : column + width] = norm > limit
    return masks


def tile_wise(weights: Weights, sparsity: float, granularity: int, stages: int = 2) -> Masks:
    """Columns by norm / k, tiles of G kept columns, rows by norm / original width, each by a global percentile."""
    share = 100 * (1 - np.sqrt(1 - sparsity)) if stages == 2 else 100 * sparsity
    norms = [[np.linalg.norm(w[:, c]) / len(w) for c in range(w.shape[1])] for w in weights]
    limit = np.percentile(np.concatenate(norms), share) if stages == 2 else -1.0
    tiles = []
    for layer, (w, norm) in enumerate(zip(weights, norms, strict=True)):
        begin, kept = 0, []
        for column in range(w.shape[1]):
            if norm[column] > limit:
                kept.append(column)
            if len(kept) == granularity or (column == w.shape[1] - 1 and kept):
                tiles.append((layer, kept, column + 1 - begin))
                begin, kept = column + 1, []
    scores = [
        [np.linalg.norm(weights[layer][r, kept]) / width for r in range(len(weights[layer]))]
        for layer, kept, width in tiles
    ]
    limit = np.percentile(np.concatenate(scores), share)
    masks = [np.zeros(w.shape, dtype=np.bool_) for w in weights]
    for (layer, kept, _), score in zip(tiles, scores, strict=True):
        for row in range(len(score)):
            masks[layer][row, kept] = score[row] > limit
    return masks


def tile_element_wise(weights: Weights, sparsity: float, delta: float, granularity: int, stages: int) -> Masks:
    """Tile-wise at s + delta; kept scores lowered by 1; a percentile of 100 - delta over all; what is above comes back.

    For weights below 1, with which the lowered scores do lose.
    """
    tiles = tile_wise(weights, sparsity + delta, granularity, stages)
    scores = [np.abs(w) - mask for w, mask in zip(weights, tiles, strict=True)]
    limit = np.percentile(np.concatenate([score.ravel() for score in scores]), 100 * (1 - delta))
    return [mask | (score > limit) for mask, score in zip(tiles, scores, strict=True)]


def tile_vector_wise(weights: Weights, sparsity: float, vector: int, granularity: int) -> Masks:
    """Rows of tiles first; then, down each column, every `vector` survivors keep their best few."""
    if vector == 4:
        tile_sparsity, keep = (1 - 2 * (1 - sparsity), 2) if sparsity >= 0.5 else (0.0, 3)
    else:
        tile_sparsity = 1 - np.sqrt(1 - sparsity)
        keep = int((1 - tile_sparsity) * 16)
    every = [np.ones(w.shape, dtype=np.bool_) for w in weights]
    masks = tile_wise(weights, tile_sparsity, granularity, 1) if tile_sparsity > 0 else every
    result = [np.zeros_like(mask) for mask in masks]
    for w, mask, out in zip(weights, masks, result, strict=True):
        for column in range(w.shape[1]):
            vector_rows: list[int] = []
            for row in [*np.flatnonzero(mask[:, column]), None]:
                if row is not None:
                    vector_rows.append(int(row))
                if len(vector_rows) == vector or (row is None and vector_rows):
                    out[_best(vector_rows, w[:, column], keep), column] = True
                    vector_rows = []
    return result


def _best(rows: Sequence[int], column: NDArray[np.float64], keep: int) -> list[int]:
    return sorted(rows, key=lambda row: -abs(column[row]))[:keep]
