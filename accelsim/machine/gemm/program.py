"""What the GEMM device runs and what it reports: flat integer arrays, the interface of event core and SimPy twin.

Device time is int64 ticks, `TICKS_PER_CYCLE` to a cycle. Every service time is rounded once, here in the program, so
that both engines add up the same integers.
"""

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

TICKS_PER_CYCLE = 256

IntArray = NDArray[np.int64]


class Cause(IntEnum):
    """What an SM's time is spent on. Each has a timer of its own; together they are the whole of the time."""

    LAUNCH = 0
    """No launch is active: before the first, or between the end of one and the beginning of the next."""
    PROLOGUE = 1
    """A thread block is set up, or fills its first stage."""
    COMPUTE = 2
    """Tensor cores (CUDA cores in kernels without them) work."""
    SHARED_MEMORY = 3
    """Operands pass shared memory more slowly than the tensor cores take them."""
    BANK_CONFLICT = 4
    """Likewise, for lanes that meet in a bank."""
    L2 = 5
    """Waiting for L2: its latency, its bandwidth or the SM's port."""
    DRAM = 6
    """Waiting for DRAM beyond that."""
    EPILOGUE = 7
    """Results leave the accumulators and no other thread block computes."""
    IMBALANCE = 8
    """Idle at the end of a launch while a thread block works through more k-steps than the launch's mean."""
    TAIL = 9
    """Idle at the end of a launch otherwise: the last wave does not fill the device."""


@dataclass(frozen=True)
class DeviceProgram:
    """Launches of thread blocks on one GEMM device. Arrays are int64; B thread blocks, L launches, T operand tiles."""

    # The machine
    sm_count: int
    max_blocks_per_sm: int
    shared_bytes_per_sm: int
    registers_per_sm: int
    threads_per_sm: int
    l2_capacity: int
    """Bytes."""
    l2_latency: int
    """Ticks from the slowest server's end to the use of a tile."""
    dram_latency: int
    """Ticks that a tile from DRAM waits beyond that."""
    channels: int
    block_setup: int
    """Ticks from dispatch to the first load."""
    write_backlog: int
    """Ticks by which a channel's writes may lag behind thread blocks: what it takes to write a full L2 to DRAM."""

    # Launches [L]
    launch_release: IntArray
    """Tick from which the host has made it known."""
    launch_after: IntArray
    """Launch before it in its stream, -1 for none: it begins `launch_gap` after that one's end, or at its release."""
    launch_gap: IntArray
    launch_first_block: IntArray
    launch_block_count: IntArray
    launch_shared_bytes: IntArray
    """What each of its thread blocks occupies."""
    launch_registers: IntArray
    launch_threads: IntArray
    launch_window: IntArray
    """K-steps in flight: stages - 1."""
    launch_steps_per_chunk: IntArray
    """1, or at least the window."""

    # Thread blocks [B], in launch order
    block_steps: IntArray
    """K-steps; 0 for a thread block that only writes."""
    block_compute: IntArray
    """Ticks of a k-step on the tensor cores."""
    block_shared: IntArray
    """Ticks of a k-step in shared memory without conflicts (overlaps with compute)."""
    block_conflict: IntArray
    """Ticks that conflicts add to that."""
    block_port: IntArray
    """Ticks of a k-step's loads on the SM's L2 port."""
    block_l2: IntArray
    """Ticks of a k-step's loads in L2."""
    block_load_bytes: IntArray
    """Bytes of a k-step's loads, for the counters."""
    block_a_base: IntArray
    """Tile id to which A's spans are relative; -1 when the block loads no A."""
    block_a_span: IntArray
    """Entry of the span tables for A's chunk 0; chunk j uses entry + j."""
    block_b_base: IntArray
    block_b_span: IntArray
    block_epilogue: IntArray
    """Ticks of the epilogue on the SM (at least 1)."""
    block_epilogue_l2: IntArray
    """Ticks of its writes in L2."""
    block_epilogue_dram: IntArray
    """Ticks of its writes on every DRAM channel."""
    block_epilogue_bytes: IntArray

    # Spans: the operand tiles that one chunk touches
    span_first: IntArray
    """First tile, relative to the base."""
    span_count: IntArray

    # Operand tiles [T]: the unit of L2 residency
    tile_bytes: IntArray
    tile_dram: IntArray
    """Ticks on each channel that it comes from."""
    tile_channel: IntArray
    """First of them; the others follow in turn."""
    tile_channels: IntArray

    warm_tiles: IntArray
    """Tiles in L2 at the start, least recently used first; together no larger than L2."""


@dataclass(frozen=True)
class DeviceRun:
    """What happened. Times are ticks."""

    end: int
    """All launches complete and every SM idle."""
    launch_begin: IntArray
    launch_end: IntArray
    block_sm: IntArray
    block_dispatch: IntArray
    block_end: IntArray
    sm_time: IntArray
    """[sm_count, len(Cause)]: every row adds up to `end`."""
    l2_read_bytes: int
    """Loads of thread blocks, from L2 to the SMs."""
    l2_write_bytes: int
    dram_read_bytes: int
    """Misses. Loads of tiles that are on their way count as hits."""
    dram_write_bytes: int
    l2_busy: int
    channel_busy: IntArray
    """[channels]"""
    steps: int
    """K-steps simulated."""
    events: int

    def same_as(self, other: "DeviceRun") -> bool:
        """Whether both runs agree in everything but the number of events that it took to find out."""
        return all(
            np.array_equal(getattr(self, field.name), getattr(other, field.name))
            for field in fields(self)
            if field.name != "events"
        )
