"""Exact counts of what every thread block of a plan does, from its ranges and from the addresses of its operands.

A thread block runs through its k in k-steps of tile_k. In each it loads a tile of A and one of B, writes both to shared
memory once, and reads them from there (`accelsim.mapping.tiles.reader_grid`): A as often as it has readers along n, B
as often as along m. So a k-step moves, of operands of e bytes,

    ((tile_m + tile_n) + (readers_n tile_m + readers_m tile_n)) tile_k e

bytes of shared memory, whole tiles even at the edges, where the missing elements are zeros. Reads meet in banks as the
layout of shared memory has it; writes are taken to meet none.

Under padded_batch a thread block also loads what pads its weight tile: zero rows of B, and for each the last row of A
that the tile keeps.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from accelsim.config.hardware import Gpu
from accelsim.kernels.conflicts import fragment_ways
from accelsim.kernels.sectors import SECTOR_BYTES, ActivationLayout, gather_sectors, matrix_sectors, tile_sectors
from accelsim.mapping.blocks import ceil_div, run_lengths, split_length, take_blocks
from accelsim.mapping.plan import BlockTable, GemmPlan, IntArray
from accelsim.mapping.sparse_counts import packed_block_counts
from accelsim.mapping.tiles import ACCUMULATOR_BYTES, ELEMENT_BYTES, OUTPUT_BYTES, shared_traffic
from accelsim.pruning.packing import TileWiseWeights

__all__ = ["INDEX_BYTES", "SECTOR_BYTES", "BlockCounts", "count_blocks"]

INDEX_BYTES = 4
"""Bytes of a row or column offset."""


@dataclass(frozen=True)
class BlockCounts:
    """What each thread block does. Arrays are int64 [blocks]; loads are sums over its k-steps."""

    macs: IntArray
    """Multiply-accumulates with weights that are kept, padding not counted."""
    steps: IntArray
    """K-steps, padding included."""
    load_a_bytes: IntArray
    """Bytes of A's elements that it asks for."""
    load_a_sectors: IntArray
    """32-byte sectors that hold them, each counted once in a k-step."""
    load_b_bytes: IntArray
    load_b_sectors: IntArray
    index_bytes: IntArray
    """Row offsets of its k and column offsets of its outputs, metadata, indices; 0 in a dense product."""
    output_bytes: IntArray
    """Bytes that it writes: outputs in their format, under split-K partial sums of 4 bytes."""
    shared_write_per_step: IntArray
    """Bytes of a k-step into shared memory."""
    shared_read_a_per_step: IntArray
    """Bytes of A that its warps or tensor cores read in a k-step."""
    shared_read_b_per_step: IntArray
    conflict_ways_a: IntArray
    """Cycles that a read of A's fragments takes for one without conflicts."""
    conflict_ways_b: IntArray
    step_macs: IntArray
    """Multiply-accumulates that the unit carries out in a k-step, padding and filled slots included."""
    rated_macs: IntArray
    """Those that its rate counts: on sparse tensor cores those with pruned weights too."""
    load_c_bytes: IntArray
    """Bytes of outputs of another kernel that it adds to."""

    def __len__(self) -> int:
        return len(self.macs)

    @property
    def shared_bytes_per_step(self) -> IntArray:
        """Bytes that a k-step moves into and out of shared memory."""
        result: IntArray = self.shared_write_per_step + self.shared_read_a_per_step + self.shared_read_b_per_step
        return result

    @property
    def shared_bytes_per_step_with_conflicts(self) -> IntArray:
        """Likewise, with reads counted as often as conflicts repeat them."""
        reads_a = self.shared_read_a_per_step * self.conflict_ways_a
        reads_b = self.shared_read_b_per_step * self.conflict_ways_b
        result: IntArray = self.shared_write_per_step + reads_a + reads_b
        return result


def count_blocks(plan: GemmPlan, gpu: Gpu) -> BlockCounts:
    """Count what every thread block of a plan does on a machine.

    Parameters
    ----------
    plan : GemmPlan
    gpu : Gpu
        Its number of banks.

    Returns
    -------
    BlockCounts
        In the order of `plan.blocks`.
    """
    if plan.weights is not None and not isinstance(plan.weights, TileWiseWeights):
        return BlockCounts(**packed_block_counts(plan, gpu))
    blocks, tile = plan.blocks, plan.tile
    element = ELEMENT_BYTES[plan.gemm.dtype]
    whole = np.full(len(blocks), tile.tile_m * tile.tile_n * tile.tile_k, np.int64)
    run = run_lengths(blocks, tile.tile_k, plan.split_k, plan.padded_k)
    rows, columns = blocks.m1 - blocks.m0, blocks.n1 - blocks.n0
    a_sectors, b_sectors = _load_sectors(plan, element)
    written = ACCUMULATOR_BYTES if plan.split_k > 1 else OUTPUT_BYTES[plan.gemm.dtype]
    return BlockCounts(
        macs=blocks.macs,
        steps=ceil_div(run, tile.tile_k),
        load_a_bytes=rows * run * element,
        load_a_sectors=a_sectors,
        load_b_bytes=columns * run * element,
        load_b_sectors=b_sectors,
        index_bytes=np.zeros_like(run) if plan.weights is None else INDEX_BYTES * (run + columns),
        output_bytes=rows * columns * written,
        step_macs=whole,
        rated_macs=whole,
        load_c_bytes=np.zeros_like(run),
        **_shared_memory(plan, gpu, element),
    )


