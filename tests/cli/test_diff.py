"""`accelsim diff`: documents, tables, the guard's exit status and mistakes."""

import json
from pathlib import Path

import jsonschema
import pandas as pd
import pytest

from accelsim.cli import main
from accelsim.explore.sweep import Sweep, SweepSpec, read_sweep, run_sweep
from accelsim.results.explain_schema import DIFF_SCHEMA
from accelsim.results.tables import parquet_bytes
from tests.explore.sweep_cases import GRID, HEAD, Counted, made_up, written
from tests.results.examples import comparison, example


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    slower = example(latency_us=1.05 * example().value("latency_us"))
    example().save(tmp_path / "before")
    slower.save(tmp_path / "after")
    comparison(("dense", "tile_wise")).save(tmp_path / "two")
    comparison(("dense", "hdp")).save(tmp_path / "others")
    for name, latency in (("sweep", [10.0, 8.0]), ("faster", [9.0, 8.0])):
        frame = pd.DataFrame({"mapping.tile_m": [64, 128], "error": [None, None], "latency_us": latency})
        (tmp_path / name).mkdir()
        (tmp_path / name / "points.parquet").write_bytes(parquet_bytes(frame))
        (tmp_path / name / "sweep.json").write_text(json.dumps({"hardware": "t4", "values": False}))
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished/sweep.json").write_text("{}")
    return tmp_path


def document(capsys: pytest.CaptureFixture[str], before: Path, after: Path, *words: str) -> dict:  # type: ignore[type-arg]
    assert main(["diff", str(before), str(after), "--json", *words]) in (0, 3)
    found: dict = json.loads(capsys.readouterr().out)  # type: ignore[type-arg]
    jsonschema.validate(found, DIFF_SCHEMA, jsonschema.Draft202012Validator)
    return found


@pytest.mark.parametrize("name", ["before", "two", "sweep"])
def test_nothing_differs_from_itself(name: str, saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, saved / name, saved / name)
    assert (found["equal"], found["worst_percent"], found["exceeded"]) == (True, 0, None)
    assert main(["diff", str(saved / name), str(saved / name), "--fail-above", "0%"]) == 0
    assert "o difference" in capsys.readouterr().out


def test_totals_and_the_guard(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = [str(saved / "before"), str(saved / "after")]
    assert main(["diff", *pair, "--fail-above", "6%"]) == 0
    assert "latency_us" in capsys.readouterr().out
    assert main(["diff", *pair, "--fail-above", "4.5 %"]) == 3
    assert "rose by 5 %, more than 4.5 %" in capsys.readouterr().err
    assert main(["diff", *pair[::-1], "--fail-above", "0%"]) == 0
    capsys.readouterr()
    found = document(capsys, saved / "before", saved / "after", "--fail-above", "1%")
    assert found["exceeded"] is True
    assert found["worst_percent"] == pytest.approx(5)


def test_comparisons_scheme_by_scheme(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, saved / "two", saved / "others")
    assert (found["added"], found["removed"], found["equal"]) == (["hdp"], ["tile_wise"], False)
    assert [entry["after"]["scheme"] for entry in found["results"]] == ["dense"]
    assert main(["diff", str(saved / "two"), str(saved / "others")]) == 0
    assert "Schemes only before: tile_wise." in capsys.readouterr().out


def test_sweeps_point_by_point(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, saved / "sweep", saved / "faster")
    assert (found["compared"], found["axes"]) == (2, ["mapping.tile_m"])
    assert [entry["point"] for entry in found["changed"]] == [{"mapping.tile_m": 64}]
    assert main(["diff", str(saved / "sweep"), str(saved / "faster"), "--fail-above", "1%"]) == 0
    assert "10.00 -> 9.000 (-10 %)" in capsys.readouterr().out
    assert main(["diff", str(saved / "faster"), str(saved / "sweep"), "--fail-above", "1%", "--quiet"]) == 3


def test_folders_of_sweeps_as_they_are_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = "kind: sweep\nhardware: v100_pcie\nworkload: gemm_1024\nvalues: false\nengine: estimate\n"
    for name, tiles in (("one", [64, 128]), ("other", [128, 256])):
        (tmp_path / f"{name}.yaml").write_text(f"{head}grid:\n  mapping.tile_m: {tiles}\n")
        assert main(["sweep", str(tmp_path / f"{name}.yaml"), "--out", str(tmp_path / name), "--quiet"]) == 0
    found = document(capsys, tmp_path / "one", tmp_path / "other")
    assert (found["removed"], found["added"]) == ([{"mapping.tile_m": 64}], [{"mapping.tile_m": 256}])
    assert (found["compared"], found["changed"], found["worst_percent"]) == (1, [], 0)
    assert [entry["path"] for entry in found["config"]] == ["grid.mapping.tile_m"]


def test_sweeps_that_have_not_ended_are_compared_as_far_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, HEAD + GRID)
    run_sweep(read_sweep(file), tmp_path / "whole", evaluate=made_up)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(read_sweep(file), tmp_path / "part", evaluate=Counted(stop_after=2))
    assert main(["diff", str(tmp_path / "whole"), str(tmp_path / "part"), "--json"]) == 0
    captured = capsys.readouterr()
    assert "part: its sweep has not ended; the 2 points that it has are compared" in captured.err
    assert "whole" not in captured.err
    found = json.loads(captured.out)
    assert (found["compared"], len(found["removed"]), found["added"], found["changed"]) == (2, 4, [], [])
    (tmp_path / "whole/points.sqlite").unlink()  # its table says the same
    assert document(capsys, tmp_path / "whole", tmp_path / "part") == found


def test_tables_are_compared_with_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mixed = {"mapping.tile_m": [64, "auto"]}  # a table holds both as texts
    sweep = Sweep(SweepSpec(kind="sweep", hardware="t4", workload="gemm_1024", values=False, grid=mixed), None)
    for name in ("one", "other"):
        run_sweep(sweep, tmp_path / name, evaluate=lambda point: {**point.settings, "error": None})
    (tmp_path / "one/points.sqlite").unlink()
    assert document(capsys, tmp_path / "one", tmp_path / "other")["equal"]


@pytest.mark.parametrize(
    ("before", "after", "words", "problem"),
    [
        ("before", "nowhere", [], "nowhere: no such folder"),
        ("before", "sweep", [], "holds a sweep and"),
        ("sweep", "unfinished", [], "run the sweep again to finish it"),
        ("before", "after", ["--fail-above", "2"], "needs a percentage that is not negative, as in 2%"),
        ("before", "after", ["--fail-above=-2%"], "needs a percentage"),
        ("before", ".", [], "below it are after, before, others, two"),
    ],
)
def test_mistakes(
    before: str, after: str, words: list[str], problem: str, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", str(saved / before), str(saved / after), *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert problem in captured.err
