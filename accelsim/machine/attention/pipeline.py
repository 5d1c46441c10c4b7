"""A core as a pipeline: heads enter in order, and each head's groups of queries pass its stages one behind the other.

Most accelerators have this form. A group is as many queries as a stage takes at once. Group g leaves stage s at

    end[g, s] = max(end[g, s - 1], end[g - 1, s]) + cycles[g, s]

and the next head's first group follows the last group of the head before it. Queues between stages are long enough that
no stage waits for room behind it. Cores share the DRAM, which serves transfers in the order of their requests. Time is
integer picoseconds.
"""

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import numpy as np
import simpy
from numpy.typing import NDArray

from accelsim.config.attention_unit import AttentionUnit
from accelsim.machine.attention.parts import PS_PER_SECOND, SharedDram, attribute, run_until
from accelsim.machine.attention.run import AttentionRun

IntArray = NDArray[np.int64]

LOAD, FETCH, WRITE, IDLE = "load", "fetch", "write", "idle"
"""Stages and causes that every pipeline has beside its own: operands from DRAM before a head begins, more of them while
it is under way, its output to DRAM, nothing."""


@dataclass(frozen=True)
class Job:
    """One head on a core."""

    head: int
    load_bytes: int
    """From DRAM before the first group enters."""
    cycles: IntArray
    """[groups, stages]; 0 where a group passes a stage by. No groups: the head is pruned and costs its load alone."""
    fetch_bytes: int = 0
    """From DRAM while the head is under way: asked for when the first group leaves stage `fetch_after`, and needed, in
    equal shares by the groups in order, by the stage after it."""
    fetch_after: int = 0
    fetch_whole: bool = False
    """Whether all groups leave stage `fetch_after` before the fetch is asked for, as when it depends on all of them."""
    write_bytes: int = 0
    """To DRAM when the last group has left."""


@dataclass(frozen=True)
class Tally:
    """What a work asks of a unit beside its time, for `AttentionRun`."""

    products: dict[str, int]
    bit_products: dict[str, int]
    actions: dict[str, int]
    """Without ``dram_byte`` and ``buffer_byte``, which the simulation and `buffer_bytes` give."""
    buffer_bytes: int = 0
    spilled_bytes: int = 0


def flow_shop(
    cycles: IntArray, entry: IntArray, free: IntArray, release: IntArray | None, release_stage: int
) -> IntArray:
    """End of each group in each stage, [groups, stages].

    Parameters
    ----------
    cycles : int64 [groups, stages]
        Duration, in any unit of time.
    entry : int64 [groups]
        From when each group may enter the first stage.
    free : int64 [stages]
        From when each stage is free.
    release : int64 [groups] or None
        From when each group may enter stage `release_stage`, beside having left the one before.
    """
    ends = np.empty_like(cycles)
    arrival = entry
    for stage in range(cycles.shape[1]):
        if release is not None and stage == release_stage:
            arrival = np.maximum(arrival, release)
        # A group begins when it has come and the one before has left: a running maximum once durations are taken off.
        spent = np.cumsum(cycles[:, stage])
        before = spent - cycles[:, stage]
        begin_less_work = np.maximum.accumulate(np.maximum(arrival - before, free[stage]))
        arrival = ends[:, stage] = begin_less_work + spent
    return ends


@dataclass
class _Core:
    """What one core has done so far."""

    free: IntArray
    spans: list[list[IntArray]]
    """Of each stage and then of load, fetch and write: (begin, end, cause)."""
    busy: IntArray
    waited: list[tuple[int, int, int]] = field(default_factory=list)


def _merged(begins: IntArray, ends: IntArray, cause: int) -> IntArray:
    """Intervals [spans, 3] joined where one begins as the other ends; those of no length are left out."""
    real = ends > begins
    begins, ends = begins[real], ends[real]
    apart = begins[1:] != ends[:-1]
    edge = np.ones(min(1, len(begins)), dtype=np.bool_)
    first, last = begins[np.concatenate((edge, apart))], ends[np.concatenate((apart, edge))]
    return np.stack([first, last, np.full_like(first, cause)], axis=1)


