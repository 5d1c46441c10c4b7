"""Sweeps: every point once, in order, resumed, with failures told."""

import json
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import ResultError, UserError
from accelsim.explore.sweep import (
    Point,
    Record,
    Sweep,
    SweepRun,
    evaluate_point,
    make_point,
    read_results,
    read_sweep,
    run,
    run_sweep,
)
from accelsim.explore.sweep.store import FORMAT, Store
from accelsim.explore.sweep.tables import frame_of, write_tables
from accelsim.results.schema import SWEEP_SCHEMA
from tests.explore.sweep_cases import GRID, HEAD, Counted, made_up, written


@pytest.fixture
def tiles(tmp_path: Path) -> Sweep:
    return read_sweep(written(tmp_path, HEAD + GRID))


def test_every_point_once_in_order(tiles: Sweep) -> None:
    counted = Counted()
    found = run_sweep(tiles, evaluate=counted)
    expected = [(m, n) for m in (64, 128) for n in (64, 128, 256)]
    assert counted.seen == expected
    assert [(record["mapping.tile_m"], record["mapping.tile_n"]) for record in found.records] == expected
    assert len(tiles) == 6
    assert len(found.failed) == 3


def test_document_follows_the_schema(tiles: Sweep) -> None:
    found = run_sweep(tiles, evaluate=made_up)
    document = json.loads(found.to_json())
    assert document == json.loads(json.dumps(found.document()))
    jsonschema.validate(document, SWEEP_SCHEMA)
    assert document["points"][0]["mapping.tile_m"] == 64
    assert document["points"][0]["latency_us"] == 1e4 / 64 + 64
    assert document["points"][2]["error"] == "does not fit"
    assert json.loads(SweepRun("none", (), ()).to_json())["points"] == []


def test_frame_keeps_whole_numbers_whole(tiles: Sweep, tmp_path: Path) -> None:
    run_sweep(tiles, tmp_path / "out", evaluate=made_up)
    lines = (tmp_path / "out/points.csv").read_text().splitlines()
    assert lines[0] == "mapping.tile_m,mapping.tile_n,error,config_hash,latency_us,cycles"
    assert lines[1].endswith(",220.25,4096")
    assert lines[3].startswith("64,256,does not fit,")
    assert lines[3].endswith(",,")
    frame = pd.read_parquet(tmp_path / "out/points.parquet")
    assert frame["cycles"].dtype == "Int64"
    assert frame["cycles"].isna().sum() == 3


@settings(deadline=None, max_examples=20)
@given(st.lists(st.fixed_dictionaries({"x": st.sampled_from([1, 2.5, "a", None, True])}), min_size=1, max_size=7))
def test_tables_written_in_pieces_are_those_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, rows: object
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    records = [{**row, "error": None} for row in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("accelsim.explore.sweep.tables._PIECE", 2)
        write_tables(folder, records, ["x"])
    whole = frame_of(records, ["x"])
    assert (folder / "points.csv").read_text() == whole.to_csv(index=False)
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "points.parquet"), whole)


