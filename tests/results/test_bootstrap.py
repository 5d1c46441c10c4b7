"""Paired bootstrap: against its definition drawn image by image, against theory, and on what it must refuse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accelsim.errors import OperandError
from accelsim.results.bootstrap import paired_bootstrap

SCORES = arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 30)), elements=st.floats(-3, 3))


@settings(max_examples=30, deadline=None)
@given(SCORES, st.floats(-2, 2))
def test_a_constant_gain_has_an_interval_of_no_width(scores: np.ndarray, gain: float) -> None:
    interval = paired_bootstrap(scores + gain, scores, replicates=50)
    np.testing.assert_allclose([interval.low, interval.difference, interval.high], gain, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(SCORES, st.integers(0, 9))
def test_exchanging_the_settings_mirrors_the_interval(scores: np.ndarray, seed: int) -> None:
    one = paired_bootstrap(scores, np.zeros_like(scores), replicates=200, seed=seed)
    other = paired_bootstrap(np.zeros_like(scores), scores, replicates=200, seed=seed)
    np.testing.assert_allclose(
        [one.difference, one.low, one.high], [-other.difference, -other.high, -other.low], atol=1e-9
    )
    assert one.excludes_zero == other.excludes_zero


def test_it_is_the_interval_of_draws_made_one_by_one() -> None:
    generator = np.random.default_rng(3)
    first, second = generator.random((3, 40)) < 0.9, generator.random((3, 40)) < 0.8
    drawn = []
    for _ in range(4_000):
        seeds, images = generator.integers(3, size=3), generator.integers(40, size=40)
        drawn.append(first[np.ix_(seeds, images)].mean() - second[np.ix_(seeds, images)].mean())
    interval = paired_bootstrap(first, second, level=0.9)
    np.testing.assert_allclose([interval.low, interval.high], np.quantile(drawn, [0.05, 0.95]), atol=0.012)
    assert interval.difference == pytest.approx(first.mean() - second.mean())


def test_width_for_one_seed_is_that_of_the_normal_approximation() -> None:
    right = np.arange(500) % 20 != 0
    interval = paired_bootstrap(right, np.ones(500))
    half = 1.96 * np.sqrt(0.05 * 0.95 / 500)
    assert (interval.high - interval.low) / 2 == pytest.approx(half, rel=0.06)
    assert interval.excludes_zero
    assert (interval.seeds, interval.images) == (1, 500)


def test_pairing_removes_what_both_settings_share() -> None:
    hard = np.random.default_rng(0).random((3, 200)) < 0.5
    shared = paired_bootstrap(hard, hard & (np.arange(200) != 7))
    assert shared.high - shared.low < 0.03


def test_seeds_that_disagree_widen_the_interval() -> None:
    agreed = np.full((3, 100), 0.1)
    split = np.repeat([[0.0], [0.0], [0.3]], 100, axis=1)
    assert paired_bootstrap(agreed, 0 * agreed).low > 0.099
    assert paired_bootstrap(split, 0 * split).low == 0


def test_equal_arguments_give_equal_intervals() -> None:
    scores = np.random.default_rng(1).random((3, 50))
    assert paired_bootstrap(scores, 0.5 + 0 * scores) == paired_bootstrap(scores, 0.5 + 0 * scores)
    assert paired_bootstrap(scores, 0.5 + 0 * scores, seed=1) != paired_bootstrap(scores, 0.5 + 0 * scores)


@pytest.mark.parametrize(
    ("first", "second", "options", "message"),
    [
        (np.ones((3, 5)), np.ones((2, 5)), {}, r"second: scores have shape \[2, 5\]"),
        (np.ones((3, 0)), np.ones((3, 0)), {}, "at least one of each"),
        (np.ones((2, 2, 2)), np.ones((2, 2, 2)), {}, r"not \[2, 2, 2\]"),
        ([1.0, np.nan], [1.0, 1.0], {}, "first: score of image 1 under seed 0 is nan"),
        ([1.0], [1.0], {"level": 95}, "level is 95"),
        ([1.0], [1.0], {"replicates": 0}, "replicates is 0"),
    ],
)
def test_what_it_refuses(first: object, second: object, options: dict[str, float], message: str) -> None:
    with pytest.raises(OperandError, match=message):
        paired_bootstrap(first, second, **options)
