"""Time of the HDP unit by formula, apart from its simulation.

Heads are dealt to the cores in turn. A core's time is the recurrence of its two halves (see `hdp_pipeline`), with each
half's compute by the longer of its array and the unit beside it, and each transfer as long as those of all cores that
ask for one at that time; the unit's is that of its slowest core, or the time of all bytes, if that is longer.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.config.hardware import HdpUnit
from accelsim.machine.attention.work import HeadCosts, HeadWork, head_costs

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def front_cycles(costs: HeadCosts) -> float:
    """Integer scores, the sparsity engine behind them and the head's decision: whichever of the two bounds."""
    integer, engine = costs.integer_cycles, costs.engine_cycles
    return float(max(sum(integer) + engine[-1], integer[0] + sum(engine)) + 1)


def back_cycles(costs: HeadCosts) -> FloatArray:
    """Scores, softmax and P x V of each head, [heads]: the array with a wait for the last softmax, or the softmax unit.

    The array takes S0 S1 V0 S2 V1 ... V(last), and softmax works between S and V of a group.
    """
    scores, softmax, values = costs.score_cycles, costs.softmax_cycles, costs.value_cycles
    before = values[:, -2] if values.shape[1] > 1 else np.zeros(len(values), dtype=np.int64)
    array = scores.sum(axis=1) + values.sum(axis=1) + np.maximum(0, softmax[:, -1] - before)
    beside = scores[:, 0] + softmax.sum(axis=1) + values[:, -1]
    longest: FloatArray = np.maximum(array, beside).astype(np.float64)
    return longest


@dataclass(frozen=True)
class _Round:
    """Heads that the cores work on at one time, in cycles: compute of the slowest, and transfers of all of them."""

    load: float
    spill: float
    scores: float
    """Fractions and spilled scores."""
    early: float
    """Fractions that were asked for before the decision."""
    values: float
    write: float
    last_values: float
    """Of the core that is served last, as is its output."""
    last_write: float
    apart: float
    """By how much the last core begins after the first, as its operands came later."""
    front: float
    back: float
    weighing: float
    """What follows once V is there; the scores of two groups come before."""
    streamed: bool
    """Whether K and V come group by group."""


_NOTHING = _Round(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, False)


def _round(unit: HdpUnit, work: HeadWork, costs: HeadCosts, heads: slice) -> _Round:
    kept = work.head_kept[heads]
    # All cores ask at once in the beginning. Later they are as far apart as transfers have put them, and meet no more.
    number = len(kept) if heads.start == 0 else 1
    per_byte = unit.clock / unit.dram_bandwidth * number / len(kept)

    def stream(sizes: IntArray, head: int | None = None) -> float:
        of_round = sizes[heads]
        return float(of_round.sum() if head is None else of_round[head]) * per_byte

    load = stream(costs.load_bytes)
    early = stream(costs.fraction_bytes) if unit.head_decision == "speculative" else 0.0
    moving = (load, stream(costs.spill_write_bytes))
    if not kept.any():
        return _Round(*moving, 0, early, 0, 0, 0, 0, 0, front_cycles(costs), 0, 0, False)
    last, back = int(np.flatnonzero(kept)[-1]), back_cycles(costs)[heads]
    return _Round(
        *moving,
        scores=stream(costs.spill_read_bytes) + (0.0 if early else stream(costs.fraction_bytes)),
        early=early,
        values=stream(costs.value_bytes),
        write=stream(costs.output_bytes),
        last_values=stream(costs.value_bytes, last),
        last_write=stream(costs.output_bytes, last),
        apart=(number - 1) / number * (load + early),
        front=front_cycles(costs),
        back=float((back * kept).max()),
        weighing=float(((back - costs.score_cycles[heads, :2].sum(axis=1)) * kept).max()),
        streamed=bool(costs.streamed[heads].any()),
    )


def _both(unit: HdpUnit, back: _Round, front: _Round, written: float) -> tuple[float, float]:
    """Cycles of the back half with its heads and of the front half with the next, both from one moment.

    DRAM is asked for what is left of the outputs before (`written`), for fractions and V, for operands of the next
    heads and their fractions where nobody waits for a decision, and last for the scores that spill.
    """
    latency = unit.dram_latency * unit.clock
    arrived = written + back.scores + back.values
    loaded = arrived + front.load
    back_end = front_end = 0.0
    if back.back:
        # Cores that are apart find the DRAM free in between; the last one waits for V of all but itself.
        queue = max(arrived - back.last_values - back.apart, back.scores / unit.cores)
        scores = latency + queue if back.scores else max(0.0, back.early + latency - back.front)
        back_end = max(scores + back.back, latency + arrived - back.apart + back.weighing)
        if back.streamed:
            back_end = max(latency + arrived, back.back)
    if front.front:
        begin = latency + loaded
        spilled = begin + front.early + front.spill + latency if front.spill else 0.0
        front_end = max(begin + front.front, spilled)
    return back_end, front_end


def closed_form_cycles(unit: HdpUnit, work: HeadWork) -> float:
    """Cycles of heads with pruning on the unit.

    Parameters
    ----------
    unit : HdpUnit
    work : HeadWork
        With decisions (not dense).

    Raises
    ------
    MappingError
        When the unit cannot take the heads.
    """
    costs = head_costs(unit, work)
    rounds = [_round(unit, work, costs, slice(first, first + unit.cores)) for first in range(0, work.heads, unit.cores)]
    total, written = _both(unit, _NOTHING, rounds[0], 0.0)[1], 0.0
    for this, following in zip(rounds, [*rounds[1:], _NOTHING], strict=True):
        back, front = _both(unit, this, following, written)
        total += back + following.front if unit.shared_array and this.back else max(back, front)
        written = max(0.0, this.write - max(0.0, front - back))
    moved = costs.load_bytes + costs.spill_write_bytes + costs.spill_read_bytes + costs.fraction_bytes
    moved += costs.value_bytes + costs.output_bytes
    dram = float(moved.sum()) / unit.dram_bandwidth * unit.clock
    last = rounds[-1].last_write
    return max(total + last + unit.dram_latency * unit.clock * bool(last), dram)
