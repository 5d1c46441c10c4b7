"""Energon: a filtering unit that chooses keys in rounds of growing precision before an attention unit of 16 bits
(TCAD 2022, arXiv 2110.09310).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from accelsim.errors import MappingError, OperandError
from accelsim.kernels.energon import (
    OPERAND_BITS,
    FloatArray,
    IntArray,
    energon_attention,
    energon_filter,
    keys_of_tiles,
)
from accelsim.machine.attention.accelerator import Accelerator, Knob, Multipliers, Operands, Work
from accelsim.machine.attention.energon_pipeline import (
    SCORE_BYTES,
    Costs,
    energon_costs,
    holds_codes,
    holds_rows,
    simulate_energon,
)
from accelsim.machine.attention.energon_unit import EnergonUnit
from accelsim.machine.attention.run import AttentionRun


@dataclass(frozen=True)
class EnergonWork(Work):
    """Keys that each round leaves, and what tiles of queries need of K and V."""

    survivors: IntArray
    """[heads, n, rounds]; those of the last round are attended."""
    tile: int
    """Queries of a tile."""
    needed_keys: IntArray
    """[heads, tiles] keys that any query of a tile keeps."""
    new_keys: IntArray
    """[heads, tiles] those that no earlier tile of the head needed."""


class Energon(Accelerator[EnergonUnit]):
    """Mix-precision multi-round filtering."""

    algorithm = "energon"
    title = "Energon, 2022"
    spec = EnergonUnit
    knob = Knob("alpha", -1.0, 1.0)

    def multipliers(self, unit: EnergonUnit) -> tuple[Multipliers, ...]:
        width = max(query_bits for query_bits, _ in unit.widths)
        of_filter = unit.cores * unit.filter_keys * unit.filter_lanes
        of_attention = 2 * unit.cores * unit.attention_keys * unit.attention_lanes
        return (
            Multipliers("filter", of_filter, width * unit.filter_key_bits),
            Multipliers("attention", of_attention, OPERAND_BITS**2),
        )

    def on_chip_bytes(self, unit: EnergonUnit) -> int:
        return int(unit.filter_buffer + unit.key_value_buffer + unit.cores * unit.score_buffer)

    def check(self, unit: EnergonUnit, operands: Operands) -> None:
        """As every unit's, and a query's scores must fit their buffer."""
        super().check(unit, operands)
        self.tile(unit, operands.sequence)

    def tile(self, unit: EnergonUnit, sequence: int) -> int:
        """Queries of a tile: as many as `tile_queries` and the scores of every key for each of them allow.

        Raises
        ------
        MappingError
            When the score buffer holds not even one query's.
        """
        row = 2 * SCORE_BYTES * sequence
        if row > unit.score_buffer:
            most = int(unit.score_buffer) // (2 * SCORE_BYTES)
            raise MappingError(
                f"sequence {sequence} does not fit {unit.name}: scores of one query take {row} B of score_buffer, "
                f"which holds {int(unit.score_buffer)}; allowed: at most {most} keys"
            )
        return min(unit.tile_queries, int(unit.score_buffer) // row, sequence)

    def execute(
        self, unit: EnergonUnit, layers: Sequence[Operands], *, pruning: bool = True
    ) -> tuple[EnergonWork, ...]:
        return tuple(self._layer(unit, operands, pruning) for operands in layers)

    def _layer(self, unit: EnergonUnit, operands: Operands, pruning: bool) -> EnergonWork:
        self.check(unit, operands)
        try:
            values = energon_attention(
                operands.query,
                operands.key,
                operands.value,
                rounds=unit.widths,
                alpha=unit.alpha if pruning else -1.0,
                rounding=unit.rounding,
                scaling=unit.scaling,
                exponential=unit.exponential,
            )
        except ValueError as error:
            raise OperandError(f"{unit.name}: {error}") from error
        heads, n, head_dim = operands.query.shape
        tile = self.tile(unit, n)
        needed, new = keys_of_tiles(values.kept, tile)
        kept = values.survivors[:, :, -1].sum(axis=1)
        return EnergonWork(
            heads=heads,
            sequence=n,
            head_dim=head_dim,
            output=values.output,
            kept_pairs=kept,
            kept_tokens=np.full(heads, n, dtype=np.int64),
            head_kept=np.ones(heads, dtype=np.bool_),
            effectual_macs=2 * head_dim * int(kept.sum()),
            saturated=0,  # the scale follows the largest magnitude
            survivors=values.survivors,
            tile=tile,
            needed_keys=needed,
            new_keys=new,
        )

    def keep_ratio(self, unit: EnergonUnit, layers: Sequence[Operands]) -> float:
        """Share of pairs that survive filtering; the attention over them is left out."""
        return float(np.mean([self._filtered(unit, operands.query, operands.key) for operands in layers]))

    def _filtered(self, unit: EnergonUnit, query: FloatArray, key: FloatArray) -> float:
        switches = {"rounding": unit.rounding, "scaling": unit.scaling}
        return float(energon_filter(query, key, rounds=unit.widths, alpha=unit.alpha, **switches).kept.mean())

    def remarks(self, unit: EnergonUnit, works: Sequence[Work]) -> list[str]:
        """What does not stay in its buffer from tile to tile."""
        size, tile = (works[0].sequence, works[0].head_dim), self.tile(unit, works[0].sequence)
        held = {"bits of K for filtering": holds_codes(unit, *size), "needed rows of K and V": holds_rows(unit, *size)}
        return [
            f"every tile of {tile} queries reads {what} from DRAM anew"
            for what, stay in held.items()
            if not stay and tile < works[0].sequence
        ]

    def _costs(self, unit: EnergonUnit, work: Work) -> Costs:
        assert isinstance(work, EnergonWork)
        return energon_costs(unit, work.survivors, work.head_dim, work.tile, work.needed_keys, work.new_keys)

    def simulate(self, unit: EnergonUnit, work: Work) -> AttentionRun:
        return simulate_energon(unit, self._costs(unit, work))

    def closed_form_cycles(self, unit: EnergonUnit, work: Work) -> float:
        """The busiest stage or the DRAM, whichever takes longer, behind the filtering of the first tile."""
        costs = self._costs(unit, work)
        stages = costs.cycles.sum(axis=(0, 1)) / unit.cores
        dram = float(costs.dram_bytes) / unit.dram_bandwidth * unit.clock
        first = float(costs.cycles[0, : costs.tile, 0].sum())
        load = float(costs.load_bytes[0, 0]) / unit.dram_bandwidth * unit.clock
        return max(float(stages.max()), dram) + first + load


ENERGON = Energon()
