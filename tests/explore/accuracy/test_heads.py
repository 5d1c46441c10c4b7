"""Attention without some heads: how many go, which ones, and HDP's thresholds by layer."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.config.options import Hdp
from accelsim.errors import MappingError
from accelsim.explore.accuracy import StudyModel, run_model
from accelsim.explore.accuracy.blocks import split_call
from accelsim.explore.accuracy.heads import (
    HeadThresholds,
    InverseHeads,
    OracleHeads,
    RandomHeads,
    RankedHeads,
    TopHeads,
    head_importance,
    spread_heads,
)
from accelsim.explore.accuracy.solve import block_threshold, global_head_threshold, head_thresholds
from tests.explore.accuracy.calls import EXCLUDED, call_of


@settings(deadline=None, max_examples=50)
@given(st.floats(0, 0.99), st.integers(1, 13), st.integers(1, 17))
def test_heads_go_as_evenly_as_can_be(ratio: float, layers: int, heads: int) -> None:
    pruned = spread_heads(ratio, layers, heads)
    assert len(pruned) == layers
    assert max(pruned) - min(pruned) <= 1
    assert list(pruned) == sorted(pruned)
    assert max(pruned) < heads
    assert sum(pruned) in (round(ratio * layers * heads), layers * (heads - 1))


@pytest.mark.parametrize("kind", [TopHeads, InverseHeads, OracleHeads, partial(RandomHeads, seed=1)])
def test_each_input_loses_as_many(kind: Callable[[Hdp, tuple[int, ...]], RankedHeads], digits: StudyModel) -> None:
    found = run_model(digits, kind(digits.hdp, spread_heads(0.375, 2, 4)))
    np.testing.assert_array_equal(found.head_kept.sum(axis=2), [[3] * 20, [2] * 20])
    assert found.heads_pruned == found.pairs_pruned == 0.375


def test_top_and_inverse_heads_are_each_others_opposite() -> None:
    call = call_of(6, heads=4, inputs=5)
    parts = split_call(EXCLUDED, call)
    importance = head_importance(EXCLUDED, call, parts).reshape(5, 4)
    top = TopHeads(EXCLUDED, (2, 2)).choose(call, parts).reshape(5, 4)
    inverse = InverseHeads(EXCLUDED, (2, 2)).choose(call, parts).reshape(5, 4)
    distinct = [len(set(row)) == 4 for row in importance.tolist()]
    assert any(distinct)
    for row in np.flatnonzero(distinct):
        np.testing.assert_array_equal(top[row], ~inverse[row])
        assert importance[row][top[row]].min() > importance[row][~top[row]].max()


def test_importance_is_the_mean_magnitude_of_integer_scores() -> None:
    call = call_of(5, heads=1, inputs=1)
    parts = split_call(EXCLUDED, call)
    scores = parts.query_integer[0] @ parts.key_integer[0].T
    assert head_importance(EXCLUDED, call, parts)[0] == pytest.approx(np.abs(scores).sum() / 9)
    summed = EXCLUDED.model_copy(update={"tau_normalised": False})
    assert head_importance(summed, call, parts)[0] == pytest.approx(np.abs(scores).sum())


def test_a_pruned_head_puts_out_nothing() -> None:
    call = call_of(6, heads=2, inputs=1)
    importance = head_importance(EXCLUDED, call, split_call(EXCLUDED, call))
    found = HeadThresholds(EXCLUDED, [float(importance.mean())] * 2)
    found.begin()
    attended = found.attend(call)
    low, high = int(np.argmin(importance)), int(np.argmax(importance))
    assert attended.head_kept.tolist() == [index == high for index in range(2)]
    assert not attended.output[low].any()
    assert attended.kept_pairs[low] == 0
    assert attended.output[high].any()


def test_thresholds_prune_the_wanted_share_of_every_layer(calibration: StudyModel) -> None:
    thresholds = head_thresholds(calibration, calibration.hdp, 0.25)
    found = run_model(calibration, HeadThresholds(calibration.hdp, thresholds))
    np.testing.assert_allclose(1 - found.head_kept.mean(axis=(1, 2)), 0.25, atol=0.02)
    one = global_head_threshold(calibration, calibration.hdp, 0.25)
    both = run_model(calibration, HeadThresholds(calibration.hdp, [one, one]))
    assert both.heads_pruned == pytest.approx(0.25, abs=0.03)


def test_row_thresholds_prune_the_wanted_share(calibration: StudyModel) -> None:
    from accelsim.explore.accuracy.blocks import HdpMethod
    from accelsim.explore.accuracy.solve import with_threshold

    rho_b = block_threshold(calibration, calibration.hdp, 0.6)
    found = run_model(calibration, HdpMethod(with_threshold(calibration.hdp, rho_b)))
    assert found.pairs_pruned == pytest.approx(0.6, abs=0.01)
    with pytest.raises(MappingError, match=r"at most 8\d.*95 % was asked for"):
        block_threshold(calibration, calibration.hdp, 0.95)
    with pytest.raises(MappingError, match="leaves none"):
        head_thresholds(calibration, calibration.hdp, 0.9999)
