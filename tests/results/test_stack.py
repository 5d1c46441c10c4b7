"""Stacks: every moment of the latency once, divided as the kernels' own accounts."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.results import Result
from accelsim.results.stack import _owned, exposed, latency_ps, stack_ps, whole_ps
from tests.results.examples import SCHEMES, example
from tests.results.runs import kernel, run_of, runs


@given(runs())
@settings(deadline=None, max_examples=20)
def test_stack_adds_up_to_the_latency(result: Result) -> None:
    rows = exposed(result)
    assert sum(row.time_ps for row in rows) == latency_ps(result)
    assert all(sum(row.causes.values()) == row.time_ps for row in rows)
    stack = stack_ps(rows)
    assert sum(stack.values()) == latency_ps(result)
    assert min(stack.values(), default=0) >= -1  # the running sum is rounded


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12), st.integers(0, 2)), max_size=8))
@settings(deadline=None, max_examples=60)
def test_a_moment_belongs_to_the_lowest_rank_and_then_the_first(found: list[tuple[int, int, int]]) -> None:
    spans = [(begin, begin + length) for begin, length, _ in found]
    ranks = [rank for _, _, rank in found]
    counted = [0] * len(spans)
    for moment in range(50):
        under_way = [index for index, (begin, end) in enumerate(spans) if begin <= moment < end]
        if under_way:
            counted[min(under_way, key=lambda index: (ranks[index], index))] += 1
    assert _owned(spans, ranks) == counted


@given(st.lists(st.fractions(-100, 100), min_size=1, max_size=9))
@settings(deadline=None, max_examples=20)
def test_whole_times_keep_the_sum(times: list[Fraction]) -> None:
    whole = whole_ps({str(index): time for index, time in enumerate(times)})
    assert sum(whole.values()) == round(sum(times, Fraction(0)))
    assert all(abs(whole[str(index)] - time) <= 1 for index, time in enumerate(times))


def test_padding_and_gathering_are_told_apart() -> None:
    row = kernel("a", 0, (10, 80, 40, 20, 50), macs=30, executed=40, asked=60, fetched=80)
    assert stack_ps(exposed(run_of([row]))) == {
        "compute": 60, "padding": 20, "l2": 30, "dram": 15, "gather": 15, "launch": 10, "tail": 50,
    }  # fmt: skip


def test_a_separate_scatter_is_gathering_but_for_its_launch() -> None:
    rows = [kernel("a", 0, (0, 10, 0, 0, 0), macs=1, executed=1), kernel("a.scatter", 10, (4, 1, 2, 3, 0))]
    assert stack_ps(exposed(run_of(rows))) == {"compute": 10, "gather": 6, "launch": 4}


def test_a_transfer_counts_where_nothing_hides_it() -> None:
    sent = kernel("q.send", 50, (0,) * 5, device="link", part="transfer") | {"end_us": 150e-6}
    rows = [kernel("a", 0, (0, 100, 0, 0, 0), macs=1, executed=1), sent]
    assert stack_ps(exposed(run_of(rows))) == {"compute": 100, "link": 50}


def test_time_without_anything_is_idle() -> None:
    rows = [kernel("a", 5, (0, 10, 0, 0, 0), macs=1, executed=1)]
    assert exposed(run_of(rows))[-1].operation == ""
    assert stack_ps(exposed(run_of(rows))) == {"compute": 10, "idle": 5}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_results_without_kernel_accounts_are_divided_as_their_devices(scheme: str) -> None:
    result = example(scheme)
    stack = stack_ps(exposed(result))
    assert sum(stack.values()) == latency_ps(result)
    assert ("attention_unit.cross" in stack) == ("hdp" in scheme)
    account = result.account[result.account["device"] == "gpu"].set_index("cause")["time_total_ps"]
    assert stack["compute"] / stack["l2"] == pytest.approx(account["compute"] / account["l2"], rel=1e-4)


def test_what_no_account_tells_is_unexplained() -> None:
    result = example()
    assert set(stack_ps(exposed(replace(result, account=result.account.iloc[:0])))) == {"idle", "unexplained"}
