"""Dense attention in fixed point on one array of multipliers: what pruning is measured against.

Groups of queries, as many as the array has rows, pass three stages: scores, softmax, and P x V. Scores and P x V take
turns on the same array, so together they are one stage of the pipeline, and softmax works beside it.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from accelsim.config.attention_unit import AttentionUnit
from accelsim.config.quantity import Bytes
from accelsim.kernels.hdp import fixed_point_attention
from accelsim.machine.attention.accelerator import Accelerator, Multipliers, Operands, Work
from accelsim.machine.attention.pe_array import ceil_div, tile_cycles
from accelsim.machine.attention.pipeline import Job, Tally, run_pipeline
from accelsim.machine.attention.run import AttentionRun


class DenseUnit(AttentionUnit):
    """A PE array and a softmax unit around a buffer; nothing is pruned."""

    algorithm: Literal["dense"]
    """What the unit computes."""
    pe_rows: int = Field(gt=0, le=4096)
    """Rows of the array: queries that it works on together."""
    pe_columns: int = Field(gt=0, le=4096)
    """Columns of the array, of one multiplier in each row."""
    softmax_elements_per_cycle: int = Field(gt=0)
    """Scores that the softmax unit takes in each cycle."""
    buffer: Bytes
    """On-chip memory for K and V of a head, and of the next one while there is room."""
    integer_bits: int = Field(default=4, ge=1, le=15)
    """Bits before the binary point, sign included."""
    fraction_bits: int = Field(default=12, ge=0, le=15)
    """Bits after it; 16 in all at most."""

    @property
    def row_bits(self) -> int:
        """Bits of a number of Q, K, V and the output."""
        return self.integer_bits + self.fraction_bits


class Dense(Accelerator[DenseUnit]):
    """Dense attention."""

    algorithm = "dense"
    title = "Dense attention"
    spec = DenseUnit

    def multipliers(self, unit: DenseUnit) -> tuple[Multipliers, ...]:
        return (Multipliers("array", unit.pe_rows * unit.pe_columns, unit.row_bits * 16),)

    def on_chip_bytes(self, unit: DenseUnit) -> int:
        return int(unit.buffer)

    def execute(self, unit: DenseUnit, layers: Sequence[Operands], *, pruning: bool = True) -> tuple[Work, ...]:
        return tuple(self._layer(unit, operands) for operands in layers)

    def _layer(self, unit: DenseUnit, operands: Operands) -> Work:
        self.check(unit, operands)
        output, saturated = fixed_point_attention(
            operands.query,
            operands.key,
            operands.value,
            integer_bits=unit.integer_bits,
            fraction_bits=unit.fraction_bits,
        )
        heads, n, head_dim = operands.query.shape
        return Work(
            heads=heads,
            sequence=n,
            head_dim=head_dim,
            output=output,
            kept_pairs=np.full(heads, n * n, dtype=np.int64),
            kept_tokens=np.full(heads, n, dtype=np.int64),
            head_kept=np.ones(heads, dtype=np.bool_),
            effectual_macs=2 * heads * n * n * head_dim,
            saturated=saturated,
        )

    def _array_cycles(self, unit: DenseUnit, work: Work) -> int:
        """Cycles of a group of queries on the array: its scores, then its P x V."""
        scores = ceil_div(work.sequence, unit.pe_columns) * tile_cycles(work.head_dim, unit.pe_rows, unit.pe_columns)
        values = ceil_div(work.head_dim, unit.pe_columns) * tile_cycles(work.sequence, unit.pe_rows, unit.pe_columns)
        return scores + values

    def simulate(self, unit: DenseUnit, work: Work) -> AttentionRun:
        n, groups = work.sequence, ceil_div(work.sequence, unit.pe_rows)
        matrix = n * ceil_div(work.head_dim * unit.row_bits, 8)
        rows = np.full(groups, unit.pe_rows, dtype=np.int64)
        rows[-1] = n - unit.pe_rows * (groups - 1)
        softmax = -(-rows * n // unit.softmax_elements_per_cycle)
        cycles = np.stack([np.full(groups, self._array_cycles(unit, work), dtype=np.int64), softmax], axis=1)
        # K and V that outgrow the buffer are read again for every group of queries.
        reads = 1 if 2 * matrix <= unit.buffer else groups
        load = matrix * (1 + 2 * reads)
        jobs = [Job(head, load, cycles, write_bytes=matrix) for head in range(work.heads)]
        macs, bits = work.dense_macs, unit.row_bits
        products = {"score": macs // 2, "value": macs // 2}
        in_bits = {"score": macs // 2 * bits * bits, "value": macs // 2 * 16 * bits}
        # Q and the output pass once, K and V once for every group of queries, probabilities once in and once out.
        buffered = work.heads * (load + matrix + 2 * matrix * (1 + groups) + 4 * n * n)
        actions = {"bit_product": sum(in_bits.values()), "softmax_element": work.heads * n * n}
        tally = Tally(products, in_bits, actions, buffer_bytes=buffered)
        prefetch = 4 * matrix <= unit.buffer
        return run_pipeline(unit, ("array", "softmax"), jobs, tally, prefetch=prefetch)

    def closed_form_cycles(self, unit: DenseUnit, work: Work) -> float:
        """Array, softmax unit or DRAM, whichever takes longest."""
        groups = ceil_div(work.sequence, unit.pe_rows)
        array = groups * self._array_cycles(unit, work)
        softmax = work.sequence**2 / unit.softmax_elements_per_cycle
        return float(work.heads * max(array, softmax))


DENSE = Dense()
