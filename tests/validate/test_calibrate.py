"""Calibration: what is fitted, on which rows, and what the new YAML holds."""

from pathlib import Path

import numpy as np
import pytest

from accelsim.cli import main
from accelsim.config.loader import load_hardware
from accelsim.errors import ResultError, UserError
from accelsim.validate.calibrate import calibrate, is_held_out
from accelsim.validate.fitted_yaml import calibration_yaml, write_yaml
from accelsim.validate.mechanisms import Switches, mechanisms
from accelsim.validate.parameters import PARAMETERS, fitted_parameters, with_values
from accelsim.validate.predict import predict
from accelsim.validate.rows import read_rows

SHAPES = [(m, n, k) for m in (1, 16, 128, 1024, 4096) for n in (256, 1024, 4096) for k in (256, 1024, 4096)]


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    """A table that a T4 with other parameters than the shipped one measured, without noise."""
    gpu = with_values(
        load_hardware("t4").gpu, {"tensor_efficiency": 0.55, "launch.stream": 8e-6, "load_latency": 700.0}
    )
    head = "dataset,gpu,dtype,op,batch,m,n,k,sparsity,latency_us,notes,launch\n"
    lines = [f"mine,T4,fp16,gemm,1,{m},{n},{k},0,1,,stream\n" for m, n, k in SHAPES]
    path = tmp_path / "mine.csv"
    path.write_text(head + "".join(lines))
    latencies = [prediction.latency_us for prediction in predict(read_rows(path), gpu)]
    lines = [line.replace(",0,1,,", f",0,{us},,") for line, us in zip(lines, latencies, strict=True)]
    path.write_text(head + "".join(lines))
    return path


def test_a_fit_gets_closer_on_rows_that_it_has_not_seen(made_up: Path, tmp_path: Path) -> None:
    found = calibrate(made_up, "t4", evaluations=120)
    for rows in ("calibrated", "held_out"):
        before, after = found.errors["base"][rows].mape_percent, found.errors["fitted"][rows].mape_percent
        assert before is not None
        assert after is not None
        assert after < 0.5 * before
    assert len(found.fitted) <= 15
    for parameter, _, value in found.fitted:
        low, high = parameter.bounds(load_hardware("t4").gpu)
        assert low <= value <= high or np.isclose(value, [low, high]).any()
    write_yaml(calibration_yaml(found, "mine", "t4"), tmp_path / "mine.yaml")
    loaded = load_hardware(tmp_path / "mine.yaml").gpu
    for parameter, _, value in found.fitted:
        assert parameter.value(loaded) == pytest.approx(value, rel=1e-12)
        assert "held out" in loaded.sources[parameter.path]


def test_the_split_is_fixed_before_the_fit_and_keeps_shapes_together(made_up: Path) -> None:
    rows = read_rows(made_up)
    held = [is_held_out(row, 0.5, 0) for row in rows]
    assert held == [is_held_out(row, 0.5, 0) for row in rows]
    assert 0.2 < np.mean(held) < 0.8
    assert held != [is_held_out(row, 0.5, 1) for row in rows]


def test_a_fit_without_a_mechanism_leaves_its_numbers_alone(made_up: Path) -> None:
    switches = Switches(mechanisms(["load_latency", "power"]))
    found = calibrate(made_up, "t4", evaluations=36, switches=switches)
    paths = {parameter.path for parameter, _, _ in found.fitted}
    assert "tensor_efficiency" in paths
    assert not any(path.startswith("power.") for path in paths)
    assert not paths & {"load_latency", "miss_latency"}
    assert found.gpu.load_latency == 0
    full = calibrate(made_up, "t4", evaluations=36)
    assert found.errors["base"] != full.errors["base"]


def test_parameters_that_rows_cannot_tell_are_left_alone() -> None:
    gpu = load_hardware("t4").gpu
    every = {parameter.path for parameter in fitted_parameters(gpu, {"stream"})}
    assert {"launch.stream", "power.limit", "dram.strided_efficiency"} < every
    assert "launch.graph" not in every
    plain = gpu.model_copy(update={"power": None, "dram": gpu.dram.model_copy(update={"strided_efficiency": None})})
    assert every - {parameter.path for parameter in fitted_parameters(plain, {"stream"})} == {
        *("power.limit", "power.time_constant", "dram.strided_efficiency"),
    }
    assert len(PARAMETERS) <= 15


def test_bad_input_is_named(made_up: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "folder.yaml"
    folder.mkdir()
    few = tmp_path / "few.csv"
    few.write_text("".join(made_up.read_text().splitlines(keepends=True)[:6]))
    with pytest.raises(UserError, match="parameters need more rows"):
        calibrate(few, "t4")
    with pytest.raises(UserError, match="holdout"):
        calibrate(made_up, "t4", holdout=0.0)
    assert main(["calibrate-hw", str(made_up), "--hw", "t4", "-o", str(tmp_path / "mine.txt")]) == 2
    assert "YAML" in capsys.readouterr().err
    for words, told in (
        (["--hw", "edge_hdp", "-o", str(tmp_path / "mine.yaml")], "edge_hdp is a system; give its GPU, edge_array"),
        (["--hw", "t4", "-o", str(tmp_path / "mine.yaml"), "--engine", "event"], "did you mean 'events'"),
        (["--hw", "t4", "-o", str(folder)], "is a folder; name a file"),
    ):
        assert main(["calibrate-hw", str(made_up), *words]) == 2
        assert told in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="cannot be written"):
        write_yaml("kind: gpu", tmp_path / "gone" / "mine.yaml")


def test_the_command_writes_a_gpu_and_one_document(
    made_up: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    out = tmp_path / "own.yaml"
    assert main(["calibrate-hw", str(made_up), "--hw", "t4", "-o", str(out), "--evaluations", "36", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["errors"]["fitted"]["held_out"]["n"] > 0
    assert {entry["path"] for entry in document["parameters"]} >= {"tensor_efficiency", "load_latency"}
    assert main(["run", str(out), "gemm_1024", "--no-values", "--quiet"]) == 0
