import json

import numpy as np
import pytest

from accelsim.cli import main
from tests.importers.folders import BERT, bert_shapes, tensors_of, write_folder, write_tokenizer

pytest.importorskip("tokenizers")


@pytest.fixture
def model(tmp_path):
    folder = write_folder(tmp_path / "my model", BERT, tensors_of(bert_shapes()))
    write_tokenizer(folder / "tokenizer.json")
    return folder


def test_imported_model_runs(model, tmp_path, capsys):
    (tmp_path / "a.tsv").write_text("text\tlabel\na good film\t1\nbad\t0\n")
    (tmp_path / "b.csv").write_text('text,label\n"good, very good",2\n')
    data = ["--data", f"calibration={tmp_path / 'b.csv'}", "--data", str(tmp_path / "a.tsv")]
    assert main(["import", str(model), "-o", str(tmp_path / "out"), *data, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["kind"], document["items"], document["unused"]) == ("text", 1, [])
    workload = document["workload"]
    assert workload.endswith("my_model.yaml")
    sets = ["--set", "workload.split=test", "--engine", "estimate", "--json"]
    assert main(["run", "edge_hdp", workload, *sets]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["items"], summary["metric_name"]) == (2, "accuracy")
    assert main(["import", str(model), "-o", str(tmp_path / "out")]) == 0  # replaces the earlier import
    assert "MACs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column of texts"),
        ("text\tlabel\n", "has no rows below its first line"),
        ("label\n1\n", "no column of texts in label; columns are text"),
        ("text\tlabel\ngood\n", "t.tsv:2: has 1 cells, and the first line 2"),
        ("text\tlabel\ngood\t1\n \t0\n", "t.tsv:3: a text is empty"),
        ("text\tlabel\ngood\tfine\n", "t.tsv:2: label 'fine'; allowed: 0, 1, 2"),
        ("text\tlabel\ngood\t3\n", "t.tsv:2: label '3'"),
        ("sentence1\tsentence2\tscore\na\tb\thigh\n", "t.tsv:2: score 'high' is not a number"),
        ("sentence1\tsentence2\tscore\na\tb\t1\n", "scores need a classifier of one output"),
    ],
)
def test_rows_that_do_not_fit_are_named(model, tmp_path, capsys, text, message):
    (tmp_path / "t.tsv").write_text(text)
    assert main(["import", str(model), "-o", str(tmp_path / "out"), "--data", str(tmp_path / "t.tsv")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_tokenizer_that_does_not_fit_is_refused(model, tmp_path, capsys):
    write_tokenizer(tmp_path / "big.json", ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{index}" for index in range(30))])
    (tmp_path / "t.tsv").write_text("text\nw1\n")
    options = ["--data", str(tmp_path / "t.tsv"), "--tokenizer", str(tmp_path / "big.json")]
    assert main(["import", str(model), "-o", str(tmp_path / "out"), *options]) == 2
    assert "its largest token number is 33, and the table of words has 20 rows" in capsys.readouterr().err
    (model / "tokenizer.json").unlink()
    assert main(["import", str(model), "-o", str(tmp_path / "out"), *options[:2]]) == 2
    assert "no tokenizer.json beside the model" in capsys.readouterr().err


def test_pairs_are_read_together_and_long_texts_cut(model, tmp_path, capsys):
    rows = ["a good film was it very good\tnot bad not bad not bad", "a\tbad"]
    (tmp_path / "t.tsv").write_text("sentence1\tsentence2\n" + "\n".join(rows) + "\n")
    assert main(["import", str(model), "-o", str(tmp_path / "out"), "--data", str(tmp_path / "t.tsv")]) == 0
    assert "1 of 2 texts were cut to 12 tokens" in capsys.readouterr().out
    with np.load(tmp_path / "out" / "my_model_data.npz") as stored:
        np.testing.assert_array_equal(stored["test_lengths"], [12, 5])
        np.testing.assert_array_equal(stored["test_types"][1, :5], [0, 0, 0, 1, 1])


@pytest.mark.parametrize(
    ("data", "message"),
    [("none.tsv", "no file none.tsv"), ("a b=x.tsv", "'a b' is no name of a split"), ("t.json", "texts are read from")],
)
def test_data_options_are_checked(model, tmp_path, capsys, monkeypatch, data, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.json").write_text("{}")
    assert main(["import", str(model), "-o", str(tmp_path / "out"), "--data", data]) == 2
    assert message in capsys.readouterr().err


def test_a_spreadsheets_mark_is_no_part_of_a_column(model, tmp_path):
    (tmp_path / "t.csv").write_text("text,label\nbad,0\n", encoding="utf-8-sig")
    assert main(["import", str(model), "-o", str(tmp_path / "out"), "--data", str(tmp_path / "t.csv")]) == 0


def test_texts_that_cannot_be_cut_are_refused(model, tmp_path, capsys):
    (tmp_path / "t.tsv").write_text("text\na good film\n")
    options = ["--data", str(tmp_path / "t.tsv"), "--sequence", "1"]
    assert main(["import", str(model), "-o", str(tmp_path / "out"), *options]) == 2
    assert "cannot be cut to 1 tokens, since the tokenizer adds 2 of its own" in capsys.readouterr().err


def test_labels_that_no_classifier_can_meet_are_told(tmp_path, capsys):
    folder = write_folder(tmp_path / "m", BERT, tensors_of(bert_shapes("", None)))
    write_tokenizer(folder / "tokenizer.json")
    (tmp_path / "t.tsv").write_text("text\tlabel\nbad\t0\n")
    assert main(["import", str(folder), "-o", str(tmp_path / "out"), "--data", str(tmp_path / "t.tsv")]) == 0
    assert "its labels are left out" in capsys.readouterr().out
