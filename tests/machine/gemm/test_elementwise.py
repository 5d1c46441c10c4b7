"""Memory-bound kernels: every byte moves once, and no faster than the machine moves it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.config.workload import Caches
from accelsim.machine.gemm.elementwise import MAX_BLOCKS, STEP_BYTES, elementwise_program
from accelsim.machine.gemm.events import run_events
from accelsim.machine.gemm.program import TICKS_PER_CYCLE, DeviceRun
from accelsim.machine.gemm.twin import run_simpy
from accelsim.model.graph import Elementwise
from tests.mapping.machines import gpu

GPU = gpu()


def operation(read: int, written: int, flops: int = 1) -> Elementwise:
    return Elementwise(
        "copy", "gelu", ("x",), "copy", elements=written // 2, bytes_read=read, bytes_written=written,
        flops_per_element=flops,
    )  # fmt: skip


def run(read: int, written: int, state: str = "cold", flops: int = 1) -> DeviceRun:
    caches = Caches.model_validate({"activations": state})
    return run_events(elementwise_program(operation(read, written, flops), GPU, caches, "graph"))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 300_000), st.integers(0, 300_000))
def test_every_byte_moves_once(read: int, written: int) -> None:
    result = run(read, written)
    assert result.dram_read_bytes == read
    assert result.l2_write_bytes == result.dram_write_bytes == written
    loads = max(1, -(-read // STEP_BYTES))
    assert read <= result.l2_read_bytes < read + loads  # a load is a whole number of bytes
    assert run(read, written, "warm").dram_read_bytes == 0


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 60_000), st.integers(0, 60_000), st.integers(0, 40))
def test_both_engines_agree(read: int, written: int, flops: int) -> None:
    program = elementwise_program(operation(read, written, flops), GPU, Caches(), "stream")
    assert run_events(program).same_as(run_simpy(program))


def test_time_is_bounded_by_the_memory_that_holds_the_input() -> None:
    size = 8 << 20
    cold, warm = run(size, 0), run(size // 2, 0, "warm")
    dram_cycles = size / (GPU.dram.bandwidth * GPU.dram.efficiency / GPU.clock)
    launch_cycles = 1500
    assert dram_cycles < cold.end / TICKS_PER_CYCLE - launch_cycles < 1.2 * dram_cycles
    l2_cycles = size / 2 / GPU.l2.bandwidth
    assert l2_cycles < warm.end / TICKS_PER_CYCLE - launch_cycles < 1.5 * l2_cycles


def test_an_input_beyond_l2_finds_its_newest_part_there() -> None:
    size = GPU.l2.capacity + (1 << 20)
    program = elementwise_program(operation(size, 0), GPU, Caches(), "graph")
    assert program.tile_bytes[program.warm_tiles].sum() == pytest.approx(GPU.l2.capacity, abs=STEP_BYTES)
    assert program.warm_tiles[-1] == len(program.tile_bytes) - 1
    assert (np.diff(program.warm_tiles) == 1).all()


def test_large_operations_keep_the_number_of_thread_blocks() -> None:
    program = elementwise_program(operation(10 * MAX_BLOCKS * 4 * STEP_BYTES, 0), GPU, Caches(), "graph")
    assert len(program.block_steps) == MAX_BLOCKS
    assert set(program.block_steps) == {40}


def test_arithmetic_takes_its_time() -> None:
    light, heavy = run(1 << 20, 1 << 20, "warm", 1), run(1 << 20, 1 << 20, "warm", 1000)
    cycles = (1 << 19) * 1000 / (2 * GPU.cuda_core["fp32"] * GPU.sm_count)
    assert cycles < heavy.end / TICKS_PER_CYCLE < light.end / TICKS_PER_CYCLE + 1.2 * cycles
