"""How good the outputs of a pass are, input by input: right answers where there are labels, else agreement."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import OperandError
from accelsim.explore.accuracy.forward import StudyModel

Measure = Literal["accuracy", "agreement"]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Quality:
    """Scores of one model's passes beside its dense one."""

    dense: NDArray[Any]
    """What the dense pass put out."""
    items: int
    labels: NDArray[np.int64] | None
    """[items] right classes; None measures agreement with the dense outputs."""

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
        return cls(dense, items, labels)

    @property
    def measure(self) -> Measure:
        """What a score is."""
        return "agreement" if self.labels is None else "accuracy"

    def scores(self, output: NDArray[Any]) -> Doubles:
        """[items] 1 for a right answer and 0 for a wrong one; or the cosine of an output with the dense one."""
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
