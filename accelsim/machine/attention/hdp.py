"""HDP: hybrid dynamic pruning of blocks and heads by integer scores (arXiv 2407.12893)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accelsim.config.hardware import HdpUnit
from accelsim.kernels.hdp import hdp_attention
from accelsim.machine.attention.accelerator import Accelerator, Knob, Multipliers, Operands, Work
from accelsim.machine.attention.hdp_closed_form import closed_form_cycles
from accelsim.machine.attention.hdp_pipeline import simulate_hdp
from accelsim.machine.attention.run import AttentionRun
from accelsim.machine.attention.work import HeadWork, hdp_work
from accelsim.model.key_means import key_means_of


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
        width = unit.hdp.integer_bits + unit.hdp.fraction_bits
        main = Multipliers("main_array", unit.cores * unit.pe_rows * unit.pe_columns, width * 16)
        if unit.shared_array:
            return (main,)
        rows, columns = unit.integer_array
        return (Multipliers("integer_array", unit.cores * rows * columns, unit.hdp.integer_bits**2), main)

    def on_chip_bytes(self, unit: HdpUnit) -> int:
        return int(unit.cores * unit.buffer)

    def execute(self, unit: HdpUnit, layers: Sequence[Operands], *, pruning: bool = True) -> tuple[HdpWork, ...]:
        return tuple(self._layer(unit, operands, layer, pruning) for layer, operands in enumerate(layers))

    def _layer(self, unit: HdpUnit, operands: Operands, layer: int, pruning: bool) -> HdpWork:
        self.check(unit, operands)
        options = unit.hdp.switches(layer)
        options["key_means"] = key_means_of(unit.hdp, operands.key, operands.heads, layer)
        if not pruning:
            options |= {"selection": "threshold", "rho_b": -1.0, "tau_h": 0.0}
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
        """See `accelsim.machine.attention.hdp_closed_form`."""
        assert isinstance(work, HdpWork)
        return closed_form_cycles(unit, work.head_work)


HDP = Hdp()
