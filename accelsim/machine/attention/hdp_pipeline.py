"""Timing of the HDP unit in SimPy: cores that take heads in order, each a pipeline of two halves.

The front half of a core loads the integer parts of Q and K, multiplies them on an array of integer multipliers and lets
the sparsity engine decide on blocks and then on the head. The back half fetches what the masks ask for, and computes
cross products, softmax and P x V on the main array of 16-bit multipliers and the softmax unit. A core hands a head from
front to back when both halves are done with theirs, so that

    T = T1(0) + sum over k of max(T1(k + 1), T23(k))

for a core with heads 0, 1, ... alone, T1 being the front's time for a head and T23 the back's (0 for a pruned head, and
after the last). With a shared array the front multiplies once the back is done, and their times add up. Cores share the
DRAM, which serves transfers in the order of their requests. Time is integer picoseconds.

Dense attention runs on the same unit as whole products on the main array; its front half only loads Q, K and V.
"""

from collections import deque
from collections.abc import Generator, Sequence
from enum import IntEnum

import numpy as np
import simpy
from numpy.typing import NDArray

from accelsim.config.hardware import HdpUnit
from accelsim.machine.attention.parts import (
    PS_PER_SECOND,
    Clock,
    Interval,
    SharedDram,
    array_softmax_array,
    attribute,
    busy,
    run_until,
    two_stage_pipeline,
)
from accelsim.machine.attention.run import AttentionRun
from accelsim.machine.attention.work import HeadWork, bit_products, head_costs, products

IntArray = NDArray[np.int64]

DECISION_CYCLES = 1
"""Comparison of a head's importance with its threshold, once the last block row is added up."""


class Stage(IntEnum):
    """What a head goes through."""

    LOAD = 0
    """Integer parts of Q and K from DRAM (dense: Q, K and V)."""
    INTEGER_SCORES = 1
    SPARSITY = 2
    """Importance, thresholds and masks, block row by block row behind the integer scores."""
    SPILL = 3
    """Integer scores that the buffer does not hold go to DRAM."""
    DECISION = 4
    FETCH_FRACTIONS = 5
    """Fractions of Q and K, and spilled scores."""
    FETCH_VALUES = 6
    CROSS = 7
    """Cross products (dense: scores)."""
    SOFTMAX = 8
    VALUES = 9
    """P x V."""
    WRITE = 10
    """Output to DRAM."""


class UnitCause(IntEnum):
    """What a core's time is spent on; together they are the whole of it.

    While both halves work, time is the back half's, whose head is further on: the main array's first, then softmax,
    then waiting for a fetch.
    """

    LOAD = 0
    INTEGER_SCORES = 1
    SPILL = 2
    DECISION = 3
    """Sparsity engine behind the last integer scores, and the head's decision."""
    FETCH_WAIT = 4
    CROSS = 5
    SOFTMAX = 6
    VALUES = 7
    WRITE = 8
    IDLE = 9
    """No head in either half: none has arrived, or none is left."""


class _Core:
    """What one core has done so far, as intervals."""

    def __init__(self) -> None:
        self.main: list[tuple[int, int, int]] = []
        self.softmax: list[tuple[int, int, int]] = []
        self.back: list[tuple[int, int, int]] = []
        self.front: list[tuple[int, int, int]] = []
        self.write: list[tuple[int, int, int]] = []
        self.wasted: list[tuple[int, int, int]] = []
        self.busy = dict.fromkeys(("integer_array", "sparsity_engine", "main_array", "softmax"), 0)
        self.settled_at = 0
        """All transfers asked for so far are complete, those that nobody waits for included."""

    def account(self, end: int) -> IntArray:
        layers = [self.main, self.softmax, self.back, self.front, self.write, self.wasted]
        return attribute(layers, end, len(UnitCause), UnitCause.IDLE)


