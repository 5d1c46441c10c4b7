"""How a pruned network's outputs are judged, and what counts as lost: by labels or scores, or against dense outputs."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import OperandError
from accelsim.model.operands import OperandSet
from accelsim.results.metrics import cosine_agreement, quality, rank_correlation

JudgeName = Literal["auto", "labels", "top1", "cosine", "rank"]
JUDGES: tuple[str, ...] = get_args(JudgeName)
"""``labels`` (right answers or scores of the data), or agreement with the dense outputs: the same largest output
(``top1``), the direction of output vectors (``cosine``), or how inputs rank by similarity to each other (``rank``)."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """How good outputs are."""

    quality: float
    """Accuracy, F1, correlation, or agreement: 1 is best."""
    loss: float
    """What is held against a budget."""
    right: Floats | None
    """[inputs] 1 where the answer is right, for comparisons input by input; None where inputs have no score each."""


class Judge:
    """Judges outputs of one set of inputs against those of the dense network.

    Parameters
    ----------
    dense : array [inputs, outputs]
        Of the dense network.
    operands : OperandSet
        With labels or scores, if there are any.
    name : str
        One of `JUDGES`; ``auto`` takes what the data has, else top1 where there are classes, else cosine.
    metric : str or None
        What labels and scores are for: accuracy, f1 or spearman; left out, accuracy of labels, correlation of scores.
    keep_margin : float
        An answer counts as lost when it is wrong or keeps less than this share of its margin (the right output less
        the largest other one) in the dense network.
    classifier : bool
        Whether outputs are of classes, and not the coordinates of a vector.
    data : str
        What the data is called in messages.

    Raises
    ------
    OperandError
        When labels or classes are needed and missing.
    """

    def __init__(
        self,
        dense: NDArray[Any],
        operands: OperandSet,
        name: str = "auto",
        metric: str | None = None,
        keep_margin: float = 0.5,
        classifier: bool = True,
        data: str = "the data",
    ) -> None:
        if not 0 <= keep_margin < 1:
            raise OperandError(f"keep_margin is {keep_margin:g}; allowed: 0 <= keep_margin < 1")
        answered = operands.labels is not None or operands.scores is not None
        classes = classifier and dense.shape[1] > 1
        if name == "auto":
            name = "labels" if answered else "top1" if classes else "cosine"
        if name == "labels" and not answered:
            raise OperandError(
                f"{data} has neither labels nor scores, which judge labels needs; take top1, cosine or rank, which "
                "compare with the dense outputs"
            )
        if name == "top1" and not classes:
            raise OperandError("judge top1 needs a classifier of at least two classes; take cosine or rank")
        if name == "rank" and len(dense) < 3:
            raise OperandError(f"judge rank compares inputs with each other and needs at least 3, not {len(dense)}")
        self.name, self.keep_margin = name, keep_margin
        self._dense, self._operands = dense.astype(np.float64), operands
        self._labels = operands.labels if name == "labels" else np.argmax(dense, axis=1) if name == "top1" else None
        self.metric = self._metric_of(metric)
        self._quality = self._measure(self._dense)

    def _metric_of(self, metric: str | None) -> str:
        if self.name == "labels":
            return metric or ("accuracy" if self._labels is not None else "spearman")
        return {"top1": "top-1 agreement", "cosine": "cosine agreement", "rank": "rank correlation"}[self.name]

    def of(self, outputs: NDArray[Any]) -> Verdict:
        """Judge outputs [inputs, outputs]."""
        outputs = outputs.astype(np.float64)
        measured = self._measure(outputs)
        if self._labels is None or self.metric == "f1":
            return Verdict(measured, self._quality - measured, None)
        before, after = own_margins(self._dense, self._labels), own_margins(outputs, self._labels)
        right = (np.argmax(outputs, axis=1) == self._labels).astype(np.float64)
        was_right = np.argmax(self._dense, axis=1) == self._labels
        lost = was_right & ((right == 0) | (after < self.keep_margin * before))
        won = ~was_right & (right == 1)
        return Verdict(measured, float(lost.mean() - won.mean()), right)

    def _measure(self, outputs: Floats) -> float:
        if self.name == "cosine":
            return cosine_agreement(outputs, self._dense)
        if self.name == "rank":
            found = rank_correlation(outputs, self._dense)
            assert found is not None
            return found
        answers, metric = self._operands, None if self.name == "top1" else self.metric
        _, found = quality(outputs, self._labels, answers.scores, metric, answers.pairs)
        assert found is not None
        return found


def own_margins(outputs: Floats, labels: NDArray[np.int64]) -> Floats:
    """Output at each input's label less the largest other one, [inputs]; outputs [inputs, classes]."""
    at = np.arange(len(outputs))
    others = outputs.copy()
    others[at, labels] = -np.inf
    difference: Floats = outputs[at, labels] - others.max(axis=1)
    return difference
