"""Held-out errors: what is measured is what a run carries, and intervals hold as often as they promise."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accelsim
from accelsim.cli import main
from accelsim.config.loader import load_accuracy, load_hardware
from accelsim.errors import UserError
from accelsim.validate import predict, read_rows
from accelsim.validate.accuracy_yaml import accuracy_yaml
from accelsim.validate.calibrate import is_held_out
from accelsim.validate.intervals import (
    Coverage,
    carried_coverage,
    held_out_rows,
    latency_coverage,
    measure_accuracy,
    speedup_coverage,
    spread_of,
    spreads,
)
from accelsim.validate.run import rows_of
from tests.validate.tables import dense, write

DATA = Path(os.environ.get("ACCELSIM_DATA", Path(__file__).parents[3] / "shared")) / "measured"
SHAPES = [(m, n, k) for m in (8, 64, 256, 640) for n in (256, 1024, 4096) for k in (256, 1024, 2048, 4096)]
RATIO = 1.25


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Measurements that are all 1.25 times what events predict of a T4."""
    folder = tmp_path_factory.mktemp("table")
    guesses = write(folder, *(_row(shape, 1.0) for shape in SHAPES), name="guesses.csv")
    predicted = predict(read_rows(guesses), load_hardware("t4").gpu, "events")
    return write(folder, *(_row(s, RATIO * (p.latency_us or 0)) for s, p in zip(SHAPES, predicted, strict=True)))


def _row(shape: tuple[int, int, int], latency: float) -> str:
    return dense(*shape, latency, "T4", "fp16", "library=cublas;launch=graph")


@given(st.lists(st.floats(0.2, 5.0), min_size=1, max_size=60))
def test_ends_are_ranks_that_hold_for_few_rows(ratios: list[float]) -> None:
    found, n = spread_of(ratios), len(ratios)
    assert found.low <= found.median <= found.high
    if n < 9:  # too few for 80 %: all there is
        assert (found.low, found.high) == (round(min(ratios), 4), round(max(ratios), 4))
    # A further value falls between two neighbours with equal chance; one in ten, at most, below the low end.
    assert sum(ratio < found.low - 1e-4 for ratio in ratios) / (n + 1) <= 0.1
    assert sum(ratio > found.high + 1e-4 for ratio in ratios) / (n + 1) <= 0.1


def test_ranks_of_round_numbers() -> None:
    found = spread_of(np.arange(1.0, 20.0))
    assert (found.n, found.low, found.median, found.high) == (19, 2.0, 10.0, 18.0)
    assert spread_of(np.arange(1.0, 100.0)).low == 10.0


def made_up(n: int, seed: int, width: float = 0.2) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    predicted = np.exp(random.uniform(1, 8, n))
    return pd.DataFrame({
        "hardware": "x", "batch": 1, "dtype": "fp16", "n": 8, "k": 8, "m": np.arange(1, n + 1), "regime": "short",
        "half": random.random(n) < 0.5, "predicted_us": predicted,
        "measured_us": predicted * np.exp(width * random.standard_normal(n)),
    })  # fmt: skip


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 1000))
def test_intervals_hold_as_often_as_they_promise(seed: int) -> None:
    frame = made_up(600, seed)
    latency, pairs = latency_coverage(frame), speedup_coverage([frame])["neighbours"]
    assert (latency.n, pairs.n) == (600, 599)
    assert latency.inside_percent == pytest.approx(80, abs=8)
    assert pairs.inside_percent == pytest.approx(80, abs=9)
    assert pairs.decided_percent is not None
    assert pairs.right_percent is not None
    assert pairs.right_percent > 90


def test_a_regime_needs_enough_rows() -> None:
    frame = made_up(30, 0)
    frame.loc[:18, "regime"] = "long"
    assert set(spreads(frame)) == {"all"}
    frame.loc[19, "regime"] = "long"
    assert set(spreads(frame)) == {"all", "long"}
    assert spreads(frame)["long"].n == 20


def test_pairs_between_gpus_are_of_one_shape() -> None:
    one, other = made_up(40, 1), made_up(40, 2).assign(hardware="y")
    found = speedup_coverage([one, other])
    assert (found["gpu_against_gpu"].n, found["neighbours"].n) == (40, 78)
    assert speedup_coverage([one])["gpu_against_gpu"] == Coverage(0, None)


