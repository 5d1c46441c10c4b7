"""Any device program in closed form: the approximation beside the event core and its twin (`engine="estimate"`).

Thread blocks of a launch are taken as equal to their mean and go by in waves (`accelsim.estimate.waves`); the longest
of the last wave adds what it has beyond the mean. Launches side by side share out the slots of the SMs, and otherwise
do not disturb each other. Counts of work are exact; DRAM reads, times and their causes are estimates.
"""

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.estimate.residency import WaveReads, wave_reads
from accelsim.estimate.waves import Array, Kernel, Reads, kernel_time
from accelsim.machine.gemm.check import check_program
from accelsim.machine.gemm.program import Cause, DeviceProgram, DeviceRun, IntArray


@dataclass(frozen=True)
class _Launches:
    """What the closed form knows of every launch."""

    slots: IntArray
    """Thread blocks of it that the device holds at once."""
    first_wave: IntArray
    """[launches + 1] index of its first wave among all."""
    wave_of_block: IntArray
    kernel: Kernel
    reads: WaveReads
    time: Array
    """From its first dispatch to its end, alone on the device."""
    last_wave_time: Array
    """Of that, from the dispatch of its last wave on."""


def estimate_program(program: DeviceProgram) -> DeviceRun:
    """Estimate what `accelsim.machine.gemm.events.run_events` would return, without simulating.

    Returns
    -------
    DeviceRun
        With every field filled: `steps`, bytes of L2 and of DRAM writes and busy times of L2 exactly, the rest
        approximately. Rows of `sm_time` add up to `end`; `events` is 0.

    Raises
    ------
    ValueError
        The program cannot run on any device (see `check_program`).
    RuntimeError
        Launches wait for each other and never begin.
    """
    check_program(program)
    launches = _launches(program)
    begin, dispatch, end = _schedule(program, launches)
    block_dispatch, block_end = _block_times(program, launches, dispatch, end)
    writes = program.block_epilogue_dram > 0
    busy = np.bincount(launches.reads.channel, launches.reads.ticks, program.channels).astype(np.int64)
    last = int(end.max(initial=0))
    return DeviceRun(
        end=last,
        launch_begin=begin,
        launch_end=end,
        block_sm=np.arange(len(program.block_steps)) % program.sm_count,
        block_dispatch=block_dispatch,
        block_end=block_end,
        sm_time=np.tile(_account(program, launches, begin, end, last), (program.sm_count, 1)),
        l2_read_bytes=int((program.block_steps * program.block_load_bytes).sum()),
        l2_write_bytes=int(program.block_epilogue_bytes.sum()),
        dram_read_bytes=int(launches.reads.bytes),
        dram_write_bytes=int(program.block_epilogue_bytes[writes].sum()),
        l2_busy=int((program.block_steps * program.block_l2 + program.block_epilogue_l2).sum()),
        channel_busy=np.minimum(busy + int(program.block_epilogue_dram.sum()), last),
        steps=int(program.block_steps.sum()),
        events=0,
    )


