"""How far a difference between two settings can be told from chance: a bootstrap over seeds and images, in pairs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accelsim.errors import OperandError
from accelsim.results.metrics import spearman

_AT_ONCE = 1_000
"""Replicates drawn at a time; bounds memory."""


@dataclass(frozen=True)
class PairedInterval:
    """Mean difference of two settings that were scored on the same images, and the interval that holds it."""

    difference: float
    """Mean score of the first setting less that of the second, in the unit of the scores."""
    low: float
    high: float
    level: float
    """Share of replicates between `low` and `high`."""
    seeds: int
    images: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the two settings differ at this level."""
        return self.low > 0 or self.high < 0


def paired_bootstrap(
    first: ArrayLike, second: ArrayLike, *, level: float = 0.95, replicates: int = 10_000, seed: int = 0
) -> PairedInterval:
    """Percentile interval of the mean difference of two settings, over seeds and images.

    Each replicate draws seeds and, independently, images with replacement, and takes the same seeds and images of both
    settings (a crossed bootstrap: Owen, Annals of Applied Statistics 1(2), 2007). Images that are hard for both thus
    cancel, and a difference that only one seed shows widens the interval. With one seed, it speaks of images alone. The
    crossed bootstrap is conservative: its variance is never below, and at most about thrice, the true one.

    Parameters
    ----------
    first, second : array [seeds, images], or [images] of one seed
        Score of each image, such as 1 where the answer is right; row i of both belongs to the same seed.
    level : float
        Share of replicates inside the interval.
    replicates : int
    seed : int
        Of the draws; equal arguments give equal intervals.

    Returns
    -------
    PairedInterval

    Raises
    ------
    OperandError
        For scores that are empty, not finite or of different shapes, or a level or number of replicates out of range.
    """
    difference = _scores("first", first) - _scores("second", second, np.shape(np.atleast_2d(np.asarray(first))))
    _check_draws(level, replicates)
    means = _replicates(difference, replicates, np.random.default_rng(seed))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    seeds, images = difference.shape
    return PairedInterval(float(difference.mean()), float(low), float(high), level, seeds, images)


def _check_draws(level: float, replicates: int) -> None:
    if not 0 < level < 1:
        raise OperandError(f"level is {level}; an interval holds a share between 0 and 1, such as 0.95")
    if replicates < 1:
        raise OperandError(f"replicates is {replicates}; at least 1 is needed, and some thousands are usual")


def _scores(name: str, given: ArrayLike, shape: tuple[int, ...] | None = None) -> NDArray[np.float64]:
    scores = np.atleast_2d(np.asarray(given, dtype=np.float64))
    if scores.ndim != 2 or scores.size == 0:
        raise OperandError(f"{name}: scores are [seeds, images] with at least one of each, not {list(np.shape(given))}")
    if shape is not None and scores.shape != shape:
        raise OperandError(
            f"{name}: scores have shape {list(scores.shape)}, those that they are paired with {list(shape)}"
        )
    if not np.isfinite(scores).all():
        row, column = (int(index) for index in np.argwhere(~np.isfinite(scores))[0])
        raise OperandError(f"{name}: score of image {column} under seed {row} is {scores[row, column]}, not finite")
    return scores


