"""Which actions a kernel on the GEMM device does, and how often: what its energy, and so its power, consists of."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from accelsim.config.hardware import EnergyTable
from accelsim.machine.gemm.program import DeviceRun
from accelsim.mapping.counts import BlockCounts
from accelsim.mapping.fused_attention import FusedAttentionPlan
from accelsim.mapping.plan import GemmPlan
from accelsim.mapping.tiles import ACCUMULATOR_BYTES
from accelsim.model.attention import SOFTMAX_FLOPS
from accelsim.model.graph import Elementwise


def kernel_actions(
    kernel: GemmPlan | FusedAttentionPlan | Elementwise, counts: BlockCounts | None, run: DeviceRun
) -> Counter[str]:
    """Actions of one kernel, by the names of `accelsim.config.actions`.

    Multipliers are charged for whole tiles, since the padding of a ragged edge runs through them too, and for every
    slot of packed weights; memories for the bytes that move.
    """
    actions: Counter[str] = Counter(
        l2_byte=run.l2_read_bytes + run.l2_write_bytes, dram_byte=run.dram_read_bytes + run.dram_write_bytes
    )
    if isinstance(kernel, FusedAttentionPlan):
        return fused_actions(kernel, actions["l2_byte"], actions["dram_byte"])
    if isinstance(kernel, Elementwise):
        actions["cuda_flop"] += kernel.elements * kernel.flops_per_element
        return actions
    assert counts is not None
    unit = kernel.tile.unit.removesuffix("_core")
    actions[f"{unit}_mac_{kernel.gemm.dtype}"] += int(np.dot(counts.steps, counts.step_macs))
    actions["shared_byte"] += int(np.dot(counts.steps, counts.shared_bytes_per_step))
    if kernel.split_k > 1:
        actions["cuda_flop"] += int(counts.output_bytes.sum()) // ACCUMULATOR_BYTES
    return actions


def fused_actions(plan: FusedAttentionPlan, l2_bytes: int, dram_bytes: int) -> Counter[str]:
    """Actions of a fused attention kernel, given the bytes that memories moved.

    Tensor cores are charged for whole tiles, padding and what lies above a causal diagonal within them included.
    """
    actions: Counter[str] = Counter(l2_byte=l2_bytes, dram_byte=dram_bytes)
    actions[f"tensor_mac_{plan.dtype}"] = plan.macs
    actions["shared_byte"] = plan.shared_bytes
    actions["cuda_flop"] = SOFTMAX_FLOPS * plan.scores
    return actions


def dynamic_joule(actions: Mapping[str, int], table: EnergyTable) -> float:
    """Joules of actions.

    Raises
    ------
    ConfigError
        When the table lacks an action that is counted.
    """
    return 1e-12 * sum(count * table.energy_of(action) for action, count in actions.items() if count)
