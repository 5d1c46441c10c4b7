"""The closed form of any program fills every field with something that a device could have done."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings

from accelsim.estimate.program import estimate_program
from accelsim.estimate.residency import wave_reads
from accelsim.machine.gemm.events import run_events
from accelsim.machine.gemm.program import DeviceProgram
from tests.machine.gemm.dense import A100, Tile, dense_program
from tests.machine.gemm.programs import random_program


@settings(deadline=None, max_examples=100)
@given(random_program())
def test_invariants(program: DeviceProgram) -> None:
    run, exact = estimate_program(program), run_events(program)
    assert (run.sm_time >= 0).all()
    assert (run.sm_time.sum(axis=1) == run.end).all()
    for name in ("steps", "l2_read_bytes", "l2_write_bytes", "dram_write_bytes", "l2_busy"):
        assert getattr(run, name) == getattr(exact, name)
    for field in fields(run):
        assert np.shape(getattr(run, field.name)) == np.shape(getattr(exact, field.name))
    launch = np.repeat(np.arange(len(program.launch_after)), program.launch_block_count)
    assert (run.block_dispatch >= run.launch_begin[launch]).all()
    assert (run.block_end >= run.block_dispatch).all()
    assert (run.block_end <= run.launch_end[launch]).all()
    assert run.end == run.launch_end.max()
    after = program.launch_after >= 0
    gap = (run.launch_begin - program.launch_gap)[after] - run.launch_end[program.launch_after[after]]
    assert (gap >= 0).all()
    step = np.maximum(np.maximum(1, program.block_compute), program.block_shared + program.block_conflict)
    assert run.end * program.sm_count >= (step * program.block_steps).sum() - program.sm_count


def test_reads_of_waves() -> None:
    """Two waves of 4 thread blocks, each a column of B with all of A; A stays in L2 only if it is large enough."""
    machine = replace(A100, sm_count=4)
    program = replace(dense_program(512, 256, 1024, machine, Tile(128, 128, 32, 3, 128)), max_blocks_per_sm=1)
    wave = np.repeat([0, 1], 4)
    panel = 128 * 1024 * 2
    assert wave_reads(program, wave, 2).bytes == 6 * panel
    assert wave_reads(replace(program, l2_capacity=4 * panel), wave, 2).bytes == 10 * panel
    assert wave_reads(replace(program, warm_tiles=np.arange(4 * 32)), wave, 2).bytes == 2 * panel
    assert run_events(program).dram_read_bytes == 6 * panel
    assert run_events(replace(program, l2_capacity=4 * panel)).dram_read_bytes == 10 * panel


def test_warm_tiles_that_l2_loses_before_their_use() -> None:
    """L2 holds half of what four thread blocks side by side stream through, and all of it is warm."""
    program = dense_program(512, 128, 16384, replace(A100, sm_count=4), Tile(128, 128, 32, 3, 128))
    total = int(program.tile_bytes.sum())
    half = replace(program, l2_capacity=total // 2, warm_tiles=np.arange(len(program.tile_bytes) // 2))
    expected = total * 0.5 * (1 + np.log(2))
    assert wave_reads(half, np.zeros(4, np.int64), 1).bytes == pytest.approx(expected, rel=1e-6)
    assert run_events(half).dram_read_bytes == pytest.approx(expected, rel=0.15)


def test_moving_k_steps_between_thread_blocks_moves_the_end() -> None:
    program = dense_program(16, 64, 64 * 32, replace(A100, sm_count=4), Tile(16, 16, 32, 3, 32))
    ends = {}
    for steps in ((20, 20, 20, 20), (10, 30, 10, 30)):
        uneven = replace(program, max_blocks_per_sm=1, block_steps=np.array(steps))
        ends[steps] = estimate_program(uneven).end
        assert ends[steps] == pytest.approx(run_events(uneven).end, rel=0.1)
    assert ends[10, 30, 10, 30] > 1.2 * ends[20, 20, 20, 20]


def test_launches_side_by_side_share_the_device() -> None:
    """Four launches of two thread blocks on eight SMs take as long as one; in one stream, four times as long."""
    program = dense_program(256, 512, 2048, replace(A100, sm_count=8), Tile(128, 128, 32, 3, 128), warm="ab")
    columns = {f.name: getattr(program, f.name) for f in fields(program) if f.name.startswith("launch_")}
    four = {name: np.repeat(column, 4) for name, column in columns.items()}
    four |= {"launch_first_block": np.arange(4) * 2, "launch_block_count": np.full(4, 2)}
    beside = replace(program, **four)
    queued = replace(beside, launch_after=np.arange(-1, 3))
    for item in (beside, queued):
        assert estimate_program(item).end == pytest.approx(run_events(item).end, rel=0.1)
    assert estimate_program(queued).end > 3.5 * estimate_program(beside).end


def test_a_deadlock_is_an_error() -> None:
    program = dense_program(16, 16, 64, A100, Tile(16, 16, 32, 3, 32))
    with pytest.raises(RuntimeError, match=r"launches \[0\] wait"):
        estimate_program(replace(program, launch_after=np.array([0])))


def test_launches_side_by_side_fill_the_slots_that_others_leave() -> None:
    """Three launches of five thread blocks on eight slots: two waves, where one after another would be three."""
    whole = replace(dense_program(15 * 128, 128, 4096, replace(A100, sm_count=8), Tile(128, 128, 32, 3, 128)))
    apart = {
        field.name: np.repeat(getattr(whole, field.name), 3)
        for field in fields(whole)
        if field.name.startswith("launch_")
    }
    apart |= {"launch_first_block": np.array([0, 5, 10]), "launch_block_count": np.array([5, 5, 5])}
    side_by_side = replace(whole, max_blocks_per_sm=1, **apart)
    alone = estimate_program(replace(side_by_side, launch_after=np.array([-1, 0, 1])))
    found, exact = estimate_program(side_by_side), run_events(side_by_side)
    assert found.end == pytest.approx(exact.end, rel=0.1)
    assert found.end == pytest.approx(alone.end * 2 / 3, rel=0.1)
