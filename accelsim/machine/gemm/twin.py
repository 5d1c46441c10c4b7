"""The GEMM device as SimPy processes: the written rule of what the device does, and the oracle of the event core.

Order
-----
Time is integer ticks. Whatever wants to act at a tick asks for a turn. The turns of one tick are collected and
granted by (kind, SM, thread block), never by arrival; the kinds are those of `Kind`, in that order. What acts at a
tick asks for turns of later ticks, or of later kinds at the same one.

Launches
--------
A launch becomes active at its release, or if later, `launch_gap` after the end of the launch that it follows. Active
launches queue by (tick, index). One without thread blocks completes as it becomes active. The head of the queue deals
out its thread blocks in order, each to the SM with the fewest resident ones among those that have room for it in
shared memory, registers, threads and slots, the lowest index on a tie; nobody overtakes it. Once it has dealt them
all, the next launch is the head. A launch ends as its last thread block retires.

Servers
-------
An SM's L2 port, an SM's epilogue path, L2 and each DRAM channel serve one request after the other, in the order of
requests. A request of zero ticks neither waits nor delays. An SM's tensor core serves chunks in the order in which
they become ready.

Thread blocks
-------------
`block_setup` ticks after its dispatch a thread block loads its first chunks: with one k-step to a chunk as many as
the window holds, else one. A chunk is ready when its first k-step has arrived and the chunk before it is done. It
takes the tensor core for the longer of compute and shared memory (conflicts included), at least one tick for each
k-step, and is done when the core is, or, if later, one k-step after its last data. As a chunk of one k-step takes the
core, the load that follows those in flight is issued. A longer chunk asks for the next one when so many of its
k-steps are left as the window holds. In-order return of loads needs no rule of its own, since a thread block consumes
its chunks in order.

Loads
-----
A chunk streams through port, L2 and DRAM at once: each server is reserved when the load is issued. A tile in L2 is a
hit, even one that is still on its way, which is waited for. A missing tile occupies its channels, arrives
`dram_latency` after the last of them, and drives out the tiles used longest ago until it fits (a tile larger than L2
is not kept). A chunk's data can be used `l2_latency` after the slowest server. Its first k-step needs the first
k-step's share of each server and of each operand's tiles, in their order. All of it has arrived when the servers are
done, and not before the rest has followed the first k-step at a window of k-steps in a latency (Little's law; with
`dram_latency` added when it waits for DRAM).

Results
-------
The epilogue occupies the SM's epilogue path, L2 and every DRAM channel from the end of the last chunk on. The thread
block retires when the path and L2 are done, and no DRAM channel lags behind by more than `write_backlog`: L2 holds what
is not yet written, as far as it can. Writes occupy no room among the tiles of L2. What DRAM still has to write when the
last launch ends stays in L2, and is in the bytes but not in the channels' busy time.

Account
-------
Each SM's time is booked piece by piece, every piece to one `Cause`:

- While the tensor core works: COMPUTE, and what shared memory and then conflicts add to it.
- While it waits and some thread block has k-steps left, the wait is explained when a chunk takes the core, by that
  chunk; when another thread block arrives, by the resident one of lowest index that has k-steps left; when no other
  has k-steps left, by the one that has just finished. The explanation: PROLOGUE before a thread block's first chunk.
  Then, for the chunk before it and its own arrival in turn: L2 up to the tick when the data would have come had every
  tile been in L2, DRAM beyond that.
- While all resident thread blocks are in their epilogues: EPILOGUE.
- While none is resident: LAUNCH as long as no launch is active. When a launch ends, IMBALANCE for the part in which
  its last thread block works through more k-steps than the launch's mean: duration x (its k-steps - mean) / its
  k-steps, in 1024ths, rounded down; TAIL before that. TAIL also when a thread block of another launch ends the idle
  time.
"""

from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

from accelsim.config.trace import Sampling
from accelsim.machine.gemm.check import check_program
from accelsim.machine.gemm.program import Cause, DeviceProgram, DeviceRun
from accelsim.machine.gemm.record import DeviceRecord, device_record, use_in_bins
from accelsim.machine.gemm.twin_parts import Arrival, Kind, Memory, Sm, ThreadBlock, Turns

