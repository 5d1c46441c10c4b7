"""`accelsim sweep`."""

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from accelsim.cli import main
from accelsim.explore.sweep import Point, Record, read_results, run_sweep
from accelsim.results.schema import SWEEP_SCHEMA
from tests.explore.sweep_cases import GRID, HEAD, Counted, made_up, written


def stand_in(monkeypatch: pytest.MonkeyPatch, evaluate: Callable[[Point], Record]) -> None:
    original = run_sweep
    monkeypatch.setattr(
        "accelsim.explore.sweep.run_sweep", lambda *given, **named: original(*given, **named, evaluate=evaluate)
    )


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stand_in(monkeypatch, made_up)
    file = written(tmp_path, HEAD + GRID)
    assert main(["sweep", str(file), "--out", str(tmp_path / "out"), "--json"]) == 0
    captured = capsys.readouterr()
    jsonschema.validate(json.loads(captured.out), SWEEP_SCHEMA)
    assert "3 of 6 points failed" in captured.err
    names = {path.name for path in (tmp_path / "out").iterdir()} - {"points.lock"}
    assert names == {"points.sqlite", "sweep.json", "points.csv", "points.parquet", "sweep.png", "sweep.svg"}
    assert main(["sweep", str(file), "--out", str(tmp_path / "out")]) == 0
    table = capsys.readouterr().out
    assert "tiles: 3 points" in table
    assert "220.2" in table
    assert main(["sweep", str(file), "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["sweep", str(file), "--workers", "2", "--scheduler", "tcp://x:1"]) == 2


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
    assert len(read_results(tmp_path / "out").records) == 2
