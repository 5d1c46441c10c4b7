"""`accelsim tune`: tables, JSON, files that run, exit statuses."""

import json
import shlex
from pathlib import Path

import jsonschema
import pytest

from accelsim.cli import main
from accelsim.results.schema import TUNE_SCHEMA

FILE = """\
kind: tune
hardware: v100_pcie
workload: gemm_1024
evaluations: 4
first: 3
space:
  mapping.tile_m: [64, 128]
  mapping.tile_n: [64, 128]
  hardware.gpu.clock: [1.3 GHz]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiles.yaml").write_text(FILE)
    return tmp_path / "tiles.yaml"


def test_a_file_is_searched_and_its_best_runs(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "tiles.yaml", "--out", "study", "--exhaustive", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, TUNE_SCHEMA)
    assert document["exhaustive"]["gap_percent"] == 0
    best = document["best"][0]
    assert {path.name for path in Path("study").iterdir()} == {
        *("tune.json", "history.csv", "best.yaml", "tune.png", "tune.svg", "evaluations", "estimates")
    }
    assert json.loads(Path("study/tune.json").read_text()) == document
    head = Path("study/best.yaml").read_text().splitlines()
    command = shlex.split(head[1].removeprefix("# Run it with: "))
    assert command[0] == "accelsim"
    for words in (command[1:], shlex.split(document["command"])[1:]):
        assert main([*words, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["latency_us"] == best["latency_us"]


def test_a_machine_and_a_workload_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["tune", "v100_pcie", "gemm_1024", "--vary", "mapping.tile_m=[64, 128]", "--evaluations", "2"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "gemm_1024 on v100_pcie: least latency" in told
    assert "Of 2 settings: 2 looked at by the closed form, 3 judged by events" in told
    assert "accelsim run v100_pcie gemm_1024 --no-values --set mapping.tile_m=" in told
    assert main([*words, "--objective", "latency_us,energy_uj", "--limit", "memory_mib=6", "--exhaustive"]) == 0
    told = capsys.readouterr().out
    assert "least latency and energy" in told
    assert "that none beats of all 2 that can run" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tiles.yaml", "--vary", "mapping.tile_m=[64]"], "--vary goes with a machine and a workload"),
        (["tiles.yaml", "--scheme", "dense"], "--scheme goes with a machine and a workload"),
        (["tiles.yaml", "--objective", "speed"], "--objective: tune.objectives.0: 'speed' is not allowed"),
        (["tiles.yaml", "--limit", "latency_us"], "--limit latency_us: is not of the form NAME=NUMBER"),
        (["tiles.yaml", "--limit", "edp=1", "--limit", "edp=2"], "--limit edp=2: is given twice"),
        (["tiles.yaml", "--limit", "speed=1"], "unknown key 'speed'"),
        (["tiles.yaml", "--limit", "latency_us=0.5"], "keeps the limits; nearest comes"),
        (["tiles.yaml", "--engine", "event"], "event"),
        (["tils"], "unknown name 'tils'"),
        (["v100_pcie", "gemm_1024", "--vary", "mapping.tile_mm=[64]"], "--vary mapping.tile_mm=[64]: space."),
        (["v100_pcie", "gemm_1024", "--scheme", "tilewise"], "tilewise"),
    ],
)
def test_mistakes_have_status_2(words: list[str], message: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", *words]) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert "Traceback" not in told.err
    assert told.out == ""


def test_an_interrupt_keeps_what_is_done(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from accelsim.explore.tune import judge

    run, seen = judge.evaluate_point, []

    def interrupted(point: object) -> object:
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(point)
        return run(point)  # type: ignore[arg-type]

    monkeypatch.setattr(judge, "evaluate_point", interrupted)
    assert main(["tune", "tiles.yaml", "--out", "study"]) == 130
    assert "judged settings are kept in study; the same command resumes" in capsys.readouterr().err
    assert len(seen) == 2
    monkeypatch.setattr(judge, "evaluate_point", lambda point: seen.append(point) or run(point))
    assert main(["tune", "tiles.yaml", "--out", "study", "--quiet"]) == 0
    assert len(seen) == len({point.key for point in seen}) == 5 + 4  # type: ignore[attr-defined]
    assert main(["tune", "tiles.yaml", "--out", "study", "--objective", "edp"]) == 2
    assert "holds another study (objectives differ)" in capsys.readouterr().err


def test_searches_are_no_workloads(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["workload", "list", "--json"]) == 0
    assert not [one for one in json.loads(capsys.readouterr().out)["workloads"] if one["name"].startswith("tune")]