Process = Generator[simpy.Event, Any, None]


def run_simpy(program: DeviceProgram) -> DeviceRun:
    """Simulate a program with SimPy processes; equal to `accelsim.machine.gemm.events.run_events`, and far slower.

    Raises
    ------
    ValueError
        The program cannot run on any device (see `check_program`).
    RuntimeError
        Launches wait for each other and never begin.
    """
    return _finished(program).outcome()


def record_simpy(program: DeviceProgram, sampling: Sampling) -> tuple[DeviceRun, DeviceRecord]:
    """Simulate a program with SimPy processes, and record what happens when.

    Parameters
    ----------
    program : DeviceProgram
    sampling : Sampling
        SMs to record, and rows at most; the first of each SM in turn are kept.
    """
    device = _finished(program)
    run, sampled = device.outcome(), sampling.of(program.sm_count)
    rows = [row for sm in sampled for row in device.sms[sm].rows]
    cores = [(row[3], row[4]) for sm in device.sms for row in sm.rows if row[1] == Cause.COMPUTE]
    memory = device.memory
    channels = [service for channel in memory.channels for service in channel.services]
    bin_ticks, use = use_in_bins([cores, memory.l2.services, channels])
    kept = np.array(rows[: sampling.rows], np.int64).reshape(-1, 5)
    return run, device_record(program, run, sampled, kept, len(rows) - len(kept), bin_ticks, use)


def _finished(program: DeviceProgram) -> "Device":
    check_program(program)
    device = Device(program)
    device.env.run()
    stuck = [launch.index for launch in device.launches if launch.end < 0]
    if stuck:
        raise RuntimeError(f"deadlock: launches {stuck} wait for launches that never end")
    return device


