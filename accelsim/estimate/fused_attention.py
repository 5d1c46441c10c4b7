"""Fused (flash) attention in closed form: softmax(Q K^T / sqrt(head_dim)) V by one kernel that keeps scores on chip.

A thread block holds a tile of queries of one head and walks over tiles of keys and values with an online softmax (Dao
et al., FlashAttention, NeurIPS 2022; FlashAttention-2, arXiv 2307.08691): two tile products on the tensor cores and an
exponential for each score between them. Groups of warps, of one thread block or of several on an SM, alternate between
the two (FlashAttention-3, arXiv 2407.08608); one alone does them in turn. All functions are pure.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TAIL = 0.5
"""Share of the longest thread block's time by which the device's last one ends after the mean of the SMs: causal thread
blocks of a head are dealt out from the shortest to the longest, head after head."""

WRITER_READS = 4
"""Round trips to memory, one after another, in the life of a thread block that writes a token into the cache: its slot,
its key, its value, and the writes."""


@dataclass(frozen=True)
class AttentionShape:
    """Attention of `batch` items. Heads of queries share keys and values in groups of q_heads / kv_heads."""

    batch: int
    q_heads: int
    kv_heads: int
    head_dim: int
    q_len: int
    kv_len: int
    causal: bool = False
    """Whether query i sees keys up to kv_len - q_len + i alone."""
    element_bytes: int = 2

    @property
    def query_bytes(self) -> int:
        """Of all queries, and as many of the output."""
        return self.batch * self.q_heads * self.q_len * self.head_dim * self.element_bytes

    @property
    def key_bytes(self) -> int:
        """Of all keys and values."""
        return 2 * self.batch * self.kv_heads * self.kv_len * self.head_dim * self.element_bytes


@dataclass(frozen=True)
class FusedKernel:
    """Tiles of a kernel and how its thread blocks share an SM."""

    tile_q: int
    tile_k: int
    head_dim: int
    """To which heads are padded."""
    resident: int
    """Thread blocks that an SM holds at once."""
    groups: int
    """Groups of warps of a thread block that alternate between products and exponentials."""
    reads: int = 2
    """Round trips to memory before the first product: queries and keys, and a table of pages if there is one."""
    efficiency: float = 1.0
    """Rate of its main loop over the machine's."""


@dataclass(frozen=True)
class AttentionMachine:
    """Plain numbers of a GPU: cycles, bytes a cycle, operations a cycle of one SM."""

    sm_count: int
    clock: float
    """Hz."""
    macs_per_cycle: float
    """Of one SM's tensor cores, the machine's efficiency included."""
    exponentials_per_cycle: float
    operations_per_cycle: float
    """Instructions of CUDA cores."""
    operations: float
    """Of these, for each score beside its exponential."""
    setup: float
    """Cycles from a thread block's dispatch to its first load."""
    round_trip: float
    """Cycles from asking for data in DRAM to using it."""
    epilogue_rate: float
    l2_rate: float
    """Over all SMs."""
    l2_capacity: float
    dram_rate: float
    """Over all channels, efficiency included."""
    threads_per_sm: int
    blocks_per_sm: int
    launch: float
    """Cycles between a kernel and the next in a graph."""


@dataclass(frozen=True)
class AttentionTime:
    """Time of a fused kernel at full clock and without its launch, and what it does in it."""

    seconds: float
    thread_blocks: int
    tiles: int
    """Pairs of a query tile and a key tile that are computed."""
    macs: int
    """Multiply-accumulates, padding included."""
    scores: int
    """Likewise."""
    l2_bytes: int
    dram_bytes: int


@dataclass(frozen=True)
class CacheTime:
    """Time of the kernel that writes keys and values into a cache, with its launch, and the bytes that it moves."""

    seconds: float
    moved_bytes: int


