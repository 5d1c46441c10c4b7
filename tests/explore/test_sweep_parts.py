"""Parts of sweeps alone: ranges, conditions, chunks, memory, records, and the command that shows them."""

import io
import json
import math
import random
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.cli import main
from accelsim.errors import ConfigError
from accelsim.explore.sweep import Record, make_point, read_sweep, run_sweep
from accelsim.explore.sweep.axes import axis_values
from accelsim.explore.sweep.nursery import one_thread
from accelsim.explore.sweep.points import Chunk, chunk_size, evaluate_chunk
from accelsim.explore.sweep.select import keys_of, parse_where, select
from accelsim.explore.sweep.workers import LocalProcesses, available_memory, default_workers, operand_bytes
from accelsim.results.schema import SWEEP_SCHEMA
from tests.explore.sweep_cases import GRID, HEAD, made_up, written


@settings(deadline=None, max_examples=60)
@given(st.floats(1e-3, 1e3), st.floats(1.1, 1e3), st.integers(2, 40), st.booleans())
def test_ranges_go_from_end_to_end(first: float, factor: float, points: int, down: bool) -> None:
    ends = [first, first * factor][:: -1 if down else 1]
    for spacing in ("log", "linear"):
        values = axis_values({spacing: ends, "points": points})
        assert len(values) == points
        assert values[0] == pytest.approx(ends[0])
        assert values[-1] == pytest.approx(ends[1])
        scale = [math.log(v) if spacing == "log" else v for v in values]  # type: ignore[arg-type]
        steps = [right - left for left, right in zip(scale, scale[1:], strict=False)]  # noqa: RUF007
        assert steps == pytest.approx([steps[0]] * len(steps), rel=1e-6, abs=1e-9)


