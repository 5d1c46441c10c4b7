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
    streamed: NDArray[np.bool_]
    """[heads] whether K and V outgrow the buffer, so that every group of block rows waits for its own share of them."""
    output_bytes: IntArray
    buffer_bytes: IntArray
    """Read from and written to the core's buffers."""
    integer_cycles: list[int]
    """[groups] integer scores of each group of block rows, the same for every head."""
    engine_cycles: list[int]
    """[groups] sparsity engine, likewise."""
    recomputed_products: IntArray
    """Integer products of kept scores that are multiplied a second time, on the main array."""
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
        When a vector is longer than the unit takes, or integer scores are to be held and do not fit.
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
    again = work.counts.kept_elements * work.head_dim if _recomputes(unit, work) else np.zeros_like(load)
    return HeadCosts(
        load_bytes=load,
        spill_write_bytes=spill,
        spill_read_bytes=spill_read,
        fraction_bytes=fraction,
        value_bytes=value_bytes,
        streamed=(_reads(unit, work) > 1) & (not work.dense),
        output_bytes=output,
        buffer_bytes=moved + _array_bytes(unit, work),
        integer_cycles=integer,
        engine_cycles=engine,
        recomputed_products=again,
        score_cycles=score,
        softmax_cycles=softmax,
        value_cycles=value,
    )


def _scores_beyond_buffer(unit: HdpUnit, work: HeadWork) -> int:
    """Bytes of a head's integer scores for which the buffer has no room beside the integer parts of Q and K."""
    room = max(0, unit.buffer - 2 * work.sequence * work.row_bytes(work.integer_bits))
    beyond = 0 if work.dense else max(0, work.score_bytes - room)
    if beyond and unit.integer_scores == "held":
        raise MappingError(
            f"{unit.name}: integer scores of {work.sequence} x {work.sequence} take {work.score_bytes} bytes, and "
            f"beside the operands its buffer has room for {room}; integer_scores held needs all of them: take a larger "
            "buffer, a shorter sequence, or integer_scores spilled or recomputed"
        )
    return beyond


def _recomputes(unit: HdpUnit, work: HeadWork) -> bool:
    return unit.integer_scores == "recomputed" and _scores_beyond_buffer(unit, work) > 0


def _front_cycles(unit: HdpUnit, work: HeadWork) -> tuple[list[int], list[int]]:
    """Integer scores and sparsity engine, by groups of block rows that are done together.

    With scores or queries (input) in its elements the array ends with some block rows before it begins others. With
    keys (weight) in them every block row waits for the last keys, so there is one group.
    """
    n, nb, d = work.sequence, block_count(work.sequence), work.head_dim
    rows, columns = unit.integer_array
    together, array = rows // 2, ceil_div(n, columns) * tile_cycles(d, rows, columns)
    if unit.integer_dataflow == "input_stationary":
        together, array = columns // 2, ceil_div(d, rows) * tile_cycles(n + rows, rows, columns)
    elif unit.integer_dataflow == "weight_stationary":
        together, array = nb, ceil_div(d, rows) * ceil_div(n, columns) * tile_cycles(n + rows, rows, columns)
    block_row = ceil_div(nb, unit.sparsity_blocks_per_cycle)
    sizes = [min(together, nb - first) for first in range(0, nb, together)]
    return [array] * len(sizes), [size * block_row for size in sizes]


def _back_cycles(unit: HdpUnit, work: HeadWork) -> tuple[IntArray, IntArray, IntArray]:
    counts, rows, columns = work.counts, unit.pe_rows, unit.pe_columns
    # Each partial product is a pass of its own through the array; a whole product is one pass.
    passes = 1 if work.dense else 3 if counts.fraction_products.any() else 2
    passes += _recomputes(unit, work)
    score = sparse_product_cycles(counts.row_blocks, passes * work.head_dim, rows, columns)
    elements = by_row_group(counts.row_softmax * block_sizes(work.sequence), rows).sum(axis=-1)
    softmax: IntArray = -(-elements // unit.softmax_elements_per_cycle)
    return score, softmax, weighted_sum_cycles(counts.row_values, work.head_dim, rows, columns)


def _key_rows(unit: HdpUnit, work: HeadWork) -> IntArray:
    """Rows of K whose fractions are fetched, [heads]."""
    fetched = work.counts.key_rows_fetched
    return np.full_like(fetched, work.sequence) if unit.head_decision == "speculative" else fetched


def _reads(unit: HdpUnit, work: HeadWork) -> IntArray:
    """How often rows of K and V are read, [heads]: once, or by each group of block rows if they outgrow the buffer."""
    whole = work.row_bytes(work.operand_bits)
    parts = work.row_bytes(work.integer_bits) + work.row_bytes(work.fraction_bits)
    held = _key_rows(unit, work) * parts + work.counts.value_rows_fetched * whole
    groups = ceil_div(block_count(work.sequence), unit.pe_rows // 2)
    return np.where((held > unit.buffer) & work.head_kept, groups, 1)


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
    spill = 0 if unit.integer_scores == "recomputed" else _scores_beyond_buffer(unit, work)
    spill_read: IntArray = -(-spill * counts.kept_elements // (n * n))
    times, key_rows = _reads(unit, work), _key_rows(unit, work)
    query_rows = none + n if unit.head_decision == "speculative" else counts.query_rows_fetched
    # Integer parts are there from the decision, unless they did not fit; rows of K that are read again are read whole.
    missing = 1 if 2 * n * integer > unit.buffer else 0
    fractions = query_rows * (fraction + missing * integer) + key_rows * (
        times * fraction + (times - 1 + missing) * integer
    )
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
    return total if work.dense else total + decision_bytes(unit, work)


def decision_bytes(unit: HdpUnit, work: HeadWork) -> IntArray:
    """Bytes between buffers and units for the decision, [heads]: integer operands and scores, and masks in and out."""
    n, nb = work.sequence, block_count(work.sequence)
    total = np.full(work.heads, _integer_array_bytes(unit, work) + 2 * ceil_div(nb * nb, 8), dtype=np.int64)
    if not _recomputes(unit, work):
        total += work.score_bytes - (-work.score_bytes * work.counts.kept_elements // (n * n))
    return total


def _integer_array_bytes(unit: HdpUnit, work: HeadWork) -> int:
    """Bytes between buffers and the array of integer scores: operands for each tile, and sums that are not complete."""
    n, (rows, columns) = work.sequence, unit.integer_array
    matrix = n * work.row_bytes(work.integer_bits)
    if unit.integer_dataflow == "output_stationary":
        return matrix * (ceil_div(n, columns) + ceil_div(n, rows))
    # The operand that stays is read once, the other for each tile of it; sums go out and in between slices of head_dim.
    unfinished = 2 * (ceil_div(work.head_dim, rows) - 1) * work.score_bytes
    return matrix * (1 + ceil_div(n, columns)) + unfinished
