"""`accelsim breakeven`: document, tables, folder, mistakes and interrupts."""

import json
from pathlib import Path

import jsonschema
import pandas as pd
import pytest

from accelsim.cli import main
from accelsim.cli.options import PATTERNS
from accelsim.config.pattern_options import PATTERN_OPTIONS
from accelsim.explore import breakeven
from accelsim.results.schema import BREAK_EVEN_SCHEMA

SHAPE = ["--m", "1024", "--n", "256", "--k", "256"]
FEW = [*SHAPE, "--patterns", "block_wise,n_m", "--step", "0.2", "--resolution", "0.1"]


def test_every_pattern_can_be_named() -> None:
    assert set(PATTERNS) == set(PATTERN_OPTIONS)


def test_json_is_one_document_of_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["breakeven", "a100_sxm4_80gb", "v100_pcie", *FEW, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, BREAK_EVEN_SCHEMA)
    assert [(cell["hardware"], cell["pattern"]) for cell in document["cells"]] == [
        (gpu, pattern) for gpu in ("a100_sxm4_80gb", "v100_pcie") for pattern in ("block_wise", "n_m")
    ]
    assert document["products"] == [{"name": "1024 x 256 x 256", "m": 1024, "n": 256, "k": 256, "count": 1}]


def test_table_lists_what_a_machine_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["breakeven", "v100_pcie", *FEW]) == 0
    text = capsys.readouterr().out
    assert "not available" in text
    assert "Not available (n_m): 2:4 weights run on sparse tensor cores, and v100_pcie has none" in text
    assert "undecided" in text


def test_folder_holds_tables_and_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "found"
    words = ["breakeven", "a100_sxm4_80gb", *FEW, "--out", str(folder), "--quiet"]
    assert main(words) == 0
    assert capsys.readouterr().out == ""
    names = {"breakeven.json", "breakeven.csv", "points.csv", "breakeven.png", "breakeven.svg", "files.json"}
    assert {path.name for path in folder.iterdir()} == names
    assert (folder / "breakeven.png").read_bytes().startswith(b"\x89PNG")
    points = pd.read_csv(folder / "points.csv")
    assert {"pattern", "asked", "sparsity", "speedup", "speedup_low"} <= set(points.columns)
    assert len(pd.read_csv(folder / "breakeven.csv")) == 2


def test_the_default_is_a_layer_of_bert_base(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def remember(hardware: list[str], workload: object, **options: object) -> None:
        asked.update(hardware=hardware, workload=workload, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr("accelsim.explore.break_even", remember)
    assert main(["breakeven", "t4", "--sequence", "64"]) == 130
    assert (asked["hardware"], asked["workload"], asked["batch"]) == (["t4"], "bert_base_layer", 100)
    assert asked["sets"] == ["workload.sequence=64"]
    assert main(["breakeven", "t4", "--workload", "vgg16"]) == 130
    assert (asked["workload"], asked["batch"]) == ("vgg16", 1)


def test_an_interrupt_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(breakeven._Finder, "cell", interrupt)
    assert main(["breakeven", "t4", *FEW, "--out", str(tmp_path / "found")]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["t4", "--m", "64"], "--n, --k missing"),
        (["t4", *SHAPE, "--workload", "vgg16"], "give one of them"),
        (["t4", *SHAPE, "--patterns", "block"], "did you mean"),
        (["t4", *SHAPE, "--patterns", ","], "names no pattern"),
        (["t4", *SHAPE, "--limit", "1.5"], "limit < 1"),
        (["t4", *SHAPE, "--engine", "simpy"], "allowed: estimate, events"),
        (["t44", *SHAPE], "did you mean 't4'"),
        (["t4", *SHAPE, "--sequence", "64"], "workload.sequence"),
        (["t4", *SHAPE, "--set", "tile_wise.granulrity=64"], "granularity"),
        (["v100_pcie", *SHAPE, "--set", "workload.dtype=bf16"], "bf16"),
    ],
)
def test_mistakes_end_with_a_message(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["breakeven", *words]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""
