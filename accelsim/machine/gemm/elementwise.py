"""Program of a memory-bound kernel: thread blocks that read, work a little and write."""

import numpy as np

from accelsim.config.hardware import Gpu
from accelsim.config.workload import Caches
from accelsim.machine.gemm.lower import Clockwork, Fields, writes
from accelsim.machine.gemm.program import DeviceProgram, IntArray
from accelsim.model.graph import Elementwise

THREADS = 256
REGISTERS = THREADS * 32
STEP_BYTES = 4096
"""Bytes that a thread block has in one load: 16 bytes for each thread."""
BLOCK_STEPS = 4
MAX_BLOCKS = 4096
"""Larger operations get more steps for each thread block, as grid-stride loops do."""


def elementwise_program(operation: Elementwise, gpu: Gpu, caches: Caches, launch: str) -> DeviceProgram:
    """Program of one element-wise operation.

    Inputs count as activations for the state of L2, but for those that the operation calls cold. Arithmetic runs on the
    CUDA cores at two operations for each multiply-accumulate of their fp32 rate, and overlaps with the loads.
    """
    clock = Clockwork(gpu)
    loads = max(1, -(-operation.bytes_read // STEP_BYTES))
    steps_each = max(BLOCK_STEPS, -(-loads // MAX_BLOCKS))
    bounds = np.append(np.arange(0, loads, steps_each, dtype=np.int64), loads)
    tile_bytes = np.diff(operation.bytes_read * np.arange(loads + 1, dtype=np.int64) // loads)
    warm = np.empty(0, np.int64)
    if caches.activations == "warm":
        newest = np.cumsum(tile_bytes[::-1])[::-1] <= gpu.l2.capacity
        newest &= np.cumsum(tile_bytes) - tile_bytes >= operation.cold_bytes
        warm = np.flatnonzero(newest).astype(np.int64)
    return DeviceProgram(
        **clock.machine(),
        **_launch(len(bounds) - 1, clock.launch_overhead(launch)),
        **_blocks(operation, bounds, clock),
        span_first=np.arange(loads, dtype=np.int64),
        span_count=np.ones(loads, np.int64),
        **clock.tiles(tile_bytes),
        warm_tiles=warm,
    )


def _launch(blocks: int, release: int) -> Fields:
    """The only launch: thread blocks that need no shared memory."""
    values = {
        "launch_release": release,
        "launch_after": -1,
        "launch_gap": 0,
        "launch_first_block": 0,
        "launch_block_count": blocks,
        "launch_shared_bytes": 0,
        "launch_registers": REGISTERS,
        "launch_threads": THREADS,
        "launch_window": BLOCK_STEPS,
        "launch_steps_per_chunk": 1,
    }
    return {name: np.asarray([value], np.int64) for name, value in values.items()}


def _blocks(operation: Elementwise, bounds: IntArray, clock: Clockwork) -> Fields:
    """Thread blocks that take the loads from one bound to the next, and their share of what is written."""
    gpu, loads, count = clock.gpu, int(bounds[-1]), len(bounds) - 1
    read_each = -(-operation.bytes_read // loads)
    flops_each = -(-operation.elements * operation.flops_per_element // loads)
    written = np.diff(operation.bytes_written * bounds // loads)
    one, zero = np.ones(count, np.int64), np.zeros(count, np.int64)
    return {
        "block_steps": np.diff(bounds),
        "block_compute": one * clock.stream(flops_each, 2 * gpu.cuda_core["fp32"]),
        "block_shared": zero,
        "block_conflict": zero,
        "block_port": one * clock.stream(read_each, gpu.l2.port),
        "block_l2": one * clock.stream(read_each, gpu.l2.bandwidth),
        "block_load_bytes": one * read_each,
        "block_a_base": zero,
        "block_a_span": bounds[:-1],
        "block_b_base": zero - 1,
        "block_b_span": zero,
        **writes(written, clock, written),
    }
