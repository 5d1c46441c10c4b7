"""How good outputs are: against labels or scores, or against the outputs of a dense run."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

RANKED_ITEMS = 1024
"""Items whose similarities to each other are ranked, at most: pairs grow with their square."""


def quality(
    output: Array,
    labels: Integers | None,
    scores: Floats | None,
    metric: str | None = None,
    pairs: Integers | None = None,
) -> tuple[str | None, float | None]:
    """Name and value of what outputs are judged by.

    Parameters
    ----------
    output : array [items, outputs]
    labels : int [items] or None
        Right classes.
    scores : float [items] or [pairs] or None
        What outputs (or the similarities of two items each) are to be ranked like.
    metric : str, optional
        accuracy, f1 or spearman; left out, accuracy of labels, spearman of scores.
    pairs : int [pairs, 2], optional
        Items that each score compares; see `similarities`.

    Returns
    -------
    name : str or None
        None, as the value, where there is nothing to judge by.
    value : float or None
    """
    if labels is not None and metric in (None, "accuracy", "f1"):
        found = np.argmax(output, axis=1)
        if metric == "f1":
            return "f1", f1(found, labels, output.shape[1])
        return "accuracy", accuracy(found, labels)
    if scores is not None and metric in (None, "spearman"):
        return "spearman", spearman(similarities(output, len(scores), pairs), scores)
    return None, None


def accuracy(found: ArrayLike, labels: ArrayLike) -> float:
    """Share of items whose class is the right one."""
    return float(np.mean(np.asarray(found) == np.asarray(labels)))


def f1(found: ArrayLike, labels: ArrayLike, classes: int) -> float:
    """Harmonic mean of precision and recall: of class 1 of two classes; of more, the mean over classes.

    A class that is neither found nor right anywhere counts as 0.
    """
    ours, right = np.asarray(found), np.asarray(labels)
    each = []
    for one in [1] if classes == 2 else range(classes):
        hits = int(np.sum((ours == one) & (right == one)))
        named = int(np.sum(ours == one)) + int(np.sum(right == one))
        each.append(2 * hits / named if named else 0.0)
    return float(np.mean(each))


def ranks(values: ArrayLike) -> Floats:
    """Ranks from 0; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(np.asarray(values, np.float64), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    shared: Floats = (2 * last - counts - 1) / 2.0
    return shared[inverse.reshape(-1)]


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Correlation of ranks, -1 to 1; 0 where either side has one rank alone."""
    ours, theirs = ranks(first), ranks(second)
    ours, theirs = ours - ours.mean(), theirs - theirs.mean()
    size = float(np.sqrt((ours @ ours) * (theirs @ theirs)))
    return float(ours @ theirs) / size if size else 0.0


def unit_rows(rows: Array) -> Floats:
    """Rows divided by their lengths, in float64; a row of zeros stays."""
    wide = rows.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    units: Floats = wide / np.where(lengths > 0, lengths, 1.0)
    return units


def similarities(output: Array, count: int, pairs: Integers | None = None) -> Floats:
    """What is ranked like `count` scores: the one output of each item, or the cosine of the items of each pair.

    Parameters
    ----------
    output : array [items, outputs]
    count : int
    pairs : int [count, 2], optional
        Items of each pair. Left out, the one output of each item where there are as many items as scores, else items 0
        and 1, 2 and 3, and so on are pairs.
    """
    if pairs is None and len(output) == count:
        return output[:, 0].astype(np.float64)
    units = unit_rows(output)
    first, second = (units[0::2], units[1::2]) if pairs is None else (units[pairs[:, 0]], units[pairs[:, 1]])
    cosines: Floats = (first * second).sum(axis=1)
    return cosines


def cosine_agreement(output: Array, dense: Array) -> float:
    """Mean over rows of the cosine between a row and the dense run's; two rows of zeros agree."""
    products = (unit_rows(output) * unit_rows(dense)).sum(axis=1)
    both_zero = ~output.any(axis=1) & ~dense.any(axis=1)
    return float(np.mean(np.where(both_zero, 1.0, products)))


def rank_correlation(output: Array, dense: Array) -> float | None:
    """How alike items are ranked by their similarities to each other: Spearman's over all pairs of items.

    Of the first `RANKED_ITEMS` items; None for fewer than three, which have one pair at most.
    """
    if len(output) < 3:
        return None
    ours, theirs = unit_rows(output[:RANKED_ITEMS]), unit_rows(dense[:RANKED_ITEMS])
    upper = np.triu_indices(len(ours), 1)
    return spearman((ours @ ours.T)[upper], (theirs @ theirs.T)[upper])


def top1_agreement(output: Array, dense: Array) -> float | None:
    """Share of items with the largest output at the same place; None for a single output."""
    if output.shape[1] < 2:
        return None
    return accuracy(np.argmax(output, axis=1), np.argmax(dense, axis=1))


def agreement(output: Array | None, dense: Array | None) -> dict[str, float | None]:
    """`cosine_to_dense`, `rank_to_dense` and `top1_to_dense`; None where either run had no values."""
    if output is None or dense is None or output.ndim != 2 or output.shape != dense.shape or not len(output):
        return dict.fromkeys(AGREEMENT)
    found = (cosine_agreement(output, dense), rank_correlation(output, dense), top1_agreement(output, dense))
    return dict(zip(AGREEMENT, found, strict=True))


AGREEMENT = ("cosine_to_dense", "rank_to_dense", "top1_to_dense")
"""Keys of `agreement`."""