def test_ranges_of_whole_numbers_and_of_quantities() -> None:
    assert axis_values({"log": [64, 1024], "points": 5}) == [64, 128, 256, 512, 1024]
    assert axis_values({"log": [100, 1000], "points": 4, "multiple_of": 8}) == [96, 216, 464, 1000]
    assert axis_values({"linear": ["1 GHz", "2 GHz"], "points": 3}) == ["1 GHz", "1.5 GHz", "2 GHz"]
    assert axis_values({"linear": [0, 1.0], "points": 3}) == [0.0, 0.5, 1.0]
    assert axis_values([1, "a", None]) == [1, "a", None]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (3, "needs a list, or a range"),
        ({"points": 3}, "one of log and linear"),
        ({"log": [1, 2], "linear": [1, 2], "points": 3}, "one of log and linear"),
        ({"log": [1, 2], "pints": 3}, "unknown key 'pints'"),
        ({"log": [1, 8]}, "points is None"),
        ({"log": [1, 8], "points": 1}, "at least 2"),
        ({"log": [1, 8], "points": True}, "at least 2"),
        ({"log": [0, 8], "points": 3}, "must be positive"),
        ({"log": [1, 2, 3], "points": 3}, "from one end to another"),
        ({"log": ["1 GHz", "2 MHz"], "points": 3}, "different units, GHz and MHz"),
        ({"log": ["fast", "2 MHz"], "points": 3}, "numbers or quantities"),
        ({"linear": [1, 3], "points": 9}, "fall together"),
        ({"linear": [1.5, 3], "points": 2, "multiple_of": 8}, "whole numbers"),
    ],
)
def test_ranges_that_are_none(given: object, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        axis_values(given)


RECORDS: list[Record] = [
    {"scheme": "dense", "error": None, "latency_us": 3.0, "m": 64, "values": True},
    {"scheme": "tile wise", "error": None, "latency_us": 1.5, "m": 128, "values": False},
    {"scheme": "hdp", "error": "does not fit", "m": 256, "values": True},
]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("latency_us < 2", [1]),
        ("latency_us<=3 and m>=64", [0, 1]),
        ("error = null", [0, 1]),
        ("error != null", [2]),
        ("scheme == 'tile wise'", [1]),
        ("scheme != dense and m != 256", [1]),
        ("values = true", [0, 2]),
        ("m = 128.0", [1]),
        ('scheme > "e"', [1, 2]),
    ],
)
def test_conditions(where: str, found: list[int]) -> None:
    assert select(RECORDS, parse_where(where, keys_of(RECORDS))) == [RECORDS[index] for index in found]


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("", "of the form"),
        ("latency_us", "of the form"),
        ("latency_us < 2 or m = 3", "of the form"),
        ("latency_us < 2 and", "of the form"),
        ("latency_us < < 2", "of the form"),
        ("__import__('os').system('false')", "of the form|cannot be read"),
        ("latency < 2", "did you mean 'latency_us'"),
        ("error < null", "can only be"),
        ("scheme = 'open", "cannot be read from"),
        ("scheme < 2", "cannot be <"),
    ],
)
def test_conditions_that_are_none(where: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        select(RECORDS, parse_where(where, keys_of(RECORDS)))


VALUES = st.one_of(st.none(), st.integers(-9, 9), st.floats(-9, 9), st.sampled_from(["a", "b"]))


@settings(deadline=None, max_examples=100)
@given(st.lists(VALUES, max_size=12), st.booleans(), st.integers(1, 12))
def test_sorting(values: list[float | str | None], descending: bool, limit: int) -> None:
    records: list[Record] = [{"x": value, "index": index} for index, value in enumerate(values)]
    found = select(records, (), "x", descending)
    assert select(records, (), "x", descending, limit) == found[:limit]
    assert sorted(record["index"] for record in found) == list(range(len(values)))  # type: ignore[type-var]
    keys = [(value is None, isinstance(value, str), value) for value in (record["x"] for record in found)]
    present = [key[1:] for key in keys if not key[0]]
    assert keys[len(present) :] == [(True, False, None)] * (len(keys) - len(present))
    assert present == sorted(present, reverse=descending)


@settings(deadline=None, max_examples=100)
@given(st.floats(0, 100), st.integers(1, 10**6), st.integers(1, 256))
def test_chunks_are_small_towards_the_end(seconds: float, remaining: int, workers: int) -> None:
    size = chunk_size(seconds, remaining, workers)
    assert 1 <= size <= 64
    assert size <= max(1, -(-remaining // (4 * workers)))
    assert size == 1 or size * seconds <= 0.5
    assert chunk_size(None, remaining, workers) == 1


def test_another_version_is_refused(tmp_path: Path) -> None:
    sweep = read_sweep(written(tmp_path, HEAD + GRID))
    chunk = Chunk((make_point(sweep, sweep.at(0)),), made_up, version="0.0.0")
    with pytest.raises(ConfigError, match="install one version on all"):
        evaluate_chunk(chunk)


def test_memory_is_that_of_the_machine_or_of_the_group(tmp_path: Path) -> None:
    assert available_memory(tmp_path) is None
    for name, text in (
        ("proc/meminfo", "MemTotal: 9000 kB\nMemAvailable: 4000 kB\n"),
        ("sys/fs/cgroup/memory.max", "2000000\n"),
        ("sys/fs/cgroup/memory.current", "500000\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert available_memory(tmp_path) == 1_500_000
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert available_memory(tmp_path) == 4000 * 1024


def test_workers_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: range(16), raising=False)
    for free, operands, workers in ((None, 0, 16), (4 * 2**30, 0, 6), (2**20, 0, 1), (8 * 2**30, 2**30, 1)):
        monkeypatch.setattr("accelsim.explore.sweep.workers.available_memory", lambda free=free: free)
        assert default_workers(operands) == workers


def test_operands_are_those_of_the_largest_workload(tmp_path: Path) -> None:
    gemm = 4 * 2 * 1024**2
    text = HEAD + "grid:\n  seed: [0]\n"
    assert operand_bytes(read_sweep(written(tmp_path, text))) == 0
    assert operand_bytes(read_sweep(written(tmp_path, text.replace("false", "true")))) == gemm
    both = text.replace("false", "true") + "  workload: [gemm_1024, gemm_4096]\n"
    assert operand_bytes(read_sweep(written(tmp_path, both))) == 16 * gemm


def test_threads_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with one_thread():
        assert (os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"]) == ("1", "1")
    assert os.environ["OMP_NUM_THREADS"] == "5"
    assert "MKL_NUM_THREADS" not in os.environ


def loaded(_: int) -> tuple[int, str, bool, int]:
    """Of a worker: its process, its threads, whether it has kernels without having run anything, and its parent."""
    import os
    import sys

    known = "accelsim.machine.gemm.event_core" in sys.modules
    return os.getpid(), os.environ["NUMBA_NUM_THREADS"], known, os.getppid()


def test_workers_come_from_one_process_that_has_loaded_what_points_need() -> None:
    import os

    team = LocalProcesses(2)
    try:
        found = list(team.executor.map(loaded, range(40)))
    finally:
        team.close(now=True)
    assert {threads for _, threads, _, _ in found} == {"1"}
    assert all(known for _, _, known, _ in found)
    parents = {parent for _, _, _, parent in found}
    assert len(parents) == 1
    assert os.getpid() not in parents


@pytest.fixture
def folder(tmp_path: Path) -> str:
    run_sweep(read_sweep(written(tmp_path, HEAD + GRID)), tmp_path / "out", evaluate=made_up)
    return str(tmp_path / "out")


def test_results_as_json(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", folder, "--sort", "latency_us", "--where", "error = null", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, SWEEP_SCHEMA)
    assert [point["latency_us"] for point in document["points"]] == [206.125, 220.25, 284.25]
    assert document["points"][0]["mapping.tile_m"] == 128


def test_results_as_csv_and_as_a_table(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", folder, "--csv"]) == 0
    printed = capsys.readouterr().out
    assert printed == (Path(folder) / "points.csv").read_text()
    assert len(pd.read_csv(io.StringIO(printed))) == 6
    assert main(["results", folder, "--sort", "latency_us", "--descending", "--limit", "2"]) == 0
    assert "out: the first 2 of 6 points" in capsys.readouterr().out
    assert main(["results", folder, "--where", "error != null"]) == 0
    assert "does not fit" in capsys.readouterr().out
    assert main(["results", folder, "--where", "latency_us < 0"]) == 0
    assert "out: 0 of 6 points" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--csv", "--json"], "give one of them"),
        (["--sort", "latency"], "did you mean 'latency_us'"),
        (["--where", "cycles"], "of the form"),
    ],
)
def test_results_that_cannot_be(folder: str, capsys: pytest.CaptureFixture[str], words: list[str], told: str) -> None:
    assert main(["results", folder, *words]) == 2
    assert told in capsys.readouterr().err


def test_no_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", str(tmp_path)]) == 2
    assert "holds no sweep" in capsys.readouterr().err


def test_points_in_any_order_make_the_same_table(tmp_path: Path) -> None:
    from accelsim.explore.sweep.run import identity
    from accelsim.explore.sweep.store import Store

    sweep = read_sweep(written(tmp_path, HEAD + GRID))
    points = [make_point(sweep, sweep.at(position), position) for position in range(len(sweep))]
    random.Random(1).shuffle(points)
    with Store.open(tmp_path / "out", identity(sweep), sweep.axes) as store:
        store.add(points, map(made_up, points))
        assert store.records() == run_sweep(sweep, evaluate=made_up).records
        assert store.records()[-1]["mapping.tile_n"] == 256
        assert [record["mapping.tile_n"] for record in store.records()[1:3]] == [128, 256]
