"""What heads ask of an attention unit: products, bytes and cycles, from counts of their masks. Pure arithmetic."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.config.hardware import HdpUnit
from accelsim.errors import MappingError
from accelsim.kernels.hdp_counts import HdpCounts, block_count, block_sizes, dense_counts
from accelsim.machine.attention.pe_array import (
    by_row_group,
    ceil_div,
    sparse_product_cycles,
    sparse_tiles,
    tile_cycles,
    weighted_sum_cycles,
)

IntArray = NDArray[np.int64]

PROBABILITY_BITS = 16
"""A probability goes from 0 to 1 inclusive in steps of 2**-15."""


@dataclass(frozen=True)
class HeadWork:
    """Heads for the unit, in the order in which its cores take them."""

    counts: HdpCounts
    sequence: int
    head_dim: int
    integer_bits: int
    fraction_bits: int
    dense: bool = False
    """Whether scores are whole products of all operands, with no decision before them."""

    @property
    def heads(self) -> int:
        """Number of heads."""
        return len(self.counts.kept_blocks)

    @property
    def operand_bits(self) -> int:
        """Bits of Q, K, V and the output."""
        return self.integer_bits + self.fraction_bits

    @property
    def head_kept(self) -> NDArray[np.bool_]:
        """[heads] whether anything but integer scores is computed."""
        kept: NDArray[np.bool_] = self.counts.query_rows_fetched > 0
        return kept

    def row_bytes(self, bits: int) -> int:
        """Bytes of a row of `head_dim` numbers of so many bits."""
        return ceil_div(self.head_dim * bits, 8)

    @property
    def score_bytes(self) -> int:
        """All integer scores of a head: a score needs twice the integer bits and log2(head_dim) for the sum."""
        bits = 2 * self.integer_bits + (self.head_dim - 1).bit_length()
        return ceil_div(self.sequence * self.sequence * bits, 8)


def hdp_work(
    counts: HdpCounts, sequence: int, head_dim: int, *, integer_bits: int = 4, fraction_bits: int = 12
) -> HeadWork:
    """Heads with hybrid dynamic pruning, from the counts of their masks.

    Raises
    ------
    MappingError
        When the counts are not those of heads of this length.
    """
    if counts.row_blocks.shape[1] != block_count(sequence) or sequence < 1 or head_dim < 1:
        raise MappingError(
            f"counts of {counts.row_blocks.shape[1]} block rows do not fit a sequence of {sequence} "
            f"(needs {block_count(sequence)}) with head_dim {head_dim} (needs at least 1)"
        )
    return HeadWork(counts, sequence, head_dim, integer_bits, fraction_bits)


def dense_work(heads: int, sequence: int, head_dim: int, *, integer_bits: int = 4, fraction_bits: int = 12) -> HeadWork:
    """Heads of fixed-point attention without pruning: every product a whole one.

    Raises
    ------
    MappingError
        For sizes below 1.
    """
    if min(heads, sequence, head_dim) < 1:
        raise MappingError(f"heads {heads}, sequence {sequence} and head_dim {head_dim} must be at least 1")
    counts = dense_counts(heads, sequence, head_dim)
    return HeadWork(counts, sequence, head_dim, integer_bits, fraction_bits, dense=True)


def products(work: HeadWork) -> dict[str, int]:
    """Products by kind; `score` counts whole ones, which dense attention takes in place of the three partial kinds."""
    counts = work.counts
    partial = {
        "integer": int(counts.integer_products.sum()),
        "cross": int(counts.cross_products.sum()),
        "fraction": int(counts.fraction_products.sum()),
        "score": 0,
    }
    if work.dense:
        partial = {"integer": 0, "cross": 0, "fraction": 0, "score": partial["integer"]}
    return partial | {"value": int(counts.value_products.sum())}


def bit_products(work: HeadWork) -> dict[str, int]:
    """Products by kind, each as the single-bit products that its operands' widths take (16 x 16: 256)."""
    integer, fraction, operand = work.integer_bits, work.fraction_bits, work.operand_bits
    widths = {
        "integer": integer * integer,
        "cross": integer * fraction,
        "fraction": fraction * fraction,
        "score": operand * operand,
        "value": PROBABILITY_BITS * operand,
    }
    return {kind: number * widths[kind] for kind, number in products(work).items()}


@dataclass(frozen=True)
class HeadCosts:
    """Cycles and bytes of each head on a unit. Arrays are int64 [heads], cycles of groups [heads, groups]."""

    load_bytes: IntArray
    """Integer parts of Q and K; dense: Q, K and V."""
    spill_write_bytes: IntArray
    """Integer scores that the buffer does not hold."""
    spill_read_bytes: IntArray
    """Those of them in kept blocks."""
    fraction_bytes: IntArray
    """Fractions of Q and K: what the masks ask for, or all under a speculative start."""
    value_bytes: IntArray
    output_bytes: IntArray
    buffer_bytes: IntArray
    """Read from and written to the core's buffers."""
    integer_cycles: list[int]
    """[groups] integer scores of each group of block rows, the same for every head."""
    engine_cycles: list[int]
    """[groups] sparsity engine, likewise."""
    score_cycles: IntArray
    """Cross products (dense: scores) on the main array."""
    softmax_cycles: IntArray
    value_cycles: IntArray


