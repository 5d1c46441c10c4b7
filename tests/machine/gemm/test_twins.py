"""The event core equals its SimPy twin, and both obey what any device must."""

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings

from accelsim.machine.gemm.events import run_events
from accelsim.machine.gemm.program import Cause, DeviceProgram, DeviceRun, IntArray
from accelsim.machine.gemm.twin import run_simpy
from tests.machine.gemm.dense import A100, Tile, dense_program
from tests.machine.gemm.programs import random_program

Engine = Callable[[DeviceProgram], DeviceRun]
both = pytest.mark.parametrize("run", [run_events, run_simpy])

# One SM, one thread block of 3 k-steps, nothing that takes time but what a test sets.
PLAIN = replace(
    dense_program(16, 16, 3 * 32, replace(A100, sm_count=1, channels=1), Tile(16, 16, 32, 2, 32)),
    l2_latency=0, dram_latency=0, block_setup=0, write_backlog=1000,
    block_compute=np.array([10]), block_shared=np.array([0]), block_port=np.array([0]), block_l2=np.array([0]),
    block_epilogue=np.array([5]), block_epilogue_l2=np.array([0]), block_epilogue_dram=np.array([0]),
    tile_dram=np.zeros(6, np.int64),
)  # fmt: skip


def differences(left: DeviceRun, right: DeviceRun) -> list[str]:
    return [
        f"{field.name}: {getattr(left, field.name)} != {getattr(right, field.name)}"
        for field in fields(left)
        if field.name != "events" and not np.array_equal(getattr(left, field.name), getattr(right, field.name))
    ]


def causes(run: DeviceRun, sm: int = 0) -> dict[str, int]:
    return {cause.name: int(run.sm_time[sm, cause]) for cause in Cause if run.sm_time[sm, cause]}


def step_ticks(program: DeviceProgram) -> IntArray:
    return np.maximum(np.maximum(1, program.block_compute), program.block_shared + program.block_conflict)


@settings(deadline=None, max_examples=100)
@given(random_program())
def test_equal_in_every_field(program: DeviceProgram) -> None:
    events, twin = run_events(program), run_simpy(program)
    assert differences(events, twin) == []
    assert events.same_as(twin)


@pytest.mark.parametrize("per_chunk", [1, 4])
def test_equal_on_gemms(per_chunk: int) -> None:
    machine = replace(A100, sm_count=5, l2_capacity=1 << 17)
    for warm, split_k in (("", 1), ("b", 3)):
        program = dense_program(
            300, 500, 1000, machine, Tile(64, 64, 32, 3, 128), steps_per_chunk=per_chunk, split_k=split_k,
            conflict_cycles=90, warm=warm,
        )  # fmt: skip
        events = run_events(program)
        assert differences(events, run_simpy(program)) == []
        assert (events.sm_time.sum(axis=0)[[Cause.COMPUTE, Cause.BANK_CONFLICT, Cause.DRAM, Cause.EPILOGUE]] > 0).all()


@settings(deadline=None, max_examples=100)
@given(random_program())
def test_the_account_adds_up_and_no_unit_exceeds_its_time(program: DeviceProgram) -> None:
    run = run_events(program)
    assert (run.sm_time >= 0).all()
    assert (run.sm_time.sum(axis=1) == run.end).all()
    working = run.sm_time[:, [Cause.COMPUTE, Cause.SHARED_MEMORY, Cause.BANK_CONFLICT]].sum(axis=1)
    expected = np.bincount(run.block_sm, step_ticks(program) * program.block_steps, program.sm_count)
    assert (working == expected).all()
    assert run.steps == program.block_steps.sum()
    assert run.l2_read_bytes == (program.block_steps * program.block_load_bytes).sum()
    assert run.l2_write_bytes == program.block_epilogue_bytes.sum()
    assert run.l2_busy == (program.block_steps * program.block_l2 + program.block_epilogue_l2).sum()
    launch = np.repeat(np.arange(len(program.launch_after)), program.launch_block_count)
    assert (run.block_dispatch >= run.launch_begin[launch]).all()
    assert (run.block_end <= run.launch_end[launch]).all()
    assert run.end == run.launch_end.max()
    alone = program.block_setup + program.block_steps * step_ticks(program) + program.block_epilogue
    assert (run.block_end - run.block_dispatch >= alone).all()


