"""Counts of thread blocks of kernels for packed weights other than plain tile-wise ones.

Loads and multiply-accumulates are those of `accelsim.kernels.sparse_counts`; this adds what they mean for the kernel
that runs them: shared memory and the padding of its tiles.
"""

import numpy as np

from accelsim.config.hardware import Gpu
from accelsim.kernels.conflicts import fragment_ways
from accelsim.kernels.sectors import ActivationLayout
from accelsim.mapping.blocks import ceil_div
from accelsim.mapping.elements import element_steps
from accelsim.mapping.plan import GemmPlan, IntArray
from accelsim.mapping.tiles import ACCUMULATOR_BYTES, ELEMENT_BYTES, OUTPUT_BYTES, step_macs, step_traffic
from accelsim.pruning.packed.elements import ElementWeights
from accelsim.pruning.packed.products import count_packed


def packed_block_counts(plan: GemmPlan, gpu: Gpu) -> dict[str, IntArray]:
    """Fields of `accelsim.mapping.counts.BlockCounts` of a plan with packed weights."""
    weights, blocks, tile = plan.weights, plan.blocks, plan.tile
    assert weights is not None
    element = ELEMENT_BYTES[plan.gemm.dtype]
    written = ACCUMULATOR_BYTES if plan.split_k > 1 else OUTPUT_BYTES[plan.gemm.dtype]
    layout: ActivationLayout = "transposed" if plan.activations == "transposed" else "row_major"
    found = count_packed(
        weights, blocks, plan.gemm.m, element, written, tile_k=tile.tile_k, layout=layout, onto=plan.onto
    )
    if isinstance(weights, ElementWeights):
        # Lanes stand for output rows, so that a ragged panel pads every element's products.
        steps = element_steps(weights, blocks, tile.tile_k)
        each = ceil_div(found.load_value_bytes // element * tile.tile_m, np.maximum(steps, 1))
        own = {"step_macs": each, "rated_macs": each, **_no_shared_memory(len(blocks))}
    else:
        steps = ceil_div(blocks.k1 - blocks.k0, tile.tile_k)
        own = _tiles(plan, gpu, element)
    return {
        "macs": found.effectual_macs,
        "steps": steps,
        "load_a_bytes": found.load_a_bytes,
        "load_a_sectors": found.load_a_sectors,
        "load_b_bytes": found.load_value_bytes,
        "load_b_sectors": found.load_value_sectors,
        "index_bytes": found.load_index_bytes,
        "load_c_bytes": found.load_c_bytes,
        "output_bytes": found.output_bytes,
        **own,
    }


def _no_shared_memory(blocks: int) -> dict[str, IntArray]:
    """Of kernels whose operands go straight to registers."""
    zero, one = np.zeros(blocks, np.int64), np.ones(blocks, np.int64)
    names = ("shared_write_per_step", "shared_read_a_per_step", "shared_read_b_per_step")
    return dict.fromkeys(names, zero) | dict.fromkeys(("conflict_ways_a", "conflict_ways_b"), one)


def _tiles(plan: GemmPlan, gpu: Gpu, element: int) -> dict[str, IntArray]:
    """A k-step of kernels that pass tiles through shared memory, alike for all thread blocks."""
    tile, banks = plan.tile, gpu.shared_memory.banks
    written, read_a, read_b = step_traffic(tile, gpu, element, plan.execution)
    done, rated = step_macs(tile, plan.execution)
    # Lanes that choose activations read neighbouring output rows of one row of A^T, which lie in different banks.
    choosing = plan.execution is not None and plan.execution.family == "vector_wise"
    a_row = (tile.tile_m if plan.activations == "transposed" else tile.tile_k) * element
    values = {
        "step_macs": done,
        "rated_macs": rated,
        "shared_write_per_step": written,
        "shared_read_a_per_step": read_a,
        "shared_read_b_per_step": read_b,
        "conflict_ways_a": 1 if choosing else fragment_ways(plan.shared_layout, a_row, banks=banks),  # type: ignore[arg-type]
        "conflict_ways_b": 1 if choosing else fragment_ways(plan.shared_layout, tile.tile_n * element, banks=banks),  # type: ignore[arg-type]
    }
    return {name: np.full(len(plan.blocks), value, np.int64) for name, value in values.items()}
