import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from accelsim.config.workload import AttentionWorkload, EncoderWorkload, Workload
from accelsim.model.build import build_network
from accelsim.model.elementwise import gelu
from accelsim.model.graph import Elementwise, Gemm, Network
from accelsim.model.operands import draw_operands
from accelsim.model.reference import reference_output, reference_outputs
from tests.model.forward import forward, prepare

TOLERANCE = {"fp32": 2e-6, "tf32": 4e-3, "fp16": 4e-3, "bf16": 3e-2}
"""Several roundings of 2^-24, 2^-11 and 2^-8 relative to the largest magnitude."""


def relative_error(result, exact):
    return np.abs(result - exact).max() / np.abs(exact).max()


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_encoder_in_each_format_is_close_to_float64(dtype):
    workload = EncoderWorkload(kind="encoder", layers=2, batch=2, sequence=9, hidden=32, heads=4, ffn=48, dtype=dtype)
    built = build_network(workload)
    operands = prepare(workload, built, 3)
    exact = reference_outputs(built, operands.inputs, operands.parameters)
    result = forward(built, operands, dtype)
    assert set(exact) == set(result)
    error = relative_error(result[built.output], exact[built.output])
    assert error < TOLERANCE[dtype]
    if dtype != "fp32":
        assert error > TOLERANCE["fp32"]


@settings(deadline=None, max_examples=20)
@given(
    steps=st.integers(1, 4), batch=st.integers(1, 3), inputs=st.integers(1, 4), hidden=st.integers(1, 5),
    side=st.integers(3, 6), stride=st.integers(1, 2), padding=st.integers(0, 1), seed=st.integers(0, 9),
)  # fmt: skip
def test_single_layers_agree_with_float32_numerics(steps, batch, inputs, hidden, side, stride, padding, seed):
    layers = [
        {"type": "lstm", "steps": steps, "batch": batch, "inputs": inputs, "hidden": hidden},
        {
            "type": "conv2d", "batch": batch, "height": side, "width": side + 1, "channels": inputs, "filters": hidden,
            "kernel": 3, "stride": stride, "padding": padding,
        },
        {"type": "attention", "batch": batch, "heads": inputs, "sequence": side, "head_dim": hidden},
        {"type": "linear", "rows": side, "inputs": inputs, "outputs": hidden},
    ]  # fmt: skip
    workload = TypeAdapter(Workload).validate_python({"kind": "network", "dtype": "fp32", "layers": layers})
    built = build_network(workload)
    operands = prepare(workload, built, seed)
    exact = reference_outputs(built, operands.inputs, operands.parameters)
    for name, values in forward(built, operands, "fp32").items():
        np.testing.assert_allclose(values, exact[name], rtol=1e-4, atol=1e-5)


def test_lstm_matches_the_textbook_recurrence():
    batch, steps, inputs, hidden = 2, 3, 4, 5
    layer = {"type": "lstm", "batch": batch, "steps": steps, "inputs": inputs, "hidden": hidden}
    workload = TypeAdapter(Workload).validate_python({"kind": "network", "dtype": "fp32", "layers": [layer]})
    built = build_network(workload)
    operands = prepare(workload, built)
    state = operands.inputs["layers.0.state"]
    following = operands.inputs["layers.0.input"].reshape(steps - 1, batch, inputs)
    sequence = [state[:, :inputs], *following]
    h, c = state[:, inputs : inputs + hidden], state[:, inputs + hidden :]
    weight, bias = operands.parameters["layers.0.weight"], operands.parameters["layers.0.bias"]
    for x in sequence:
        gates = x @ weight[:inputs] + h @ weight[inputs:] + bias
        i, f, g, o = np.split(gates.astype(np.float64), 4, axis=1)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
    exact = reference_outputs(built, operands.inputs, operands.parameters)[built.output]
    np.testing.assert_allclose(exact, np.hstack([h, c]), rtol=1e-5, atol=1e-6)


def test_attention_matches_an_einsum():
    workload = AttentionWorkload(kind="attention", batch=2, heads=3, sequence=1100, head_dim=4)
    built = build_network(workload)
    inputs = prepare(workload, built).inputs
    query, key, value = (inputs[name].astype(np.float64).reshape(2, 1100, 3, 4) for name in ("query", "key", "value"))
    scores = np.einsum("bqhd,bkhd->bhqk", query, key) / 2
    power = np.exp(scores)
    expected = np.einsum("bhqk,bkhd->bqhd", power / power.sum(axis=-1, keepdims=True), value).reshape(2200, 12)
    np.testing.assert_allclose(reference_outputs(built, inputs, {})["output"], expected, rtol=1e-10, atol=1e-12)


def test_attention_to_a_single_token_is_its_value():
    workload = AttentionWorkload(kind="attention", heads=2, sequence=1, head_dim=3)
    built = build_network(workload)
    operands = prepare(workload, built)
    outputs = reference_outputs(built, operands.inputs, {})
    np.testing.assert_array_equal(outputs["output"], operands.inputs["value"])


def test_only_what_is_asked_for_is_kept():
    workload = EncoderWorkload(kind="encoder", layers=2, sequence=4, hidden=8, heads=2, ffn=8)
    built = build_network(workload)
    operands = prepare(workload, built)
    everything = reference_outputs(built, operands.inputs, operands.parameters)
    few = reference_outputs(built, operands.inputs, operands.parameters, keep=(built.output, "layers.0.query"))
    assert set(few) == {built.output, "layers.0.query"}
    for name, values in few.items():
        np.testing.assert_array_equal(values, everything[name])
    np.testing.assert_array_equal(reference_output(built, operands), everything[built.output])


def test_other_element_wise_functions():
    operations = tuple(
        Elementwise(name, name, ("x",), name, 12, 24, 24, 1) for name in ("softmax", "gelu", "transpose")
    )
    built = Network("functions", operations, {"x": (3, 4)}, {}, "transpose", dtype="fp32")
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    outputs = reference_outputs(built, {"x": x}, {})
    np.testing.assert_allclose(outputs["softmax"].sum(axis=1), 1)
    np.testing.assert_allclose(outputs["gelu"], gelu(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(outputs["transpose"], x.T)


def test_products_of_activations_belong_in_an_attention():
    built = Network("scores", (Gemm("scores", 2, 2, 2, a="x", weight=None, b="x"),), {"x": (2, 2)}, {}, "output")
    with pytest.raises(ValueError, match="scores has no weight"):
        reference_outputs(built, {"x": np.eye(2)}, {})


def test_reference_takes_operands_as_they_are():
    workload = EncoderWorkload(kind="encoder", sequence=4, hidden=8, heads=2, ffn=8, dtype="fp16")
    built = build_network(workload)
    operands = draw_operands(built, workload.operands, 0, "fp16")
    outputs = reference_outputs(built, operands.inputs, operands.parameters)
    query = operands.inputs["input"].astype(np.float64) @ operands.parameters["layers.0.query.weight"].astype(
        np.float64
    )
    np.testing.assert_array_equal(outputs["layers.0.query"], query + operands.parameters["layers.0.query.bias"])
