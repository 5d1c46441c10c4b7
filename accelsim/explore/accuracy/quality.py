"""How good the outputs of a pass are: right answers where there are labels, correlation where there are scores of
pairs, else agreement."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import OperandError
from accelsim.explore.accuracy.forward import StudyModel
from accelsim.results.metrics import similarities, spearman

Measure = Literal["accuracy", "spearman", "agreement"]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Wanted:
    """What people say of pairs of texts (or of texts)."""

    scores: Doubles
    """[pairs]"""
    pairs: NDArray[np.int64] | None = None
    """[pairs, 2] the texts of each; None when no pair shares a text with another."""

    def correlation(self, found: Doubles) -> Doubles:
        """[models] correlation of ranks of similarities [models, pairs] with the scores."""
        return np.asarray([spearman(each, self.scores) for each in found])


@dataclass(frozen=True)
class Quality:
    """Scores of one model's passes beside its dense one."""

    dense: NDArray[Any]
    """What the dense pass put out."""
    items: int
    labels: NDArray[np.int64] | None
    """[items] right classes."""
    wanted: Wanted | None = None
    """What similarities are to be ranked like; without it and labels, agreement with the dense outputs is measured."""

    @classmethod
    def of(cls, model: StudyModel, dense: NDArray[Any]) -> "Quality":
        """Measure a model by its labels, if it has them.

        Raises
        ------
        OperandError
            When outputs are not one row of classes for each label.
        """
        labels, items = model.operands.labels, model.plan.network.items
        if labels is not None and dense.shape[0] != len(labels):
            raise OperandError(
                f"workload {model.name} puts out {dense.shape[0]} rows for {len(labels)} labels; accuracy needs as many"
            )
        answers = model.operands
        wanted = None if labels is not None or answers.scores is None else Wanted(answers.scores, answers.pairs)
        return cls(dense, items, labels, wanted)

    @property
    def measure(self) -> Measure:
        """What a score is."""
        if self.labels is not None:
            return "accuracy"
        return "agreement" if self.wanted is None else "spearman"

    def scores(self, output: NDArray[Any]) -> Doubles:
        """What a score is made of.

        [items] 1 for a right answer and 0 for a wrong one, or [pairs] what is ranked like the scores of the data, or
        [items] the cosine of an output with the dense one.
        """
        if self.wanted is not None:
            return similarities(output, len(self.wanted.scores), self.wanted.pairs)
        if self.labels is None:
            return cosines(output.reshape(self.items, -1), self.dense.reshape(self.items, -1))
        right: Doubles = np.equal(np.argmax(output, axis=1), self.labels).astype(np.float64)
        return right

    def margin_change(self, output: NDArray[Any]) -> float | None:
        """Mean absolute change of the margin over the mean dense one; None without labels."""
        if self.labels is None:
            return None
        dense = margins(self.dense, self.labels)
        return float(np.abs(margins(output, self.labels) - dense).mean() / np.abs(dense).mean())


def cosines(a: NDArray[Any], b: NDArray[Any]) -> Doubles:
    """[rows] cosine of the angle between rows; 0 where one of them is 0."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    size = np.sqrt(np.square(a).sum(axis=1) * np.square(b).sum(axis=1))
    found: Doubles = np.divide((a * b).sum(axis=1), size, out=np.zeros(len(a)), where=size > 0)
    return found


def margins(output: NDArray[Any], labels: NDArray[np.int64]) -> Doubles:
    """[items] output of the right class less the largest of the others; outputs are [items, classes]."""
    others = np.array(output, dtype=np.float64)
    right = np.take_along_axis(others, labels[:, None], axis=1)[:, 0].copy()
    np.put_along_axis(others, labels[:, None], -np.inf, axis=1)
    found: Doubles = right - others.max(axis=1)
    return found
