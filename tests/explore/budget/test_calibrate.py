"""Budgeted calibration on a small vision transformer: what is found, checked and written, and what is refused."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from jsonschema import validate

from accelsim.cli.entry import USER, main
from accelsim.config.loader import load_config
from accelsim.errors import UserError
from accelsim.explore.budget import Calibrated, calibrate
from accelsim.explore.budget.evaluate import DENSE, Inputs
from accelsim.explore.budget.search import Search
from accelsim.explore.budget.settings import Setting
from accelsim.explore.budget.written import calibrated_yaml
from accelsim.pipeline import run
from accelsim.results.budget_schema import CALIBRATE_SCHEMA

MODEL = "digits_vit_16"
BUDGET = 0.05


@lru_cache
def inputs(split: str = "calibration", count: int = 20) -> Inputs:
    return Inputs("edge_hdp", MODEL, split, count=count)


@lru_cache
def calibrated() -> Calibrated:
    return calibrate(MODEL, budget=BUDGET, count=20, evaluations=25)


def test_what_is_found_is_within_the_budget_and_the_cheapest_that_was_tried() -> None:
    found = calibrated()
    assert found.chosen.verdict.loss <= BUDGET
    assert found.chosen.kept == min(one.kept for one in found.tried if one.verdict.loss <= BUDGET)
    assert found.chosen.block_ratio is not None
    assert found.chosen.block_ratio > 0.4
    assert any(one.verdict.loss > BUDGET for one in found.tried)
    assert found.calibration.evaluations <= 25
    assert len(dict(found.chosen.setting.options)["hdp.rho_b"]) == 2


def test_it_is_checked_on_other_inputs() -> None:
    found = calibrated()
    assert found.test is not None
    assert found.checked is not None
    assert found.test.split == "test"
    dense, pruned = found.test.evaluate(DENSE).verdict, found.checked.verdict
    assert dense.right is not None
    assert found.held == (dense.quality - pruned.quality <= BUDGET + 1e-9)
    assert found.interval is not None
    assert found.interval.difference == pytest.approx(pruned.quality - dense.quality)
    unchecked = calibrate(MODEL, budget=0.9, count=4, evaluations=3, test_split=None)
    assert (unchecked.held, unchecked.checked, unchecked.interval) == (None, None, None)


def test_documents_fit_their_schema() -> None:
    document = calibrated().document()
    validate(document, CALIBRATE_SCHEMA)
    assert len(document["splits"]) == 4  # type: ignore[arg-type]
    assert len(document["tried"]) == len(calibrated().tried)  # type: ignore[arg-type]


@pytest.mark.parametrize("as_path", [False, True])
def test_what_is_written_runs_as_what_was_chosen(
    tmp_path: Path, as_path: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: str | Path = MODEL
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    if as_path:
        model = Path("mine.yaml")
        model.write_text(f"extends: {MODEL}\n")
    out = Path("out/found.yaml")
    out.write_text(calibrated_yaml(calibrated(), model, out))
    sets = ["workload.images=20", "workload.split=calibration"]
    config = load_config("edge_hdp", out, scheme="hdp", sets=sets)
    assert config.hdp == inputs().config(calibrated().chosen.setting).hdp
    assert "accelsim calibrate" in config.workload.sources["defaults.hdp"]  # type: ignore[union-attr]
    result = run("edge_hdp", out, scheme="hdp", sets=sets, engine="estimate")
    assert result.summary["accuracy"] == calibrated().chosen.verdict.quality
    assert result.summary["block_ratio"] == calibrated().chosen.block_ratio


def test_weights_are_pruned_as_far_as_the_budget_allows() -> None:
    search = Search(inputs(), BUDGET)
    best = search.scheme("tile_wise")
    assert best is not None
    tried = {dict(one.setting.options)["tile_wise.sparsity"]: one for one in search.tried}
    assert best.verdict.loss <= BUDGET
    assert min(sparsity for sparsity, one in tried.items() if one.verdict.loss > BUDGET) > best.weight_sparsity - 0.02
    both = Search(inputs(), BUDGET, limit=40).scheme("tile_wise+hdp")
    assert both is not None
    assert {path for path, _ in both.setting.options} == {"tile_wise.sparsity", "hdp.rho_b", "hdp.tau_h"}
    assert both.verdict.loss <= BUDGET


def test_groups_are_n_and_m() -> None:
    search = Search(Inputs("edge_hdp", MODEL, "calibration", count=8), 0.999, "energy")
    best = search.scheme("n_m")
    assert best is not None
    tried = [tuple(dict(one.setting.options).values()) for one in search.tried]
    assert tried[:2] == [(3, 4), (1, 4)]  # 2:4 needs sparse tensor cores, which this machine lacks
    assert best.energy_uj == min(one.energy_uj for one in search.tried if search.allowed(one) and one.energy_uj)


def test_a_setting_costs_and_answers_what_a_run_does() -> None:
    setting = Setting("hdp", (("hdp.rho_b", (0.1, 0.3)), ("hdp.guard", "input"), ("hdp.guard_margin", 3.0)))
    inputs().evaluate(Setting("hdp"), costs=True)  # whose kernels the next one takes over
    for one in (Setting("hdp", (("hdp.rho_b", 0.4),)), setting, Setting("tile_wise")):
        found = inputs().evaluate(one, costs=True)
        sets = ["workload.images=20", "workload.split=calibration", *one.sets()]
        result = run("edge_hdp", MODEL, scheme=one.scheme, sets=sets, engine="estimate")
        assert found.latency_us == pytest.approx(result.value("latency_us"))
        assert found.energy_uj == pytest.approx(result.value("energy_uj"))
        assert found.verdict.quality == result.summary["accuracy"]
        assert found.block_ratio == result.summary["block_ratio"]
        assert found.kept == pytest.approx(result.value("effectual_macs") / inputs().network.macs)


def test_time_may_be_what_is_made_small() -> None:
    found = calibrate(MODEL, budget=BUDGET, count=8, objective="latency", evaluations=8, test_split=None)
    allowed = [one.latency_us for one in found.tried if one.verdict.loss <= BUDGET]
    assert found.chosen.latency_us == min(time for time in allowed if time is not None)


def test_nothing_is_chosen_when_everything_loses_too_much() -> None:
    found = calibrate(MODEL, budget=0, count=20, schemes=["block_wise"], keep_margin=0.999, evaluations=3)
    assert found.chosen.setting == DENSE
    assert found.held


def test_outputs_are_compared_with_dense_ones_where_there_are_no_labels(tmp_path: Path) -> None:
    with np.load(Path(str(inputs().spec(inputs().config(DENSE)).data))) as stored:
        images = {name: stored[name][:8] for name in ("calibration_images", "test_images")}
    np.savez(tmp_path / "images.npz", **images)
    found = calibrate(MODEL, budget=0.2, data=tmp_path / "images.npz", evaluations=4)
    assert (found.judge, found.metric) == ("top1", "top-1 agreement")
    np.savez(tmp_path / "half.npz", **images, test_labels=np.zeros(8, np.int64))
    half = calibrate(MODEL, budget=0.2, data=tmp_path / "half.npz", evaluations=4)
    assert half.test is not None
    assert half.test.judge.metric == half.metric == "top-1 agreement"
    cosine = calibrate(MODEL, budget=0.2, data=tmp_path / "images.npz", evaluations=4, judge="cosine")
    assert cosine.chosen.verdict.loss <= 0.2
    assert cosine.interval is None
    out = tmp_path / "found.yaml"
    text = calibrated_yaml(found, MODEL, out)
    assert "\ndata: images.npz\n" in text
    with pytest.raises(UserError, match=r"images\.npz.*calibration_labels.*neither labels nor scores"):
        calibrate(MODEL, budget=0.2, data=tmp_path / "images.npz", judge="labels")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--budget", "2"], "--budget 2: allowed: a share"),
        (["--budget", "-1%"], "--budget -1%: allowed: a share"),
        (["--budget", "little"], "--budget little: allowed: a share"),
        (
            ["--split", "train"],
            "no split train, which would be an array train_images; splits in the",
        ),
        (["--split", "test"], "split test cannot be both"),
        (["--scheme", "dense"], "scheme dense prunes nothing to calibrate"),
        (["--judge", "hunch"], "unknown judge 'hunch'"),
        (["--minimise", "cost"], "unknown what to minimise 'cost'"),
        (["--hw", "a100_sxm4_80gb"], "has none"),
        (["--inputs", "301"], "split calibration has 300 images"),
        (["--set", "hdp.selection=top_k"], "set hdp.selection=threshold"),
        (["-o", "x.txt"], "x.txt: a calibrated model is a YAML file"),
        (["--keep-margin", "1"], "keep_margin is 1"),
    ],
)
def test_mistakes_are_told(
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["calibrate", MODEL, "--budget", "1%", "-o", "x.yaml", "--inputs", "8", *options]
    assert main(given) == USER
    assert message in capsys.readouterr().err
    assert not Path("x.yaml").exists()


@pytest.mark.parametrize(
    ("model", "message"),
    [("bert_tiny", "is of kind encoder and has no data"), ("gemm_1024", "is of kind gemm and has no data")],
)
def test_models_without_data_are_refused(model: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        calibrate(model, budget=0.01)


def test_command_writes_and_reports(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "found.yaml"
    given = ["calibrate", MODEL, "--budget", "5%", "--inputs", "8", "--evaluations", "6", "-o", str(out)]
    assert main(given) == 0
    printed = capsys.readouterr()
    assert "On the test split" in printed.out
    assert "run it with --scheme hdp" in printed.err
    written = out.read_text()
    assert main([*given, "--json"]) == 0
    assert capsys.readouterr().out.startswith("{")
    assert out.read_text() == written
    assert load_config("edge_hdp", out, scheme="hdp").hdp.rho_b


def test_margins_that_the_check_loses_are_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    given = [
        "calibrate",
        MODEL,
        "--budget",
        "1%",
        "--inputs",
        "5",
        "--evaluations",
        "3",
        "-o",
        str(tmp_path / "x.yaml"),
    ]
    assert main(given) == 0
    printed = capsys.readouterr().out
    assert "its accuracy keeps the budget" in printed
    assert "Counted as in the choice, by answers wrong or short of margin, 20 % is lost." in printed
    assert main([*given, "--keep-margin", "0"]) == 0
    assert "short of margin" not in capsys.readouterr().out


def test_texts_in_place_of_arrays_are_told_how_they_become_arrays(tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text("text,label\nbad,0\n")
    with pytest.raises(UserError, match=r"texts\.csv: not a \.npz file.*accelsim import --data"):
        calibrate(MODEL, budget=0.2, data=tmp_path / "texts.csv")
