"""Weights that were pruned already: zeros score lowest, so that the same pattern finds the masks that they carry."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from accelsim.config.patterns import (
    BlockWisePattern,
    ElementWisePattern,
    NMPattern,
    Pattern,
    TileWisePattern,
    VectorWisePattern,
)
from accelsim.pruning.patterns import prune

SHARES = (0.5, 0.75)
PATTERNS: dict[str, Pattern] = {
    f"{pattern.kind} {pattern.total_sparsity}": pattern
    for share in SHARES
    for pattern in (
        ElementWisePattern(sparsity=share),
        VectorWisePattern(sparsity=share),
        BlockWisePattern(sparsity=share, block_rows=4, block_columns=4),
        NMPattern(n=round(4 * (1 - share)), m=4),
        TileWisePattern(sparsity=share, granularity=16),
        TileWisePattern(sparsity=share, granularity=32, stages=1),
    )
}


def pruned_once(pattern: Pattern, seed: int, shape: tuple[int, int]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """A mask, and weights that were changed since where it keeps them, as training does."""
    random = np.random.default_rng(seed)
    mask = prune({"w": random.normal(size=shape)}, pattern)["w"].to_dense()
    return mask, np.where(mask, random.uniform(0.1, 1, size=shape) * random.choice([-1, 1], size=shape), 0)


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS.keys())
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), shape=st.sampled_from([(64, 64), (64, 256), (256, 64)]))
def test_the_same_pattern_finds_the_same_mask(pattern: Pattern, seed: int, shape: tuple[int, int]) -> None:
    mask, weights = pruned_once(pattern, seed, shape)
    np.testing.assert_array_equal(prune({"w": weights}, pattern)["w"].to_dense(), mask)


def test_a_weight_that_came_back_changes_the_mask() -> None:
    pattern = TileWisePattern(sparsity=0.75, granularity=32)
    mask, weights = pruned_once(pattern, 0, (64, 64))
    row = int(np.flatnonzero(~mask.any(axis=1))[0])
    weights[row] = 1.0
    assert (prune({"w": weights}, pattern)["w"].to_dense() != mask).any()
