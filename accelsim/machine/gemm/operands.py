"""Operand tiles of a planned GEMM: what is fetched from DRAM as a unit, and which of them every chunk touches.

Tiles of A are identified by (batch, row panel, chunk of k), tiles of B by (batch, column panel, chunk of k).
"""

from dataclasses import dataclass

import numpy as np

from accelsim.machine.gemm.program import IntArray
from accelsim.mapping.blocks import run_lengths, split_length
from accelsim.mapping.counts import INDEX_BYTES, SECTOR_BYTES
from accelsim.mapping.plan import GemmPlan, PlannedWeights
from accelsim.pruning.packed.blocks import BlockWeights
from accelsim.pruning.packed.elements import ElementWeights
from accelsim.pruning.packed.groups import GroupedWeights, place_bits

Ranges = dict[tuple[int, ...], tuple[IntArray, IntArray]]
"""First tile and number of tiles of every chunk, by (weight tile, k0, k1)."""


@dataclass(frozen=True)
class Operand:
    """Tiles of one operand and where each thread block begins in them."""

    base: IntArray
    """[blocks] tile id of the block's panel."""
    span: IntArray
    """[blocks] entry of its chunk 0 in the span tables."""
    first: IntArray
    count: IntArray
    """Span tables of this operand alone."""
    tile_bytes: IntArray


def spans(starts: IntArray, stops: IntArray, chunk: int) -> tuple[IntArray, IntArray]:
    """First tile and number of tiles that ranges of k touch; an empty range touches none."""
    first = starts // chunk
    last = (stops - 1) // chunk
    return first, np.where(stops > starts, last - first + 1, 0)


def ranges_of(k0: int, k1: int, chunk: int) -> tuple[IntArray, IntArray]:
    """Starts and stops of the chunks of a block that covers k0 to k1."""
    starts = np.arange(k0, max(k1, k0 + 1), chunk, dtype=np.int64)
    return starts, np.minimum(starts + chunk, k1)


def panels(starts: IntArray, stops: IntArray) -> tuple[IntArray, IntArray]:
    """Index of each block's panel among the distinct ones, and the panels' widths."""
    _, first, index = np.unique(starts, return_index=True, return_inverse=True)
    return index.astype(np.int64), (stops - starts)[first]


def distinct(keys: list[IntArray]) -> tuple[list[tuple[int, ...]], IntArray]:
    """Distinct tuples of non-negative keys, ascending, and for each block the number of its own."""
    code = np.zeros_like(keys[0])
    for key in keys:
        # Numbered anew after each key, codes stay far from the end of int64; sorting rows would be many times slower.
        if key.size and key.min() != key.max():
            code = np.unique(code * (int(key.max()) + 1) + key, return_inverse=True)[1].astype(np.int64)
    _, first, index = np.unique(code, return_index=True, return_inverse=True)
    return [tuple(int(key[at]) for key in keys) for at in first], index.astype(np.int64)


def span_table(keys: list[IntArray], ranges: Ranges, padding: int) -> tuple[IntArray, IntArray, IntArray]:
    """Join span lists of distinct keys; returns each block's entry and the joined tables."""
    if not len(keys[0]):
        nothing = np.empty(0, np.int64)
        return nothing, nothing, nothing
    different, index = distinct(keys)
    firsts, counts, begin, at = [], [], [], 0
    for key in different:
        first, count = ranges[key]
        missing = max(0, padding - len(first))
        firsts.append(np.concatenate([first, np.zeros(missing, np.int64)]))
        counts.append(np.concatenate([count, np.zeros(missing, np.int64)]))
        begin.append(at)
        at += len(firsts[-1])
    return np.asarray(begin, np.int64)[index], np.concatenate(firsts), np.concatenate(counts)


