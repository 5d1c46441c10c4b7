"""HDP on sequences that are padded to one length: what stays of the real tokens, and ratios with and without padding.

A 2 x 2 block touches a real pair when it holds a real query and a real key; the others touch only padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accelsim.kernels.hdp import FloatArray, HdpValues, fixed_point_attention, hdp_attention
from accelsim.kernels.hdp_counts import BoolArray, HdpCounts, IntArray, block_count, counts_of_mask, seeded_masks

_FULL_ROWS = ("row_blocks", "row_keys", "row_softmax", "row_values")


@dataclass(frozen=True)
class BlockRatios:
    """How many blocks are pruned, over blocks of real tokens and over all."""

    blocks: int
    """Of all heads, padding included."""
    padding_blocks: int
    """Those of them that touch only padding."""
    kept_blocks: int

    @property
    def real(self) -> float:
        """Share pruned of the blocks that touch a real pair."""
        return 1 - self.kept_blocks / (self.blocks - self.padding_blocks)

    @property
    def padded(self) -> float:
        """Share pruned of all blocks; those that touch only padding count as pruned."""
        return 1 - self.kept_blocks / self.blocks


def check_lengths(real_length: ArrayLike, heads: int, n: int) -> IntArray:
    """Real tokens of each head, [heads].

    Raises
    ------
    ValueError
        Unless there is a whole number from 1 to `n` for each head.
    """
    lengths = np.asarray(real_length)
    if lengths.shape != (heads,) or lengths.dtype.kind not in "iu" or lengths.min() < 1 or lengths.max() > n:
        raise ValueError(f"real_length must have a whole number from 1 to {n} for each of {heads} heads")
    return lengths.astype(np.int64)


def block_ratios(block_kept: BoolArray, n: int, real_length: ArrayLike | None = None) -> BlockRatios:
    """Count pruned blocks with and without padding.

    Parameters
    ----------
    block_kept : bool [heads, nb, nb]
    n : int
        Length that sequences are padded to.
    real_length : int [heads], optional
        Real tokens of each head's sequence, which come first; left out, all are real.

    Raises
    ------
    ValueError
        For lengths out of range.
    """
    heads, nb = len(block_kept), block_count(n)
    lengths = np.full(heads, n) if real_length is None else check_lengths(real_length, heads, n)
    sides = (lengths + 1) // 2
    kept = sum(int(np.count_nonzero(block_kept[head, :side, :side])) for head, side in enumerate(sides))
    return BlockRatios(heads * nb * nb, heads * nb * nb - int((sides**2).sum()), kept)


def hdp_attention_padded(
    query: FloatArray, key: FloatArray, value: FloatArray, real_length: ArrayLike, **options: Any
) -> HdpValues:
    """`hdp_attention` of sequences whose real tokens come first and whose rest is padding.

    Padding joins no threshold, mean or softmax: what is kept, and the output, are those of the real tokens alone. The
    unit multiplies integer scores of the whole length, which it works off before any decision; so counts have all
    `integer_products`, and otherwise those of real tokens.

    Parameters
    ----------
    query, key, value : float32 [heads, n, head_dim]
    real_length : int [heads]
        From 1 to n.
    options
        Of `hdp_attention`; not ``keep_importance``.

    Returns
    -------
    HdpValues
        Rows of the output, and blocks, of padding are 0 and False.

    Raises
    ------
    ValueError
        As `hdp_attention`, and for lengths out of range.
    """
    heads, n, head_dim = query.shape
    lengths, nb = check_lengths(real_length, heads, n), block_count(n)
    output = np.zeros(query.shape, dtype=np.float32)
    block_kept = np.zeros((heads, nb, nb), dtype=np.bool_)
    head_kept, importance = np.zeros(heads, dtype=np.bool_), np.zeros(heads)
    guards = options.get("guard_margin") is not None
    guarded, decided = (np.zeros(heads, dtype=np.bool_), np.zeros_like(block_kept)) if guards else (None, None)
    counts, saturated = _empty_counts(heads, n), 0
    for length in np.unique(lengths).tolist():
        group, side = np.flatnonzero(lengths == length), block_count(length)
        operands = (np.ascontiguousarray(array[group, :length]) for array in (query, key, value))
        part = hdp_attention(*operands, **{name: _of_heads(setting, group) for name, setting in options.items()})
        output[group, :length] = part.output
        block_kept[group, :side, :side] = part.block_kept
        head_kept[group], importance[group] = part.head_kept, part.head_importance
        saturated += part.saturated
        if guarded is not None and decided is not None:
            guarded[group], decided[group, :side, :side] = part.guarded, part.decided
        _put(counts, part.counts, group, side)
    whole = _whole_scores(counts, n, head_dim)
    return HdpValues(output, block_kept, head_kept, importance, None, whole, saturated, guarded, decided)


def fixed_point_attention_padded(
    query: FloatArray, key: FloatArray, value: FloatArray, real_length: ArrayLike, **options: Any
) -> tuple[FloatArray, int]:
    """`fixed_point_attention` of padded sequences: rows of padding are 0, and no query sees its keys.

    Parameters
    ----------
    query, key, value : float32 [heads, n, head_dim]
    real_length : int [heads]
        From 1 to n.
    options
        Of `fixed_point_attention`.

    Returns
    -------
    output : float32 [heads, n, head_dim]
    saturated : int
        Numbers of real tokens that the format could not hold.

    Raises
    ------
    ValueError
        As `fixed_point_attention`, and for lengths out of range.
    """
    lengths = check_lengths(real_length, len(query), query.shape[1])
    output, saturated = np.zeros(query.shape, dtype=np.float32), 0
    for length in np.unique(lengths).tolist():
        group = np.flatnonzero(lengths == length)
        operands = (np.ascontiguousarray(array[group, :length]) for array in (query, key, value))
        output[group, :length], beyond = fixed_point_attention(*operands, **options)
        saturated += beyond
    return output, saturated


def seeded_masks_padded(
    real_length: ArrayLike, n: int, block_ratio: float, head_ratio: float, seed: int | Sequence[int]
) -> tuple[BoolArray, BoolArray]:
    """`seeded_masks` of padded sequences: `block_ratio` is of the blocks of real tokens, and padding keeps nothing.

    Parameters
    ----------
    real_length : int [heads]
        From 1 to n.
    n : int
        Length that sequences are padded to.
    block_ratio, head_ratio, seed
        Of `seeded_masks`.

    Returns
    -------
    block_kept : bool [heads, nb, nb]
    head_kept : bool [heads]

    Raises
    ------
    ValueError
        As `seeded_masks`, and for lengths out of range.
    """
    lengths = np.atleast_1d(np.asarray(real_length))
    lengths, nb = check_lengths(lengths, len(lengths), n), block_count(n)
    words = [seed] if isinstance(seed, int) else [*seed]
    _, head_kept = seeded_masks(len(lengths), 1, 0.0, head_ratio, words)
    block_kept = np.zeros((len(lengths), nb, nb), dtype=np.bool_)
    for length in np.unique(lengths).tolist():
        group, side = np.flatnonzero((lengths == length) & head_kept), block_count(length)
        if len(group):
            block_kept[group, :side, :side] = seeded_masks(len(group), length, block_ratio, 0.0, [*words, length])[0]
    return block_kept, head_kept


def counts_of_padded_mask(
    block_kept: BoolArray, head_kept: BoolArray, n: int, head_dim: int, real_length: ArrayLike, **options: Any
) -> HdpCounts:
    """`counts_of_mask` of padded sequences: integer scores of the whole length, and otherwise those of real tokens.

    Parameters
    ----------
    block_kept : bool [heads, nb, nb]
        What it says of padding is ignored.
    head_kept : bool [heads]
    n, head_dim : int
        Length that sequences are padded to, and of each vector.
    real_length : int [heads]
        From 1 to n.
    options
        Of `counts_of_mask`.

    Raises
    ------
    ValueError
        As `counts_of_mask`, and for lengths out of range.
    """
    lengths = check_lengths(real_length, len(head_kept), n)
    counts = _empty_counts(len(lengths), n)
    for length in np.unique(lengths).tolist():
        group, side = np.flatnonzero(lengths == length), block_count(length)
        part = counts_of_mask(block_kept[group, :side, :side], head_kept[group], length, head_dim, **options)
        _put(counts, part, group, side)
    return _whole_scores(counts, n, head_dim)


def _empty_counts(heads: int, n: int) -> dict[str, IntArray]:
    nb = block_count(n)
    return {
        field.name: np.zeros((heads, nb) if field.name in _FULL_ROWS else heads, dtype=np.int64)
        for field in fields(HdpCounts)
    }


def _put(counts: dict[str, IntArray], part: HdpCounts, group: NDArray[np.intp], side: int) -> None:
    """Counts of some heads, whose sequences have `side` blocks, into those of all."""
    for name, array in counts.items():
        array[(group, slice(side)) if name in _FULL_ROWS else group] = getattr(part, name)


def _whole_scores(counts: dict[str, IntArray], n: int, head_dim: int) -> HdpCounts:
    """The unit multiplies integer scores of padding too, before any decision."""
    counts["integer_products"][:] = n * n * head_dim
    return HdpCounts(**counts)


def _of_heads(setting: Any, heads: NDArray[np.intp]) -> Any:
    """A setting of each head, cut down to some heads; others as they are."""
    return setting[heads] if isinstance(setting, np.ndarray) and setting.ndim else setting
