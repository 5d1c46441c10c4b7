"""Timing: warm-up, rounds over the copies, the median of repeats, and a longer run for power.

An operation comes as one call for each copy of its weights. A *round* calls all of them in turn; a *batch* is as many
rounds as take a few milliseconds, so that what starts and ends a batch is a small part of it.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Protocol

from .board import Board, Reading

Call = Callable[[], object]

_BATCH_SECONDS = 2e-3
_MOST_CALLS = 1000
"""In a batch: nodes of a graph, or launches that the driver's queue holds."""


@dataclass(frozen=True)
class Settings:
    """How long and how often."""

    warm_up_s: float = 0.1
    repeats: int = 20
    power_s: float = 1.0
    """Length of the run for power; 0 leaves it out."""


@dataclass(frozen=True)
class Timing:
    """Microseconds of one operation, and what the board said. None where it did not, or where that was left out."""

    median_us: float
    p10_us: float
    p90_us: float
    repeats: int
    clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    sustained_us: float | None = None
    power_w: float | None = None
    sustained_clock_mhz: float | None = None


class Device(Protocol):
    """What differs between devices: making a batch, running it, and waiting for it."""

    board: Board

    def batch(self, calls: Sequence[Call], rounds: int) -> Call:
        """Something that runs all calls `rounds` times."""

    def times(self, batch: Call, repeats: int) -> tuple[list[float], Reading]:
        """Seconds of each of `repeats` runs of a batch, and a reading taken meanwhile."""

    def wait(self) -> None:
        """Until all that was started has ended."""


def rounds_in_batch(seconds: float, calls: int) -> int:
    """Rounds of `calls` calls, which take `seconds` together, in a batch."""
    wanted = math.ceil(_BATCH_SECONDS / max(seconds, 1e-9))
    return max(1, min(wanted, _MOST_CALLS // calls))


def measure(calls: Sequence[Call], device: Device, settings: Settings) -> Timing:
    """Time an operation.

    Parameters
    ----------
    calls : sequence of callable
        One for each copy of the weights.

    Returns
    -------
    Timing
        Of one call.
    """
    for call in calls:  # loads kernels and lets libraries choose among them
        call()
    device.wait()
    first, _ = device.times(lambda: [call() for call in calls], 3)
    rounds = rounds_in_batch(min(first), len(calls))
    batch = device.batch(calls, rounds)
    batch()  # the first replay of a graph uploads it
    shortest = min(device.times(batch, 3)[0])
    if shortest < _BATCH_SECONDS / 2:  # a graph runs small kernels faster than the host launched them above
        rounds = rounds_in_batch(shortest / rounds, len(calls))
        batch = device.batch(calls, rounds)
    _warm_up(batch, device, settings.warm_up_s)
    seconds, reading = device.times(batch, settings.repeats)
    found = summarise(seconds, rounds * len(calls), reading)
    if settings.power_s > 0:
        found = _sustain(found, batch, rounds * len(calls), device, settings.power_s)
    return found


def summarise(seconds: Sequence[float], calls: int, reading: Reading) -> Timing:
    """Median and 10th and 90th percentile of batches of `calls` calls."""
    each = sorted(value / calls * 1e6 for value in seconds)
    last = len(each) - 1
    return Timing(
        median_us=statistics.median(each),
        p10_us=each[round(0.1 * last)],
        p90_us=each[round(0.9 * last)],
        repeats=len(each),
        clock_mhz=reading.clock_mhz,
        memory_clock_mhz=reading.memory_clock_mhz,
    )


def _warm_up(batch: Call, device: Device, seconds: float) -> None:
    """At least one batch, since the first replay of a graph uploads it."""
    end = time.perf_counter() + seconds
    while True:
        batch()
        device.wait()
        if time.perf_counter() >= end:
            return


def _sustain(found: Timing, batch: Call, calls: int, device: Device, seconds: float) -> Timing:
    """Run without a pause. Power and clock are means over the second half, when both have settled."""
    queued = max(1, math.ceil(device.board.interval / (found.median_us * 1e-6 * calls)))
    readings: list[tuple[float, Reading]] = []
    begin, elapsed, done = time.perf_counter(), 0.0, 0
    while elapsed < seconds:
        for _ in range(queued):
            batch()
        readings.append((time.perf_counter() - begin, device.board.read()))
        device.wait()
        done += queued
        elapsed = time.perf_counter() - begin
    settled = [reading for at, reading in readings if at >= elapsed / 2] or [readings[-1][1]]
    return replace(
        found,
        sustained_us=elapsed / (done * calls) * 1e6,
        power_w=_mean([reading.power_w for reading in settled]),
        sustained_clock_mhz=_mean([reading.clock_mhz for reading in settled]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


class Cpu:
    """This processor, by the wall clock."""

    def __init__(self, board: Board) -> None:
        self.board = board

    def batch(self, calls: Sequence[Call], rounds: int) -> Call:
        def run() -> None:
            for _ in range(rounds):
                for call in calls:
                    call()

        return run

    def times(self, batch: Call, repeats: int) -> tuple[list[float], Reading]:
        seconds = []
        for _ in range(repeats):
            begin = time.perf_counter()
            batch()
            seconds.append(time.perf_counter() - begin)
        return seconds, self.board.read()

    def wait(self) -> None:
        """Nothing runs on."""


class Cuda:
    """A GPU, by its own events.

    Parameters
    ----------
    torch : module
    board : Board
    graph : bool
        Whether batches replay from a graph. Otherwise the host launches every call.
    """

    def __init__(self, torch: Any, board: Board, graph: bool) -> None:
        self.board, self._torch, self._graph = board, torch, graph

    def batch(self, calls: Sequence[Call], rounds: int) -> Call:
        launched = Cpu(self.board).batch(calls, rounds)
        if not self._graph:
            return launched
        torch = self._torch
        with self._beside():  # a capture must not meet the first use of a library's workspace
            for call in calls:
                call()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            launched()
        replay: Call = graph.replay
        return replay

    @contextmanager
    def _beside(self) -> Iterator[None]:
        """A stream beside the current one, from after its work to before its next."""
        cuda = self._torch.cuda
        side = cuda.Stream()
        side.wait_stream(cuda.current_stream())
        with cuda.stream(side):
            yield
        cuda.current_stream().wait_stream(side)
        cuda.synchronize()

    def times(self, batch: Call, repeats: int) -> tuple[list[float], Reading]:
        events = [self._torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
        events[0].record()
        for event in events[1:]:
            batch()
            event.record()
        reading = self.board.read()  # while the last of them still run
        self.wait()
        return [before.elapsed_time(after) / 1000 for before, after in pairwise(events)], reading

    def wait(self) -> None:
        self._torch.cuda.synchronize()