class _Pipeline:
    """A simulation under way."""

    def __init__(
        self, unit: AttentionUnit, stages: Sequence[str], jobs: Sequence[Job], cores: int, prefetch: bool
    ) -> None:
        self.unit, self.stages, self.prefetch = unit, tuple(stages), prefetch
        self.causes = (*self.stages, LOAD, FETCH, WRITE, IDLE)
        self.environment = simpy.Environment()
        self.dram = SharedDram(self.environment, unit.dram_bandwidth, round(unit.dram_latency * PS_PER_SECOND))
        self.queue = deque(jobs)
        count = len(self.stages)
        self.cores = [
            _Core(np.zeros(count, np.int64), [[] for _ in range(count + 3)], np.zeros(count, np.int64))
            for _ in range(cores)
        ]
        self.records: list[tuple[int, int, int, int, int]] = []
        self.hertz = round(unit.clock)

    @property
    def now(self) -> int:
        return int(self.environment.now)

    def _until(self, moment: int) -> simpy.Timeout:
        return self.environment.timeout(max(0, moment - self.now))

    def run(self) -> None:
        cores = [self.environment.process(self._core(number)) for number in range(len(self.cores))]
        run_until(self.environment, self.environment.all_of(cores), "attention unit")

    def _span(self, core: int, job: Job, name: str, begin: int, end: int) -> None:
        if end > begin:
            cause = self.causes.index(name)
            self.cores[core].spans[cause].append(np.array([[begin, end, cause]], dtype=np.int64))
            self.records.append((begin, end, job.head, core, cause))

    def _core(self, number: int) -> Generator[simpy.Event, object, None]:
        core = self.cores[number]
        writes: list[simpy.Event] = []
        asked: tuple[Job, int, int] | None = None
        while self.queue or asked:
            job, begin, loaded = asked or self._ask(self.queue.popleft())
            asked = None
            yield self._until(loaded)
            self._span(number, job, LOAD, begin, loaded)
            if not len(job.cycles):
                continue
            if self.prefetch and self.queue:
                asked = self._ask(self.queue.popleft())
            ends = yield from self._pass(number, core, job)
            finish = int(ends[-1, -1])
            writes.append(self.environment.process(self._write(number, job, finish)))
            # The next head follows once the first stage is free, or, without room for its operands, at the end.
            yield self._until(int(core.free[0]) if self.prefetch else finish)
        yield self.environment.all_of(writes)

    def _ask(self, job: Job) -> tuple[Job, int, int]:
        return job, self.now, self.dram.request(job.load_bytes)

    def _pass(self, number: int, core: _Core, job: Job) -> Generator[simpy.Event, object, IntArray]:
        """Groups of a head through all stages."""
        durations = (job.cycles.astype(np.int64) * PS_PER_SECOND + self.hertz // 2) // self.hertz
        entry = np.full(len(durations), self.now, dtype=np.int64)
        release = None
        if job.fetch_bytes:
            known = len(durations) if job.fetch_whole else 1
            until = flow_shop(durations[:known, : job.fetch_after + 1], entry[:known], core.free, None, 0)[-1, -1]
            yield self._until(int(until))
            asked, arrived = self.now, self.dram.request(job.fetch_bytes)
            self._span(number, job, FETCH, asked, arrived)
            shares = np.arange(1, len(durations) + 1, dtype=np.int64)
            first = arrived - -(-job.fetch_bytes * PS_PER_SECOND // self.dram.bandwidth)
            release = first + (arrived - first) * shares // len(durations)
        ends = flow_shop(durations, entry, core.free, release, job.fetch_after + 1)
        core.free = ends[-1].copy()
        core.busy += durations.sum(axis=0)
        for stage in range(len(self.stages)):
            begins = ends[:, stage] - durations[:, stage]
            spans = _merged(begins, ends[:, stage], stage)
            if len(spans):
                core.spans[stage].append(spans)
                self.records.append((int(spans[0, 0]), int(spans[-1, 1]), job.head, number, stage))
        return ends

    def _write(self, number: int, job: Job, finish: int) -> Generator[simpy.Event, object, None]:
        yield self._until(finish)
        written = self.dram.request(job.write_bytes)
        self._span(number, job, WRITE, finish, written)
        yield self._until(written)

    def account(self, core: _Core, end: int) -> IntArray:
        """Time by cause: the stage with the most work explains what it covers first, then the others, then DRAM."""
        order = [*np.argsort(-core.busy, kind="stable").tolist(), *range(len(self.stages), len(self.causes) - 1)]
        none = np.empty((0, 3), dtype=np.int64)
        layers = [np.concatenate([none, *core.spans[index]]) for index in order]
        return attribute(layers, end, len(self.causes), len(self.causes) - 1)


def run_pipeline(
    unit: AttentionUnit,
    stages: Sequence[str],
    jobs: Sequence[Job],
    tally: Tally,
    *,
    cores: int = 1,
    prefetch: bool = True,
) -> AttentionRun:
    """Play heads on a unit whose cores are pipelines.

    Parameters
    ----------
    unit : AttentionUnit
    stages : sequence of str
        Names, in the order in which a group passes them; each has a resource of its own.
    jobs : sequence of Job
        In the order in which cores take them.
    tally : Tally
        What the work asks beside time.
    cores : int
        Pipelines that take heads from the same queue.
    prefetch : bool
        Whether a core loads its next head while it works; needs room for two heads' operands.

    Returns
    -------
    AttentionRun
        Its stages and causes are `stages` and then load, fetch and write; causes end with idle.
    """
    state = _Pipeline(unit, stages, jobs, cores, prefetch)
    state.run()
    end = state.now
    records = np.array(sorted(state.records), dtype=np.int64).reshape(-1, 5)
    return AttentionRun(
        end_ps=end,
        stages=state.causes[:-1],
        causes=state.causes,
        stage_head=records[:, 2],
        stage_core=records[:, 3],
        stage_kind=records[:, 4],
        stage_begin_ps=records[:, 0],
        stage_end_ps=records[:, 1],
        core_account_ps=np.stack([state.account(core, end) for core in state.cores]),
        core_busy_ps={name: np.array([c.busy[i] for c in state.cores]) for i, name in enumerate(state.stages)},
        dram_busy_ps=state.dram.busy_ps,
        dram_bytes=state.dram.bytes,
        buffer_bytes=tally.buffer_bytes,
        spilled_bytes=tally.spilled_bytes,
        products=tally.products,
        bit_products=tally.bit_products,
        actions={**tally.actions, "buffer_byte": tally.buffer_bytes, "dram_byte": state.dram.bytes},
    )
