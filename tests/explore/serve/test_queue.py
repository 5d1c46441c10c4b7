"""The queue: rules, both engines alike, and what queueing theory knows exactly."""

from dataclasses import replace
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import ConfigError
from accelsim.explore.serve import Arrivals, Batching, ServiceTimes, run_queue
from accelsim.explore.serve.arrivals import PS_PER_SECOND, drawn
from accelsim.explore.serve.queue import Served, lindley
from accelsim.explore.serve.statistics import batch_means
from accelsim.explore.serve.theory import (
    erlang_c,
    md1_mean_wait,
    md1_wait_cdf,
    md1_wait_quantile,
    mdc_mean_wait,
    mg1_mean_wait,
    mmc_mean_wait,
    mmc_wait_quantile,
)

PS = 1e-6
"""Microseconds in a picosecond."""
cases = settings(deadline=None, max_examples=60)


def _served(
    times: list[int], batching: Batching, services: ServiceTimes, lengths: list[int] | None = None, **options: object
) -> Served:
    arrivals = Arrivals(np.asarray(times, np.int64), np.asarray(lengths or [1] * len(times), np.int64))
    return run_queue(arrivals, batching, services, **options)  # type: ignore[arg-type]


def _times(us: dict[tuple[int, int], object]) -> ServiceTimes:
    return ServiceTimes.from_arrays({key: np.multiply(value, PS) for key, value in us.items()})


@st.composite
def _cases(draw: st.DrawFn) -> tuple[Arrivals, Batching, ServiceTimes]:
    batch, buckets = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    count = draw(st.integers(1, 30))
    gaps = draw(st.lists(st.integers(0, 6), min_size=count, max_size=count))
    lengths = draw(st.lists(st.integers(1, buckets), min_size=count, max_size=count))
    outcomes = st.lists(st.integers(1, 12), min_size=1, max_size=3)
    services = _times({(size, kind): draw(outcomes) for size in range(1, batch + 1) for kind in range(buckets)})
    rules = Batching(batch, draw(st.integers(0, 15)), tuple(range(1, buckets + 1)), servers=draw(st.integers(1, 3)))
    return Arrivals(np.cumsum(np.asarray(gaps, np.int64)), np.asarray(lengths, np.int64)), rules, services


@cases
@given(_cases(), st.integers(0, 3))
def test_both_engines_serve_every_request_alike(case: tuple[Arrivals, Batching, ServiceTimes], seed: int) -> None:
    compiled, simpy = (run_queue(*case, seed=seed, engine=engine) for engine in ("compiled", "simpy"))  # type: ignore[arg-type]
    for name in ("batch_of", "batch_starts_ps", "batch_ends_ps", "batch_energies_uj"):
        assert np.array_equal(getattr(compiled, name), getattr(simpy, name)), name


@cases
@given(_cases())
def test_nothing_is_lost_and_rules_hold(case: tuple[Arrivals, Batching, ServiceTimes]) -> None:
    arrivals, rules, services = case
    served = run_queue(arrivals, rules, services)
    sizes, buckets = served.batch_sizes, rules.bucket_of(arrivals.lengths)
    assert sizes.sum() == len(arrivals.times_ps)
    assert sizes.min() >= 1
    assert sizes.max() <= rules.batch
    assert (served.starts_ps >= arrivals.times_ps).all()
    assert (np.diff(served.batch_starts_ps) >= 0).all()
    for kind in range(services.buckets):
        assert (np.diff(served.batch_of[buckets == kind]) >= 0).all()
    for index in range(len(sizes)):
        inside = np.flatnonzero(served.batch_of == index)
        assert len(set(buckets[inside])) == 1
        start = served.batch_starts_ps[index]
        idle_from = sorted([0] * rules.servers + served.batch_ends_ps[:index].tolist())[-rules.servers]
        assert start >= idle_from
        # A batch that is not full starts once its oldest request has waited for the timeout, or later when busy.
        if len(inside) < rules.batch:
            assert start >= arrivals.times_ps[inside[0]] + rules.timeout_ps
            assert start == max(idle_from, arrivals.times_ps[inside[0]] + rules.timeout_ps) or start == idle_from


