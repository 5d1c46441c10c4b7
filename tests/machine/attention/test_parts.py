"""Clock, shared DRAM, pipelines and the account of time: small stories with known ends."""

import itertools

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.machine.attention.parts import (
    Clock,
    SharedDram,
    array_softmax_array,
    attribute,
    busy,
    run_until,
    two_stage_pipeline,
)
from accelsim.machine.system import DeadlockError

durations = st.lists(st.integers(0, 9), min_size=1, max_size=8)


def test_clock_rounds_each_duration_once() -> None:
    assert [Clock(10**9).ps(cycles) for cycles in (0, 1, 7)] == [0, 1000, 7000]
    assert Clock(3 * 10**9).ps(2) == 667


def test_transfers_queue_in_the_order_of_their_requests_and_latencies_overlap() -> None:
    environment = simpy.Environment()
    dram = SharedDram(environment, bandwidth=10**12, latency_ps=100)  # a byte each picosecond
    log: list[tuple[float, str]] = []

    def core(name: str, begin: int, size: int) -> simpy.events.ProcessGenerator:
        yield environment.timeout(begin)
        yield environment.timeout(dram.request(size) - environment.now)
        log.append((environment.now, name))

    for name, begin, size in (("first", 0, 50), ("second", 10, 20), ("late", 500, 5)):
        environment.process(core(name, begin, size))
    environment.run()
    assert log == [(150, "first"), (170, "second"), (605, "late")]
    assert (dram.busy_ps, dram.bytes) == (75, 75)
    assert dram.request(0) == environment.now


@settings(deadline=None, max_examples=60)
@given(durations, st.integers(0, 5), st.data())
def test_pipelines_keep_order_and_use_units_one_at_a_time(first: list[int], begin: int, data: st.DataObject) -> None:
    same = st.lists(st.integers(0, 9), min_size=len(first), max_size=len(first))
    second, third, late = data.draw(same), data.draw(same), data.draw(st.integers(0, 40))
    one, two = two_stage_pipeline(begin, first, second)
    assert [end - start for start, end in two] == second
    for before, after in itertools.pairwise(two):
        assert before[1] <= after[0]
    assert all(a[1] <= b[0] for a, b in zip(one, two, strict=True))
    assert two[-1][1] >= begin + max(sum(first) + second[-1], first[0] + sum(second))
    scores, softmax, values = array_softmax_array(begin, first, second, third, late)
    array = sorted((*scores, *values))
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(array))
    assert busy(array) == sum(first) + sum(third)
    assert all(s[1] <= v[0] and v[0] >= late for s, v in zip(softmax, values, strict=True))


def test_array_works_while_softmax_does() -> None:
    scores, softmax, values = array_softmax_array(0, [10, 10], [10, 10], [5, 5], 0)
    assert scores == [(0, 10), (10, 20)]
    assert softmax == [(10, 20), (20, 30)]
    assert values == [(20, 25), (30, 35)]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 8), st.integers(0, 2)), max_size=6), st.integers(30, 40))
def test_account_gives_every_picosecond_once(intervals: list[tuple[int, int, int]], end: int) -> None:
    layers = [[(begin, begin + length, cause)] for begin, length, cause in intervals]
    expected = [0, 0, 0, 0]
    for moment in range(end):
        covering = [cause for begin, length, cause in intervals if begin <= moment < begin + length]
        expected[covering[0] if covering else 3] += 1
    assert attribute(layers, end, 4, 3).tolist() == expected


def test_deadlock_is_an_error() -> None:
    environment = simpy.Environment()

    def waits() -> simpy.events.ProcessGenerator:
        yield environment.timeout(7)
        yield environment.event()

    with pytest.raises(DeadlockError, match="nothing moves at 7 ps"):
        run_until(environment, environment.process(waits()), "story")
