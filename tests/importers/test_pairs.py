"""A user's pairs of texts with scores: read, run, studied, and refused."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import accelsim
from accelsim.errors import OperandError
from accelsim.explore.accuracy import study
from accelsim.importers.imported import Imported, save
from accelsim.importers.source import import_model
from accelsim.importers.text_files import read_text_file
from accelsim.results.accuracy_schema import STUDY_SCHEMA
from accelsim.results.metrics import spearman
from tests.importers.folders import BERT, bert_shapes, tensors_of, write_folder, write_tokenizer

ROWS = (
    ("a good film", "a very good film", 4.5),
    ("a good film", "bad", 0.5),
    ("it was bad", "bad", 3),
    ("it was not good", "a very good film", 1),
    ("not good film", "it was very bad", 2),
)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("tokenizers")
    folder = write_folder(tmp_path_factory.mktemp("m") / "m", BERT, tensors_of(bert_shapes("", None)))
    write_tokenizer(folder / "tokenizer.json")
    return folder


def pairs_file(path: Path, rows: tuple[tuple[str, str, float], ...] = ROWS) -> Path:
    path.write_text("text_a,text_b,score\n" + "".join(f"{a},{b},{score}\n" for a, b, score in rows))
    return path


def imported(encoder: Path, path: Path) -> Imported:
    data = {"test": path, "calibration": path}
    return import_model(encoder, data=data, changes={"dtype": "fp32", "pooling": "mean"})


def test_texts_that_recur_are_run_once(encoder: Path, tmp_path: Path) -> None:
    found = imported(encoder, pairs_file(tmp_path / "pairs.csv"))
    assert len(found.data["test_tokens"]) == 7
    np.testing.assert_array_equal(found.data["test_pairs"], [[0, 1], [0, 2], [3, 2], [4, 1], [5, 6]])
    result = accelsim.run("edge_hdp", save(found, tmp_path / "out"), engine="estimate")
    assert result.output is not None
    units = result.output / np.linalg.norm(result.output, axis=1, keepdims=True)
    cosines = [units[a] @ units[b] for a, b in found.data["test_pairs"]]
    assert result.summary["metric_name"] == "spearman"
    assert result.summary["metric"] == pytest.approx(spearman(cosines, [score for *_, score in ROWS]))
    apart = imported(encoder, pairs_file(tmp_path / "two.csv", (ROWS[0], ROWS[4])))
    assert "test_pairs" not in apart.data
    assert len(apart.data["test_tokens"]) == 4


def test_a_study_is_judged_by_the_scores(encoder: Path, tmp_path: Path) -> None:
    workload = save(imported(encoder, pairs_file(tmp_path / "pairs.csv")), tmp_path / "out")
    found = study([workload], methods=("hdp_robust", "random"), block_ratios=(0.4,), head_ratios=())
    assert found.measure == "spearman"
    assert (found.items, found.dense.shape) == (7, (1, 5))
    dense = accelsim.run("edge_hdp", workload, engine="estimate").summary["metric"]
    assert found.dense_score == pytest.approx(dense)
    point = found.at("random", 0.4)
    assert point.score == spearman(point.scores[0], [score for *_, score in ROWS])
    loss = found.loss(point)
    assert loss.difference == pytest.approx(found.dense_score - point.score)
    assert loss.low <= loss.difference <= loss.high
    assert "texts that pairs share" in found.notes()[0]
    assert any("5 pairs of texts" in note for note in found.notes())
    jsonschema.validate(json.loads(found.to_json()), STUDY_SCHEMA)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text_a,text_b,score\na,b,much\n", r"p\.csv:2: score 'much' is not a number"),
        ("text_a,text_b,score\na,b,\n", r"p\.csv:2: score '' is not a number"),
        ("text_a,text_b,score\na,b\n", r"p\.csv:2: has 2 cells, and the first line 3"),
        ("text_a,text_b,score\na, ,1\n", r"p\.csv:2: a text is empty"),
        ("text_b,score\na,1\n", r"p\.csv: no column of texts in text_b, score; .*text_a"),
        ("text_a,text_b,score\n", r"p\.csv: has no rows below its first line"),
    ],
)
def test_rows_that_do_not_fit_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(OperandError, match=message):
        read_text_file(tmp_path / "p.csv")


def test_what_cannot_be_judged_is_told(encoder: Path, tmp_path: Path) -> None:
    one = save(imported(encoder, pairs_file(tmp_path / "one.csv", ROWS[:1])), tmp_path / "one")
    with pytest.raises(OperandError, match="there is 1, and a correlation of ranks needs at least two that differ"):
        study([one], methods=("random",), block_ratios=(0.5,))
    (tmp_path / "single.csv").write_text("text_a,score\na good film,1\nbad,2\n")
    with pytest.raises(OperandError, match="scores need a classifier of one output, or pairs of texts"):
        imported(encoder, tmp_path / "single.csv")
    (tmp_path / "bare.csv").write_text("text_a,text_b,scor\na good film,bad,2\n")
    (note,) = set(imported(encoder, tmp_path / "bare.csv").notes)
    assert note.endswith("has no label or score to judge pairs of texts by")