@cases
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=40))
def test_without_batches_it_is_lindley(requests: list[tuple[int, int]]) -> None:
    times = np.cumsum([gap for gap, _ in requests]).astype(np.int64)
    services = np.asarray([service for _, service in requests], np.int64)
    expected, free = [], 0
    for time, service in zip(times.tolist(), services.tolist(), strict=True):
        expected.append(max(time, free))
        free = expected[-1] + service
    assert lindley(times, services).tolist() == expected
    kinds = np.unique(services)
    table = _times({(1, place): int(kind) for place, kind in enumerate(kinds)})
    rules = Batching(buckets=tuple(int(kind) for kind in kinds))
    served = run_queue(Arrivals(times, services), rules, table)
    # Buckets of one request each are served in order of arrival.
    assert served.starts_ps.tolist() == expected


@cases
@given(st.integers(0, 50), st.floats(0.05, 0.9), st.floats(1.01, 1.5))
def test_every_wait_grows_with_the_rate(seed: int, load: float, more: float) -> None:
    services = ServiceTimes.from_arrays({(1, 0): [80.0, 100.0, 150.0]})
    traffic = drawn("poisson", 200, seed)
    slow, fast = (
        run_queue(traffic.at(rate), Batching(), services, seed=seed) for rate in (load * 1e4, load * more * 1e4)
    )
    assert ((fast.starts_ps - fast.arrivals_ps) >= (slow.starts_ps - slow.arrivals_ps)).all()


def test_a_story_with_a_timeout() -> None:
    services = _times({(1, 0): 10, (2, 0): 12, (3, 0): 14})
    served = _served([0, 3, 30, 31, 32, 33], Batching(3, timeout_ps=5), services)
    assert served.batch_sizes.tolist() == [2, 3, 1]
    # The first two wait until 5; three more fill a batch at 32; the last arrives meanwhile and starts at once after it.
    assert served.batch_starts_ps.tolist() == [5, 32, 46]


def test_the_bucket_with_the_oldest_request_goes_first() -> None:
    services = _times({(1, 0): 10, (1, 1): 20, (2, 0): 11, (2, 1): 21})
    served = _served([0, 1, 2, 3], Batching(2, buckets=(16, 64)), services, [16, 40, 8, 41])
    assert served.batch_of.tolist() == [0, 1, 2, 1]
    assert served.batch_starts_ps.tolist() == [0, 10, 31]


def test_batches_run_as_the_next_size() -> None:
    services = _times({(2, 0): 7, (4, 0): 9})
    served = _served([0, 0, 0, 100], Batching(4, sizes=(2, 4)), services)
    assert (served.batch_ends_ps - served.batch_starts_ps).tolist() == [9, 7]


def test_outcomes_are_drawn_from_the_whole_distribution_by_seed() -> None:
    services = ServiceTimes.from_arrays({(1, 0): [10.0, 20.0, 60.0]}, {(1, 0): [1.0, 2.0, 3.0]})
    arrivals = drawn("even", 30_000, 0).at(1000.0)
    one, same, other = (run_queue(arrivals, Batching(), services, seed=seed) for seed in (1, 1, 2))
    times, counts = np.unique(one.batch_ends_ps - one.batch_starts_ps, return_counts=True)
    assert (times * PS).tolist() == [10.0, 20.0, 60.0]
    assert abs(counts / 30_000 - 1 / 3).max() < 0.01
    assert np.array_equal(one.batch_ends_ps, same.batch_ends_ps)
    assert not np.array_equal(one.batch_ends_ps, other.batch_ends_ps)
    assert np.array_equal(one.batch_energies_uj, np.searchsorted(times, one.batch_ends_ps - one.batch_starts_ps) + 1.0)


