"""Sweeps: every point once, in order, resumed, with failures told."""

import json
import sys
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.cli import main
from accelsim.errors import ConfigError, ResultError, UserError
from accelsim.explore import SweepRun, read_sweep, run_sweep
from accelsim.explore.sweep import Point, evaluate_point, make_point
from accelsim.explore.sweep import run as sweep
from accelsim.explore.sweep.records import Record, frame_of
from accelsim.explore.sweep.spec import Sweep, SweepSpec
from accelsim.results.schema import SWEEP_SCHEMA
from tests.results.examples import example

HEAD = "kind: sweep\nhardware: v100_pcie\nworkload: gemm_1024\nvalues: false\n"
GRID = "grid:\n  mapping.tile_m: [64, 128]\n  mapping.tile_n: [64, 128, 256]\n"


def written(folder: Path, text: str, name: str = "tiles.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.fixture
def tiles(tmp_path: Path) -> Sweep:
    return read_sweep(written(tmp_path, HEAD + GRID))


def made_up(point: Point) -> Record:
    """Stands in for a run: latency from the settings alone; a tile of 256 does not fit, one of 128 x 64 breaks us."""
    record: Record = {**point.settings, "error": None, "config_hash": point.key}
    m, n = point.settings["mapping.tile_m"], point.settings["mapping.tile_n"]
    assert isinstance(m, int)
    assert isinstance(n, int)
    if n == 256:
        return record | {"error": "does not fit"}
    if (m, n) == (128, 64):
        return record | {"error": "internal error: KeyError: 3"}
    return record | {"latency_us": 1e4 / m + n, "cycles": m * n}


def pipeline(monkeypatch: pytest.MonkeyPatch, run_config: Callable[[object], object]) -> None:
    """Puts `run_config` in the place of the real one, whose kernels these tests need not load."""
    module = types.ModuleType("accelsim.pipeline")
    module.run_config = run_config  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "accelsim.pipeline", module)


class Counted:
    """Counts how often each point is run."""

    def __init__(self, evaluate: Callable[[Point], Record] = made_up, stop_after: int | None = None) -> None:
        self.evaluate = evaluate
        self.stop_after = stop_after
        self.seen: list[tuple[object, ...]] = []

    def __call__(self, point: Point) -> Record:
        if self.stop_after is not None and len(self.seen) == self.stop_after:
            raise KeyboardInterrupt
        self.seen.append(tuple(point.settings.values()))
        return self.evaluate(point)


def test_every_point_once_in_order(tiles: Sweep) -> None:
    counted = Counted()
    run = run_sweep(tiles, evaluate=counted)
    expected = [(m, n) for m in (64, 128) for n in (64, 128, 256)]
    assert counted.seen == expected
    assert [(record["mapping.tile_m"], record["mapping.tile_n"]) for record in run.records] == expected
    assert len(tiles) == 6
    assert len(run.failed) == 3


def test_document_follows_the_schema(tiles: Sweep) -> None:
    run = run_sweep(tiles, evaluate=made_up)
    document = json.loads(run.to_json())
    jsonschema.validate(document, SWEEP_SCHEMA)
    assert document["points"][0]["mapping.tile_m"] == 64
    assert document["points"][0]["latency_us"] == 1e4 / 64 + 64
    assert document["points"][2]["error"] == "does not fit"


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


