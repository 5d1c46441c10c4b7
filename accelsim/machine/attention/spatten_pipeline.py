"""Time, traffic and actions of SpAtten for one layer: its pipeline, a closed form of it, and the published arithmetic.

A query takes ``ceil(keys / par)`` cycles for its scores, with ``par = multipliers / head_dim`` keys a cycle (longer
rows take several), ``ceil(keys / r)`` in the softmax unit, the passes of its search in the top-k engine (none when
every value is weighed), and ``ceil(weighed / par)`` for P x V. One whose largest probability is too small passes scores
and softmax twice. Heads follow each other directly. After the last one the pipeline drains, and the engine chooses the
tokens and heads of the next layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import MappingError
from accelsim.machine.attention.pe_array import ceil_div
from accelsim.machine.attention.pipeline import Job, Tally, run_pipeline
from accelsim.machine.attention.run import AttentionRun
from accelsim.machine.attention.spatten_behavioural import (
    PIPELINE_DEPTH,
    BehaviouralHead,
    BehaviouralMachine,
    LayerCycles,
    layer_cycles,
)

if TYPE_CHECKING:
    from accelsim.machine.attention.spatten import SpattenUnit

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

STAGES = ("score", "softmax", "top_k", "value", "decide")
"""The last one is the end of a layer: what is in the pipeline drains, and the engine decides on the next layer."""
_PROBABILITY_BYTES, _IMPORTANCE_BYTES, _BURST_BYTES = 2, 4, 32


@dataclass(frozen=True)
class LayerWork:
    """What a layer asks of the pipeline."""

    sequence: int
    head_dim: int
    queries: int
    """That pass."""
    tokens: int
    """Left in this layer, as keys."""
    weighed: int
    """Values that each query weighs."""
    all_bits: bool
    """Whether K comes at full width at once."""
    heads: tuple[int, ...]
    """Left in this layer; the arrays that follow have a row for each."""
    recomputed: BoolArray
    """[len(heads), queries] queries that take a second pass."""
    select_cycles: IntArray
    """[len(heads), queries] of the top-k engine."""
    value_rows: IntArray
    """[len(heads)] rows of V that any query weighs."""
    compared: int
    """Numbers that went through the engine's comparators, for values, tokens and heads."""
    decision_cycles: int
    """Of the engine for the tokens and heads of the next layer."""


@dataclass(frozen=True)
class HeadTraffic:
    """Bytes of a head between DRAM and the unit."""

    load: int
    """Before it begins: Q, what the buffers hold of K (high bits) and of V."""
    fetch: int
    """While it is under way: low bits of K, and rows that the buffers do not hold, for every query."""
    write: int
    """Its output."""


def _row_bytes(head_dim: int, bits: int) -> int:
    return ceil_div(head_dim * bits, 8)


def rows_held(unit: "SpattenUnit", head_dim: int) -> tuple[int, int]:
    """Rows of K and of V that the buffers hold at full width."""
    row = _row_bytes(head_dim, unit.row_bits)
    return int(unit.key_buffer) // row, int(unit.value_buffer) // row


def head_traffic(unit: "SpattenUnit", work: LayerWork, place: int) -> HeadTraffic:
    """Of the head at a place of `work.heads`.

    Low bits are fetched once a head, when a query first asks for them, and stay in the buffer. Rows beyond the buffers
    are read for each query: high bits of K, all bits on a second pass, and such rows of V as the query weighs at most.
    """
    row, tokens = _row_bytes(work.head_dim, unit.row_bits), work.tokens
    high = row if work.all_bits else _row_bytes(work.head_dim, unit.spatten.msb_bits)
    low = _row_bytes(work.head_dim, unit.spatten.lsb_bits)
    again = int(work.recomputed[place].sum())
    keys, values = (min(held, tokens) for held in rows_held(unit, work.head_dim))
    used = int(work.value_rows[place])
    fetch = (keys * low if again else 0) + (tokens - keys) * (work.queries * high + again * row)
    fetch += work.queries * min(work.weighed, max(0, used - values)) * row
    passing = work.queries * row
    return HeadTraffic(passing + keys * high + min(values, used) * row, fetch, passing)


