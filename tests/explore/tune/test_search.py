"""Searches find what exhaustive search finds, go the same way each time, and lose nothing when they are stopped."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from accelsim.errors import ConfigError, ResultError, UserError
from accelsim.explore.sweep import evaluate_point, make_point, read_results
from accelsim.explore.tune import Tuned, make_tune, tune
from accelsim.results.schema import TUNE_SCHEMA
from tests.explore.tune.cases import Counted, made_up, small


def settings_of(found: Tuned) -> list[dict[str, object]]:
    return [found.settings(trial) for trial in found.searched]


def test_finds_the_best_of_a_small_space_by_events() -> None:
    found = tune(small(evaluations=9, first=6), exhaustive=True)
    assert found.exhausted is not None
    assert found.exhausted.legal == 20
    assert found.exhausted.gap_percent == 0
    assert found.evaluations <= 10
    assert found.looks == 24
    every = [evaluate_point(make_point(found.tune.sweep, own)) for own in found.tune.sweep.settings()]
    assert found.best[0].values == (min(one["latency_us"] for one in every if one["error"] is None),)
    assert sum(one["error"] is not None for one in every) == 4
    assert found.gain(found.best[0]) == {"latency_us": found.reference.values[0] / found.best[0].values[0]}  # type: ignore[index]


def test_a_space_that_is_smaller_than_the_search_is_searched_whole() -> None:
    counted = Counted()
    found = tune(small({"seed": [0, 1, 2], "mapping.tile_m": [64, 128]}, evaluations=50), evaluate=counted)
    assert len(counted.seen) == len(set(counted.seen)) == 7
    assert found.evaluations == 7


def test_counts_and_document() -> None:
    found = tune(small(evaluations=12, first=4), evaluate=made_up, exhaustive=True)
    document = found.document()
    jsonschema.validate(document, TUNE_SCHEMA)
    assert document["space_points"] == 24
    history = found.to_frame()
    assert list(history["evaluation"]) == list(range(len(history)))
    assert history["best_latency_us"].dropna().is_monotonic_decreasing
    assert found.evaluations == history["latency_us"].notna().sum()
    assert set(history["by"]) <= {"without settings", "first guess", "closed form", "sampler"}
    assert document["exhaustive"]["legal"] == 18  # type: ignore[index]


def test_one_seed_goes_one_way_and_another_another() -> None:
    free = {"seed": list(range(40)), "mapping.tile_m": [64, 128, 256], "mapping.tile_n": [64, 128]}
    first = tune(small(free, evaluations=20, first=4), evaluate=made_up)
    again = tune(small(free, evaluations=20, first=4), evaluate=made_up)
    other = tune(small(free, evaluations=20, first=4, seed=1), evaluate=made_up)
    assert settings_of(first) == settings_of(again)
    assert settings_of(first) != settings_of(other)
    longer = tune(small(free, evaluations=30, first=4), evaluate=made_up)
    assert settings_of(longer)[: len(first.searched)] == settings_of(first)


@pytest.mark.parametrize("stop_after", [0, 3, 9])
def test_a_stopped_search_goes_on_as_if_it_had_not_been(stop_after: int, tmp_path: Path) -> None:
    whole = tune(small(evaluations=14, first=5), evaluate=Counted())
    with pytest.raises(KeyboardInterrupt):
        tune(small(evaluations=14, first=5), tmp_path / "study", evaluate=Counted(stop_after=stop_after))
    rest = Counted()
    found = tune(small(evaluations=14, first=5), tmp_path / "study", evaluate=rest)
    assert settings_of(found) == settings_of(whole)
    assert len(rest.seen) == len(whole.trials) + 1 - stop_after
    assert found.document() == whole.document()
    again = Counted()
    assert tune(small(evaluations=14, first=5), tmp_path / "study", evaluate=again).document() == whole.document()
    assert again.seen == []
    assert len(read_results(tmp_path / "study/evaluations").records) == len(whole.trials) + 1


SLOW = """
import sys, time
from accelsim.explore.tune import tune
from tests.explore.tune.cases import made_up, small

def slow(point):
    time.sleep(0.05)
    return made_up(point)

