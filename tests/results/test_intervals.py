"""Intervals: they hold the prediction, never narrow when errors grow, and say what is undecided."""

import json
import math

import jsonschema
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from accelsim.results import Comparison, Result
from accelsim.results.intervals import (
    Interval,
    Timed,
    compared,
    covered_percent,
    quotient,
    speedup,
    timed_parts,
    total,
    undecided_from_fastest,
    verdict,
    widened,
)
from accelsim.results.schema import COMPARE_SCHEMA, INTERVAL, RUN_SCHEMA
from tests.results.examples import example

TIMES = st.floats(0.1, 1e5)
RATIOS = st.tuples(st.floats(0.3, 1.0), st.floats(1.0, 4.0))
PARTS = st.lists(st.tuples(st.sampled_from("abcdef"), TIMES, RATIOS, st.booleans()), min_size=1, max_size=6)
Drawn = list[tuple[str, float, tuple[float, float], bool]]


def parts_of(drawn: Drawn, stretch: float = 1.0) -> list[Timed]:
    """Parts with unique names; the logarithms of their ratios are `stretch` times as large."""
    parts = []
    for index, (name, value, (low, high), covered) in enumerate(drawn):
        ends = (value * low**stretch, value * high**stretch) if covered else (None, None)
        parts.append(Timed(f"{name}{index}", value, *ends))
    return parts


@given(TIMES, st.floats(0.3, 3.0), st.floats(0.3, 3.0))
def test_an_interval_holds_its_value(value: float, one: float, other: float) -> None:
    found = widened(value, min(one, other), max(one, other))
    assert found.low <= value <= found.high


@pytest.mark.parametrize(
    ("value", "low", "high"), [(1.0, 1.1, 2.0), (1.0, 0.5, 0.9), (1.0, 0.0, 2.0), (1, 1, math.inf)]
)
def test_an_interval_that_misses_its_value_is_refused(value: float, low: float, high: float) -> None:
    with pytest.raises(ValueError, match="low <= value <= high"):
        Interval(value, low, high)


@settings(deadline=None, max_examples=100)
@given(PARTS, st.floats(1.0, 3.0))
def test_a_run_is_no_surer_than_its_kernels(drawn: Drawn, stretch: float) -> None:
    latency = sum(value for _, value, _, _ in drawn)
    narrow, wide = (total(latency, parts_of(drawn, by)) for by in (1.0, stretch))
    assert (narrow is None) == (wide is None)
    assume(narrow is not None and wide is not None)
    assert wide.low <= narrow.low * (1 + 1e-12)
    assert wide.high >= narrow.high * (1 - 1e-12)
    covered = [part for part in parts_of(drawn) if part.low is not None]
    rest = latency - sum(part.value for part in covered)
    assert narrow.low == pytest.approx(rest + sum(part.low for part in covered))
    assert narrow.high == pytest.approx(rest + sum(part.high for part in covered))


def test_parts_that_overlap_leave_at_least_the_longest() -> None:
    parts = [Timed(name, 10.0, 1.0, 11.0) for name in "ab"]
    assert total(10.0, parts) == Interval(10.0, 1.0, 12.0)


@settings(deadline=None, max_examples=100)
@given(PARTS, PARTS, PARTS, st.floats(1.0, 3.0))
def test_a_speedup_is_no_surer_than_its_runs(shared: Drawn, first: Drawn, second: Drawn, stretch: float) -> None:
    def of(by: float) -> Interval | None:
        common = [Timed(f"both {part.name}", part.value, part.low, part.high) for part in parts_of(shared, by)]
        runs = [[*common, *parts_of(own, by)] for own in (first, second)]
        return speedup(*((sum(part.value for part in run), run) for run in runs))

    narrow, wide = of(1.0), of(stretch)
    assert (narrow is None) == (wide is None)
    assume(narrow is not None and wide is not None)
    assert wide.low <= narrow.low * (1 + 1e-9)
    assert wide.high >= narrow.high * (1 - 1e-9)


@settings(deadline=None, max_examples=100)
@given(TIMES, RATIOS, TIMES, RATIOS)
def test_a_quotient_and_its_inverse_agree(
    a: float, of_a: tuple[float, float], b: float, of_b: tuple[float, float]
) -> None:
    one, other = widened(a, *of_a), widened(b, *of_b)
    found, inverse = quotient(one, other), quotient(other, one)
    assert inverse.low == pytest.approx(1 / found.high)
    assert inverse.high == pytest.approx(1 / found.low)
    # No wider than if both were off the worst way at once, no narrower than either alone.
    assert found.high <= one.high / other.low * (1 + 1e-9)
    assert found.high >= max(one.high / other.value, one.value / other.low) * (1 - 1e-9)


def test_independent_errors_add_in_squares() -> None:
    found = quotient(Interval(1.0, math.exp(-0.3), math.exp(0.3)), Interval(1.0, math.exp(-0.4), math.exp(0.4)))
    assert (math.log(found.low), math.log(found.high)) == (pytest.approx(-0.5), pytest.approx(0.5))


