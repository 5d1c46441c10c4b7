"""Apriori tuning: column blocks that unstructured pruning would empty anyway go first.

The published code (SC 2020, before its clean-up) held a ranked list of column blocks of all layers and set the norms of
the first few to 0 before columns were ranked. How the list was made is not published; a script's name says that it came
from the density of zeros after element-wise pruning, and so it is made here.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from accelsim.config.patterns import ElementWisePattern
from accelsim.errors import OperandError
from accelsim.pruning.element_wise import element_wise_masks

ColumnBlock = tuple[str, int]
"""Layer, and the block's place among the layer's blocks from the left."""


def rank_column_blocks(scores: Mapping[str, NDArray[np.float64]], sparsity: float, width: int) -> list[ColumnBlock]:
    """Column blocks of all layers, those first that element-wise pruning at `sparsity` leaves emptiest.

    Parameters
    ----------
    scores : mapping of name to float64 array [k, n]
        Ranked element-wise over all layers, whatever threshold the masks will use.
    sparsity : float
        In [0, 1).
    width : int
        Columns of a block; the last of a layer may have fewer.

    Returns
    -------
    list of (name, block)
        Equal ones in the order of layers and columns.
    """
    masks = element_wise_masks(scores, ElementWisePattern(sparsity=sparsity, threshold="global"))
    blocks: list[ColumnBlock] = []
    zeros: list[float] = []
    for name, mask in masks.items():
        starts = np.arange(0, mask.n, width)
        kept = np.add.reduceat(mask.dense.sum(axis=0), starts)
        sizes = np.diff(np.append(starts, mask.n)) * mask.k
        blocks += [(name, index) for index in range(len(starts))]
        zeros += list(1.0 - kept / sizes)
    return [blocks[index] for index in np.argsort(-np.array(zeros), kind="stable")]


def columns_of_blocks(
    blocks: Sequence[ColumnBlock], width: int, columns: Mapping[str, int]
) -> dict[str, NDArray[np.int64]]:
    """Original columns of column blocks, by layer.

    Parameters
    ----------
    blocks : sequence of (name, block)
    width : int
        Columns of a block.
    columns : mapping of name to int
        Columns (n) of each layer.

    Raises
    ------
    OperandError
        For a layer or block that does not exist.
    """
    found: dict[str, list[int]] = {}
    for name, block in blocks:
        if name not in columns:
            raise OperandError(f"column block ({name}, {block}): no layer {name}; there are {', '.join(columns)}")
        if not 0 <= block * width < columns[name]:
            last = -(-columns[name] // width) - 1
            raise OperandError(f"column block ({name}, {block}): blocks of {width} columns run from 0 to {last}")
        found.setdefault(name, []).extend(range(block * width, min((block + 1) * width, columns[name])))
    return {name: np.array(sorted(set(of_layer)), dtype=np.int64) for name, of_layer in found.items()}
