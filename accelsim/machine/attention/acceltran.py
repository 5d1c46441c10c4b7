"""AccelTran: DynaTran's pruning of small activations, on many lanes that skip products with a zero (TCAD 2023).

Tiles of the two products of attention go to a pool of lanes, whatever head they belong to (`acceltran_lanes`); softmax
has units of its own. The output and what each tile costs come from real operands (`accelsim.kernels.dynatran`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from accelsim.config.attention_unit import AttentionUnit
from accelsim.config.quantity import Bytes
from accelsim.errors import OperandError
from accelsim.kernels.dynatran import ACTIVATIONS, MAX_BITS, MAX_TILE, DynatranOptions, dynatran_attention
from accelsim.machine.attention.accelerator import Accelerator, Knob, Multipliers, Operands, Work
from accelsim.machine.attention.acceltran_pipeline import closed_form, simulate_lanes
from accelsim.machine.attention.acceltran_plan import Shape
from accelsim.machine.attention.run import AttentionRun

Activation = Literal["query", "key", "value", "score", "probability", "output"]


class AccelTranUnit(AttentionUnit):
    """Processing elements of lanes and softmax units around buffers of activations, weights and masks."""

    algorithm: Literal["acceltran"]
    """What the unit computes."""
    pes: int = Field(gt=0, le=4096)
    """Processing elements."""
    lanes_per_pe: int = Field(gt=0, le=256)
    """Lanes of a processing element; each takes one tile at a time."""
    multipliers_per_lane: int = Field(gt=0, le=1024)
    """Multipliers of a lane, with one adder tree."""
    softmax_units_per_pe: int = Field(gt=0, le=256)
    """Softmax units of a processing element."""
    softmax_elements_per_cycle: int = Field(gt=0)
    """Scores that one softmax unit takes in each cycle."""
    tile: int = Field(gt=0, le=MAX_TILE)
    """Rows, columns and depth of a tile of a product."""
    activation_buffer: Bytes
    """On-chip memory for Q, K, V, scores, probabilities and the output."""
    weight_buffer: Bytes
    """On-chip memory for weights, which attention leaves idle."""
    mask_buffer: Bytes
    """On-chip memory for a bit for each activation."""
    integer_bits: int = Field(default=4, ge=1, le=16)
    """Bits before the binary point, sign included."""
    fraction_bits: int = Field(default=16, ge=1, le=19)
    """Bits after it; 20 in all at most."""
    score_integer_bits: int = Field(default=8, ge=1, le=19)
    """Bits before the binary point of scores, which take as many bits in all as other activations."""
    tau: float = Field(ge=0)
    """Magnitude below which an activation becomes zero."""
    prunes: list[Activation] = ["query", "key", "value", "score", "probability", "output"]
    """What is compared with `tau`."""
    packing: Literal["tile", "output"] = "tile"
    """Among which products a lane packs those without a zero: all of a tile, or those of each of its outputs."""
    compare_cycles: int = Field(default=1, ge=0, le=1000)
    """From a tile's results to their being compared with `tau`; tiles that follow one another overlap."""

    @model_validator(mode="after")
    def _bits_fit(self) -> "AccelTranUnit":
        if self.row_bits > MAX_BITS:
            raise ValueError(
                f"integer_bits {self.integer_bits} and fraction_bits {self.fraction_bits}: at most {MAX_BITS} together"
            )
        if self.score_integer_bits >= self.row_bits:
            raise ValueError(f"score_integer_bits {self.score_integer_bits}: must leave some of {self.row_bits} bits")
        if len(set(self.prunes)) < len(self.prunes):
            raise ValueError(f"prunes names {', '.join(self.prunes)}; each at most once")
        return self

    @property
    def row_bits(self) -> int:
        """Bits of an activation."""
        return self.integer_bits + self.fraction_bits

    @property
    def lanes(self) -> int:
        """Of the whole unit."""
        return self.pes * self.lanes_per_pe


