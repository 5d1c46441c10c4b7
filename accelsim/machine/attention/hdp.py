"""HDP: hybrid dynamic pruning of blocks and heads by integer scores (arXiv 2407.12893)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from accelsim.config.hardware import HdpUnit
from accelsim.errors import MappingError, OperandError
from accelsim.kernels.hdp import HdpValues, hdp_attention, split_operands
from accelsim.kernels.hdp_counts import block_sizes
from accelsim.kernels.hdp_decision import decide
from accelsim.kernels.hdp_padding import BlockRatios, block_ratios, hdp_attention_padded
from accelsim.machine.attention.accelerator import Accelerator, Knob, Multipliers, Operands, Work
from accelsim.machine.attention.hdp_closed_form import closed_form_cycles
from accelsim.machine.attention.hdp_overhead import DecisionOverhead, decision_overhead
from accelsim.machine.attention.hdp_pipeline import simulate_hdp
from accelsim.machine.attention.run import AttentionRun
from accelsim.machine.attention.work import HeadWork, hdp_work
from accelsim.model.key_means import key_means_of

PREPARATION = ("integer_bits", "fraction_bits", "rounding", "scale", "center_keys")
"""Switches of `split_operands`."""
CHOICE = ("importance", "selection", "rho_b", "top_k_ratio", "tau_h", "tau_normalised")
"""Switches of `decide`."""


@dataclass(frozen=True)
class HdpWork(Work):
    """Heads with pruned blocks."""

    head_work: HeadWork
    blocks: BlockRatios
    """Blocks kept, those that touch only padding apart."""

    @property
    def block_ratio(self) -> float:
        """Share of 2 x 2 blocks of real tokens that is pruned, those of pruned heads among them."""
        return self.blocks.real


class Hdp(Accelerator[HdpUnit]):
    """Hybrid dynamic pruning."""

    algorithm = "hdp"
    title = "HDP, 2024"
    spec = HdpUnit
    takes_padding = True
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
        if unit.hdp.guard == "input":
            raise MappingError("hdp.guard input compares outputs of a network, and here is attention alone; take head")
        options = unit.hdp.switches(layer)
        options["key_means"] = key_means_of(unit.hdp, operands.key, operands.heads, layer)
        if not pruning:
            options |= {"selection": "threshold", "rho_b": -1.0, "tau_h": 0.0}
        values = self._values(operands, options)
        n, head_dim, counts = operands.sequence, operands.head_dim, values.counts
        bits = {"integer_bits": unit.hdp.integer_bits, "fraction_bits": unit.hdp.fraction_bits}
        return HdpWork(
            heads=operands.heads,
            sequence=n,
            head_dim=head_dim,
            output=values.output,
            kept_pairs=counts.kept_elements,
            kept_tokens=np.full(operands.heads, n) if operands.real_length is None else operands.real_length,
            head_kept=values.head_kept,
            effectual_macs=int(counts.kept_elements.sum() * head_dim + counts.value_products.sum()),
            saturated=values.saturated,
            head_work=hdp_work(counts, n, head_dim, **bits),
            blocks=block_ratios(values.block_kept, n, operands.real_length),
        )

    def _values(self, operands: Operands, options: dict[str, Any]) -> HdpValues:
        matrices = operands.query, operands.key, operands.value
        try:
            if operands.real_length is not None:
                return hdp_attention_padded(*matrices, operands.real_length, **options)
            return hdp_attention(*matrices, **options)
        except ValueError as error:
            raise OperandError(f"HDP: {error}") from None

    def knob_of(self, unit: HdpUnit) -> Knob | None:
        """The row threshold, or the share of each row where that is what prunes."""
        return Knob("hdp.top_k_ratio", 0.0, 0.999) if unit.hdp.selection == "top_k" else self.knob

    def keep_ratio(self, unit: HdpUnit, layers: Sequence[Operands]) -> float:
        """Share of pairs kept; decided from integer parts, so that nothing is attended to."""
        return float(np.mean([self._kept(unit, operands, layer) for layer, operands in enumerate(layers)]))

    def _kept(self, unit: HdpUnit, operands: Operands, layer: int) -> float:
        if operands.real_length is not None or unit.hdp.guard != "none":
            return self._layer(unit, operands, layer, True).keep_ratio
        self.check(unit, operands)
        options = unit.hdp.switches(layer)
        means = key_means_of(unit.hdp, operands.key, operands.heads, layer)
        prepared, decided = ({name: options[name] for name in names} for names in (PREPARATION, CHOICE))
        try:
            parts = split_operands(operands.query, operands.key, operands.value, **prepared, key_means=means)
        except ValueError as error:
            raise OperandError(f"HDP: {error}") from None
        kept = decide(parts.query_integer, parts.key_integer, **decided).block_kept
        sizes = block_sizes(operands.sequence)
        return float(sizes @ np.count_nonzero(kept, axis=0).astype(np.int64) @ sizes) / (
            operands.heads * operands.sequence**2
        )

    def simulate(self, unit: HdpUnit, work: Work) -> AttentionRun:
        assert isinstance(work, HdpWork)
        return simulate_hdp(unit, work.head_work)

    def decision(self, unit: HdpUnit, work: Work) -> DecisionOverhead:
        """See `accelsim.machine.attention.hdp_overhead`."""
        assert isinstance(work, HdpWork)
        return decision_overhead(unit, work.head_work)

    def closed_form_cycles(self, unit: HdpUnit, work: Work) -> float:
        """See `accelsim.machine.attention.hdp_closed_form`."""
        assert isinstance(work, HdpWork)
        return closed_form_cycles(unit, work.head_work)


HDP = Hdp()
