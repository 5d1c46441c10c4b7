"""Traces read back with Perfetto's own bindings: what was written, in nanoseconds, and equal to the run's tables."""

import os
import shutil
import subprocess
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accelsim
from accelsim.errors import ResultError
from accelsim.results import Result
from accelsim.results.timeline import Counter, Slice, Timeline, Track, depths
from accelsim.show.trace import nanoseconds, trace_bytes, write_trace
from tests.show.read_back import ReadBack


@st.composite
def nested(draw: st.DrawFn, begin: int = 0, end: int = 50_000, depth: int = 0) -> list[Slice]:
    """Slices apart or within one another, down to three levels, of lengths around a nanosecond."""
    edges = sorted(draw(st.lists(st.integers(begin, end), max_size=6)))
    slices = []
    for low, high in zip(edges[::2], edges[1::2], strict=False):
        about = draw(st.sampled_from([(), (("bytes", 3), ("share", 0.5), ("tile", "64x64"))]))
        slices.append(Slice(low, high, draw(st.sampled_from("abc")), about))
        if depth < 2:
            slices += draw(nested(begin=low, end=high, depth=depth + 1))
    return sorted(slices, key=lambda one: (one.begin_ps, -one.end_ps))


@settings(deadline=None, max_examples=80)
@given(st.lists(nested(), min_size=1, max_size=3))
def test_what_is_written_is_read(tracks: list[list[Slice]]) -> None:
    timeline = Timeline(
        tuple(Track(("run", "group", f"track {i}"), tuple(some)) for i, some in enumerate(tracks)),
        (Counter(("run", "busy"), "%", ((0, 12.5), (1_499, 0.0))),),
        notes=("something is left out",),
    )
    found = ReadBack(trace_bytes(timeline))
    for track in timeline.tracks:
        expected = [(begin, end, one.name, dict(one.about)) for begin, end, one in nanoseconds(track.slices)]
        assert sorted(map(str, found.slices[track.path])) == sorted(map(str, expected))
        depths([Slice(begin, end, name) for begin, end, name, _ in expected])
    assert found.counters == {("run", "busy"): [(0, 12.5), (1, 0.0)]}
    assert found.notes == ["something is left out"]


@cache
def traced(scheme: str) -> Result:
    """A small encoder whose every SM is shown."""
    return accelsim.run("a100_hdp", "bert_tiny", scheme=scheme, trace=accelsim.Sampling(sms=None))  # type: ignore[arg-type]


def by_cause(slices: list[tuple[int, str, dict[str, object]]]) -> tuple[dict[str, int], dict[str, int]]:
    """Time of each cause, and slices that it is from."""
    time: dict[str, int] = defaultdict(int)
    count: dict[str, int] = defaultdict(int)
    for length, name, about in slices:
        parts = {key.removesuffix("_ps"): int(str(ps)) for key, ps in about.items()} or {name: length}
        for cause, ps in parts.items():
            time[cause] += ps
            count[cause] += 1
    return time, count


@pytest.mark.parametrize("scheme", ["dense", "tile_wise+hdp"])
def test_every_cause_of_a_whole_timeline_is_that_of_the_account(scheme: str) -> None:
    """To a picosecond for each slice; to a nanosecond for each in the file."""
    result = traced(scheme)
    assert result.timeline is not None
    account = result.account[result.account["device"] == "gpu"].set_index("cause")["time_total_ps"]
    cores = result.timeline.find("tensor core").tracks
    assert len(cores) == 108
    inside = [(one.end_ps - one.begin_ps, one.name, dict(one.about)) for track in cores for one in track.slices]
    written = ReadBack(trace_bytes(result.timeline)).slices
    outside = [
        (1000 * (end - begin), name, about)
        for path, some in written.items()
        for begin, end, name, about in some
        if path[-1] == "tensor core"
    ]
    exact, count = by_cause(inside)
    for time, grain in ((exact, 2), (by_cause(outside)[0], 1000)):
        for cause in account.index.drop("other_unit"):
            assert abs(time[cause] - account[cause]) <= grain * count[cause], cause


def test_tensor_cores_of_a_large_product_agree_closely_in_the_file() -> None:
    result = accelsim.run("v100_pcie", "gemm_1024", values=False, trace=accelsim.Sampling(sms=None))
    read = ReadBack(trace_bytes(result.timeline)).slices
    some = [
        (1000 * (e - b), name, about)
        for path, one in read.items()
        if path[-1] == "tensor core"
        for b, e, name, about in one
    ]
    account = result.account.set_index("cause")["time_total_ps"]
    assert by_cause(some)[0]["compute"] == pytest.approx(account["compute"], rel=1e-3)


