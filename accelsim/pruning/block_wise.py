"""Block-wise masks (BW): whole blocks of weights, ranked by their l2 norm."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from accelsim.config.patterns import BlockWisePattern
from accelsim.errors import OperandError
from accelsim.pruning.masks import BlockWiseMask
from accelsim.pruning.ranking import rank_together, ranked_groups


def block_wise_masks(scores: Mapping[str, NDArray[np.float64]], pattern: BlockWisePattern) -> dict[str, BlockWiseMask]:
    """Keep the blocks above the percentile `sparsity` of the blocks' l2 norms, of all layers or of each.

    Blocks are counted, not weights: where they divide the matrix, sparsity is the asked one to within one block of
    those that are ranked together. A block that an edge cuts short has fewer weights in its norm and tends to go first.

    Parameters
    ----------
    scores : mapping of name to float64 array [k, n]
    pattern : BlockWisePattern

    Returns
    -------
    dict of name to BlockWiseMask
    """
    masks: dict[str, BlockWiseMask] = {}
    for group in ranked_groups(scores, pattern.threshold):
        norms = [np.sqrt(_block_sums(score**2, pattern)) for score in group.values()]
        kept = rank_together([norm.ravel() for norm in norms], pattern.sparsity)
        for (name, score), norm, keep in zip(group.items(), norms, kept, strict=True):
            k, n = score.shape
            blocks = keep.reshape(norm.shape)
            masks[name] = BlockWiseMask(k, n, pattern.block_rows, pattern.block_columns, blocks)
    return masks


def as_block_wise(mask: NDArray[np.bool_], pattern: BlockWisePattern, where: str) -> BlockWiseMask:
    """A dense mask [k, n] as the block-wise mask that it is.

    Raises
    ------
    OperandError
        When a block keeps some of its weights and prunes others.
    """
    k, n = mask.shape
    counts = _block_sums(mask.astype(np.float64), pattern)
    result = BlockWiseMask(k, n, pattern.block_rows, pattern.block_columns, counts > 0)
    differs = result.to_dense() != mask
    if differs.any():
        row, column = (int(index) for index in np.unravel_index(int(np.argmax(differs)), differs.shape))
        size = f"{pattern.block_rows} x {pattern.block_columns}"
        raise OperandError(
            f"{where}: not block-wise: the {size} block around row {row}, column {column} is kept in part; "
            "blocks are kept or pruned whole"
        )
    return result


def _block_sums(values: NDArray[np.float64], pattern: BlockWisePattern) -> NDArray[np.float64]:
    """Sum of each block, [block rows, block columns]."""
    k, n = values.shape
    sums: NDArray[np.float64] = np.add.reduceat(
        np.add.reduceat(values, np.arange(0, k, pattern.block_rows), axis=0),
        np.arange(0, n, pattern.block_columns),
        axis=1,
    )
    return sums
