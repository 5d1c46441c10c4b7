"""HDP: hybrid dynamic pruning of blocks and heads by integer scores (arXiv 2407.12893)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accelsim.config.hardware import HdpUnit
from accelsim.kernels.hdp import hdp_attention
from accelsim.machine.attention.accelerator import Accelerator, Knob, Multipliers, Operands, Work
from accelsim.machine.attention.hdp_pipeline import simulate_hdp
from accelsim.machine.attention.run import AttentionRun
from accelsim.machine.attention.work import HeadWork, hdp_work, head_costs


@dataclass(frozen=True)
class HdpWork(Work):
    """Heads with pruned blocks."""

    head_work: HeadWork
    block_ratio: float
    """Share of 2 x 2 blocks pruned, those of pruned heads among them."""


class Hdp(Accelerator[HdpUnit]):
    """Hybrid dynamic pruning."""

    algorithm = "hdp"
    title = "HDP, 2024"
    spec = HdpUnit
    knob = Knob("hdp.rho_b", -0.999, 0.999)

    def multipliers(self, unit: HdpUnit) -> tuple[Multipliers, ...]:
        elements, width = unit.cores * unit.pe_rows * unit.pe_columns, unit.hdp.integer_bits + unit.hdp.fraction_bits
        return (
            Multipliers("integer_array", elements, unit.hdp.integer_bits**2),
            Multipliers("main_array", elements, width * 16),
        )

    def on_chip_bytes(self, unit: HdpUnit) -> int:
        return int(unit.cores * unit.buffer)

    def execute(self, unit: HdpUnit, layers: Sequence[Operands], *, pruning: bool = True) -> tuple[HdpWork, ...]:
        return tuple(self._layer(unit, operands, pruning) for operands in layers)

    def _layer(self, unit: HdpUnit, operands: Operands, pruning: bool) -> HdpWork:
        self.check(unit, operands)
        options = unit.hdp.model_dump(exclude={"block_ratio", "head_ratio"})
        if not pruning:
            options |= {"rho_b": -1.0, "tau_h": 0.0}
        values = hdp_attention(operands.query, operands.key, operands.value, **options)
        n, head_dim, counts = operands.sequence, operands.head_dim, values.counts
        bits = {"integer_bits": unit.hdp.integer_bits, "fraction_bits": unit.hdp.fraction_bits}
        return HdpWork(
            heads=operands.heads,
            sequence=n,
            head_dim=head_dim,
            output=values.output,
            kept_pairs=counts.kept_elements,
            kept_tokens=np.full(operands.heads, n, dtype=np.int64),
            head_kept=values.head_kept,
            effectual_macs=int(counts.kept_elements.sum() * head_dim + counts.value_products.sum()),
            saturated=values.saturated,
            head_work=hdp_work(counts, n, head_dim, **bits),
            block_ratio=1 - float(counts.kept_blocks.sum()) / values.block_kept.size,
        )

    def simulate(self, unit: HdpUnit, work: Work) -> AttentionRun:
        assert isinstance(work, HdpWork)
        return simulate_hdp(unit, work.head_work)

    def closed_form_cycles(self, unit: HdpUnit, work: Work) -> float:
        """The pipeline's recurrence with everything but the slower of its halves hidden, or the DRAM's time."""
        assert isinstance(work, HdpWork)
        costs = head_costs(unit, work.head_work)
        front = float(sum(costs.integer_cycles))
        back = (costs.score_cycles.sum(axis=1) + costs.value_cycles.sum(axis=1)) * work.head_kept
        rounds = np.add.reduceat(np.maximum(front, back), np.arange(0, work.heads, unit.cores)) / unit.cores
        moved = costs.load_bytes + costs.fraction_bytes + costs.value_bytes + costs.output_bytes
        dram = float(moved.sum()) / unit.dram_bandwidth * unit.clock
        return max(float(rounds.sum()) + front, dram)


HDP = Hdp()
