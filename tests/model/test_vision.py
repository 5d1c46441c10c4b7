import re
from pathlib import Path

import numpy as np
import pytest

from accelsim.config.workload import VisionWorkload
from accelsim.errors import ConfigError, OperandError
from accelsim.model.build import build_network
from accelsim.model.graph import Gemm
from accelsim.model.reference import reference_output, reference_outputs
from accelsim.model.vision import accuracy, cut_patches, load_images, load_vision
from tests.model.forward import forward, prepare

MODELS = Path(__file__).parents[2] / "workloads" / "models"


@pytest.fixture
def data(tmp_path):
    generator = np.random.default_rng(0)
    np.savez(
        tmp_path / "data.npz",
        test_images=generator.integers(0, 17, (5, 8, 8)).astype(np.uint8),
        test_labels=np.arange(5, dtype=np.uint8),
        calibration_images=generator.integers(0, 17, (3, 8, 8)).astype(np.uint8),
        calibration_labels=np.arange(3, dtype=np.uint8),
    )
    return tmp_path


def small(folder, **changes):
    sizes = {"layers": 1, "sequence": 16, "hidden": 8, "heads": 2, "ffn": 12, "patch": 2, "classes": 10}
    paths = {"weights": str(folder / "weights.npz"), "data": str(folder / "data.npz")}
    return VisionWorkload(kind="vision", **(sizes | paths | changes))


def save_weights(folder, workload, **changes):
    generator = np.random.default_rng(1)
    shapes = build_network(workload).parameters
    tensors = {name: generator.standard_normal(shape).astype(np.float16) for name, shape in shapes.items()}
    tensors = {name: values for name, values in (tensors | changes).items() if values is not None}
    np.savez(folder / "weights.npz", **tensors)


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_embedding_is_a_product_where_patches_are_deep_enough(data, patch):
    workload = small(data, patch=patch, sequence=(8 // patch) ** 2, images=3)
    built = build_network(workload)
    tokens, hidden = workload.sequence, 8
    product = [operation for operation in built.operations if operation.name == "embed.product"]
    embed = next(operation for operation in built.operations if operation.name == "embed")
    assert len(product) == (patch == 4)
    layer = 3 * tokens * (4 * hidden**2 + 2 * tokens * hidden + 2 * hidden * 12)
    depth = patch**2 if product else 0
    assert built.macs == layer + 3 * hidden * 10 + 3 * tokens * hidden * depth
    assert embed.flops_per_element == (1 if product else 2 * patch**2 + 1)
    assert built.parameters["embed.weight"] == (patch**2, hidden)
    assert built.parameters["position"] == (tokens, hidden)
    assert (built.items, built.output) == (3, "classifier")
    assert built.inputs == {"patches": (3 * tokens, patch**2)}


@pytest.mark.parametrize("patch", [2, 4])
def test_forward_pass_agrees_with_float64(data, patch):
    workload = small(data, patch=patch, sequence=(8 // patch) ** 2, dtype="fp32")
    save_weights(data, workload)
    built = build_network(workload)
    operands = prepare(workload, built)
    exact = reference_outputs(built, operands.inputs, operands.parameters)
    result = forward(built, operands, "fp32")
    np.testing.assert_allclose(result["classifier"], exact["classifier"], rtol=1e-3, atol=1e-4)


def test_patches_go_row_by_row():
    image = np.arange(16).reshape(1, 4, 4)
    np.testing.assert_array_equal(cut_patches(image, 2), [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]])
    np.testing.assert_array_equal(cut_patches(image, 1)[:, 0], np.arange(16))


def test_split_and_number_of_images(data):
    assert len(load_images(small(data))[1]) == 5
    assert len(load_images(small(data, split="calibration"))[1]) == 3
    images, labels = load_images(small(data, images=2))
    assert (images.shape, labels.tolist()) == ((2, 8, 8), [0, 1])
    save_weights(data, small(data))
    operands = load_vision(small(data, images=2), build_network(small(data, images=2)))
    np.testing.assert_array_equal(operands.inputs["patches"] * 16, cut_patches(images, 2))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"images": 6}, OperandError, "split test has 5 images, workload.images asks for 6"),
        ({"split": "train"}, OperandError, "no array train_images; found calibration_images"),
        ({"sequence": 9}, OperandError, "images of 8 x 8 pixels do not make 9 patches"),
        ({"patch": 3, "sequence": 4}, OperandError, "do not make 4 patches (workload.sequence) of 3 x 3"),
        ({"classes": 3}, OperandError, "test_labels must be integers in 0 .. 2"),
        ({"data": "absent.npz"}, OperandError, "absent.npz: no such file"),
        ({"batch": 2}, ConfigError, "workload.batch is 2"),
    ],
)
def test_images_that_do_not_fit(data, changes, error, message):
    with pytest.raises(error, match=re.escape(message)):
        build_network(small(data, **changes))


