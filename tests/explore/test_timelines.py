"""Timelines of served requests and of heads on accelerators."""

from itertools import pairwise

import numpy as np
import pytest

from accelsim.config.trace import Sampling
from accelsim.explore.attention import compare_attention
from accelsim.explore.serve import Batching, Demand, Served, ServiceTimes, serve_times
from accelsim.explore.timelines import MOST_LINES, attention_timeline, serving_timeline
from accelsim.results.timeline import depths
from accelsim.show.trace import trace_bytes


def served(rate: float, requests: int = 300, servers: int = 1) -> Served:
    """Requests in batches of up to four, which take 100 us."""
    seen: list[Served] = []
    serve_times(
        {"mine": ServiceTimes.from_arrays({(size, 0): 100.0 for size in (1, 2, 3, 4)})},
        Demand(rates=(rate,), requests=requests),
        Batching(batch=4, servers=servers),
        watch=lambda _scheme, _rate, run: seen.append(run),
    )
    assert len(seen) == 1
    return seen[0]


def test_every_request_waits_and_is_served_with_its_batch() -> None:
    run = served(20_000.0)
    timeline = serving_timeline([("mine", run)], Sampling())
    machine = timeline.find("machine").tracks[0]
    assert [(one.begin_ps, one.end_ps) for one in machine.slices] == list(
        zip(run.batch_starts_ps.tolist(), run.batch_ends_ps.tolist(), strict=True)
    )
    requests = {}
    for track in timeline.find("requests").tracks:
        outermost = [place for place, depth in enumerate(depths(track.slices)) if depth == 0]
        for first, behind in pairwise([*outermost, len(track.slices)]):
            one, *inside = track.slices[first:behind]
            requests[int(one.name.split()[1])] = (one.begin_ps, one.end_ps, dict(one.about)["batch"])
            assert [part.name for part in inside] in (["wait", "service"], ["service"])
            assert inside[-1].end_ps == one.end_ps
    for number, (begin, end, batch) in requests.items():
        assert (begin, end, batch) == (run.arrivals_ps[number], run.ends_ps[number], run.batch_of[number])
    assert len(requests) == 300
    assert (timeline.left_out, timeline.notes) == (0, ())


def test_each_of_several_machines_has_its_track() -> None:
    run = served(60_000.0, servers=3)
    tracks = serving_timeline([("mine", run)], Sampling()).find("machines").tracks
    assert len(tracks) == 3
    slices = [one for track in tracks for one in track.slices]
    assert len(slices) == len(run.batch_starts_ps)
    for track in tracks:
        assert all(one.end_ps <= other.begin_ps for one, other in pairwise(track.slices))


def test_waiting_requests_are_counted() -> None:
    run = served(20_000.0)
    samples = serving_timeline([("mine", run)], Sampling()).find("waiting requests").counters[0].samples
    moments = np.array([moment for moment, _ in samples])
    for moment, value in samples:
        assert value == ((run.arrivals_ps <= moment) & (run.starts_ps > moment)).sum()
    assert (np.diff(moments) > 0).all()
    assert max(value for _, value in samples) > 1


def test_later_requests_are_left_out_and_crowds_are_counted_alone() -> None:
    timeline = serving_timeline([("a", served(20_000.0)), ("b", served(20_000.0))], Sampling(limit=400))
    assert timeline.slices <= 400
    assert timeline.left_out >= 2 * 250
    assert timeline.notes[0] == "of 300 requests the first 50 are shown"
    crowd = serving_timeline([("mine", served(1e6))], Sampling())
    assert len(crowd.find("requests").tracks) == MOST_LINES
    assert "found no line" in crowd.notes[0]


@pytest.mark.parametrize("unit", ["hdp_server", "a3"])
def test_heads_pass_the_stages_of_each_layer(unit: str) -> None:
    found = compare_attention([unit], sequences=[64], heads=4, layers=2, thresholds="own")
    timeline = attention_timeline(found, Sampling())
    layers = timeline.find("layers").tracks[0].slices
    assert [one.name for one in layers] == ["layer 0", "layer 1"]
    assert layers[1].end_ps == sum(run.end_ps for run in found.units[0].runs)
    records = sum(int((run.stage_end_ps > run.stage_begin_ps).sum()) for run in found.units[0].runs)
    assert timeline.slices == records + 2
    assert timeline.tracks[0].path[0] == f"{unit}, sequence 64"
    assert trace_bytes(timeline)


def test_a_gpu_has_no_heads_to_show() -> None:
    timeline = attention_timeline(compare_attention(["a100_sxm4_80gb"], sequences=[64], heads=2), Sampling())
    assert timeline.slices == 0
    assert "a100_sxm4_80gb is a GPU" in timeline.notes[0]