def stage_cycles(unit: "SpattenUnit", work: LayerWork, place: int) -> IntArray:
    """Cycles of each query of a head in each stage, [queries, 5]."""
    together = max(1, unit.multipliers // work.head_dim)
    passes = ceil_div(work.head_dim, unit.multipliers)
    rounds = 1 + work.recomputed[place].astype(np.int64)
    cycles = np.empty((work.queries, len(STAGES)), dtype=np.int64)
    cycles[:, 0] = rounds * (ceil_div(work.tokens, together) * passes)
    cycles[:, 1] = rounds * ceil_div(work.tokens, unit.softmax_elements_per_cycle)
    cycles[:, 2] = work.select_cycles[place]
    cycles[:, 3] = ceil_div(work.weighed, together) * passes
    cycles[:, 4] = 0
    return cycles


def _prefetches(unit: "SpattenUnit", work: LayerWork) -> bool:
    """Whether both buffers have room for two heads."""
    return 2 * work.tokens <= min(rows_held(unit, work.head_dim))


def tally(unit: "SpattenUnit", work: LayerWork, traffic: Sequence[HeadTraffic]) -> Tally:
    """Products, actions and bytes through the buffers."""
    queries, tokens = len(work.heads) * work.queries, work.tokens
    again = int(work.recomputed.sum())
    first, second = queries * tokens * work.head_dim, again * tokens * work.head_dim
    values = queries * work.weighed * work.head_dim
    key_bits = unit.row_bits if work.all_bits else unit.spatten.msb_bits
    products = {"score": first, "score_again": second, "value": values}
    bit_products = {
        "score": first * unit.row_bits * key_bits,
        "score_again": second * unit.row_bits**2,
        "value": values * unit.multiplier_bits * unit.row_bits,
    }
    row = _row_bytes(work.head_dim, unit.row_bits)
    # Operands come in, every pass over a query reads Q once and K whole, P x V the rows it weighs; probabilities wait
    # for the row's sum and for the engine, and importance is read and written for each of them.
    buffered = sum(part.load + part.fetch + part.write for part in traffic)
    buffered += (queries + again) * (tokens + 1) * row + queries * work.weighed * row
    buffered += queries * tokens * 2 * (2 * _PROBABILITY_BYTES + _IMPORTANCE_BYTES)
    actions = {
        "bit_product": sum(bit_products.values()),
        "softmax_element": (queries + again) * tokens,
        "importance_addition": queries * (tokens + work.head_dim),
        "top_k_comparison": work.compared,
    }
    return Tally(products, bit_products, actions, buffer_bytes=buffered)


def simulate_layer(unit: "SpattenUnit", work: LayerWork) -> AttentionRun:
    """Play the heads of a layer on the pipeline."""
    traffic = [head_traffic(unit, work, place) for place in range(len(work.heads))]
    streams = work.tokens > min(rows_held(unit, work.head_dim))
    jobs = []
    for place, (head, part) in enumerate(zip(work.heads, traffic, strict=True)):
        cycles = stage_cycles(unit, work, place)
        if place == len(work.heads) - 1:
            cycles[-1, -1] = PIPELINE_DEPTH + work.decision_cycles
        # Rows that stream are needed by the scores themselves; low bits once softmax has found that they are.
        after = 0 if streams else 1
        jobs.append(Job(head, part.load, cycles, fetch_bytes=part.fetch, fetch_after=after, write_bytes=part.write))
    return run_pipeline(unit, STAGES, jobs, tally(unit, work, traffic), prefetch=_prefetches(unit, work))


def closed_form(unit: "SpattenUnit", work: LayerWork) -> float:
    """Cycles of a layer: for each head its busiest stage or what DRAM needs meanwhile, and the ends that nothing hides.

    If the buffers hold two heads, the next one's operands come while one is under way, and no layer is shorter than all
    its transfers; if not, they come before. The first load, the first query's way through the other stages, the depth
    of the pipeline, the decision and the last write stand at the ends.
    """
    if not work.heads:
        return 0.0
    places = range(len(work.heads))
    traffic = [head_traffic(unit, work, place) for place in places]
    cycles = [stage_cycles(unit, work, place) for place in places]
    per_byte, latency = unit.clock / unit.dram_bandwidth, unit.dram_latency * unit.clock
    busiest = [float(rows.sum(axis=0).max()) for rows in cycles]
    loads = [part.load * per_byte + latency for part in traffic]
    first = cycles[0][0]
    # Low bits are asked for when the first query has left softmax.
    fill = float(first.sum() - first.max()) + (latency if traffic[0].fetch else 0.0)
    ends = fill + PIPELINE_DEPTH + work.decision_cycles + traffic[-1].write * per_byte + latency
    if not _prefetches(unit, work):
        streamed = [max(own, part.fetch * per_byte) for own, part in zip(busiest, traffic, strict=True)]
        return sum(loads) + sum(streamed) + (len(loads) - 1) * fill + ends
    fed = sum(max(own, load) for own, load in zip(busiest, [*loads[1:], 0.0], strict=True))
    moved = sum(part.load + part.fetch + part.write for part in traffic) * per_byte
    return max(loads[0] + fed + ends, moved + latency)


def behavioural_terms(unit: "SpattenUnit", work: LayerWork) -> LayerCycles:
    """The published arithmetic's terms of a layer.

    Raises
    ------
    MappingError
        When `top_k` asks for more than there is, or head_dim exceeds a product's multipliers.
    """
    options = unit.behavioural
    if options.top_k is not None and options.top_k > work.tokens:
        raise MappingError(
            f"{unit.name}: behavioural.top_k is {options.top_k}; allowed: up to the {work.tokens} keys that are left"
        )
    head = BehaviouralHead(
        work.queries, work.tokens, work.head_dim, options.key_bits, options.value_bits, options.top_k
    )
    expected = options.pivots == "expected"
    machine = BehaviouralMachine(unit.multipliers, unit.dram_channels, options.comparators, expected)
    return layer_cycles([head] * len(work.heads), machine)


def behavioural_run(unit: "SpattenUnit", work: LayerWork) -> AttentionRun:
    """A run whose time is the published sum, one term after another; counts are those of the operands' work."""
    terms = behavioural_terms(unit, work)
    spans = {"dram": terms.dram, "fill": terms.fill, "drain": terms.drain, "top_k": terms.top_k}
    hertz = round(unit.clock)
    edges = np.concatenate(([0], np.cumsum(list(spans.values())))).astype(object) * 10**12 // hertz
    edges = edges.astype(np.int64)
    account = np.append(np.diff(edges), 0)
    counted = tally(unit, work, [head_traffic(unit, work, place) for place in range(len(work.heads))])
    moved = terms.bursts * _BURST_BYTES
    kinds = np.arange(len(spans), dtype=np.int64)
    return AttentionRun(
        end_ps=int(edges[-1]),
        stages=tuple(spans),
        causes=(*spans, "idle"),
        stage_head=np.full(len(spans), work.heads[-1] if work.heads else 0, dtype=np.int64),
        stage_core=np.zeros(len(spans), dtype=np.int64),
        stage_kind=kinds,
        stage_begin_ps=edges[:-1],
        stage_end_ps=edges[1:],
        core_account_ps=account[None, :],
        core_busy_ps={name: account[place : place + 1] for place, name in enumerate(spans)},
        dram_busy_ps=int(account[0]),
        dram_bytes=moved,
        buffer_bytes=counted.buffer_bytes,
        spilled_bytes=0,
        products=counted.products,
        bit_products=counted.bit_products,
        actions={**counted.actions, "buffer_byte": counted.buffer_bytes, "dram_byte": moved},
    )
