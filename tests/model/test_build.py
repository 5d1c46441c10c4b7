import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from accelsim.config.workload import (
    AttentionWorkload,
    Conv2dLayer,
    EncoderWorkload,
    GemmWorkload,
    LstmLayer,
    NetworkWorkload,
    Workload,
)
from accelsim.errors import ConfigError
from accelsim.model.attention import attention_as_gemms
from accelsim.model.build import build_network
from accelsim.model.graph import Attention, Elementwise, Gemm, Network


def encoder(**sizes):
    defaults = {"layers": 1, "batch": 1, "sequence": 128, "hidden": 768, "heads": 12, "ffn": 3072}
    return EncoderWorkload(kind="encoder", **(defaults | sizes))


def network(*layers, dtype="fp16"):
    return build_network(
        TypeAdapter(Workload).validate_python({"kind": "network", "dtype": dtype, "layers": list(layers)})
    )


def reads(operation):
    if isinstance(operation, Gemm):
        return (operation.a,)
    if isinstance(operation, Attention):
        return (operation.query, operation.key, operation.value)
    return operation.inputs


def check_order(built: Network) -> None:
    """Every tensor is written once, and before it is read."""
    known = set(built.inputs)
    for operation in built.operations:
        assert set(reads(operation)) <= known
        assert operation.output not in known
        known.add(operation.output)
        if isinstance(operation, Gemm):
            assert built.parameters[operation.weight] == (operation.k, operation.n)
    assert built.output in known
    names = [operation.name for operation in built.operations]
    assert len(names) == len(set(names))


def test_macs_of_bert_base_layer():
    assert build_network(encoder()).macs == 931_135_488


def test_macs_of_bert_tiny():
    assert build_network(encoder(layers=2, batch=4, hidden=128, heads=2, ffn=512)).macs == 234_881_024


@settings(deadline=None, max_examples=30)
@given(
    layers=st.integers(1, 3),
    batch=st.integers(1, 5),
    sequence=st.integers(1, 40),
    heads=st.integers(1, 4),
    head_dim=st.integers(1, 9),
    ffn=st.integers(1, 70),
)
def test_macs_of_an_encoder_follow_the_formula(layers, batch, sequence, heads, head_dim, ffn):
    hidden = heads * head_dim
    built = build_network(encoder(layers=layers, batch=batch, sequence=sequence, hidden=hidden, heads=heads, ffn=ffn))
    projections = 4 * batch * sequence * hidden**2
    attention = 2 * batch * sequence**2 * hidden
    assert built.macs == layers * (projections + attention + 2 * batch * sequence * hidden * ffn)
    assert built.items == batch
    check_order(built)


def test_layer_is_post_norm_with_gelu_in_the_epilogue():
    built = build_network(encoder())
    assert [operation.name for operation in built.operations] == [
        f"layers.0.{name}"
        for name in (
            "query", "key", "value", "attention", "output", "attention_norm", "ffn_in", "ffn_out", "ffn_norm"
        )
    ]  # fmt: skip
    by_name = {operation.name.removeprefix("layers.0."): operation for operation in built.operations}
    assert [name for name, operation in by_name.items() if getattr(operation, "activation", None)] == ["ffn_in"]
    assert by_name["attention_norm"].inputs == ("input", "layers.0.output")
    assert by_name["ffn_norm"].inputs == ("layers.0.attention_norm", "layers.0.ffn_out")
    assert by_name["ffn_norm"].attributes["epsilon"] == 1e-12
    assert built.normalised_inputs == ("input",)


def test_bytes_are_those_of_memory():
    built = build_network(encoder(batch=2))
    norm = built.operations[5]
    tensor = 2 * 128 * 768
    assert (norm.bytes_read, norm.bytes_written) == (2 * (2 * tensor + 2 * 768), 2 * tensor)
    wide = build_network(encoder(batch=2, dtype="fp32")).operations[5]
    assert wide.bytes_read == 2 * norm.bytes_read


