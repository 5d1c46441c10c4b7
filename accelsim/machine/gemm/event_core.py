"""The compiled core of the GEMM device. `twin` holds the rule that it follows in readable form.

Everything lies in one int64 array `d`: a header, then rows. A row is named by the index at which it begins, and a
column by its constant, so that `d[sm + PORT_FREE]` is a field of an SM. (One array, because Numba counts references of
every array that it passes on.) Everything compiled stands in this one file, because Numba's cache notices changes of
the file that a function stands in, and of no other.

A thread block has exactly one event ahead of it, and so has a launch that is not active yet. The next of all events is
the root of a tournament tree with a leaf for each. An event's key packs (kind, SM, thread block, slot), so that
(tick, key) orders events as the rule says; the slot, in the lowest bits, only tells where the thread block's state is.
DISPATCH needs no event: it follows when no RETIRE or ACTIVATE is left at its tick.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Table = NDArray[np.int64]
Flag = int | None
"""None where nothing is recorded: Numba leaves out at compile time what that rules out, so that it costs nothing."""

# Kinds of events, in their order within a tick
RETIRE, ACTIVATE, BEGIN, READY, ISSUE, END = range(6)

# Causes, as in `program.Cause`
LAUNCH, PROLOGUE, COMPUTE, SHARED, CONFLICT, L2, DRAM, EPILOGUE, IMBALANCE, TAIL = range(10)

# What a record tells beside causes of SMs, as in `record.Phase`, and the servers whose use it holds
BLOCK_PROLOGUE, BLOCK_WAIT, BLOCK_EPILOGUE = 10, 11, 12
CORE_USE, L2_USE, DRAM_USE, USES = range(4)

# Header: the machine; where rows begin (LEAVES: the first leaf of the tree); what changes
MAX_BLOCKS, SM_SHARED, SM_REGISTERS, SM_THREADS, L2_CAPACITY, L2_LATENCY, DRAM_LATENCY, SETUP = range(8)
SMS, SLOTS, RINGS, LAUNCHES, QUEUE, BLOCKS, TILES, ANCHOR, SPANS, CHANNELS, TREE, LEAVES, SLOT_COUNT = range(8, 21)
ACTIVE, DONE, QUEUE_HEAD, QUEUE_TAIL, L2_FREE, L2_USED, L2_BUSY, DRAM_READ, DRAM_WRITE, EVENTS = range(21, 31)
WRITE_BACKLOG = 31
RECORD, RECORD_NEXT, RECORD_END, RECORDS_LOST, BINS, BIN_COUNT, BIN_TICKS = range(32, 39)
HEADER = 39

# An SM; BOOKED: time before it is in the account, and the tensor core is free from it on; SAMPLED: whether what it does
# is recorded; TIME: a column for each cause
BOOKED, PORT_FREE, EPILOGUE_FREE, RESIDENT, WORKING, SHARED_USED, REGISTERS_USED, THREADS_USED = range(8)
SAMPLED, TIME = 8, 9
SM_COLUMNS = TIME + 10

# A slot of an SM for a thread block; CHUNK: its next chunk to compute; RING: its first row for chunks in flight; DEPTH:
# how many of these it uses; NEXT: the row of the next chunk; CORE_END: when it left the tensor core, where recorded
BLOCK, CHUNK, COMPUTE_END, L2_END, AT_EPILOGUE, RING, DEPTH, NEXT, CORE_END = range(9)
SLOT_COLUMNS = 9

# A chunk in flight: arrival of its first k-step and of all of it, and the same had every tile been in L2
FIRST, LAST, L2_FIRST, L2_LAST = range(4)
RING_COLUMNS = 4

# A launch; L_CHILD, L_SIBLING: rows of those that wait for it, -1 at the end
L_RELEASE, L_GAP, L_FIRST, L_COUNT, L_SHARED, L_REGISTERS, L_THREADS = range(7)
L_DEALT, L_LEFT, L_STEPS, L_BEGIN, L_END, L_CHILD, L_SIBLING = range(7, 14)
LAUNCH_COLUMNS = 14

# A thread block; B_STEP: ticks that a k-step holds the tensor core; B_A_TILE: row of the tile that spans count from, -1
# for no operand; B_A_SPAN: row of the first span
B_STEPS, B_CHUNKS, B_STEP, B_PORT, B_L2, B_A_TILE, B_A_SPAN, B_B_TILE, B_B_SPAN, B_WINDOW, B_PER_CHUNK = range(11)
B_EPILOGUE, B_EPILOGUE_L2, B_EPILOGUE_DRAM, B_EPILOGUE_BYTES, B_LAUNCH, B_SM, B_DISPATCH, B_END = range(11, 19)
BLOCK_COLUMNS = 19

# A tile; T_OLDER, T_NEWER: rows before and behind it by the time of last use, in a ring through ANCHOR
T_BYTES, T_DRAM, T_CHANNEL, T_CHANNELS, T_ARRIVAL, T_OLDER, T_NEWER, T_RESIDENT = range(8)
TILE_COLUMNS = 8

# A span; a channel; a node of the tree
FIRST_TILE, TILE_COUNT = range(2)
CHANNEL_FREE, CHANNEL_BUSY = range(2)
TICK, KEY = range(2)
PAIR = 2

# A record of what a sampled SM, or a thread block on it, does
R_SM, R_WHAT, R_BLOCK, R_BEGIN, R_END = range(5)
RECORD_COLUMNS = 5

SLOT_BITS, BLOCK_BITS, SM_BITS = 12, 32, 16
KIND_SHIFT = SLOT_BITS + BLOCK_BITS + SM_BITS
NEVER = (1 << 63) - 1


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _key(kind: int, sm: int, block: int, slot: int) -> int:
    return (kind << KIND_SHIFT) | (sm << (SLOT_BITS + BLOCK_BITS)) | (block << SLOT_BITS) | slot


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _set(d: Table, leaf: int, tick: int, key: int) -> None:
    """Give a leaf its next event. Free of branches, since which of two events comes first is hard to predict."""
    tree, node = d[TREE], d[LEAVES] + leaf
    d[tree + PAIR * node + TICK] = tick
    d[tree + PAIR * node + KEY] = key
    while node > 1:
        other = tree + PAIR * (node ^ 1)
        other_tick, other_key = d[other + TICK], d[other + KEY]
        earlier = (other_tick < tick) | ((other_tick == tick) & (other_key < key))
        tick = other_tick if earlier else tick
        key = other_key if earlier else key
        node >>= 1
        d[tree + PAIR * node + TICK] = tick
        d[tree + PAIR * node + KEY] = key


@njit(cache=True, nogil=True, error_model="numpy")
def set_launch(d: Table, launch: int, tick: int) -> None:
    """Let a launch, given by its row, become active at `tick`."""
    index = (launch - d[LAUNCHES]) // LAUNCH_COLUMNS
    _set(d, d[SLOT_COUNT] + index, tick, _key(ACTIVATE, 0, index, 0))


@njit(cache=True, nogil=True, error_model="numpy")
def _record(d: Table, sm: int, what: int, block: int, begin: int, end: int) -> None:
    """Note what a sampled SM does, or the thread block in row `block` (-1 for none); what finds no room is counted."""
    row = d[RECORD_NEXT]
    if row >= d[RECORD_END]:
        d[RECORDS_LOST] += 1
        return
    d[row + R_SM] = (sm - d[SMS]) // SM_COLUMNS
    d[row + R_WHAT] = what
    d[row + R_BLOCK] = -1 if block < 0 else (block - d[BLOCKS]) // BLOCK_COLUMNS
    d[row + R_BEGIN] = begin
    d[row + R_END] = end
    d[RECORD_NEXT] = row + RECORD_COLUMNS


@njit(cache=True, nogil=True, error_model="numpy")
def _use(d: Table, server: int, begin: int, end: int) -> None:
    """Add a service to the bins of its kind of server; bins that do not reach so far become twice as long."""
    count = d[BIN_COUNT]
    while end > count * d[BIN_TICKS]:
        for first in range(d[BINS], d[BINS] + USES * count, count):
            for i in range(count):
                d[first + i] = d[first + 2 * i] + d[first + 2 * i + 1] if 2 * i < count else 0
        d[BIN_TICKS] *= 2
    ticks = d[BIN_TICKS]
    while begin < end:
        until = min(end, (begin // ticks + 1) * ticks)
        d[d[BINS] + server * count + begin // ticks] += until - begin
        begin = until


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _unlink(d: Table, tile: int) -> None:
    older, newer = d[tile + T_OLDER], d[tile + T_NEWER]
    d[older + T_NEWER] = newer
    d[newer + T_OLDER] = older


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _make_newest(d: Table, tile: int) -> None:
    """Link a tile in as the most recently used one."""
    newest = d[d[ANCHOR] + T_OLDER]
    d[tile + T_OLDER] = newest
    d[tile + T_NEWER] = d[ANCHOR]
    d[newest + T_NEWER] = tile
    d[d[ANCHOR] + T_OLDER] = tile


@njit(cache=True, nogil=True, error_model="numpy")
def _miss(d: Table, tile: int, now: int, record: Flag) -> None:
    """Read a tile from its channels and keep it in L2 if L2 can hold it at all."""
    ticks, size = d[tile + T_DRAM], d[tile + T_BYTES]
    channel, arrival = d[CHANNELS] + PAIR * d[tile + T_CHANNEL], now
    for _ in range(d[tile + T_CHANNELS] if ticks > 0 else 0):
        done = max(now, d[channel + CHANNEL_FREE]) + ticks
        d[channel + CHANNEL_FREE] = done
        d[channel + CHANNEL_BUSY] += ticks
        if record is not None:
            _use(d, DRAM_USE, done - ticks, done)
        arrival = max(arrival, done)
        channel = channel + PAIR if channel + PAIR < d[TREE] else d[CHANNELS]
    d[tile + T_ARRIVAL] = arrival + d[DRAM_LATENCY]
    d[DRAM_READ] += size
    if size > d[L2_CAPACITY]:
        return
    while d[L2_USED] + size > d[L2_CAPACITY]:
        oldest = d[d[ANCHOR] + T_NEWER]
        _unlink(d, oldest)
        d[oldest + T_RESIDENT] = 0
        d[L2_USED] -= d[oldest + T_BYTES]
    d[L2_USED] += size
    d[tile + T_RESIDENT] = 1
    _make_newest(d, tile)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _operand(d: Table, base: int, span: int, steps: int, now: int, record: Flag) -> tuple[int, int]:
    """Touch the tiles of one operand's chunk; the ticks at which L2 has what its first k-step needs, and all of it."""
    first, last = now, now
    if base < 0:
        return first, last
    tiles = d[span + TILE_COUNT]
    tile = base + TILE_COLUMNS * d[span + FIRST_TILE]
    for i in range(tiles):
        if d[tile + T_RESIDENT] == 0:
            _miss(d, tile, now, record)
        elif d[tile + T_NEWER] != d[ANCHOR]:
            _unlink(d, tile)
            _make_newest(d, tile)
        arrival = d[tile + T_ARRIVAL]
        if arrival > now:
            last = max(last, arrival)
            if i * steps < tiles:
                share = d[tile + T_DRAM] * min(steps, tiles - i * steps) // steps
                first = max(first, arrival - d[tile + T_DRAM] + share)
        tile += TILE_COLUMNS
    return first, last


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _load(d: Table, block: int, index: int, ring: int, sm: int, now: int, record: Flag) -> None:
    """Issue the loads of chunk `index`, which stream through port, L2 and DRAM at once; `ring` takes the times."""
    steps = min(d[block + B_PER_CHUNK], d[block + B_STEPS] - index * d[block + B_PER_CHUNK])
    a_first, a_last = _operand(d, d[block + B_A_TILE], d[block + B_A_SPAN] + PAIR * index, steps, now, record)
    b_first, b_last = _operand(d, d[block + B_B_TILE], d[block + B_B_SPAN] + PAIR * index, steps, now, record)
    first, last = now, now
    port, l2 = d[block + B_PORT], d[block + B_L2]
    if port > 0:
        begin = max(now, d[sm + PORT_FREE])
        first, last = begin + port, begin + steps * port
        d[sm + PORT_FREE] = last
    if l2 > 0:
        begin = max(now, d[L2_FREE])
        d[L2_FREE] = begin + steps * l2
        d[L2_BUSY] += steps * l2
        if record is not None:
            _use(d, L2_USE, begin, begin + steps * l2)
        first, last = max(first, begin + l2), max(last, begin + steps * l2)
    latency = d[L2_LATENCY]
    d[ring + L2_FIRST] = first + latency
    d[ring + L2_LAST] = last + latency
    d[ring + FIRST] = max(first, max(a_first, b_first)) + latency
    d[ring + LAST] = max(last, max(a_last, b_last)) + latency
    if steps > 1:
        # A window of k-steps in flight over a latency: what follows the first k-step comes no faster (Little's law).
        rest, window = steps - 1, d[block + B_WINDOW]
        d[ring + L2_LAST] = max(d[ring + L2_LAST], d[ring + L2_FIRST] + rest * latency // window)
        if max(a_last, b_last) > now:
            latency += d[DRAM_LATENCY]
        d[ring + LAST] = max(d[ring + LAST], d[ring + FIRST] + rest * latency // window)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _book(d: Table, sm: int, until: int, cause: int, record: Flag) -> None:
    """Add the time from what is booked up to `until`, if any, to a cause."""
    if until > d[sm + BOOKED]:
        if record is not None and d[sm + SAMPLED] != 0:
            _record(d, sm, cause, -1, d[sm + BOOKED], until)
        d[sm + TIME + cause] += until - d[sm + BOOKED]
        d[sm + BOOKED] = until


@njit(cache=True, nogil=True, error_model="numpy")
def _book_wait(d: Table, sm: int, slot: int, until: int, record: Flag) -> None:
    """Explain an idle tensor core by what the thread block in `slot` waits for."""
    if d[slot + CHUNK] == 0:
        _book(d, sm, until, PROLOGUE, record)
        return
    _book(d, sm, min(until, d[slot + L2_END]), L2, record)
    _book(d, sm, min(until, d[slot + COMPUTE_END]), DRAM, record)
    _book(d, sm, min(until, d[d[slot + NEXT] + L2_FIRST]), L2, record)
    _book(d, sm, until, DRAM, record)


@njit(cache=True, nogil=True, error_model="numpy")
def _begin(d: Table, slot: int, sm: int, block: int, now: int, record: Flag) -> tuple[int, int]:
    """A thread block is set up and fills its window."""
    if d[block + B_CHUNKS] == 0:
        return now, END
    for index in range(min(d[slot + DEPTH], d[block + B_CHUNKS])):
        _load(d, block, index, d[slot + RING] + RING_COLUMNS * index, sm, now, record)
    return d[d[slot + RING] + FIRST], READY


@njit(cache=True, nogil=True, error_model="numpy")
def _record_chunk(d: Table, slot: int, sm: int, block: int, now: int, done: int) -> None:
    """Record that a chunk takes the tensor core up to `done`, and on a sampled SM what its thread block waited for."""
    start, chunk = d[sm + BOOKED], d[slot + CHUNK]
    _use(d, CORE_USE, start, done)
    if d[sm + SAMPLED] == 0:
        return
    _record(d, sm, COMPUTE, block, start, done)
    if chunk == 0:
        _record(d, sm, BLOCK_PROLOGUE, block, d[block + B_DISPATCH], start)
    elif now > d[slot + CORE_END]:
        _record(d, sm, BLOCK_WAIT, block, d[slot + CORE_END], now)
    d[slot + CORE_END] = done


@njit(cache=True, nogil=True, error_model="numpy")
def _record_end(d: Table, slot: int, sm: int, block: int, now: int, done: int) -> None:
    """Record a thread block's epilogue, up to `done`, and what came between it and the last k-step."""
    if d[slot + CHUNK] == 0:
        _record(d, sm, BLOCK_PROLOGUE, block, d[block + B_DISPATCH], now)
    elif now > d[slot + CORE_END]:
        _record(d, sm, BLOCK_WAIT, block, d[slot + CORE_END], now)
    _record(d, sm, BLOCK_EPILOGUE, block, now, done)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _ready(d: Table, slot: int, sm: int, block: int, now: int, record: Flag) -> tuple[int, int]:
    """The next chunk takes the tensor core; what follows: ISSUE, or END after the last one."""
    chunk, per_chunk, step = d[slot + CHUNK], d[block + B_PER_CHUNK], d[block + B_STEP]
    if now > d[sm + BOOKED]:
        _book_wait(d, sm, slot, now, record)
    start = d[sm + BOOKED]
    steps = min(per_chunk, d[block + B_STEPS] - chunk * per_chunk)
    done = start + steps * step
    if record is not None:
        _record_chunk(d, slot, sm, block, now, done)
    d[sm + BOOKED] = done
    ring = d[slot + NEXT]
    end = max(done, d[ring + LAST] + step)
    d[slot + L2_END] = max(done, d[ring + L2_LAST] + step)
    d[slot + COMPUTE_END] = end
    d[slot + CHUNK] = chunk + 1
    ring += RING_COLUMNS
    d[slot + NEXT] = ring if ring < d[slot + RING] + RING_COLUMNS * d[slot + DEPTH] else d[slot + RING]
    if chunk + 1 == d[block + B_CHUNKS]:
        return end, END
    if per_chunk > 1:
        start += (per_chunk - d[block + B_WINDOW]) * ((end - start) // steps)
    return start, ISSUE


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def _issue(d: Table, slot: int, sm: int, block: int, now: int, record: Flag) -> tuple[int, int]:
    """The chunk that took the tensor core makes room for the one behind those in flight."""
    index = d[slot + CHUNK] - 1 + d[slot + DEPTH]
    if index < d[block + B_CHUNKS]:
        ring = d[slot + NEXT] if d[slot + NEXT] > d[slot + RING] else d[slot + RING] + RING_COLUMNS * d[slot + DEPTH]
        _load(d, block, index, ring - RING_COLUMNS, sm, now, record)
    return max(d[d[slot + NEXT] + FIRST], d[slot + COMPUTE_END]), READY


@njit(cache=True, nogil=True, error_model="numpy")
def _end(d: Table, slot: int, sm: int, block: int, now: int, record: Flag) -> tuple[int, int]:
    """The epilogue writes its results; what follows: RETIRE."""
    d[sm + WORKING] -= 1
    if d[sm + WORKING] == 0:
        _book_wait(d, sm, slot, now, record)
    d[slot + AT_EPILOGUE] = 1
    done = max(now, d[sm + EPILOGUE_FREE]) + d[block + B_EPILOGUE]
    d[sm + EPILOGUE_FREE] = done
    if d[block + B_EPILOGUE_L2] > 0:
        d[L2_FREE] = max(now, d[L2_FREE]) + d[block + B_EPILOGUE_L2]
        d[L2_BUSY] += d[block + B_EPILOGUE_L2]
        if record is not None:
            _use(d, L2_USE, d[L2_FREE] - d[block + B_EPILOGUE_L2], d[L2_FREE])
        done = max(done, d[L2_FREE])
    ticks = d[block + B_EPILOGUE_DRAM]
    if ticks > 0:
        d[DRAM_WRITE] += d[block + B_EPILOGUE_BYTES]
        for channel in range(d[CHANNELS], d[TREE], PAIR):
            d[channel + CHANNEL_FREE] = max(now, d[channel + CHANNEL_FREE]) + ticks
            d[channel + CHANNEL_BUSY] += ticks
            if record is not None:
                _use(d, DRAM_USE, d[channel + CHANNEL_FREE] - ticks, d[channel + CHANNEL_FREE])
            done = max(done, d[channel + CHANNEL_FREE] - d[WRITE_BACKLOG])
    if record is not None and d[sm + SAMPLED] != 0:
        _record_end(d, slot, sm, block, now, done)
    return done, RETIRE


@njit(cache=True, nogil=True, error_model="numpy")
def _finish(d: Table, launch: int, now: int) -> None:
    """A launch is complete: those that wait for it become active after their gap."""
    d[launch + L_END] = now
    d[DONE] += 1
    child = d[launch + L_CHILD]
    while child >= 0:
        set_launch(d, child, max(d[child + L_RELEASE], now + d[child + L_GAP]))
        child = d[child + L_SIBLING]


@njit(cache=True, nogil=True, error_model="numpy")
def _occupy(d: Table, sm: int, launch: int, sign: int) -> None:
    d[sm + RESIDENT] += sign
    d[sm + SHARED_USED] += sign * d[launch + L_SHARED]
    d[sm + REGISTERS_USED] += sign * d[launch + L_REGISTERS]
    d[sm + THREADS_USED] += sign * d[launch + L_THREADS]


@njit(cache=True, nogil=True, error_model="numpy")
def _retire(d: Table, slot: int, sm: int, block: int, now: int, record: Flag) -> None:
    launch = d[block + B_LAUNCH]
    d[block + B_END] = now
    d[slot + BLOCK] = -1
    _set(d, (slot - d[SLOTS]) // SLOT_COLUMNS, NEVER, NEVER)
    _occupy(d, sm, launch, -1)
    if d[sm + WORKING] == 0:
        _book(d, sm, now, EPILOGUE, record)
    d[launch + L_LEFT] -= 1
    if d[launch + L_LEFT] > 0:
        return
    d[ACTIVE] -= 1
    total = d[block + B_STEPS] * d[launch + L_COUNT]
    share = 1024 * max(0, total - d[launch + L_STEPS]) // max(1, total)
    even = now - (now - d[block + B_DISPATCH]) * share // 1024
    for other in range(d[SMS], d[SLOTS], SM_COLUMNS):
        if d[other + RESIDENT] == 0:
            _book(d, other, even, TAIL, record)
            _book(d, other, now, IMBALANCE, record)
    _finish(d, launch, now)


@njit(cache=True, nogil=True, error_model="numpy")
def _activate(d: Table, launch: int, now: int, record: Flag) -> None:
    _set(d, d[SLOT_COUNT] + (launch - d[LAUNCHES]) // LAUNCH_COLUMNS, NEVER, NEVER)
    d[launch + L_BEGIN] = now
    if d[launch + L_COUNT] == 0:
        _finish(d, launch, now)
        return
    if d[ACTIVE] == 0:
        for sm in range(d[SMS], d[SLOTS], SM_COLUMNS):
            _book(d, sm, now, LAUNCH, record)
    d[ACTIVE] += 1
    place = d[QUEUE] + d[QUEUE_TAIL]
    # An empty launch may have let one of a lower index follow at the same tick.
    while place > d[QUEUE] + d[QUEUE_HEAD] and d[d[place - 1] + L_BEGIN] == now and d[place - 1] > launch:
        d[place] = d[place - 1]
        place -= 1
    d[place] = launch
    d[QUEUE_TAIL] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _choose_sm(d: Table, launch: int) -> int:
    """The SM with the fewest thread blocks among those where one of the launch fits, -1 if there is none."""
    best, fewest = -1, d[MAX_BLOCKS]
    for sm in range(d[SMS], d[SLOTS], SM_COLUMNS):
        if (
            d[sm + RESIDENT] < fewest
            and d[sm + SHARED_USED] + d[launch + L_SHARED] <= d[SM_SHARED]
            and d[sm + REGISTERS_USED] + d[launch + L_REGISTERS] <= d[SM_REGISTERS]
            and d[sm + THREADS_USED] + d[launch + L_THREADS] <= d[SM_THREADS]
        ):
            best, fewest = sm, d[sm + RESIDENT]
            if fewest == 0:
                break
    return best


@njit(cache=True, nogil=True, error_model="numpy")
def _place(d: Table, sm: int, index: int, now: int, record: Flag) -> None:
    """Put thread block `index` on an SM, and book what the SM did until now."""
    number, block = (sm - d[SMS]) // SM_COLUMNS, d[BLOCKS] + BLOCK_COLUMNS * index
    begin = d[SLOTS] + SLOT_COLUMNS * d[MAX_BLOCKS] * number
    free, senior = -1, -1
    for slot in range(begin, begin + SLOT_COLUMNS * d[MAX_BLOCKS], SLOT_COLUMNS):
        if d[slot + BLOCK] < 0:
            free = slot if free < 0 else free
        elif d[slot + AT_EPILOGUE] == 0 and (senior < 0 or d[slot + BLOCK] < d[senior + BLOCK]):
            senior = slot
    if d[sm + RESIDENT] == 0:
        _book(d, sm, now, TAIL, record)
    elif senior < 0:
        _book(d, sm, now, EPILOGUE, record)
    else:
        _book_wait(d, sm, senior, now, record)
    _occupy(d, sm, d[block + B_LAUNCH], 1)
    d[sm + WORKING] += 1
    d[free + BLOCK] = index
    d[free + CHUNK] = d[free + AT_EPILOGUE] = 0
    d[free + DEPTH] = d[block + B_WINDOW] if d[block + B_PER_CHUNK] == 1 else 1
    d[free + NEXT] = d[free + RING]
    d[block + B_SM] = number
    d[block + B_DISPATCH] = now
    leaf, local = (free - d[SLOTS]) // SLOT_COLUMNS, (free - begin) // SLOT_COLUMNS
    _set(d, leaf, now + d[SETUP], _key(BEGIN, number, index, local))


@njit(cache=True, nogil=True, error_model="numpy")
def _dispatch(d: Table, now: int, record: Flag) -> None:
    """Deal out thread blocks of the head of the queue for as long as they fit."""
    while d[QUEUE_HEAD] < d[QUEUE_TAIL]:
        launch = d[d[QUEUE] + d[QUEUE_HEAD]]
        sm = _choose_sm(d, launch)
        if sm < 0:
            return
        _place(d, sm, d[launch + L_FIRST] + d[launch + L_DEALT], now, record)
        d[launch + L_DEALT] += 1
        if d[launch + L_DEALT] == d[launch + L_COUNT]:
            d[QUEUE_HEAD] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def simulate(d: Table, record: Flag) -> None:
    """Run until no event is left; the rows hold the outcome."""
    root = d[TREE] + PAIR
    while d[root + TICK] < NEVER:
        now, key = d[root + TICK], d[root + KEY]
        d[EVENTS] += 1
        kind, index = key >> KIND_SHIFT, (key >> SLOT_BITS) & ((1 << BLOCK_BITS) - 1)
        number = (key >> (SLOT_BITS + BLOCK_BITS)) & ((1 << SM_BITS) - 1)
        leaf = number * d[MAX_BLOCKS] + (key & ((1 << SLOT_BITS) - 1))
        sm, slot = d[SMS] + SM_COLUMNS * number, d[SLOTS] + SLOT_COLUMNS * leaf
        block = d[BLOCKS] + BLOCK_COLUMNS * index
        if kind <= ACTIVATE:
            if kind == RETIRE:
                _retire(d, slot, sm, block, now, record)
            else:
                _activate(d, d[LAUNCHES] + LAUNCH_COLUMNS * index, now, record)
            if d[root + TICK] > now or d[root + KEY] >= _key(BEGIN, 0, 0, 0):
                _dispatch(d, now, record)
            continue
        if kind == READY:
            tick, following = _ready(d, slot, sm, block, now, record)
        elif kind == ISSUE:
            tick, following = _issue(d, slot, sm, block, now, record)
        elif kind == BEGIN:
            tick, following = _begin(d, slot, sm, block, now, record)
        else:
            tick, following = _end(d, slot, sm, block, now, record)
        _set(d, leaf, tick, (key & ((1 << KIND_SHIFT) - 1)) | (following << KIND_SHIFT))
