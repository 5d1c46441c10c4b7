"""Which actions a kernel on the GEMM device does, and how often: what its energy, and so its power, consists of."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from accelsim.config.hardware import EnergyTable
from accelsim.machine.gemm.program import DeviceRun
from accelsim.mapping.counts import BlockCounts
from accelsim.mapping.plan import GemmPlan
from accelsim.mapping.tiles import ACCUMULATOR_BYTES
from accelsim.model.graph import Elementwise


def kernel_actions(kernel: GemmPlan | Elementwise, counts: BlockCounts | None, run: DeviceRun) -> Counter[str]:
    """Actions of one kernel, by the names of `accelsim.config.actions`.

    Multipliers are charged for whole tiles, since the padding of a ragged edge runs through them too, and for every
    slot of packed weights; memories for the bytes that move.
    """
    actions: Counter[str] = Counter(
        l2_byte=run.l2_read_bytes + run.l2_write_bytes, dram_byte=run.dram_read_bytes + run.dram_write_bytes
    )
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


def dynamic_joule(actions: Mapping[str, int], table: EnergyTable) -> float:
    """Joules of actions.

    Raises
    ------
    ConfigError
        When the table lacks an action that is counted.
    """
    return 1e-12 * sum(count * table.energy_of(action) for action, count in actions.items() if count)