def test_what_both_runs_share_cancels() -> None:
    shared = [Timed("same", 90.0, 45.0, 180.0)]
    base, other = [*shared, Timed("own", 20.0, 18.0, 22.0)], [*shared, Timed("own", 10.0, 9.0, 11.0)]
    found = speedup((110.0, base), (100.0, other))
    assert found is not None
    assert verdict(found) == "faster"
    alone = speedup((110.0, [Timed("x", 110.0, 63.0, 202.0)]), (100.0, [Timed("y", 100.0, 54.0, 191.0)]))
    assert verdict(alone) == "undecided"
    same = speedup((90.0, shared), (90.0, shared))
    assert same == Interval(1.0, 1.0, 1.0)


def test_what_is_mostly_unmeasured_has_no_interval() -> None:
    known, unknown = Timed("a", 40.0, 30.0, 50.0), Timed("b", 60.0)
    assert covered_percent([known, unknown]) == pytest.approx(40.0)
    assert total(100.0, [known, unknown]) is None
    assert total(100.0, [Timed("a", 60.0, 30.0, 90.0), Timed("b", 40.0)]) == Interval(100.0, 70.0, 130.0)
    assert speedup((100.0, [known, unknown]), (40.0, [known])) is None
    assert total(0.0, []) is None


@pytest.mark.parametrize(
    ("interval", "word"),
    [
        (Interval(1.2, 1.01, 1.5), "faster"),
        (Interval(0.8, 0.7, 0.99), "slower"),
        (Interval(1.2, 0.99, 1.5), "undecided"),
        (Interval(1.0, 1.0, 1.0), "undecided"),
        (None, None),
    ],
)
def test_verdicts(interval: Interval | None, word: str | None) -> None:
    assert verdict(interval) == word


def measured(scheme: str, ratio: float) -> Result:
    """A made-up result whose kernels are off by at most `ratio` either way."""
    plain = example(scheme)
    duration = plain.kernels["end_us"] - plain.kernels["begin_us"]
    covered = plain.kernels["part"] == "gemm"
    kernels = plain.kernels.assign(
        duration_us=duration,
        low_us=np.where(covered, duration / ratio, np.nan),
        high_us=np.where(covered, duration * ratio, np.nan),
    )
    summary = {**plain.summary, "latency_low_us": 1.0, "latency_high_us": 1e4, "interval_basis": "made up"}
    return Result(summary, kernels, plain.units, plain.account, plain.energy)


def test_a_comparison_tells_what_is_decided() -> None:
    base = measured("dense", 1.1)
    compared_ = Comparison((base, measured("tile_wise", 1.1), measured("hdp", 1.1)), base)
    document = json.loads(compared_.to_json())
    jsonschema.validate(document, COMPARE_SCHEMA, jsonschema.Draft202012Validator)
    dense, tile_wise, hdp = document["schemes"]
    assert (dense["speedup_low"], dense["verdict"]) == (None, None)
    assert tile_wise["verdict"] == "faster"
    assert 1 < tile_wise["speedup_low"] < tile_wise["speedup"] < tile_wise["speedup_high"]
    assert hdp["verdict"] is None  # attention is what differs, and has no measured errors
    assert "Interval: made up." in compared_.notes()
    assert any(note.startswith("No interval of the speed-up of hdp") for note in compared_.notes())
    assert list(compared_.to_frame()["verdict"].fillna("")) == ["", "faster", ""]
    assert compared(measured("dense", 4.0), measured("tile_wise", 4.0))["verdict"] == "undecided"


def test_results_without_intervals_say_so() -> None:
    plain = example()
    assert {key: plain.summary[key] for key in INTERVAL} == dict.fromkeys(INTERVAL)
    assert timed_parts(plain) is None
    assert compared(plain, example("hdp")) == {"speedup_low": None, "speedup_high": None, "verdict": None}
    jsonschema.validate(json.loads(plain.to_json()), RUN_SCHEMA, jsonschema.Draft202012Validator)


def test_parts_of_a_result_are_those_of_its_table() -> None:
    parts = timed_parts(measured("dense", 2.0))
    assert parts is not None
    by_name = {part.name: part for part in parts}
    assert by_name["qkv"] == Timed("qkv", 16.0, 8.0, 32.0)
    assert by_name["attention"].low is None


def test_points_that_cannot_be_told_from_the_fastest() -> None:
    def point(latency: float) -> dict[str, object]:
        return {"latency_us": latency, "latency_low_us": 0.9 * latency, "latency_high_us": 1.1 * latency}

    assert undecided_from_fastest([point(30.0), point(10.0), point(11.0), point(10.5)]) == 2
    assert undecided_from_fastest([point(10.0), {"latency_us": 11.0, "latency_low_us": None}]) is None
    assert undecided_from_fastest([]) is None
    frame = pd.DataFrame([point(10.0)])
    assert undecided_from_fastest(frame.to_dict("records")) == 0  # type: ignore[arg-type]
