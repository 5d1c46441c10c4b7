"""Figure of serving: what is drawn for settled and overloaded rates."""

import numpy as np
import pandas as pd
import pytest

from accelsim.explore.serve import Batching, Demand, ServiceTimes, Serving, serve_times
from accelsim.show.serve import serve_figure, serve_files


def _found(rates: tuple[float, ...], us: float = 100.0) -> Serving:
    services = {"dense": ServiceTimes.from_arrays({(1, 0): us}), "hdp": ServiceTimes.from_arrays({(1, 0): 0.8 * us})}
    return serve_times(services, Demand(rates, requests=3000), Batching())


def test_latency_is_drawn_below_the_capacity_and_throughput_everywhere() -> None:
    found = _found((2000.0, 6000.0, 8000.0, 11_000.0))
    knees = {one.scheme: one.knee_per_s for one in found.schemes}
    latency, throughput, energy = serve_figure(found.to_frame(), knees, 300.0).axes
    percentiles = [line for line in latency.lines if len(line.get_xdata()) > 2]
    assert [len(line.get_xdata()) for line in percentiles] == [3, 3, 3, 4, 4, 4]
    frame = found.to_frame()
    below = frame[(frame["scheme"] == "dense") & (frame["load"] < 1)]
    assert np.allclose(percentiles[1].get_ydata(), below["p95_us"])
    diamonds = [line for line in latency.lines if line.get_marker() == "D"]
    assert [line.get_xdata()[0] for line in diamonds] == [knees[scheme] / 1e3 for scheme in ("dense", "hdp")]
    assert [len(line.get_xdata()) for line in throughput.lines[:2]] == [4, 4]
    assert throughput.get_ylabel() == "throughput (1,000 requests/s)"
    assert len(energy.lines) == 2


def test_low_rates_are_not_given_in_thousands() -> None:
    found = _found((2.0, 6.0), us=1e5)
    latency, throughput, _ = serve_figure(found.to_frame(), {}).axes
    assert throughput.get_ylabel() == "throughput (requests/s)"
    assert throughput.lines[0].get_xdata().tolist() == [2.0, 6.0]
    assert not [line for line in latency.lines if line.get_marker() == "D"]


def test_files_are_equal_for_equal_runs() -> None:
    frame = _found((2000.0,)).to_frame()
    one, other = serve_files(frame, {"dense": 2000.0}), serve_files(frame, {"dense": 2000.0})
    assert one == other
    assert set(one) == {"serve.png", "serve.svg"}
    assert one["serve.png"].startswith(b"\x89PNG")


def test_nothing_run_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing was run"):
        serve_figure(pd.DataFrame(), {})