def test_errors_are_measured_as_a_run_predicts(table: Path) -> None:
    found = measure_accuracy(table, "t4")
    accuracy = found.accuracy
    assert accuracy.formats == ["fp16"]
    assert accuracy.stack == "made up, library=cublas, launch=graph"
    held = [row for row in read_rows(table) if is_held_out(row, 0.5, 0)]
    assert accuracy.engines["events"]["all"].n == len(held) >= 20
    for spread in accuracy.engines["events"].values():
        assert spread.low == spread.median == spread.high == RATIO
    assert latency_coverage(found.frames["events"]) == Coverage(len(held), 100.0)
    run = accelsim.run("t4", "gemm_1024", values=False, engine="estimate", sets=["workload.m=640", "workload.k=2048"])
    every = measure_accuracy(table, "t4", holdout=1).frames["estimate"]
    row = every[(every["m"] == 640) & (every["n"] == 1024) & (every["k"] == 2048)].iloc[0]
    assert len(every) == len(SHAPES)
    assert row["predicted_us"] == pytest.approx(run.value("latency_us"))


def test_written_errors_are_read_back_and_carried(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine.yaml"
    assert main(["accuracy-hw", str(table), "--hw", "t4", "-o", str(out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    accuracy = load_accuracy(out)
    assert accuracy.name == "mine"
    assert printed["accuracy"]["engines"] == accuracy.model_dump(mode="json")["engines"]
    assert printed["coverage"]["events"]["latency"]["inside_percent"] == 100.0
    assert out.read_text() == accuracy_yaml(accuracy, "mine")
    run = accelsim.run("t4", "gemm_1024", values=False, sets=[f"hardware.accuracy={out}"])
    latency = run.value("latency_us")
    assert run.summary["latency_low_us"] == pytest.approx(latency)  # the prediction is inside, even if all were longer
    assert run.summary["latency_high_us"] == pytest.approx(RATIO * latency)
    assert "borrowed" not in str(run.summary["interval_basis"])


def test_the_report_names_regimes_and_checks(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["accuracy-hw", str(table), "--hw", "t4", "-o", str(tmp_path / "a.yaml")]) == 0
    printed = capsys.readouterr()
    assert "all rows" in printed.out
    assert "speed-ups between neighbouring m" in printed.out
    assert f"saved {tmp_path / 'a.yaml'}" in printed.err


def test_unfit_requests_are_refused(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = write(tmp_path, *(_row(shape, 9.0) for shape in SHAPES[:12]), name="few.csv")
    with pytest.raises(UserError, match=r"few\.csv: \d+ dense rows are held out and modelled; at least 20 are needed"):
        measure_accuracy(few, "t4")
    with pytest.raises(UserError, match=r"holdout is 0\.05; allowed: 0\.1 to 1"):
        measure_accuracy(table, "t4", holdout=0.05)
    assert main(["accuracy-hw", str(table), "--hw", "t4", "-o", str(tmp_path / "a.txt")]) == 2
    assert "name it" in capsys.readouterr().err
    assert main(["accuracy-hw", str(table), "--hw", "t4", "-o", str(tmp_path / "no" / "a.yaml")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_carried_intervals_are_judged_on_another_table(table: Path, tmp_path: Path) -> None:
    accuracy, frame = load_accuracy("accuracy_t4"), measure_accuracy(table, "t4", holdout=1).frames["events"]
    ends = [accuracy.spread("events", *row) for row in zip(frame["rows_of_c"], frame["predicted_us"], strict=True)]
    expected = 100 * sum(end is not None and end.high >= RATIO for end in ends) / len(SHAPES)
    found = carried_coverage(table, "t4", "events")
    assert found["latency"] == Coverage(len(SHAPES), expected)
    assert found["dense_against_sparse"].n == 0
    sparse = _row((640, 1024, 2048), 1e4).replace("gemm,", "tilewise,").replace(",0.0,", ",0.75,")
    both = write(tmp_path, _row((640, 1024, 2048), 50.0), sparse)
    one = carried_coverage(both, "t4", "estimate")["dense_against_sparse"]
    assert (one.n, one.inside_percent) == (1, 0.0)
    with pytest.raises(UserError, match="rtx3090 names no accuracy under events"):
        carried_coverage(both, "rtx3090", "events")


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the measured tables (set ACCELSIM_DATA)")
@pytest.mark.parametrize("name", ["t4", "v100_sxm2", "a100_sxm4_80gb"])
def test_shipped_errors_are_those_that_are_measured_now(name: str) -> None:
    gpu = load_hardware(name).gpu
    shipped = load_accuracy(f"accuracy_{name}")
    rows = rows_of(read_rows(DATA / shipped.table), gpu, None, False, DATA / shipped.table)
    held = [row for row in rows if is_held_out(row, shipped.holdout, shipped.split_seed)]
    now = spreads(held_out_rows(held, gpu, "estimate", 0))
    assert now.keys() == shipped.engines["estimate"].keys()
    for regime, spread in shipped.engines["estimate"].items():
        expected = pytest.approx(spread.model_dump(), abs=2e-3)
        assert now[regime].model_dump() == expected, "predictions have changed; run: python docs/interval_tables.py"
