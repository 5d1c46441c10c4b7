"""Masks of 2 x 2 blocks and what they cost: products, fetched rows, softmax elements. Plain NumPy, exact.

A head's n x n scores fall into nb x nb blocks, nb = ceil(n / 2). For odd n the last block row and column are ragged:
they hold one row or column, and only real elements are counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

PRUNED_SCORES = ("excluded", "zero", "zero_in_denominator")
"""What softmax sees of a pruned block: nothing; a score of 0; a score of 0 whose V is left out."""

_ROWS_AT_A_TIME = 256


@dataclass(frozen=True)
class HdpCounts:
    """What attention does under a mask. Arrays [heads], and [heads, nb] for the block rows; int64.

    A pruned head computes its integer scores and nothing else.
    """

    kept_blocks: IntArray
    kept_elements: IntArray
    """Scores in kept blocks."""
    query_rows_fetched: IntArray
    """Rows of Q whose fraction is read."""
    key_rows_fetched: IntArray
    """Rows of K whose fraction is read: those of block columns with any kept block."""
    value_rows_fetched: IntArray
    integer_products: IntArray
    """Integer x integer, of all scores."""
    cross_products: IntArray
    """Integer x fraction and fraction x integer, of kept scores."""
    fraction_products: IntArray
    """Fraction x fraction, of kept scores; 0 under the approximation."""
    value_products: IntArray
    """P x V."""
    softmax_elements: IntArray
    """Exponentials taken."""
    row_blocks: IntArray
    """Kept blocks of each block row."""
    row_keys: IntArray
    """Keys that each of its query rows keeps."""
    row_softmax: IntArray
    """Exponentials of each of its query rows."""
    row_values: IntArray
    """Rows of V that each of its query rows weighs."""


def block_count(n: int) -> int:
    """Blocks along one side of n x n scores."""
    return (n + 1) // 2


def block_sizes(n: int) -> IntArray:
    """[nb] rows (or columns) of each block: 2, and 1 for the last when n is odd."""
    sizes = np.full(block_count(n), 2, dtype=np.int64)
    if n % 2:
        sizes[-1] = 1
    return sizes


def counts_of_mask(
    block_kept: BoolArray,
    head_kept: BoolArray,
    n: int,
    head_dim: int,
    *,
    approximation: bool = True,
    pruned_score: str = "excluded",
) -> HdpCounts:
    """Count what attention does under a mask.

    Parameters
    ----------
    block_kept : bool [heads, nb, nb]
        Rows are block rows of queries, columns block columns of keys. What it says of pruned heads is ignored.
    head_kept : bool [heads]
    n, head_dim : int
        Length of the sequence and of each vector.
    approximation : bool
        Whether fraction x fraction is left out.
    pruned_score : {"excluded", "zero", "zero_in_denominator"}
        ``zero`` weighs and reads all of V; ``zero_in_denominator`` takes one more exponential, that of the score 0, in
        every query row with something pruned.

    Raises
    ------
    ValueError
        When the shapes do not fit together or `pruned_score` is unknown.
    """
    heads, nb = len(head_kept), block_count(n)
    if block_kept.shape != (heads, nb, nb):
        raise ValueError(f"block_kept has shape {block_kept.shape}, need {(heads, nb, nb)} for {n} keys")
    if pruned_score not in PRUNED_SCORES:
        raise ValueError(f"unknown pruned_score {pruned_score!r}; allowed: {', '.join(PRUNED_SCORES)}")
    kept_head = np.asarray(head_kept, dtype=np.int64)
    sizes = block_sizes(n)
    row_blocks = np.count_nonzero(block_kept, axis=2) * kept_head[:, None]
    # A ragged last column holds one key where the others hold two.
    row_keys = 2 * row_blocks - (n % 2) * (block_kept[:, :, -1] * kept_head[:, None])
    row_softmax, row_values = row_keys, row_keys
    if pruned_score == "zero":
        row_softmax = row_values = np.where(kept_head[:, None] > 0, n, np.zeros_like(row_keys))
    elif pruned_score == "zero_in_denominator":
        row_softmax = row_keys + ((row_keys < n) & (kept_head[:, None] > 0))
    kept_elements = row_keys @ sizes
    columns = (block_kept.any(axis=1) @ sizes) * kept_head
    return HdpCounts(
        kept_blocks=row_blocks.sum(axis=1),
        kept_elements=kept_elements,
        query_rows_fetched=n * kept_head,
        key_rows_fetched=columns,
        value_rows_fetched=n * kept_head if pruned_score == "zero" else columns,
        integer_products=np.full(heads, n * n * head_dim, dtype=np.int64),
        cross_products=2 * kept_elements * head_dim,
        fraction_products=np.zeros(heads, dtype=np.int64) if approximation else kept_elements * head_dim,
        value_products=(row_values @ sizes) * head_dim,
        softmax_elements=row_softmax @ sizes,
        row_blocks=row_blocks,
        row_keys=row_keys,
        row_softmax=row_softmax,
        row_values=row_values,
    )


def dense_counts(heads: int, n: int, head_dim: int) -> HdpCounts:
    """Counts of `heads` heads with nothing pruned and every product taken, without a mask being written out."""
    nb = block_count(n)

    def each(number: int) -> IntArray:
        return np.full(heads, number, dtype=np.int64)

    def each_row(number: int) -> IntArray:
        return np.full((heads, nb), number, dtype=np.int64)

    return HdpCounts(
        kept_blocks=each(nb * nb),
        kept_elements=each(n * n),
        query_rows_fetched=each(n),
        key_rows_fetched=each(n),
        value_rows_fetched=each(n),
        integer_products=each(n * n * head_dim),
        cross_products=each(2 * n * n * head_dim),
        fraction_products=each(n * n * head_dim),
        value_products=each(n * n * head_dim),
        softmax_elements=each(n * n),
        row_blocks=each_row(nb),
        row_keys=each_row(n),
        row_softmax=each_row(n),
        row_values=each_row(n),
    )


def seeded_masks(
    heads: int, n: int, block_ratio: float, head_ratio: float, seed: int | Sequence[int]
) -> tuple[BoolArray, BoolArray]:
    """Masks of given ratios for runs without values: which blocks and heads is drawn, how many is not.

    Every kept head prunes the whole number of blocks nearest to `block_ratio` of its nb x nb, dealt to its block rows
    as evenly as possible (rows differ by one block at most), and every row keeps at least one. The number of pruned
    heads is the one nearest to `head_ratio` of them.

    Parameters
    ----------
    heads, n : int
        Heads and length of the sequence.
    block_ratio, head_ratio : float
        Shares pruned, 0 <= ratio < 1.
    seed : int or sequence of int
        Same seed, same masks.

    Returns
    -------
    block_kept : bool [heads, nb, nb]
        All False for pruned heads.
    head_kept : bool [heads]

    Raises
    ------
    ValueError
        For ratios out of range or sizes below 1.
    """
    for name, ratio in (("block_ratio", block_ratio), ("head_ratio", head_ratio)):
        if not 0 <= ratio < 1:
            raise ValueError(f"{name} is {ratio}; allowed: 0 <= {name} < 1")
    if heads < 1 or n < 1:
        raise ValueError(f"need at least one head and one key, not {heads} and {n}")
    generator = np.random.default_rng(seed)
    head_kept = np.ones(heads, dtype=np.bool_)
    head_kept[generator.permutation(heads)[: round(head_ratio * heads)]] = False
    nb = block_count(n)
    pruned = min(round(block_ratio * nb * nb), nb * (nb - 1))
    block_kept = np.zeros((heads, nb, nb), dtype=np.bool_)
    for head in np.flatnonzero(head_kept):
        kept_of_row = np.full(nb, nb - pruned // nb, dtype=np.int64)
        kept_of_row[generator.permutation(nb)[: pruned % nb]] -= 1
        for first in range(0, nb, _ROWS_AT_A_TIME):
            kept = kept_of_row[first : first + _ROWS_AT_A_TIME]
            order = np.argsort(generator.random((len(kept), nb)), axis=1, kind="stable")
            rows = block_kept[head, first : first + len(kept)]
            np.put_along_axis(rows, order, np.arange(nb) < kept[:, None], axis=1)
    return block_kept, head_kept
