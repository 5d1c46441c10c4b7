"""Cycles, bytes and actions of the A3 unit.

With M iterations, C candidates and K kept keys, a query takes M, C, K and K cycles in the four big modules, each with
9 more to hand over: M + C + 2K + 36 in all, and one query every max(M, C, K) + 9 cycles. Finding the candidates among
the greedy scores and comparing C scores with the threshold, 16 a cycle, lengthen a query's way and not the interval.
Without approximation the three modules that remain take n + 9 cycles: 3n + 27 in all, a query every n + 9.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.config.attention_unit import AttentionUnit
from accelsim.kernels.a3 import selection_iterations, tile_bounds
from accelsim.machine.attention.pe_array import ceil_div
from accelsim.machine.attention.pipeline import Job, Tally, run_pipeline
from accelsim.machine.attention.run import AttentionRun

IntArray = NDArray[np.int64]

STAGES = ("candidates", "scan", "dot_product", "post_scoring", "exponent", "weighted_sum", "division")


@dataclass(frozen=True)
class Sizes:
    """What cycles and bytes follow from: counts of the work, and figures of the unit for its head_dim."""

    candidates: NDArray[np.int32]
    """[heads, tiles, n]"""
    kept: NDArray[np.int32]
    """[heads, tiles, n]"""
    head_dim: int
    approximate: bool
    tile: int
    """Keys that the unit holds."""
    query_block: int
    candidate_share: float
    handover_cycles: int
    scan_width: int
    merge_cycles: int
    row_bytes: int
    """Of Q, K or V."""
    sorted_row_bytes: int
    """Sorted columns, for each key."""
    output_row_bytes: int
    partial_bytes: int
    """Of a query between tiles."""

    @property
    def heads(self) -> int:
        """Number of heads."""
        return int(self.candidates.shape[0])

    @property
    def sequence(self) -> int:
        """Queries, and keys, of a head."""
        return int(self.candidates.shape[2])

    @property
    def tiles(self) -> list[tuple[int, int]]:
        """First key, and the one after the last, of each tile."""
        return tile_bounds(self.sequence, self.tile)

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """Likewise of queries: all of them where one tile holds all keys, so that nothing is partial."""
        return tile_bounds(self.sequence, self.query_block if len(self.tiles) > 1 else self.sequence)

    @property
    def prefetch(self) -> bool:
        """Whether the buffers hold the next head's keys beside this one's."""
        return 2 * self.sequence <= self.tile

    def tile_bytes(self, keys: int) -> int:
        """K and V of a tile, and its sorted columns where candidates are selected."""
        return keys * (2 * self.row_bytes + (self.sorted_row_bytes if self.approximate else 0))


def stage_cycles(sizes: Sizes, head: int, tile: int) -> IntArray:
    """Cycles of every query in every stage, [n, stages], for one tile of one head."""
    first, last = sizes.tiles[tile]
    candidates, kept = (counts[head, tile].astype(np.int64) for counts in (sizes.candidates, sizes.kept))
    cycles = np.zeros((sizes.sequence, len(STAGES)), dtype=np.int64)
    if sizes.approximate:
        cycles[:, 0] = selection_iterations(sizes.candidate_share, last - first) + sizes.handover_cycles
        cycles[:, 1] = ceil_div(last - first, sizes.scan_width)
        cycles[:, 3] = -(-candidates // sizes.scan_width)
    cycles[:, 2] = candidates + sizes.handover_cycles
    cycles[:, 4] = cycles[:, 5] = kept + sizes.handover_cycles
    if len(sizes.tiles) > 1:
        cycles[:, 5] += sizes.merge_cycles
        cycles[:, 6] = sizes.head_dim if tile == len(sizes.tiles) - 1 else 0
    return cycles


def _jobs(sizes: Sizes) -> Iterator[Job]:
    """Head by head, block of queries by block, tile by tile: a block's partial results stay on the chip."""
    for head in range(sizes.heads):
        cycles = [stage_cycles(sizes, head, tile) for tile in range(len(sizes.tiles))]
        for begin, end in sizes.blocks:
            for tile, (first, last) in enumerate(sizes.tiles):
                load = sizes.tile_bytes(last - first) + (end - begin) * sizes.row_bytes
                done = tile == len(sizes.tiles) - 1
                write = (end - begin) * sizes.output_row_bytes if done else 0
                yield Job(head, load, cycles[tile][begin:end], write_bytes=write)