@dataclass(frozen=True)
class AccelTranWork(Work):
    """A layer's attention with small activations pruned. A pair is kept when its probability is not zero."""

    nonzero: NDArray[np.int64]
    """[heads, 6] kept activations by kind (`accelsim.kernels.dynatran.ACTIVATIONS`)."""
    products: tuple[int, int]
    """Effectual ones of Q K^T and of P V."""
    score_cycles: NDArray[np.int32]
    """[heads, row tiles, key tiles, slices of head_dim] cycles of a lane for each tile of products."""
    value_cycles: NDArray[np.int32]
    """[heads, row tiles, tiles of head_dim, slices of keys]"""

    @property
    def keep_ratio(self) -> float:
        """Share of the products of Q K^T and P V that are effectual."""
        return self.effectual_macs / self.dense_macs

    @property
    def kept_activations(self) -> float:
        """Share of Q, K, V, scores, probabilities and output that is kept; 1 less it is the publication's sparsity."""
        n, head_dim = self.sequence, self.head_dim
        return float(self.nonzero.sum()) / (self.heads * n * (4 * head_dim + 2 * n))


class AccelTran(Accelerator[AccelTranUnit]):
    """DynaTran on lanes."""

    algorithm = "acceltran"
    title = "AccelTran, 2023"
    spec = AccelTranUnit
    knob = Knob("tau", 0.0, 8.0)

    def multipliers(self, unit: AccelTranUnit) -> tuple[Multipliers, ...]:
        return (Multipliers("lanes", unit.lanes * unit.multipliers_per_lane, unit.row_bits**2),)

    def on_chip_bytes(self, unit: AccelTranUnit) -> int:
        return int(unit.activation_buffer + unit.weight_buffer + unit.mask_buffer)

    def execute(
        self, unit: AccelTranUnit, layers: Sequence[Operands], *, pruning: bool = True
    ) -> tuple[AccelTranWork, ...]:
        return tuple(self._layer(unit, operands, pruning) for operands in layers)

    def _layer(self, unit: AccelTranUnit, operands: Operands, pruning: bool) -> AccelTranWork:
        self.check(unit, operands)
        options = DynatranOptions(
            unit.integer_bits,
            unit.fraction_bits,
            unit.row_bits - unit.score_integer_bits,
            unit.tau,
            tuple(unit.prunes),
            unit.tile,
            unit.multipliers_per_lane,
            unit.packing,
        )
        try:
            values = dynatran_attention(operands.query, operands.key, operands.value, options, keep_all=not pruning)
        except ValueError as error:
            raise OperandError(f"{unit.name}: {error}") from error
        heads, n = operands.heads, operands.sequence
        products = int(values.score_products.sum()), int(values.value_products.sum())
        return AccelTranWork(
            heads=heads,
            sequence=n,
            head_dim=operands.head_dim,
            output=values.output,
            kept_pairs=values.nonzero[:, ACTIVATIONS.index("probability")],
            kept_tokens=np.full(heads, n, dtype=np.int64),
            head_kept=np.ones(heads, dtype=np.bool_),
            effectual_macs=sum(products),
            saturated=values.saturated,
            nonzero=values.nonzero,
            products=products,
            score_cycles=values.score_cycles,
            value_cycles=values.value_cycles,
        )

    def simulate(self, unit: AccelTranUnit, work: Work) -> AttentionRun:
        assert isinstance(work, AccelTranWork)
        score, value = work.products
        square = unit.row_bits**2
        return simulate_lanes(
            unit,
            self._shape(unit, work),
            work.score_cycles,
            work.value_cycles,
            work.nonzero,
            products={"score": score, "value": value},
            bit_products={"score": score * square, "value": value * square},
        )

    def closed_form_cycles(self, unit: AccelTranUnit, work: Work) -> float:
        """Lanes, softmax units and DRAM as fluids, batch by batch (`acceltran_pipeline.closed_form`)."""
        assert isinstance(work, AccelTranWork)
        return closed_form(unit, self._shape(unit, work), work.score_cycles, work.value_cycles)

    def _shape(self, unit: AccelTranUnit, work: Work) -> Shape:
        return Shape(
            unit.name,
            work.heads,
            work.sequence,
            work.head_dim,
            unit.tile,
            unit.row_bits,
            unit.lanes,
            int(unit.activation_buffer),
            int(unit.mask_buffer),
        )


def peak_tops(unit: AccelTranUnit) -> float:
    """Trillions of operations a second that all multipliers do at most, two (multiply and add) each a cycle."""
    return 2 * unit.lanes * unit.multipliers_per_lane * unit.clock * 1e-12


ACCELTRAN = AccelTran()
