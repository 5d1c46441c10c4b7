"""Schedules of gradual pruning, and patterns from options."""

from pathlib import Path

import pytest

from accelsim.cli import main
from accelsim.config.names import available
from accelsim.config.patterns import NMPattern, TileWisePattern
from accelsim.config.schedules import load_schedule, pattern_of
from accelsim.errors import ConfigError

WORDS = {"kind", "name", "description", "model", "sources"}


@pytest.mark.parametrize("name", available("workloads/schedules"))
def test_built_in_schedules_say_where_their_figures_are_from(name: str) -> None:
    schedule = load_schedule(name)
    assert schedule.name == name
    assert schedule.description
    assert set(schedule.sources) == schedule.model_fields_set - WORDS
    assert schedule.total == sorted(schedule.total)


def test_rates_per_dimension_are_more_in_total() -> None:
    """BERT's arguments 20, 37, 50, 55 and 61 are 36 to 84.8 % of all weights."""
    total = load_schedule("bert_squad_stages").total
    assert total == pytest.approx([0.36, 0.603, 0.75, 0.798, 0.848], abs=0.001)
    assert load_schedule("vgg16_stages").total == load_schedule("vgg16_stages").stages


def test_schedules_are_no_workloads(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["workload", "list"]) == 0
    assert "vgg16_stages" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: sweep", r"s.yaml:1: schedule.kind: needs 'schedule', not 'sweep'"),
        ("kind: schedule", "schedule.stages: missing key 'stages'"),
        ("kind: schedule\nstages: []", r"s.yaml:2: schedule.stages: needs at least one entry"),
        ("kind: schedule\nstages: [25, 50]", r"s.yaml:1: schedule: stages are shares .* not 25 \(75 % is 0.75\)"),
        ("kind: schedule\nstages: [0.5, 0.5]", "stages must ascend"),
        ("kind: schedule\nstages: [0.5]\nstep: 3", r"s.yaml:3: schedule.step: unknown key 'step'"),
    ],
)
def test_schedules_with_mistakes(text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(text + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load_schedule("s.yaml")
    with pytest.raises(ConfigError, match="did you mean 'vgg16_stages'"):
        load_schedule("vgg16_stage")


def test_patterns_from_options() -> None:
    assert pattern_of("tile_wise", {"granularity": 64}) == TileWisePattern(granularity=64)
    assert pattern_of("n_m", {"sparsity": 0.5}) == NMPattern()
    assert pattern_of("n_m", {"sparsity": 0.75, "n": 1, "m": 4}) == NMPattern(n=1, m=4)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("tilewise", {}, "unknown pattern 'tilewise'; did you mean 'tile_wise'"),
        ("n_m", {"sparsity": 0.75}, "^--sparsity: 2:4 has sparsity 0.5, not 0.75; leave it out"),
        ("n_m", {"n": 3, "m": 2}, r"3:2 keeps more weights than a group has"),
        ("tile_wise", {"sparsity": 1.0}, "^--sparsity: pattern.sparsity: must be less than 1.0, not 1.0"),
        ("element_wise", {"granularity": 8}, "unknown key 'granularity'"),
    ],
)
def test_options_with_mistakes(kind: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pattern_of(kind, options, {"sparsity": "--sparsity"})
