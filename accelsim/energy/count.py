"""Which actions a simulated run did, and how often."""

from collections import Counter

import numpy as np

from accelsim.config.hardware import EnergyTable
from accelsim.energy.account import EnergyItem, dynamic_energy, static_energy
from accelsim.machine.simulate import KernelRun, NetworkRun
from accelsim.mapping.plan import GemmPlan


def kernel_actions(kernel: KernelRun) -> Counter[str]:
    """Actions of one kernel on the GEMM device.

    Multipliers are charged for whole tiles, since the padding of a ragged edge runs through them too; memories for the
    bytes that move.
    """
    run = kernel.run
    actions: Counter[str] = Counter(
        l2_byte=run.l2_read_bytes + run.l2_write_bytes, dram_byte=run.dram_read_bytes + run.dram_write_bytes
    )
    if isinstance(kernel.kernel, GemmPlan):
        plan, counts = kernel.kernel, kernel.counts
        assert counts is not None
        tile = plan.tile
        steps = int(counts.steps.sum())
        actions[f"{tile.unit.split('_')[0]}_mac_{plan.gemm.dtype}"] += steps * tile.tile_m * tile.tile_n * tile.tile_k
        actions["shared_byte"] += int(np.dot(counts.steps, counts.shared_bytes_per_step))
        if plan.split_k > 1:
            actions["cuda_flop"] += plan.split_k * plan.gemm.batch * plan.gemm.m * plan.gemm.n
    else:
        actions["cuda_flop"] += kernel.kernel.elements * kernel.kernel.flops_per_element
    return actions


def run_energy(
    run: NetworkRun, gpu_table: EnergyTable, unit_table: EnergyTable | None, link_pj_per_byte: float, link_source: str
) -> list[EnergyItem]:
    """Energy of a run by component and action.

    Parameters
    ----------
    run : NetworkRun
        What was simulated.
    gpu_table, unit_table : EnergyTable
        Energy per action of the GEMM device and of the attention unit, if there is one; a unit leaks whether or not a
        scheme uses it.
    link_pj_per_byte : float
        Energy of a byte over the link.
    link_source : str
        Where that figure comes from.
    """
    gpu: Counter[str] = Counter()
    for kernel in run.kernels:
        gpu.update(kernel_actions(kernel))
    items = dynamic_energy("gpu", gpu, gpu_table) + static_energy("gpu", gpu_table, run.latency_ps)
    if unit_table is not None:
        unit: Counter[str] = Counter()
        for part in run.units:
            unit.update(part.run.actions)
        items += dynamic_energy("attention_unit", unit, unit_table)
        items += static_energy("attention_unit", unit_table, run.latency_ps)
    moved = sum(part.link_bytes for part in run.units)
    if moved:
        items.append(EnergyItem("link", "link_byte", moved, moved * link_pj_per_byte * 1e-6, link_source))
    return items