def test_a_sweep_resumes(tiles: Sweep, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_sweep(tiles, tmp_path / "out", evaluate=Counted(stop_after=4))
    assert len(read_results(tmp_path / "out").records) == 4
    rest = Counted()
    progress: list[tuple[int, int]] = []
    found = run_sweep(tiles, tmp_path / "out", evaluate=rest, progress=lambda *counts: progress.append(counts))
    # (128, 64) was our mistake, so it is tried again; (64, 256) was the user's, so it is not.
    assert rest.seen == [(128, 64), (128, 128), (128, 256)]
    assert progress == [(3, 6), (4, 6), (5, 6), (6, 6)]
    assert found.records == run_sweep(tiles, evaluate=made_up).records
    again = Counted(lambda point: {**made_up(point), "error": None})
    mended = run_sweep(tiles, tmp_path / "out", evaluate=again)
    assert again.seen == [(128, 64)]
    assert mended.records[3]["error"] is None
    last = Counted()
    assert run_sweep(tiles, tmp_path / "out", evaluate=last).records == mended.records
    assert last.seen == []


def test_the_fastest_point_is_told(tiles: Sweep, tmp_path: Path) -> None:
    seen: list[Record] = []
    run_sweep(tiles, tmp_path / "out", evaluate=made_up, watch=seen.append)
    assert [record["latency_us"] for record in seen] == [220.25, 206.125]
    assert run_sweep(tiles, tmp_path / "out", evaluate=made_up, watch=seen.append).records[4] == seen[1]
    assert len(seen) == 2


def test_equal_sweeps_write_equal_tables(tiles: Sweep, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        run_sweep(tiles, tmp_path / folder, evaluate=made_up)
    names = ("sweep.json", "points.csv", "points.parquet")
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)


def test_another_sweep_is_refused(tiles: Sweep, tmp_path: Path) -> None:
    before = run_sweep(tiles, tmp_path / "out", evaluate=made_up).records
    other = read_sweep(written(tmp_path, HEAD + "seed: 1\n" + GRID, "other.yaml"))
    with pytest.raises(ResultError, match=r"another sweep \(seed differ"):
        run_sweep(other, tmp_path / "out", evaluate=made_up)
    named = read_sweep(written(tmp_path, HEAD + "name: other\ndescription: the same\n" + GRID, "named.yaml"))
    assert run_sweep(named, tmp_path / "out", evaluate=made_up).name == "other"
    assert read_results(tmp_path / "out").records == before


def test_results_of_changed_files_are_refused(tmp_path: Path) -> None:
    text = HEAD.replace("gemm_1024", "./mine.yaml") + "grid: {mapping.tile_m: [64], mapping.tile_n: [64]}\n"
    written(tmp_path, "kind: gemm\nm: 3\nn: 4\nk: 5\n", "mine.yaml")
    file = written(tmp_path, text)
    run_sweep(read_sweep(file), tmp_path / "out", evaluate=made_up)
    written(tmp_path, "kind: gemm\nm: 3\nn: 4\nk: 60\n", "mine.yaml")
    with pytest.raises(ResultError, match="files that have changed since"):
        run_sweep(read_sweep(file), tmp_path / "out", evaluate=made_up)


def test_a_store_of_another_version_is_refused_and_kept(tiles: Sweep, tmp_path: Path) -> None:
    run_sweep(tiles, tmp_path / "out", evaluate=made_up)
    with sqlite3.connect(tmp_path / "out/points.sqlite") as database:
        database.execute(f"PRAGMA user_version = {FORMAT + 1}")
    database.close()
    before = (tmp_path / "out/points.sqlite").read_bytes()
    for act in (lambda: run_sweep(tiles, tmp_path / "out"), lambda: read_results(tmp_path / "out")):
        with pytest.raises(ResultError, match=f"format {FORMAT + 1}; this accelsim keeps sweeps in format {FORMAT}"):
            act()
    assert (tmp_path / "out/points.sqlite").read_bytes() == before


def test_results_of_another_accelsim_are_refused(tiles: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_sweep(tiles, tmp_path / "out", evaluate=made_up)
    monkeypatch.setattr(run, "version", lambda name: "99.0")
    with pytest.raises(ResultError, match=r"a sweep of accelsim \S+, and this is 99.0"):
        run_sweep(tiles, tmp_path / "out", evaluate=made_up)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("thesis.tex", b"", r"something else \(thesis.tex\)"),
        ("points.jsonl", b"{}\n", "a sweep of an older accelsim"),
        ("points.sqlite", b"no database" * 99, "cannot be read as a sweep"),
    ],
)
def test_something_else_is_refused(tiles: Sweep, tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_bytes(content)
    with pytest.raises(ResultError, match=told):
        run_sweep(tiles, tmp_path / "out", evaluate=made_up)
    assert (tmp_path / "out" / name).read_bytes() == content


def test_a_database_of_something_else_is_refused(tiles: Sweep, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with sqlite3.connect(tmp_path / "out/points.sqlite") as database:
        database.execute("CREATE TABLE mine (a INTEGER)")
    database.close()
    with pytest.raises(ResultError, match="a database of something else"):
        run_sweep(tiles, tmp_path / "out", evaluate=made_up)
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="cannot keep a sweep"):
        run_sweep(tiles, tmp_path / "file", evaluate=made_up)
    with pytest.raises(ResultError, match="holds no sweep"):
        read_results(tmp_path)


def test_a_folder_in_use_is_refused(tiles: Sweep, tmp_path: Path) -> None:
    with Store.open(tmp_path / "out", run.identity(tiles), tiles.axes) as store:
        points = [make_point(tiles, tiles.at(0), 0)]
        store.add(points, [made_up(points[0])])
        code = (
            "import sys\nfrom accelsim.errors import ResultError\nfrom accelsim.explore.sweep import *\n"
            "try: run_sweep(read_sweep(sys.argv[1]), sys.argv[2])\nexcept ResultError as error: print(error)\n"
        )
        words = [sys.executable, "-c", code, str(tmp_path / "tiles.yaml"), str(tmp_path / "out")]
        other = subprocess.run(words, capture_output=True, text=True, check=True)
        assert "another sweep is running in" in other.stdout
        assert len(read_results(tmp_path / "out").records) == 1
    assert len(run_sweep(tiles, tmp_path / "out", evaluate=made_up).records) == 6


def test_a_full_disk_is_told_and_keeps_what_was_there(tiles: Sweep, tmp_path: Path) -> None:
    long = "long " * 400
    store = Store.open(tmp_path / "out", run.identity(tiles), tiles.axes)
    store._database.execute(f"PRAGMA max_page_count = {store._count('PRAGMA page_count') + 2}")
    points = [make_point(tiles, chosen, position) for position, chosen in enumerate(tiles.settings())]
    kept = 0

    def fill() -> None:
        nonlocal kept
        for point in points:
            store.add([point], [{**made_up(point), "error": long}])
            kept += 1

    with pytest.raises(ResultError, match="the disk is full; points recorded before are kept"):
        fill()
    assert len(store.records()) == kept > 0
    store.close()
    assert len(read_results(tmp_path / "out").records) == kept
    resumed = run_sweep(tiles, tmp_path / "out", evaluate=made_up)
    assert [record["error"] == long for record in resumed.records] == [True] * kept + [False] * (6 - kept)


def test_an_executor_gives_the_same(tiles: Sweep, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as executor:
        found = run_sweep(tiles, tmp_path / "out", executor=executor, evaluate=made_up)
    assert found.records == run_sweep(tiles, evaluate=made_up).records


def test_a_point_whose_config_is_wrong_is_recorded(tmp_path: Path) -> None:
    axes = read_sweep(written(tmp_path, HEAD + "grid: {mapping.tile_m: [-1, 64]}\n"))
    points = [make_point(axes, values) for values in axes.settings()]
    record = evaluate_point(points[0])
    assert "must be greater than 0" in str(record["error"])
    assert record["config_hash"] is None
    assert points[0].key != points[1].key


@pytest.mark.parametrize(
    ("error", "told"), [(UserError("too large"), "too large"), (KeyError(3), "internal error: KeyError: 3")]
)
def test_errors_of_a_run_become_records(
    tiles: Sweep, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    def fail(point: Point) -> object:
        raise error

    monkeypatch.setattr(Point, "config", fail)
    assert evaluate_point(make_point(tiles, tiles.at(0)))["error"] == told


def test_mixed_axes_become_text() -> None:
    frame = frame_of([{"x": "auto", "error": None}, {"x": 3, "error": None}, {"x": None, "error": "no"}], ["x"])
    assert frame["x"].tolist()[:2] == ["auto", "3"]
    assert frame["x"].isna().tolist() == [False, False, True]


def test_sweep_run_names_its_failures() -> None:
    found = SweepRun("x", ("a",), ({"a": 1, "error": None}, {"a": 2, "error": "no"}))
    assert [record["a"] for record in found.failed] == [2]
