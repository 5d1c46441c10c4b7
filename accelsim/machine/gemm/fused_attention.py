"""Fused attention on the GEMM device: its program for the engines, and its time in closed form."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from accelsim.config.hardware import EnergyTable, Gpu, Library
from accelsim.config.workload import Caches
from accelsim.estimate.fused_attention import (
    AttentionShape,
    CacheTime,
    block_overhead,
    cache_write_time,
    fused_attention_time,
    step_cycles,
)
from accelsim.machine.gemm.actions import dynamic_joule, fused_actions
from accelsim.machine.gemm.lower import Clockwork, Fields, writes
from accelsim.machine.gemm.power import throttled_seconds
from accelsim.machine.gemm.program import DeviceProgram, IntArray
from accelsim.mapping.fused_attention import (
    FusedAttentionPlan,
    attention_machine,
    fused_attention_of,
    plan_fused_attention,
    stack_of,
)
from accelsim.mapping.tiles import ELEMENT_BYTES

WINDOW = 2
"""Key tiles in flight."""

_WARP_GROUP = 128
"""Threads of a group of warps."""


@dataclass(frozen=True)
class AttentionEstimate:
    """Fused attention in closed form, with its launch, the cache's kernel and the power limit."""

    seconds: float
    plan: FusedAttentionPlan
    thread_blocks: int
    actions: Counter[str]
    """By the names of `accelsim.config.actions`; those of the cache's kernel among them."""
    cache: CacheTime
    """The kernel that writes a prompt's keys and values; nothing where there is none."""


def estimate_fused_attention(
    gpu: Gpu,
    library: Library,
    batch: int,
    q_heads: int,
    kv_heads: int,
    head_dim: int,
    q_len: int,
    kv_len: int,
    causal: bool,
    stack: str | None = None,
    *,
    dtype: str = "bf16",
    prompt: bool = False,
    energy: EnergyTable | None = None,
) -> AttentionEstimate:
    """Time of one call of fused attention on a GPU, replayed from a graph.

    Parameters
    ----------
    gpu : Gpu
    library : Library
        That has `fused_attention` (cublas_ampere, cublas_hopper, ...).
    batch, q_heads, kv_heads, head_dim, q_len, kv_len : int
    causal : bool
        Whether query i sees keys up to kv_len - q_len + i alone.
    stack : str, optional
        Of the library; left out, its default.
    dtype : str
        fp16 or bf16.
    prompt : bool
        Whether it is a prompt's attention in a serving stack: keys and values are written into its cache first, and
        read from there.
    energy : EnergyTable, optional
        Energy per action, from which the clock under a power limit follows; left out, the clock stays full.

    Returns
    -------
    AttentionEstimate
        Seconds include the launch.

    Raises
    ------
    MappingError
        As `accelsim.mapping.fused_attention.plan_fused_attention`.
    """
    size = ELEMENT_BYTES.get(dtype, 2)
    shape = AttentionShape(batch, q_heads, kv_heads, head_dim, q_len, kv_len, causal, size)
    plan = plan_fused_attention(shape, dtype, gpu, library, stack, prompt)
    machine = attention_machine(gpu, plan)
    found = fused_attention_time(shape, plan.kernel, machine)
    writer = stack_of(fused_attention_of(library), library, stack).cache if prompt else None
    cache = CacheTime(0.0, 0) if writer is None else cache_write_time(shape, writer.threads, writer.queries, machine)
    actions = call_actions(plan, found.l2_bytes, found.dram_bytes, cache)
    seconds = power_limited(plan.launch + found.seconds + cache.seconds, actions, gpu, energy)
    return AttentionEstimate(seconds, plan, found.thread_blocks, actions, cache)


def call_actions(plan: FusedAttentionPlan, l2_bytes: int, dram_bytes: int, cache: CacheTime) -> Counter[str]:
    """Actions of a fused kernel, given the bytes that memories moved, and of the kernel that fills the cache."""
    return fused_actions(plan, l2_bytes + cache.moved_bytes, dram_bytes + cache.moved_bytes)


def power_limited(seconds: float, actions: Counter[str], gpu: Gpu, energy: EnergyTable | None) -> float:
    """Seconds of a kernel under the board's power limit; the same without a table of energies."""
    if gpu.power is None or energy is None:
        return seconds
    static = sum(energy.static_power.values())
    return throttled_seconds(seconds, dynamic_joule(actions, energy), static, gpu.power.limit, gpu.power.time_constant)


