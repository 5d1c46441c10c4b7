"""SpAtten: cascade pruning of tokens and heads by what they received, top-k of probabilities, low bits on demand
(Wang, Zhang, Han, HPCA 2021).

Queries of a head pass four stages one behind the other: scores, softmax, the top-k engine, and P x V. The pipeline is
in `spatten_pipeline`, the published simulator's arithmetic in `spatten_behavioural`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from accelsim.config.attention_unit import AttentionUnit
from accelsim.config.base import Spec
from accelsim.config.quantity import Bytes
from accelsim.errors import MappingError, OperandError
from accelsim.kernels.fixed_point import quantise
from accelsim.kernels.spatten import SpattenValues, select, spatten_heads
from accelsim.machine.attention.accelerator import (
    Accelerator,
    BoolArray,
    FloatArray,
    IntArray,
    Knob,
    Multipliers,
    Operands,
    Work,
)
from accelsim.machine.attention.run import AttentionRun
from accelsim.machine.attention.spatten_pipeline import (
    LayerWork,
    behavioural_run,
    behavioural_terms,
    closed_form,
    simulate_layer,
)


class SpattenPruning(Spec):
    """What SpAtten leaves out, as ratios and one threshold."""

    token_keep: float = Field(default=0.5263, gt=0, le=1)
    """Share of the tokens that the last layer keeps, as keys and as queries."""
    head_keep: float = Field(default=0.9091, gt=0, le=1)
    """Share of the heads that the last layer keeps."""
    value_keep: float = Field(default=1.0, gt=0, le=1)
    """Share of a query's keys whose values it weighs; at 1 the top-k engine lets probabilities pass."""
    unpruned_layers: float = Field(default=0.15, ge=0, lt=1)
    """Share of the layers, rounded up, that keep all tokens and heads; the last layer never is one of several."""
    ramp: Literal["linear", "step"] = "linear"
    """How the shares fall over the other layers: evenly to the last one, or at once."""
    lsb_threshold: float = Field(default=0.0, ge=0, le=1)
    """Largest probability of a query below which its scores are computed again with all bits of K; 0 never asks."""
    msb_bits: int = Field(default=8, ge=1, le=16)
    """High bits of K, fetched first."""
    lsb_bits: int = Field(default=4, ge=0, le=15)
    """Low bits, fetched on demand; Q, V and the output have both together."""


class SpattenBehavioural(Spec):
    """Input of the published behavioural simulator that operands do not give."""

    fetched_keys: int | None = Field(default=None, gt=0)
    """Keys and values that every head fetches in every layer, in place of `token_keep`."""
    key_bits: int = Field(default=8, ge=1, le=16)
    """Of a number of K in DRAM; 6 and more than 8 count as 8."""
    value_bits: int = Field(default=8, ge=1, le=16)
    """Likewise of V."""
    top_k: int | None = Field(default=None, gt=0)
    """How many the top-k engine looks for in each head; left out, it is passed by."""
    comparators: int = Field(default=4, gt=0)
    """Of the top-k engine."""
    pivots: Literal["drawn", "expected"] = "drawn"
    """Whether its passes depend on the published program's random numbers or are their mean."""


class SpattenUnit(AttentionUnit):
    """Two rows of multipliers with a softmax unit and a top-k engine between them, and buffers for K and V."""

    algorithm: Literal["spatten"]
    """What the unit computes."""
    mode: Literal["pipeline", "behavioural"] = "pipeline"
    """Whether time comes from the simulated pipeline or from the published simulator's arithmetic."""
    multipliers: int = Field(gt=0, le=2**20)
    """Of each of the two products."""
    multiplier_bits: int = Field(gt=1, le=16)
    """Width of their inputs; Q, V, probabilities and the output are as wide at most."""
    softmax_elements_per_cycle: int = Field(gt=0)
    """Scores that the softmax unit takes in each cycle."""
    topk_parallelism: int = Field(gt=0)
    """Numbers that the top-k engine compares with its pivot in each cycle."""
    key_buffer: Bytes
    """On-chip memory for K; what does not fit is read from DRAM again for every query."""
    value_buffer: Bytes
    """Likewise for V."""
    dram_channels: int = Field(gt=0, le=1024)
    """Of 32 bytes a cycle, for the behavioural mode; the pipeline has `dram_bandwidth`."""
    integer_bits: int = Field(default=4, ge=1, le=15)
    """Bits of Q, K, V and the output before the binary point, sign included; the rest of theirs come after it."""
    spatten: SpattenPruning = SpattenPruning()
    """What it leaves out."""
    behavioural: SpattenBehavioural = SpattenBehavioural()
    """For that mode alone."""

    @property
    def row_bits(self) -> int:
        """Bits of a number of Q, K, V and the output."""
        return self.spatten.msb_bits + self.spatten.lsb_bits

    @model_validator(mode="after")
    def _widths(self) -> "SpattenUnit":
        if not self.integer_bits <= self.row_bits <= self.multiplier_bits:
            raise ValueError(
                f"msb_bits and lsb_bits are {self.row_bits} bits together; allowed: from integer_bits "
                f"({self.integer_bits}) to multiplier_bits ({self.multiplier_bits})"
            )
        return self


