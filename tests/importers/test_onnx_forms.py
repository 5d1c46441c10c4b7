"""The ways in which exporters write one and the same thing. An import compares its outputs with the graph's itself."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import OperandError
from accelsim.importers import onnx_formulas
from accelsim.importers.source import import_model

pytest.importorskip("onnx")
from onnx import TensorProto, helper

from tests.importers.graphs import HEADS, HIDDEN, Graph, floats, integers, written

ITEMS, TOKENS, WORDS = 2, 6, 20


def imported(folder, graph, inputs, output, opset=17, **asked):
    path = written(graph.model(inputs, output, opset), folder)
    return import_model(path, changes={"dtype": "fp32", **asked})


def operations(found):
    return [step.op for step in found.workload.steps]


def difference(found):
    """Largest difference to the graph's own outputs, which the import notes."""
    (note,) = [note for note in found.notes if note.startswith("dense outputs equal")]
    return float(note.split("within ")[1].split()[0])


def test_layer_norm_in_parts_is_one_step_of_its_own_epsilon(tmp_path):
    graph = Graph()
    x = graph.norm_in_parts(graph.linear("x", HIDDEN), epsilon=1e-3)
    found = imported(tmp_path, graph, [floats(4, HIDDEN)], graph.linear(x, 3), opset=13)
    assert operations(found) == ["linear", "norm", "linear"]
    assert found.workload.steps[1].epsilon == pytest.approx(1e-3)
    assert difference(found) < 1e-5


def test_vectors_divided_by_their_length_are_recognised(tmp_path):
    graph = Graph()
    x = graph.linear("x", HIDDEN)
    length = graph.add("Clip", graph.add("ReduceL2", x, axes=[-1]), graph.number(1e-12))
    wide = graph.add("Expand", length, graph.add("Shape", x))
    found = imported(tmp_path, graph, [floats(4, HIDDEN)], graph.add("Div", x, wide))
    assert operations(found) == ["linear", "normalise"]


FUSED = ("split", "slice", "gather", "reshape")


