"""Intervals of runs: from the GPU's held-out errors, and null where nothing was measured."""

import json

import jsonschema
import numpy as np
import pytest

import accelsim
from accelsim.config.loader import load_accuracy
from accelsim.results.schema import COMPARE_SCHEMA, RUN_SCHEMA

HDP = ["hdp.block_ratio=0.7", "hdp.head_ratio=0.1"]


def test_a_product_has_the_interval_of_its_regime() -> None:
    result = accelsim.run("a100_sxm4_80gb", "gemm_1024", values=False)
    latency = result.value("latency_us")
    spread = load_accuracy("accuracy_a100_sxm4_80gb").spread("events", 1024, latency)
    assert spread is not None
    assert result.value("latency_low_us") == pytest.approx(latency * min(1.0, spread.low))
    assert result.value("latency_high_us") == pytest.approx(latency * max(1.0, spread.high))
    assert result.summary["interval_covered_percent"] == 100.0
    assert result.summary["interval_left_out"] is None
    jsonschema.validate(json.loads(result.to_json()), RUN_SCHEMA, jsonschema.Draft202012Validator)


@pytest.mark.parametrize("engine", ["events", "estimate"])
def test_a_network_adds_up_its_kernels(engine: str) -> None:
    result = accelsim.run("h100_sxm5", "bert_base_layer", values=False, engine=engine)
    kernels = result.kernels
    products = kernels["part"] == "gemm"
    assert kernels.loc[products, "low_us"].notna().all()
    assert kernels.loc[kernels["part"] == "elementwise", "low_us"].isna().all()
    down = np.nansum(kernels["duration_us"] - kernels["low_us"])
    up = np.nansum(kernels["high_us"] - kernels["duration_us"])
    assert result.value("latency_low_us") == pytest.approx(result.value("latency_us") - down)
    assert result.value("latency_high_us") == pytest.approx(result.value("latency_us") + up)
    assert "element-wise kernels" in str(result.summary["interval_left_out"])
    covered = kernels.loc[kernels["low_us"].notna(), "duration_us"].sum() / kernels["duration_us"].sum()
    assert result.value("interval_covered_percent") == pytest.approx(100 * covered)


@pytest.mark.parametrize(
    ("hardware", "sets", "why"),
    [
        ("rtx4090", [], "rtx4090 names no accuracy"),
        ("a100_sxm4_80gb", ["workload.dtype=fp32"], "less than 50 % of the time has measured errors"),
    ],
)
def test_what_was_not_measured_has_none(hardware: str, sets: list[str], why: str) -> None:
    result = accelsim.run(hardware, "gemm_1024", values=False, engine="estimate", sets=sets)
    assert result.summary["latency_low_us"] is None
    assert result.summary["latency_high_us"] is None
    assert why in str(result.summary["interval_basis"])


@pytest.mark.parametrize(
    ("hardware", "sets", "borrowed"),
    [
        ("a100_sxm4_80gb", [], False),
        ("a100_hdp", [], False),
        ("a100_pcie_80gb", [], True),
        ("a100_sxm4_80gb", ["hardware.gpu.clock=1.2 GHz"], True),
    ],
)
def test_borrowed_errors_are_named_as_such(hardware: str, sets: list[str], borrowed: bool) -> None:
    result = accelsim.run(hardware, "gemm_1024", values=False, engine="estimate", sets=sets)
    assert result.summary["latency_low_us"] is not None
    assert ("borrowed" in str(result.summary["interval_basis"])) == borrowed


def test_a_comparison_decides_only_what_was_measured() -> None:
    compared = accelsim.compare(
        "a100_hdp", "bert_base_layer", schemes=("dense", "tile_wise", "hdp"), sets=HDP, values=False, engine="estimate"
    )
    document = json.loads(compared.to_json())
    jsonschema.validate(document, COMPARE_SCHEMA, jsonschema.Draft202012Validator)
    dense, tile_wise, hdp, on_unit = document["schemes"]
    assert dense["verdict"] is None
    assert tile_wise["speedup_low"] < tile_wise["speedup"] < tile_wise["speedup_high"]
    # Its attention runs on a unit that nobody measured.
    assert (hdp["verdict"], on_unit["verdict"]) == (None, None)
    assert "attention unit" in hdp["interval_left_out"]
