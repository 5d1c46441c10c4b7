"""Element-wise masks (EW): single weights, wherever they lie."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from accelsim.config.patterns import ElementWisePattern
from accelsim.pruning.masks import ElementWiseMask
from accelsim.pruning.ranking import rank_together, ranked_groups


def element_wise_masks(
    scores: Mapping[str, NDArray[np.float64]], pattern: ElementWisePattern
) -> dict[str, ElementWiseMask]:
    """Keep the weights above the percentile `sparsity` of the scores of all layers, or of each layer.

    Sparsity is the asked one to within one weight of those that are ranked together (and one weight always stays).

    Parameters
    ----------
    scores : mapping of name to float64 array [k, n]
    pattern : ElementWisePattern

    Returns
    -------
    dict of name to ElementWiseMask
    """
    masks: dict[str, ElementWiseMask] = {}
    for group in ranked_groups(scores, pattern.threshold):
        kept = rank_together([score.ravel() for score in group.values()], pattern.sparsity)
        masks |= {
            name: ElementWiseMask(keep.reshape(score.shape))
            for (name, score), keep in zip(group.items(), kept, strict=True)
        }
    return masks


def as_element_wise(mask: NDArray[np.bool_], pattern: ElementWisePattern, where: str) -> ElementWiseMask:
    """A dense mask [k, n] as what it is; every mask is element-wise."""
    return ElementWiseMask(mask)