def _replicates(
    difference: NDArray[np.float64], replicates: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Mean difference of each replicate, from how often it draws each seed and each image."""
    seeds, images = difference.shape
    means = np.empty(replicates)
    for start in range(0, replicates, _AT_ONCE):
        count = min(_AT_ONCE, replicates - start)
        of_seeds = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=count)
        of_images = generator.multinomial(images, np.full(images, 1 / images), size=count)
        means[start : start + count] = np.einsum("ri,ri->r", of_seeds @ difference, of_images) / (seeds * images)
    return means


def rank_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    scores: ArrayLike,
    pairs: ArrayLike | None = None,
    *,
    level: float = 0.95,
    replicates: int = 1_000,
    seed: int = 0,
) -> PairedInterval:
    """Percentile interval of the difference of two settings' rank correlations (Spearman's) with the same scores.

    Each replicate draws pairs of texts with replacement and takes the same of both settings. Pairs that share a text
    are not independent of each other: where `pairs` tells so, the shared texts are drawn instead, and a pair counts as
    often as the product of its texts' draws (the pigeonhole bootstrap of Owen, Annals of Applied Statistics 1(2),
    2007). Networks of several seeds are drawn as in `paired_bootstrap`, and their correlations averaged.

    Parameters
    ----------
    first, second : array [seeds, pairs], or [pairs] of one seed
        Similarity of the texts of each pair under either setting.
    scores : array [pairs]
        What similarities are to be ranked like.
    pairs : int array [pairs, 2], optional
        Number of each pair's texts; left out, no pair shares any.
    level, replicates, seed
        As of `paired_bootstrap`.

    Returns
    -------
    PairedInterval
        Of correlations; `images` is the number of pairs. Replicates whose drawn scores are all equal count as 0.

    Raises
    ------
    OperandError
        As of `paired_bootstrap`, and for scores or pairs of another number.
    """
    ours = _scores("first", first)
    theirs = _scores("second", second, ours.shape)
    wanted = _scores("scores", scores, (1, ours.shape[1]))[0]
    _check_draws(level, replicates)
    units = _units(ours.shape[1], pairs)
    generator = np.random.default_rng(seed)
    found = np.concatenate(
        [
            _rank_differences(ours, theirs, wanted, units, min(_AT_ONCE // 4, replicates - start), generator)
            for start in range(0, replicates, _AT_ONCE // 4)
        ]
    )
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    whole = np.mean([spearman(a, wanted) - spearman(b, wanted) for a, b in zip(ours, theirs, strict=True)])
    return PairedInterval(float(whole), float(low), float(high), level, *ours.shape)


def _units(count: int, pairs: ArrayLike | None) -> NDArray[np.int64]:
    """[count, 2] what is drawn for each pair: the texts it shares with others, -1 for none, or itself."""
    units = np.stack([np.arange(count), np.full(count, -1)], axis=1)
    if pairs is None:
        return units
    texts = np.asarray(pairs, dtype=np.int64)
    if texts.shape != (count, 2):
        raise OperandError(f"pairs must be [{count}, 2], two texts for each score, not {list(texts.shape)}")
    numbers, uses = np.unique(texts, return_counts=True)
    shared = uses[np.searchsorted(numbers, texts)] > 1
    found = np.where(shared, texts + count, -1)
    found[~shared.any(axis=1), 0] = np.flatnonzero(~shared.any(axis=1))
    return found


def _rank_differences(
    ours: NDArray[np.float64],
    theirs: NDArray[np.float64],
    wanted: NDArray[np.float64],
    units: NDArray[np.int64],
    count: int,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Difference of mean correlations in `count` replicates."""
    numbers, places = np.unique(units, return_inverse=True)
    drawn = np.ones((count, len(numbers)))
    real = np.flatnonzero(numbers >= 0)
    drawn[:, real] = generator.multinomial(len(real), np.full(len(real), 1 / len(real)), size=count)
    places = places.reshape(units.shape)
    weights = drawn[:, places[:, 0]] * drawn[:, places[:, 1]]
    of_seeds = generator.multinomial(len(ours), np.full(len(ours), 1 / len(ours)), size=count) / len(ours)
    right = weighted_ranks(wanted, weights)
    found = np.zeros(count)
    for seed, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        first = _correlation(weighted_ranks(a, weights), right, weights)
        found += of_seeds[:, seed] * (first - _correlation(weighted_ranks(b, weights), right, weights))
    return found


def weighted_ranks(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks of values [n] that occur as often as each row of weights [replicates, n] says; equal ones share theirs."""
    _, inverse = np.unique(values, return_inverse=True)
    inverse = inverse.reshape(-1)
    order = np.argsort(inverse, kind="stable")
    starts = np.flatnonzero(np.diff(inverse[order], prepend=-1))
    often = np.add.reduceat(weights[:, order], starts, axis=1)
    ranks: NDArray[np.float64] = (np.cumsum(often, axis=1) - (often + 1) / 2)[:, inverse]
    return ranks


def _correlation(
    first: NDArray[np.float64], second: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weighted correlation of each row, 0 where a side has one value alone."""
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1)
    a = first - (weights * first).sum(axis=1, keepdims=True) / total
    b = second - (weights * second).sum(axis=1, keepdims=True) / total
    size = np.sqrt((weights * a * a).sum(axis=1) * (weights * b * b).sum(axis=1))
    found: NDArray[np.float64] = np.divide(
        (weights * a * b).sum(axis=1), size, out=np.zeros(len(size)), where=size > 1e-9
    )
    return found
