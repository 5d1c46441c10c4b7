"""Data of an imported ONNX file: given by the names of its inputs, and used by judges and studies."""

import numpy as np
import pytest
from safetensors.numpy import save_file

import accelsim
from accelsim.cli import main
from accelsim.errors import OperandError
from accelsim.explore.accuracy import study
from accelsim.explore.budget.evaluate import DENSE, Inputs
from accelsim.importers.imported import save
from accelsim.importers.source import import_model

onnx = pytest.importorskip("onnx")
from onnx.reference import ReferenceEvaluator  # noqa: E402

from tests.importers.graphs import HIDDEN, Graph, floats, integers, written  # noqa: E402
from tests.importers.test_onnx_forms import hidden_scores, patches  # noqa: E402

ITEMS, TOKENS, WORDS, CLASSES = 2, 8, 20, 3


def classifier():
    """Words and a mask to logits of the first token."""
    graph = Graph()
    x = graph.norm(graph.add("Gather", graph.random(WORDS, HIDDEN), "ids", axis=0))
    query, key, value = (graph.heads(graph.linear(x, HIDDEN), ITEMS, TOKENS) for _ in range(3))
    scores = graph.add("MatMul", query, graph.add("Transpose", key, perm=(0, 1, 3, 2)))
    scores = graph.add("Mul", scores, graph.number((HIDDEN / 2) ** -0.5))
    power = graph.add("Softmax", hidden_scores(graph, "add", scores, "attention_mask"), axis=-1)
    x = graph.add("Add", graph.linear(graph.joined(graph.add("MatMul", power, value)), HIDDEN), x)
    first = graph.add("Gather", graph.norm(x), graph.constant(np.asarray(0)), axis=1)
    inputs = [integers(ITEMS, TOKENS), integers(ITEMS, TOKENS, name="attention_mask")]
    return graph.model(inputs, graph.linear(first, CLASSES))


def texts(model, count, seed=0):
    """Texts whose labels are what the model answers: dense accuracy is 1."""
    generator = np.random.default_rng(seed)
    ids = generator.integers(0, WORDS, (count, TOKENS))
    mask = (np.arange(TOKENS) < generator.integers(3, TOKENS + 1, count)[:, None]).astype(np.int64)
    outputs = [
        ReferenceEvaluator(model).run(None, {"ids": ids[at : at + 2], "attention_mask": mask[at : at + 2]})[0]
        for at in range(0, count, 2)
    ]
    return {"ids": ids, "attention_mask": mask, "labels": np.concatenate(outputs).argmax(axis=1)}


@pytest.fixture(scope="module")
def workload(tmp_path_factory):
    folder, model = tmp_path_factory.mktemp("onnx"), classifier()
    np.savez(folder / "test.npz", **texts(model, 12))
    save_file(texts(model, 8, seed=1), folder / "calibration.safetensors")
    data = {"test": folder / "test.npz", "calibration": folder / "calibration.safetensors"}
    found = import_model(written(model, folder), data=data, changes={"dtype": "fp32"})
    return save(found, folder / "out")


def test_any_number_of_items_is_judged_by_its_labels(workload):
    result = accelsim.run("edge_hdp", workload, engine="estimate")
    assert result.output.shape == (12, CLASSES)
    assert (result.summary["metric_name"], result.summary["metric"]) == ("accuracy", 1.0)
    other = accelsim.run("edge_hdp", workload, engine="estimate", sets=("workload.split=calibration",))
    assert other.output.shape == (8, CLASSES)


def test_budgets_are_judged_on_the_splits_of_a_graph(workload):
    inputs = Inputs("edge_hdp", workload, split="calibration", count=6)
    assert inputs.evaluate(DENSE).verdict.quality == 1.0
    assert (inputs.inputs, inputs.judge.name) == (6, "labels")


def test_studies_prune_the_attention_of_a_graph(workload):
    found = study([workload], methods=("oracle",), block_ratios=(0.5,), head_ratios=())
    (point,) = found.points
    assert point.pairs_pruned == pytest.approx(0.5, abs=0.1)
    assert (found.measure, float(found.dense.mean())) == ("accuracy", 1.0)


@pytest.mark.parametrize(
    "command",
    [
        ("watch", "edge_hdp", "WORKLOAD", "--input", "1"),
        ("tradeoff", "edge_hdp", "WORKLOAD", "--schemes", "dense,hdp", "--split", "test"),
        ("calibrate", "WORKLOAD", "--budget", "50%", "--out", "OUT"),
        ("run", "edge_hdp", "WORKLOAD", "--scheme", "hdp", "--engine", "estimate", "--per-input"),
        (
            "tune",
            "edge_hdp",
            "WORKLOAD",
            "--scheme",
            "hdp",
            "--vary",
            "hdp.rho_b=[-0.5, 0.3]",
            "--limit",
            "accuracy_points=50",
        ),
    ],
)
def test_commands_that_need_data_take_a_graph(workload, tmp_path, command):
    known = {"WORKLOAD": str(workload), "OUT": str(tmp_path / "calibrated.yaml")}
    assert main([known.get(word, word) for word in command]) == 0