def test_a_power_limit_stands_behind_the_work_that_it_slows() -> None:
    sets = ("hardware.gpu.power.limit=60 W", "hardware.gpu.power.time_constant=1 us")
    result = accelsim.run("v100_pcie", "gemm_1024", values=False, sets=sets, trace=accelsim.Sampling(sms=None))
    assert result.timeline is not None
    cores = result.timeline.find("tensor core").tracks
    limited = result.account.set_index("cause").loc["power_limit", "time_total_ps"]
    assert sum(track.slices[-1].end_ps - track.slices[-1].begin_ps for track in cores) == limited > 0
    assert {track.slices[-1].name for track in cores} == {"power_limit"}
    assert {track.slices[-1].end_ps for track in cores} == {result.timeline.find("kernels").tracks[0].slices[0].end_ps}


@pytest.mark.parametrize("scheme", ["dense", "tile_wise+hdp"])
def test_kernels_copies_and_attention_are_those_of_the_table(scheme: str) -> None:
    result, tracks = traced(scheme), {"gpu": "kernels", "link": "link", "attention_unit": "operations"}
    read = ReadBack(trace_bytes(result.timeline)).slices
    for device, rows in result.kernels.groupby("device"):
        some = next(slices for path, slices in read.items() if path[-1] == tracks[str(device)])
        expected = [
            (round(begin * 1000), round(end * 1000), name)
            for begin, end, name in zip(rows["begin_us"], rows["end_us"], rows["name"], strict=True)
        ]
        assert [one[:3] for one in some] == expected


def test_stages_of_heads_lie_within_their_operation_and_row_blocks_within_them() -> None:
    timeline = traced("tile_wise+hdp").timeline
    assert timeline is not None
    operations = timeline.find("operations").tracks[0].slices
    stages = [track for track in timeline.find("attention unit").tracks if track.path[2].startswith("core")]
    assert {track.path[-1] for track in stages} >= {"load", "integer scores", "cross", "softmax", "values", "write"}
    for track in stages:
        for one, depth in zip(track.slices, depths(track.slices), strict=True):
            assert one.name.startswith(("head", "row block")[depth])
            assert any(outer.begin_ps <= one.begin_ps and one.end_ps <= outer.end_ps for outer in operations)


def test_use_of_servers_is_a_share() -> None:
    for counter in traced("dense").timeline.counters:
        values = [value for _, value in counter.samples]
        assert 0 < max(values) <= 100
        assert min(values) == values[-1] == 0


def test_sampling_and_its_limit_bound_the_file() -> None:
    def run(sms: int, limit: int) -> Timeline:
        sampling = accelsim.Sampling(sms, limit)
        timeline = accelsim.run("v100_pcie", "gemm_1024", values=False, trace=sampling).timeline
        assert timeline is not None
        return timeline

    small, whole = run(2, 15), run(2, 10_000)
    assert {track.path[2] for track in whole.tracks if track.path[2].startswith("SM")} == {"SM 0", "SM 40"}
    assert small.slices <= 15
    assert small.slices + small.left_out == whole.slices
    assert len(trace_bytes(small)) < len(trace_bytes(whole))
    assert any("no details from" in note for note in ReadBack(trace_bytes(small)).notes)


def test_equal_runs_are_equal_bytes_and_a_trace_changes_nothing() -> None:
    again = accelsim.run("a100_hdp", "bert_tiny", trace=accelsim.Sampling(sms=None))
    assert trace_bytes(again.timeline) == trace_bytes(traced("dense").timeline)
    plain = accelsim.run("a100_hdp", "bert_tiny")
    assert plain.timeline is None
    assert plain.to_json() == again.to_json()


def test_the_closed_form_tells_kernels_alone() -> None:
    timeline = accelsim.run(
        "v100_pcie", "gemm_1024", values=False, engine="estimate", trace=accelsim.Sampling()
    ).timeline
    assert timeline is not None
    assert [track.path[-1] for track in timeline.tracks] == ["kernels"]
    assert "the closed form tells no thread blocks" in timeline.notes[0]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="cannot be written"):
        write_trace(Timeline(()), tmp_path)


def test_the_trace_processor_finds_the_same(tmp_path: Path) -> None:
    shell = (
        os.environ.get("TRACE_PROCESSOR") or shutil.which("trace_processor_shell") or shutil.which("trace_processor")
    )
    if shell is None:
        pytest.skip("no trace_processor_shell in PATH, and TRACE_PROCESSOR names none")
    result = traced("tile_wise+hdp")
    file = write_trace(result.timeline, tmp_path / "run.pftrace")
    (tmp_path / "query.sql").write_text(
        "select count(*), sum(dur) from slice join track on slice.track_id = track.id where track.name = 'kernels';"
    )
    answer = subprocess.run(
        [shell, "-q", str(tmp_path / "query.sql"), str(file)], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    rows = result.kernels[result.kernels["device"] == "gpu"]
    length = sum(
        round(1000 * end) - round(1000 * begin) for begin, end in zip(rows["begin_us"], rows["end_us"], strict=True)
    )
    assert f"{len(rows)},{length}" in answer.replace(" ", "")
