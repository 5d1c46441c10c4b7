"""Measured tables of real GPUs, where they are at hand: all understood, none dropped, predicted quickly."""

import os
import time
from pathlib import Path

import pytest

from accelsim.validate import read_rows, validate

DATA = Path(os.environ.get("ACCELSIM_DATA", Path(__file__).parents[3] / "shared")) / "measured"
GPUS = ["a100_sxm4_80gb", "h100_sxm5", "v100_sxm2", "t4"]

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="needs the measured tables (set ACCELSIM_DATA)")


@pytest.mark.parametrize("name", ["gemm_dense", "gemm_sparse", "attention", "power"])
def test_every_note_is_understood(name: str) -> None:
    rows = read_rows(DATA / f"{name}.csv")
    assert [row.row for row in rows if row.conditions.unknown] == []
    assert [row.row for row in rows] == list(range(1, len(rows) + 1))


def test_dense_rows_are_predicted_in_a_second_and_within_reason() -> None:
    validate(DATA / "gemm_dense.csv", GPUS[-1:])  # whatever is loaded only once
    begin = time.process_time()
    found = validate(DATA / "gemm_dense.csv", GPUS)
    predicted_in = time.process_time() - begin
    summary = found.summary()
    assert (summary["n"], summary["unmodelled_count"], summary["left_out"]) == (1290, 0, {})
    assert predicted_in < 2.0  # goal: 1 s of it for predictions
    for errors in summary["gpus"].values():
        assert errors["mape_percent"] < 20
        assert abs(errors["bias_percent"]) < 15
    assert summary["decisions"]["gpu_against_gpu"]["right_percent"] > 85


def test_events_agree_with_the_estimate() -> None:
    rows = DATA / "gemm_dense.csv"
    estimate, events = (validate(rows, ["t4"], engine=engine).summary() for engine in ("estimate", "events"))
    assert estimate["n"] == events["n"] == 80
    assert abs(estimate["mape_percent"] - events["mape_percent"]) < 6


def test_sparse_rows_are_predicted_or_named() -> None:
    summary = validate(DATA / "gemm_sparse.csv", ["v100_pcie", "rtx3090", "a100_sxm4_80gb"]).summary()
    assert (summary["n"], summary["unmodelled_count"]) == (147, 0)
    assert summary["left_out"] == {}
    assert summary["gpus"]["v100_pcie"]["n"] == 9
    assert summary["decisions"]["dense_against_sparse"]["right_percent"] == 100
