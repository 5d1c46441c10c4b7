"""`accelsim study` and `accelsim watch`: documents, tables, folders with pictures, and mistakes."""

import json
from pathlib import Path

import jsonschema
import pytest

from accelsim.cli import main
from accelsim.cli.study import METHODS
from accelsim.explore.accuracy.study import DEFAULT_METHODS
from accelsim.results.accuracy_schema import STUDY_SCHEMA, WATCH_SCHEMA

FEW = ["--set", "workload.images=12"]
SMALL = ["--methods", "hdp,random,heads_top_k,heads_cascade", "--block-ratios", "0.5", "--head-ratios", "0.375,0.5"]


def test_default_methods_are_those_of_the_study() -> None:
    assert tuple(METHODS.split(",")) == DEFAULT_METHODS


def test_study_prints_tables_and_saves_a_figure(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["study", "digits_vit_16", *FEW, *SMALL, "--out", str(tmp_path / "study")]) == 0
    text = capsys.readouterr().out
    assert "12 inputs of split test: dense accuracy 100.0 %" in text
    assert "Blocks, tokens and values left out" in text
    assert "Heads left out" in text
    assert "Not available: heads_cascade at 50 %" in text
    assert "Does heads_top_k at 37.5 % of heads lose less than a cascade at 37.5 %?" in text
    saved = {path.name for path in (tmp_path / "study").iterdir()}
    assert saved == {"files.json", "study.json", "points.csv", "scores.npz", "study.png", "study.svg"}


def test_study_document(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["study", "digits_vit_16", *FEW, "--methods", "random", "--block-ratios", "0.5,0.7", "--json"]
    assert main(words) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, STUDY_SCHEMA)
    assert [point["asked"] for point in document["points"]] == [0.5, 0.7]


def test_watch_prints_decisions_and_draws_them(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["watch", "edge_hdp", "digits_vit_16", *FEW, "--input", "3", "--layer", "1", "--head", "3"]
    assert main([*words, "--out", str(tmp_path / "watch")]) == 0
    text = capsys.readouterr().out
    assert "Input 3 of digits_vit_16 under hdp: outputs" in text
    assert "Answer: dense 9, pruned 9, right is 9." in text
    saved = {path.name for path in (tmp_path / "watch").iterdir()}
    assert {"heads.png", "head_1_3.png", "rows.parquet"} <= saved
    assert "head_1_0.png" not in saved
    assert main([*words, "--json"]) == 0
    jsonschema.validate(json.loads(capsys.readouterr().out), WATCH_SCHEMA)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["study", "digits_vit_16", "--block-ratios", "0.5,all"], "--block-ratios 0.5,all: 'all' is no share"),
        (["study", "digits_vit_16", "--head-ratios", "1"], "--head-ratios 1: '1' is no share; allowed: 0 < share < 1"),
        (["study", "digits_vit_16", "--methods", ","], "--methods names nothing"),
        (["study", "gemm_1024"], "brings no inputs of its own"),
        (["watch", "edge_hdp", "digits_vit_16", "--input", "500"], "has no input 500; allowed: 0 to 499"),
        (["watch", "edge_hdp", "gemm_1024"], "has no attention"),
    ],
)
def test_mistakes_are_told(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert message in capsys.readouterr().err
