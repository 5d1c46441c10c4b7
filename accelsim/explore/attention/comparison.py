"""What a comparison of attention accelerators found: a record for each unit and length, as tables and a document."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import pandas as pd

from accelsim.explore.attention.thresholds import Threshold
from accelsim.machine.attention.run import AttentionRun
from accelsim.results.schema import SCHEMA_VERSION
from accelsim.results.store import json_text, write_folder
from accelsim.results.tables import csv_text, plain


@dataclass(frozen=True)
class UnitResult:
    """One unit on the operands of one length. Shares are means over layers and heads; energies and bytes are sums."""

    unit: str
    title: str
    algorithm: str
    threshold: Threshold
    sequence: int
    heads: int
    head_dim: int
    layers: int
    keep_ratio: float
    """Share kept as the algorithm counts it: of pairs of query and key, if its page says nothing else."""
    kept_pairs: float
    """Share of pairs of query and key that are multiplied in full precision."""
    kept_tokens: float
    kept_heads: float
    kept_blocks: float | None
    """Of 2 x 2 blocks; None where there are none."""
    saturated: int
    clock_hz: float
    multipliers: int
    multiplier_bits: int
    """Single-bit products a cycle: the sum of multipliers, each by the product of its inputs' widths."""
    on_chip_bytes: int | None
    """Capacity of all buffers; None on a GPU."""
    main_multipliers: int
    """Of the widest kind alone, without narrower ones that decide."""
    latency_us: float
    cycles: int
    closed_form_cycles: float
    macs: int
    """Of dense attention: two products."""
    effectual_macs: int
    gops: float
    """Dense-equivalent: operations of dense attention over the time taken, in 1e9 a second."""
    effectual_gops: float
    normalised_gops: float
    """Dense-equivalent, at 128 multipliers and 1 GHz."""
    normalised_gops_main: float
    """Likewise, counting the widest multipliers alone, as publications tend to."""
    normalised_gops_bits: float
    """Likewise, at as many single-bit products a cycle as 128 multipliers of 16 x 16 bits do."""
    utilization: float
    """Effectual MACs over multipliers x cycles, cycles by the unit's closed form."""
    simulated_utilization: float
    """The same by simulated cycles."""
    gops_per_mm2: float | None
    dram_bandwidth: float
    """Bytes a second."""
    energy_uj: float
    core_energy_uj: float
    """Without DRAM."""
    gop_per_j: float | None
    core_gop_per_j: float | None
    dram_bytes: int
    spilled_bytes: int
    energy_by_action: dict[str, float]
    """Microjoules."""
    decision_cycles: float | None
    """By which deciding makes the run longer; None, as the next three, where it is not told apart (all but HDP)."""
    saved_cycles: float | None
    """By which the run is shorter than dense attention on the same unit, the decision paid for."""
    decision_energy_uj: float | None
    saved_energy_uj: float | None
    """Before the decision is paid for."""
    default_energies: list[str]
    """Actions whose energy is a default."""
    max_rel_error: float
    """Largest error of the output over the largest magnitude of exact dense attention."""
    rms_rel_error: float
    published_gops: float | None
    """What publications give for the unit at 128 multipliers and 1 GHz."""
    published_source: str | None
    cited_source: str | None
    """Where the keep ratio that thresholds are solved for comes from."""
    remarks: tuple[str, ...]
    runs: tuple[AttentionRun, ...]
    """One for each layer; none on a GPU."""

    def record(self) -> dict[str, object]:
        """Plain figures by name, without stages."""
        left_out = ("runs", "remarks", "threshold", "energy_by_action", "default_energies")
        plain_ones = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in left_out}
        return plain_ones | {
            "threshold": self.threshold.origin,
            "threshold_path": self.threshold.path,
            "threshold_value": self.threshold.value,
            "threshold_target": self.threshold.target,
        }


