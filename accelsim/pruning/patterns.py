"""Every pattern alike: from weights to masks, and from a dense mask back to the pattern that it has.

>>> import numpy as np
>>> from accelsim.config.patterns import BlockWisePattern
>>> masks = prune({"w": np.eye(64)}, BlockWisePattern(sparsity=0.5, block_rows=32, block_columns=32))
>>> masks["w"].sparsity
0.5
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from accelsim.config.patterns import Pattern, TileElementWisePattern, TileVectorWisePattern, TileWisePattern
from accelsim.errors import OperandError
from accelsim.pruning.apriori import ColumnBlock, columns_of_blocks, rank_column_blocks
from accelsim.pruning.block_wise import as_block_wise, block_wise_masks
from accelsim.pruning.element_wise import as_element_wise, element_wise_masks
from accelsim.pruning.masks import Mask, TileElementWiseMask, TileVectorWiseMask
from accelsim.pruning.recorded import as_tile_wise
from accelsim.pruning.scores import Matrix, magnitude, taylor
from accelsim.pruning.tile_element_wise import as_tile_element_wise, tile_element_wise_masks
from accelsim.pruning.tile_vector_wise import as_tile_vector_wise, tile_vector_wise_masks
from accelsim.pruning.tile_wise import TileWiseMask, stage_shares, tile_wise_from_scores
from accelsim.pruning.vector_wise import as_n_m, as_vector_wise, n_m_masks, vector_wise_masks

Scores = Mapping[str, NDArray[np.float64]]
Dense = NDArray[np.bool_]


def prune(
    weights: Mapping[str, Matrix],
    pattern: Pattern,
    gradients: Mapping[str, Matrix] | None = None,
    column_blocks: Sequence[ColumnBlock] | None = None,
) -> dict[str, Mask]:
    """Masks of a pattern for the weights of one or more layers.

    Parameters
    ----------
    weights : mapping of name to array [k, n]
        Finite.
    pattern : Pattern
        One of the specs of `accelsim.config.patterns`.
    gradients : mapping of name to array [k, n], optional
        Gradients of the loss by the weights; needed when, and only when, the pattern's score is ``taylor``.
    column_blocks : sequence of (name, block), optional
        Ranked list for ``apriori_blocks`` of a tile-wise pattern. Without it, the list is made from the weights
        (`accelsim.pruning.apriori.rank_column_blocks`).

    Returns
    -------
    dict of name to mask
        In the order of `weights`; the mask's class is the pattern's.

    Raises
    ------
    OperandError
        For weights or gradients that are no finite matrices, gradients that are missing or not asked for, a
        granularity above a layer's columns, or an unknown column block.
    """
    scores = importance(weights, pattern, gradients)
    require_granularity({name: score.shape[1] for name, score in scores.items()}, pattern)
    masks: Mapping[str, Mask]
    if column_blocks is None:
        masks = BUILDERS[pattern.kind](scores, pattern)
    elif isinstance(pattern, TileWisePattern):
        masks = tile_wise_pattern_masks(scores, pattern, column_blocks)
    else:
        raise OperandError(f"column blocks are for tile-wise patterns, not for {pattern.kind}")
    return {name: masks[name] for name in weights}


def importance(
    weights: Mapping[str, Matrix], pattern: Pattern, gradients: Mapping[str, Matrix] | None = None
) -> dict[str, NDArray[np.float64]]:
    """Score of every weight, by the pattern's `score`. Parameters and errors are those of `prune`."""
    if pattern.score == "magnitude":
        if gradients is not None:
            raise OperandError("gradients are given, but the score is magnitude; score: taylor takes them")
        return {name: magnitude(array, name) for name, array in weights.items()}
    if gradients is None:
        raise OperandError("score taylor needs gradients beside the weights")
    missing = [name for name in weights if name not in gradients]
    if missing:
        raise OperandError(f"no gradients of {missing[0]}; there are {', '.join(gradients) or 'none'}")
    return {name: taylor(array, gradients[name], name) for name, array in weights.items()}


def require_granularity(columns: Mapping[str, int], pattern: Pattern) -> None:
    """Raise `OperandError` when a layer has fewer columns than a tile of the pattern."""
    granularity = getattr(pattern, "granularity", 0)
    for name, n in columns.items():
        if granularity > n:
            raise OperandError(
                f"{name}: granularity {granularity} exceeds its {n} columns (n); take at most {n}, or leave {name} out"
            )


def tile_wise_pattern_masks(
    scores: Scores, pattern: TileWisePattern, column_blocks: Sequence[ColumnBlock] | None = None
) -> dict[str, TileWiseMask]:
    """Tile-wise masks with one or two stages and apriori tuning; parameters as in `prune`."""
    first = None
    if pattern.apriori_blocks:
        if column_blocks is None:
            column_blocks = rank_column_blocks(scores, pattern.total_sparsity, pattern.apriori_width)
        chosen = column_blocks[: pattern.apriori_blocks]
        first = columns_of_blocks(chosen, pattern.apriori_width, {name: s.shape[1] for name, s in scores.items()})
    elif column_blocks is not None:
        raise OperandError("column blocks are given, but apriori_blocks is 0; it says how many of them to take")
    column_share, row_share = stage_shares(pattern.total_sparsity, pattern.stages)
    return tile_wise_from_scores(scores, column_share, row_share, pattern.granularity, pattern.threshold, first)


