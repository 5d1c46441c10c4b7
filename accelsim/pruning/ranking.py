"""Which units survive when a share of them is to go: the percentile rule, with ties dealt out evenly."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray


def per_dimension(sparsity: float) -> float:
    """Share to prune in each of two dimensions so that together `sparsity` goes: ``1 - sqrt(1 - sparsity)``."""
    return 1.0 - math.sqrt(1.0 - sparsity)


def kept_units(scores: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    """Units that stay when `share` of them is pruned, lowest scores first.

    With distinct scores this is "score above the percentile `share` (linear interpolation)", the rule of the published
    procedure: of u units the ``floor(share (u - 1)) + 1`` lowest go. Three cases it leaves open are settled here:

    - `share` 0 keeps everything (a percentile of 0 would prune the lowest unit);
    - at least one unit stays, so a single column is not pruned for equalling itself;
    - units that tie at the threshold stay or go so that the count is the same as without ties, and those that stay are
      spread evenly over the tied ones in their order. Layers or tiles of equal scores thus lose their share each, and
      none of them loses everything as long as there are as many units to keep as layers or tiles to keep them in.

    Parameters
    ----------
    scores : float64 array [u]
        Finite.
    share : float
        In [0, 1).

    Returns
    -------
    bool array [u]
    """
    units = len(scores)
    if share <= 0.0 or units <= 1:
        return np.ones(units, dtype=np.bool_)
    return highest(scores, max(kept_count(units, share), 1))


def kept_count(units: int, share: float) -> int:
    """Units above the percentile `share` (linear interpolation) of distinct scores; `share` in (0, 1], `units` > 0."""
    return units - min(math.floor(share * (units - 1)) + 1, units)


def highest(scores: NDArray[np.float64], count: int) -> NDArray[np.bool_]:
    """The `count` units of the highest scores; those that tie for the last places are taken evenly spread.

    Parameters
    ----------
    scores : float64 array [u]
        Finite.
    count : int
        From 0 to u.

    Returns
    -------
    bool array [u]
    """
    pruned = len(scores) - count
    if pruned == 0:
        return np.ones(len(scores), dtype=np.bool_)
    threshold = np.partition(scores, pruned - 1)[pruned - 1]
    keep: NDArray[np.bool_] = scores > threshold
    tied = np.flatnonzero(scores == threshold)
    spared = count - int(keep.sum())
    steps = np.arange(len(tied) + 1) * spared // len(tied)
    keep[tied[np.diff(steps) > 0]] = True
    return keep


def rank_together(parts: Sequence[NDArray[np.float64]], share: float) -> list[NDArray[np.bool_]]:
    """One ranking (`kept_units`) over the units of all parts, each [u], handed back part by part."""
    if not parts:
        return []
    keep = kept_units(np.concatenate(parts), share)
    return np.split(keep, np.cumsum([len(part) for part in parts])[:-1])


def ranked_groups(
    scores: Mapping[str, NDArray[np.float64]], threshold: Literal["global", "per_layer"]
) -> list[dict[str, NDArray[np.float64]]]:
    """Layers that share a threshold: all together, or each alone."""
    return [dict(scores)] if threshold == "global" else [{name: score} for name, score in scores.items()]
