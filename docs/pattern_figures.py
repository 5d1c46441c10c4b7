"""Figures of docs/patterns.md: masks of one matrix, and what each pattern leaves of a matrix's norm."""

import numpy as np
from numpy.typing import NDArray

from accelsim.config.patterns import (
    BlockWisePattern,
    ElementWisePattern,
    NMPattern,
    Pattern,
    TileElementWisePattern,
    TileVectorWisePattern,
    TileWisePattern,
    VectorWisePattern,
)
from accelsim.pruning.patterns import prune
from accelsim.show.masks import mask_figure, norm_figure
from accelsim.show.style import figure_bytes

SPARSITIES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9)


def example_weights(size: int) -> NDArray[np.float64]:
    """Normal weights whose rows and columns differ in scale, as those of trained layers do; from a seed."""
    random = np.random.default_rng(0)
    rows, columns = (np.exp(0.5 * random.normal(size=size)) for _ in range(2))
    weights: NDArray[np.float64] = rows[:, None] * columns * random.normal(size=(size, size))
    return weights


def patterns(sparsity: float, granularity: int, block: int) -> dict[str, Pattern]:
    """The patterns that the figures show, by title."""
    tiled = {"sparsity": sparsity, "granularity": granularity}
    return {
        "EW": ElementWisePattern(sparsity=sparsity),
        "VW, 16 along k": VectorWisePattern(sparsity=sparsity),
        f"BW, {block} x {block}": BlockWisePattern(sparsity=sparsity, block_rows=block, block_columns=block),
        f"TW, G = {granularity}, 1 stage": TileWisePattern(**tiled, stages=1),
        f"TW, G = {granularity}, 2 stages": TileWisePattern(**tiled),
        f"TEW, G = {granularity}, delta 5 %": TileElementWisePattern(**tiled),
        f"TVW-4, G = {granularity}": TileVectorWisePattern(**tiled),
    }


def pattern_figures() -> dict[str, bytes]:
    """The figures by path from the root: small tiles and blocks where they are to be seen, published ones for norms."""
    small = example_weights(128)
    shown = {**patterns(0.75, granularity=16, block=8), "2:4": NMPattern()}
    masks = {title: _mask(small, pattern) for title, pattern in shown.items()}
    return {
        "docs/images/patterns.png": figure_bytes(mask_figure(masks), "png"),
        "docs/images/patterns_norm.png": figure_bytes(norm_figure(norms()), "png"),
    }


def norms() -> dict[str, list[tuple[float, float]]]:
    """Sparsity and kept norm of a 768 x 768 matrix for each pattern and each of `SPARSITIES`."""
    weights = example_weights(768)
    found: dict[str, list[tuple[float, float]]] = {}
    for share in SPARSITIES:
        for title, pattern in patterns(share, granularity=128, block=32).items():
            mask = _mask(weights, pattern)
            norm = float(np.linalg.norm(weights[mask]) / np.linalg.norm(weights))
            found.setdefault(title, []).append((1.0 - float(mask.mean()), norm))
    return found


def _mask(weights: NDArray[np.float64], pattern: Pattern) -> NDArray[np.bool_]:
    return prune({"w": weights}, pattern)["w"].to_dense()
