"""Energy of an action at another process node.

A. Stillmaker and B. Baas, "Scaling equations for the accurate prediction of CMOS device performance from 180 nm to
7 nm", Integration 58 (2017) 74-81: the energy of a switching gate at a node is a polynomial of its supply voltage,
fitted to SPICE runs with predictive models. Energies at two nodes go as those polynomials, here from 130 nm on. It
holds for logic and memory on the chip; energy of DRAM and links, and leakage, follow other laws and stay as they are.
"""

import math
from dataclasses import dataclass

from accelsim.config.hardware import EnergyTable
from accelsim.errors import UserError

OFF_CHIP = ("dram_byte", "link_byte")
"""Actions that the rule does not reach."""

CITATION = "Stillmaker and Baas, Integration 58, 2017"


@dataclass(frozen=True)
class Node:
    """A process node: coefficients of the energy of a gate, and its usual supply."""

    square: float
    linear: float
    constant: float
    volt: float
    """Nominal."""
    lowest: float
    """Least supply at which it is taken to hold: energy must not rise as the supply falls."""


def _node(square: float, linear: float, constant: float, volt: float) -> Node:
    return Node(square, linear, constant, volt, max(0.5, -linear / (2 * square)))


NODES: dict[float, Node] = {
    130: _node(7.171, -6.709, 2.904, 1.3),
    90: _node(4.762, -4.781, 2.092, 1.2),
    65: _node(3.755, -4.398, 1.975, 1.1),
    45: _node(1.018, -0.3107, 0.1539, 1.1),
    32: _node(0.8367, -0.4341, 0.1701, 0.97),
    20: _node(0.373, -0.1582, 0.04104, 0.9),
    16: _node(0.2958, -0.1241, 0.03024, 0.86),
    14: _node(0.2363, -0.09675, 0.02239, 0.86),
    10: _node(0.2068, -0.09311, 0.02375, 0.83),
    7: _node(0.1776, -0.09097, 0.02447, 0.8),
}
"""By nanometres, high-performance models where the paper has two. Coefficients of its table 5 [S: read in two public
programs that hold it; those of 65 and 32 nm in the authors' corrigendum too]. Voltages from 45 nm on, but for 20 nm, of
its table 2 [S, likewise]; the others are the usual ones of the node [R]."""


def energy_factor(
    from_nm: float, to_nm: float, *, from_volt: float | None = None, to_volt: float | None = None
) -> float:
    """What an energy at one node is multiplied by to give that at another.

    Parameters
    ----------
    from_nm, to_nm : float
        Nodes in nanometres. Between two nodes of the rule, energies are interpolated (their logarithm over that of the
        node), each at its own voltage.
    from_volt, to_volt : float, optional
        Supplies; left out, those usual at the nodes.

    Returns
    -------
    float

    Raises
    ------
    UserError
        For a node outside those of the rule, or a voltage at which it does not hold.

    Examples
    --------
    The authors' own example, in their corrigendum, from 65 nm at 1.3 V to 32 nm at 0.9 V:

    >>> round(energy_factor(65, 32, from_volt=1.3, to_volt=0.9), 3)
    0.176
    """
    return _gate_energy(to_nm, to_volt) / _gate_energy(from_nm, from_volt)


def _gate_energy(nm: float, volt: float | None) -> float:
    """Energy of a switching gate, in units that all nodes share."""
    if nm in NODES:
        return _polynomial(nm, volt)
    finer, coarser = [node for node in NODES if node < nm], [node for node in NODES if node > nm]
    if not finer or not coarser:
        known = ", ".join(f"{node:g}" for node in NODES)
        raise UserError(f"no rule for energies at {nm:g} nm; the rule has {known} nm, and nodes between them")
    low, high = max(finer), min(coarser)
    share = math.log(nm / low) / math.log(high / low)
    energy: float = _polynomial(low, volt) ** (1 - share) * _polynomial(high, volt) ** share
    return energy


def _polynomial(nm: float, volt: float | None) -> float:
    node = NODES[nm]
    supply = node.volt if volt is None else volt
    most = 1.5 * node.volt
    if not node.lowest <= supply <= most:
        raise UserError(
            f"{supply:g} V is outside what the rule for {nm:g} nm covers; allowed: {node.lowest:.2f} to {most:.2f} V"
        )
    energy: float = node.square * supply**2 + node.linear * supply + node.constant
    return energy


def scaled_table(
    table: EnergyTable,
    to_nm: float,
    *,
    name: str | None = None,
    from_volt: float | None = None,
    to_volt: float | None = None,
) -> EnergyTable:
    """A table of energies as it would be at another node.

    Parameters
    ----------
    table : EnergyTable
        Whose `process_node` its figures belong to.
    to_nm : float
        The other node in nanometres.
    name : str, optional
        Of the result; left out, that of the table with the node behind it.
    from_volt, to_volt : float, optional
        As for `energy_factor`.

    Returns
    -------
    EnergyTable
        On-chip actions to four digits, each source telling where it was scaled from; `OFF_CHIP` and static power as
        they were.

    Raises
    ------
    UserError
        As `energy_factor`.
    """
    factor = energy_factor(table.process_node, to_nm, from_volt=from_volt, to_volt=to_volt)
    step = f"{table.process_node:g} nm to {to_nm:g} nm by {CITATION} [D]"
    actions, sources = {}, {"process_node": f"scaled from {table.name}"}
    for action, energy in table.actions.items():
        source = table.sources.get(f"actions.{action}", "default")
        scales = action not in OFF_CHIP
        actions[action] = float(f"{energy * factor:.4g}") if scales else energy
        sources[f"actions.{action}"] = f"{source}; from {step}" if scales else source
    for part in table.static_power:
        source = table.sources.get(f"static_power.{part}", "").removeprefix("default: ")
        sources[f"static_power.{part}"] = f"default: as at {table.process_node:g} nm ({source or 'default'})"
    return table.model_copy(
        update={
            "name": name or f"{table.name}_{to_nm:g}nm",
            "description": f"{table.name} at {to_nm:g} nm",
            "process_node": float(to_nm),
            "actions": actions,
            "sources": sources,
            "meter": None,
        }
    )