SKEWED = 100.0 * np.random.default_rng(5).lognormal(0.0, 0.5, 2000)


@pytest.mark.parametrize(("load", "requests"), [(0.5, 2_000_000), (0.8, 4_000_000)])
@pytest.mark.parametrize("outcomes", [np.asarray([100.0]), SKEWED], ids=["M/D/1", "M/G/1"])
def test_mean_wait_is_that_of_theory(load: float, requests: int, outcomes: np.ndarray) -> None:
    """The 95 % interval lies within 2 % of the exact mean, and p95 of M/D/1 within 2 % too."""
    mean = float(outcomes.mean())
    arrivals = drawn("poisson", requests, 0).at(load * 1e6 / mean)
    served = run_queue(arrivals, Batching(), ServiceTimes.from_arrays({(1, 0): outcomes}))
    waits = ((served.starts_ps - served.arrivals_ps) * PS)[requests // 20 :]
    exact = mg1_mean_wait(load, mean, float((outcomes**2).mean()))
    interval = batch_means(waits)
    assert interval is not None
    assert 0.98 * exact < interval[0] < interval[1] < 1.02 * exact
    if len(outcomes) == 1:
        assert exact == pytest.approx(md1_mean_wait(load, mean))
        tail = batch_means(waits, 95)
        assert tail is not None
        expected = mean * md1_wait_quantile(load, 0.95)
        assert 0.98 * expected < tail[0] < tail[1] < 1.02 * expected


QUANTILES = -100.0 * np.log1p(-(np.arange(20_000) + 0.5) / 20_000)
"""As many draws of an exponential time of 100, all equally likely: their mean lies 3e-5 below it."""


@pytest.mark.parametrize("load", [0.5, 0.8])
@pytest.mark.parametrize("servers", [2, 4])
@pytest.mark.parametrize("kind", ["M/D/c", "M/M/c"])
def test_several_servers_wait_as_theory_says(load: float, servers: int, kind: str) -> None:
    """The exact mean, and p95 of M/M/c, lie in the 95 % interval, whose half width is at most 4 %."""
    outcomes = np.asarray([100.0]) if kind == "M/D/c" else QUANTILES
    arrivals = drawn("poisson", 1_000_000, 0).at(load * servers * 1e6 / 100.0)
    served = run_queue(arrivals, Batching(servers=servers), ServiceTimes.from_arrays({(1, 0): outcomes}))
    waits = ((served.starts_ps - served.arrivals_ps) * PS)[50_000:]
    exact = (mdc_mean_wait if kind == "M/D/c" else mmc_mean_wait)(load, servers, 100.0)
    expected = [(exact, batch_means(waits))]
    if kind == "M/M/c":
        expected.append((100.0 * mmc_wait_quantile(load, servers, 0.95), batch_means(waits, 95)))
    for number, interval in expected:
        assert interval is not None
        assert interval[0] < number < interval[1]
        assert interval[1] - interval[0] < 0.08 * number


@pytest.mark.parametrize("load", [0.1, 0.5, 0.8, 0.95])
def test_one_of_several_servers_is_one_server(load: float) -> None:
    assert mdc_mean_wait(load, 1, 7.0) == pytest.approx(md1_mean_wait(load, 7.0))
    assert mmc_mean_wait(load, 1, 7.0) == pytest.approx(mg1_mean_wait(load, 7.0, 2 * 7.0**2))
    assert erlang_c(load, 1) == pytest.approx(load)
    assert mmc_wait_quantile(load, 1, 1 - load / 2) == pytest.approx(np.log(2) / (1 - load))


def test_theory_of_several_servers_knows_its_ends() -> None:
    offered = 2.0
    erlang_b = offered**3 / 6 / sum(offered**count / factorial(count) for count in range(4))
    assert erlang_c(2 / 3, 3) == pytest.approx(3 * erlang_b / (3 - offered * (1 - erlang_b)))
    assert mdc_mean_wait(0.0, 3, 1.0) == erlang_c(0.0, 3) == mmc_wait_quantile(0.0, 3, 0.5) == 0.0
    waits = [mdc_mean_wait(0.8, servers, 1.0) for servers in (1, 2, 4, 64)]
    assert waits == sorted(waits, reverse=True)
    assert mmc_wait_quantile(0.5, 64, 0.5) == 0.0  # few wait
    with pytest.raises(ConfigError, match="servers 0"):
        erlang_c(0.5, 0)


def test_servers_take_turns() -> None:
    served = _served([0, 1, 2, 3, 30], Batching(servers=2), _times({(1, 0): 10}))
    assert served.starts_ps.tolist() == [0, 1, 10, 11, 30]
    assert served.servers == 2


@pytest.mark.parametrize("load", [0.1, 0.5, 0.8])
def test_the_distribution_of_md1_has_its_mean(load: float) -> None:
    grid = np.linspace(0, 6 / (1 - load), 400)
    above = [1 - md1_wait_cdf(load, float(at)) for at in grid]
    assert np.trapezoid(above, grid) == pytest.approx(md1_mean_wait(load, 1.0), rel=0.02)
    assert md1_wait_cdf(load, 0.0) == pytest.approx(1 - load)
    assert md1_wait_cdf(load, -1.0) == 0.0
    assert md1_wait_quantile(load, (1 - load) / 2) == 0.0
    for share in (0.95, 0.99):
        assert md1_wait_cdf(load, md1_wait_quantile(load, share)) >= share - 1e-6


@pytest.mark.parametrize(("load", "share"), [(1.0, 0.5), (-0.1, 0.5), (0.5, 1.0)])
def test_theory_refuses_what_has_no_answer(load: float, share: float) -> None:
    with pytest.raises(ConfigError):
        md1_wait_quantile(load, share)


def test_what_does_not_go_together_is_refused() -> None:
    services = ServiceTimes.from_arrays({(1, 0): 1.0})
    with pytest.raises(ConfigError, match="batches up to 1 in 1 buckets, and the batching has 4 and 1"):
        _served([0], Batching(4), services)
    with pytest.raises(ConfigError, match="unknown queue 'fast'"):
        _served([0], Batching(), services, engine="fast")
    slow = replace(services, outcomes_ps=np.asarray([2**62], np.int64))
    with pytest.raises(ConfigError, match="longer than is simulated"):
        _served([0, 1, 2], Batching(), slow)


@pytest.mark.parametrize(
    ("times", "energies", "words"),
    [
        ({(1, 0): 0.0}, None, "above 0"),
        ({(1, 0): []}, None, "above 0"),
        ({(1, 0): [np.nan]}, None, "above 0"),
        ({}, None, "sizes from 1 on"),
        ({(1, 1): 1.0}, None, "buckets 0, 1"),
        ({(1, 0): 1.0, (2, 0): 1.0, (1, 1): 1.0}, None, "lack size 2 in bucket 1"),
        ({(1, 0): [1.0, 2.0]}, {(1, 0): [1.0]}, "energies need to be as many"),
    ],
)
def test_service_times_are_checked(times: dict, energies: dict | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ServiceTimes.from_arrays(times, energies)


def test_capacity_is_what_full_batches_reach() -> None:
    services = ServiceTimes.from_arrays({(1, 0): 10.0, (4, 0): 20.0, (1, 1): 20.0, (4, 1): [30.0, 50.0]})
    assert services.capacity_per_s([0.5, 0.5]) == pytest.approx(4e6 / 30.0)
    arrivals = Arrivals(np.zeros(8000, np.int64), np.tile([1, 2], 4000).astype(np.int64))
    served = run_queue(arrivals, Batching(4, buckets=(1, 2)), services)
    rate = len(arrivals.times_ps) * PS_PER_SECOND / served.batch_ends_ps[-1]
    assert rate == pytest.approx(services.capacity_per_s([0.5, 0.5]), rel=0.01)
