"""Records of what a device does over time: equal in both engines, and adding up to the account."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.config.trace import Sampling
from accelsim.errors import ConfigError
from accelsim.machine.gemm.events import record_events, run_events
from accelsim.machine.gemm.program import Cause, DeviceProgram
from accelsim.machine.gemm.record import WORK, DeviceRecord, Phase, Use
from accelsim.machine.gemm.twin import record_simpy
from tests.machine.gemm.dense import A100, Tile, dense_program
from tests.machine.gemm.programs import random_program

ALL = Sampling(sms=None)


def gemm(**changes: int) -> DeviceProgram:
    machine = replace(A100, sm_count=5, l2_capacity=1 << 17)
    return dense_program(300, 500, 1000, machine, Tile(64, 64, 32, 3, 128), conflict_cycles=90, **changes)


def of_sm(record: DeviceRecord, sm: int, low: int, high: int) -> np.ndarray:
    rows = record.rows
    return rows[(rows[:, 0] == sm) & (rows[:, 1] >= low) & (rows[:, 1] < high)]


@settings(deadline=None, max_examples=60)
@given(random_program(), st.sampled_from([0, 1, 2, None]))
def test_both_engines_record_alike_and_run_as_without(program: DeviceProgram, sms: int | None) -> None:
    run, record = record_events(program, Sampling(sms))
    twin_run, twin = record_simpy(program, Sampling(sms))
    assert run.same_as(run_events(program))
    assert run.same_as(twin_run)
    assert [name for name in vars(record) if not np.array_equal(vars(record)[name], vars(twin)[name])] == []


@pytest.mark.parametrize("per_chunk", [1, 4])
def test_equal_on_gemms(per_chunk: int) -> None:
    program = gemm(steps_per_chunk=per_chunk, split_k=3)
    record = record_events(program, ALL)[1]
    assert record.same_as(record_simpy(program, ALL)[1])
    assert set(record.rows[:, 1]) >= {Cause.COMPUTE, Cause.DRAM, *Phase}


@settings(deadline=None, max_examples=60)
@given(random_program())
def test_pieces_of_an_sm_are_its_account(program: DeviceProgram) -> None:
    run, record = record_events(program, ALL)
    for sm in range(program.sm_count):
        pieces = of_sm(record, sm, 0, len(Cause))
        assert pieces[:, 3].tolist() == [0, *pieces[:-1, 4]][: len(pieces)]
        assert pieces[-1:, 4].tolist() == [run.end][: len(pieces)]
        assert (pieces[:, 4] > pieces[:, 3]).all()
        times = np.bincount(pieces[:, 1], pieces[:, 4] - pieces[:, 3], len(Cause)).astype(np.int64)
        expected = run.sm_time[sm].copy()
        expected[Cause.COMPUTE] = expected[list(WORK)].sum()
        expected[[Cause.SHARED_MEMORY, Cause.BANK_CONFLICT]] = 0
        assert (times == expected).all()


@settings(deadline=None, max_examples=60)
@given(random_program())
def test_phases_lie_within_their_thread_block(program: DeviceProgram) -> None:
    run, record = record_events(program, ALL)
    for block in range(len(program.block_steps)):
        rows = record.rows[record.rows[:, 2] == block]
        phases = rows[rows[:, 1] != Cause.COMPUTE]
        assert (phases[phases[:, 1] == Phase.PROLOGUE][:, 3] == run.block_dispatch[block]).all()
        assert (phases[phases[:, 1] == Phase.EPILOGUE][:, 4] == run.block_end[block]).all()
        assert (phases[:, 1] == Phase.PROLOGUE).sum() == (phases[:, 1] == Phase.EPILOGUE).sum() == 1
        inner = rows[np.lexsort((rows[:, 4], rows[:, 3]))]
        assert (inner[1:, 3] >= inner[:-1, 4]).all()


@settings(deadline=None, max_examples=60)
@given(random_program())
def test_use_adds_up_to_busy_time(program: DeviceProgram) -> None:
    run, record = record_events(program, Sampling(0))
    assert not len(record.rows)
    assert record.use[Use.TENSOR_CORE].sum() == run.sm_time[:, list(WORK)].sum()
    assert record.use[Use.L2].sum() <= run.l2_busy
    assert record.use[Use.DRAM].sum() >= run.channel_busy.sum()
    assert (record.use[Use.DRAM] <= program.channels * record.bin_ticks).all()


def test_what_finds_no_room_is_counted() -> None:
    program = gemm()
    whole = record_events(program, ALL)[1]
    cut = record_events(program, Sampling(None, limit=10))[1]
    assert len(cut.rows) == Sampling(limit=10).rows
    assert len(cut.rows) + cut.lost == len(whole.rows)
    assert (cut.use == whole.use).all()


def test_sampled_sms_are_spread_over_the_device() -> None:
    assert Sampling(4).of(108).tolist() == [0, 27, 54, 81]
    assert Sampling(9).of(3).tolist() == Sampling(None).of(3).tolist() == [0, 1, 2]
    assert Sampling(0).of(3).tolist() == []
    with pytest.raises(ConfigError, match="0 and more, or all"):
        Sampling(-1)
    with pytest.raises(ConfigError, match="1 and more"):
        Sampling(limit=0)


def test_streams_are_named_by_their_first_launch() -> None:
    program = gemm()
    columns = {name: np.repeat(value, 3) for name, value in vars(program).items() if name.startswith("launch_")}
    columns |= {"launch_first_block": np.array([0, 40, 40]), "launch_block_count": np.array([40, 0, 0])}
    three = replace(program, **columns | {"launch_after": np.array([-1, 0, 1])})
    assert record_events(three, ALL)[1].launch_stream.tolist() == [0, 0, 0]
