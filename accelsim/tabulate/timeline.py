"""From what a run's steps leave to a `Timeline`: kernels, launches, thread blocks, use of servers, copies, attention.

Times within a kernel are the device's ticks at the clock without a power limit; what a limit adds stands behind them,
as in the account.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from accelsim.config.scheme import RunConfig
from accelsim.config.trace import Sampling
from accelsim.machine.attention.run import AttentionRun
from accelsim.machine.gemm.program import Cause
from accelsim.machine.gemm.record import DeviceRecord, Phase, Use
from accelsim.machine.simulate import KernelRun, NetworkRun
from accelsim.mapping.plan import GemmPlan
from accelsim.results.timeline import Scalar, Slice, Timeline, TimelineBuilder, lanes

IntArray = NDArray[np.int64]
GPU, UNIT = "GPU", "attention unit"
_PHASES = {Phase.PROLOGUE: "prologue", Phase.WAIT: "wait for data", Phase.EPILOGUE: "epilogue"}
_COUNTERS = {Use.TENSOR_CORE: "tensor cores", Use.L2: "L2", Use.DRAM: "DRAM"}


def timeline_of(config: RunConfig, run: NetworkRun, sampling: Sampling) -> Timeline:
    """Timeline of a simulated network.

    Parameters
    ----------
    config : RunConfig
    run : NetworkRun
        Simulated with the same `sampling`, so that kernels and attention carry records.
    sampling : Sampling

    Returns
    -------
    Timeline
        Paths begin with the scheme, workload and machine.
    """
    builder = TimelineBuilder(f"{config.scheme}: {config.workload.name} on {config.hardware.name}")
    kernels = {kernel.name: kernel for kernel in run.kernels}
    units = {unit.operation: unit.run for unit in run.units}
    for span in run.spans:
        if span.unit == "gpu":
            _Kernel(builder, kernels[span.name], span.begin_ps, config.hardware.gpu.sm_count).add()
        elif span.unit == "link":
            builder.track("link").append(Slice(span.begin_ps, span.end_ps, span.name))
        else:
            builder.track(UNIT, "operations").append(Slice(span.begin_ps, span.end_ps, span.name))
            add_attention(builder, units[span.name], span.begin_ps, UNIT)
    if config.engine == "estimate":
        builder.notes.append("the closed form tells no thread blocks; take --engine events for them")
    return builder.built(sampling.limit)


class _Kernel:
    """One run of a kernel, whose record others of its shape may share."""

    def __init__(self, builder: TimelineBuilder, kernel: KernelRun, begin_ps: int, sm_count: int) -> None:
        self.builder, self.kernel, self.begin, self.sm_count = builder, kernel, begin_ps, sm_count
        self.end = begin_ps + kernel.duration_ps

    def ps(self, ticks: Iterable[int] | IntArray) -> list[int]:
        """Moments on the device in picoseconds; whole numbers of any size, since products of both outgrow 64 bits."""
        free, end = self.kernel.free_ps, max(1, self.kernel.run.end)
        return [self.begin + int(tick) * free // end for tick in ticks]

    def add(self) -> None:
        """All that is known of it."""
        kernel, run = self.kernel, self.kernel.run
        about: list[tuple[str, Scalar]] = [("part", kernel.part), ("thread_blocks", len(run.block_end))]
        about += [("dram_read_bytes", run.dram_read_bytes), ("dram_write_bytes", run.dram_write_bytes)]
        if isinstance(kernel.kernel, GemmPlan):
            tile = kernel.kernel.tile
            about.append(("tile", f"{tile.tile_m}x{tile.tile_n}x{tile.tile_k}/{tile.stages}"))
        if kernel.throttled_ps:
            about.append(("power_limit_ps", kernel.throttled_ps))
        self.builder.track(GPU, "kernels").append(Slice(self.begin, self.end, kernel.name, tuple(about)))
        if kernel.record is None:
            return
        self._launches(kernel.record)
        for sm in kernel.record.sampled.tolist():
            self._tensor_core(kernel.record, sm)
            self._slots(kernel.record, sm)
        self._use(kernel.record)
        if kernel.record.lost:
            self.builder.notes.append(f"{kernel.name}: {kernel.record.lost:,} pieces of SMs were not recorded")

    def _launches(self, record: DeviceRecord) -> None:
        """What the host makes known, and what its streams run."""
        run, names = self.kernel.run, self._launch_names()
        known = self.begin
        released = self.ps(record.launch_release)
        for index in np.argsort(record.launch_release, kind="stable").tolist():
            if released[index] > known:
                self.builder.track(GPU, "host").append(Slice(known, released[index], f"launch {names[index]}"))
                known = released[index]
        begins, ends = self.ps(run.launch_begin), self.ps(run.launch_end)
        for number, stream in enumerate(np.unique(record.launch_stream).tolist()):
            members = np.flatnonzero(record.launch_stream == stream).tolist()
            members.sort(key=lambda index: (begins[index], ends[index]))
            for index, lane in zip(members, lanes([(begins[i], ends[i]) for i in members]), strict=True):
                name = f"stream {number}" if lane == 0 else f"stream {number}, beside {lane}"
                self.builder.track(GPU, "streams", name).append(Slice(begins[index], ends[index], names[index]))

    def _launch_names(self) -> list[str]:
        """The plan's own where there are several; after them comes what adds up the parts of split-K."""
        plan, count = self.kernel.kernel, len(self.kernel.run.launch_end)
        own = [launch.name for launch in plan.launches] if isinstance(plan, GemmPlan) else []
        planned = own if len(own) > 1 else [self.kernel.name]
        return [*planned, *[f"{self.kernel.name}: sum of parts"] * count][:count]

    def _tensor_core(self, record: DeviceRecord, sm: int) -> None:
        """The account of an SM, piece by piece; equal pieces that follow each other are one."""
        rows = record.rows[(record.rows[:, 0] == sm) & (record.rows[:, 1] < len(Cause))]
        if not len(rows):
            return
        parts = np.zeros((len(rows), 3), np.int64)
        work = rows[:, 1] == Cause.COMPUTE
        step = record.step_ticks[rows[work, 2]]
        parts[work] = (rows[work, 4] - rows[work, 3])[:, None] // step.sum(axis=1, keepdims=True) * step
        new = np.concatenate([[True], (rows[1:, 1] != rows[:-1, 1]) | (rows[1:, 3] != rows[:-1, 4])])
        first = np.flatnonzero(new)
        last = np.append(first[1:], len(rows)) - 1
        track = self.builder.track(GPU, f"SM {sm}", "tensor core")
        begins, ends = self.ps(rows[first, 3]), self.ps(rows[last, 4])
        for begin, end, cause, ticks in zip(
            begins, ends, rows[first, 1].tolist(), np.add.reduceat(parts, first).tolist(), strict=True
        ):
            track.append(Slice(begin, end, Cause(cause).name.lower(), _split(end - begin, ticks), detail=True))
        if self.kernel.throttled_ps:
            track.append(Slice(self.begin + self.kernel.free_ps, self.end, "power_limit", detail=True))

    def _slots(self, record: DeviceRecord, sm: int) -> None:
        """Thread blocks of an SM and what each goes through."""
        run = self.kernel.run
        blocks = np.flatnonzero(run.block_sm == sm)
        blocks = blocks[np.lexsort((blocks, run.block_dispatch[blocks]))]
        begins, ends = self.ps(run.block_dispatch[blocks]), self.ps(run.block_end[blocks])
        rows = record.rows[(record.rows[:, 0] == sm) & (record.rows[:, 1] >= len(Cause))]
        rows = rows[np.argsort(rows[:, 2], kind="stable")]
        low, high = (np.searchsorted(rows[:, 2], blocks, side=side) for side in ("left", "right"))
        places = lanes(list(zip(begins, ends, strict=True)))
        for place, block in enumerate(blocks.tolist()):
            track = self.builder.track(GPU, f"SM {sm}", f"slot {places[place]}")
            track.append(Slice(begins[place], ends[place], f"block {block}", self._about(block), detail=True))
            self._phases(track, rows[low[place] : high[place]])

    def _about(self, block: int) -> tuple[tuple[str, Scalar], ...]:
        plan = self.kernel.kernel
        if not isinstance(plan, GemmPlan) or block >= len(plan.blocks):  # those that add up the parts of split-K
            return (("kernel", self.kernel.name),)
        table = plan.blocks
        ranges = (("rows", table.m0, table.m1), ("columns", table.n0, table.n1), ("k", table.k0, table.k1))
        return (("kernel", self.kernel.name), *((name, f"{low[block]}:{high[block]}") for name, low, high in ranges))

    def _phases(self, track: list[Slice], rows: IntArray) -> None:
        """Prologue, main loop with its waits, and epilogue, of one thread block."""
        begins, ends = self.ps(rows[:, 3]), self.ps(rows[:, 4])
        what = rows[:, 1].tolist()
        if Phase.PROLOGUE in what and Phase.EPILOGUE in what:
            loop = ends[what.index(Phase.PROLOGUE)], begins[what.index(Phase.EPILOGUE)]
            if loop[1] > loop[0]:
                track.append(Slice(*loop, "main loop", detail=True))
        for phase, begin, end in zip(what, begins, ends, strict=True):
            track.append(Slice(begin, end, _PHASES[Phase(phase)], detail=True))

    def _use(self, record: DeviceRecord) -> None:
        """Share of their time in which servers of a kind are busy."""
        end, bins = self.kernel.run.end, record.use.shape[1]
        edges = np.minimum(np.arange(bins + 1) * record.bin_ticks, end)
        at = self.ps(edges)
        many = {Use.TENSOR_CORE: self.sm_count, Use.L2: 1, Use.DRAM: len(self.kernel.run.channel_busy)}
        for kind, name in _COUNTERS.items():
            share = np.minimum(100 * record.use[kind] / (np.diff(edges) * many[kind]), 100.0)
            for moment, value in zip(at, [*share.tolist(), 0.0], strict=True):
                self.builder.sample(GPU, f"{name} busy", unit="%", at_ps=moment, value=round(value, 2))


