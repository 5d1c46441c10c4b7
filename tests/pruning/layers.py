"""Weights that tests of patterns prune, and their masks as bool matrices."""

import numpy as np
from numpy.typing import NDArray

from accelsim.config.patterns import Pattern
from accelsim.pruning.patterns import prune


def weights_of(seed: int, *shape: int) -> NDArray[np.float64]:
    """Distinct, and below 1."""
    return np.random.default_rng(seed).uniform(-1, 1, size=shape)


LAYERS = {"first": weights_of(1, 48, 64), "second": 0.8 * weights_of(2, 80, 40)}


def dense_of(pattern: Pattern, layers: dict[str, NDArray[np.float64]]) -> list[NDArray[np.bool_]]:
    return [mask.to_dense() for mask in prune(layers, pattern).values()]