def test_gemm_and_attention():
    built = build_network(GemmWorkload(kind="gemm", m=3, n=5, k=7))
    assert built.operations == (Gemm("gemm", m=3, n=5, k=7),)
    assert (built.inputs, built.parameters, built.output) == ({"input": (3, 7)}, {"weight": (7, 5)}, "output")
    built = build_network(AttentionWorkload(kind="attention", batch=2, heads=3, sequence=1, head_dim=4))
    assert built.operations == (Attention("attention", batch=2, heads=3, sequence=1, head_dim=4),)
    assert set(built.inputs.values()) == {(2, 12)}


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 50), st.integers(1, 32))
def test_attention_as_gemms_keeps_macs_and_data_flow(batch, heads, sequence, head_dim):
    attention = Attention("attention", batch, heads, sequence, head_dim)
    scores, softmax, context = attention_as_gemms(attention)
    assert scores.macs + context.macs == attention.macs
    assert (scores.batch, scores.m, scores.n, scores.k) == (batch * heads, sequence, sequence, head_dim)
    assert (context.batch, context.m, context.n, context.k) == (batch * heads, sequence, head_dim, sequence)
    assert (scores.weight, scores.a, scores.b) == (None, "query", "key")
    assert (softmax.inputs, context.a, context.b, context.output) == (
        (scores.output,),
        softmax.output,
        "value",
        attention.output,
    )
    assert softmax.bytes_read == softmax.bytes_written == 2 * batch * heads * sequence**2


def test_linear_layer():
    built = network({"type": "linear", "rows": 3, "inputs": 4, "outputs": 5}, dtype="int8")
    (gemm,) = built.operations
    assert (gemm.m, gemm.n, gemm.k, gemm.bias, gemm.dtype) == (3, 5, 4, "layers.0.linear.bias", "int8")


@pytest.mark.parametrize(
    ("height", "kernel", "stride", "padding", "out"),
    [(8, 3, 1, 1, 8), (8, 3, 2, 0, 3), (5, 5, 1, 0, 1), (7, 1, 2, 0, 4)],
)
def test_convolution_is_im2col_and_a_product(height, kernel, stride, padding, out):
    layer = {
        "type": "conv2d", "batch": 2, "height": height, "width": height, "channels": 3, "filters": 4,
        "kernel": kernel, "stride": stride, "padding": padding,
    }  # fmt: skip
    columns, gemm = network(layer).operations
    assert (gemm.m, gemm.n, gemm.k) == (2 * out * out, 4, kernel**2 * 3)
    assert (columns.bytes_read, columns.bytes_written) == (2 * 2 * height**2 * 3, 2 * gemm.m * gemm.k)


def test_pointwise_convolution_needs_no_im2col():
    layer = {"type": "conv2d", "height": 4, "width": 5, "channels": 3, "filters": 4, "kernel": 1}
    (gemm,) = network(layer).operations
    assert (gemm.m, gemm.n, gemm.k, gemm.a) == (20, 4, 3, "layers.0.input")


def test_convolution_larger_than_its_input_is_refused():
    with pytest.raises(ConfigError, match=r"layers\.1.*kernel 5.*4 x 4"):
        build_network(
            NetworkWorkload(
                kind="network",
                layers=[
                    Conv2dLayer(type="conv2d", height=4, width=4, channels=1, filters=1, kernel=4),
                    Conv2dLayer(type="conv2d", height=4, width=4, channels=1, filters=1, kernel=5),
                ],
            )
        )


@pytest.mark.parametrize("steps", [1, 3])
def test_lstm_is_a_product_for_each_step(steps):
    layer = LstmLayer(type="lstm", batch=2, steps=steps, inputs=5, hidden=6)
    built = build_network(NetworkWorkload(kind="network", layers=[layer]))
    gemms = [operation for operation in built.operations if isinstance(operation, Gemm)]
    assert [(gemm.m, gemm.n, gemm.k) for gemm in gemms] == [(2, 24, 11)] * steps
    assert {gemm.weight for gemm in gemms} == {"layers.0.weight"}
    assert built.parameters == {"layers.0.weight": (11, 24), "layers.0.bias": (24,)}
    assert built.macs == steps * 2 * 24 * 11
    views = [operation for operation in built.operations if getattr(operation, "function", "") == "columns"]
    assert {(view.bytes_read, view.bytes_written, view.elements) for view in views} == {(0, 0, 0)}
    check_order(built)


def test_layers_of_a_network_are_independent():
    shapes = [
        {"type": "linear", "rows": 3, "inputs": 4, "outputs": 5},
        {"type": "attention", "heads": 2, "sequence": 3, "head_dim": 4},
        {"type": "lstm", "steps": 2, "inputs": 2, "hidden": 3},
    ]
    built = network(*shapes)
    assert built.macs == sum(network(shape).macs for shape in shapes)
    layers = [{name.split(".")[1] for name in (*reads(operation), operation.output)} for operation in built.operations]
    assert all(len(layer) == 1 for layer in layers)
    assert [key for key, _ in itertools.groupby(next(iter(layer)) for layer in layers)] == ["0", "1", "2"]
    check_order(built)


def test_elementwise_work_is_never_negative_and_never_free():
    for operation in build_network(encoder()).operations:
        if isinstance(operation, Elementwise):
            assert operation.bytes_read > 0
            assert operation.bytes_written > 0
            assert operation.flops_per_element > 0
