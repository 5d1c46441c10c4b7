"""Tiles of attention on a pool of lanes, compiled: when each lane works, and what it waits for.

A row tile (as many queries as a tile has rows) asks for score tiles, then for softmax, then for tiles of P V. Batches
of row tiles share operands that come from DRAM together. Whenever a lane is free it takes

1. the next tile of P V of the first row tile whose probabilities and V are there, or else
2. the next score tile in the loop order (batch, row tile, key tile, slice of head_dim), if its operands are there and,
   for a row tile's first, no more than `in_flight` row tiles are between their first score and their last output,

or waits for the next event. Free lanes are taken in order of the time from which they are free, then by number. Events
of one time are handled in the order of their kinds below. DRAM serves in order of requests: a batch's Q and K, then its
V; outputs when the batch is done, and then the next batch, if more wait than fit. Time is integer picoseconds.

`accelsim.machine.attention.acceltran_twin` is the plain twin.
"""

from heapq import heappop, heappush, heapreplace
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

PS_PER_SECOND = 10**12

KEYS_IN, VALUES_IN, SCORED, WEIGHED, DONE = range(5)
"""Events: Q and K, or V, of a batch are there; scores, probabilities, or the output of a row tile are complete."""
KINDS = 5

ASKED, KEYS_AT, VALUES_AT, OUTPUT_AT, WRITTEN = range(5)
"""Columns of a batch's times."""
SCORE_BEGIN, SCORE_END, VALUE_BEGIN, VALUE_END, SOFTMAX_BEGIN, SOFTMAX_END = range(6)
"""Columns of a row tile's times."""
SCORES, VALUES, NOTHING = 0, 1, 2
"""What a lane does."""

_FREE, _ASKING, _ROW, _TILE, _OPEN, _FINISHED = range(6)


class Pool(NamedTuple):
    """What works on the tiles. Times are picoseconds."""

    latency: int
    """Of DRAM."""
    resident: int
    """Batches whose operands are held together."""
    in_flight: int
    """Row tiles whose scores are."""
    lanes: int
    softmax_units: int
    softmax_tiles: int
    """Tiles of a row tile's softmax."""
    softmax_ps: int
    """Of one of them on a unit."""
    compare_ps: int
    """Of comparing a tile with the threshold."""
    hertz: int


class Tiles(NamedTuple):
    """Row tiles and their batches."""

    score: NDArray[np.int32]
    """[row tiles, tiles] cycles of each score tile, in the order in which lanes take them."""
    value: NDArray[np.int32]
    """[row tiles, tiles] likewise of P V."""
    batch_of: IntArray
    """[row tiles] ascending from 0."""
    service: IntArray
    """[batches, 3] picoseconds of DRAM for Q and K, for V, and for the output."""


class _State(NamedTuple):
    """Where things stand."""

    at: IntArray
    """When DRAM is free; next batch to ask for; next row tile and its next score tile; row tiles in flight, and
    finished."""
    rows: IntArray
    batches: IntArray
    left: IntArray
    """[batches] row tiles without output."""
    keys_here: NDArray[np.bool_]
    """[batches]"""
    waiting: NDArray[np.bool_]
    """[row tiles] probabilities are there, V is not."""
    next_value: IntArray
    """[row tiles] next tile of P V."""


@njit(cache=True, nogil=True)
def _serve(duration: int, now: int, latency: int, state: _State) -> int:
    """When DRAM has moved what is asked for now."""
    if duration == 0:
        return now
    state.at[_FREE] = max(state.at[_FREE], now) + duration
    return int(state.at[_FREE] + latency)


@njit(cache=True, nogil=True)
def _ask(now: int, tiles: Tiles, pool: Pool, state: _State, events: list[int]) -> None:
    """Ask for the next batch's operands; they are there once compared with the threshold."""
    batch, ids = state.at[_ASKING], len(tiles.score) + 1
    state.at[_ASKING] += 1
    state.batches[batch, ASKED] = now
    for part in range(2):
        arrival = _serve(tiles.service[batch, part], now, pool.latency, state)
        state.batches[batch, KEYS_AT + part] = arrival
        heappush(events, ((arrival + pool.compare_ps) * KINDS + part) * ids + batch)


@njit(cache=True, nogil=True)
def _softmax(row: int, now: int, pool: Pool, state: _State, units: list[int]) -> int:
    """Give a row tile's softmax to the units that are free first; returns when all of it is done."""
    end = now
    state.rows[row, SOFTMAX_BEGIN] = max(now, units[0])
    for _ in range(pool.softmax_tiles):
        finish = max(now, units[0]) + pool.softmax_ps
        heapreplace(units, finish)
        end = max(end, finish)
    state.rows[row, SOFTMAX_END] = end
    return end


