import numpy as np
import pytest
from pydantic import TypeAdapter

from accelsim.config.scheme import RunConfig
from accelsim.config.workload import EncoderWorkload, GemmWorkload, Operands, VisionWorkload, Workload
from accelsim.errors import OperandError
from accelsim.kernels.formats import round_to_format
from accelsim.model.attention import split_heads
from accelsim.model.build import build_network
from accelsim.model.drawing import describe_operands, draw_operands
from accelsim.model.graph import Attention
from accelsim.model.operands import prepare_operands
from accelsim.model.reference import reference_outputs
from tests.model.forward import prepare


def gemm(**changes):
    return GemmWorkload(**({"kind": "gemm", "m": 64, "n": 96, "k": 256} | changes))


def draw(workload, seed=0):
    return prepare(workload, build_network(workload), seed)


ENCODER = EncoderWorkload(kind="encoder", layers=1, batch=1, sequence=64, hidden=256, heads=4, ffn=512)


def test_same_seed_same_operands_and_another_seed_others():
    first, again, other = draw(ENCODER), draw(ENCODER), draw(ENCODER, seed=1)
    for name in first.parameters:
        np.testing.assert_array_equal(first.parameters[name], again.parameters[name])
    weight = "layers.0.query.weight"
    assert not np.array_equal(first.parameters[weight], other.parameters[weight])
    assert not np.array_equal(first.parameters[weight], first.parameters["layers.0.key.weight"])


def test_a_tensor_depends_on_no_other_tensor():
    deep = draw(ENCODER.model_copy(update={"layers": 3}))
    for name, values in draw(ENCODER).parameters.items():
        np.testing.assert_array_equal(values, deep.parameters[name])


@pytest.mark.parametrize("dtype", ["fp16", "bf16", "tf32", "fp32"])
def test_operands_lie_on_the_grid_of_the_format(dtype):
    operands = draw(gemm(dtype=dtype))
    for values in (operands.inputs["input"], operands.parameters["weight"]):
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, round_to_format(values, dtype))


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_default_weights_keep_the_variance(distribution):
    workload = gemm(m=400, n=100, operands=Operands(distribution=distribution))
    operands = draw(workload)
    product = operands.inputs["input"] @ operands.parameters["weight"]
    assert product.std() / operands.inputs["input"].std() == pytest.approx(1, abs=0.05)


def test_scales_are_those_of_the_spec():
    uniform = draw(gemm(operands=Operands(distribution="uniform", activation_scale=3, weight_scale=0.5)))
    assert np.abs(uniform.inputs["input"]).max() == pytest.approx(3, rel=0.01)
    assert np.abs(uniform.parameters["weight"]).max() == pytest.approx(0.5, rel=0.01)
    normal = draw(gemm(operands=Operands(activation_scale=3, weight_scale=0.5)))
    assert normal.inputs["input"].std() == pytest.approx(3, rel=0.05)
    assert normal.parameters["weight"].std() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_int8_operands_are_integers_that_use_the_range(distribution):
    operands = draw(gemm(dtype="int8", operands=Operands(distribution=distribution)))
    for values in (operands.inputs["input"], operands.parameters["weight"]):
        assert values.dtype == np.int8
        assert values.min() >= -127
        assert np.abs(values.astype(int)).max() > 100
        assert len(np.unique(values)) > 100
    assert "integers within +-127" in operands.description


def test_input_of_an_encoder_is_what_a_layer_norm_writes():
    x = draw(ENCODER).inputs["input"]
    np.testing.assert_allclose(x.mean(axis=1), 0, atol=1e-3)
    np.testing.assert_allclose(x.std(axis=1), 1, atol=1e-3)


def test_attention_scores_have_the_spread_that_the_scaling_is_meant_for():
    built, operands = build_network(ENCODER), draw(ENCODER)
    tensors = reference_outputs(built, operands.inputs, operands.parameters)
    attention = next(operation for operation in built.operations if isinstance(operation, Attention))
    query, key = (split_heads(tensors[name], attention) for name in (attention.query, attention.key))
    scores = query @ key.transpose(0, 2, 1) / np.sqrt(attention.head_dim)
    assert 0.8 < scores.std() < 1.2


def test_norms_start_neutral_and_biases_are_small():
    parameters = draw(ENCODER).parameters
    assert np.all(parameters["layers.0.ffn_norm.gain"] == 1)
    assert np.all(parameters["layers.0.ffn_norm.bias"] == 0)
    assert 0 < np.abs(parameters["layers.0.ffn_in.bias"]).max() < 0.2


def test_description_names_distribution_and_seed():
    text = describe_operands(Operands(), 7, "fp16")
    assert text == "synthetic: normal, standard deviation 1 (activations), 1/sqrt(k) (weights), seed 7"
    text = describe_operands(Operands(distribution="uniform", weight_scale=0.25), 0, "fp16")
    assert text == "synthetic: uniform, half range 1 (activations), 0.25 (weights), seed 0"
    assert "sqrt(3/k)" in describe_operands(Operands(distribution="uniform"), 0, "fp32")
    assert "rows of inputs normalised" in draw(ENCODER).description
    assert "normalised" not in draw(gemm()).description


def test_overflow_of_the_format_is_an_error():
    with pytest.raises(OperandError, match=r"input\[\d+, \d+\] = .* does not fit in fp16: its largest value is 65504"):
        draw(gemm(operands=Operands(activation_scale=1e6)))
    assert np.isfinite(draw(gemm(dtype="bf16", operands=Operands(activation_scale=1e6))).inputs["input"]).all()


def test_int8_values_need_scales_beyond_products():
    workload = ENCODER.model_copy(update={"dtype": "int8"})
    built = build_network(workload)
    with pytest.raises(OperandError, match=r"layers\.0\.attention needs scales for int8"):
        draw_operands(built, workload.operands, 0, "int8")
    convolution = TypeAdapter(Workload).validate_python(
        {
            "kind": "network",
            "dtype": "int8",
            "layers": [{"type": "conv2d", "height": 5, "width": 5, "channels": 2, "filters": 3, "kernel": 3}],
        }
    )
    assert draw(convolution).inputs["layers.0.input"].dtype == np.int8


def test_without_values_there_are_no_operands():
    workload = gemm()
    config = RunConfig.model_construct(workload=workload, values=False)
    assert prepare_operands(build_network(workload), config) is None


def test_vision_workloads_bring_their_own_operands(tmp_path):
    images, labels = np.full((2, 4, 4), 8, np.uint8), np.asarray([0, 1])
    np.savez(tmp_path / "data.npz", test_images=images, test_labels=labels)
    workload = VisionWorkload(
        kind="vision", sequence=4, hidden=4, heads=2, ffn=8, patch=2, classes=2,
        weights=str(tmp_path / "weights.npz"), data=str(tmp_path / "data.npz"),
    )  # fmt: skip
    built = build_network(workload)
    np.savez(tmp_path / "weights.npz", **{name: np.zeros(shape) for name, shape in built.parameters.items()})
    operands = prepare(workload, built)
    assert np.all(operands.inputs["patches"] == 0.5)
    np.testing.assert_array_equal(operands.labels, labels)