def test_a_sweep_resumes(tiles: Sweep, tmp_path: Path) -> None:
    interrupted = Counted(stop_after=4)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(tiles, tmp_path / "out", evaluate=interrupted)
    assert len((tmp_path / "out/points.jsonl").read_text().splitlines()) == 4
    rest = Counted()
    progress: list[tuple[int, int]] = []
    run = run_sweep(tiles, tmp_path / "out", evaluate=rest, progress=lambda *counts: progress.append(counts))
    # (128, 64) was our mistake, so it is tried again; (64, 256) was the user's, so it is not.
    assert rest.seen == [(128, 64), (128, 128), (128, 256)]
    assert progress == [(3, 6), (4, 6), (5, 6), (6, 6)]
    assert run.records == run_sweep(tiles, evaluate=made_up).records
    again = Counted(lambda point: {**made_up(point), "error": None})
    mended = run_sweep(tiles, tmp_path / "out", evaluate=again)
    assert again.seen == [(128, 64)]
    assert mended.records[3]["error"] is None
    last = Counted()
    assert run_sweep(tiles, tmp_path / "out", evaluate=last).records == mended.records
    assert last.seen == []


def test_equal_sweeps_write_equal_bytes(tiles: Sweep, tmp_path: Path) -> None:
    names = ("sweep.json", "points.jsonl", "points.csv", "points.parquet")
    for folder in ("a", "b"):
        run_sweep(tiles, tmp_path / folder, evaluate=made_up)
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)


def test_a_line_that_was_cut_off_is_dropped(tiles: Sweep, tmp_path: Path) -> None:
    run_sweep(tiles, tmp_path / "out", evaluate=made_up)
    path = tmp_path / "out/points.jsonl"
    path.write_bytes(path.read_bytes()[:-10])
    rest = Counted()
    run = run_sweep(tiles, tmp_path / "out", evaluate=rest)
    assert (128, 256) in rest.seen
    assert run.records == run_sweep(tiles, evaluate=made_up).records
    for line in path.read_text().splitlines():
        json.loads(line)


def test_a_damaged_line_is_told(tiles: Sweep, tmp_path: Path) -> None:
    run_sweep(tiles, tmp_path / "out", evaluate=made_up)
    path = tmp_path / "out/points.jsonl"
    path.write_text("{}\n" + path.read_text())
    with pytest.raises(ResultError, match=r"points.jsonl:1: is no record"):
        run_sweep(tiles, tmp_path / "out", evaluate=made_up)


def test_another_sweep_is_refused(tiles: Sweep, tmp_path: Path) -> None:
    run_sweep(tiles, tmp_path / "out", evaluate=made_up)
    other = read_sweep(written(tmp_path, HEAD + "seed: 1\n" + GRID, "other.yaml"))
    with pytest.raises(ResultError, match=r"another sweep \(seed differ"):
        run_sweep(other, tmp_path / "out", evaluate=made_up)
    named = read_sweep(written(tmp_path, HEAD + "name: other\ndescription: the same\n" + GRID, "named.yaml"))
    assert run_sweep(named, tmp_path / "out", evaluate=made_up).name == "other"


def test_something_else_is_refused(tiles: Sweep, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("")
    with pytest.raises(ResultError, match=r"something else \(thesis.tex\)"):
        run_sweep(tiles, tmp_path / "out", evaluate=made_up)
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="cannot keep a sweep"):
        run_sweep(tiles, tmp_path / "file", evaluate=made_up)


def test_an_executor_gives_the_same(tiles: Sweep, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as executor:
        run = run_sweep(tiles, tmp_path / "out", executor=executor, evaluate=made_up)
    assert run.records == run_sweep(tiles, evaluate=made_up).records
    assert len((tmp_path / "out/points.jsonl").read_text().splitlines()) == 6


def test_zip_goes_in_step(tmp_path: Path) -> None:
    text = HEAD + "grid: {seed: [1, 2]}\nzip:\n  mapping.tile_m: [64, 128]\n  mapping.tile_n: [128, 64]\n"
    found = [tuple(point.values()) for point in read_sweep(written(tmp_path, text)).settings()]
    assert found == [(1, 64, 128), (1, 128, 64), (2, 64, 128), (2, 128, 64)]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 4), min_size=0, max_size=3), st.integers(0, 3))