def key_tiles(shape: AttentionShape, tile_q: int, tile_k: int) -> NDArray[np.int64]:
    """Key tiles that each query tile of a head walks over, [query tiles].

    Raises
    ------
    ValueError
        Causal attention of more queries than keys.
    """
    if shape.causal and shape.q_len > shape.kv_len:
        raise ValueError(f"causal attention of {shape.q_len} queries needs as many keys, not {shape.kv_len}")
    tiles = -(-shape.q_len // tile_q)
    if not shape.causal:
        return np.full(tiles, -(-shape.kv_len // tile_k), np.int64)
    last = np.minimum(np.arange(1, tiles + 1, dtype=np.int64) * tile_q, shape.q_len)
    return -(-(shape.kv_len - shape.q_len + last) // tile_k)


def fused_attention_time(shape: AttentionShape, kernel: FusedKernel, machine: AttentionMachine) -> AttentionTime:
    """Time of one fused attention kernel.

    The longest of: the SMs' work in waves of thread blocks, the traffic of L2, that of DRAM.

    Parameters
    ----------
    shape : AttentionShape
    kernel : FusedKernel
    machine : AttentionMachine

    Returns
    -------
    AttentionTime

    Raises
    ------
    ValueError
        Causal attention of more queries than keys.
    """
    per_head = key_tiles(shape, kernel.tile_q, kernel.tile_k)
    heads = shape.batch * shape.q_heads
    blocks, tiles = heads * len(per_head), heads * int(per_head.sum())
    loaded = 2 * kernel.tile_k * shape.head_dim * shape.element_bytes
    l2_bytes = 2 * shape.query_bytes + tiles * loaded
    dram_bytes = 2 * shape.query_bytes + _key_reads(shape, kernel, machine, len(per_head))
    cycles = max(_span(shape, kernel, machine, per_head), l2_bytes / machine.l2_rate, dram_bytes / machine.dram_rate)
    scores = tiles * kernel.tile_q * kernel.tile_k
    return AttentionTime(
        seconds=cycles / machine.clock,
        thread_blocks=blocks,
        tiles=tiles,
        macs=2 * scores * kernel.head_dim,
        scores=scores,
        l2_bytes=l2_bytes,
        dram_bytes=dram_bytes,
    )


def step_cycles(kernel: FusedKernel, machine: AttentionMachine, active: int) -> float:
    """Cycles that one of `active` thread blocks on an SM takes for a key tile.

    Groups of warps take turns: together they are bound by the tensor cores or by the exponentials, and each by both in
    a row.
    """
    scores = kernel.tile_q / kernel.groups * kernel.tile_k
    multiply = 2 * scores * kernel.head_dim / machine.macs_per_cycle
    soften = scores * (1 / machine.exponentials_per_cycle + machine.operations / machine.operations_per_cycle)
    together = active * kernel.groups * max(multiply, soften)
    return max(together, multiply + soften) / kernel.efficiency


def block_overhead(shape: AttentionShape, kernel: FusedKernel, machine: AttentionMachine) -> float:
    """Cycles of a thread block outside its main loop: set-up, first reads, writing the output."""
    written = min(kernel.tile_q, shape.q_len) * shape.head_dim * shape.element_bytes
    return machine.setup + kernel.reads * machine.round_trip + written / machine.epilogue_rate


def _span(shape: AttentionShape, kernel: FusedKernel, machine: AttentionMachine, per_head: NDArray[np.int64]) -> float:
    """Cycles from the first thread block's dispatch to the end of the last, as the SMs bound it."""
    blocks, sms = shape.batch * shape.q_heads * len(per_head), machine.sm_count
    slots, longest = sms * kernel.resident, int(per_head.max())
    overhead = block_overhead(shape, kernel, machine)
    full_step = step_cycles(kernel, machine, kernel.resident)
    if int(per_head.min()) == longest:
        full = -(-blocks // slots) - 1
        last = step_cycles(kernel, machine, -(-(blocks - full * slots) // sms))
        return full * (overhead + longest * full_step) + overhead + longest * last
    alone = longest * step_cycles(kernel, machine, 1)
    if blocks <= sms:
        return overhead + alone
    mean = float(per_head.mean()) * full_step + overhead
    return max(blocks / slots * mean + TAIL * alone, overhead + alone)


def _key_reads(shape: AttentionShape, kernel: FusedKernel, machine: AttentionMachine, query_tiles: int) -> int:
    """Bytes of keys and values from DRAM: once, or by every wave if those that thread blocks share exceed L2."""
    blocks, slots = shape.batch * shape.q_heads * query_tiles, machine.sm_count * kernel.resident
    per_head = shape.key_bytes // (shape.batch * shape.kv_heads)
    at_once = -(-min(blocks, slots) // (query_tiles * (shape.q_heads // shape.kv_heads)))
    if at_once * per_head <= machine.l2_capacity:
        return shape.key_bytes
    return max(shape.key_bytes, -(-blocks // slots) * at_once * per_head)


def cache_write_time(shape: AttentionShape, threads: int | None, queries: bool, machine: AttentionMachine) -> CacheTime:
    """Time of writing keys and values (and rewritten queries) into a cache before the attention.

    Parameters
    ----------
    shape : AttentionShape
    threads : int or None
        Most threads of a token's thread block, one for each of its elements: few heads leave it waiting for memory, and
        an SM holds only so many. None: as many thread blocks as fill the memory's bandwidth.
    queries : bool
        Whether queries are read and written, too.
    machine : AttentionMachine
    """
    moved = 2 * (shape.key_bytes + (shape.query_bytes if queries else 0))
    cycles = moved / machine.dram_rate
    if threads is not None:
        wide = min(threads, shape.kv_heads * shape.head_dim)
        resident = max(1, min(machine.blocks_per_sm, machine.threads_per_sm // wide))
        life = machine.setup + WRITER_READS * machine.round_trip
        cycles = max(cycles, shape.batch * shape.kv_len * life / (resident * machine.sm_count))
    return CacheTime((machine.launch + machine.round_trip + cycles) / machine.clock, moved)