@dataclass(frozen=True)
class SpattenWork(Work):
    """A layer with pruned tokens, heads and values."""

    layer: LayerWork
    """What its pipeline is asked for."""
    stand_in: bool
    """Whether the layer's own unpruned probabilities stood in for those of the layers before it, of which none were
    given."""
    token_kept: BoolArray
    """[n]"""


def shares(final: float, layers: int, pruning: SpattenPruning) -> list[float]:
    """Share kept in each of some layers that ends at `final`."""
    # Binary fractions such as 0.15 x 20 must not round up to one layer more.
    unpruned = min(int(np.ceil(round(pruning.unpruned_layers * layers, 9))), layers - 1)
    falling = layers - unpruned
    steps = [min(1.0, place / falling) if pruning.ramp == "linear" else 1.0 for place in range(1, falling + 1)]
    return [1.0] * unpruned + [1 - (1 - final) * step for step in steps]


def kept_count(share: float, total: int) -> int:
    """Nearest whole number (a half goes up), at least 1."""
    return max(1, int(share * total + 0.5))


def _counts(unit: SpattenUnit, layers: int, n: int, heads: int) -> tuple[list[int], list[int]]:
    """Tokens and heads of each layer.

    Raises
    ------
    MappingError
        When the behavioural mode is to fetch more keys than there are.
    """
    options, fetched = unit.spatten, unit.behavioural.fetched_keys
    left = [kept_count(share, heads) for share in shares(options.head_keep, layers, options)]
    if unit.mode != "behavioural" or fetched is None:
        return [kept_count(share, n) for share in shares(options.token_keep, layers, options)], left
    if fetched > n:
        raise MappingError(f"{unit.name}: behavioural.fetched_keys is {fetched}; allowed: up to the sequence, {n}")
    return [fetched] * layers, left


@dataclass
class _Cascade:
    """What goes from layer to layer."""

    token_kept: BoolArray
    head_kept: BoolArray
    token_importance: IntArray
    """[n] in steps of the kernel."""
    head_importance: NDArray[np.float64]
    """[heads]"""

    def receive(self, values: "_Values") -> None:
        """Add what a layer's tokens received and what its heads put out."""
        self.token_importance += values.received
        self.head_importance += np.abs(values.output).sum(axis=(1, 2), dtype=np.float64)

    def decide(self, unit: "SpattenUnit", tokens: int, heads: int, seed: int) -> tuple[int, int]:
        """Leave the most important tokens and heads; returns the engine's cycles and comparisons."""
        cycles = compared = 0
        for kept, importance, count in (
            (self.token_kept, self.token_importance.astype(np.float64), tokens),
            (self.head_kept, self.head_importance, heads),
        ):
            alive = np.flatnonzero(kept)
            stay, passes, numbers = select(importance[alive], min(count, len(alive)), unit.topk_parallelism, seed)
            kept[alive[~stay]] = False
            cycles, compared = cycles + passes, compared + numbers
        return cycles, compared


