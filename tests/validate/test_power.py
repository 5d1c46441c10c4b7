"""Board power: what a replayed kernel draws, and how tables of power are reported."""

import json
import math
import os
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from accelsim.cli.entry import main
from accelsim.config.hardware import Gpu
from accelsim.config.loader import load_energy, load_hardware
from accelsim.errors import UserError
from accelsim.validate import predict, read_rows, validate
from accelsim.validate.calibrate import calibrate
from accelsim.validate.notes import Conditions
from accelsim.validate.power import board_watt
from accelsim.validate.rows import MeasuredRow
from tests.validate.tables import write

DATA = Path(os.environ.get("ACCELSIM_DATA", Path(__file__).parents[3] / "shared")) / "measured"
HEADER = "dataset,gpu,dtype,m,n,k,power_w"


@pytest.fixture(scope="module")
def h200() -> Gpu:
    return load_hardware("h200_sxm").gpu


def row(m: int, n: int, k: int, dtype: str = "bf16") -> MeasuredRow:
    return MeasuredRow(1, 2, "H200-SXM", dtype, "gemm", 1, m, n, k, 0.0, None, 300.0, Conditions())


def test_power_is_energy_over_time_and_static_power_up_to_the_limit(h200: Gpu) -> None:
    table = load_energy("gpu_4nm")  # 200 W static
    assert board_watt(0.0, 1.0, h200, table) == pytest.approx(200)
    assert board_watt(3e-3, 1e-5, h200, table) == pytest.approx(500)
    assert board_watt(1.0, 1e-5, h200, table) == 700
    assert board_watt(1.0, 1e-3, h200.model_copy(update={"power": None}), table) == pytest.approx(1200)


def test_a_tiny_kernel_idles_and_a_large_one_meets_the_limit(h200: Gpu) -> None:
    tiny, large = predict([row(1, 32, 32), row(16384, 16384, 16384)], h200)
    static = sum(load_energy(h200.energy).static_power.values())
    assert static < tiny.power_w < static + 10
    assert large.power_w == pytest.approx(700, rel=0.005)


def test_the_h200_spends_at_its_limit_what_was_published(h200: Gpu) -> None:
    found = predict([row(16384, 16384, 16384)], h200)[0]
    joule = found.power_w * (found.latency_us or 0) * 1e-6
    assert joule / (2 * 16384**3) == pytest.approx(0.967e-12, rel=0.02)


def test_dearer_actions_draw_more_and_leave_a_short_kernel_as_fast(h200: Gpu) -> None:
    table = load_energy(h200.energy)
    dearer = table.model_copy(update={"actions": {**table.actions, "tensor_mac_bf16": 2.0}})
    shape = [row(64, 1024, 1024)]
    cheap, dear = predict(shape, h200, energy=table)[0], predict(shape, h200, energy=dearer)[0]
    assert dear.power_w > cheap.power_w
    assert dear.latency_us == cheap.latency_us


def test_engines_agree_on_power(h200: Gpu) -> None:
    shape = [row(1024, 1024, 2048)]
    estimate, events = predict(shape, h200)[0], predict(shape, h200, "events")[0]
    assert estimate.power_w == pytest.approx(events.power_w, rel=0.15)


@pytest.mark.parametrize("engine", ["estimate", "events"])
def test_a_kernel_timed_alone_is_launched_all_the_same(h200: Gpu, engine: str) -> None:
    told = [replace(row(256, 512, 512), conditions=Conditions(launch=launch)) for launch in ("kernel", "graph")]
    alone, graph = predict(told, h200, engine)  # type: ignore[arg-type]
    assert alone.power_w == pytest.approx(graph.power_w)
    assert (alone.latency_us or 0) < (graph.latency_us or 0)


def test_a_table_of_power_alone_has_no_latency_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], h200: Gpu
) -> None:
    exact = predict([row(512, 512, 512)], h200)[0].power_w
    rows = [f"x,H200-SXM,bf16,512,512,512,{factor * exact!r}" for factor in (1.0, 0.8)]
    table = write(tmp_path, *rows, header=HEADER)
    assert main(["validate", str(table), "--hw", "h200_sxm", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["n"], found["mape_percent"], found["unmodelled_count"]) == (0, None, 0)
    assert found["power"]["n"] == 2
    assert found["power"]["mape_percent"] == pytest.approx(12.5)
    assert found["power"]["median_ape_percent"] == pytest.approx(12.5)
    assert found["power"]["bias_percent"] == pytest.approx(12.5)
    assert found["power"]["p90_ape_percent"] == pytest.approx(22.5)
    assert found["rows"][0]["predicted_w"] == pytest.approx(exact)
    out = tmp_path / "out"
    assert main(["validate", str(table), "--hw", "h200_sxm", "--out", str(out)]) == 0
    assert "Board power" in capsys.readouterr().out
    assert (out / "predictions.csv").is_file()


def test_a_row_may_have_both(tmp_path: Path) -> None:
    header = "gpu,dtype,m,n,k,op,latency_us,power_w"
    table = write(tmp_path, "H200,bf16,64,64,64,gemm,3,200", "H200,bf16,64,64,64,gemm,3,", header=header)
    summary = validate(table, ["h200_sxm"]).summary()
    assert (summary["n"], summary["power"]["n"]) == (2, 1)


def test_power_alone_calibrates_no_latency(tmp_path: Path) -> None:
    rows = [f"x,H200-SXM,bf16,{size},512,512,300" for size in range(64, 128)]
    with pytest.raises(UserError, match="0 rows can be modelled"):
        calibrate(write(tmp_path, *rows, header=HEADER), "h200_sxm")


def test_the_fit_finds_the_static_power_that_made_a_table(h200: Gpu) -> None:
    script = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks/fit_power.py"))
    base = load_energy("gpu_4nm")
    true = script["table_of"](base, h200, [8.0, 60.0, 150.0, 0.01, 8e-5])
    shapes = [row(m, n, 2048) for m in (1, 64, 512) for n in (64, 2048, 8192)]
    made = predict(shapes, h200, energy=true)
    rows = [replace(one, power_w=found.power_w) for one, found in zip(shapes, made, strict=True)]
    known = script["estimates"](rows, h200, base)
    assert script["powers"](rows, h200, true, known) == pytest.approx([found.power_w for found in made])
    fitted = script["fit"](rows, h200, base, known)
    assert sum(fitted.static_power.values()) == pytest.approx(150, rel=0.03)
    assert script["errors"](rows, h200, fitted).mape_percent < 3
    assert not math.isnan(fitted.actions["tensor_mac_bf16"])


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the measured tables (set ACCELSIM_DATA)")
def test_measured_power_is_predicted_within_reason() -> None:
    found = validate(DATA / "power.csv", ["h200_sxm"]).summary()["power"]
    assert found["n"] == len(read_rows(DATA / "power.csv"))
    assert found["median_ape_percent"] < 6
    assert found["mape_percent"] < 12