def fused_attention_program(plan: FusedAttentionPlan, gpu: Gpu, caches: Caches, launch: str) -> DeviceProgram:
    """Program of one fused attention kernel: a thread block for each query tile, a k-step for each key tile.

    A k-step computes as long as one of the resident thread blocks does while all of them take turns; that one alone on
    an SM is slower is left to the closed form. Queries, keys and values count as activations for the state of L2.

    Parameters
    ----------
    plan : FusedAttentionPlan
    gpu : Gpu
    caches : Caches
    launch : str
        ``graph``, ``stream`` or ``sync``; the stack's launch time stands in for that of a graph.
    """
    clock, shape = Clockwork(gpu), plan.shape
    tiles = _Tiles.of(plan)
    machine = attention_machine(gpu, plan)
    blocks, heads = shape.batch * shape.q_heads * len(plan.steps), shape.batch * shape.q_heads
    resident = max(1, min(plan.kernel.resident, -(-blocks // gpu.sm_count)))
    compute = step_cycles(plan.kernel, machine, resident) / resident
    one, steps = np.ones(blocks, np.int64), np.tile(plan.steps, heads)
    loads = -(-(tiles.query_bytes[0] + plan.steps * tiles.key_bytes[0]) // plan.steps)
    loaded = np.tile(loads, heads)
    shared = plan.tile_bytes * (1 + plan.shared_readers)
    written = np.tile(tiles.query_bytes[: len(plan.steps)], heads)
    fields = clock.machine()
    # Set-up holds the reads that follow each other before the first product, but for the one that engines count.
    before = block_overhead(shape, plan.kernel, machine) - int(written[0]) / gpu.epilogue - machine.round_trip
    fields["block_setup"] = clock.cycles(before)
    return DeviceProgram(
        **fields,
        **_launch(plan, gpu, clock, launch, blocks),
        block_steps=steps,
        block_compute=one * clock.cycles(compute),
        block_shared=one * int(clock.stream(shared, gpu.shared_memory.bandwidth)),
        block_conflict=0 * one,
        block_port=clock.stream(loaded, gpu.l2.port),
        block_l2=clock.stream(loaded, gpu.l2.bandwidth),
        block_load_bytes=loaded,
        **tiles.spans(plan),
        **writes(written, clock, written),
        **clock.tiles(np.concatenate([tiles.query_bytes, tiles.key_bytes])),
        warm_tiles=tiles.warm(gpu.l2.capacity) if caches.activations == "warm" else np.empty(0, np.int64),
    )


def _launch(plan: FusedAttentionPlan, gpu: Gpu, clock: Clockwork, launch: str, blocks: int) -> Fields:
    """The only launch; registers and shared memory hold an SM to the kernel's resident thread blocks."""
    kernel = plan.kernel
    queries = kernel.tile_q * kernel.head_dim * plan.shape.element_bytes
    later = clock.launch_overhead(launch) - clock.launch_overhead("graph")
    values = {
        "launch_release": clock.seconds(plan.launch) + max(0, later),
        "launch_after": -1,
        "launch_gap": 0,
        "launch_first_block": 0,
        "launch_block_count": blocks,
        "launch_shared_bytes": min(queries + plan.tile_bytes, gpu.shared_memory.per_sm // kernel.resident),
        "launch_registers": gpu.registers_per_sm // kernel.resident,
        "launch_threads": min(_WARP_GROUP * kernel.groups, gpu.max_threads_per_sm // kernel.resident),
        "launch_window": WINDOW,
        "launch_steps_per_chunk": 1,
    }
    return {name: np.asarray([value], np.int64) for name, value in values.items()}


@dataclass(frozen=True)
class _Tiles:
    """What L2 holds: a tile for the queries of each thread block, and one for each step's keys and values."""

    query_bytes: IntArray
    """[batch * q_heads * query tiles]"""
    key_bytes: IntArray
    """[batch * kv_heads * key tiles]"""

    @classmethod
    def of(cls, plan: FusedAttentionPlan) -> "_Tiles":
        shape, kernel = plan.shape, plan.kernel
        row = shape.head_dim * shape.element_bytes

        def rows(length: int, tile: int, heads: int) -> IntArray:
            edges = np.minimum(np.arange(0, length + tile, tile, dtype=np.int64), length)
            own = np.diff(edges)
            return np.tile(own[own > 0], heads)

        queries = rows(shape.q_len, kernel.tile_q, shape.batch * shape.q_heads)
        keys = rows(shape.kv_len, kernel.tile_k, shape.batch * shape.kv_heads)
        return cls(row * queries, 2 * row * keys)

    def spans(self, plan: FusedAttentionPlan) -> Fields:
        """A thread block's queries come with its first step, keys and values tile by tile."""
        shape, steps = plan.shape, plan.steps
        longest, heads, blocks = int(steps.max()), shape.batch * shape.q_heads, len(self.query_bytes)
        shared = shape.q_heads // shape.kv_heads
        per_head = len(self.key_bytes) // (shape.batch * shape.kv_heads)
        own_keys = len(self.query_bytes) + (np.arange(heads, dtype=np.int64) // shared) * per_head
        zero = np.zeros(blocks, np.int64)
        first = np.concatenate([np.zeros(longest, np.int64), np.arange(longest, dtype=np.int64)])
        count = np.concatenate([np.arange(longest, dtype=np.int64) == 0, np.ones(longest, np.bool_)]).astype(np.int64)
        return {
            "span_first": first,
            "span_count": count,
            "block_a_base": np.arange(blocks, dtype=np.int64),
            "block_a_span": zero,
            "block_b_base": np.repeat(own_keys, len(steps)),
            "block_b_span": zero + longest,
        }

    def warm(self, capacity: int) -> IntArray:
        """Tiles that lie in L2 after what wrote them: the last written, as far as they fit, oldest first."""
        size = np.concatenate([self.query_bytes, self.key_bytes])
        newest = np.cumsum(size[::-1])[::-1] <= capacity
        return np.flatnonzero(newest).astype(np.int64)
