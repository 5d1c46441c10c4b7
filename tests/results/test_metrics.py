import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from accelsim.results.metrics import (
    accuracy,
    agreement,
    cosine_agreement,
    f1,
    quality,
    rank_correlation,
    ranks,
    similarities,
    spearman,
    top1_agreement,
)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-5, 5), min_size=2, max_size=30), st.randoms())
def test_ranks_and_correlation_are_scipys(values, random):
    others = random.sample(values, len(values))
    np.testing.assert_array_equal(ranks(values), stats.rankdata(values) - 1)
    if len(set(values)) > 1:
        assert spearman(values, others) == pytest.approx(stats.spearmanr(values, others).statistic)
    else:
        assert spearman(values, others) == 0


def test_f1_by_hand():
    right, found = [1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 0, 0]
    assert f1(found, right, 2) == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert f1([0, 1, 2], [0, 1, 1], 3) == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert f1([0, 0], [0, 0], 2) == 0  # nothing of class 1 anywhere


def test_quality_takes_what_there_is():
    output = np.asarray([[2.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    labels = np.asarray([0, 1, 1])
    assert quality(output, labels, None) == ("accuracy", pytest.approx(2 / 3))
    assert quality(output, labels, None, "f1") == ("f1", pytest.approx(2 / 3))
    assert quality(output, None, None) == (None, None)
    assert quality(output[:, :1], None, np.asarray([3.0, 1.0, 2.0])) == ("spearman", pytest.approx(1))


def test_similarities_are_of_pairs_or_the_output_itself():
    output = np.asarray([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0], [1.0, 0.0]])
    np.testing.assert_allclose(similarities(output, 2), [1, 0])
    np.testing.assert_array_equal(similarities(output[:, :1], 4), [1, 3, 0, 1])


def test_agreement_sees_what_changed():
    dense = np.random.default_rng(0).standard_normal((8, 4))
    same = agreement(2 * dense, dense)
    assert same == {key: pytest.approx(1) for key in ("cosine_to_dense", "rank_to_dense", "top1_to_dense")}
    swapped = dense.copy()
    swapped[0] = -dense[0]
    assert cosine_agreement(swapped, dense) == pytest.approx(1 - 2 / 8)
    assert top1_agreement(swapped, dense) == pytest.approx(7 / 8)
    upper = np.triu_indices(8, 1)
    unit = dense / np.linalg.norm(dense, axis=1, keepdims=True)
    turned = unit.copy()
    turned[0] *= -1
    wanted = stats.spearmanr((unit @ unit.T)[upper], (turned @ turned.T)[upper]).statistic
    assert rank_correlation(swapped, dense) == pytest.approx(wanted)


def test_agreement_needs_values_of_one_shape():
    empty = dict.fromkeys(("cosine_to_dense", "rank_to_dense", "top1_to_dense"))
    assert agreement(None, np.ones((2, 2))) == empty
    assert agreement(np.ones((2, 2)), np.ones((3, 2))) == empty
    assert rank_correlation(np.ones((2, 2)), np.ones((2, 2))) is None
    assert top1_agreement(np.ones((2, 1)), np.ones((2, 1))) is None
    assert cosine_agreement(np.zeros((1, 2)), np.zeros((1, 2))) == 1


def test_accuracy_counts_right_answers():
    assert accuracy([1, 2, 3, 4], [1, 2, 0, 0]) == 0.5