BUILDERS: dict[str, Callable[[Scores, Any], Mapping[str, Mask]]] = {
    "element_wise": element_wise_masks,
    "vector_wise": vector_wise_masks,
    "block_wise": block_wise_masks,
    "n_m": n_m_masks,
    "tile_wise": tile_wise_pattern_masks,
    "tile_element_wise": tile_element_wise_masks,
    "tile_vector_wise": tile_vector_wise_masks,
}
"""From scores to masks, by the pattern's kind."""

_READERS: dict[str, Callable[[Dense, Any, str], Mask]] = {
    "element_wise": as_element_wise,
    "vector_wise": as_vector_wise,
    "block_wise": as_block_wise,
    "n_m": as_n_m,
    "tile_wise": lambda mask, pattern, where: as_tile_wise(mask, pattern.granularity, where, pattern.stages),
}
"""From a dense mask to the mask that it is, for patterns that a dense mask tells all about."""


def as_mask(pattern: Pattern, dense: Dense, name: str = "mask", tiles: Dense | None = None) -> Mask:
    """A dense mask as the mask of a pattern that it is.

    Parameters
    ----------
    pattern : Pattern
    dense : bool array [k, n]
    name : str
        What errors call it.
    tiles : bool array [k, n], optional
        For tile-element-wise masks, which need it, the part that tiles hold; for tile-vector-wise ones what tiles held
        before vectors were pruned. See `tile_part`.

    Raises
    ------
    OperandError
        When it is none of its pattern; the message names the first row and column where that shows.
    """
    for array in (dense, *(() if tiles is None else (tiles,))):
        if array.ndim != 2 or array.dtype != np.bool_ or 0 in array.shape or array.shape != dense.shape:
            raise OperandError(f"{name}: a mask is a bool matrix [k, n], not {array.dtype} {list(array.shape)}")
    if isinstance(pattern, TileElementWisePattern):
        if tiles is None:
            raise OperandError(f"{name}: a tile-element-wise mask is told from others by its tiles, which are missing")
        return as_tile_element_wise(dense, tiles, pattern, name)
    if isinstance(pattern, TileVectorWisePattern):
        return as_tile_vector_wise(dense, tiles, pattern, name)
    return _READERS[pattern.kind](dense, pattern, name)


def check_mask(pattern: Pattern, dense: Dense, name: str = "mask", tiles: Dense | None = None) -> None:
    """Raise `OperandError` when a dense mask is not of its pattern; parameters as in `as_mask`."""
    as_mask(pattern, dense, name, tiles)


def tile_part(mask: Mask) -> Dense | None:
    """What the tiles of a mask hold, [k, n], where its dense form does not tell; None where it does."""
    return mask.tiles.to_dense() if isinstance(mask, TileElementWiseMask | TileVectorWiseMask) else None


Tensors = Mapping[str, Matrix]


def prune_in_stages(
    weights: Tensors,
    pattern: Pattern,
    stages: Sequence[float],
    gradients: Callable[[Tensors], Tensors] | None = None,
    tune: Callable[[Tensors, Mapping[str, Mask]], Tensors] | None = None,
) -> Iterator[tuple[float, dict[str, Mask]]]:
    """Gradual pruning: one sparsity after another, each from the masked weights of the one before.

    Parameters
    ----------
    weights : mapping of name to array [k, n]
    pattern : Pattern
        Its `sparsity` is replaced stage by stage; N:M, whose sparsity is n/m, cannot be pruned in stages.
    stages : sequence of float
        Shares of all weights, as `accelsim.config.schedules.Schedule.total` has them.
    gradients : callable, optional
        From weights to their gradients, for the score ``taylor``.
    tune : callable, optional
        From masked weights and masks to weights that were trained further. Without it nothing is trained, so a weight
        that is pruned once stays 0 and scores 0.

    Yields
    ------
    (float, dict of name to mask)
        The stage's sparsity and its masks.

    Raises
    ------
    OperandError
        As `prune`, and for a pattern that cannot have a stage's sparsity.
    """
    current = dict(weights)
    for sparsity in stages:
        staged = _with_sparsity(pattern, sparsity)
        masks = prune(current, staged, None if gradients is None else gradients(current))
        current = {name: np.where(masks[name].to_dense(), array, 0) for name, array in current.items()}
        if tune is not None:
            current = dict(tune(current, masks))
        yield sparsity, masks


def _with_sparsity(pattern: Pattern, sparsity: float) -> Pattern:
    if "sparsity" not in type(pattern).model_fields:
        raise OperandError(f"pattern {pattern.kind} has a sparsity of its own and cannot be pruned in stages")
    try:
        fields = pattern.model_dump() | {"sparsity": sparsity}
        return type(pattern).model_validate(fields | ({"sparsity_of": "total"} if "sparsity_of" in fields else {}))
    except ValidationError as error:
        problem = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise OperandError(f"stage of sparsity {sparsity:g}: {problem}") from None