def _shared_memory(plan: GemmPlan, gpu: Gpu, element: int) -> dict[str, IntArray]:
    """Shared-memory traffic of a k-step, alike for all thread blocks."""
    tile = plan.tile
    written, read_a, read_b = shared_traffic(tile, gpu, element)
    a_row = (tile.tile_m if plan.activations == "transposed" else tile.tile_k) * element
    banks = gpu.shared_memory.banks
    values = {
        "shared_write_per_step": written,
        "shared_read_a_per_step": read_a,
        "shared_read_b_per_step": read_b,
        "conflict_ways_a": fragment_ways(plan.shared_layout, a_row, banks=banks),  # type: ignore[arg-type]
        "conflict_ways_b": fragment_ways(plan.shared_layout, tile.tile_n * element, banks=banks),  # type: ignore[arg-type]
    }
    return {name: np.full(len(plan.blocks), value, np.int64) for name, value in values.items()}


def _load_sectors(plan: GemmPlan, element: int) -> tuple[IntArray, IntArray]:
    """Sectors of A and of B that each thread block loads.

    Thread blocks of one row panel (column panel) and share of k load the same of A (of B), so each is counted once.
    Batch items are taken to begin on a sector each, and so are packed weight tiles.
    """
    blocks, tile_k = plan.blocks, plan.tile.tile_k
    run = run_lengths(blocks, tile_k, plan.split_k, plan.padded_k)
    if plan.padded_k is not None:
        k0 = blocks.split * split_length(plan.padded_k, tile_k, plan.split_k)
        blocks = replace(blocks, k0=k0, k1=k0 + run)
    shares = 1 + int(blocks.split.max(initial=0))
    a_first, a_same = _distinct((blocks.m0 * shares + blocks.split) * _weight_tiles(plan) + blocks.weight_tile)
    b_first, b_same = _distinct(blocks.n0 * shares + blocks.split)
    a_blocks, b_blocks = take_blocks(blocks, a_first), take_blocks(blocks, b_first)
    if plan.weights is None:
        a_sectors = _dense_sectors(plan, a_blocks, element)[0]
        b_sectors = _dense_sectors(plan, b_blocks, element)[1]
    else:
        assert isinstance(plan.weights, TileWiseWeights)
        a_sectors = _gathered_sectors(plan, plan.weights, a_blocks, element)
        b_sectors = _packed_sectors(plan.weights, b_blocks, tile_k, element)
    return a_sectors[a_same], b_sectors[b_same]


def _weight_tiles(plan: GemmPlan) -> int:
    return 1 if plan.weights is None else max(1, plan.weights.tiles)


def _distinct(keys: IntArray) -> tuple[IntArray, IntArray]:
    """First place of each distinct key, and for each key its number among the distinct ones."""
    _, first, same = np.unique(keys, return_index=True, return_inverse=True)
    return first.astype(np.int64), same.astype(np.int64)


def _dense_sectors(plan: GemmPlan, blocks: BlockTable, element: int) -> tuple[IntArray, IntArray]:
    gemm = plan.gemm
    ranges = (blocks.m0, blocks.m1, blocks.n0, blocks.n1, blocks.k0, blocks.k1)
    layout: ActivationLayout = "transposed" if plan.activations == "transposed" else "row_major"
    return tile_sectors(*ranges, gemm.m, gemm.n, gemm.k, element, plan.tile.tile_k, layout, gemm.b_layout)


def _gathered_sectors(plan: GemmPlan, weights: TileWiseWeights, blocks: BlockTable, element: int) -> IntArray:
    """Sectors of A's gathered rows; in a padded tile the last kept row stands for the padding."""
    offset, start = weights.row_offset, weights.row_start
    if plan.padded_k is not None:
        offset, start = _padded_offsets(weights, plan.padded_k)
    layout: ActivationLayout = "transposed" if plan.activations == "transposed" else "row_major"
    ranges = (blocks.k0, blocks.k1, blocks.m0, blocks.m1)
    gemm = plan.gemm
    return gather_sectors(offset, start, blocks.weight_tile, *ranges, gemm.k, gemm.m, element, layout, plan.tile.tile_k)


def _padded_offsets(weights: TileWiseWeights, padded_k: int) -> tuple[NDArray[np.int32], IntArray]:
    """Row offsets and tile starts when every tile has `padded_k` rows."""
    compact = np.arange(padded_k)
    offsets = np.zeros((weights.tiles, padded_k), dtype=np.int32)
    for tile in np.flatnonzero(weights.row_count > 0):
        rows = weights.rows(int(tile))
        offsets[tile] = rows[np.minimum(compact, len(rows) - 1)] - compact
    return offsets.reshape(-1), np.arange(weights.tiles + 1, dtype=np.int64) * padded_k


def _packed_sectors(weights: TileWiseWeights, blocks: BlockTable, tile_k: int, element: int) -> IntArray:
    """Sectors of packed weights, row-major within each weight tile."""
    first = weights.column_start[blocks.weight_tile]
    width = weights.column_count[blocks.weight_tile]
    return matrix_sectors(blocks.k0, blocks.k1, blocks.n0 - first, blocks.n1 - first, width, element, row_step=tile_k)
