"""Arrivals: drawn ones, and traces with their mistakes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import ConfigError, UserError
from accelsim.explore.serve import Batching, Lengths, read_trace
from accelsim.explore.serve.arrivals import PS_PER_SECOND, check_rates, drawn, first_requests


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.integers(1, 300), st.integers(1, 300))
def test_more_requests_begin_with_the_same_ones(seed: int, few: int, more: int) -> None:
    lengths = Lengths((8, 16, 24))
    one, other = drawn("poisson", few, seed, lengths), drawn("poisson", few + more, seed, lengths)
    assert np.array_equal(one.gaps, other.gaps[:few])
    assert np.array_equal(one.lengths, other.lengths[:few])


def test_poisson_arrivals_have_their_rate_and_spread() -> None:
    gaps = np.diff(drawn("poisson", 400_000, 3).at(250.0).times_ps) / PS_PER_SECOND
    assert gaps.mean() == pytest.approx(1 / 250, rel=0.01)
    assert gaps.std() == pytest.approx(1 / 250, rel=0.01)
    assert np.exp(-1) == pytest.approx((gaps > 1 / 250).mean(), abs=0.005)


def test_even_arrivals_are_even() -> None:
    assert set(np.diff(drawn("even", 100, 0).at(1000.0).times_ps).tolist()) == {10**9}


@pytest.mark.parametrize(("text", "choices"), [("3-5", (3, 4, 5)), ("32,64", (32, 64)), ("7", (7,))])
def test_lengths_are_a_range_or_a_list(text: str, choices: tuple[int, ...]) -> None:
    assert Lengths.parse(text).choices == choices
    found = drawn("even", 3000, 0, Lengths(choices)).lengths
    assert set(found.tolist()) == set(choices)


@pytest.mark.parametrize("text", ["", "0-4", "5-3", "a,b", "-4", "1.5"])
def test_other_lengths_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="allowed: a range"):
        Lengths.parse(text)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf"), 2e9])
def test_rates_are_above_zero(rate: float) -> None:
    with pytest.raises(ConfigError, match="above 0"):
        check_rates((1.0, rate))
    with pytest.raises(ConfigError, match="above 0"):
        drawn("even", 2, 0).at(rate)


def test_a_rate_that_takes_years_is_refused() -> None:
    with pytest.raises(ConfigError, match="longer than is simulated"):
        drawn("even", 1000, 0).at(1e-5)


def test_unknown_arrivals_and_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="allowed: poisson, even"):
        drawn("bursty", 10, 0)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="at least 1"):
        drawn("even", 0, 0)


def _trace(folder: Path, text: str) -> Path:
    path = folder / "trace.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_trace_keeps_its_times_and_stretches_to_a_rate(tmp_path: Path) -> None:
    traffic = read_trace(_trace(tmp_path, "time_s, length\n1.0,16\n1.5,32\n1.5,8\n4.0,64\n"))
    assert traffic.own_rate_per_s == pytest.approx(1.0)
    assert (traffic.at(1.0).times_ps / PS_PER_SECOND).tolist() == pytest.approx([0.0, 0.5, 0.5, 3.0])
    assert (traffic.at(10.0).times_ps / PS_PER_SECOND).tolist() == pytest.approx([0.0, 0.05, 0.05, 0.3])
    assert traffic.lengths.tolist() == [16, 32, 8, 64]
    assert Batching(buckets=(16, 64)).bucket_of(traffic.lengths).tolist() == [0, 1, 0, 1]


def test_the_first_requests_of_a_trace_have_their_own_rate(tmp_path: Path) -> None:
    traffic = read_trace(_trace(tmp_path, "time_s\n0\n0.5\n1.0\n9.0\n"))
    short = first_requests(traffic, 3)
    assert short.own_rate_per_s == pytest.approx(2.0)
    assert (short.at(2.0).times_ps / PS_PER_SECOND).tolist() == pytest.approx([0.0, 0.5, 1.0])
    assert first_requests(traffic, None) is traffic
    for wrong in (1, 5):
        with pytest.raises(ConfigError, match="allowed: 2 to 4"):
            first_requests(traffic, wrong)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("time_s\n0\n2\n1\n", r"trace.csv:4: time_s 1 comes after 2; sort the trace"),
        ("time_s\n-1\n2\n", r"trace.csv:2: time_s -1 is negative"),
        ("time_s\n0\nx\n", r"trace.csv:3: time_s 'x' is not a number"),
        ("time_s\n0\nnan\n", r"trace.csv:3: time_s 'nan' is not a number"),
        ("time_s,length\n0,4\n1,0\n", r"trace.csv:3: length 0 is not a whole number"),
        ("time_s,length\n0,4\n1,2.5\n", r"trace.csv:3: length 2.5 is not a whole number"),
        ("time_s,length\n0,4\n1\n", r"trace.csv:3: length None is not a number"),
        ("when\n0\n1\n", r"trace.csv:1: no column time_s"),
        ("", r"trace.csv:1: no column time_s"),
        ("time_s\n0\n", r"at least 2 requests"),
        ("time_s\n3\n3\n", r"have one time_s"),
    ],
)
def test_mistakes_in_a_trace_are_named_with_their_line(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        read_trace(_trace(tmp_path, text))


def test_a_trace_that_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_bytes(b"\xff\xfe\x00\x01\x80")
    for name in ("trace.csv", "absent.csv"):
        with pytest.raises(UserError, match="cannot be read as a trace"):
            read_trace(tmp_path / name)


def test_requests_longer_than_the_largest_bucket_are_refused() -> None:
    with pytest.raises(ConfigError, match="request 2 has length 65, and the largest bucket holds 64; 1 of 3"):
        Batching(buckets=(32, 64)).bucket_of([64, 65, 1])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch": 0}, "batch 0: allowed: 1 to"),
        ({"timeout_ps": -1}, "at least 0"),
        ({"buckets": (64, 32)}, "buckets 64, 32: need to rise"),
        ({"buckets": (0, 32)}, "need to rise, from 1 on"),
        ({"batch": 4, "sizes": (1, 2)}, "need to end with the largest batch, 4"),
        ({"batch": 4, "sizes": (4, 4)}, "sizes 4, 4: need to rise"),
    ],
)
def test_rules_of_batching_are_checked(options: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Batching(**options)
