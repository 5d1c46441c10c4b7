"""Figures of a run of the queue, and the search for the largest load."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import ConfigError
from accelsim.explore.serve import Batching, Demand, Served, ServiceTimes, run_queue, serve_times
from accelsim.explore.serve.arrivals import drawn
from accelsim.explore.serve.search import LOADS, MORE, RESOLUTION, largest_load
from accelsim.explore.serve.statistics import batch_means, summarise
from accelsim.explore.serve.theory import md1_wait_quantile

US = 10**6


def _story() -> Served:
    """Arrivals at 0, 10, 20 and 40 us; batches from 0 to 15, of two from 20 to 50, and from 50 to 60."""
    return Served(
        arrivals_ps=np.asarray([0, 10, 20, 40]) * US,
        batch_of=np.asarray([0, 1, 1, 2]),
        batch_starts_ps=np.asarray([0, 20, 50]) * US,
        batch_ends_ps=np.asarray([15, 50, 60]) * US,
        batch_energies_uj=np.asarray([15.0, 60.0, 7.0]),
    )


def test_figures_of_a_story() -> None:
    found = summarise(_story(), idle_w=2.0, warmup=0.0)
    assert found["requests"] == 4
    assert found["mean_us"] == pytest.approx((15 + 40 + 30 + 20) / 4)
    assert found["p50_us"] == pytest.approx(25.0)
    assert found["mean_wait_us"] == pytest.approx((0 + 10 + 0 + 10) / 4)
    # In the 40 us until the last arrival: 10 us with one waiting, busy for 35, one request done.
    assert found["queue_length"] == pytest.approx(10 / 40)
    assert found["queue_max"] == 1
    assert found["utilisation"] == pytest.approx(35 / 40)
    assert found["throughput_per_s"] == pytest.approx(1 / 40e-6)
    assert found["batch_mean"] == pytest.approx(4 / 3)
    assert found["idle_energy_per_request_uj"] == pytest.approx(2.0 * 5)
    assert found["energy_per_request_uj"] == pytest.approx(15 + 60 * 20 / 30 + 10)
    assert found["mean_low_us"] is None
    assert found["p95_high_us"] is None


def test_machines_that_idle_beside_others_count() -> None:
    found = summarise(replace(_story(), servers=3), idle_w=2.0, warmup=0.0)
    assert found["utilisation"] == pytest.approx(35 / 120)
    assert found["idle_energy_per_request_uj"] == pytest.approx(2.0 * 85)
    assert found["mean_us"] == summarise(_story())["mean_us"] == pytest.approx(26.25)


def test_the_warm_up_does_not_count() -> None:
    found = summarise(_story(), idle_w=2.0, warmup=0.5)
    assert found["requests"] == 2
    assert found["mean_us"] == pytest.approx((30 + 20) / 2)
    assert found["utilisation"] == pytest.approx(1.0)
    assert found["throughput_per_s"] == 0
    assert found["energy_per_request_uj"] is None
    for wrong in (-0.1, 1.0):
        with pytest.raises(ConfigError, match="warmup"):
            summarise(_story(), warmup=wrong)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 99), st.floats(0.2, 0.9), st.integers(1, 4), st.integers(0, 300), st.integers(1, 3))
def test_little_and_energy_hold(seed: int, load: float, batch: int, timeout: int, servers: int) -> None:
    services = ServiceTimes.from_arrays(
        {(size, 0): 50.0 + 20.0 * size for size in range(1, batch + 1)},
        {(size, 0): 10.0 * size for size in range(1, batch + 1)},
        idle_w=3.0,
    )
    rate = servers * load * services.capacity_per_s([1.0])
    rules = Batching(batch, timeout * US, servers=servers)
    served = run_queue(drawn("poisson", 20_000, seed).at(rate), rules, services, seed=seed)
    found = summarise(served, services.idle_w, 0.1)
    # Little's law, up to what lies across the window's ends.
    assert found["queue_length"] == pytest.approx(found["throughput_per_s"] * found["mean_wait_us"] / 1e6, rel=0.02)
    assert found["energy_per_request_uj"] - found["idle_energy_per_request_uj"] == pytest.approx(10.0, rel=0.02)
    idle_us = servers * (1 - found["utilisation"]) / found["throughput_per_s"] * 1e6
    assert found["idle_energy_per_request_uj"] == pytest.approx(3.0 * idle_us, rel=1e-6)
    assert found["mean_low_us"] <= found["mean_us"] <= found["mean_high_us"]
    assert found["p50_us"] <= found["p95_us"] <= found["p99_us"]


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_intervals_hold_the_mean_as_often_as_they_say(memory: float) -> None:
    random = np.random.default_rng(0)
    inside = 0
    for _ in range(300):
        noise, value = random.normal(size=4000), 0.0
        series = np.empty(4000)
        for index in range(4000):
            value = memory * value + noise[index]
            series[index] = value
        interval = batch_means(series + 100.0)
        assert interval is not None
        inside += interval[0] <= 100.0 <= interval[1]
    assert 0.91 * 300 <= inside <= 0.98 * 300


def test_too_few_values_have_no_interval() -> None:
    assert batch_means(np.ones(399)) is None
    assert batch_means(np.ones(400)) == (1.0, 1.0)


def _model(p95: object, half: float = 0.01):  # type: ignore[no-untyped-def]
    """Figures by a formula of the rate; returns them and the list of what was asked."""
    asked = []

    def evaluate(rate: float, times: int) -> dict[str, float]:
        asked.append((rate, times))
        value = p95(rate)  # type: ignore[operator]
        return {"p95_us": value, "p95_low_us": value * (1 - half / times), "p95_high_us": value * (1 + half / times)}

    return evaluate, asked


@settings(deadline=None, max_examples=50)
@given(st.floats(102.0, 4000.0))
def test_the_largest_load_is_found(target: float) -> None:
    evaluate, _ = _model(lambda rate: 100 / (1 - rate))
    found = largest_load(evaluate, target, 1.0)
    exact = 1 - 100 / target
    assert found.rate_per_s is not None
    assert found.rate_per_s <= exact <= found.rate_per_s * (1 + 2 * RESOLUTION)
    assert found.surely_per_s is None or found.surely_per_s <= exact
    assert found.missed_per_s is None or found.missed_per_s >= exact


def test_latency_that_first_falls_is_no_obstacle() -> None:
    evaluate, _ = _model(lambda rate: 500 * (0.05 / rate) + 100 / (1 - rate))
    found = largest_load(evaluate, 400.0, 1.0)
    assert found.rate_per_s is not None
    assert 0.7 < found.rate_per_s < 0.76


def test_a_target_that_no_load_or_every_load_meets() -> None:
    none = largest_load(_model(lambda rate: 100 / (1 - rate))[0], 50.0, 1.0)
    assert none.rate_per_s is None
    assert "no load meets it: the lowest p95 was 101" in str(none.remark)
    every = largest_load(_model(lambda rate: 100.0)[0], 200.0, 1.0)
    assert every.rate_per_s == LOADS[0]
    assert "98% of the capacity" in str(every.remark)


def test_what_may_meet_the_target_is_decided_by_more_requests() -> None:
    """Here few requests tell too low a latency, as a queue that starts empty does."""
    asked = []

    def evaluate(rate: float, times: int) -> dict[str, float]:
        asked.append((rate, times))
        value = (0.8 if times == 1 else 1.0) * 100 / (1 - rate)
        return {"p95_us": value, "p95_low_us": 0.99 * value, "p95_high_us": 1.01 * value}

    found = largest_load(evaluate, 200.0, 1.0)
    assert found.rate_per_s == pytest.approx(0.5, rel=2 * RESOLUTION)
    assert (LOADS[0], MORE) not in asked
    assert all((rate, MORE) in asked for rate, _ in asked if 0.8 * 100 / (1 - rate) <= 400)


def test_largest_load_of_md1_is_that_of_theory() -> None:
    services = {"dense": ServiceTimes.from_arrays({(1, 0): 100.0})}
    target = 100.0 * (1 + md1_wait_quantile(0.7, 0.95))
    found = serve_times(services, Demand((1000.0,), target_p95_us=target), Batching()).schemes[0].largest
    assert found is not None
    assert found.rate_per_s == pytest.approx(7000.0, rel=0.02)
    assert found.surely_per_s is not None
    assert found.missed_per_s is not None
    assert found.surely_per_s < 7000.0 < found.missed_per_s


def test_serving_is_determined_by_its_seed() -> None:
    services = {"a": ServiceTimes.from_arrays({(1, 0): [80.0, 120.0]}), "b": ServiceTimes.from_arrays({(1, 0): 100.0})}
    demand = Demand((4000.0, 2000.0, 12_000.0), requests=5000)
    one, same, other = (serve_times(services, demand, Batching(), seed=seed).to_json() for seed in (0, 0, 1))
    assert one == same
    assert one != other
    simpy = serve_times(services, replace(demand, queue="simpy"), Batching())
    assert simpy.to_json() == one.replace('"queue": "compiled"', '"queue": "simpy"')


def test_notes_tell_overload_and_too_few_requests() -> None:
    services = {"a": ServiceTimes.from_arrays({(1, 0): 100.0})}
    found = serve_times(services, Demand((5000.0, 11_000.0, 12_000.0), requests=300), Batching())
    assert found.notes() == [
        "Overloaded, so that latencies grow with the number of requests: a from 11,000/s on.",
        "Too few requests for intervals; take more.",
    ]
    assert found.schemes[0].knee_per_s == 5000.0


def test_the_knee_is_where_throughput_over_latency_is_largest() -> None:
    services = {"a": ServiceTimes.from_arrays({(1, 0): 100.0})}
    rates = tuple(1000.0 * step for step in range(1, 10))
    found = serve_times(services, Demand(rates), Batching()).schemes[0]
    # M/D/1: rho / (1 + rho / (2 (1 - rho))) has its maximum at 2 - sqrt(2).
    assert found.knee_per_s == 6000.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rates": (0.0,)}, "above 0"),
        ({"warmup": 1.0}, "warmup"),
        ({"requests": 1}, "requests 1: allowed"),
        ({"target_p95_us": 0.0}, "target p95"),
    ],
)
def test_demands_are_checked(options: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Demand(**options)
