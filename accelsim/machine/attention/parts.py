"""Parts that attention units are built from: a clock, DRAM that cores share, pipelines, an account of time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import simpy
from numpy.typing import NDArray

from accelsim.machine.system import DeadlockError

IntArray = NDArray[np.int64]

PS_PER_SECOND = 10**12


@dataclass(frozen=True)
class Clock:
    """Cycles to integer picoseconds, each duration rounded once to the nearest."""

    hertz: int

    def ps(self, cycles: int) -> int:
        """Picoseconds of a number of cycles."""
        return (int(cycles) * PS_PER_SECOND + self.hertz // 2) // self.hertz


class SharedDram:
    """Memory that serves transfers one after another, in the order of their requests.

    A transfer occupies it for bytes / bandwidth (rounded up to a picosecond) and is complete one latency later, so
    latencies of transfers that queue overlap. As service is in order, a transfer's end is known when it is asked for.
    """

    def __init__(self, environment: simpy.Environment, bandwidth: float, latency_ps: int) -> None:
        self.environment = environment
        self.bandwidth = round(bandwidth)
        self.latency_ps = latency_ps
        self.free_at = 0
        self.busy_ps = 0
        self.bytes = 0

    def request(self, size: int) -> int:
        """Ask now for a transfer of `size` bytes; returns when it is complete (now, for nothing)."""
        now = int(self.environment.now)
        if size == 0:
            return now
        service = -(-int(size) * PS_PER_SECOND // self.bandwidth)
        self.free_at = max(now, self.free_at) + service
        self.busy_ps += service
        self.bytes += int(size)
        return self.free_at + self.latency_ps


Interval = tuple[int, int]
"""Begin and end, picoseconds."""


def two_stage_pipeline(
    begin: int, first: Sequence[int], second: Sequence[int]
) -> tuple[list[Interval], list[Interval]]:
    """When items pass two units, each of which takes them in order: the second begins when both it and the item are
    free.

    Parameters
    ----------
    begin : int
        When the first item enters.
    first, second : sequence of int
        Duration of each item on either unit.
    """
    one: list[Interval] = []
    two: list[Interval] = []
    free_one = free_two = begin
    for a, b in zip(first, second, strict=True):
        one.append((free_one, free_one + a))
        free_one += a
        start = max(free_one, free_two)
        free_two = start + b
        two.append((start, free_two))
    return one, two


def array_softmax_array(
    begin: int,
    scores: Sequence[int],
    softmax: Sequence[int],
    values: Sequence[int],
    values_from: int,
    release: Sequence[int] | None = None,
) -> tuple[list[Interval], list[Interval], list[Interval]]:
    """When groups pass array, softmax unit and the same array again.

    The array takes the scores of a group before P x V of the group before it, so that it works while softmax does:
    S0 S1 V0 S2 V1 ... V(last). No P x V begins before `values_from`, when V has arrived, and no scores of a group
    before its entry in `release`.

    Returns
    -------
    Intervals of scores, softmax and P x V of each group.
    """
    of_scores: list[Interval] = []
    of_softmax: list[Interval] = []
    of_values: list[Interval] = []
    array = unit = begin
    groups = len(scores)
    for group in range(groups + 1):
        if group < groups:
            array = max(array, release[group]) if release is not None else array
            of_scores.append((array, array + scores[group]))
            array += scores[group]
            start = max(array, unit)
            unit = start + softmax[group]
            of_softmax.append((start, unit))
        if group:
            start = max(array, of_softmax[group - 1][1], values_from)
            array = start + values[group - 1]
            of_values.append((start, array))
    return of_scores, of_softmax, of_values


def busy(intervals: Iterable[Interval]) -> int:
    """Sum of the lengths of intervals."""
    return sum(end - begin for begin, end in intervals)


Layer = Sequence[tuple[int, int, int]] | IntArray
"""Intervals (begin, end, cause), or an array of them [intervals, 3]; of those that overlap the later one counts."""


def attribute(layers: Sequence[Layer], end: int, causes: int, idle: int) -> IntArray:
    """Give every picosecond from 0 to `end` to one cause: that of the first layer which covers it, else `idle`.

    Parameters
    ----------
    layers : sequence of Layer
        First is strongest.
    end : int
        Picoseconds.
    causes, idle : int
        Number of causes, and the one of time that nothing covers.

    Returns
    -------
    int64 [causes]
        Time of each cause; together they are `end`.
    """
    spans = [np.array(layer, dtype=np.int64).reshape(-1, 3) for layer in layers]
    # Sorting is several times faster here than numpy.unique, which hashes.
    edges = np.sort(np.concatenate([np.array([0, end], dtype=np.int64), *(span[:, :2].ravel() for span in spans)]))
    grid = edges[np.concatenate(([True], edges[1:] != edges[:-1]))]
    owner = np.full(len(grid) - 1, idle, dtype=np.int64)
    for span in reversed(spans):
        firsts, lasts = np.searchsorted(grid, span[:, 0]), np.searchsorted(grid, span[:, 1])
        for first, last, cause in zip(firsts.tolist(), lasts.tolist(), span[:, 2].tolist(), strict=True):
            owner[first:last] = cause
    lengths = np.diff(grid)
    account = np.zeros(causes, dtype=np.int64)
    np.add.at(account, owner, lengths)
    return account


def run_until(environment: simpy.Environment, finished: simpy.Event, what: str) -> None:
    """Run until `finished` happens.

    Raises
    ------
    DeadlockError
        When nothing is left that could happen and it has not.
    """
    while not finished.processed:
        if environment.peek() == float("inf"):
            raise DeadlockError(f"{what}: nothing moves at {environment.now} ps and work is left")
        environment.step()
