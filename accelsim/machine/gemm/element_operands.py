"""Operand tiles of a product with element-wise weights.

A column's elements are taken to lie evenly along k, so chunk j of a thread block of c chunks wants the j-th of c slices
of A's rows. Elements, their rows and the pointers to columns are the tiles of B. Where an overlay adds to outputs, each
thread block has tiles of B of its own, which hold the outputs that it reads; the elements lie in those of the first row
panel, which all others find in L2.
"""

import numpy as np

from accelsim.machine.gemm.operands import Operand, distinct, panels, wanted_rows
from accelsim.machine.gemm.program import IntArray
from accelsim.mapping.counts import BlockCounts
from accelsim.mapping.plan import GemmPlan
from accelsim.pruning.packed.elements import ElementWeights


def element_operands(
    plan: GemmPlan, weights: ElementWeights, counts: BlockCounts, element_bytes: int
) -> tuple[Operand, Operand]:
    """Tiles of A and of B.

    Parameters
    ----------
    plan : GemmPlan
    weights : ElementWeights
        Its own.
    counts : BlockCounts
        Their k-steps and bytes.
    element_bytes : int
        Of an operand's element.
    """
    chunks: IntArray = -(-counts.steps // plan.steps_per_chunk)
    most = max(1, int(chunks.max(initial=1)))
    return _a(plan, weights, chunks, most, element_bytes), _b(plan, counts, chunks, most)


def _a(plan: GemmPlan, weights: ElementWeights, chunks: IntArray, most: int, element_bytes: int) -> Operand:
    """Row panels by slices of k, as many as the longest thread block has chunks."""
    panel, widths = panels(plan.blocks.m0, plan.blocks.m1)
    edges = np.arange(most + 1, dtype=np.int64) * plan.gemm.k // most
    union = np.unique(weights.row_index).astype(np.int64)
    wanted = wanted_rows(union, edges, plan.activations == "row_major", element_bytes)
    keys, index = distinct([chunks])
    first, count, begin, at = [], [], [], 0
    for (own,) in keys:
        chunk = np.arange(own, dtype=np.int64)
        first.append(chunk * most // max(1, own))
        count.append(-(-(chunk + 1) * most // max(1, own)) - first[-1])
        begin.append(at)
        at += own
    nothing = [np.empty(0, np.int64)]
    tile_bytes = (widths[:, None] * wanted[None, :] * element_bytes).reshape(-1)
    return Operand(
        base=(plan.blocks.batch * len(widths) + panel) * most,
        span=np.asarray(begin, np.int64)[index] if begin else np.empty(0, np.int64),
        first=np.concatenate(nothing + first),
        count=np.concatenate(nothing + count),
        tile_bytes=np.tile(tile_bytes, plan.gemm.batch),
    )


def _b(plan: GemmPlan, counts: BlockCounts, chunks: IntArray, most: int) -> Operand:
    """Column panels by chunks; of an overlay thread blocks by chunks."""
    blocks = plan.blocks
    packed = counts.load_b_bytes + counts.index_bytes
    owner, _ = panels(blocks.n0, blocks.n1)
    if plan.onto:
        owner = np.arange(len(blocks), dtype=np.int64)
        packed = counts.load_c_bytes + np.where((blocks.m0 == 0) & (blocks.batch == 0), packed, 0)
    _, which = np.unique(owner, return_index=True)
    own = np.maximum(chunks[which], 1)[:, None]
    there = np.arange(most)[None, :] < own
    tile_bytes = np.where(there, -(-packed[which][:, None] // own), 0)
    return Operand(
        base=owner * most,
        span=np.zeros(len(blocks), np.int64),
        first=np.arange(most, dtype=np.int64),
        count=np.ones(most, np.int64),
        tile_bytes=tile_bytes.reshape(-1).astype(np.int64),
    )
