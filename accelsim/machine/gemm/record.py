"""What a device did over time, for a timeline: pieces of the account of a few SMs, and how busy every server was.

A record is asked for beside a run and changes nothing in it. Event core and SimPy twin fill it alike.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from accelsim.machine.gemm.program import Cause, DeviceProgram, DeviceRun, IntArray

BINS = 64
"""Parts of a run for which the use of servers is told; an even number, since two become one as a run goes on."""

WORK = (Cause.COMPUTE, Cause.SHARED_MEMORY, Cause.BANK_CONFLICT)
"""Causes of which a tensor core's work consists; recorded as one, under `Cause.COMPUTE`."""


class Phase(IntEnum):
    """What a thread block does that is no cause of its SM's time; numbers follow those of `Cause`."""

    PROLOGUE = 10
    """From dispatch until the tensor core takes its first chunk, or until its epilogue where it has none."""
    WAIT = 11
    """Its data are not there: from a chunk's leaving the tensor core until the next one is ready, or the epilogue."""
    EPILOGUE = 12


class Use(IntEnum):
    """Servers whose use is recorded."""

    TENSOR_CORE = 0
    L2 = 1
    DRAM = 2


@dataclass(frozen=True)
class DeviceRecord:
    """What happened when. Times are ticks."""

    sampled: IntArray
    """SMs whose rows these are, ascending."""
    rows: IntArray
    """[rows, 5] SM, what (`Cause` or `Phase`), thread block (-1 for none), begin, end; ordered by begin, SM and so on.

    Rows of causes follow one another without gap or overlap on each SM, from 0 to the run's end, unless some are lost.
    """
    lost: int
    """Rows that found no room."""
    bin_ticks: int
    """Length of a bin."""
    use: IntArray
    """[len(Use), bins] ticks of service in each bin, of all tensor cores, of L2, and of all DRAM channels."""
    step_ticks: IntArray
    """[blocks, 3] ticks of a k-step by the causes in `WORK`."""
    launch_release: IntArray
    """[launches] tick from which the host has made it known."""
    launch_stream: IntArray
    """[launches] the first launch of its stream."""

    def same_as(self, other: "DeviceRecord") -> bool:
        """Whether both records agree in everything."""
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in vars(self))


def step_parts(program: DeviceProgram) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Ticks that a k-step holds the tensor core, and their parts: compute, shared memory, bank conflicts; each [B]."""
    compute = np.maximum(program.block_compute, 1)
    step = np.maximum(compute, program.block_shared + program.block_conflict)
    shared = np.maximum(program.block_shared - compute, 0)
    return step, compute, shared, step - compute - shared


def device_record(
    program: DeviceProgram, run: DeviceRun, sampled: IntArray, rows: IntArray, lost: int, bin_ticks: int, use: IntArray
) -> DeviceRecord:
    """A record from what an engine noted: rows in order, and the device's idle time after the last of each SM."""
    _, compute, shared, conflict = step_parts(program)
    order = np.lexsort(rows.T[[4, 2, 1, 0, 3]])
    return DeviceRecord(
        sampled=sampled,
        rows=rows[order],
        lost=lost,
        bin_ticks=bin_ticks,
        use=use[:, : -(-run.end // bin_ticks)],
        step_ticks=np.stack([compute, shared, conflict], axis=1),
        launch_release=program.launch_release,
        launch_stream=_streams(program.launch_after),
    )


def _streams(after: IntArray) -> IntArray:
    """First launch of each launch's stream."""
    stream = np.arange(len(after), dtype=np.int64)
    root = np.where(after < 0, stream, after)
    while not np.array_equal(root, root[root]):
        root = root[root]
    return root


def use_in_bins(services: list[list[tuple[int, int]]], bins: int = BINS) -> tuple[int, IntArray]:
    """Length of a bin, and ticks of service in each: the shortest length of 1, 2, 4, ... with which `bins` suffice.

    Parameters
    ----------
    services : list of lists of (begin, end)
        Of each kind of server.
    bins : int
    """
    ticks = 1
    while max((end for some in services for _, end in some), default=0) > bins * ticks:
        ticks *= 2
    use = np.zeros((len(services), bins), dtype=np.int64)
    for kind, some in enumerate(services):
        for begin, end in some:
            for place in range(begin // ticks, -(-end // ticks)):
                use[kind, place] += min(end, (place + 1) * ticks) - max(begin, place * ticks)
    return ticks, use
