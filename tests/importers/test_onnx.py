import math

import numpy as np
import pytest

import accelsim
from accelsim.errors import ConfigError, OperandError
from accelsim.importers.imported import save
from accelsim.importers.source import import_model

onnx = pytest.importorskip("onnx")
from onnx import TensorProto  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from tests.importers import graphs  # noqa: E402
from tests.importers.graphs import HEADS, HIDDEN, info  # noqa: E402

BATCH, TOKENS, WORDS = 2, 6, 11


class Graph(graphs.Graph):
    """With shapes that nodes put together, and a mask that is added to scores."""

    def heads(self, x, perm):
        shape = self.add("Concat", self.sizes, self.constant(np.asarray([HEADS, HIDDEN // HEADS])), axis=0)
        return self.add("Transpose", self.add("Reshape", x, shape), perm=perm)

    def attention(self, x, mask=None):
        query, key, value = (self.linear(x, HIDDEN) for _ in range(3))
        scores = self.add("MatMul", self.heads(query, (0, 2, 1, 3)), self.heads(key, (0, 2, 3, 1)))
        scores = self.add("Div", scores, self.number(math.sqrt(HIDDEN / HEADS)))
        if mask is not None:
            scores = self.add("Add", scores, mask)
        context = self.add("MatMul", self.add("Softmax", scores, axis=-1), self.heads(value, (0, 2, 1, 3)))
        return self.linear(self.joined(context), HIDDEN)


def encoder():
    """Token numbers and a mask to logits, in the form that exporters write."""
    graph = Graph()
    x = graph.add("Gather", graph.random(WORDS, HIDDEN), "input_ids", axis=0)
    x = graph.norm(graph.add("Add", x, graph.random(1, TOKENS, HIDDEN)))
    graph.sizes = graph.constant(np.asarray([BATCH, TOKENS]))
    wide = graph.add("Unsqueeze", "attention_mask", graph.constant(np.asarray([1, 2])))
    hidden = graph.add("Sub", graph.number(1), graph.add("Cast", wide, to=TensorProto.FLOAT))
    mask = graph.add("Mul", hidden, graph.number(-1e9))
    x = graph.norm(graph.add("Add", graph.attention(x, mask), x))
    inner = graph.linear(graph.gelu(graph.linear(x, 24)), HIDDEN, 24)
    x = graph.norm(graph.add("Add", inner, x))
    first = graph.add("Gather", x, graph.constant(np.asarray(0)), axis=1)
    pooled = graph.add("Tanh", graph.add("Gemm", first, graph.random(HIDDEN, HIDDEN), graph.random(HIDDEN), transB=1))
    output = graph.add("Gemm", pooled, graph.random(HIDDEN, 3), graph.random(3))
    inputs = [
        info("input_ids", TensorProto.INT64, BATCH, TOKENS),
        info("attention_mask", TensorProto.INT64, BATCH, TOKENS),
    ]
    return graph.model(inputs, output)


def imported(model, folder, **changes):
    onnx.save(model, folder / "m.onnx")
    return import_model(folder / "m.onnx", changes={"dtype": "fp32", **changes})


def test_encoder_gives_what_the_graph_gives(tmp_path):
    model = encoder()
    found = imported(model, tmp_path)
    operations = [step.op for step in found.workload.steps]
    assert operations.count("attention") == 1
    assert [step.activation for step in found.workload.steps if step.op == "linear"].count("gelu") == 1
    assert {"gelu", "tanh", "softmax"}.isdisjoint(operations)  # all are part of another step
    assert any("attention_mask hides padding" in note for note in found.notes)
    written = save(found, tmp_path / "out")
    tokens = np.random.default_rng(1).integers(0, WORDS, (BATCH, TOKENS))
    mask = np.asarray([[1] * TOKENS, [1, 1, 1, 0, 0, 0]])
    feeds = {"input_ids": tokens, "attention_mask": mask}
    np.savez(tmp_path / "d.npz", **feeds)
    output = accelsim.run("edge_hdp", written, engine="estimate", operands=tmp_path / "d.npz").output
    np.testing.assert_allclose(output, ReferenceEvaluator(model).run(None, feeds)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["gelu", "gelu_tanh", "relu", "tanh"])
def test_functions_are_recognised_by_their_values(tmp_path, kind):
    graph = Graph()
    x = graph.linear("x", 8)
    match kind:
        case "gelu":
            y = graph.gelu(x)
        case "gelu_tanh":
            cube = graph.add("Mul", graph.number(0.044715), graph.add("Pow", x, graph.number(3)))
            inner = graph.add("Mul", graph.number(math.sqrt(2 / math.pi)), graph.add("Add", x, cube))
            smooth = graph.add("Add", graph.number(1), graph.add("Tanh", inner))
            y = graph.add("Mul", graph.add("Mul", graph.number(0.5), x), smooth)
        case _:
            y = graph.add(kind.capitalize(), x)
    found = imported(graph.model([info("x", TensorProto.FLOAT, 4, HIDDEN)], graph.linear(y, 2, 8)), tmp_path)
    assert [(step.op, step.activation) for step in found.workload.steps] == [("linear", kind), ("linear", None)]


def test_a_function_of_a_product_that_others_read_stays_a_step(tmp_path):
    graph = Graph()
    x = graph.linear("x", HIDDEN)
    model = graph.model(
        [info("x", TensorProto.FLOAT, 4, HIDDEN)], graph.norm(graph.add("Add", graph.add("Relu", x), x))
    )
    found = imported(model, tmp_path)
    assert [step.op for step in found.workload.steps] == ["linear", "relu", "add", "norm"]
    written = save(found, tmp_path / "out")
    values = np.random.default_rng(1).standard_normal((4, HIDDEN)).astype(np.float32)
    np.savez(tmp_path / "d.npz", **{next(iter(found.workload.inputs)): values})
    output = accelsim.run("edge_hdp", written, engine="estimate", sets=(f"workload.data={tmp_path / 'd.npz'}",)).output
    np.testing.assert_allclose(output, ReferenceEvaluator(model).run(None, {"x": values})[0], rtol=1e-4, atol=1e-5)


def test_all_unsupported_operators_are_listed_with_counts(tmp_path):
    graph = Graph()
    x = graph.add("Selu", graph.add("Selu", "x"))
    x = graph.add("Cos", graph.linear(x, 4))
    with pytest.raises(OperandError, match=r"Cos \(1\), Selu \(2\); nodes: Selu_0_0 \(Selu\), .*; supported: "):
        imported(graph.model([info("x", TensorProto.FLOAT, 4, HIDDEN)], x), tmp_path)


def test_scores_of_another_scale_are_not_taken_for_attention(tmp_path):
    graph = Graph()
    graph.sizes = graph.constant(np.asarray([1, 4]))
    query, key, value = (graph.heads(graph.linear("x", HIDDEN), (0, 2, *rest)) for rest in ((1, 3), (3, 1), (1, 3)))
    power = graph.add("Softmax", graph.add("MatMul", query, key), axis=-1)
    output = graph.add("MatMul", power, value)
    with pytest.raises(OperandError, match=r"MatMul \(1\)"):
        imported(graph.model([info("x", TensorProto.FLOAT, 1, 4, HIDDEN)], output), tmp_path)


def test_extents_without_numbers_are_one_text_of_the_asked_length(tmp_path):
    graph = Graph()
    x = graph.norm(graph.add("Gather", graph.random(WORDS, HIDDEN), "ids", axis=0))
    model = graph.model([info("ids", TensorProto.INT64, "batch", "tokens")], graph.linear(x, 2))
    found = imported(model, tmp_path, sequence=5)
    (tensor,) = found.workload.inputs.values()
    assert (tensor.rows, tensor.columns, tensor.integers_below) == (5, 1, WORDS)


def test_damaged_files_and_foreign_options_are_refused(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"no model")
    with pytest.raises(OperandError, match="cannot be read as an ONNX model"):
        import_model(tmp_path / "m.onnx")
    with pytest.raises(ConfigError, match="pooling cannot be asked of an ONNX file"):
        imported(encoder(), tmp_path, pooling="mean")