class Spatten(Accelerator[SpattenUnit]):
    """Cascade token and head pruning."""

    algorithm = "spatten"
    title = "SpAtten, HPCA 2021"
    spec = SpattenUnit
    ratio = Knob("spatten.token_keep", 0.05, 1.0)

    def remarks(self, unit: SpattenUnit, works: Sequence[Work]) -> list[str]:
        if not any(isinstance(work, SpattenWork) and work.stand_in for work in works):
            return []
        return [
            "tokens and heads of this one layer are pruned by what it would itself have found, in place of the layers "
            "before it; rows of pruned queries are 0, which is most of its error."
        ]

    def multipliers(self, unit: SpattenUnit) -> tuple[Multipliers, ...]:
        bits = unit.multiplier_bits**2
        return Multipliers("score", unit.multipliers, bits), Multipliers("value", unit.multipliers, bits)

    def on_chip_bytes(self, unit: SpattenUnit) -> int:
        return int(unit.key_buffer + unit.value_buffer)

    def execute(
        self, unit: SpattenUnit, layers: Sequence[Operands], *, pruning: bool = True
    ) -> tuple[SpattenWork, ...]:
        """Compute consecutive layers; all heads of a layer share its tokens.

        Tokens and heads are chosen at the end of each layer for the next one. If not all are to be left in the first
        layer (a single one has the shares of the last), its own probabilities and outputs without pruning of tokens
        and heads stand in for those of the layers before it. In behavioural mode pruned tokens are left as queries, as
        in the published simulator.
        """
        for operands in layers:
            self.check(unit, operands)
        if len({operands.query.shape for operands in layers}) > 1:
            raise OperandError("consecutive layers need operands of one shape")
        if not layers:
            return ()
        heads, n = layers[0].heads, layers[0].sequence
        tokens, left = _counts(unit, len(layers), n, heads) if pruning else ([n] * len(layers), [heads] * len(layers))
        state = _Cascade(np.ones(n, np.bool_), np.ones(heads, np.bool_), np.zeros(n, np.int64), np.zeros(heads))
        stand_in = tokens[0] < n or left[0] < heads
        if stand_in:
            state.receive(self._values(unit, layers[0], state, pruning))
            state.decide(unit, tokens[0], left[0], seed=0)
            state.token_importance[:], state.head_importance[:] = 0, 0
        works = []
        for index, operands in enumerate(layers):
            values = self._values(unit, operands, state, pruning)
            state.receive(values)
            kept = state.token_kept.copy(), state.head_kept.copy()
            following = min(index + 1, len(layers) - 1)
            decision = state.decide(unit, tokens[following], left[following], seed=index + 1)
            works.append(_work(operands, values, kept, decision, stand_in and index == 0, pruning))
        return tuple(works)

    def _values(self, unit: SpattenUnit, operands: Operands, state: _Cascade, pruning: bool) -> "_Values":
        options, n = unit.spatten, operands.sequence
        fraction_bits = unit.row_bits - unit.integer_bits
        heads, alive = np.flatnonzero(state.head_kept), np.flatnonzero(state.token_kept)
        passing = np.arange(n) if unit.mode == "behavioural" else alive
        asked, left = np.ix_(heads, passing), np.ix_(heads, alive)
        weighed = kept_count(options.value_keep, len(alive)) if pruning else len(alive)
        try:
            held = [
                quantise(matrix, unit.integer_bits, fraction_bits)
                for matrix in (operands.query[asked], operands.key[left], operands.value[left])
            ]
        except ValueError as error:
            raise OperandError(f"{unit.name}: {error}") from None
        found = spatten_heads(
            *(matrix.raw for matrix in held),
            fraction_bits=fraction_bits,
            low_bits=options.lsb_bits if pruning else 0,
            low_threshold=options.lsb_threshold,
            probability_bits=unit.multiplier_bits,
            keep_values=weighed,
            parallelism=unit.topk_parallelism,
            seeds=heads * n,
        )
        output = np.zeros(operands.query.shape, dtype=np.float32)
        received = np.zeros(n, dtype=np.int64)
        output[asked] = found.output
        received[alive] = found.received.sum(axis=0)
        return _Values(output, received, found, weighed, sum(matrix.saturated for matrix in held))

    def simulate(self, unit: SpattenUnit, work: Work) -> AttentionRun:
        assert isinstance(work, SpattenWork)
        return behavioural_run(unit, work.layer) if unit.mode == "behavioural" else simulate_layer(unit, work.layer)

    def closed_form_cycles(self, unit: SpattenUnit, work: Work) -> float:
        """The stage with the most work, or DRAM, and what cannot overlap with it; see `spatten_pipeline.closed_form`.
        In behavioural mode the published sum itself."""
        assert isinstance(work, SpattenWork)
        if unit.mode == "behavioural":
            return float(behavioural_terms(unit, work.layer).total)
        return closed_form(unit, work.layer)


@dataclass(frozen=True)
class _Values:
    """What a layer's heads came to."""

    output: FloatArray
    """[heads, n, head_dim]"""
    received: IntArray
    """[n] by all heads together."""
    found: SpattenValues
    """Of the heads and tokens that are left."""
    weighed: int
    """Values that each query weighs."""
    saturated: int


def _work(
    operands: Operands,
    values: _Values,
    kept: tuple[BoolArray, BoolArray],
    decision: tuple[int, int],
    stand_in: bool,
    pruning: bool,
) -> SpattenWork:
    heads, n, head_dim = operands.query.shape
    (token_kept, head_kept), found = kept, values.found
    tokens, left, queries = int(token_kept.sum()), int(head_kept.sum()), found.recomputed.shape[1]
    layer = LayerWork(
        sequence=n,
        head_dim=head_dim,
        queries=queries,
        tokens=tokens,
        weighed=values.weighed,
        all_bits=not pruning,
        heads=tuple(np.flatnonzero(head_kept).tolist()),
        recomputed=found.recomputed,
        select_cycles=found.select_cycles,
        value_rows=found.value_used.sum(axis=1),
        compared=int(found.compared.sum()) + decision[1],
        decision_cycles=decision[0],
    )
    return SpattenWork(
        heads=heads,
        sequence=n,
        head_dim=head_dim,
        output=values.output,
        kept_pairs=head_kept * np.int64(queries * values.weighed),
        kept_tokens=head_kept * np.int64(tokens),
        head_kept=head_kept,
        effectual_macs=left * queries * (tokens + values.weighed) * head_dim,
        saturated=values.saturated,
        layer=layer,
        stand_in=stand_in,
        token_kept=token_kept,
    )


SPATTEN = Spatten()