def test_inputs_of_a_run_may_come_from_another_file(workload, tmp_path):
    stored = texts(classifier(), 4, seed=2)
    np.savez(tmp_path / "more.npz", **stored)
    result = accelsim.run("edge_hdp", workload, engine="estimate", operands=tmp_path / "more.npz")
    assert result.output.argmax(axis=1).tolist() == stored["labels"].tolist()


WRONG = {
    "mask": ({"attention_mask": np.ones((4, TOKENS), np.bool_)}, "attention_mask holds something else"),
    "missing": ({"ids": None}, r"no array test_ids; splits in the file: none"),
    "labels": ({"labels": np.asarray([0, 1, 3, 0])}, r"labels\[2\] is 3; allowed: whole numbers from 0 to 2"),
    "word": ({"ids": np.full((4, TOKENS), WORDS)}, r"ids\[0, 0\] is 20; allowed: whole numbers from 0 to 19"),
    "tokens": ({"ids": np.zeros((4, 5), np.int64)}, r"ids has items of shape \[5\], needed are 8 rows of 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_data_that_do_not_fit_the_graph_are_named_before_anything_is_written(tmp_path, case):
    changes, message = WRONG[case]
    model = classifier()
    stored = texts(model, 4) | changes
    np.savez(tmp_path / "d.npz", **{name: array for name, array in stored.items() if array is not None})
    with pytest.raises(OperandError, match=message):
        import_model(written(model, tmp_path), data={"test": tmp_path / "d.npz"})


def test_inputs_that_are_not_finite_are_named_before_anything_is_written(tmp_path):
    graph, x = Graph(), np.zeros((4, HIDDEN), np.float32)
    x[2, 1] = np.nan
    np.savez(tmp_path / "d.npz", x=x)
    path = written(graph.model([floats(ITEMS, HIDDEN)], graph.linear("x", CLASSES)), tmp_path)
    with pytest.raises(OperandError, match=r"x\[2, 1\] is nan; operands must be finite"):
        import_model(path, data={"test": tmp_path / "d.npz"})


def test_texts_and_tokenizers_are_for_folders(tmp_path):
    path = written(classifier(), tmp_path)
    for given in ({"data": {"test": tmp_path / "reviews.tsv"}}, {"tokenizer": tmp_path / "tokenizer.json"}):
        with pytest.raises(OperandError, match="an ONNX file takes arrays by the names of its inputs"):
            import_model(path, **given)


def test_images_are_given_as_the_graph_takes_them(tmp_path):
    graph = Graph()
    x, tokens = patches(graph)
    x = graph.add("Add", graph.attention(x, ITEMS, tokens), x)
    first = graph.add("Gather", graph.norm(x), graph.constant(np.asarray(0)), axis=1)
    model = graph.model([floats(ITEMS, 3, 8, 8)], graph.linear(first, CLASSES))
    images = np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32)
    expected = np.concatenate([ReferenceEvaluator(model).run(None, {"x": images[at : at + 2]})[0] for at in (0, 2)])
    np.savez(tmp_path / "d.npz", images=images, labels=expected.argmax(axis=1))
    found = import_model(written(model, tmp_path), data={"test": tmp_path / "d.npz"}, changes={"dtype": "fp32"})
    result = accelsim.run("edge_hdp", save(found, tmp_path / "out"), engine="estimate")
    np.testing.assert_allclose(result.output, expected, rtol=1e-3, atol=1e-4)
    assert result.summary["metric"] == 1.0


def test_items_that_come_second_are_turned(tmp_path):
    graph = Graph()
    turned = graph.add("Transpose", "x", perm=(1, 0, 2))
    x = graph.add("Add", graph.attention(turned, ITEMS, TOKENS), turned)
    mean = graph.add("ReduceMean", graph.add("Transpose", x, perm=(1, 0, 2)), axes=[0], keepdims=0)
    model = graph.model([floats(TOKENS, ITEMS, HIDDEN)], graph.linear(mean, CLASSES), opset=13)
    values = np.random.default_rng(0).standard_normal((TOKENS, ITEMS, HIDDEN)).astype(np.float32)
    (expected,) = ReferenceEvaluator(model).run(None, {"x": values})
    np.savez(tmp_path / "d.npz", x=values, labels=expected.argmax(axis=1))
    found = import_model(written(model, tmp_path), data={"test": tmp_path / "d.npz"}, changes={"dtype": "fp32"})
    output = accelsim.run("edge_hdp", save(found, tmp_path / "out"), engine="estimate").output
    np.testing.assert_allclose(output, expected, rtol=1e-3, atol=1e-4)


def test_the_command_names_what_it_cannot_import(tmp_path, capsys):
    graph = Graph()
    output = graph.add("Selu", graph.linear("x", 3))
    path = written(graph.model([floats(ITEMS, HIDDEN)], output), tmp_path)
    assert main(["import", str(path), "-o", str(tmp_path / "out")]) == 2
    assert "Selu (1); nodes: Selu_2_0 (Selu)" in capsys.readouterr().err.replace("\n  ", " ")
    assert not (tmp_path / "out").exists()