class Launch:
    """A kernel launch."""

    def __init__(self, device: "Device", index: int) -> None:
        self.device, self.index = device, index
        program = device.program
        self.first = int(program.launch_first_block[index])
        self.count = int(program.launch_block_count[index])
        self.dealt = 0
        self.left = self.count
        self.begin = -1
        self.end = -1
        self.ended = device.env.event()

    def run(self) -> Process:
        """Wait for the launch before it, then become active."""
        program, active = self.device.program, int(self.device.program.launch_release[self.index])
        if program.launch_after[self.index] >= 0:
            before = self.device.launches[program.launch_after[self.index]]
            yield before.ended
            active = max(active, before.end + int(program.launch_gap[self.index]))
        yield self.device.turns.ask(active, Kind.ACTIVATE, 0, self.index)
        self.begin = active
        if self.count > 0:
            self.device.activate(self)
        else:
            self.complete()

    def complete(self) -> None:
        """Let those that wait for it go on."""
        self.end = self.device.now
        self.ended.succeed()

    def block_done(self, block: ThreadBlock) -> None:
        """A thread block of it is over; with the last one, it is itself."""
        self.left -= 1
        self.device.ask_dispatch()
        if self.left > 0:
            return
        now, total = self.device.now, block.steps * self.count
        mean_total = int(self.device.program.block_steps[self.first : self.first + self.count].sum())
        share = 1024 * max(0, total - mean_total) // max(1, total)
        for sm in self.device.sms:
            if not sm.resident:
                sm.book(now - (now - block.dispatched) * share // 1024, Cause.TAIL)
                sm.book(now, Cause.IMBALANCE)
        self.device.active.remove(self)
        self.complete()


class Device:
    """SMs, memory, and the scheduler of thread blocks."""

    def __init__(self, program: DeviceProgram) -> None:
        self.program = program
        self.env = simpy.Environment()
        self.turns = Turns(self.env)
        self.memory = Memory(program)
        self.sms = [Sm(index) for index in range(program.sm_count)]
        self.active: list[Launch] = []
        """Launches that have begun and not ended."""
        self.dispatch_asked = -1
        self.blocks: dict[int, ThreadBlock] = {}
        self.l2_read_bytes = self.steps = 0
        self.launches = [Launch(self, index) for index in range(len(program.launch_after))]
        for launch in self.launches:
            self.env.process(launch.run())

    @property
    def now(self) -> int:
        """The current tick."""
        return int(self.env.now)

    def activate(self, launch: Launch) -> None:
        """Queue a launch that has become active."""
        if not self.active:
            for sm in self.sms:
                sm.book(self.now, Cause.LAUNCH)
        self.active.append(launch)
        self.ask_dispatch()

    def ask_dispatch(self) -> None:
        """Have thread blocks dealt out later in this tick."""
        if self.dispatch_asked < self.now:
            self.dispatch_asked = self.now
            self.env.process(self.dispatch())

    def dispatch(self) -> Process:
        """Deal out thread blocks for as long as those of the head of the queue fit."""
        yield self.turns.ask(self.now, Kind.DISPATCH)
        for launch in sorted(self.active, key=lambda launch: (launch.begin, launch.index)):
            while launch.dealt < launch.count:
                sm = min(
                    (sm for sm in self.sms if sm.fits(launch)),
                    key=lambda sm: (len(sm.resident), sm.index),
                    default=None,
                )
                if sm is None:
                    return
                self.place(launch, sm)

    def place(self, launch: Launch, sm: Sm) -> None:
        """Put the next thread block of a launch on an SM."""
        if not sm.resident:
            sm.book(self.now, Cause.TAIL)
        elif not sm.working:
            sm.book(self.now, Cause.EPILOGUE)
        else:
            sm.book_wait(min(sm.working, key=lambda block: block.index), self.now)
        block = self.blocks[launch.first + launch.dealt] = ThreadBlock(launch, launch.first + launch.dealt, sm)
        sm.resident.append(block)
        launch.dealt += 1

    def load(self, block: ThreadBlock, chunk: int) -> Arrival:
        """Issue the loads of a chunk now."""
        program, at, now, steps = self.program, block.index, self.now, block.chunk_steps(chunk)
        first_data, all_data = now, now
        for base, span in (
            (program.block_a_base[at], program.block_a_span[at] + chunk),
            (program.block_b_base[at], program.block_b_span[at] + chunk),
        ):
            if base >= 0:
                begin = int(base + program.span_first[span])
                first, last = self.memory.fetch(range(begin, begin + int(program.span_count[span])), steps, now)
                first_data, all_data = max(first_data, first), max(all_data, last)
        port, l2 = int(program.block_port[at]), int(program.block_l2[at])
        port_begin = block.sm.port.reserve(now, steps * port)
        l2_begin = self.memory.l2.reserve(now, steps * l2)
        self.l2_read_bytes += steps * int(program.block_load_bytes[at])
        self.steps += steps
        latency = program.l2_latency
        l2_first = max(port_begin + port, l2_begin + l2) + latency
        l2_last = max(port_begin + steps * port, l2_begin + steps * l2) + latency
        first, last = max(l2_first, first_data + latency), max(l2_last, all_data + latency)
        l2_last = max(l2_last, l2_first + (steps - 1) * latency // block.window)
        if all_data > now:
            latency += program.dram_latency
        return Arrival(first, max(last, first + (steps - 1) * latency // block.window), l2_first, l2_last)

    def outcome(self) -> DeviceRun:
        """The run, when all launches have ended."""
        end = max((launch.end for launch in self.launches), default=0)
        for sm in self.sms:
            sm.book(end, Cause.LAUNCH)
        memory, ended = self.memory, [self.blocks[index] for index in range(len(self.program.block_steps))]
        return DeviceRun(
            end=end,
            launch_begin=np.array([launch.begin for launch in self.launches], np.int64),
            launch_end=np.array([launch.end for launch in self.launches], np.int64),
            block_sm=np.array([block.sm.index for block in ended], np.int64),
            block_dispatch=np.array([block.dispatched for block in ended], np.int64),
            block_end=np.array([block.retired for block in ended], np.int64),
            sm_time=np.array([sm.time for sm in self.sms], np.int64),
            l2_read_bytes=self.l2_read_bytes,
            l2_write_bytes=memory.l2_written_bytes,
            dram_read_bytes=memory.read_bytes,
            dram_write_bytes=memory.written_bytes,
            l2_busy=memory.l2.busy,
            channel_busy=np.array([c.busy - max(c.free - end, 0) for c in memory.channels], np.int64),
            steps=self.steps,
            events=self.turns.granted,
        )