def test_number_of_points(lengths: list[int], steps: int) -> None:
    grid = {f"mapping.a{index}": list(range(length)) for index, length in enumerate(lengths)}
    zipped = {name: list(range(steps)) for name in ("mapping.x", "mapping.y")} if steps else {}
    spec = SweepSpec(kind="sweep", hardware="a", workload="b", grid=grid, zip=zipped)
    found = [tuple(point.items()) for point in Sweep(spec, None).settings()]
    assert len(found) == len(set(found)) == len(Sweep(spec, None))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("grid: {mapping.tile_mm: [1]}\n", r"tiles.yaml:5: grid.mapping.tile_mm: unknown key 'tile_mm'; did you mean"),
        ("grid: {maping.tile_m: [1]}\n", r"tiles.yaml:5: grid.maping.tile_m: unknown axis"),
        ("grid: {mapping: [1]}\n", r"unknown axis 'mapping'"),
        ("grid:\n  mapping.tile_m: []\n", r"tiles.yaml:6: grid.mapping.tile_m: is empty"),
        ("grid:\n  mapping.tile_m: 3\n", r"tiles.yaml:6: .*needs a list"),
        ("grid:\n  mapping.tile_m: [1, [2]]\n", r"tiles.yaml:6: .*numbers, texts"),
        ("grid:\n  mapping.tile_m: [1, 2, 1]\n", r"tiles.yaml:6: .*1 stands twice"),
        ("zip:\n  mapping.tile_m: [1]\n  mapping.tile_n: [1, 2]\n", r"tiles.yaml:5: zip: lists must be of one length"),
        ("grid: {seed: [1]}\nzip: {seed: [1]}\n", r"tiles.yaml:6: zip.seed: stands in grid too"),
        ("seed: 3\n", r"has no axis"),
        ("gird: {}\n", r"tiles.yaml:5: .*unknown key 'gird'; did you mean 'grid'"),
        ("scheme: dens\ngrid: {seed: [1]}\n", r"tiles.yaml:5: .*did you mean 'dense'"),
        ("grid: {scheme: [dense, hpd]}\n", r"tiles.yaml:5: unknown scheme 'hpd'; did you mean 'hdp'"),
        ("grid: {hardware: [v100_pcie, v100]}\n", r"tiles.yaml:5: unknown name 'v100'; did you mean"),
        ("grid: {workload.m.x: [1]}\n", r"stands below a single value"),
        ("grid: {hardware.gpu.clok: [1 GHz]}\n", r"unknown key 'clok'; did you mean 'clock'"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read_sweep(written(tmp_path, HEAD + text))


def test_too_many_points(tmp_path: Path) -> None:
    values = list(range(1001))
    with pytest.raises(ConfigError, match="1002001 points"):
        read_sweep(written(tmp_path, HEAD + f"grid:\n  mapping.tile_m: {values}\n  workload.m: {values}\n"))


@pytest.mark.parametrize(
    "axis", ["hardware.clock: [1 GHz]", "hardware.gpu.tensor_core.fp16: [512]", "workload.m: [7]", "hdp.rho_b: [0.1]"]
)
def test_axes_are_paths_of_the_config(tmp_path: Path, axis: str) -> None:
    (point,) = [
        make_point(s, values)
        for s in [read_sweep(written(tmp_path, HEAD + f"grid: {{{axis}}}\n"))]
        for values in s.settings()
    ]
    assert point.problem is None
    assert point.config is not None


def test_names_are_axes_too(tmp_path: Path) -> None:
    text = HEAD + "zip:\n  hardware: [t4, a100_hdp]\n  scheme: [tile_wise, hdp]\n  workload: [gemm_1024, bert_tiny]\n"
    axes = read_sweep(written(tmp_path, text))
    configs = [make_point(axes, values).config for values in axes.settings()]
    assert [(c.hardware.name, c.scheme, c.workload.name) for c in configs if c is not None] == [
        ("t4", "tile_wise", "gemm_1024"),
        ("a100_hdp", "hdp", "bert_tiny"),
    ]


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    written(tmp_path / "sub", "kind: gemm\nm: 3\nn: 4\nk: 5\n", "mine.yaml")
    text = HEAD.replace("gemm_1024", "./mine.yaml") + "grid: {seed: [0]}\n"
    axes = read_sweep(written(tmp_path / "sub", text))
    point = make_point(axes, {"seed": 0})
    assert point.config is not None
    assert point.config.workload.name == "mine"


def test_a_point_whose_config_is_wrong_is_recorded(tmp_path: Path) -> None:
    axes = read_sweep(written(tmp_path, HEAD + "grid: {mapping.tile_m: [-1, 64]}\n"))
    points = [make_point(axes, values) for values in axes.settings()]
    assert [point.config is None for point in points] == [True, False]
    record = evaluate_point(points[0])
    assert "must be greater than 0" in str(record["error"])
    assert record["config_hash"] == points[0].key != points[1].key


@pytest.mark.parametrize(
    ("error", "told"), [(UserError("too large"), "too large"), (KeyError(3), "internal error: KeyError: 3")]
)
def test_errors_of_a_run_become_records(
    tiles: Sweep, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    def fail(config: object) -> object:
        raise error

    pipeline(monkeypatch, fail)
    record = evaluate_point(make_point(tiles, next(iter(tiles.settings()))))
    assert record["error"] == told


def test_a_record_holds_the_runs_summary(tiles: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline(monkeypatch, lambda config: example("hdp"))
    record = evaluate_point(make_point(tiles, next(iter(tiles.settings()))))
    assert record.items() >= example("hdp").summary.items()
    assert record["error"] is None
    assert record["mapping.tile_m"] == 64


def test_mixed_axes_become_text() -> None:
    frame = frame_of([{"x": "auto", "error": None}, {"x": 3, "error": None}, {"x": None, "error": "no"}], ["x"])
    assert frame["x"].tolist()[:2] == ["auto", "3"]
    assert frame["x"].isna().tolist() == [False, False, True]


def stand_in(monkeypatch: pytest.MonkeyPatch, evaluate: Callable[[Point], Record]) -> None:
    monkeypatch.setattr(sweep, "evaluate_point", evaluate)


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stand_in(monkeypatch, made_up)
    file = written(tmp_path, HEAD + GRID)
    assert main(["sweep", str(file), "--out", str(tmp_path / "out"), "--json"]) == 0
    captured = capsys.readouterr()
    jsonschema.validate(json.loads(captured.out), SWEEP_SCHEMA)
    assert "3 of 6 points failed" in captured.err
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"sweep.json", "points.jsonl", "points.csv", "points.parquet", "sweep.png", "sweep.svg"}
    assert main(["sweep", str(file), "--out", str(tmp_path / "out")]) == 0
    table = capsys.readouterr().out
    assert "tiles: 3 points" in table
    assert "220.2" in table
    assert main(["sweep", str(file), "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_command_when_every_point_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(monkeypatch, lambda point: {**point.settings, "error": "does not fit", "config_hash": point.key})
    assert main(["sweep", str(written(tmp_path, HEAD + GRID)), "--out", str(tmp_path / "out")]) == 2
    assert "all 6 points failed; the first: does not fit" in capsys.readouterr().err
    assert (tmp_path / "out/points.csv").exists()


def test_command_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in(monkeypatch, Counted(stop_after=2))
    assert main(["sweep", str(written(tmp_path, HEAD + GRID)), "--out", str(tmp_path / "out")]) == 130
    assert "the same command resumes" in capsys.readouterr().err
    assert len((tmp_path / "out/points.jsonl").read_text().splitlines()) == 2


def test_sweep_run_names_its_failures() -> None:
    run = SweepRun("x", ("a",), ({"a": 1, "error": None}, {"a": 2, "error": "no"}))
    assert [record["a"] for record in run.failed] == [2]
