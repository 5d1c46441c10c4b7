"""Bootstrap of a difference of rank correlations: against draws made one by one, and on what it must refuse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from accelsim.errors import OperandError
from accelsim.results.bootstrap import rank_bootstrap, weighted_ranks
from accelsim.results.metrics import spearman


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 4)), min_size=1, max_size=20))
def test_weighted_ranks_are_those_of_repeated_values(drawn: list[tuple[int, int]]) -> None:
    values, often = (np.asarray(column, dtype=np.float64) for column in zip(*drawn, strict=True))
    found = weighted_ranks(values, often[None])[0]
    repeated = np.repeat(found, often.astype(int))
    np.testing.assert_allclose(repeated, stats.rankdata(np.repeat(values, often.astype(int))) - 1)


def _settings_of(pairs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(5)
    scores = draw.integers(0, 6, pairs).astype(np.float64)
    return scores + draw.normal(0, 1.0, (2, pairs)), scores + draw.normal(0, 3.0, (2, pairs)), scores


def test_it_is_the_interval_of_draws_made_one_by_one() -> None:
    good, bad, scores = _settings_of(40)
    draw, drawn = np.random.default_rng(1), []
    for _ in range(1500):
        some = draw.integers(40, size=40)
        seeds = draw.integers(2, size=2)
        drawn.append(
            np.mean([spearman(good[s, some], scores[some]) - spearman(bad[s, some], scores[some]) for s in seeds])
        )
    found = rank_bootstrap(good, bad, scores, level=0.9, replicates=1500)
    np.testing.assert_allclose([found.low, found.high], np.quantile(drawn, [0.05, 0.95]), atol=0.025)
    whole = [spearman(a, scores) - spearman(b, scores) for a, b in zip(good, bad, strict=True)]
    assert found.difference == pytest.approx(np.mean(whole))
    assert (found.seeds, found.images, found.excludes_zero) == (2, 40, True)


def test_pairs_that_share_texts_are_drawn_by_their_texts() -> None:
    texts = np.stack(np.triu_indices(12, 1), axis=1)
    good, bad, scores = (array[..., : len(texts)] for array in _settings_of(len(texts)))
    draw, drawn = np.random.default_rng(2), []
    for _ in range(1500):
        often = np.bincount(draw.integers(12, size=12), minlength=12)
        some = np.repeat(np.arange(len(texts)), often[texts[:, 0]] * often[texts[:, 1]])
        drawn.append(spearman(good[0, some], scores[some]) - spearman(bad[0, some], scores[some]))
    found = rank_bootstrap(good[0], bad[0], scores, texts + 100, level=0.9, replicates=1500)
    np.testing.assert_allclose([found.low, found.high], np.quantile(drawn, [0.05, 0.95]), atol=0.03)
    apart = np.arange(2 * len(texts)).reshape(-1, 2)
    alone = rank_bootstrap(good[0], bad[0], scores, apart)
    assert alone == rank_bootstrap(good[0], bad[0], scores)


def test_exchanging_the_settings_mirrors_the_interval() -> None:
    good, bad, scores = _settings_of(30)
    one, other = (rank_bootstrap(a, b, scores, replicates=300) for a, b in ((good, bad), (bad, good)))
    np.testing.assert_allclose([one.low, one.high], [-other.high, -other.low], atol=1e-12)


def test_refusals() -> None:
    ones = np.ones(3)
    with pytest.raises(OperandError, match="scores have shape"):
        rank_bootstrap(ones, ones, np.ones(4))
    with pytest.raises(OperandError, match=r"pairs must be \[3, 2\]"):
        rank_bootstrap(ones, ones, ones, np.ones((2, 2), int))
    with pytest.raises(OperandError, match="level is 1"):
        rank_bootstrap(ones, ones, ones, level=1)
    assert rank_bootstrap(ones, ones, ones).difference == 0
