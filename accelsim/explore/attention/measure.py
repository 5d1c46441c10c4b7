"""One unit on given operands: values, time, energy, and the figures that comparisons are made of."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.config.attention_unit import AttentionUnit
from accelsim.config.hardware import EnergyTable
from accelsim.energy.account import PICO, EnergyItem, dynamic_energy, static_energy
from accelsim.errors import OperandError
from accelsim.explore.attention.comparison import UnitResult
from accelsim.explore.attention.operands import rms_rel_error
from accelsim.explore.attention.thresholds import Threshold
from accelsim.machine.attention.accelerator import Accelerator, Multipliers, Operands, Work
from accelsim.machine.attention.run import AttentionRun
from accelsim.tabulate import max_rel_error

MULTIPLIERS, BITS, HERTZ = 128, 256, 1e9
"""Budget to which throughput is normalised: 128 multipliers of 16 x 16 bits at 1 GHz."""


def measure(
    accelerator: Accelerator[Any],
    unit: AttentionUnit,
    layers: tuple[Operands, ...],
    exact: tuple[NDArray[np.float64], ...],
    table: EnergyTable,
    threshold: Threshold,
) -> UnitResult:
    """Run consecutive layers on a unit, one after another.

    Parameters
    ----------
    exact
        Output of each layer without pruning and rounding.
    table : EnergyTable
        The unit's energy per action.
    threshold : Threshold
        By what it decides; ``off`` runs it with nothing pruned.

    Raises
    ------
    MappingError, OperandError
        When the unit cannot take these operands.
    """
    try:
        works = accelerator.execute(unit, layers, pruning=threshold.origin != "off")
    except ValueError as error:  # formats refuse what they cannot hold
        raise OperandError(f"{unit.name}: {error}") from error
    runs = [accelerator.simulate(unit, work) for work in works]
    closed = sum(accelerator.closed_form_cycles(unit, work) for work in works)
    items = [item for run in runs for item in _energy(unit, run, table)]
    return UnitResult(
        unit=unit.name,
        title=accelerator.title,
        algorithm=unit.algorithm,
        threshold=threshold,
        **_shape(works),
        **_kept(works),
        **_speed(unit, accelerator.multipliers(unit), works, runs, closed),
        **_cost(items, works, runs),
        **_decision(accelerator, unit, works, table),
        max_rel_error=max(max_rel_error(work.output, wanted) for work, wanted in zip(works, exact, strict=True)),
        rms_rel_error=rms_rel_error([work.output for work in works], exact),
        published_gops=unit.published_gops,
        published_source=unit.sources.get("published_gops"),
        cited_source=unit.sources.get("keep_ratio"),
        remarks=tuple(accelerator.remarks(unit, works)),
        on_chip_bytes=accelerator.on_chip_bytes(unit),
        runs=tuple(runs),
    )


def _energy(unit: AttentionUnit, run: AttentionRun, table: EnergyTable) -> list[EnergyItem]:
    return dynamic_energy("attention_unit", run.actions, table) + static_energy("attention_unit", table, run.end_ps)


def _shape(works: tuple[Work, ...]) -> dict[str, Any]:
    first = works[0]
    return {"sequence": first.sequence, "heads": first.heads, "head_dim": first.head_dim, "layers": len(works)}


def _kept(works: tuple[Work, ...]) -> dict[str, Any]:
    """What is left, as means over layers and heads."""
    tokens = [work.kept_tokens / work.sequence for work in works]
    return {
        "keep_ratio": float(np.mean([work.keep_ratio for work in works])),
        "kept_pairs": float(np.mean([work.kept_pairs / work.sequence**2 for work in works])),
        "kept_tokens": float(np.mean(tokens)),
        "kept_heads": float(np.mean([work.head_kept.mean() for work in works])),
        "kept_blocks": _mean([getattr(work, "block_ratio", None) for work in works]),
        "saturated": sum(work.saturated for work in works),
    }


def _mean(pruned: list[float | None]) -> float | None:
    known = [share for share in pruned if share is not None]
    return 1 - float(np.mean(known)) if known else None


def _speed(
    unit: AttentionUnit,
    multipliers: tuple[Multipliers, ...],
    works: tuple[Work, ...],
    runs: list[AttentionRun],
    closed_cycles: float,
) -> dict[str, Any]:
    seconds = sum(run.end_ps for run in runs) * 1e-12
    count = sum(kind.count for kind in multipliers)
    bits = sum(kind.count * kind.bits for kind in multipliers)
    widest = max(kind.bits for kind in multipliers)
    main = sum(kind.count for kind in multipliers if kind.bits == widest)
    dense = sum(work.dense_macs for work in works)
    effectual = sum(work.effectual_macs for work in works)
    gops = 2e-9 * dense / seconds
    scale = HERTZ / unit.clock
    return {
        "clock_hz": float(unit.clock),
        "multipliers": count,
        "multiplier_bits": bits,
        "main_multipliers": main,
        "latency_us": seconds * 1e6,
        "cycles": round(seconds * unit.clock),
        "closed_form_cycles": closed_cycles,
        "macs": dense,
        "effectual_macs": effectual,
        "gops": gops,
        "effectual_gops": 2e-9 * effectual / seconds,
        "normalised_gops": gops * scale * MULTIPLIERS / count,
        "normalised_gops_main": gops * scale * MULTIPLIERS / main,
        "normalised_gops_bits": gops * scale * MULTIPLIERS * BITS / bits,
        "utilization": effectual / (count * closed_cycles),
        "simulated_utilization": effectual / (count * seconds * unit.clock),
        "gops_per_mm2": None if unit.area is None else gops / unit.area,
        "dram_bandwidth": float(unit.dram_bandwidth),
    }


def _cost(items: list[EnergyItem], works: tuple[Work, ...], runs: list[AttentionRun]) -> dict[str, Any]:
    energy = sum(item.energy_uj for item in items)
    dram = sum(item.energy_uj for item in items if item.action == "dram_byte")
    operations = 2e-9 * sum(work.dense_macs for work in works)
    by_action: dict[str, float] = {}
    for item in items:
        by_action[item.action] = by_action.get(item.action, 0.0) + item.energy_uj
    return {
        "energy_uj": energy,
        "core_energy_uj": energy - dram,
        "gop_per_j": operations / energy * 1e6 if energy else None,
        "core_gop_per_j": operations / (energy - dram) * 1e6 if energy > dram else None,
        "dram_bytes": sum(run.dram_bytes for run in runs),
        "spilled_bytes": sum(run.spilled_bytes for run in runs),
        "energy_by_action": by_action,
        "default_energies": sorted({item.action for item in items if item.source.startswith("default")}),
    }


def _decision(
    accelerator: Accelerator[Any], unit: AttentionUnit, works: tuple[Work, ...], table: EnergyTable
) -> dict[str, Any]:
    """What deciding costs and saves, over all layers."""
    told = [told for work in works if (told := accelerator.decision(unit, work)) is not None]
    if not told:
        return dict.fromkeys(("decision_cycles", "saved_cycles", "decision_energy_uj", "saved_energy_uj"))
    return {
        "decision_cycles": sum(one.decision_cycles for one in told),
        "saved_cycles": sum(one.saved_cycles for one in told),
        "decision_energy_uj": PICO * sum(one.decision_energy(table.actions) for one in told),
        "saved_energy_uj": PICO * sum(one.saved_energy(table.actions) for one in told),
    }