def head_costs(unit: HdpUnit, work: HeadWork) -> HeadCosts:
    """Cycles and bytes of each head.

    Operands that outgrow the buffer are read again for every group of block rows.

    Raises
    ------
    MappingError
        When a vector is longer than the unit takes.
    """
    if work.head_dim > unit.max_head_dim:
        raise MappingError(
            f"head_dim {work.head_dim} does not fit {unit.name or 'the attention unit'}: it takes at most "
            f"{unit.max_head_dim} (max_head_dim)"
        )
    integer, engine = _front_cycles(unit, work)
    score, softmax, value = _back_cycles(unit, work)
    load, spill, spill_read, fraction, value_bytes, output = _dram_bytes(unit, work)
    moved = load + fraction + value_bytes + output
    return HeadCosts(
        load_bytes=load,
        spill_write_bytes=spill,
        spill_read_bytes=spill_read,
        fraction_bytes=fraction,
        value_bytes=value_bytes,
        output_bytes=output,
        buffer_bytes=moved + _array_bytes(unit, work),
        integer_cycles=integer,
        engine_cycles=engine,
        score_cycles=score,
        softmax_cycles=softmax,
        value_cycles=value,
    )


def _front_cycles(unit: HdpUnit, work: HeadWork) -> tuple[list[int], list[int]]:
    nb, together = block_count(work.sequence), unit.pe_rows // 2
    tiles = ceil_div(work.sequence, unit.pe_columns)
    array = tiles * tile_cycles(work.head_dim, unit.pe_rows, unit.pe_columns)
    block_row = ceil_div(nb, unit.sparsity_blocks_per_cycle)
    sizes = [min(together, nb - first) for first in range(0, nb, together)]
    return [array] * len(sizes), [size * block_row for size in sizes]


def _back_cycles(unit: HdpUnit, work: HeadWork) -> tuple[IntArray, IntArray, IntArray]:
    counts, rows, columns = work.counts, unit.pe_rows, unit.pe_columns
    # Each partial product is a pass of its own through the array; a whole product is one pass.
    passes = 1 if work.dense else 3 if counts.fraction_products.any() else 2
    score = sparse_product_cycles(counts.row_blocks, passes * work.head_dim, rows, columns)
    elements = by_row_group(counts.row_softmax * block_sizes(work.sequence), rows).sum(axis=-1)
    softmax: IntArray = -(-elements // unit.softmax_elements_per_cycle)
    return score, softmax, weighted_sum_cycles(counts.row_values, work.head_dim, rows, columns)


def _dram_bytes(unit: HdpUnit, work: HeadWork) -> tuple[IntArray, ...]:
    counts, n = work.counts, work.sequence
    groups = ceil_div(block_count(n), unit.pe_rows // 2)
    whole, none = work.row_bytes(work.operand_bits), np.zeros(work.heads, dtype=np.int64)
    output = counts.query_rows_fetched * whole
    if work.dense:
        reads = groups if 2 * n * whole > unit.buffer else 1
        return none + n * whole * (1 + 2 * reads), none, none, none, none, output
    integer, fraction = work.row_bytes(work.integer_bits), work.row_bytes(work.fraction_bits)
    load = n * integer * (1 + (groups if 2 * n * integer > unit.buffer else 1))
    room = max(0, unit.buffer - 2 * n * integer)
    spill = max(0, work.score_bytes - room)
    spill_read: IntArray = -(-spill * counts.kept_elements // (n * n))
    query_rows, key_rows = counts.query_rows_fetched, counts.key_rows_fetched
    if unit.head_decision == "speculative":
        query_rows = key_rows = none + n
    held = key_rows * (integer + fraction) + counts.value_rows_fetched * whole
    times = np.where((held > unit.buffer) & work.head_kept, groups, 1)
    fractions = (query_rows + key_rows * times) * fraction
    return none + load, none + spill, spill_read, fractions, counts.value_rows_fetched * times * whole, output


def _array_bytes(unit: HdpUnit, work: HeadWork) -> IntArray:
    """Bytes between buffers and arrays: operands for each tile, scores, masks, probabilities and the output.

    A group of block rows reads a key or value row once for all of them: no more than the sequence holds, and no more
    than its block rows keep together (their union would be exact; this bound needs no mask).
    """
    counts, n = work.counts, work.sequence
    whole, rows, columns = work.row_bytes(work.operand_bits), unit.pe_rows, unit.pe_columns
    tiles = sparse_tiles(counts.row_blocks, rows, columns)
    group_rows = by_row_group(block_sizes(n), rows).sum(axis=-1)
    keys = np.minimum(by_row_group(counts.row_keys, rows).sum(axis=-1), n).sum(axis=-1)
    values = np.minimum(by_row_group(counts.row_values, rows).sum(axis=-1), n).sum(axis=-1)
    weighed = counts.row_values @ block_sizes(n)
    total: IntArray = ((tiles * group_rows).sum(axis=-1) + keys + values + counts.query_rows_fetched) * whole
    total += 2 * weighed * PROBABILITY_BITS // 8
    if not work.dense:
        nb = block_count(n)
        integer = n * work.row_bytes(work.integer_bits) * (ceil_div(n, columns) + ceil_div(n, rows))
        kept_scores = -(-work.score_bytes * counts.kept_elements // (n * n))
        total += integer + work.score_bytes + kept_scores + 2 * ceil_div(nb * nb, 8)
    return total
