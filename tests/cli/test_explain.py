"""`accelsim explain`: documents, tables, folders and mistakes."""

import json
from pathlib import Path

import jsonschema
import pytest

from accelsim.cli import main
from accelsim.results.explain_schema import EXPLAIN_SCHEMA

RUN = ["v100_pcie", "gemm_1024", "--no-values", "--engine", "estimate"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "both"
    assert main(["compare", *RUN, "--schemes", "dense,tile_wise", "--out", str(folder), "--quiet"]) == 0
    return folder


def document(capsys: pytest.CaptureFixture[str], *words: str) -> dict:  # type: ignore[type-arg]
    assert main(["explain", *words, "--json"]) == 0
    found: dict = json.loads(capsys.readouterr().out)  # type: ignore[type-arg]
    jsonschema.validate(found, EXPLAIN_SCHEMA, jsonschema.Draft202012Validator)
    return found


def test_a_saved_comparison_and_a_run_say_the_same(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of_folder = document(capsys, str(saved), "--scheme", "tile_wise")
    of_run = document(capsys, *RUN, "--scheme", "tile_wise")
    assert of_folder == of_run
    (result,) = of_run["results"]
    assert sum(row["share_percent"] for row in result["stack"]) == pytest.approx(100)
    losses = result["losses"]
    assert losses["ideal_us"] + sum(row["time_us"] for row in losses["losses"]) == pytest.approx(losses["actual_us"])


def test_all_schemes_side_by_side(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(saved)]) == 0
    text = capsys.readouterr().out
    assert "dense (us)" in text
    assert "tile_wise (us)" in text
    assert "4x fewer multiply-accumulates" in text
    assert text.count("Roof of the GPU") == 2


def test_a_baseline_from_another_folder(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *RUN, "--scheme", "tile_wise", "--out", str(tmp_path), "--quiet"]) == 0
    (folder,) = tmp_path.iterdir()
    assert document(capsys, str(folder))["results"][0]["losses"] is None
    assert document(capsys, str(folder), str(saved)) == document(capsys, str(saved), "--scheme", "tile_wise")


def test_what_each_mechanism_costs(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (costs,) = document(capsys, str(saved), "--scheme", "tile_wise", "--what-if")["what_if"]
    assert costs["mechanisms"][0]["gained_us"] > 0
    assert main(["explain", str(saved), "--scheme", "tile_wise", "--what-if", "--top", "0"]) == 0
    captured = capsys.readouterr()
    assert "without one mechanism at a time" in captured.out
    assert "the longest" not in captured.out


def test_folder_holds_document_and_figure(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "why"
    assert main(["explain", str(saved), "--out", str(out), "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert {path.name for path in out.iterdir()} == {"explain.json", "explain.png", "explain.svg", "files.json"}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["nowhere"], "no such folder of results; to run something, give HARDWARE and WORKLOAD"),
        (["SAVED", "--seed", "3"], "--seed belongs to a run"),
        (["SAVED", "--set", "mapping.tile_m=64"], "--set belongs to a run"),
        (["SAVED", "--scheme", "hdp"], "holds no hdp; it holds dense, tile_wise"),
        (["SAVED", "nowhere"], "nowhere: no such folder of results"),
        (["EMPTY"], "holds no result of a run or comparison"),
        ([*RUN, "--scheme", "dens"], "unknown scheme 'dens'; did you mean 'dense'"),
        (["v100_pciee", "gemm_1024"], "v100_pcie"),
    ],
)
def test_mistakes(
    words: list[str], problem: str, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"SAVED": str(saved), "EMPTY": str(tmp_path)}
    assert main(["explain", *(places.get(word, word) for word in words)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert problem in captured.err
