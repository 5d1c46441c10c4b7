"""HDP on sequences that are padded to one length: what stays of the real tokens, and ratios with and without padding.

A 2 x 2 block touches a real pair when it holds a real query and a real key; the others touch only padding.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accelsim.kernels.hdp import FloatArray, HdpValues, hdp_attention
from accelsim.kernels.hdp_counts import BoolArray, HdpCounts, IntArray, block_count

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
    counts = {
        field.name: np.zeros((heads, nb) if field.name in _FULL_ROWS else heads, dtype=np.int64)
        for field in fields(HdpCounts)
    }
    saturated = 0
    for length in np.unique(lengths).tolist():
        group, side = np.flatnonzero(lengths == length), block_count(length)
        operands = (np.ascontiguousarray(array[group, :length]) for array in (query, key, value))
        part = hdp_attention(*operands, **{name: _of_heads(setting, group) for name, setting in options.items()})
        output[group, :length] = part.output
        block_kept[group, :side, :side] = part.block_kept
        head_kept[group], importance[group] = part.head_kept, part.head_importance
        saturated += part.saturated
        for name, array in counts.items():
            found = getattr(part.counts, name)
            array[(group, slice(side)) if name in _FULL_ROWS else group] = found
    counts["integer_products"][:] = n * n * head_dim
    return HdpValues(output, block_kept, head_kept, importance, None, HdpCounts(**counts), saturated)


def _of_heads(setting: Any, heads: NDArray[np.intp]) -> Any:
    """A setting of each head, cut down to some heads; others as they are."""
    return setting[heads] if isinstance(setting, np.ndarray) and setting.ndim else setting
