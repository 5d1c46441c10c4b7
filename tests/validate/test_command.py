"""`accelsim validate`: one document, tables, a folder with a figure, exit statuses."""

import json
from pathlib import Path

import jsonschema
import pytest

from accelsim.cli import main
from accelsim.results.schema import VALIDATE_SCHEMA
from tests.validate.tables import dense, write

KEYS = ("engine", "n", "mape_percent", "median_ape_percent", "p90_ape_percent", "bias_percent", "rows", "unmodelled")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two dense rows on an A100, one on an H100, and one that is not modelled."""
    return write(
        tmp_path,
        dense(1024, 1024, 1024, 20.0, notes="trtllm_1.0.0;cuda_graph"),
        dense(9, 64, 64, 3.0, notes="hearsay"),
        dense(1024, 1024, 1024, 11.0, gpu="H100-SXM5-80GB", notes="library=cublas"),
        dense(64, 64, 64, 3.0).replace("gemm", "spmm_vnm"),
    )


@pytest.mark.parametrize("engine", ["estimate", "events"])
def test_one_document(table: Path, capsys: pytest.CaptureFixture[str], engine: str) -> None:
    assert main(["validate", str(table), "--hw", "a100_sxm4_80gb", "--engine", engine, "--json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    jsonschema.validate(document, VALIDATE_SCHEMA)
    assert captured.err == ""
    assert all(key in document for key in KEYS)
    assert (document["engine"], document["n"]) == (engine, 2)
    for row in document["rows"]:
        ape = 100 * abs(row["predicted_us"] / row["measured_us"] - 1)
        assert row["ape_percent"] == pytest.approx(ape)
    errors = [row["ape_percent"] for row in document["rows"]]
    assert document["mape_percent"] == pytest.approx(sum(errors) / 2)
    assert document["unmodelled"][0]["reason"] == "a V:N:M product of unknown V, N and M"
    assert document["unmodelled_count"] == 1


def test_a_report_and_a_folder(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["validate", str(table), "--hw", "a100_sxm4_80gb", "--hw", "h100_sxm5", "--out", str(out)]) == 0
    captured = capsys.readouterr()
    for text in (
        "a100_sxm4_80gb",
        "h100_sxm5",
        "one GPU against another",
        "Not predicted, 1 rows: a V:N:M product",
        "'hearsay'",
    ):
        assert text in captured.out
    assert captured.err == f"saved {out}\n"
    assert (out / "validation.png").read_bytes().startswith(b"\x89PNG")
    assert {"predictions.csv", "summary.json", "validation.svg"} < {path.name for path in out.iterdir()}


def test_board_power_has_a_figure_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "power.csv"
    path.write_text("gpu,dtype,m,n,k,power_w\nH200-SXM,bf16,4096,4096,4096,600\nH200-SXM,bf16,16,64,5120,150\n")
    assert main(["validate", str(path), "--hw", "h200_sxm", "--out", str(tmp_path / "out"), "--quiet"]) == 0
    figures = {file.name for file in (tmp_path / "out").glob("*.*g")}
    assert figures == {"power.png", "power.svg"}


def test_nothing_that_is_modelled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, dense(64, 64, 64, 3.0).replace("gemm", "spmm_vnm"))
    words = ["validate", str(path), "--hw", "a100_sxm4_80gb"]
    assert main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, VALIDATE_SCHEMA)
    assert (document["n"], document["mape_percent"], document["rows"]) == (0, None, [])
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    assert "Not predicted, 1 rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--hw", "a100_sxm4_80gb", "--engine", "simpy"], "unknown engine 'simpy'"),
        (["--hw", "a100"], "unknown name 'a100'; did you mean 'a100_pcie_40gb' or"),
        (["--hw", "a100_sxm4_80gb", "--out", str(Path(__file__).parent)], "holds something else"),
        (["--hw", "t4"], "no row of t4"),
        ([], "--hw"),
        (["--hw", "a100_sxm4_80gb", "--set", "workload.m=7"], "--set workload.m=7: has no part in a validation"),
        (["--hw", "a100_sxm4_80gb", "--set", "hardware.clokc=1 GHz"], "clokc"),
    ],
)
def test_mistakes(table: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str) -> None:
    assert main(["validate", str(table), *words]) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.out == ""


def test_a_bad_row_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, dense(8, 8, 8, 0.0))
    assert main(["validate", str(path), "--hw", "a100_sxm4_80gb"]) == 2
    assert "row 1 (line 2): latency_us is 0.0" in capsys.readouterr().err
