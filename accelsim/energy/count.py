"""Which actions a simulated run did, and how often."""

from collections import Counter

from accelsim.config.hardware import EnergyTable
from accelsim.energy.account import EnergyItem, dynamic_energy, static_energy
from accelsim.machine.gemm.actions import kernel_actions
from accelsim.machine.simulate import NetworkRun


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
        gpu.update(kernel_actions(kernel.kernel, kernel.counts, kernel.run))
    items = dynamic_energy("gpu", gpu, gpu_table) + static_energy("gpu", gpu_table, run.latency_ps)
    if unit_table is not None:
        unit: Counter[str] = Counter()
        for part in run.units:
            unit.update(part.run.actions)
            unit["dram_byte"] += part.link_bytes
        items += dynamic_energy("attention_unit", unit, unit_table)
        items += static_energy("attention_unit", unit_table, run.latency_ps)
    moved = sum(part.link_bytes for part in run.units)
    if moved:
        items.append(EnergyItem("link", "link_byte", moved, moved * link_pj_per_byte * 1e-6, link_source))
    return items
