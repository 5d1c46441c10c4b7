"""Parts of the SimPy twin: the granting of turns, servers, memory, an SM with its account, a thread block.

The rule that they follow stands in `twin`.
"""

from collections import OrderedDict
from collections.abc import Generator, Iterator
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import simpy

from accelsim.machine.gemm.program import Cause, DeviceProgram
from accelsim.machine.gemm.record import WORK, Phase

if TYPE_CHECKING:
    from accelsim.machine.gemm.twin import Launch

Process = Generator[simpy.Event, Any, None]
Row = tuple[int, int, int, int, int]
"""SM, what, thread block, begin, end."""


class Kind(IntEnum):
    """What acts at a tick, in the order in which it does."""

    RETIRE = 0
    ACTIVATE = 1
    DISPATCH = 2
    BEGIN = 3
    READY = 4
    ISSUE = 5
    END = 6


class Turns:
    """Grants the turns of each tick in the written order."""

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self.granted = 0
        self._waiting: dict[int, dict[tuple[int, int, int], simpy.Event]] = {}

    def ask(self, tick: int, kind: Kind, sm: int = 0, index: int = 0) -> simpy.Event:
        """An event that happens at `tick`, at its place in the order."""
        if tick not in self._waiting:
            self._waiting[tick] = {}
            self.env.process(self._grant(tick))
        turn = self._waiting[tick][kind, sm, index] = self.env.event()
        return turn

    def _grant(self, tick: int) -> Process:
        yield self.env.timeout(tick - self.env.now)
        waiting = self._waiting[tick]
        while True:
            # Whoever had the last turn may ask for another one at this tick: let all that it set off happen first.
            while self.env.peek() == tick:
                yield self.env.timeout(0)
            if not waiting:
                break
            waiting.pop(min(waiting)).succeed()
            self.granted += 1
        del self._waiting[tick]


class Server:
    """Serves one request after the other."""

    def __init__(self) -> None:
        self.free = 0
        self.busy = 0
        self.services: list[tuple[int, int]] = []
        """Begin and end of each."""

    def reserve(self, now: int, ticks: int) -> int:
        """Begin of a service of `ticks`; one of zero ticks begins at once."""
        if ticks == 0:
            return now
        begin = max(now, self.free)
        self.free = begin + ticks
        self.busy += ticks
        self.services.append((begin, begin + ticks))
        return begin


