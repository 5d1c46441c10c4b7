"""Energy of a run: counts of actions times energy per action, plus power that always flows times time."""

from collections.abc import Mapping
from dataclasses import dataclass

from accelsim.config.actions import STATIC
from accelsim.config.hardware import EnergyTable
from accelsim.errors import ConfigError

PICO = 1e-6
"""Microjoules in a picojoule, and microjoules that a watt spends in a picosecond."""


@dataclass(frozen=True)
class EnergyItem:
    """Energy of one kind of action in one component."""

    component: str
    action: str
    count: float
    """Actions; microseconds for power that always flows."""
    energy_uj: float
    source: str


def dynamic_energy(unit: str, counts: Mapping[str, int], table: EnergyTable) -> list[EnergyItem]:
    """Energy of counted actions.

    Parameters
    ----------
    unit : str
        Prefix of the components (gpu, attention_unit).
    counts : mapping of str to int
        Actions by name.
    table : EnergyTable
        Energy of one action of each kind.

    Raises
    ------
    ConfigError
        When the table lacks an action that the run counted.
    """
    items = []
    for action, count in counts.items():
        if count:
            energy = count * table.energy_of(action) * PICO
            source = table.sources.get(f"actions.{action}", table.sources.get("actions", "default"))
            items.append(EnergyItem(unit, action, count, energy, source))
    return items


def static_energy(unit: str, table: EnergyTable, duration_ps: int) -> list[EnergyItem]:
    """Energy of leakage and idle power over a time."""
    items = []
    for name, power in table.static_power.items():
        if name not in STATIC:
            raise ConfigError(f"energy table {table.name}: unknown static power {name!r}; known: {', '.join(STATIC)}")
        source = table.sources.get(f"static_power.{name}", table.sources.get("static_power", "default"))
        items.append(EnergyItem(unit, name, duration_ps / 1e6, power * duration_ps * PICO, source))
    return items
