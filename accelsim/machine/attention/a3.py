"""A3: attention approximated by a search for candidate keys in sorted columns of K (HPCA 2020).

A query passes its modules one behind the other, a key a cycle: candidate selection, dot products of the candidates,
post-scoring, exponents, weighted sum. Each module takes the next query as soon as it has handed the last one on.
`accelsim.machine.attention.a3_pipeline` gives their cycles, bytes and actions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from accelsim.config.attention_unit import AttentionUnit
from accelsim.config.quantity import Bytes
from accelsim.errors import MappingError, OperandError
from accelsim.kernels.a3 import A3Format, a3_attention
from accelsim.machine.attention.a3_pipeline import Sizes, closed_form, simulate_a3
from accelsim.machine.attention.accelerator import Accelerator, Knob, Multipliers, Operands, Work
from accelsim.machine.attention.pe_array import ceil_div
from accelsim.machine.attention.run import AttentionRun


class A3Unit(AttentionUnit):
    """One pipeline of modules around buffers of K, V and sorted K."""

    algorithm: Literal["a3"]
    """What the unit computes."""
    max_keys: int = Field(gt=0, le=65536)
    """Keys that its buffers hold."""
    beyond: Literal["tile", "refuse"] = "tile"
    """What it does with longer sequences: take keys in tiles of `max_keys`, or refuse."""
    query_block: int = Field(default=128, gt=0)
    """Queries whose partial results it holds between tiles; K and V are loaded again for every block of them."""
    merge_cycles: int = Field(default=4, ge=0)
    """To fade what earlier tiles gave a query, in each tile of several."""
    handover_cycles: int = Field(default=9, ge=0)
    """Of each of the four modules and query, beyond a cycle for each key."""
    scan_width: int = Field(default=16, gt=0)
    """Greedy scores, and scores, that are compared in a cycle."""
    candidate_share: float = Field(default=0.5, gt=0, le=1)
    """Iterations of candidate selection over keys."""
    post_threshold: float = Field(default=0.05, ge=0, lt=1)
    """Candidates whose exponent is below this share of the largest one are dropped."""
    key_buffer: Bytes
    """On-chip memory for K."""
    value_buffer: Bytes
    """On-chip memory for V."""
    sorted_key_buffer: Bytes
    """On-chip memory for the columns of K in order, and the rows that their numbers come from."""
    sorted_entry_bytes: int = Field(default=2, gt=0)
    """A number of a sorted column with its row."""
    integer_bits: int = Field(default=4, ge=1, le=15)
    """Bits before the binary point of Q, K and V, sign included."""
    fraction_bits: int = Field(default=4, ge=0, le=15)
    """Bits after it; 16 in all at most."""
    exponent_bits: int = Field(default=8, ge=1, le=12)
    """Fraction bits of an exponent."""
    weight_bits: int = Field(default=8, ge=1, le=12)
    """Fraction bits of a weight."""

    @model_validator(mode="after")
    def _holds_what_it_says(self) -> "A3Unit":
        if self.operand_bits > 16:
            raise ValueError(f"integer_bits + fraction_bits is {self.operand_bits}; allowed: at most 16")
        row = self.row_bytes(self.max_head_dim)
        sizes = {
            "key_buffer": row,
            "value_buffer": row,
            "sorted_key_buffer": self.sorted_entry_bytes * self.max_head_dim,
        }
        for name, size in sizes.items():
            if getattr(self, name) < self.max_keys * size:
                raise ValueError(
                    f"{name} of {getattr(self, name)} B does not hold {self.max_keys} keys (max_keys) of {size} B"
                )
        return self

    @property
    def operand_bits(self) -> int:
        """Bits of a number of Q, K and V."""
        return self.integer_bits + self.fraction_bits

    @property
    def output_bits(self) -> int:
        """Bits of a number of the output: products of weights and values keep all fraction bits."""
        return self.operand_bits + self.weight_bits

    def row_bytes(self, head_dim: int) -> int:
        """Bytes of a row of Q, K or V."""
        return ceil_div(head_dim * self.operand_bits, 8)

    def partial_bytes(self, head_dim: int) -> int:
        """Bytes of a query between tiles: sums of 32 bits, its largest score, its sum of exponents."""
        return 4 * head_dim + 8

    def tile_keys(self, sequence: int) -> int:
        """Keys that it takes at once.

        Raises
        ------
        MappingError
            When it does not hold all and refuses tiles.
        """
        if sequence > self.max_keys and self.beyond == "refuse":
            raise MappingError(
                f"sequence {sequence} does not fit {self.name}: it holds {self.max_keys} keys (max_keys) and "
                "takes no more (beyond: refuse); allowed: a shorter sequence, or beyond: tile"
            )
        return self.max_keys


@dataclass(frozen=True)
class A3Work(Work):
    """Heads with the candidates and kept keys of every query."""

    candidates: NDArray[np.int32]
    """[heads, tiles, n] keys that a dot product is taken with."""
    kept: NDArray[np.int32]
    """[heads, tiles, n] those that are weighed."""
    approximate: bool
    """Whether candidates were selected; otherwise all keys are, and kept."""


class A3(Accelerator[A3Unit]):
    """Approximate attention from sorted keys."""

    algorithm = "a3"
    title = "A3, HPCA 2020"
    spec = A3Unit
    knob = Knob("post_threshold", 0.0, 0.99)

    def multipliers(self, unit: A3Unit) -> tuple[Multipliers, ...]:
        lanes, bits = unit.max_head_dim, unit.operand_bits
        return (
            Multipliers("dot_product", lanes, bits * bits),
            Multipliers("weighted_sum", lanes, unit.weight_bits * bits),
        )

    def on_chip_bytes(self, unit: A3Unit) -> int:
        partial = unit.query_block * unit.partial_bytes(unit.max_head_dim) if unit.beyond == "tile" else 0
        return int(unit.key_buffer + unit.value_buffer + unit.sorted_key_buffer + partial)

    def execute(self, unit: A3Unit, layers: Sequence[Operands], *, pruning: bool = True) -> tuple[A3Work, ...]:
        return tuple(self._layer(unit, operands, pruning) for operands in layers)

    def _layer(self, unit: A3Unit, operands: Operands, pruning: bool) -> A3Work:
        self.check(unit, operands)
        heads, n, head_dim = operands.query.shape
        number = A3Format(unit.integer_bits, unit.fraction_bits, unit.exponent_bits, unit.weight_bits)
        try:
            values = a3_attention(
                operands.query,
                operands.key,
                operands.value,
                candidate_share=unit.candidate_share if pruning else None,
                post_threshold=unit.post_threshold,
                tile=unit.tile_keys(n),
                number=number,
            )
        except ValueError as error:
            raise OperandError(f"{unit.name}: query, key or value: {error}") from None
        kept = values.kept.sum(axis=(1, 2), dtype=np.int64)
        return A3Work(
            heads=heads,
            sequence=n,
            head_dim=head_dim,
            output=values.output,
            kept_pairs=kept,
            kept_tokens=np.full(heads, n, dtype=np.int64),
            head_kept=np.ones(heads, dtype=np.bool_),
            effectual_macs=2 * head_dim * int(kept.sum()),
            saturated=values.saturated,
            candidates=values.candidates,
            kept=values.kept,
            approximate=pruning,
        )

    def _sizes(self, unit: A3Unit, work: Work) -> Sizes:
        assert isinstance(work, A3Work)
        return Sizes(
            candidates=work.candidates,
            kept=work.kept,
            head_dim=work.head_dim,
            approximate=work.approximate,
            tile=unit.tile_keys(work.sequence),
            query_block=unit.query_block,
            candidate_share=unit.candidate_share,
            handover_cycles=unit.handover_cycles,
            scan_width=unit.scan_width,
            merge_cycles=unit.merge_cycles,
            row_bytes=unit.row_bytes(work.head_dim),
            sorted_row_bytes=unit.sorted_entry_bytes * work.head_dim,
            output_row_bytes=ceil_div(work.head_dim * unit.output_bits, 8),
            partial_bytes=unit.partial_bytes(work.head_dim),
        )

    def simulate(self, unit: A3Unit, work: Work) -> AttentionRun:
        return simulate_a3(unit, self._sizes(unit, work), unit.operand_bits, unit.weight_bits)

    def closed_form_cycles(self, unit: A3Unit, work: Work) -> float:
        """Busiest module of every tile, one query's way through the others, and what DRAM adds."""
        cycle_bytes = unit.dram_bandwidth / unit.clock
        return closed_form(self._sizes(unit, work), cycle_bytes, unit.dram_latency * unit.clock)


A3_UNIT = A3()