class _Unit:
    """A simulation under way."""

    def __init__(self, unit: HdpUnit, work: HeadWork, ready_ps: Sequence[int], record: bool) -> None:
        self.unit, self.work, self.ready_ps = unit, work, ready_ps
        self.costs = head_costs(unit, work)
        self.clock = Clock(round(unit.clock))
        self.environment = simpy.Environment()
        self.dram = SharedDram(self.environment, unit.dram_bandwidth, round(unit.dram_latency * PS_PER_SECOND))
        self.queue = deque(range(work.heads))
        self.cores = [_Core() for _ in range(unit.cores)]
        self.records: list[tuple[int, int, int, int, int]] = []
        self.groups: list[tuple[int, int, int, int, int, int]] | None = [] if record else None
        self.integer_ps = self._ps(self.costs.integer_cycles)
        self.engine_ps = self._ps(self.costs.engine_cycles)
        self.speculative_arrival: dict[int, int] = {}

    @property
    def now(self) -> int:
        return int(self.environment.now)

    def _ps(self, cycles: Sequence[int]) -> list[int]:
        return [self.clock.ps(number) for number in cycles]

    def _record(self, begin: int, end: int, head: int, core: int, stage: Stage) -> None:
        self.records.append((begin, end, head, core, stage))

    def _record_groups(self, intervals: list[Interval], head: int, core: int, stage: Stage) -> None:
        """Keep a stage group by group beside keeping it whole."""
        self._record(intervals[0][0], intervals[-1][1], head, core, stage)
        if self.groups is not None:
            self.groups += [(*interval, head, core, stage, group) for group, interval in enumerate(intervals)]

    def _until(self, moment: int) -> simpy.Timeout:
        return self.environment.timeout(max(0, moment - self.now))

    def run(self) -> None:
        """Play all heads."""
        cores = [self.environment.process(self._core(number)) for number in range(self.unit.cores)]
        run_until(self.environment, self.environment.all_of(cores), "attention unit")

    def _core(self, number: int) -> Generator[simpy.Event, object, None]:
        core = self.cores[number]
        back: simpy.Event | None = None
        while self.queue:
            head = self.queue.popleft()
            yield self._until(self.ready_ps[head])
            yield from self._front(core, number, head, back)
            if back is not None:
                yield back
            kept = bool(self.work.head_kept[head])
            back = self.environment.process(self._back(core, number, head)) if kept else None
        if back is not None:
            yield back
        yield self._until(core.settled_at)

    def _front(
        self, core: _Core, number: int, head: int, back: simpy.Event | None
    ) -> Generator[simpy.Event, object, None]:
        begin = self.now
        loaded = self.dram.request(self.costs.load_bytes[head])
        self._record(begin, loaded, head, number, Stage.LOAD)
        core.front.append((begin, loaded, UnitCause.LOAD))
        yield self._until(loaded)
        if self.work.dense:
            return
        if self.unit.head_decision == "speculative":
            arrival = self.dram.request(self.costs.fraction_bytes[head])
            self.speculative_arrival[head] = arrival
            self._record(loaded, arrival, head, number, Stage.FETCH_FRACTIONS)
            if not self.work.head_kept[head]:
                core.wasted.append((loaded, arrival, UnitCause.FETCH_WAIT))
                core.settled_at = max(core.settled_at, arrival)
        if self.unit.shared_array and back is not None:
            yield back
        scores, engine = two_stage_pipeline(self.now, self.integer_ps, self.engine_ps)
        scored, decided = scores[-1][1], engine[-1][1] + self.clock.ps(DECISION_CYCLES)
        core.busy["main_array" if self.unit.shared_array else "integer_array"] += busy(scores)
        core.busy["sparsity_engine"] += busy(engine)
        self._record_groups(scores, head, number, Stage.INTEGER_SCORES)
        self._record_groups(engine, head, number, Stage.SPARSITY)
        self._record(engine[-1][1], decided, head, number, Stage.DECISION)
        core.front += [(scores[0][0], scored, UnitCause.INTEGER_SCORES), (scored, decided, UnitCause.DECISION)]
        spill = self.costs.spill_write_bytes[head]
        if spill:
            spilled = self.dram.request(spill)
            self._record(scores[0][0], spilled, head, number, Stage.SPILL)
            core.front.append((decided, max(spilled, decided), UnitCause.SPILL))
            decided = max(spilled, decided)
        yield self._until(decided)

    def _back(self, core: _Core, number: int, head: int) -> Generator[simpy.Event, object, None]:
        begin, costs = self.now, self.costs
        fetch = int(costs.spill_read_bytes[head])
        speculative = head in self.speculative_arrival
        if not speculative:
            fetch += int(costs.fraction_bytes[head])
        fetched = max(self.dram.request(fetch), self.speculative_arrival.pop(head, 0))
        value_arrival = self.dram.request(costs.value_bytes[head])
        if fetch:
            self._record(begin, fetched, head, number, Stage.FETCH_FRACTIONS)
        if value_arrival > begin:
            self._record(begin, value_arrival, head, number, Stage.FETCH_VALUES)
        release = None
        if costs.streamed[head]:
            groups, last = len(costs.score_cycles[head]), max(fetched, value_arrival)
            release = [begin + (last - begin) * (group + 1) // groups for group in range(groups)]
            fetched = value_arrival = begin
        yield self._until(fetched)
        scores, softmax, values = array_softmax_array(
            fetched,
            self._ps(costs.score_cycles[head]),
            self._ps(costs.softmax_cycles[head]),
            self._ps(costs.value_cycles[head]),
            value_arrival,
            release,
        )
        end = values[-1][1]
        self._use(core, number, head, scores, softmax, values)
        core.back.append((begin, end, UnitCause.FETCH_WAIT))
        yield self._until(end)
        written = self.dram.request(costs.output_bytes[head])
        core.settled_at = max(core.settled_at, written)
        core.write.append((max(end, core.write[-1][1] if core.write else 0), written, UnitCause.WRITE))
        self._record(end, written, head, number, Stage.WRITE)

    def _use(
        self,
        core: _Core,
        number: int,
        head: int,
        scores: list[Interval],
        softmax: list[Interval],
        values: list[Interval],
    ) -> None:
        core.main += [(*interval, UnitCause.CROSS) for interval in scores]
        core.main += [(*interval, UnitCause.VALUES) for interval in values]
        core.softmax += [(*interval, UnitCause.SOFTMAX) for interval in softmax]
        core.busy["main_array"] += busy(scores) + busy(values)
        core.busy["softmax"] += busy(softmax)
        for stage, intervals in ((Stage.CROSS, scores), (Stage.SOFTMAX, softmax), (Stage.VALUES, values)):
            self._record_groups(intervals, head, number, stage)


def _report(state: _Unit) -> AttentionRun:
    """Collect a finished simulation."""
    work, costs, end = state.work, state.costs, state.now
    again = int(costs.recomputed_products.sum())
    in_kinds, in_bits = products(work), bit_products(work)
    in_kinds["integer"] += again
    in_bits["integer"] += again * work.integer_bits**2
    blocks = 0 if work.dense else work.heads * work.counts.row_blocks.shape[1] ** 2
    records = np.array(sorted(state.records), dtype=np.int64).reshape(-1, 5)
    return AttentionRun(
        end_ps=end,
        stages=tuple(stage.name.lower() for stage in Stage),
        causes=tuple(cause.name.lower() for cause in UnitCause),
        stage_head=records[:, 2],
        stage_core=records[:, 3],
        stage_kind=records[:, 4],
        stage_begin_ps=records[:, 0],
        stage_end_ps=records[:, 1],
        core_account_ps=np.stack([core.account(end) for core in state.cores]),
        core_busy_ps={name: np.array([c.busy[name] for c in state.cores]) for name in state.cores[0].busy},
        dram_busy_ps=state.dram.busy_ps,
        dram_bytes=state.dram.bytes,
        buffer_bytes=int(costs.buffer_bytes.sum()),
        spilled_bytes=int((costs.spill_write_bytes + costs.spill_read_bytes).sum()),
        products=in_kinds,
        bit_products=in_bits,
        actions={
            "bit_product": sum(in_bits.values()),
            "buffer_byte": int(costs.buffer_bytes.sum()),
            "dram_byte": state.dram.bytes,
            "softmax_element": int(work.counts.softmax_elements.sum()),
            "sparsity_block": blocks,
        },
        groups=None if state.groups is None else np.array(sorted(state.groups), dtype=np.int64).reshape(-1, 6),
    )


def simulate_hdp(
    unit: HdpUnit,
    work: HeadWork,
    *,
    operands_in_place: Sequence[int] | IntArray | None = None,
    record: bool = False,
) -> AttentionRun:
    """Time, traffic and actions of heads on the attention unit.

    Parameters
    ----------
    unit : HdpUnit
    work : HeadWork
        From `hdp_work` or `dense_work`; heads are taken in this order by whichever core is free.
    operands_in_place : [heads] int, optional
        Picosecond from which each head's Q, K and V lie in the unit's DRAM. Left out, they do from the start; what
        brings them there is the system's business.
    record : bool
        Whether `AttentionRun.groups` is told.

    Returns
    -------
    AttentionRun

    Raises
    ------
    MappingError
        When head_dim is more than the unit takes, or integer scores are to be held and do not fit.
    ValueError
        When `operands_in_place` has not one entry for each head.
    """
    ready = [0] * work.heads if operands_in_place is None else [int(moment) for moment in operands_in_place]
    if len(ready) != work.heads:
        raise ValueError(f"operands_in_place has {len(ready)} entries for {work.heads} heads")
    state = _Unit(unit, work, ready, record)
    state.run()
    return _report(state)
