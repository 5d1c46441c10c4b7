"""Plain twin of `accelsim.machine.attention.acceltran_lanes`: the same rules on lists, scanned anew at every step.

It shares the columns' names with the compiled one and nothing else, and is equal to the picosecond.
"""

import numpy as np
from numpy.typing import NDArray

from accelsim.machine.attention.acceltran_lanes import (
    ASKED,
    DONE,
    KEYS_AT,
    KEYS_IN,
    OUTPUT_AT,
    PS_PER_SECOND,
    SCORE_BEGIN,
    SCORE_END,
    SCORED,
    SOFTMAX_BEGIN,
    SOFTMAX_END,
    VALUE_BEGIN,
    VALUE_END,
    VALUES_AT,
    VALUES_IN,
    WEIGHED,
    WRITTEN,
    Pool,
    Tiles,
)

IntArray = NDArray[np.int64]


class LaneTwin:
    """Row tiles on lanes; `play` runs them all."""

    def __init__(self, tiles: Tiles, pool: Pool) -> None:
        self.tiles, self.pool = tiles, pool
        self.rows = np.zeros((len(tiles.score), 6), dtype=np.int64)
        self.batches = np.zeros((len(tiles.service), 5), dtype=np.int64)
        self.busy = np.zeros((pool.lanes, 2), dtype=np.int64)
        self.gaps: list[tuple[int, int, int]] = []
        self.lane_free = [0] * pool.lanes
        self.unit_free = [0] * pool.softmax_units
        self.dram_free = 0
        self.events: list[tuple[int, int, int]] = []
        self.asked = 0
        self.weighed: set[int] = set()
        self.values_here: set[int] = set()
        self.keys_here: set[int] = set()
        self.scores_left = [list(range(tiles.score.shape[1])) for _ in tiles.score]
        self.values_left = [list(range(tiles.value.shape[1])) for _ in tiles.value]
        self.done: set[int] = set()

    def play(self) -> tuple[IntArray, IntArray, IntArray, IntArray, int]:
        """As `accelsim.machine.attention.acceltran_lanes.play_tiles`."""
        now = 0
        for _ in range(self.pool.resident):
            self._ask(0)
        while True:
            lane = min(range(self.pool.lanes), key=lambda one: self.lane_free[one])
            now = max(now, self.lane_free[lane])
            while self.events and min(self.events)[0] <= now:
                event = min(self.events)
                self.events.remove(event)
                self._handle(*event)
            if not self._give(lane, now):
                if not self.events:
                    break
                now = min(self.events)[0]
        gaps = np.array(self.gaps, dtype=np.int64).reshape(-1, 3)
        return self.busy, gaps, self.rows, self.batches, len(self.done)

    def _dram(self, duration: int, now: int) -> int:
        if not duration:
            return now
        self.dram_free = max(self.dram_free, now) + duration
        return self.dram_free + self.pool.latency

    def _ask(self, now: int) -> None:
        if self.asked < len(self.tiles.service):
            batch, self.asked = self.asked, self.asked + 1
            self.batches[batch, ASKED] = now
            for column, event, duration in zip(
                (KEYS_AT, VALUES_AT), (KEYS_IN, VALUES_IN), self.tiles.service[batch].tolist(), strict=False
            ):
                self.batches[batch, column] = self._dram(duration, now)
                self.events.append((int(self.batches[batch, column]) + self.pool.compare_ps, event, batch))

    def _handle(self, now: int, kind: int, which: int) -> None:
        if kind == KEYS_IN:
            self.keys_here.add(which)
        elif kind == VALUES_IN:
            self.values_here.add(which)
        elif kind == SCORED:
            ends = []
            for _ in range(self.pool.softmax_tiles):
                unit = self.unit_free.index(min(self.unit_free))
                ends.append(max(now, self.unit_free[unit]) + self.pool.softmax_ps)
                self.unit_free[unit] = ends[-1]
            self.rows[which, SOFTMAX_BEGIN] = min(ends) - self.pool.softmax_ps
            self.rows[which, SOFTMAX_END] = max(ends)
            self.events.append((max(ends) + self.pool.compare_ps, WEIGHED, which))
        elif kind == WEIGHED:
            self.weighed.add(which)
        elif kind == DONE:
            self.done.add(which)
            batch = int(self.tiles.batch_of[which])
            if all(row in self.done for row in np.flatnonzero(self.tiles.batch_of == batch).tolist()):
                self.batches[batch, OUTPUT_AT] = now
                self.batches[batch, WRITTEN] = self._dram(int(self.tiles.service[batch, 2]), now)
                self._ask(now)

    def _give(self, lane: int, now: int) -> bool:
        """Give a lane a tile, if there is one for it."""
        batch_of = self.tiles.batch_of.tolist()
        for row in sorted(self.weighed):
            if batch_of[row] in self.values_here and self.values_left[row]:
                left, cycles = self.values_left[row], self.tiles.value[row]
                self._run(lane, now, row, left, cycles, (VALUE_BEGIN, VALUE_END, DONE))
                return True
        for row, left in enumerate(self.scores_left):
            if left:
                begun = [r for r in range(len(batch_of)) if len(self.scores_left[r]) < len(self.tiles.score[r])]
                room = row in begun or len(set(begun) - self.done) < self.pool.in_flight
                if batch_of[row] not in self.keys_here or not room:
                    return False
                self._run(lane, now, row, left, self.tiles.score[row], (SCORE_BEGIN, SCORE_END, SCORED))
                return True
        return False

    def _run(
        self, lane: int, now: int, row: int, left: list[int], cycles: NDArray[np.int32], columns: tuple[int, int, int]
    ) -> None:
        begin, end, event = columns
        tile = left.pop(0)
        hertz = self.pool.hertz
        finish = now + (int(cycles[tile]) * PS_PER_SECOND + hertz // 2) // hertz
        if now > self.lane_free[lane]:
            self.gaps.append((lane, self.lane_free[lane], now))
        self.lane_free[lane] = finish
        self.busy[lane, int(event == DONE)] += finish - now
        if tile == 0:
            self.rows[row, begin] = now
        self.rows[row, end] = max(int(self.rows[row, end]), finish)
        if not left:
            self.events.append((int(self.rows[row, end]), event, row))
