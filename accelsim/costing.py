"""Time and energy of what a machine executes: the last two steps of a run, for whoever takes them more than once."""

from dataclasses import dataclass

from accelsim.config.hardware import EnergyTable, Library
from accelsim.config.loader import load_energy, load_library
from accelsim.config.scheme import RunConfig
from accelsim.config.trace import Sampling
from accelsim.energy.account import EnergyItem
from accelsim.energy.count import run_energy
from accelsim.execution import Execution
from accelsim.machine.simulate import NetworkRun, simulate
from accelsim.mapping.network import NetworkPlan


@dataclass(frozen=True)
class Costing:
    """A config with the tables that its machine names."""

    config: RunConfig
    library: Library
    sparse_library: Library | None
    gpu_table: EnergyTable
    unit_table: EnergyTable | None

    @classmethod
    def of(cls, config: RunConfig) -> "Costing":
        """Read the tables.

        Raises
        ------
        ConfigError
            When one cannot be read.
        """
        gpu, unit = config.hardware.gpu, config.hardware.attention_unit
        return cls(
            config,
            load_library(gpu.library),
            None if gpu.sparse_library is None else load_library(gpu.sparse_library),
            load_energy(gpu.energy),
            None if unit is None else load_energy(unit.energy),
        )

    def simulate(self, plan: NetworkPlan, execution: Execution, sampling: Sampling | None = None) -> NetworkRun:
        """Time of a planned and counted network, recorded for a timeline if `sampling` is given."""
        return simulate(plan, execution, self.config, self.gpu_table, sampling)

    def energy(self, run: NetworkRun) -> list[EnergyItem]:
        """Energy of a run by component and action."""
        link = self.config.hardware.link
        return run_energy(
            run,
            self.gpu_table,
            self.unit_table,
            link.energy_per_byte if link else 0.0,
            link.sources.get("energy_per_byte", "default") if link else "",
        )

    def total_uj(self, run: NetworkRun) -> float:
        """All energy of a run."""
        return sum(item.energy_uj for item in self.energy(run))
