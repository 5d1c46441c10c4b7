"""Judges of outputs against hand-made answers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import OperandError
from accelsim.explore.budget.judge import Judge, own_margins
from accelsim.model.operands import OperandSet

OUTPUTS = np.array([[4.0, 0, 0], [0, 6, 2], [1, 0, 3], [2, 1, 0]])
LABELS = np.array([0, 1, 2, 1])


def operands(labels: np.ndarray | None = None, scores: np.ndarray | None = None) -> OperandSet:
    return OperandSet({}, {}, "drawn", labels, scores)


def test_an_answer_is_lost_when_wrong_or_when_too_little_of_its_margin_is_left() -> None:
    pruned = np.array([[1.0, 0, 0], [0, 3, 2], [4, 0, 3], [0, 1, 0]])  # margins 1 of 4, 1 of 4, wrong, now right
    by_half, by_a_fifth = (Judge(OUTPUTS, operands(LABELS), keep_margin=share).of(pruned) for share in (0.5, 0.2))
    assert (by_half.quality, by_half.loss) == (0.75, 3 / 4 - 1 / 4)
    assert by_a_fifth.loss == 1 / 4 - 1 / 4
    assert by_half.right is not None
    assert by_half.right.tolist() == [1, 1, 0, 1]


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 999))
def test_without_margins_the_loss_is_that_of_accuracy(seed: int) -> None:
    generator = np.random.default_rng(seed)
    dense, pruned = generator.normal(size=(2, 12, 4))
    labels = generator.integers(0, 4, 12)
    judge = Judge(dense, operands(labels), keep_margin=0)
    accuracy = [np.mean(one.argmax(axis=1) == labels) for one in (dense, pruned)]
    assert judge.of(pruned).loss == pytest.approx(accuracy[0] - accuracy[1])
    assert Judge(dense, operands(labels), keep_margin=0.5).of(pruned).loss >= judge.of(pruned).loss
    assert judge.of(dense).loss == 0


def test_margins_are_those_of_the_right_output() -> None:
    assert own_margins(OUTPUTS, LABELS).tolist() == [4, 4, 2, -1]


@pytest.mark.parametrize("name", ["auto", "top1", "cosine", "rank"])
def test_dense_outputs_agree_with_themselves(name: str) -> None:
    verdict = Judge(OUTPUTS, operands(), name).of(OUTPUTS)
    assert verdict.quality == pytest.approx(1)
    assert verdict.loss == pytest.approx(0)


def test_agreement_without_labels() -> None:
    pruned = OUTPUTS[:, [1, 0, 2]]
    assert Judge(OUTPUTS, operands(), "top1").of(pruned).quality == 0.25
    assert Judge(OUTPUTS, operands(), "cosine").of(2 * OUTPUTS).quality == pytest.approx(1)
    pairs = zip(pruned, OUTPUTS, strict=True)
    agreed = [one @ other / np.linalg.norm(one) / np.linalg.norm(other) for one, other in pairs]
    assert Judge(OUTPUTS, operands(), "cosine").of(pruned).quality == pytest.approx(np.mean(agreed))
    assert Judge(OUTPUTS, operands(), "rank").of(pruned).quality == pytest.approx(1)  # angles between inputs are kept
    assert Judge(OUTPUTS[:, :1], operands()).name == "cosine"
    assert Judge(OUTPUTS, operands(), classifier=False).name == "cosine"


def test_scores_are_of_outputs_or_of_pairs() -> None:
    scores = np.array([0.1, 0.9])
    judge = Judge(OUTPUTS, operands(scores=scores))
    assert (judge.name, judge.metric) == ("labels", "spearman")
    assert judge.of(OUTPUTS).quality == pytest.approx(1)
    assert judge.of(OUTPUTS[[2, 3, 0, 1]]).loss == pytest.approx(2)


def test_f1_has_no_answer_for_each_input() -> None:
    judge = Judge(OUTPUTS, operands(LABELS), metric="f1")
    assert judge.of(OUTPUTS).right is None
    assert judge.of(OUTPUTS).loss == 0


def test_what_a_judge_lacks_is_told() -> None:
    with pytest.raises(OperandError, match=r"x\.npz has neither labels nor scores"):
        Judge(OUTPUTS, operands(), "labels", data="x.npz")
    with pytest.raises(OperandError, match="at least two classes"):
        Judge(OUTPUTS[:, :1], operands(), "top1")
    with pytest.raises(OperandError, match="at least 3, not 2"):
        Judge(OUTPUTS[:2], operands(), "rank")
    with pytest.raises(OperandError, match="keep_margin is 1"):
        Judge(OUTPUTS, operands(), keep_margin=1)
