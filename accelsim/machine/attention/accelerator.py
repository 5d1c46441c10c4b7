"""What an attention accelerator is to the rest of the program.

One file describes one accelerator: its spec, what it prunes and computes on real operands, and how long that takes on
its pipeline. The parts that accelerators share are beside it: `parts` (clock, DRAM, intervals), `pe_array`,
`pipeline` (stages that work on groups of queries while the next ones follow). An instance of a subclass of
`Accelerator` is registered as an entry point of the group ``accelsim.attention_units`` under the algorithm's name.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from accelsim.config.attention_unit import AttentionUnit
from accelsim.errors import MappingError
from accelsim.machine.attention.run import AttentionRun

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

UnitT = TypeVar("UnitT", bound=AttentionUnit)


@dataclass(frozen=True)
class Operands:
    """Q, K and V of the heads of one layer: float32 [heads, n, head_dim]."""

    query: FloatArray
    key: FloatArray
    value: FloatArray
    real_length: IntArray | None = None
    """[heads] tokens of each head's sequence before padding begins, for units that take it; None without padding."""

    @property
    def heads(self) -> int:
        """Number of heads; those of batch items are more heads."""
        return int(self.query.shape[0])

    @property
    def sequence(self) -> int:
        """Queries, and keys, of a head."""
        return int(self.query.shape[1])

    @property
    def head_dim(self) -> int:
        """Length of a row of Q, K or V."""
        return int(self.query.shape[2])


@dataclass(frozen=True)
class Work:
    """What the attention of one layer asks of a unit, from its values; accelerators add what they count beside.

    A pair is one query and one key of a head. It is kept when the unit multiplies the two in full precision and weighs
    the key's value with the result.
    """

    heads: int
    sequence: int
    head_dim: int
    output: FloatArray
    """[heads, n, head_dim]; rows of pruned queries and of pruned heads are 0."""
    kept_pairs: IntArray
    """[heads]"""
    kept_tokens: IntArray
    """[heads] keys that any query of the head may still meet; `sequence` without pruning of tokens."""
    head_kept: BoolArray
    """[heads]"""
    effectual_macs: int
    """Multiplications of the two products of attention at kept pairs, counted once each at full width."""
    saturated: int
    """Numbers that the unit's fixed point could not hold."""

    @property
    def dense_macs(self) -> int:
        """Multiplications of the two products without pruning."""
        return 2 * self.heads * self.sequence * self.sequence * self.head_dim

    @property
    def keep_ratio(self) -> float:
        """Share of all pairs that is kept."""
        return float(self.kept_pairs.sum()) / (self.heads * self.sequence * self.sequence)


class Decision(Protocol):
    """What deciding costs against what it saves, next to dense attention on the same unit."""

    @property
    def decision_cycles(self) -> float:
        """By which deciding makes the run longer."""

    @property
    def saved_cycles(self) -> float:
        """By which the run is shorter than dense attention, the decision paid for."""

    def decision_energy(self, energies: Mapping[str, float]) -> float:
        """Dynamic energy of deciding, in the unit of `energies`, by action."""

    def saved_energy(self, energies: Mapping[str, float]) -> float:
        """Dynamic energy that pruning saves before the decision is paid for."""


@dataclass(frozen=True)
class Multipliers:
    """Multipliers of one kind in the whole unit."""

    name: str
    count: int
    bits: int
    """Product of the widths of their two inputs: 256 for 16 x 16."""


@dataclass(frozen=True)
class Knob:
    """The setting that decides how much a unit prunes, for solving it to a given keep ratio."""

    path: str
    """Key of the unit's YAML, such as ``hdp.rho_b``."""
    low: float
    high: float
    """Ends of its range; the share kept changes in one direction between them."""


class Accelerator(ABC, Generic[UnitT]):
    """An attention accelerator: what it computes, and how long it takes."""

    algorithm: ClassVar[str]
    """Name in YAML (``algorithm``)."""
    title: ClassVar[str]
    """Name and publication, for tables and figures."""
    spec: type[UnitT]
    """Spec of its YAML."""
    takes_padding: ClassVar[bool] = False
    """Whether it heeds `Operands.real_length`."""
    knob: ClassVar[Knob | None] = None
    """What `accelsim attention compare` solves; None when the YAML's ratios say directly what is kept."""
    ratio: ClassVar[Knob | None] = None
    """Where there is no knob, the key of the YAML that says what is kept, for studies that vary it."""

    @abstractmethod
    def multipliers(self, unit: UnitT) -> tuple[Multipliers, ...]:
        """All multipliers of the unit."""

    @abstractmethod
    def on_chip_bytes(self, unit: UnitT) -> int:
        """Capacity of all buffers of the unit."""

    @abstractmethod
    def execute(self, unit: UnitT, layers: Sequence[Operands], *, pruning: bool = True) -> tuple[Work, ...]:
        """Compute the attention of consecutive layers on real operands, as the unit does.

        Parameters
        ----------
        unit
            The machine; thresholds, formats and ratios are part of it.
        layers : sequence of Operands
            Of one shape. What a unit carries from layer to layer (a cascade) it carries in this order.
        pruning : bool
            Without, everything is kept, and whatever decides still decides.

        Raises
        ------
        MappingError
            When the unit cannot hold operands of this shape.
        """

    @abstractmethod
    def simulate(self, unit: UnitT, work: Work) -> AttentionRun:
        """Time, traffic and actions of one layer's work."""

    @abstractmethod
    def closed_form_cycles(self, unit: UnitT, work: Work) -> float:
        """The unit's own formula for one layer's cycles, computed apart from the simulation."""

    def knob_of(self, unit: UnitT) -> Knob | None:
        """The knob of this unit; accelerators whose options choose among several override this."""
        return self.knob

    def keep_ratio(self, unit: UnitT, layers: Sequence[Operands]) -> float:
        """Share kept on these operands; units whose decision is cheaper than their output override this."""
        work = self.execute(unit, layers)
        return float(np.mean([part.keep_ratio for part in work]))

    def decision(self, unit: UnitT, work: Work) -> Decision | None:
        """What deciding costs and saves on one layer; None where it is not told apart."""
        return None

    def remarks(self, unit: UnitT, works: Sequence[Work]) -> list[str]:
        """What a reader should know of this work beyond its figures, one sentence each."""
        return []

    def check(self, unit: UnitT, operands: Operands) -> None:
        """Refuse operands that the unit cannot take.

        Raises
        ------
        MappingError
            For shapes that differ, nothing to do, rows longer than the unit takes, or padding that it does not heed.
        """
        if operands.real_length is not None and not self.takes_padding:
            raise MappingError(f"{unit.name} does not tell padding from tokens; leave real_length out")
        shapes = operands.query.shape, operands.key.shape, operands.value.shape
        if len(set(shapes)) > 1 or len(shapes[0]) != 3 or 0 in shapes[0]:
            raise MappingError(
                f"{unit.name} needs query, key and value of one shape [heads, sequence, head_dim], each at least 1, "
                f"not {', '.join(map(str, shapes))}"
            )
        if operands.head_dim > unit.max_head_dim:
            raise MappingError(
                f"head_dim {operands.head_dim} does not fit {unit.name}: it takes at most {unit.max_head_dim} "
                "(max_head_dim)"
            )