@settings(deadline=None, max_examples=100)
@given(random_program())
def test_dram_reads_are_at_least_the_compulsory_ones(program: DeviceProgram) -> None:
    per_chunk = np.repeat(program.launch_steps_per_chunk, program.launch_block_count)
    touched: set[int] = set()
    for base, span in (
        (program.block_a_base, program.block_a_span),
        (program.block_b_base, program.block_b_span),
    ):
        for block in np.flatnonzero(base >= 0):
            for entry in span[block] + np.arange(-(-program.block_steps[block] // per_chunk[block])):
                first = base[block] + program.span_first[entry]
                touched |= set(range(first, first + program.span_count[entry]))
    cold = sorted(touched - set(program.warm_tiles.tolist()))
    assert run_events(program).dram_read_bytes >= program.tile_bytes[cold].sum()


@settings(deadline=None, max_examples=60)
@given(random_program())
def test_l2_that_holds_everything_reads_every_tile_once(program: DeviceProgram) -> None:
    run = run_events(replace(program, l2_capacity=int(program.tile_bytes.sum())))
    cold = np.setdiff1d(np.arange(len(program.tile_bytes)), program.warm_tiles)
    assert run.dram_read_bytes <= program.tile_bytes[cold].sum()


@both
def test_a_k_step_for_every_ten_ticks(run: Engine) -> None:
    result = run(PLAIN)
    assert (result.end, causes(result)) == (35, {"COMPUTE": 30, "EPILOGUE": 5})


@both
def test_latency_over_the_window_bounds_the_main_loop(run: Engine) -> None:
    """One load in flight, issued as the k-step before it begins: 24 ticks from one k-step to the next."""
    result = run(replace(PLAIN, l2_latency=24))
    assert (result.end, causes(result)) == (24 * 3 + 10 + 5, {"PROLOGUE": 24, "COMPUTE": 30, "L2": 28, "EPILOGUE": 5})
    wider = run(replace(PLAIN, l2_latency=24, launch_window=np.array([2])))
    assert (wider.end, causes(wider)) == (24 + 24 + 10 + 5, {"PROLOGUE": 24, "COMPUTE": 30, "L2": 4, "EPILOGUE": 5})


@both
def test_dram_is_charged_beyond_l2(run: Engine) -> None:
    """Tiles of A and B queue for the only channel: 2 x 7 ticks and the latency of 3 for each k-step, beside L2's 12."""
    result = run(replace(PLAIN, l2_latency=12, dram_latency=3, tile_dram=np.full(6, 7)))
    assert causes(result) == {"PROLOGUE": 29, "COMPUTE": 30, "L2": 4, "DRAM": 34, "EPILOGUE": 5}
    assert result.channel_busy.tolist() == [42]


@both
def test_shared_memory_and_conflicts_have_their_own_timers(run: Engine) -> None:
    result = run(replace(PLAIN, block_shared=np.array([12]), block_conflict=np.array([4])))
    assert causes(result) == {"COMPUTE": 30, "SHARED_MEMORY": 6, "BANK_CONFLICT": 12, "EPILOGUE": 5}
    hidden = run(replace(PLAIN, block_shared=np.array([7]), block_conflict=np.array([4])))
    assert causes(hidden) == {"COMPUTE": 30, "BANK_CONFLICT": 3, "EPILOGUE": 5}


@both
@pytest.mark.parametrize(("latency", "slack"), [(6, 0), (24, 10)])
def test_chunks_cost_what_their_steps_cost(run: Engine, latency: int, slack: int) -> None:
    """In one chunk as in single steps; where latency is not hidden, up to a k-step: loads then come in bursts."""
    ends = []
    for per_chunk in (1, 6):
        program = dense_program(
            16, 16, 6 * 32, replace(A100, sm_count=1, channels=1), Tile(16, 16, 32, 3, 32), steps_per_chunk=per_chunk
        )
        like_plain = {f.name: getattr(PLAIN, f.name) for f in fields(PLAIN) if f.name.startswith("block_")}
        like_plain |= {name: getattr(program, name) for name in ("block_steps", "block_b_base")}
        zero = np.zeros_like(program.tile_dram)
        ends.append(run(replace(program, l2_latency=latency, dram_latency=0, tile_dram=zero, **like_plain)).end)
    assert abs(ends[1] - ends[0]) <= slack
    assert ends[0] >= latency + 6 * max(10, latency // 2) + 5 - slack


def _blocks(steps: list[int], sms: int) -> DeviceProgram:
    """A launch of thread blocks that differ in their k-steps alone, one to an SM."""
    program = dense_program(16, 16 * len(steps), 64 * 32, replace(A100, sm_count=sms), Tile(16, 16, 32, 3, 32))
    return replace(program, max_blocks_per_sm=1, block_steps=np.array(steps))


@both
def test_moving_k_steps_between_thread_blocks_moves_the_end(run: Engine) -> None:
    even, uneven = run(_blocks([20, 20, 20, 20], 4)), run(_blocks([10, 30, 10, 30], 4))
    assert even.steps == uneven.steps
    assert uneven.end > 1.2 * even.end
    assert even.sm_time[:, Cause.IMBALANCE].sum() == 0
    assert (uneven.sm_time[[0, 2], Cause.IMBALANCE] > 0).all()


@both
def test_idle_sms_of_the_last_wave_are_its_tail(run: Engine) -> None:
    result = run(_blocks([20, 20, 20, 20, 20], 4))
    assert (result.sm_time[1:, Cause.TAIL] > result.end // 3).all()
    assert result.sm_time[0, Cause.TAIL] == 0
    assert result.sm_time[:, Cause.IMBALANCE].sum() == 0


@both
def test_launches_of_a_stream_wait_for_each_other(run: Engine) -> None:
    program = _blocks([4, 4], 2)
    columns = {f.name: getattr(program, f.name) for f in fields(program) if f.name.startswith("launch_")}
    two = {name: np.repeat(column, 2) for name, column in columns.items()}
    two |= {"launch_first_block": np.array([0, 1]), "launch_block_count": np.array([1, 1])}
    side_by_side = run(replace(program, **two))
    assert side_by_side.launch_begin.tolist() == [0, 0]
    assert side_by_side.block_sm.tolist() == [0, 1]
    queued = run(replace(program, **two | {"launch_after": np.array([-1, 0]), "launch_gap": np.array([0, 100])}))
    assert queued.launch_begin[1] == queued.launch_end[0] + 100
    assert queued.block_sm.tolist() == [0, 0]
    assert queued.sm_time[:, Cause.LAUNCH].tolist() == [100, 100]
    assert queued.sm_time[1, Cause.TAIL] == queued.end - 100


@both
def test_no_launch_overtakes_the_head_of_the_queue(run: Engine) -> None:
    """The second launch fits beside the first thread block, but the head's second thread block is to go first."""
    program = _blocks([4, 4, 4], 1)
    columns = {f.name: getattr(program, f.name) for f in fields(program) if f.name.startswith("launch_")}
    two = {name: np.repeat(column, 2) for name, column in columns.items()}
    two |= {"launch_first_block": np.array([0, 2]), "launch_block_count": np.array([2, 1])}
    two |= {"launch_shared_bytes": np.array([70000, 1000])}
    result = run(replace(program, max_blocks_per_sm=2, shared_bytes_per_sm=100000, **two))
    assert result.block_dispatch[2] == result.block_dispatch[1] == result.block_end[0]


@both
def test_nothing_to_do_takes_no_time(run: Engine) -> None:
    program = replace(PLAIN, launch_first_block=np.array([0, 1]), launch_block_count=np.array([1, 0]), **{
        f.name: np.repeat(getattr(PLAIN, f.name), 2)
        for f in fields(PLAIN)
        if f.name.startswith("launch_") and f.name not in ("launch_first_block", "launch_block_count")
    })  # fmt: skip
    assert run(program).launch_end.tolist() == [35, 0]
    late = replace(program, launch_release=np.array([0, 50]))
    assert causes(run(late)) == {"COMPUTE": 30, "EPILOGUE": 5, "LAUNCH": 15}


@both
def test_launches_of_one_tick_queue_by_index(run: Engine) -> None:
    """Launch 2 is empty and lets launch 0 follow at once: it goes before launch 1, which became active first."""
    program = _blocks([4, 4], 1)
    columns = {f.name: getattr(program, f.name) for f in fields(program) if f.name.startswith("launch_")}
    three = {name: np.repeat(column, 3) for name, column in columns.items()}
    three |= {"launch_first_block": np.array([0, 1, 2]), "launch_block_count": np.array([1, 1, 0])}
    three |= {"launch_after": np.array([2, -1, -1])}
    result = run(replace(program, **three))
    assert result.launch_begin.tolist() == [0, 0, 0]
    assert result.block_dispatch.tolist() == [0, result.block_end[0]]


@both
def test_a_deadlock_is_an_error(run: Engine) -> None:
    with pytest.raises(RuntimeError, match=r"launches \[0\] wait"):
        run(replace(PLAIN, launch_after=np.array([0])))


@both
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"launch_threads": np.array([5000])}, "5000 threads never fits an SM with 2048"),
        ({"launch_shared_bytes": np.array([200000])}, "200000 shared_bytes never fits"),
        ({"launch_block_count": np.array([2])}, "cover the thread blocks"),
        ({"launch_after": np.array([3])}, "launch that does not exist"),
        ({"launch_window": np.array([4]), "launch_steps_per_chunk": np.array([2])}, "at least launch_window"),
        ({"launch_window": np.array([0])}, "launch_window must be at least 1"),
        ({"block_a_span": np.array([2])}, "span entry of operand A"),
        ({"block_b_base": np.array([4])}, "span of operand B reaches tiles"),
        ({"block_epilogue": np.array([0])}, "at least 1 tick"),
        ({"block_compute": np.array([-1])}, "block_compute must not be negative"),
        ({"tile_channel": np.full(6, 1)}, "tile_channel must lie below 1"),
        ({"warm_tiles": np.array([1, 1])}, "names a tile twice"),
        ({"l2_capacity": 1, "warm_tiles": np.array([1])}, "larger than L2"),
        ({"sm_count": 0}, "sm_count must be at least 1"),
    ],
)
def test_programs_that_no_device_can_run(run: Engine, change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(replace(PLAIN, **change))  # type: ignore[arg-type]
