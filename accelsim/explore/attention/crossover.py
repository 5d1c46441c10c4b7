"""From where GPU and HDP unit together beat the GPU alone: sequence, share of blocks pruned, bandwidth of the link.

A network is run end to end on both: on the GPU alone with fused attention (and unfused, for who has no fused kernel),
and with attention on the unit, its operands going over the link and back. Masks have the share of blocks asked for and
are drawn from the seed; no values are computed.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from accelsim.config.hardware import Link, System
from accelsim.config.loader import load_config, load_energy, load_library
from accelsim.config.scheme import Engine, RunConfig
from accelsim.errors import ConfigError, MappingError
from accelsim.execution import execute
from accelsim.machine.simulate import NetworkRun, play, simulate
from accelsim.mapping.network import NetworkPlan, plan_network
from accelsim.model.build import build_network
from accelsim.results.schema import SCHEMA_VERSION
from accelsim.results.store import json_text

SEQUENCES = (128, 512, 2048, 4096)
BLOCK_RATIOS = (0.5, 0.7, 0.9)
LOW, HIGH = 1e9, 1e14
"""Bytes a second between which a link is looked for; the upper end stands for a link that costs its latency alone."""
_RESOLUTION = 1.02


@dataclass(frozen=True)
class Crossover:
    """One sequence and share of pruned blocks."""

    sequence: int
    block_ratio: float
    fused_us: float
    """GPU alone, fused attention."""
    unfused_us: float
    """GPU alone, attention as two products and a softmax."""
    unit_us: float
    """GPU and unit over the system's own link."""
    unlimited_us: float
    """GPU and unit over a link without limit."""
    needed_bandwidth: float | None
    """Bytes a second from which GPU and unit beat the GPU with fused attention; None where no link helps."""
    attention_us: float
    """Of the unit's run: from the last operand's being ready to the output's being back."""
    fused_attention_us: float

    @property
    def beats(self) -> bool:
        """Whether the system as it is beats its GPU alone."""
        return self.unit_us < self.fused_us


@dataclass(frozen=True)
class Crossovers:
    """A table of crossovers, sequences first."""

    hardware: str
    workload: str
    link_bandwidth: float
    rows: tuple[Crossover, ...]
    engine: str
    seed: int

    def to_frame(self) -> pd.DataFrame:
        """A row for each sequence and share of blocks."""
        return pd.DataFrame([{**asdict(row), "beats": row.beats} for row in self.rows])

    def document(self) -> dict[str, object]:
        """As a JSON document."""
        return {
            "schema_version": SCHEMA_VERSION,
            "hardware": self.hardware,
            "workload": self.workload,
            "link_bandwidth": self.link_bandwidth,
            "engine": self.engine,
            "seed": self.seed,
            "rows": [{**asdict(row), "beats": row.beats} for row in self.rows],
        }

    def to_json(self) -> str:
        """`document` as text."""
        return json_text(self.document())


def hdp_crossover(
    hardware: str | Path | System = "a100_hdp",
    workload: str | Path = "bert_base_layer",
    *,
    sequences: Sequence[int] = SEQUENCES,
    block_ratios: Sequence[float] = BLOCK_RATIOS,
    head_ratio: float = 0.0,
    engine: Engine = "estimate",
    sets: Sequence[str] = (),
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Crossovers:
    """Where a GPU with an HDP unit beats the GPU alone, end to end.

    Parameters
    ----------
    hardware : str, path or System
        A system with an attention unit.
    workload : str or path
        An encoder or an attention; its ``sequence`` is set.
    sequences, block_ratios : sequences
        What is looked at.
    head_ratio : float
        Share of heads pruned beside.
    engine : str
        Of the GPU's kernels.
    sets : sequence of str
        Further settings, as for `accelsim.run`.
    seed : int
        Of masks.
    progress : callable, optional
        Called with the number of rows so far and in all.

    Raises
    ------
    UserError
        For a machine without an attention unit, ratios out of range, or a workload without attention.
    """
    if not sequences or not block_ratios:
        raise ConfigError("need at least one sequence and one share of blocks")
    rows: list[Crossover] = []
    total = len(sequences) * len(block_ratios)
    for sequence in sequences:
        own = [*sets, f"workload.sequence={sequence}"]
        alone = [
            _end_to_end(hardware, workload, "dense", engine, seed, [*own, f"mapping.attention={form}"])[2]
            for form in ("fused", "unfused")
        ]
        for ratio in block_ratios:
            ratios = [f"hdp.block_ratio={ratio}", f"hdp.head_ratio={head_ratio}"]
            both = _end_to_end(hardware, workload, "hdp", engine, seed, [*own, *ratios])
            rows.append(_row(sequence, ratio, alone[0], alone[1], *both))
            if progress is not None:
                progress(len(rows), total)
    config = both[0]
    assert config.hardware.link is not None
    return Crossovers(
        config.hardware.name, config.workload.name, config.hardware.link.bandwidth, tuple(rows), engine, seed
    )


def _end_to_end(
    hardware: str | Path | System, workload: str | Path, scheme: str, engine: Engine, seed: int, sets: Sequence[str]
) -> tuple[RunConfig, NetworkPlan, NetworkRun]:
    """Simulate a network without values, and keep its plan for other links."""
    config = load_config(hardware, workload, scheme=scheme, sets=sets, engine=engine, values=False, seed=seed)
    if config.hardware.attention_unit is None:
        raise MappingError(f"{config.hardware.name} has no attention unit; take a system with one (a100_hdp, edge_hdp)")
    network = build_network(config.workload)
    plan = plan_network(network, config, load_library(config.hardware.gpu.library), None)
    run = simulate(plan, execute(plan, config, None), config, load_energy(config.hardware.gpu.energy))
    return config, plan, run


def _row(
    sequence: int, ratio: float, fused: NetworkRun, unfused: NetworkRun, config: RunConfig, plan: NetworkPlan,
    run: NetworkRun,
) -> Crossover:  # fmt: skip
    def over(bandwidth: float) -> int:
        link = config.hardware.link
        assert isinstance(link, Link)
        system = config.hardware.model_copy(update={"link": link.model_copy(update={"bandwidth": bandwidth})})
        return play(plan, run.kernels, run.units, system).latency_ps

    return Crossover(
        sequence=sequence,
        block_ratio=ratio,
        fused_us=fused.latency_ps * 1e-6,
        unfused_us=unfused.latency_ps * 1e-6,
        unit_us=run.latency_ps * 1e-6,
        unlimited_us=over(HIGH) * 1e-6,
        needed_bandwidth=_needed(over, fused.latency_ps),
        attention_us=(run.attention_ps or 0) * 1e-6,
        fused_attention_us=(fused.attention_ps or 0) * 1e-6,
    )


def _needed(over: Callable[[float], int], limit_ps: int) -> float | None:
    """Least bandwidth at which a latency stays below a limit; a faster link is never slower."""
    if over(HIGH) >= limit_ps:
        return None
    low, high = LOW, HIGH
    if over(low) < limit_ps:
        return low
    while high / low > _RESOLUTION:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if over(middle) < limit_ps else (middle, high)
    return high