def _padded_chunks(plan: GemmPlan) -> int:
    """Chunks that every block runs through under the padded-batch strategy (0: no padding)."""
    if plan.padded_k is None:
        return 0
    return -(-plan.padded_k // (plan.tile.tile_k * plan.steps_per_chunk))


def _gathered_rows(weights: PlannedWeights | None) -> list[IntArray] | None:
    """Rows of A that each weight tile wants; None when every one wants all of its range of k."""
    if weights is None or isinstance(weights, ElementWeights) or weights.row_offset is None:
        return None
    offset = weights.row_offset.astype(np.int64)
    parts = np.split(offset, weights.row_start[1:-1])
    return [part + np.arange(len(part)) for part in parts]


def wanted_rows(union: IntArray, edges: IntArray, row_major: bool, element_bytes: int) -> IntArray:
    """Of each slice of k (between `edges`), the rows that are fetched when those of `union` are wanted: with row-major
    activations whole sectors."""
    if not row_major:
        return np.histogram(union, edges)[0].astype(np.int64)
    per_sector = SECTOR_BYTES // element_bytes
    lines = np.unique(union // per_sector)
    found: IntArray = np.histogram(lines * per_sector, edges)[0].astype(np.int64) * per_sector
    return found


def operand_a(plan: GemmPlan, element_bytes: int) -> Operand:
    """Tiles of A: a panel of rows by a chunk of k. Packed weights fetch what any of their tiles keeps."""
    blocks, chunk = plan.blocks, plan.tile.tile_k * plan.steps_per_chunk
    tiles_per_panel = -(-plan.gemm.k // chunk)
    panel, widths = panels(blocks.m0, blocks.m1)
    rows = _gathered_rows(plan.weights)
    found: Ranges = {}
    if rows is None:
        wanted = np.full(tiles_per_panel, chunk, np.int64)
        wanted[-1] = plan.gemm.k - chunk * (tiles_per_panel - 1)
        for tile, k0, k1 in distinct([blocks.weight_tile, blocks.k0, blocks.k1])[0]:
            found[(tile, k0, k1)] = spans(*ranges_of(k0, k1, chunk), chunk)
    else:
        union = np.unique(np.concatenate(rows)) if rows else np.empty(0, np.int64)
        edges = np.arange(tiles_per_panel + 1, dtype=np.int64) * chunk
        wanted = wanted_rows(union, edges, plan.activations == "row_major", element_bytes)
        for tile, k0, k1 in distinct([blocks.weight_tile, blocks.k0, blocks.k1])[0]:
            starts, stops = ranges_of(k0, k1, chunk)
            kept = np.append(rows[tile], -1)
            ends = np.where(stops > starts, kept[stops - 1] + 1, 0)
            found[(tile, k0, k1)] = spans(np.where(stops > starts, kept[starts], 0), ends, chunk)
    span, first, count = span_table([blocks.weight_tile, blocks.k0, blocks.k1], found, _padded_chunks(plan))
    tile_bytes = (widths[:, None] * wanted[None, :] * element_bytes).reshape(-1)
    base = (blocks.batch * len(widths) + panel) * tiles_per_panel
    return Operand(base, span, first, count, np.tile(tile_bytes, plan.gemm.batch))


def _weight_bytes(weights: PlannedWeights | None, rows: IntArray, widths: IntArray, element_bytes: int) -> IntArray:
    """Bytes of so many rows [panels, chunks] of weights of so many columns [panels, 1], as they lie in memory."""
    if isinstance(weights, GroupedWeights):
        values = -(-rows // weights.group) * weights.slots * widths
        return values * element_bytes + -(-values * place_bits(weights.group) // 8)
    found = rows * widths * element_bytes
    if isinstance(weights, BlockWeights):
        found += INDEX_BYTES * -(-rows // weights.block_rows)
    return found


def operand_b(plan: GemmPlan, element_bytes: int) -> Operand:
    """Tiles of B: a panel of columns by a chunk of k.

    Packed weights have kept rows only (of groups, kept values and their places), zeros after them under the
    padded-batch strategy, and beside them the row offsets of their tile, which its first panel brings.
    """
    blocks, chunk, weights = plan.blocks, plan.tile.tile_k * plan.steps_per_chunk, plan.weights
    panel, widths = panels(blocks.n0, blocks.n1)
    depth = np.full(len(widths), plan.gemm.k if plan.padded_k is None else plan.padded_k, np.int64)
    offsets = np.zeros(len(widths), np.int64)
    k0, k1 = blocks.k0, blocks.k1
    if weights is not None and len(panel):
        if plan.padded_k is None:
            depth[panel] = weights.row_count[blocks.weight_tile]
        else:
            k0 = blocks.split * split_length(plan.padded_k, plan.tile.tile_k, plan.split_k)
            k1 = k0 + run_lengths(blocks, plan.tile.tile_k, plan.split_k, plan.padded_k)
        if not isinstance(weights, BlockWeights) and _gathered_rows(weights) is not None:
            offsets[panel] = INDEX_BYTES * (blocks.n0 == weights.column_start[blocks.weight_tile])
    tiles_per_panel = max(1, -(-int(depth.max(initial=1)) // chunk))
    starts = np.arange(tiles_per_panel, dtype=np.int64) * chunk
    rows = np.clip(depth[:, None] - starts[None, :], 0, chunk)
    found: Ranges = {
        (0, first, last): spans(*ranges_of(first, last, chunk), chunk) for first, last in distinct([k0, k1])[0]
    }
    span, first, count = span_table([np.zeros_like(k0), k0, k1], found, _padded_chunks(plan))
    shared = plan.gemm.weight is not None
    base = (np.where(shared, 0, blocks.batch) * len(widths) + panel) * tiles_per_panel
    tile_bytes = _weight_bytes(weights, rows, widths[:, None], element_bytes) + rows * offsets[:, None]
    return Operand(base, span, first, count, np.tile(tile_bytes.reshape(-1), 1 if shared else plan.gemm.batch))
