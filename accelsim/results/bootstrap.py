"""How far a difference between two settings can be told from chance: a bootstrap over seeds and images, in pairs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accelsim.errors import OperandError

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
    if not 0 < level < 1:
        raise OperandError(f"level is {level}; an interval holds a share between 0 and 1, such as 0.95")
    if replicates < 1:
        raise OperandError(f"replicates is {replicates}; at least 1 is needed, and some thousands are usual")
    means = _replicates(difference, replicates, np.random.default_rng(seed))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    seeds, images = difference.shape
    return PairedInterval(float(difference.mean()), float(low), float(high), level, seeds, images)


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