def _split(length: int, ticks: list[int]) -> tuple[tuple[str, Scalar], ...]:
    """How a piece of tensor-core work divides into its causes; nothing where it is computation alone."""
    compute, shared, conflict = ticks
    if not shared + conflict:
        return ()
    whole = compute + shared + conflict
    computing, until_conflict = length * compute // whole, length * (compute + shared) // whole
    return (
        ("compute_ps", computing),
        ("shared_memory_ps", until_conflict - computing),
        ("bank_conflict_ps", length - until_conflict),
    )


def add_attention(builder: TimelineBuilder, run: AttentionRun, begin_ps: int, *group: str) -> None:
    """Stages of heads on a unit's cores, each with its groups of queries where these are told.

    Parameters
    ----------
    builder : TimelineBuilder
    run : AttentionRun
    begin_ps : int
        When the unit begins.
    group : str
        Above the tracks of cores.
    """
    groups = np.empty((0, 6), np.int64) if run.groups is None else run.groups
    for core in range(len(run.core_account_ps)):
        for stage, name in enumerate(run.stages):
            rows = np.flatnonzero((run.stage_core == core) & (run.stage_kind == stage))
            rows = rows[run.stage_end_ps[rows] > run.stage_begin_ps[rows]]
            begins = (run.stage_begin_ps[rows] + begin_ps).tolist()
            ends = (run.stage_end_ps[rows] + begin_ps).tolist()
            heads, chosen = run.stage_head[rows].tolist(), lanes(list(zip(begins, ends, strict=True)))
            for head, lane, begin, end in zip(heads, chosen, begins, ends, strict=True):
                _stage_track(builder, group, core, name, lane).append(Slice(begin, end, f"head {head}"))
            lane_of = dict(zip(heads, chosen, strict=True))
            own = groups[(groups[:, 3] == core) & (groups[:, 4] == stage)]
            for first, last, head, _, _, row_block in own.tolist():
                if head in lane_of and last > first:
                    part = Slice(begin_ps + first, begin_ps + last, f"row block {row_block}", detail=True)
                    _stage_track(builder, group, core, name, lane_of[head]).append(part)


def _stage_track(builder: TimelineBuilder, group: tuple[str, ...], core: int, stage: str, lane: int) -> list[Slice]:
    name = stage.replace("_", " ")
    return builder.track(*group, f"core {core}", name if lane == 0 else f"{name}, beside {lane}")