@dataclass(frozen=True)
class AttentionComparison:
    """Units in the order asked for, at each length."""

    units: tuple[UnitResult, ...]
    operands: str
    pruning: bool
    seed: int

    def at(self, unit: str, sequence: int) -> UnitResult:
        """One unit at one length.

        Raises
        ------
        KeyError
            When it was not compared.
        """
        for found in self.units:
            if (found.unit, found.sequence) == (unit, sequence):
                return found
        raise KeyError(f"{unit} at sequence {sequence} was not compared")

    def to_frame(self) -> pd.DataFrame:
        """A row for each unit and length."""
        return pd.DataFrame([found.record() for found in self.units])

    def account_frame(self) -> pd.DataFrame:
        """Where time went: unit, sequence, cause, share_percent of the cores' time; shares of a unit add up to 100."""
        rows = []
        for found in self.units:
            total: dict[str, int] = {}
            for run in found.runs:
                for cause, time in run.account_ps.items():
                    total[cause] = total.get(cause, 0) + time
            whole = sum(total.values())
            rows += [(found.unit, found.sequence, cause, 100 * time / whole) for cause, time in total.items() if whole]
        return pd.DataFrame(rows, columns=["unit", "sequence", "cause", "share_percent"])

    def energy_frame(self) -> pd.DataFrame:
        """Energy by action: unit, sequence, action, energy_uj, and whether the energy of one is a default."""
        rows = [
            (found.unit, found.sequence, action, energy, action in found.default_energies)
            for found in self.units
            for action, energy in found.energy_by_action.items()
        ]
        return pd.DataFrame(rows, columns=["unit", "sequence", "action", "energy_uj", "default"])

    def stages_frame(self) -> pd.DataFrame:
        """What each core did when, in the first layer: unit, sequence, core, head, stage, begin_us, end_us."""
        parts = []
        for found in self.units:
            for run in found.runs[:1]:
                stages = [run.stages[kind] for kind in run.stage_kind]
                times = {"begin_us": run.stage_begin_ps * 1e-6, "end_us": run.stage_end_ps * 1e-6}
                where = {"unit": found.unit, "sequence": found.sequence, "core": run.stage_core, "head": run.stage_head}
                parts.append(pd.DataFrame({**where, "stage": stages, **times}))
        columns = ["unit", "sequence", "core", "head", "stage", "begin_us", "end_us"]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)

    def notes(self) -> list[str]:
        """What a reader of the table should know, one sentence a line."""
        notes = [f"Operands: {self.operands}."]
        first = self.units[0]
        if first.layers > 1:
            notes.append(f"{first.layers} layers, one after another; time and energy are of all of them.")
        if not self.pruning:
            notes.append("Nothing is pruned; whatever decides still decides.")
        solved: dict[str, None] = {}
        for found in self.units:
            if found.threshold.origin == "solved":
                cited = found.cited_source or "no source"
                solved[f"{found.unit}: solved to keep {found.threshold.target:g} ({cited})"] = None
            elif found.threshold.origin == "own" and found.threshold.path is not None:
                solved[f"{found.unit}: own threshold, {found.threshold.path} = {found.threshold.value:g}"] = None
        notes += [f"Threshold of {text}." for text in solved]
        for found in self.units:
            if found.saturated:
                notes.append(
                    f"{found.unit} at {found.sequence}: {found.saturated} numbers of Q, K and V saturated its format."
                )
        notes += [text for found in self.units if (text := _decided(found))]
        notes += dict.fromkeys(f"{found.unit}: {remark}" for found in self.units for remark in found.remarks)
        defaults = sorted({action for found in self.units for action in found.default_energies})
        if defaults:
            notes.append(f"Energies that are defaults, not measurements or published figures: {', '.join(defaults)}.")
        return notes

    def document(self) -> dict[str, object]:
        """As a JSON document (`accelsim.results.schema.ATTENTION_SCHEMA`)."""
        return {
            "schema_version": SCHEMA_VERSION,
            "pruning": self.pruning,
            "operands": self.operands,
            "seed": self.seed,
            "units": [
                {name: plain(value) for name, value in found.record().items()}
                | {"energy_by_action_uj": dict(found.energy_by_action)}
                for found in self.units
            ],
            "notes": self.notes(),
        }

    def to_json(self) -> str:
        """`document` as text."""
        return json_text(self.document())

    def save(self, folder: str | Path, figures: Mapping[str, bytes] | None = None) -> Path:
        """Write attention.json, tables as CSV and figures by file name, whole or not at all.

        Raises
        ------
        ResultError
            When the folder holds something else or cannot be written.
        """
        files = {
            "attention.json": self.to_json().encode(),
            "units.csv": csv_text(self.to_frame()).encode(),
            "account.csv": csv_text(self.account_frame()).encode(),
            "energy.csv": csv_text(self.energy_frame()).encode(),
            "stages.csv": csv_text(self.stages_frame()).encode(),
        }
        write_folder(Path(folder), files | dict(figures or {}))
        return Path(folder)


def _decided(found: UnitResult) -> str | None:
    """What deciding costs a unit and what pruning saves it, in words."""
    cost, saved = found.decision_energy_uj, found.saved_energy_uj
    if found.decision_cycles is None or found.saved_cycles is None or cost is None or saved is None:
        return None
    shorter = found.saved_cycles / (found.cycles + found.saved_cycles)
    pace = f"{shorter:.0%} shorter" if shorter >= 0 else f"{-shorter:.0%} longer"
    alone = found.decision_cycles / found.cycles
    return (
        f"{found.unit} at {found.sequence}: {pace} than dense attention on the same unit, {alone:.0%} of its time for "
        f"deciding alone; deciding costs {cost:.3g} uJ and pruning saves {saved:.3g} uJ."
    )
