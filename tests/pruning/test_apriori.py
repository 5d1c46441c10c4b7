"""Apriori tuning: column blocks that unstructured pruning empties go first."""

import numpy as np
import pytest

from accelsim.config.patterns import BlockWisePattern, TileWisePattern
from accelsim.errors import OperandError
from accelsim.pruning.apriori import columns_of_blocks, rank_column_blocks
from accelsim.pruning.patterns import prune


def weights() -> np.ndarray:
    """Columns 8 to 15 have few large weights, so a large norm although element-wise pruning empties them."""
    w = np.random.default_rng(0).uniform(0.5, 1.0, size=(32, 32))
    w[:, 8:16] *= 0.1
    w[0, 8:16] = 50.0
    return w


def test_blocks_of_most_zeros_come_first() -> None:
    layers = {"full": np.random.default_rng(1).uniform(0.5, 1.0, (32, 20)), "hollow": weights()}
    scores = {name: np.abs(w) for name, w in layers.items()}
    blocks = rank_column_blocks(scores, 0.5, 8)
    assert blocks[0] == ("hollow", 1)
    assert sorted(blocks) == [*(("full", i) for i in range(3)), *(("hollow", i) for i in range(4))]
    limit = np.percentile(np.concatenate([score.ravel() for score in scores.values()]), 50)
    zeros = {(name, i): (scores[name][:, 8 * i : 8 * i + 8] <= limit).mean() for name, i in blocks}
    assert [zeros[block] for block in blocks] == sorted(zeros.values(), reverse=True)


def test_equal_blocks_keep_their_order() -> None:
    scores = {"one": np.ones((4, 8)), "other": np.ones((4, 4))}
    assert rank_column_blocks(scores, 0.0, 4) == [("one", 0), ("one", 1), ("other", 0)]


def test_listed_blocks_are_pruned_first() -> None:
    pattern = TileWisePattern(sparsity=0.75, granularity=8)
    tuned = TileWisePattern(sparsity=0.75, granularity=8, apriori_blocks=1, apriori_width=8)
    plain, derived, given = (
        np.concatenate(prune({"w": weights()}, chosen, column_blocks=blocks)["w"].columns)
        for chosen, blocks in ((pattern, None), (tuned, None), (tuned, [("w", 1), ("w", 0)]))
    )
    assert set(range(8, 16)) <= set(plain)
    assert not set(range(8, 16)) & set(derived)
    np.testing.assert_array_equal(derived, given)
    assert len(plain) == len(derived) == 16


def test_more_listed_columns_than_are_to_go() -> None:
    tuned = TileWisePattern(sparsity=0.19, granularity=4, apriori_blocks=4, apriori_width=8)
    kept = prune({"w": weights()}, tuned)["w"].to_dense().any(axis=0)
    assert kept.sum() == 28


def test_columns_of_a_last_narrow_block() -> None:
    found = columns_of_blocks([("w", 2), ("w", 0)], 8, {"w": 20})
    np.testing.assert_array_equal(found["w"], [*range(8), *range(16, 20)])


def test_blocks_that_do_not_exist() -> None:
    with pytest.raises(OperandError, match=r"column block \(v, 0\): no layer v; there are w"):
        columns_of_blocks([("v", 0)], 8, {"w": 20})
    for block in (3, -1):
        with pytest.raises(OperandError, match="blocks of 8 columns run from 0 to 2"):
            columns_of_blocks([("w", block)], 8, {"w": 20})


def test_blocks_that_are_not_asked_for() -> None:
    with pytest.raises(OperandError, match="apriori_blocks is 0"):
        prune({"w": weights()}, TileWisePattern(granularity=8), column_blocks=[("w", 0)])
    with pytest.raises(OperandError, match="for tile-wise patterns, not for block_wise"):
        prune({"w": weights()}, BlockWisePattern(), column_blocks=[("w", 0)])