def _actions(sizes: Sizes) -> dict[str, int]:
    """Cycles of the modules, and comparisons with which the host sorts each column of each tile."""
    visits = sizes.heads * sizes.sequence
    candidates, kept = int(sizes.candidates.sum()), int(sizes.kept.sum())
    handover = visits * len(sizes.tiles) * sizes.handover_cycles
    merges = visits * len(sizes.tiles) * sizes.merge_cycles if len(sizes.tiles) > 1 else 0
    actions = {
        "dot_product_cycle": candidates + handover,
        "exponent_cycle": kept + handover,
        "weighted_sum_cycle": kept + handover + merges,
    }
    if sizes.approximate:
        iterations = visits * sum(selection_iterations(sizes.candidate_share, b - a) for a, b in sizes.tiles)
        sort = sum(math.ceil((b - a) * math.log2(b - a)) for a, b in sizes.tiles)
        actions |= {
            "candidate_cycle": iterations + handover,
            "sorted_key_cycle": iterations,
            "post_scoring_cycle": int((-(-sizes.candidates // sizes.scan_width)).sum()),
            "host_comparison": sizes.heads * sizes.head_dim * sort,
        }
    return actions


def _buffer_bytes(sizes: Sizes) -> int:
    """Tiles written, rows of K and V read, partial results read and written; sorted columns are read by the cycle."""
    fills = sizes.heads * len(sizes.blocks) * sum(sizes.tile_bytes(last - first) for first, last in sizes.tiles)
    rows = int(sizes.candidates.sum() + sizes.kept.sum())
    merges = sizes.heads * sizes.sequence * (len(sizes.tiles) - 1)
    return fills + rows * sizes.row_bytes + 2 * merges * sizes.partial_bytes


def simulate_a3(unit: AttentionUnit, sizes: Sizes, operand_bits: int, weight_bits: int) -> AttentionRun:
    """Time, traffic and actions of one layer."""
    products = {
        "score": int(sizes.candidates.sum()) * sizes.head_dim,
        "value": int(sizes.kept.sum()) * sizes.head_dim,
    }
    bits = {
        "score": products["score"] * operand_bits * operand_bits,
        "value": products["value"] * weight_bits * operand_bits,
    }
    tally = Tally(products, bits, _actions(sizes), buffer_bytes=_buffer_bytes(sizes))
    return run_pipeline(unit, STAGES, list(_jobs(sizes)), tally, prefetch=sizes.prefetch)


def closed_form(sizes: Sizes, bytes_per_cycle: float, dram_latency: float) -> float:
    """Cycles of a layer by formula.

    For each head, tile and block of queries, the module with the most work is busy throughout, and a query of average
    size passes the others once. Loads are hidden where the next head fits beside this one, and stand before each tile
    elsewhere.

    Parameters
    ----------
    bytes_per_cycle : float
        DRAM bandwidth over clock.
    dram_latency : float
        Cycles.
    """
    n, blocks = sizes.sequence, len(sizes.blocks)
    compute = 0.0
    for head in range(sizes.heads):
        for tile in range(len(sizes.tiles)):
            work = stage_cycles(sizes, head, tile).sum(axis=0)
            # Ends show once for every job, or once for all where heads follow each other closely.
            ends = (int(work.sum()) - int(work.max())) / n
            compute += float(work.max()) + ends * (1 / sizes.heads if sizes.prefetch else blocks)
    jobs = sizes.heads * blocks
    moved = jobs * sum(sizes.tile_bytes(last - first) for first, last in sizes.tiles)
    moved += sizes.heads * n * sizes.row_bytes * len(sizes.tiles)
    written = n * sizes.output_row_bytes / bytes_per_cycle / blocks + dram_latency
    if sizes.prefetch:
        first_load = moved / sizes.heads / bytes_per_cycle + dram_latency
        traffic = (moved + sizes.heads * n * sizes.output_row_bytes) / bytes_per_cycle
        return max(compute + first_load + written, traffic)
    return compute + moved / bytes_per_cycle + jobs * len(sizes.tiles) * dram_latency + written
