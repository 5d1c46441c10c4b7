"""Program of a memory-bound kernel: thread blocks that read, work a little and write."""

import numpy as np

from accelsim.config.hardware import Gpu
from accelsim.config.workload import Caches
from accelsim.machine.gemm.lower import Clockwork
from accelsim.machine.gemm.program import DeviceProgram
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

    Inputs count as activations for the state of L2. Arithmetic runs on the CUDA cores at two operations for each
    multiply-accumulate of their fp32 rate, and overlaps with the loads.
    """
    clock = Clockwork(gpu)
    total_steps = max(1, -(-operation.bytes_read // STEP_BYTES))
    steps_each = max(BLOCK_STEPS, -(-total_steps // MAX_BLOCKS))
    count = -(-total_steps // steps_each)
    steps = np.full(count, steps_each, np.int64)
    steps[-1] = total_steps - steps_each * (count - 1)
    read_each = -(-operation.bytes_read // total_steps)
    bounds = np.cumsum(np.concatenate([[0], steps]))
    written = np.diff(operation.bytes_written * bounds // total_steps)
    flops_each = operation.elements * operation.flops_per_element / total_steps
    one = np.ones(count, np.int64)
    zero = np.zeros(count, np.int64)
    tile_bytes = np.diff(operation.bytes_read * np.arange(total_steps + 1) // total_steps)
    warm = np.empty(0, np.int64)
    if caches.activations == "warm":
        newest = np.cumsum(tile_bytes[::-1])[::-1] <= gpu.l2.capacity
        warm = np.flatnonzero(newest).astype(np.int64)
    return DeviceProgram(
        **clock.machine(),
        launch_release=np.asarray([clock.launch_overhead(launch)], np.int64),
        launch_after=np.asarray([-1], np.int64),
        launch_gap=np.zeros(1, np.int64),
        launch_first_block=np.zeros(1, np.int64),
        launch_block_count=np.asarray([count], np.int64),
        launch_shared_bytes=np.zeros(1, np.int64),
        launch_registers=np.asarray([REGISTERS], np.int64),
        launch_threads=np.asarray([THREADS], np.int64),
        launch_window=np.asarray([BLOCK_STEPS], np.int64),
        launch_steps_per_chunk=np.ones(1, np.int64),
        block_steps=steps,
        block_compute=one * int(clock.stream(int(np.ceil(flops_each)), 2 * gpu.cuda_core["fp32"])),
        block_shared=zero,
        block_conflict=zero,
        block_port=one * int(clock.stream(read_each, gpu.l2.port)),
        block_l2=one * int(clock.stream(read_each, gpu.l2.bandwidth)),
        block_load_bytes=one * read_each,
        block_a_base=zero,
        block_a_span=bounds[:-1].astype(np.int64),
        block_b_base=zero - 1,
        block_b_span=zero,
        block_epilogue=np.maximum(1, clock.stream(written, gpu.epilogue)),
        block_epilogue_l2=clock.stream(written, gpu.l2.bandwidth),
        block_epilogue_dram=clock.stream(written, clock.dram_rate),
        block_epilogue_bytes=written.astype(np.int64),
        span_first=np.arange(total_steps, dtype=np.int64),
        span_count=np.ones(total_steps, np.int64),
        **clock.tiles(tile_bytes.astype(np.int64)),
        warm_tiles=warm,
    )