tune(small(evaluations=20, first=8), sys.argv[1], evaluate=slow)
"""


def test_a_killed_search_loses_nothing_that_was_recorded(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    search = subprocess.Popen([sys.executable, "-c", SLOW, str(tmp_path / "study")], cwd=root, env={**os.environ})
    until = time.monotonic() + 120
    while time.monotonic() < until and _recorded(tmp_path / "study/evaluations") < 3:
        time.sleep(0.02)
    search.send_signal(signal.SIGKILL)
    assert search.wait() == -signal.SIGKILL
    before = _recorded(tmp_path / "study/evaluations")
    assert before >= 3
    rest = Counted()
    found = tune(small(evaluations=20, first=8), tmp_path / "study", evaluate=rest)
    whole = tune(small(evaluations=20, first=8), evaluate=made_up)
    assert settings_of(found) == settings_of(whole)
    assert len(rest.seen) == len(whole.trials) + 1 - before


def _recorded(folder: Path) -> int:
    try:
        return len(read_results(folder).records)
    except ResultError:
        return 0


def test_several_objectives_give_a_front_that_nothing_beats() -> None:
    found = tune(small(evaluations=22, objectives=["latency_us", "energy_uj"]), evaluate=made_up, exhaustive=True)
    assert found.exhausted is not None
    values = [trial.values for trial in found.best]
    assert len(values) >= 3
    assert values == sorted(values)  # type: ignore[type-var]
    energies = [value[1] for value in values if value is not None]
    assert energies == sorted(energies, reverse=True)
    assert found.exhausted.found == len(found.exhausted.best)


def test_energy_is_guessed_at_by_runs_of_the_closed_form(tmp_path: Path) -> None:
    space = {"mapping.tile_m": [64, 128], "mapping.tile_n": [64, 128]}
    found = tune(small(space, evaluations=2, first=2, objectives=["edp"]), tmp_path / "study")
    assert (found.looks, found.estimate_runs) == (4, 4)
    assert found.evaluations == 3
    first = found.searched[0].record
    assert found.searched[0].values == (first["latency_us"] * first["energy_uj"],)  # type: ignore[operator]
    assert len(read_results(tmp_path / "study/estimates").records) == 4


def test_limits_are_kept_and_what_comes_nearest_is_told() -> None:
    free = tune(small(evaluations=20), evaluate=made_up).best[0]
    held = tune(small(evaluations=20, limits={"energy_uj": 200.0}), evaluate=made_up)
    assert free.record["energy_uj"] > 200  # type: ignore[operator]
    assert held.best[0].record["energy_uj"] <= 200  # type: ignore[operator]
    assert held.best[0].values > free.values  # type: ignore[operator]
    with pytest.raises(UserError, match=r"none of the 18 settings that ran keeps the limits.*tile_m=64.*128 of 9"):
        tune(small(evaluations=23, limits={"energy_uj": 9.0}), evaluate=made_up)


def test_a_setting_that_needs_too_much_memory_does_not_run() -> None:
    space = {"mapping.split_k": [1, 2, 4], "mapping.tile_m": [64, 128]}
    found = tune(small(space, evaluations=6, limits={"memory_mib": 6.0}))
    assert {trial.record["mapping.split_k"] for trial in found.trials if trial.holds} == {1}
    assert all(trial.values is None for trial in found.trials if trial.record["mapping.split_k"] != 1)
    with pytest.raises(UserError, match=r"memory_mib = 5; nearest comes 6 "):
        tune(small(space, evaluations=6, limits={"memory_mib": 5.0}))


def test_nothing_that_can_run_is_an_error() -> None:
    space = {"mapping.tile_m": [256], "mapping.tile_n": [256], "mapping.tile_k": [128], "mapping.stages": [8, 16]}
    with pytest.raises(UserError, match=r"can run"):
        tune(small(space, evaluations=4))


def test_folders_of_others_are_refused_and_stay(tmp_path: Path) -> None:
    study = tmp_path / "study"
    tune(small(evaluations=4), study, evaluate=made_up)
    kept = {path.name: path.read_bytes() for path in study.iterdir() if path.is_file()}
    with pytest.raises(ResultError, match=r"holds another study \(objectives differ\)"):
        tune(small(evaluations=4, objectives=["edp"]), study, evaluate=made_up)
    with pytest.raises(ResultError, match=r"holds another study .*space"):
        tune(small({"mapping.tile_m": [64, 128]}, evaluations=4), study, evaluate=made_up)
    assert {path.name: path.read_bytes() for path in study.iterdir() if path.is_file()} == kept
    (tmp_path / "other").mkdir()
    (tmp_path / "other/letter.txt").write_text("dear")
    with pytest.raises(ResultError, match=r"holds something else \(letter.txt\)"):
        tune(small(evaluations=4), tmp_path / "other", evaluate=made_up)
    with pytest.raises(ResultError, match="is a file"):
        tune(small(evaluations=4), tmp_path / "other/letter.txt", evaluate=made_up)


def test_a_study_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tune(small(evaluations=4), tmp_path / "study", evaluate=made_up)
    monkeypatch.setattr("accelsim.explore.tune.judge.version", lambda name: "99.0")
    with pytest.raises(ResultError, match=r"holds a study of accelsim .*, and this is 99.0"):
        tune(small(evaluations=4), tmp_path / "study", evaluate=made_up)


def test_without_optuna_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"pip install accelsim\[tune\]"):
        tune(small(evaluations=4), evaluate=made_up)


def test_too_many_for_a_search_through_all() -> None:
    with pytest.raises(ConfigError, match="at most 100000 settings, and the space has 100001"):
        tune(small({"seed": list(range(100_001))}), evaluate=made_up, exhaustive=True)


def test_accuracy_is_held_on_one_split_and_told_of_another() -> None:
    wanted = make_tune(
        "edge_hdp",
        "digits_vit_16",
        {"hdp.rho_b": [-0.9, 0.0, 0.9], "hdp.tau_h": [0.0]},
        **_accuracy(points=5.0),
    )
    found = tune(wanted)
    assert len(found.trials) == 3
    lost = {trial.record["hdp.rho_b"]: trial.record["accuracy_points"] for trial in found.trials}
    assert found.best[0].record["accuracy_points"] <= 5  # type: ignore[operator]
    assert lost[0.9] > lost[-0.9]  # type: ignore[operator]
    (checked,) = found.checked
    assert checked["split"] == "test"
    assert checked["inputs"] == 24
    assert math.isclose(checked["change"], checked["quality"] - checked["dense_quality"])  # type: ignore[operator, arg-type]


def _accuracy(points: float) -> dict[str, Any]:
    return {
        "scheme": "hdp",
        "engine": "estimate",
        "evaluations": 3,
        "inputs": 24,
        "limits": {"accuracy_points": points},
    }


@pytest.mark.slow
def test_processes_find_the_same_best() -> None:
    alone = tune(small(evaluations=23))
    shared = tune(small(evaluations=23), workers=2)
    assert shared.best[0].values == alone.best[0].values
