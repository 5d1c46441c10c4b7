"""Cascades for batches: against the accelerator, one input at a time, and what their schedule cannot do."""

import numpy as np
import pytest

from accelsim.config.loader import load_attention_unit
from accelsim.config.options import Hdp
from accelsim.errors import MappingError
from accelsim.explore.accuracy import StudyModel, run_model
from accelsim.explore.accuracy.cascade import Cascade, LocalValues, cascade_counts, heads_cascade, tokens_cascade
from accelsim.explore.accuracy.forward import AttentionCall
from accelsim.machine.attention.accelerator import Operands
from accelsim.machine.attention.spatten import SPATTEN, SpattenUnit
from tests.explore.accuracy.calls import EXCLUDED, call_of


def _unit(token_keep: float, head_keep: float) -> SpattenUnit:
    settings = ("multiplier_bits=16", "spatten.msb_bits=16", "spatten.lsb_bits=0")
    settings += (f"spatten.token_keep={token_keep}", f"spatten.head_keep={head_keep}")
    unit = load_attention_unit("spatten_eighth", [f"hardware.{each}" for each in settings])
    assert isinstance(unit, SpattenUnit)
    return unit


@pytest.mark.parametrize(("token_keep", "head_keep"), [(0.4, 1.0), (1.0, 0.5), (0.5, 0.25)])
def test_each_input_is_pruned_as_the_accelerator_does(token_keep: float, head_keep: float) -> None:
    calls = [call_of(9, heads=4, inputs=3, layer=layer, seed=layer) for layer in range(3)]
    calls = [AttentionCall(c.attention, c.layer, 3, c.inputs, c.query, c.key, c.value) for c in calls]
    cascade = Cascade(Hdp(), token_keep=token_keep, head_keep=head_keep, layers=3)
    cascade.begin()
    batched = [cascade.attend(call) for call in calls]
    for item in range(3):
        rows = slice(4 * item, 4 * item + 4)
        layers = [Operands(call.query[rows], call.key[rows], call.value[rows]) for call in calls]
        for work, found in zip(SPATTEN.execute(_unit(token_keep, head_keep), layers), batched, strict=True):
            np.testing.assert_array_equal(found.head_kept[rows], work.head_kept)
            np.testing.assert_array_equal(found.kept_pairs[rows], work.kept_pairs)
            np.testing.assert_array_equal(found.output[rows], work.output)
    assert not batched[-1].head_kept.all() or batched[-1].kept_pairs[0] < 81


def test_a_pass_begins_with_everything(digits: StudyModel) -> None:
    method = tokens_cascade(digits.hdp, 0.3, 2)
    first, second = run_model(digits, method), run_model(digits, method)
    np.testing.assert_array_equal(first.output, second.output)
    assert first.pairs_pruned == pytest.approx(0.3, abs=0.04)
    assert first.kept_pairs[0].min() == 256 > first.kept_pairs[1].max()


def test_schedules_that_cannot_be_are_refused() -> None:
    with pytest.raises(MappingError, match=r"2 layers cannot leave out 70 %.*at most 50 %"):
        tokens_cascade(Hdp(), 0.7, 2)
    with pytest.raises(MappingError, match=r"cannot leave out 50 %.*at most 37.5 %"):
        heads_cascade(Hdp(), 0.5, 2, 4)
    with pytest.raises(MappingError, match="over 1 layer"):
        heads_cascade(Hdp(), 0.1, 1, 4)


def test_counts_are_those_that_the_cascade_leaves_out(digits: StudyModel) -> None:
    assert cascade_counts(0.25, 2, 4) == (0, 2)
    passed = run_model(digits, heads_cascade(digits.hdp, 0.25, 2, 4))
    np.testing.assert_array_equal(passed.head_kept.sum(axis=2), [[4] * 20, [2] * 20])


def test_local_values_leave_out_the_least_probable() -> None:
    call = call_of(8, heads=1, inputs=1)
    weights = np.exp(call.query[0] @ call.key[0].T / 2)
    weights /= weights.sum(axis=1, keepdims=True)
    kept = weights >= np.sort(weights, axis=1)[:, [4]]
    found = LocalValues(EXCLUDED, 0.5).attend(call)
    np.testing.assert_allclose(found.output[0], (weights * kept) @ call.value[0], atol=0.02)
    assert found.kept_pairs.tolist() == [32]
