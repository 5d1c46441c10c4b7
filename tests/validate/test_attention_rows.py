"""Measured attention: how rows are read, split and predicted, and how far predictions are from measurements."""

import json
import os
import runpy
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from accelsim.cli.entry import main
from accelsim.config.hardware import Gpu
from accelsim.config.loader import load_hardware, load_library
from accelsim.results.schema import VALIDATE_SCHEMA
from accelsim.validate import read_rows, validate
from accelsim.validate.halves import is_held_out
from accelsim.validate.predict import predict
from accelsim.validate.run import rows_of
from tests.validate.tables import write

DATA = Path(os.environ.get("ACCELSIM_DATA", Path(__file__).parents[3] / "shared")) / "measured" / "attention.csv"
measured = pytest.mark.skipif(not DATA.is_file(), reason="needs the measured tables (set ACCELSIM_DATA)")
HEADER = "gpu,dtype,op,batch,q_heads,kv_heads,head_dim,q_len,kv_len,causal,latency_us,notes"
MACHINES = ["a100_sxm4_80gb", "h100_sxm5"]


def row(
    op: str = "context", length: int = 1024, stack: str = "vllm/0.14.0", *, dtype: str = "bf16", kv_heads: int = 16
) -> str:
    return f"A100,{dtype},{op},4,16,{kv_heads},128,{length},{length},{int(op == 'context')},500.0,{stack}"


@pytest.fixture(scope="module")
def a100() -> Gpu:
    return load_hardware("a100_sxm4_80gb").gpu


def latencies(folder: Path, gpu: Gpu, *rows: str) -> list[float | None]:
    return [one.latency_us for one in predict(read_rows(write(folder, *rows, header=HEADER)), gpu)]


def test_the_stack_is_read_from_the_notes(tmp_path: Path, a100: Gpu) -> None:
    path = write(tmp_path, row(), row(stack="trtllm/1.0.0;torch_flow"), row(stack="nobody"), header=HEADER)
    rows = read_rows(path)
    assert [one.conditions.stack for one in rows] == ["vllm", "trtllm", None]
    kernels = [one.kernel for one in predict(rows, a100)]
    assert kernels == ["vllm 64x128x128", "trtllm 64x64x128", "sglang 128x64x128"]


def test_a_prompt_takes_longer_than_an_encoder(tmp_path: Path, a100: Gpu) -> None:
    prompt, encoder = latencies(tmp_path, a100, row(length=16), row("encoder", 16))
    assert prompt is not None
    assert encoder is not None
    assert prompt > encoder + 1


def test_launches_differ_by_what_the_machine_says(tmp_path: Path, a100: Gpu) -> None:
    graph, stream, kernel = latencies(
        tmp_path, a100, *(row(stack=f"vllm/0.14.0;launch={launch}") for launch in ("graph", "stream", "kernel"))
    )
    assert graph is not None
    assert stream is not None
    assert kernel is not None
    assert stream - graph == pytest.approx(1e6 * (a100.launch.stream - a100.launch.graph))
    assert graph - kernel == pytest.approx(1.45)


def test_what_is_not_modelled_is_listed_with_the_reason(tmp_path: Path) -> None:
    path = write(tmp_path, row(), row("generation"), row(dtype="fp32"), row(kv_heads=5), header=HEADER)
    found = validate(path, ["a100_sxm4_80gb"])
    reasons = found.unmodelled["reason"].tolist()
    assert found.summary()["n"] == 1
    assert ["generation" in reasons[0], "not fp32" in reasons[1], "cannot share 5" in reasons[2]] == [True] * 3


def test_halves_depend_on_the_shape_alone(tmp_path: Path) -> None:
    rows = read_rows(write(tmp_path, *(row(length=length) for length in range(1, 200)), header=HEADER))
    held = [is_held_out(one) for one in rows]
    assert 60 < sum(held) < 140
    again = read_rows(write(tmp_path, *(row(length=length, stack="x") for length in range(1, 200)), header=HEADER))
    assert [is_held_out(one) for one in again] == held


def test_attention_is_in_no_regime_of_products_and_in_no_decision(tmp_path: Path) -> None:
    path = write(tmp_path, row(), row("encoder", 2048), header=HEADER)
    summary = validate(path, ["a100_sxm4_80gb"]).summary()
    assert all(errors["n"] == 0 for errors in summary["regimes"].values())
    assert summary["decisions"] == {}
    assert {name: sum(part[half]["n"] for half in part) for name, part in summary["attention"]["regimes"].items()} == {
        "medium": 2, "causal": 1, "without_mask": 1,
    }  # fmt: skip


def test_the_document_and_the_report_tell_attention_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, row(), row("encoder", 77), row("generation"), header=HEADER)
    words = ["validate", str(path), "--hw", "a100_sxm4_80gb"]
    assert main([*words, "--json", "--out", str(tmp_path / "out")]) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, VALIDATE_SCHEMA)
    assert [one["stack"] for one in document["attention"]["stacks"]] == ["vllm"]
    assert document["rows"][1]["kv_len"] == 77
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "Attention by stack and regime" in printed
    assert "do not tell their launch" not in printed


@measured
def test_rows_that_were_left_out_of_the_fit_are_predicted_within_reason() -> None:
    found = validate(DATA, MACHINES).summary()
    assert (found["n"], found["unmodelled_count"]) == (300, 0)
    attention = found["attention"]
    for part in (attention["halves"], *attention["gpus"].values()):
        assert part["held_out"]["n"] > 60
        assert part["held_out"]["mape_percent"] < 13
        assert abs(part["held_out"]["bias_percent"]) < 6
    assert max(one["held_out"]["mape_percent"] for one in attention["stacks"]) < 16


@measured
@pytest.mark.parametrize("name", MACHINES)
def test_events_predict_as_well_as_the_closed_form(name: str) -> None:
    gpu = load_hardware(name).gpu
    rows = [one for one in rows_of(read_rows(DATA), gpu, None, False, DATA) if one.attention["q_len"] <= 1024][::3]
    found = [predict(rows, gpu, engine) for engine in ("estimate", "events")]
    mean = [
        np.mean([abs((one.latency_us or 0) / (row.latency_us or 1) - 1) for row, one in zip(rows, some, strict=True)])
        for some in found
    ]
    assert mean[0] < 0.12
    assert mean[1] < mean[0] + 0.04


@measured
def test_the_shipped_figures_are_those_that_the_fit_finds() -> None:
    fit = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "fit_attention.py"))["fit"]
    gpu = load_hardware("h100_sxm5").gpu
    library = load_library(gpu.library)
    assert library.fused_attention is not None
    rows = [one for one in rows_of(read_rows(DATA), gpu, None, False, DATA) if one.conditions.stack == "trtllm"]
    launch, efficiency = fit([one for one in rows if not is_held_out(one)], gpu, library, "trtllm")
    shipped = library.fused_attention.stacks["trtllm"]
    assert (round(1e6 * shipped.launch, 3), shipped.efficiency) == (launch, efficiency)
