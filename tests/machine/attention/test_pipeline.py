"""A core as a pipeline: against a plain recurrence, and the properties that every run has."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from accelsim.config.loader import load_attention_unit
from accelsim.machine.attention.pipeline import Job, Tally, flow_shop, run_pipeline

UNIT = load_attention_unit("dense_array").model_copy(update={"dram_latency": 0.0, "dram_bandwidth": 1e9})
"""1 cycle is 1,000 ps, and so is a byte of DRAM."""
CYCLE = 1000
NO_TALLY = Tally({}, {}, {})


def plain_flow_shop(
    cycles: NDArray[np.int64], entry: list[int], free: list[int], release: list[int] | None, stage_of_release: int
) -> list[list[int]]:
    """One group after another, one stage after another."""
    free = list(free)
    ends = []
    for group, durations in enumerate(cycles.tolist()):
        at = entry[group]
        row = []
        for stage, duration in enumerate(durations):
            if release is not None and stage == stage_of_release:
                at = max(at, release[group])
            at = free[stage] = max(at, free[stage]) + duration
            row.append(at)
        ends.append(row)
    return ends


@st.composite
def shops(draw: st.DrawFn) -> tuple[Any, ...]:
    groups, stages = draw(st.integers(1, 8)), draw(st.integers(1, 5))
    number = st.integers(0, 50)
    cycles = np.array(draw(st.lists(number, min_size=groups * stages, max_size=groups * stages))).reshape(groups, -1)
    entry = sorted(draw(st.lists(number, min_size=groups, max_size=groups)))
    free = draw(st.lists(number, min_size=stages, max_size=stages))
    release = draw(st.none() | st.lists(number, min_size=groups, max_size=groups))
    return cycles, entry, free, release, draw(st.integers(0, stages - 1))


@settings(deadline=None, max_examples=200)
@given(shops())
def test_flow_shop_is_the_plain_recurrence(shop: tuple[Any, ...]) -> None:
    cycles, entry, free, release, stage = shop
    given_release = None if release is None else np.array(release, dtype=np.int64)
    found = flow_shop(cycles, np.array(entry), np.array(free), given_release, stage)
    assert found.tolist() == plain_flow_shop(*shop)


def groups_of(*durations: int, groups: int = 1) -> NDArray[np.int64]:
    return np.tile(np.array(durations, dtype=np.int64), (groups, 1))


def test_one_head_by_hand() -> None:
    """5 cycles of load; two groups through 3 and 4 cycles: 3, 7 and 4 more; 2 cycles to write."""
    run = run_pipeline(UNIT, ("a", "b"), [Job(0, 5, groups_of(3, 4, groups=2), write_bytes=2)], NO_TALLY)
    assert run.end_ps == (5 + 3 + 4 + 4 + 2) * CYCLE
    assert run.busy_ps == {"a": 6 * CYCLE, "b": 8 * CYCLE, "unit_dram": 7 * CYCLE}
    assert run.dram_bytes == 7
    # Of the 11 cycles of work the busiest stage explains 8; the 3 before it are a's.
    cycles = {"a": 3, "b": 8, "load": 5, "fetch": 0, "write": 2, "idle": 0}
    assert run.account_ps == {cause: number * CYCLE for cause, number in cycles.items()}


def test_the_next_head_follows_behind_the_first_stage() -> None:
    jobs = [Job(head, 1, groups_of(10, 10)) for head in range(3)]
    together = run_pipeline(UNIT, ("a", "b"), jobs, NO_TALLY)
    assert together.end_ps == (1 + 10 + 3 * 10) * CYCLE
    apart = run_pipeline(UNIT, ("a", "b"), jobs, NO_TALLY, prefetch=False)
    assert apart.end_ps == 3 * (1 + 20) * CYCLE


def test_a_fetch_reaches_groups_in_shares() -> None:
    """Asked for at 2, when the first group leaves a; a half has come at 22, the rest at 42."""
    job = Job(0, 0, groups_of(2, 1, groups=2), fetch_bytes=40, fetch_after=0)
    run = run_pipeline(UNIT, ("a", "b"), [job], NO_TALLY)
    assert run.end_ps == (2 + 40 + 1) * CYCLE


def test_a_pruned_head_costs_its_load() -> None:
    nothing = np.zeros((0, 2), dtype=np.int64)
    run = run_pipeline(UNIT, ("a", "b"), [Job(0, 7, nothing), Job(1, 1, groups_of(1, 1))], NO_TALLY)
    assert run.end_ps == (7 + 1 + 2) * CYCLE
    assert set(run.stage_head[run.stage_kind < 2].tolist()) == {1}


@st.composite
def heads(draw: st.DrawFn) -> list[Job]:
    jobs = []
    for head in range(draw(st.integers(1, 6))):
        size = draw(st.integers(0, 4))
        numbers = draw(st.lists(st.integers(0, 30), min_size=3 * size, max_size=3 * size))
        amounts = [draw(st.integers(0, 60)) for _ in range(3)]
        cycles = np.array(numbers, dtype=np.int64).reshape(size, 3)
        jobs.append(Job(head, amounts[0], cycles, amounts[1], draw(st.integers(0, 1)), amounts[2]))
    return jobs


@settings(deadline=None, max_examples=100)
@given(heads(), st.integers(1, 3), st.booleans())
def test_every_run_accounts_for_all_of_its_time(jobs: list[Job], cores: int, prefetch: bool) -> None:
    run = run_pipeline(UNIT, ("a", "b", "c"), jobs, NO_TALLY, cores=cores, prefetch=prefetch)
    again = run_pipeline(UNIT, ("a", "b", "c"), jobs, NO_TALLY, cores=cores, prefetch=prefetch)
    assert run.end_ps == again.end_ps
    assert (run.core_account_ps.sum(axis=1) == run.end_ps).all()
    assert (run.core_account_ps >= 0).all()
    worked = [job for job in jobs if len(job.cycles)]
    moved = sum(job.load_bytes for job in jobs) + sum(job.fetch_bytes + job.write_bytes for job in worked)
    assert run.dram_bytes == moved
    for stage, name in enumerate(("a", "b", "c")):
        assert run.core_busy_ps[name].sum() == CYCLE * sum(int(job.cycles[:, stage].sum()) for job in worked)
        assert (run.core_busy_ps[name] <= run.end_ps).all()
    least = max((int(job.cycles.sum(axis=1).max()) for job in worked), default=0)
    assert run.end_ps >= CYCLE * max(least, moved)


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_more_cores_are_no_slower(cores: int) -> None:
    jobs = [Job(head, 10, groups_of(50, 30, groups=4), write_bytes=10) for head in range(10)]
    one, more = (run_pipeline(UNIT, ("a", "b"), jobs, NO_TALLY, cores=count) for count in (1, cores))
    assert more.end_ps <= one.end_ps