def fused_qkv(graph, form, x, items, tokens, heads, hidden):
    """Q, K and V of one product, [items, heads, tokens, columns] each."""
    wide = graph.linear(x, 3 * hidden, hidden)
    if form in ("split", "slice"):
        if form == "split":
            parts = graph.add("Split", wide, graph.integers(hidden, hidden, hidden), outputs=3, axis=-1)
        else:
            ends = [(index * hidden, (index + 1) * hidden) for index in range(3)]
            parts = [graph.add("Slice", wide, *(graph.integers(each) for each in (*end, 2))) for end in ends]
        return [graph.heads(part, items, tokens, heads=heads, hidden=hidden) for part in parts]
    shape = graph.integers(items, tokens, 3, heads, hidden // heads)
    if form == "reshape":
        shape = graph.integers(0, -1, 3, heads, hidden // heads)
    ordered = graph.add("Transpose", graph.add("Reshape", wide, shape), perm=(2, 0, 3, 1, 4))
    return [graph.add("Gather", ordered, graph.constant(np.asarray(index)), axis=0) for index in range(3)]


@settings(max_examples=12, deadline=None)
@given(
    form=st.sampled_from(FUSED),
    items=st.integers(1, 3),
    tokens=st.integers(2, 5),
    heads=st.integers(1, 3),
    columns=st.integers(1, 4),
)
def test_fused_products_of_q_k_and_v_are_one_product_and_its_columns(
    tmp_path_factory, form, items, tokens, heads, columns
):
    graph, hidden = Graph(), heads * columns + (heads * columns == 1)
    heads = heads if hidden % heads == 0 else 1
    query, key, value = fused_qkv(graph, form, "x", items, tokens, heads, hidden)
    context = graph.product(query, graph.add("Transpose", key, perm=(0, 1, 3, 2)), value, hidden // heads)
    output = graph.linear(graph.joined(context, hidden), hidden, hidden)
    found = imported(tmp_path_factory.mktemp("m"), graph, [floats(items, tokens, hidden)], output)
    assert operations(found) == ["linear", "columns", "columns", "columns", "attention", "linear"]
    attention = found.workload.steps[4]
    assert (attention.heads, attention.batch) == (heads, 1)
    assert difference(found) < 1e-5


def test_items_may_be_the_second_extent(tmp_path):
    graph = Graph()
    shape = graph.integers(TOKENS, ITEMS * HEADS, HIDDEN // HEADS)
    query, key, value = (
        graph.add("Transpose", graph.add("Reshape", graph.linear("x", HIDDEN), shape), perm=perm)
        for perm in ((1, 0, 2), (1, 2, 0), (1, 0, 2))
    )
    context = graph.add("Transpose", graph.product(query, key, value), perm=(1, 0, 2))
    joined = graph.add("Reshape", context, graph.integers(TOKENS * ITEMS, HIDDEN))
    x = graph.add(
        "Reshape", graph.add("Gemm", joined, graph.random(HIDDEN, HIDDEN)), graph.integers(TOKENS, ITEMS, HIDDEN)
    )
    found = imported(tmp_path, graph, [floats(TOKENS, ITEMS, HIDDEN)], graph.norm(graph.add("Add", x, "x")))
    assert operations(found) == ["linear", "linear", "linear", "attention", "linear", "add", "norm"]
    assert found.workload.inputs["x"].rows == TOKENS
    assert any("items are the second extent" in note for note in found.notes)


def hidden_scores(graph, form, scores, mask):
    """Scores with the keys of padding hidden in one of the ways that exporters have."""
    wide = graph.add("Unsqueeze", mask, graph.integers(1, 2))
    if form == "where":
        real = graph.add("Cast", wide, to=TensorProto.BOOL)
        return graph.add("Where", real, scores, graph.number(-np.inf))
    if form == "where not":
        padded = graph.add("Equal", wide, graph.constant(np.asarray(0)))
        return graph.add("Where", graph.add("Expand", padded, graph.add("Shape", scores)), graph.number(-1e38), scores)
    hidden = graph.add("Sub", graph.number(1), graph.add("Cast", wide, to=TensorProto.FLOAT))
    return graph.add("Add", scores, graph.add("Mul", hidden, graph.number(-10000)))


@pytest.mark.parametrize("form", ["where", "where not", "add"])
def test_masks_are_known_by_what_they_hide(tmp_path, form):
    graph = Graph()
    x = graph.add("Gather", graph.random(WORDS, HIDDEN), "ids", axis=0)
    query, key, value = (graph.heads(graph.linear(x, HIDDEN), ITEMS, TOKENS) for _ in range(3))
    root = graph.number((HIDDEN / HEADS) ** -0.25)  # of both, as scaled_dot_product_attention has it
    turned = graph.add("Mul", graph.add("Transpose", key, perm=(0, 1, 3, 2)), root)
    scores = graph.add("MatMul", graph.add("Mul", query, root), turned)
    power = graph.add("Softmax", hidden_scores(graph, form, scores, "attention_mask"), axis=-1)
    power = graph.add("Where", graph.add("IsNaN", power), graph.number(0), power)
    output = graph.linear(graph.joined(graph.add("MatMul", power, value)), HIDDEN)
    inputs = [integers(ITEMS, TOKENS), integers(ITEMS, TOKENS, name="attention_mask")]
    found = imported(tmp_path, graph, inputs, output)
    assert found.workload.mask == "attention_mask"
    assert [step.padded for step in found.workload.steps if step.op == "attention"] == [True]
    assert difference(found) < 1e-5


def test_a_mask_that_hides_something_else_is_not_taken_for_padding(tmp_path):
    graph = Graph()
    query, key, value = (graph.heads(graph.linear("x", HIDDEN), ITEMS, TOKENS) for _ in range(3))
    later = np.where(np.tri(TOKENS), 0, -1e9).astype(np.float32)  # of causal attention
    scores = graph.add("MatMul", query, graph.add("Transpose", key, perm=(0, 1, 3, 2)))
    power = graph.add("Softmax", graph.add("Add", scores, graph.constant(later)), axis=-1)
    with pytest.raises(OperandError, match=r"Add \(1\); supported in other forms: Add; nodes: Add_\d+_0 \(Add\)"):
        imported(tmp_path, graph, [floats(ITEMS, TOKENS, HIDDEN)], graph.add("MatMul", power, value))


def test_masks_of_truth_values_that_are_added_are_named(tmp_path):
    graph = Graph()
    query, key = (graph.heads(graph.linear("x", HIDDEN), ITEMS, TOKENS) for _ in range(2))
    scores = graph.add("MatMul", query, graph.add("Transpose", key, perm=(0, 1, 3, 2)))
    shown = graph.constant(np.ones((ITEMS, 1, TOKENS, TOKENS), np.bool_))
    output = graph.add("Softmax", graph.add("Add", scores, shown), axis=-1)
    with pytest.raises(OperandError, match=r"Add of truth values \(1\)"):
        imported(tmp_path, graph, [floats(ITEMS, TOKENS, HIDDEN)], output)


@pytest.mark.parametrize("flat", [False, True])
def test_attention_as_one_node(tmp_path, flat):
    graph = Graph()
    parts = [graph.linear("x", HIDDEN) for _ in range(3)]
    if flat:
        made = graph.add("Attention", *parts, q_num_heads=HEADS, kv_num_heads=HEADS)
    else:
        made = graph.joined(graph.add("Attention", *(graph.heads(part, ITEMS, TOKENS) for part in parts)))
    found = imported(tmp_path, graph, [floats(ITEMS, TOKENS, HIDDEN)], graph.linear(made, HIDDEN), opset=23)
    assert operations(found) == ["linear", "linear", "linear", "attention", "linear"]


def patches(graph, side=4, channels=3, pixels=8, strides=None):
    """Patch embedding, class token and positions, as vision transformers have them."""
    tokens = (pixels // side) ** 2
    kernels = graph.random(HIDDEN, channels, side, side)
    x = graph.add("Conv", "x", kernels, graph.random(HIDDEN), strides=strides or [side, side])
    x = graph.add("Transpose", graph.add("Reshape", x, graph.integers(0, HIDDEN, -1)), perm=(0, 2, 1))
    first = graph.add("Expand", graph.random(1, 1, HIDDEN), graph.integers(ITEMS, 1, HIDDEN))
    x = graph.add("Concat", first, x, axis=1)
    return graph.add("Add", x, graph.random(1, tokens + 1, HIDDEN)), tokens + 1


def test_convolutions_of_patches_are_products(tmp_path):
    graph = Graph()
    x, tokens = patches(graph)
    x = graph.add("Add", graph.attention(graph.norm(x), ITEMS, tokens), x)
    first = graph.add("Gather", graph.norm(x), graph.constant(np.asarray(0)), axis=1)
    found = imported(tmp_path, graph, [floats(ITEMS, 3, 8, 8)], graph.linear(first, 3))
    assert operations(found)[:3] == ["linear", "position", "norm"]
    assert found.workload.steps[1].class_token
    image = found.workload.inputs["x"]
    assert (image.image, image.patch, image.rows, image.columns) == ([3, 8, 8], 4, 4, 48)
    assert difference(found) < 1e-5


def test_convolutions_whose_windows_overlap_are_refused(tmp_path):
    graph = Graph()
    output = graph.add("Conv", "x", graph.random(HIDDEN, 3, 4, 4), strides=[2, 2])
    with pytest.raises(OperandError, match=r"Conv \(1\); supported in other forms: Conv"):
        imported(tmp_path, graph, [floats(ITEMS, 3, 8, 8)], output)


@pytest.mark.parametrize("norm", ["norm", "norm_in_parts"])
def test_means_over_real_tokens(tmp_path, norm):
    graph = Graph()
    x = getattr(graph, norm)(graph.add("Gather", graph.random(WORDS, HIDDEN), "ids", axis=0))
    mask = graph.add("Cast", graph.add("Unsqueeze", "attention_mask", graph.integers(-1)), to=TensorProto.FLOAT)
    wide = graph.add("Expand", mask, graph.add("Shape", x))
    total = graph.add("ReduceSum", graph.add("Mul", x, wide), graph.integers(1), keepdims=0)
    count = graph.add("Clip", graph.add("ReduceSum", wide, graph.integers(1), keepdims=0), graph.number(1e-9))
    inputs = [integers(ITEMS, TOKENS), integers(ITEMS, TOKENS, name="attention_mask")]
    found = imported(tmp_path, graph, inputs, graph.add("Div", total, count))
    assert operations(found) == ["lookup", "norm", "mean_tokens"]
    assert found.workload.steps[-1].padded


def test_factors_become_part_of_tables_and_products(tmp_path):
    graph = Graph()
    x = graph.add(
        "Mul", graph.add("Gather", graph.random(WORDS, HIDDEN), "ids", axis=0), graph.number(math.sqrt(HIDDEN))
    )
    x = graph.add("Mul", graph.linear(graph.norm(x), HIDDEN), graph.random(HIDDEN))
    found = imported(tmp_path, graph, [integers(ITEMS, TOKENS)], graph.norm(x))
    assert operations(found) == ["lookup", "norm", "linear", "norm"]


def test_factors_that_nothing_can_hold_are_refused(tmp_path):
    graph = Graph()
    x = graph.add("Add", graph.linear("x", HIDDEN), graph.linear("x", HIDDEN))
    output = graph.norm(graph.add("Mul", x, graph.random(HIDDEN)))
    with pytest.raises(OperandError, match="multiplies a tensor by known numbers"):
        imported(tmp_path, graph, [floats(ITEMS, HIDDEN)], output)


def test_positions_computed_from_token_numbers_are_taken_as_known(tmp_path):
    graph = Graph()
    real = graph.add(
        "Cast", graph.add("Not", graph.add("Equal", "ids", graph.constant(np.asarray(1)))), to=TensorProto.INT64
    )
    place = graph.add("Mul", graph.add("CumSum", real, graph.constant(np.asarray(1))), real)
    words = graph.add("Gather", graph.random(WORDS, HIDDEN), "ids", axis=0)
    x = graph.add("Add", graph.add("Add", words, graph.random(HIDDEN)), graph.random(TOKENS, HIDDEN))
    x = graph.add("Add", x, graph.add("Gather", graph.random(TOKENS + 1, HIDDEN), place, axis=0))
    found = imported(tmp_path, graph, [integers(ITEMS, TOKENS)], graph.norm(x))
    assert operations(found) == ["lookup", "position", "norm"]
    assert any("taken as for ordinary tokens" in note for note in found.notes)


def test_dropout_of_training_and_known_branches_are_passed_through(tmp_path):
    graph = Graph()
    kept = graph.add("Dropout", "x", graph.number(0.5), graph.constant(np.asarray(True)))
    branch = helper.make_graph([helper.make_node("Relu", [kept], ["r"])], "b", [], [floats(ITEMS, HIDDEN, name="r")])
    other = helper.make_graph([helper.make_node("Tanh", [kept], ["t"])], "o", [], [floats(ITEMS, HIDDEN, name="t")])
    x = graph.add("If", graph.constant(np.asarray(True)), then_branch=branch, else_branch=other)
    found = imported(tmp_path, graph, [floats(ITEMS, HIDDEN)], graph.linear(x, 3))
    assert operations(found) == ["relu", "linear"]
    assert "dropout of training was left out" in found.notes


def test_what_would_compute_something_else_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setitem(onnx_formulas.ELEMENTWISE, "Relu", np.tanh)
    graph = Graph()
    output = graph.linear(graph.add("Relu", graph.linear("x", HIDDEN)), 3)
    with pytest.raises(OperandError, match="outputs would differ from the graph's by"):
        imported(tmp_path, graph, [floats(ITEMS, HIDDEN)], output)


def test_graphs_in_16_bits_are_compared_with_their_own_rounding(tmp_path):
    graph = Graph()
    x = graph.norm(graph.add("Cast", "x", to=TensorProto.FLOAT16))
    graph.linear(graph.add("Cast", x, to=TensorProto.FLOAT16), 3)
    graph.constants = {name: array.astype(np.float16) for name, array in graph.constants.items()}
    output = graph.add("Cast", graph.nodes[-1].output[0], to=TensorProto.FLOAT)
    found = imported(tmp_path, graph, [floats(8, HIDDEN)], output)
    assert operations(found) == ["norm", "linear"]
    assert 1e-5 < difference(found) < 1e-2


def test_functions_that_are_not_known_are_named_and_not_who_reads_them(tmp_path):
    graph = Graph()
    x = graph.linear("x", HIDDEN)
    swish = graph.add("Mul", x, graph.add("Sigmoid", x))
    with pytest.raises(OperandError, match=r"graph has them: Mul \(1\); supported in other forms: Mul; nodes: Mul_3_0"):
        imported(tmp_path, graph, [floats(ITEMS, HIDDEN)], graph.linear(graph.norm(swish), 3))


def test_elements_are_gathered_from_long_tables(tmp_path):
    graph, long = Graph(), 100
    places = graph.add("Slice", graph.constant(np.arange(long)[None]), *(graph.integers(each) for each in (70, 76, 1)))
    kinds = graph.add("GatherElements", graph.constant(np.arange(long)[None] % 3), places, axis=1)
    table = graph.random(3, HIDDEN)
    x = graph.add("Gather", graph.random(WORDS, HIDDEN), "ids", axis=0)
    output = graph.norm(graph.add("Add", x, graph.add("Gather", table, kinds, axis=0)))
    found = imported(tmp_path, graph, [integers(ITEMS, TOKENS)], output)
    (position,) = (array for name, array in found.weights.items() if name.endswith(".position"))
    np.testing.assert_array_equal(position, graph.constants[table][np.arange(70, 73) % 3])