@njit(cache=True, nogil=True)
def _handle(
    event: int, tiles: Tiles, pool: Pool, state: _State, events: list[int], ready: list[int], units: list[int]
) -> None:
    """What an event brings about."""
    ids = len(tiles.score) + 1
    now, kind, which = event // (KINDS * ids), event // ids % KINDS, event % ids
    if kind == KEYS_IN:
        state.keys_here[which] = True
    elif kind == VALUES_IN:
        for row in np.flatnonzero(state.waiting & (tiles.batch_of == which)):
            heappush(ready, int(row))
    elif kind == SCORED:
        end = _softmax(which, now, pool, state, units) + pool.compare_ps
        heappush(events, (end * KINDS + WEIGHED) * ids + which)
    elif kind == WEIGHED:
        if state.batches[tiles.batch_of[which], VALUES_AT] + pool.compare_ps <= now:
            heappush(ready, which)
        else:
            state.waiting[which] = True
    else:
        batch = tiles.batch_of[which]
        state.at[_OPEN] -= 1
        state.at[_FINISHED] += 1
        state.left[batch] -= 1
        if state.left[batch] == 0:
            state.batches[batch, OUTPUT_AT] = now
            state.batches[batch, WRITTEN] = _serve(tiles.service[batch, 2], now, pool.latency, state)
            if state.at[_ASKING] < len(state.batches):
                _ask(now, tiles, pool, state, events)


@njit(cache=True, nogil=True)
def _choose(tiles: Tiles, pool: Pool, state: _State, ready: list[int]) -> tuple[int, int, int]:
    """What a free lane takes: what it is, of which row tile, and which tile."""
    if len(ready):
        row = ready[0]
        tile = state.next_value[row]
        state.next_value[row] += 1
        if tile + 1 == tiles.value.shape[1]:
            heappop(ready)
        return VALUES, int(row), int(tile)
    row, tile = state.at[_ROW], state.at[_TILE]
    if row == len(tiles.score) or not state.keys_here[tiles.batch_of[row]]:
        return NOTHING, 0, 0
    if tile == 0:
        if state.at[_OPEN] == pool.in_flight:
            return NOTHING, 0, 0
        state.at[_OPEN] += 1
    state.at[_TILE] += 1
    if tile + 1 == tiles.score.shape[1]:
        state.at[_ROW], state.at[_TILE] = row + 1, 0
    return SCORES, int(row), int(tile)


@njit(cache=True, nogil=True)
def _work(
    what: int, row: int, tile: int, start: int, tiles: Tiles, pool: Pool, state: _State, events: list[int]
) -> int:
    """When a lane that begins a tile is through with it."""
    cycles = tiles.score[row, tile] if what == SCORES else tiles.value[row, tile]
    end = start + (np.int64(cycles) * PS_PER_SECOND + pool.hertz // 2) // pool.hertz
    times = state.rows[row]
    if tile == 0:
        times[2 * what] = start
    times[2 * what + 1] = max(times[2 * what + 1], end)
    last, event = (tiles.score.shape[1], SCORED) if what == SCORES else (tiles.value.shape[1], DONE)
    if tile + 1 == last:
        heappush(events, (times[2 * what + 1] * KINDS + event) * (len(tiles.score) + 1) + row)
    return int(end)


@njit(cache=True, nogil=True)
def _start(row_tiles: int, batches: int, batch_of: IntArray) -> _State:
    """Nothing asked for, nothing done."""
    return _State(
        np.zeros(6, dtype=np.int64),
        np.zeros((row_tiles, 6), dtype=np.int64),
        np.zeros((batches, 5), dtype=np.int64),
        np.bincount(batch_of, minlength=batches),
        np.zeros(batches, dtype=np.bool_),
        np.zeros(row_tiles, dtype=np.bool_),
        np.zeros(row_tiles, dtype=np.int64),
    )


@njit(cache=True, nogil=True)
def play_tiles(tiles: Tiles, pool: Pool) -> tuple[IntArray, IntArray, IntArray, IntArray, int]:
    """Play all row tiles.

    Returns
    -------
    busy : int64 [lanes, 2]
        Picoseconds on scores and on P V.
    gaps : int64 [gaps, 3]
        Lane, begin and end of each wait between two tiles, or before the first.
    rows, batches : int64 [row tiles, 6], [batches, 5]
        Times, by the columns above.
    finished : int
        Row tiles; all of them, unless nothing can move any more.
    """
    row_tiles, batches, ids = len(tiles.score), len(tiles.service), len(tiles.score) + 1
    count, now = 0, 0
    state = _start(row_tiles, batches, tiles.batch_of)
    free: list[int] = list(range(pool.lanes))
    units: list[int] = [0 for _ in range(pool.softmax_units)]
    events: list[int] = [0 for _ in range(0)]
    ready: list[int] = [0 for _ in range(0)]
    busy, gaps = np.zeros((pool.lanes, 2), dtype=np.int64), np.empty((pool.lanes, 3), dtype=np.int64)
    for _ in range(min(pool.resident, batches)):
        _ask(0, tiles, pool, state, events)
    while True:
        since, lane = free[0] // pool.lanes, free[0] % pool.lanes
        start = max(now, since)
        while len(events) and events[0] // (KINDS * ids) <= start:
            _handle(heappop(events), tiles, pool, state, events, ready, units)
        what, row, tile = _choose(tiles, pool, state, ready)
        if what == NOTHING:
            if not len(events):
                break
            now = events[0] // (KINDS * ids)
            continue
        end = _work(what, row, tile, start, tiles, pool, state, events)
        heapreplace(free, end * pool.lanes + lane)
        busy[lane, what] += end - start
        if start > since:
            if count == len(gaps):
                gaps = np.concatenate((gaps, np.empty_like(gaps)))
            gaps[count, 0], gaps[count, 1], gaps[count, 2] = lane, since, start
            count += 1
    return busy, gaps[:count].copy(), state.rows, state.batches, int(state.at[_FINISHED])