def _resident(program: DeviceProgram) -> IntArray:
    """Thread blocks of each launch that fit an SM together."""
    most = np.full(len(program.launch_after), program.max_blocks_per_sm)
    for need, room in (
        (program.launch_shared_bytes, program.shared_bytes_per_sm),
        (program.launch_registers, program.registers_per_sm),
        (program.launch_threads, program.threads_per_sm),
    ):
        most = np.where(need > 0, np.minimum(most, room // np.maximum(need, 1)), most)
    result: IntArray = np.maximum(most, 1)
    return result


def _launches(program: DeviceProgram) -> _Launches:
    count = program.launch_block_count
    launch = np.repeat(np.arange(len(count)), count)
    resident = _resident(program)
    slots = resident * program.sm_count
    waves = -(-count // slots)
    first_wave = np.concatenate([[0], np.cumsum(waves)])
    position = np.arange(len(launch)) - np.repeat(np.cumsum(count) - count, count)
    wave = first_wave[launch] + position // slots[launch]
    kernel = _kernel(program, launch, resident)
    reads = wave_reads(program, wave, int(first_wave[-1]))
    cumulative = np.concatenate([[0.0], np.cumsum(reads.time)])
    first, last = first_wave[:-1], np.maximum(first_wave[1:] - 1, first_wave[:-1])
    padded = np.append(reads.time, 0.0)
    between = np.maximum(cumulative[last] - cumulative[np.minimum(first + 1, last)], 0)
    parts = Reads(padded[first], between / np.maximum(last - first - 1, 1), padded[last])
    in_last = wave == last[launch]
    longest = np.zeros(len(count))
    np.maximum.at(longest, launch[in_last], program.block_steps[in_last])
    pace = np.maximum(kernel.compute, kernel.latency / kernel.window)
    extra = np.clip(longest - kernel.steps, 0, None) * pace
    time = np.where(count > 0, kernel_time(kernel, program.sm_count, parts) + extra, 0.0)
    full = np.maximum(waves - 1, 0)
    final = Kernel(**{**kernel.__dict__, "blocks": np.where(count > 0, count - full * slots, 1).astype(float)})
    tail = np.where(count > 0, kernel_time(final, program.sm_count, Reads(*[parts.last] * 3)) + extra, 0.0)
    return _Launches(slots, first_wave, wave, kernel, reads, time, np.minimum(tail, time))


def _kernel(program: DeviceProgram, launch: IntArray, resident: IntArray) -> Kernel:
    """The mean thread block of every launch; times of a k-step are weighted by k-steps."""
    launches = len(resident)
    blocks = np.bincount(launch, minlength=launches)
    steps = np.bincount(launch, program.block_steps, launches)

    def per_block(values: NDArray[np.integer]) -> Array:
        result: Array = np.bincount(launch, values, launches) / np.maximum(blocks, 1)
        return result

    def per_step(values: NDArray[np.integer]) -> Array:
        result: Array = np.bincount(launch, values * program.block_steps, launches) / np.maximum(steps, 1)
        return result

    step = np.maximum(np.maximum(program.block_compute, 1), program.block_shared + program.block_conflict)
    last_epilogue = np.zeros(launches)
    np.maximum.at(last_epilogue, launch, program.block_epilogue)
    one = np.ones(launches)
    return Kernel(
        blocks=np.maximum(blocks, 1).astype(float),
        resident=resident.astype(float),
        steps=per_block(program.block_steps),
        compute=per_step(step),
        port=per_step(program.block_port),
        l2=per_step(program.block_l2),
        window=program.launch_window.astype(float),
        setup=program.block_setup * one,
        latency=program.l2_latency * one,
        miss_latency=program.dram_latency * one,
        epilogue=per_block(program.block_epilogue),
        last_epilogue=last_epilogue,
        epilogue_l2=per_block(program.block_epilogue_l2),
        epilogue_dram=per_block(program.block_epilogue_dram),
        write_backlog=program.write_backlog * one,
    )


def _schedule(program: DeviceProgram, launches: _Launches) -> tuple[IntArray, IntArray, IntArray]:
    """Ticks at which launches become active, dispatch their first thread block, and end."""
    count = len(program.launch_after)
    begin, dispatch, end = (np.full(count, -1) for _ in range(3))
    units = int(launches.slots.max(initial=1))
    free = np.zeros(units)
    dealt = 0.0
    work = 0.0
    step = np.maximum(np.maximum(program.block_compute, 1), program.block_shared + program.block_conflict)
    work_of = np.concatenate([[0], np.cumsum(step * program.block_steps)]) / program.sm_count
    ready = [(int(program.launch_release[i]), int(i)) for i in np.flatnonzero(program.launch_after < 0)]
    heapq.heapify(ready)
    followers: dict[int, list[int]] = {}
    for child in np.flatnonzero(program.launch_after >= 0):
        followers.setdefault(int(program.launch_after[child]), []).append(int(child))
    while ready:
        active, index = heapq.heappop(ready)
        begin[index] = dispatch[index] = end[index] = active
        blocks = int(program.launch_block_count[index])
        if blocks:
            needed = min(units, -(-blocks * units // int(launches.slots[index])))
            order = np.argpartition(free, needed - 1)[:needed]
            start = np.maximum(max(active, dealt), free[order])
            dispatch[index] = int(start.min())
            first = int(program.launch_first_block[index])
            work += float(work_of[first + blocks] - work_of[first])
            # Thread blocks of one wave hold the slots that they find free; several waves even slots out.
            alone = start if blocks <= launches.slots[index] else np.full(needed, start.mean())
            leave = alone + launches.time[index]
            done = max(float(leave.max()), work)
            dealt = max(dealt, done - launches.last_wave_time[index])
            free[order] = leave + (done - leave.max())
            end[index] = int(np.ceil(done))
        for follower in followers.get(index, []):
            after = int(end[index] + program.launch_gap[follower])
            heapq.heappush(ready, (max(int(program.launch_release[follower]), after), follower))
    if (end < 0).any():
        raise RuntimeError(f"deadlock: launches {np.flatnonzero(end < 0).tolist()} wait for launches that never end")
    return begin, dispatch, end


def _block_times(
    program: DeviceProgram, launches: _Launches, dispatch: IntArray, end: IntArray
) -> tuple[IntArray, IntArray]:
    """Dispatch and end of thread blocks: waves of equal length, the last one as long as it is estimated to be."""
    launch = np.repeat(np.arange(len(end)), program.launch_block_count)
    wave = launches.wave_of_block - launches.first_wave[launch]
    waves = np.diff(launches.first_wave)[launch]
    tail = np.minimum(launches.last_wave_time[launch], (end - dispatch)[launch])
    period = ((end - dispatch)[launch] - tail) / np.maximum(waves - 1, 1)
    begun = dispatch[launch] + np.floor(wave * period).astype(np.int64)
    ended = np.where(wave + 1 == waves, end[launch], dispatch[launch] + np.floor((wave + 1) * period).astype(np.int64))
    return begun, np.maximum(ended, begun)


def _account(program: DeviceProgram, launches: _Launches, begin: IntArray, end: IntArray, last: int) -> IntArray:
    """How an SM spends its time on average: work as counted, the rest in the proportions of the closed form."""
    row = np.zeros(len(Cause), np.int64)
    compute = np.maximum(program.block_compute, 1)
    step = np.maximum(compute, program.block_shared + program.block_conflict)
    shared = np.maximum(program.block_shared - compute, 0)
    for cause, ticks in (
        (Cause.COMPUTE, compute),
        (Cause.SHARED_MEMORY, shared),
        (Cause.BANK_CONFLICT, step - compute - shared),
    ):
        row[cause] = int((ticks * program.block_steps).sum()) // program.sm_count
    idle, covered = 0, 0
    for at in np.argsort(begin, kind="stable"):
        idle += max(0, int(begin[at]) - covered)
        covered = max(covered, int(end[at]))
    row[Cause.LAUNCH] = min(idle, last - int(row.sum()))
    rest = last - int(row.sum())
    weights = _idle_weights(program, launches)
    total = sum(weights.values())
    given, share = 0, 0.0
    for cause, weight in weights.items():
        share += weight / total if total > 0 else (cause == Cause.TAIL)
        row[cause] = int(rest * min(share, 1.0)) - given
        given += int(row[cause])
    row[Cause.TAIL] += rest - given
    return row


def _idle_weights(program: DeviceProgram, launches: _Launches) -> dict[Cause, float]:
    """Relative sizes of the times in which an SM does not compute."""
    kernel, count = launches.kernel, program.launch_block_count
    waves = np.diff(launches.first_wave)
    used = count > 0
    bulk = kernel.steps * kernel.resident * kernel.compute
    supply = kernel.steps * np.maximum(
        np.maximum(kernel.resident * kernel.port, launches.slots * kernel.l2), kernel.latency / kernel.window
    )
    busy = np.minimum(count / np.maximum(waves * launches.slots, 1), 1.0)
    dram = np.bincount(
        np.repeat(np.arange(len(count)), waves), launches.reads.time, len(count)
    )  # fmt: skip
    wait = waves * np.clip(supply - bulk, 0, None)
    missing = np.clip(dram - waves * np.maximum(supply, bulk), 0, None)
    return {
        Cause.PROLOGUE: float((used * busy * waves * (kernel.setup + kernel.latency)).sum()),
        Cause.L2: float((used * busy * wait).sum()),
        Cause.DRAM: float((used * missing).sum()),
        Cause.EPILOGUE: float((used * busy * waves * kernel.epilogue).sum()),
        Cause.TAIL: float((used * (1 - busy) * launches.time).sum()),
    }
