"""Which units survive when a share of them is to go: the percentile rule, with ties dealt out evenly."""

import math

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
    pruned = min(math.floor(share * (units - 1)) + 1, units - 1)
    threshold = np.partition(scores, pruned - 1)[pruned - 1]
    keep: NDArray[np.bool_] = scores > threshold
    tied = np.flatnonzero(scores == threshold)
    spared = units - pruned - int(keep.sum())
    steps = np.arange(len(tied) + 1) * spared // len(tied)
    keep[tied[np.diff(steps) > 0]] = True
    return keep
