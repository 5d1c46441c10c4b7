"""Errors of predictions, in percent of what was measured."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class ErrorSummary:
    """Errors over a set of rows. All but `n` are None when there is none."""

    n: int
    mape_percent: float | None
    """Mean absolute percentage error."""
    median_ape_percent: float | None
    p90_ape_percent: float | None
    bias_percent: float | None
    """Mean signed percentage error: above 0 when predictions are too long."""

    def as_dict(self) -> dict[str, float | int | None]:
        """Its fields by name."""
        return dict(self.__dict__)


def summarise(measured: ArrayLike, predicted: ArrayLike) -> ErrorSummary:
    """Errors ``predicted / measured - 1``, whatever the order of the rows.

    Parameters
    ----------
    measured, predicted : array_like
        Positive, of equal length.
    """
    # Sorted, so that sums do not depend on the order of rows.
    error = np.sort(100 * (np.asarray(predicted, dtype=float) / np.asarray(measured, dtype=float) - 1))
    if not error.size:
        return ErrorSummary(0, None, None, None, None)
    size = np.sort(np.abs(error))
    return ErrorSummary(
        n=int(error.size),
        mape_percent=float(size.mean()),
        median_ape_percent=float(np.median(size)),
        p90_ape_percent=float(np.quantile(size, 0.9)),
        bias_percent=float(error.mean()),
    )