def test_images_of_another_range_or_shape(data):
    np.savez(data / "data.npz", test_images=np.full((2, 8, 8), 200, np.uint8), test_labels=np.zeros(2, int))
    with pytest.raises(OperandError, match=re.escape("pixels of test_images must lie in 0 .. 16")):
        load_images(small(data))
    np.savez(data / "data.npz", test_images=np.zeros((2, 8, 8), np.uint8), test_labels=np.zeros(3, int))
    with pytest.raises(OperandError, match=re.escape("found [2, 8, 8] and [3]")):
        load_images(small(data))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"layers.0.query.weight": np.zeros((8, 9))},
            "layers.0.query.weight has shape [8, 9], the network needs [8, 8]",
        ),
        ({"layers.0.ffn_norm.gain": None}, "no tensor layers.0.ffn_norm.gain; the network needs it with shape [8]"),
        ({"layers.1.query.weight": np.zeros((8, 8))}, "the network has no tensor layers.1.query.weight"),
        ({"position": np.full((16, 8), np.nan)}, "position[0, 0] is nan"),
    ],
)
def test_weights_that_do_not_fit(data, changes, message):
    workload = small(data)
    save_weights(data, workload, **changes)
    with pytest.raises(OperandError, match=re.escape(message)):
        load_vision(workload, build_network(workload))


def test_accuracy_is_the_share_of_right_images():
    logits = np.asarray([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
    assert accuracy(logits, np.asarray([1, 0, 0, 0])) == 0.75


def digits(name="digits_vit", **changes):
    sizes = {"layers": 2, "sequence": 64, "hidden": 64, "heads": 4, "ffn": 256, "patch": 1, "classes": 10}
    paths = {"weights": str(MODELS / f"{name}.npz"), "data": str(MODELS / "digits_images.npz")}
    if not all(Path(path).exists() for path in paths.values()):
        pytest.skip("no trained weights in workloads/models")
    return VisionWorkload(kind="vision", **(sizes | paths | changes))


def logged_correct(name):
    """Test images that the training log says the framework got right."""
    log = (MODELS / "digits_vit.md").read_text()
    return int(re.search(rf"^\| `{name}\.npz` .*\*\*(\d+) of 500\*\*", log, re.MULTILINE)[1])


@pytest.mark.parametrize(("name", "sizes"), [("digits_vit", {}), ("digits_vit_16", {"sequence": 16, "patch": 2})])
def test_trained_network_reaches_its_logged_accuracy(name, sizes):
    workload = digits(name, dtype="fp32", **sizes)
    built = build_network(workload)
    operands = prepare(workload, built)
    correct = accuracy(forward(built, operands, "fp32")["classifier"], operands.labels) * 500
    assert round(correct) == logged_correct(name)


def test_trained_network_in_fp16_is_close_to_float64():
    workload = digits(images=8)
    built = build_network(workload)
    operands = prepare(workload, built)
    exact = reference_output(built, operands)
    result = forward(built, operands, "fp16")["classifier"]
    assert np.abs(result - exact).max() / np.abs(exact).max() < 0.02
    assert [gemm.name for gemm in built.operations if isinstance(gemm, Gemm)][-1] == "classifier"
