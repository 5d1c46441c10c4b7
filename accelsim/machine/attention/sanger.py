"""Sanger: a low-bit prediction masks scores, and a reconfigurable array computes what is left (MICRO 2021).

`accelsim.kernels.sanger` has the values. `sanger_pipeline` has the time of the unit's stages, `sanger_throughput` the
authors' own arithmetic, which the unit's ``mode: throughput`` takes instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import OperandError
from accelsim.kernels.sanger import KEEP_ALL, SangerValues, column_windows, load_balance, sanger_attention, segments
from accelsim.machine.attention import sanger_pipeline
from accelsim.machine.attention.accelerator import Accelerator, Knob, Multipliers, Operands, Work
from accelsim.machine.attention.pe_array import ceil_div
from accelsim.machine.attention.run import AttentionRun
from accelsim.machine.attention.sanger_throughput import sanger_throughput_ms
from accelsim.machine.attention.sanger_unit import SangerUnit

__all__ = ["SANGER", "Sanger", "SangerUnit", "SangerWork", "sanger_throughput_ms"]


@dataclass(frozen=True)
class SangerWork(Work):
    """Heads with single pairs pruned."""

    passes: NDArray[np.int64]
    """[heads, groups] times that the main array is filled for each group of queries."""
    sub_rows: int
    """Rows of the array that hold a pair, over all passes."""
    load_balance: float
    """Share of a sub-row's elements that hold a pair, by vectors of `ports` keys, as the authors measure it."""


class Sanger(Accelerator[SangerUnit]):
    """Low-bit prediction, threshold, pack and split."""

    algorithm = "sanger"
    title = "Sanger, MICRO 2021"
    spec = SangerUnit
    knob = Knob("threshold", 0.0, 1.0)

    def multipliers(self, unit: SangerUnit) -> tuple[Multipliers, ...]:
        main = Multipliers("main_array", unit.pe_rows * unit.row_pes, unit.row_bits * 16)
        low = Multipliers("low_bit_array", unit.predict_rows * unit.predict_columns, unit.predict_bits**2)
        if unit.normalise == "none":
            return main, low
        return main, low, Multipliers("rescale", 2 * unit.predict_rows, sanger_pipeline.RESCALE_BITS)

    def on_chip_bytes(self, unit: SangerUnit) -> int:
        return int(unit.operand_buffer + unit.prediction_buffer)

    def _values(self, unit: SangerUnit, operands: Operands, threshold: float, **options: bool) -> SangerValues:
        self.check(unit, operands)
        try:
            return sanger_attention(
                operands.query,
                operands.key,
                operands.value,
                threshold=threshold,
                predict_bits=unit.predict_bits,
                normalise=unit.normalise,
                exponential=unit.exponential,
                vector=unit.ports,
                integer_bits=unit.integer_bits,
                fraction_bits=unit.fraction_bits,
                **options,
            )
        except ValueError as error:
            raise OperandError(f"{unit.name}: {error}") from None

    def execute(self, unit: SangerUnit, layers: Sequence[Operands], *, pruning: bool = True) -> tuple[SangerWork, ...]:
        return tuple(self._layer(unit, operands, pruning) for operands in layers)

    def _layer(self, unit: SangerUnit, operands: Operands, pruning: bool) -> SangerWork:
        columns = unit.packing == "columns"
        values = self._values(unit, operands, unit.threshold if pruning else KEEP_ALL, keep_mask=columns)
        assert values.output is not None
        heads, n, head_dim = operands.query.shape
        split = segments(values.vector_counts, unit.row_pes)
        if columns:
            assert values.mask is not None
            passes = column_windows(values.mask, unit.pe_rows, unit.row_pes, unit.ports)
        else:
            packed = np.add.reduceat(split, np.arange(0, n, unit.pack_queries), axis=1)
            passes = (-(-packed // unit.pe_rows)).sum(axis=2)
        kept = values.vector_counts.sum(axis=(1, 2), dtype=np.int64)
        return SangerWork(
            heads=heads,
            sequence=n,
            head_dim=head_dim,
            output=values.output,
            kept_pairs=kept,
            kept_tokens=np.full(heads, n, dtype=np.int64),
            head_kept=np.ones(heads, dtype=np.bool_),
            effectual_macs=2 * head_dim * int(kept.sum()),
            saturated=values.saturated,
            passes=passes,
            sub_rows=int(passes.sum()) * unit.pe_rows if columns else int(split.sum()),
            load_balance=load_balance(values.vector_counts, unit.row_pes),
        )

    def simulate(self, unit: SangerUnit, work: Work) -> AttentionRun:
        assert isinstance(work, SangerWork)
        demand = self._demand(unit, work)
        if unit.mode == "throughput":
            return sanger_pipeline.simulate_throughput(unit, demand)
        return sanger_pipeline.simulate_stages(unit, demand)

    def closed_form_cycles(self, unit: SangerUnit, work: Work) -> float:
        """Fill of the pipeline and then its busiest stage, or the DRAM's time; the scripts' arithmetic by itself."""
        assert isinstance(work, SangerWork)
        demand = self._demand(unit, work)
        if unit.mode == "throughput":
            return sanger_pipeline.throughput_cycles(unit, demand)
        return sanger_pipeline.closed_form_cycles(unit, demand)

    def keep_ratio(self, unit: SangerUnit, layers: Sequence[Operands]) -> float:
        """Share kept; only predicts."""
        shares = []
        for operands in layers:
            counts = self._values(unit, operands, unit.threshold, decide_only=True).vector_counts
            shares.append(float(counts.sum(dtype=np.int64)) / (operands.heads * operands.sequence**2))
        return float(np.mean(shares))

    def _demand(self, unit: SangerUnit, work: SangerWork) -> sanger_pipeline.Demand:
        return sanger_pipeline.Demand(
            heads=work.heads,
            sequence=work.sequence,
            head_dim=work.head_dim,
            kept_pairs=int(work.kept_pairs.sum()),
            passes=work.passes,
            sub_rows=work.sub_rows,
            load_balance=work.load_balance,
            matrix_bytes=work.sequence * ceil_div(work.head_dim * unit.row_bits, 8),
        )


SANGER = Sanger()