class Memory:
    """L2 and the DRAM channels behind it."""

    def __init__(self, program: DeviceProgram) -> None:
        self.program = program
        self.l2 = Server()
        self.channels = [Server() for _ in range(program.channels)]
        self.resident: OrderedDict[int, int] = OrderedDict((int(t), 0) for t in program.warm_tiles)
        """Tiles in L2 and when they arrived or will, least recently used first."""
        self.used = sum(int(program.tile_bytes[tile]) for tile in self.resident)
        self.read_bytes = self.written_bytes = self.l2_written_bytes = 0

    def touch(self, tile: int, now: int) -> int:
        """Use a tile, from DRAM if need be; the tick at which L2 has it."""
        if tile in self.resident:
            self.resident.move_to_end(tile)
            return self.resident[tile]
        program, ticks = self.program, int(self.program.tile_dram[tile])
        first, number = int(program.tile_channel[tile]), int(program.tile_channels[tile])
        servers = [self.channels[(first + i) % len(self.channels)] for i in range(number)]
        arrival = max(server.reserve(now, ticks) + ticks for server in servers) + program.dram_latency
        size = int(program.tile_bytes[tile])
        self.read_bytes += size
        if size <= program.l2_capacity:
            while self.used + size > program.l2_capacity:
                oldest, _ = self.resident.popitem(last=False)
                self.used -= int(program.tile_bytes[oldest])
            self.used += size
            self.resident[tile] = arrival
        return arrival

    def fetch(self, tiles: range, steps: int, now: int) -> tuple[int, int]:
        """Ticks at which L2 has what the first of `steps` k-steps needs of these tiles, and all of them."""
        first = last = now
        for place, tile in enumerate(tiles):
            arrival = self.touch(tile, now)
            if arrival <= now:
                continue
            last = max(last, arrival)
            # The first k-step needs the first len(tiles) / steps tiles; in `steps`ths of this one:
            needed = min(steps, len(tiles) - place * steps)
            if needed > 0:
                ticks = int(self.program.tile_dram[tile])
                first = max(first, arrival - ticks + ticks * needed // steps)
        return first, last

    def write(self, block: "ThreadBlock", now: int) -> int:
        """Write a thread block's results; the tick at which L2 has taken them and has room for what DRAM has not."""
        program, at = self.program, block.index
        self.l2_written_bytes += int(program.block_epilogue_bytes[at])
        if program.block_epilogue_dram[at] > 0:
            self.written_bytes += int(program.block_epilogue_bytes[at])
            for channel in self.channels:
                channel.reserve(now, int(program.block_epilogue_dram[at]))
            room = max(channel.free for channel in self.channels) - program.write_backlog
        else:
            room = now
        ticks = int(program.block_epilogue_l2[at])
        return max(room, self.l2.reserve(now, ticks) + ticks)


class Arrival:
    """When a chunk's data come: its first k-step and all of it, and the same had every tile been in L2."""

    def __init__(self, first: int, last: int, l2_first: int, l2_last: int) -> None:
        self.first, self.last, self.l2_first, self.l2_last = first, last, l2_first, l2_last


class Sm:
    """A streaming multiprocessor and its account."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.port = Server()
        self.epilogue = Server()
        self.resident: list[ThreadBlock] = []
        self.booked = 0
        """Time before it is in the account. The tensor core is never reserved beyond it, and free from it on."""
        self.time = [0] * len(Cause)
        self.rows: list[Row] = []
        """What it and its thread blocks did, for a record."""

    @property
    def working(self) -> list["ThreadBlock"]:
        """Resident thread blocks that have k-steps left, or are yet to begin."""
        return [block for block in self.resident if not block.at_epilogue]

    def fits(self, launch: "Launch") -> bool:
        """Whether one more thread block of `launch` finds room."""
        program, all_launches = launch.device.program, [block.launch.index for block in self.resident] + [launch.index]
        return (
            len(all_launches) <= program.max_blocks_per_sm
            and program.launch_shared_bytes[all_launches].sum() <= program.shared_bytes_per_sm
            and program.launch_registers[all_launches].sum() <= program.registers_per_sm
            and program.launch_threads[all_launches].sum() <= program.threads_per_sm
        )

    def book(self, until: int, cause: Cause) -> None:
        """Add the time up to `until` that is not in the account yet."""
        if until > self.booked:
            if cause not in WORK:
                self.rows.append((self.index, cause, -1, self.booked, until))
            self.time[cause] += until - self.booked
            self.booked = until

    def book_wait(self, block: "ThreadBlock", until: int) -> None:
        """Add the time in which the tensor core waited, as `block` explains it."""
        for boundary, cause in block.explain(until):
            self.book(min(until, boundary), cause)

    def take_core(self, block: "ThreadBlock", steps: int) -> tuple[int, int]:
        """Let a chunk of `steps` take the tensor core when it is free; begin and end of its service."""
        program, at = block.device.program, block.index
        self.book_wait(block, block.device.now)
        begin = self.booked
        compute, shared = max(1, int(program.block_compute[at])), int(program.block_shared[at])
        conflict = int(program.block_conflict[at])
        step = max(compute, shared + conflict)
        self.book(self.booked + steps * compute, Cause.COMPUTE)
        self.book(self.booked + steps * max(0, shared - compute), Cause.SHARED_MEMORY)
        self.book(begin + steps * step, Cause.BANK_CONFLICT)
        self.rows.append((self.index, Cause.COMPUTE, at, begin, begin + steps * step))
        return begin, begin + steps * step


class ThreadBlock:
    """A thread block and what it is doing."""

    def __init__(self, launch: "Launch", index: int, sm: Sm) -> None:
        self.launch, self.device, self.index, self.sm = launch, launch.device, index, sm
        program = self.device.program
        self.steps = int(program.block_steps[index])
        self.per_chunk = int(program.launch_steps_per_chunk[launch.index])
        self.window = int(program.launch_window[launch.index])
        self.chunks = -(-self.steps // self.per_chunk)
        self.dispatched = self.device.now
        self.retired = -1
        self.at_epilogue = False
        self.arrivals: list[Arrival] = []
        """Of the chunks whose loads have been issued."""
        self.computed = 0
        """Chunks that have taken the tensor core."""
        self.done = self.l2_done = 0
        """When the last of them is done, and would be had every tile been in L2."""
        self.core_left = 0
        """When it left the tensor core, or will."""
        self.device.env.process(self.run())

    def turn(self, tick: int, kind: Kind) -> simpy.Event:
        """A turn of this thread block."""
        return self.device.turns.ask(tick, kind, self.sm.index, self.index)

    def run(self) -> Process:
        """From dispatch to retirement."""
        yield self.turn(self.dispatched + self.device.program.block_setup, Kind.BEGIN)
        self.load(self.window if self.per_chunk == 1 else 1)
        for chunk in range(self.chunks):
            yield self.turn(max(self.arrivals[chunk].first, self.done), Kind.READY)
            begin = self.compute(chunk)
            if chunk + 1 < self.chunks:
                spare = 0 if self.per_chunk == 1 else self.per_chunk - self.window
                yield self.turn(begin + spare * ((self.done - begin) // self.per_chunk), Kind.ISSUE)
                self.load(1)
        yield self.turn(max(self.done, self.device.now), Kind.END)
        self.retired = self.write()
        yield self.turn(self.retired, Kind.RETIRE)
        self.sm.resident.remove(self)
        if not self.sm.working:
            self.sm.book(self.device.now, Cause.EPILOGUE)
        self.launch.block_done(self)

    def chunk_steps(self, chunk: int) -> int:
        """K-steps of a chunk; the last one may have fewer."""
        return min(self.per_chunk, self.steps - chunk * self.per_chunk)

    def load(self, chunks: int) -> None:
        """Issue the loads of the next chunks, if there are any."""
        for chunk in range(len(self.arrivals), min(len(self.arrivals) + chunks, self.chunks)):
            self.arrivals.append(self.device.load(self, chunk))

    def compute(self, chunk: int) -> int:
        """Put a chunk on the tensor core; returns the begin of its service."""
        steps, arrival = self.chunk_steps(chunk), self.arrivals[chunk]
        begin, end = self.sm.take_core(self, steps)
        self.note_before(begin, self.device.now)
        self.core_left = end
        self.done = max(end, arrival.last + (end - begin) // steps)
        self.l2_done = max(end, arrival.l2_last + (end - begin) // steps)
        self.computed += 1
        return begin

    def write(self) -> int:
        """Begin the epilogue; returns the tick at which it is over."""
        retired = self.retire_tick()
        self.note_before(self.device.now, self.device.now)
        self.note(Phase.EPILOGUE, self.device.now, retired)
        return retired

    def note(self, phase: Phase, begin: int, end: int) -> None:
        """Keep a phase for a record."""
        self.sm.rows.append((self.sm.index, phase, self.index, begin, end))

    def note_before(self, begin: int, ready: int) -> None:
        """Keep what came before a chunk that is ready and begins now, or before the epilogue."""
        if self.computed == 0:
            self.note(Phase.PROLOGUE, self.dispatched, begin)
        elif ready > self.core_left:
            self.note(Phase.WAIT, self.core_left, ready)

    def retire_tick(self) -> int:
        """Reserve what the epilogue needs."""
        now, ticks = self.device.now, int(self.device.program.block_epilogue[self.index])
        if self.sm.working == [self]:
            self.sm.book_wait(self, now)
        self.at_epilogue = True
        return max(self.sm.epilogue.reserve(now, ticks) + ticks, self.device.memory.write(self, now))

    def explain(self, until: int) -> Iterator[tuple[int, Cause]]:
        """What this thread block has been waiting for: causes and the ticks up to which each holds."""
        if self.computed == 0:
            yield until, Cause.PROLOGUE
            return
        yield self.l2_done, Cause.L2
        yield self.done, Cause.DRAM
        if self.computed < len(self.arrivals):
            yield self.arrivals[self.computed].l2_first, Cause.L2
        yield until, Cause.DRAM
