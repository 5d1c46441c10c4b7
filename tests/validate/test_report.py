"""Error summaries: what perfect predictions, order of rows, regimes and pairs make of them."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.config.loader import load_hardware
from accelsim.errors import ResultError, UserError
from accelsim.validate import Prediction, Validation, validate
from accelsim.validate.decisions import decisions, pairs
from accelsim.validate.errors import summarise
from accelsim.validate.notes import Conditions
from accelsim.validate.regimes import regimes
from accelsim.validate.report import frame_of
from accelsim.validate.roofline import Roofline, fit_roofline
from accelsim.validate.rows import MeasuredRow
from tests.validate.tables import dense, write

ROWS = st.lists(
    st.tuples(
        st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 5000),
        st.floats(1.0, 5000.0), st.floats(1.0, 5000.0), st.sampled_from(["one", "two"]),
    ),
    min_size=1,
    max_size=12,
)  # fmt: skip
Row = tuple[int, int, int, float, float, str]


def validation(rows: list[Row]) -> Validation:
    """A validation of made-up rows (m, n, k, measured, predicted, machine)."""
    gpu = load_hardware("a100_sxm4_80gb").gpu
    frames = []
    for hardware in dict.fromkeys(row[-1] for row in rows):
        mine = [row for row in rows if row[-1] == hardware]
        measured = [
            MeasuredRow(at + 1, at + 2, hardware, "bf16", "gemm", 1, m, n, k, 0.0, latency, None, Conditions())
            for at, (m, n, k, latency, _, _) in enumerate(mine)
        ]
        predictions = [Prediction(row[4], "", "kernel", row[0] / 100, "menu", row[1] < 1000) for row in mine]
        frames.append(frame_of(measured, predictions, gpu, hardware))
    return Validation("estimate", pd.concat(frames, ignore_index=True), {}, {})


def without_order(summary: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in summary.items() if key != "hardware"}


@settings(deadline=None, max_examples=6)
@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(rows: list[Row], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert without_order(validation(rows).summary()) == without_order(validation(shuffled).summary())


@settings(deadline=None, max_examples=6)
@given(ROWS)
def test_perfect_predictions_have_no_error(rows: list[Row]) -> None:
    summary = validation([(m, n, k, latency, latency, name) for m, n, k, latency, _, name in rows]).summary()
    assert summary["n"] == len(rows)
    assert summary["mape_percent"] == summary["p90_ape_percent"] == summary["bias_percent"] == 0.0
    for found in summary["decisions"].values():
        assert found["mape_percent"] == 0.0
        assert found["right_percent"] == 100.0


def test_errors_of_known_numbers() -> None:
    found = summarise([100.0, 100.0, 200.0, 100.0], [110.0, 80.0, 200.0, 150.0])
    assert (found.n, found.mape_percent, found.bias_percent) == (4, pytest.approx(20.0), pytest.approx(10.0))
    assert found.median_ape_percent == pytest.approx(15.0)
    assert found.p90_ape_percent == pytest.approx(20.0 + 0.7 * 30.0)
    assert summarise([], []).as_dict() == {
        "n": 0, "mape_percent": None, "median_ape_percent": None, "p90_ape_percent": None, "bias_percent": None,
    }  # fmt: skip


def test_regimes_hold_what_they_say() -> None:
    rows = pd.DataFrame({
        "rows_of_c": [16, 17, 64, 64, 64, 64], "m": [16, 24, 64, 64, 64, 65], "n": 64,
        "k": [512, 512, 256, 512, 512, 512],
        "footprint_within_l2": [False, True, False, False, False, False], "waves": [9.0, 9, 9, 3.9, 4, 9],
        "measured_us": [9.0, 9, 9, 9, 1001, 9],
    })  # fmt: skip
    found = {name: list(np.flatnonzero(holds)) for name, holds in regimes(rows).items()}
    assert found == {
        "m_at_most_16": [0], "within_l2": [1], "k_at_most_256": [2], "few_waves": [3], "huge": [4], "odd_sizes": [5],
        "rest": [],
    }  # fmt: skip


def options(*entries: tuple[str, str, str, float, float, float]) -> pd.DataFrame:
    names = ["hardware", "op", "tile", "sparsity", "measured_us", "predicted_us"]
    frame = pd.DataFrame(entries, columns=names)
    return frame.assign(batch=1, m=8, n=8, k=8, format="16-bit", library="", pattern="")


def test_pairs_differ_in_one_respect() -> None:
    found = pairs(
        options(
            ("a", "gemm", "", 0.0, 8.0, 8.0),
            ("a", "gemm", "", 0.0, 12.0, 12.0),  # the same option measured again: its median counts
            ("b", "gemm", "", 0.0, 5.0, 20.0),
            ("a", "tilewise", "", 0.5, 4.0, 5.0),
            ("a", "tilewise", "", 0.75, 2.0, 5.0),
            ("a", "tilewise", "64x64x32", 0.75, 1.0, 2.5),
        )
    )
    by_kind = found.groupby("kind")["measured"].apply(sorted).to_dict()
    assert by_kind["gpu_against_gpu"] == [2.0]
    assert by_kind["dense_against_sparse"] == [2.5, 5.0, 10.0]
    assert by_kind["sparse_against_sparse"] == [2.0, 4.0]
    assert by_kind["tile_against_tile"] == [2.0]
    summary = decisions(found)
    assert summary["gpu_against_gpu"] == {
        "n": 1, "mape_percent": 75.0, "median_ape_percent": 75.0, "right_percent": 0.0,
    }  # fmt: skip
    assert summary["tile_against_tile"]["right_percent"] == 100.0
    assert "library_against_library" not in summary


@settings(deadline=None, max_examples=5)
@given(st.floats(0.5, 10.0), st.floats(10.0, 1000.0), st.floats(100.0, 5000.0), st.integers(0, 9))
def test_a_roofline_is_found_again(launch: float, rate: float, bandwidth: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    m, n, k = 2.0 ** random.integers(0, 14, (3, 200))
    flops, size = 2 * m * n * k, 2 * (m * n + n * k + m * k)
    measured = Roofline(launch, rate, bandwidth).latency_us(flops, size)
    found = fit_roofline(flops, size, measured)
    assert found is not None
    assert np.abs(found.latency_us(flops, size) / measured - 1).mean() < 0.02
    assert fit_roofline(flops[:3], size[:3], measured[:3]) is None


def test_a_table_is_validated(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        dense(1024, 1024, 1024, 20.0, notes="trtllm_1.0.0;cuda_graph"),
        dense(64, 64, 64, 3.0, notes="never heard of"),
        dense(64, 64, 64, 3.0).replace("gemm", "spmm_vnm"),
        dense(1024, 1024, 1024, 10.0, gpu="H100-SXM5-80GB", notes="library=cublas"),
        dense(64, 64, 64, 3.0, gpu="T4", dtype="fp16"),
    )
    found = validate(path, ["a100_sxm4_80gb", "h100_sxm5"])
    summary = found.summary()
    assert (summary["n"], summary["unmodelled_count"], summary["left_out"]) == (3, 1, {"T4": 1})
    assert summary["gpus"]["a100_sxm4_80gb"]["n"] == 2
    assert summary["unknown_notes"] == {"never heard of": 1}
    assert summary["left_to_defaults"] == {"library": 1, "launch": 2, "state of L2": 2}
    assert summary["decisions"]["gpu_against_gpu"]["n"] == 1
    assert list(found.unmodelled["row"]) == [3]
    assert all(math.isfinite(latency) for latency in found.predicted["predicted_us"])


def test_rows_of_a_machine(tmp_path: Path) -> None:
    one = write(tmp_path, dense(8, 8, 8, 3.0, gpu="B9000"), name="one.csv")
    assert "B9000" in validate(one, ["a100_sxm4_80gb"]).remarks[0]
    two = write(tmp_path, dense(8, 8, 8, 3.0, gpu="B9000"), dense(8, 8, 8, 3.0, gpu="a100 sxm4 80GB"), name="two.csv")
    assert list(validate(two, ["a100_sxm4_80gb"]).frame["row"]) == [2]
    assert list(validate(two, ["a100_sxm4_80gb"], gpus=["b9000"]).frame["row"]) == [1]
    with pytest.raises(UserError, match="no row of t4 or Tesla T4; it has B9000, a100 sxm4 80GB: name one with --gpu"):
        validate(two, ["t4"])
    with pytest.raises(UserError, match="no row of C3PO"):
        validate(two, ["t4"], gpus=["C3PO"])
    with pytest.raises(UserError, match="given twice"):
        validate(two, ["a100_sxm4_80gb", "a100_sxm4_80gb"])
    with pytest.raises(UserError, match="2 machines but 1 GPUs"):
        validate(two, ["t4", "a100_sxm4_80gb"], gpus=["B9000"])
    with pytest.raises(UserError, match=r"three\.csv, row 1 \(line 2\): t4 cannot multiply bf16"):
        validate(write(tmp_path, dense(8, 8, 8, 3.0), name="three.csv"), ["t4"])


def test_settings_hold_for_the_machine_and_for_what_rows_do_not_tell(tmp_path: Path) -> None:
    path = write(tmp_path, dense(512, 512, 512, 9.0), dense(512, 512, 512, 9.0, notes="cuda_graph"))
    base = validate(path, ["a100_sxm4_80gb"]).frame["predicted_us"]
    slow = validate(path, ["a100_sxm4_80gb"], sets=["hardware.clock=700 MHz"]).frame["predicted_us"]
    with pytest.raises(UserError, match="not the text"):
        validate(path, "a100_sxm4_80gb", sets="hardware.clock=700 MHz")
    stream = validate(path, "a100_sxm4_80gb", sets=["workload.launch=stream"]).frame["predicted_us"]
    assert (slow > base).all()
    assert stream[0] > base[0]
    assert stream[1] == base[1]


def test_a_saved_validation_is_complete_and_equal_each_time(tmp_path: Path) -> None:
    path = write(tmp_path, dense(512, 512, 512, 9.0), dense(64, 64, 64, 3.0).replace("gemm", "spmm_vnm"))
    folders = [validate(path, ["a100_sxm4_80gb"]).save(tmp_path / name, {"x.png": b"1"}) for name in ("one", "two")]
    files = [{file.name: file.read_bytes() for file in folder.iterdir()} for folder in folders]
    assert files[0] == files[1]
    assert {"predictions.csv", "summary.json", "x.png"} < set(files[0])
    saved = pd.read_csv(folders[0] / "predictions.csv")
    assert list(saved["reason"].isna()) == [True, False]
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("mine")
    with pytest.raises(ResultError):
        validate(path, ["a100_sxm4_80gb"]).save(tmp_path / "foreign")
