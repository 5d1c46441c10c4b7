"""Sweeps that ship: each can be read, and its ends run."""

import pytest

from accelsim.config.names import available
from accelsim.explore.sweep import evaluate_point, make_point, read_sweep

SWEEPS = available("workloads/sweeps")


@pytest.mark.parametrize("name", SWEEPS)
def test_ends_of_a_shipped_sweep_run(name: str) -> None:
    sweep = read_sweep(name)
    settings = list(sweep.settings())
    points = [make_point(sweep, chosen) for chosen in (settings[0], settings[-1])]
    if sweep.spec.values:  # trained weights and images take their time
        assert [point.config().values for point in points] == [True, True]
        return
    found = [evaluate_point(point) for point in points]
    assert [record["error"] for record in found] == [None, None]
    assert found[0]["latency_us"] != found[1]["latency_us"]


def test_uneven_tiles_keep_sms_waiting() -> None:
    sweep = read_sweep("tile_wise_imbalance")
    found = {
        (chosen["tile_wise.strategy"], chosen["tile_wise.uneven"]): evaluate_point(make_point(sweep, chosen))
        for chosen in sweep.settings()
    }
    even, uneven = (found["merged", spread]["imbalance_percent"] for spread in (0, 1))
    assert isinstance(even, float)
    assert isinstance(uneven, float)
    assert even < uneven
    padded = [found["padded_batch", spread]["latency_us"] for spread in (0, 0.5, 1)]
    assert padded == sorted(padded)  # type: ignore[type-var]
    assert found["padded_batch", 1]["effectual_macs"] == found["merged", 1]["effectual_macs"]
