import re

import numpy as np
import pytest

from accelsim.config.workload import AttentionWorkload, EncoderWorkload, GemmWorkload
from accelsim.errors import OperandError
from accelsim.model.build import build_network
from accelsim.model.operand_files import load_operands, shapes_of, workload_for_operands
from tests.model.forward import prepare

GEMM = GemmWorkload(kind="gemm", m=2, n=4, k=3)
ATTENTION = AttentionWorkload(kind="attention", batch=2, heads=3, sequence=5, head_dim=4)


@pytest.fixture
def save(tmp_path):
    def write(**arrays):
        path = tmp_path / "operands.npz"
        np.savez(path, **arrays)
        return path

    return write


def good(**changes):
    return {"A": np.arange(6.0).reshape(2, 3), "B": np.arange(12.0).reshape(3, 4)} | changes


def test_gemm_takes_a_and_b(save):
    path = save(**good(), comment=np.zeros(3))
    operands = prepare(GEMM, build_network(GEMM), 0, path)
    np.testing.assert_array_equal(operands.inputs["input"], good()["A"])
    np.testing.assert_array_equal(operands.parameters["weight"], good()["B"])
    assert operands.inputs["input"].dtype == np.float32
    assert operands.description == "A and B of operands.npz"


def test_values_are_rounded_to_the_format(save):
    path = save(**good(A=np.full((2, 3), 1 + 2.0**-12)))
    assert np.all(load_operands(path, build_network(GEMM)).inputs["input"] == 1)


def test_attention_takes_heads_with_and_without_batch(save):
    heads = np.random.default_rng(0).integers(-9, 9, (3, 2, 3, 5, 4)).astype(np.float64)
    path = save(**dict(zip("QKV", heads, strict=True)))
    inputs = load_operands(path, build_network(ATTENTION)).inputs
    for name, expected in zip(("query", "key", "value"), heads, strict=True):
        np.testing.assert_array_equal(inputs[name], expected.transpose(0, 2, 1, 3).reshape(10, 12))
    single = ATTENTION.model_copy(update={"batch": 1})
    path = save(**dict(zip("QKV", heads[:, 0], strict=True)))
    query = load_operands(path, build_network(single)).inputs["query"]
    np.testing.assert_array_equal(query, heads[0, 0].transpose(1, 0, 2).reshape(5, 12))


def test_sizes_come_from_the_file(save):
    path = save(**good())
    assert workload_for_operands(path, GEMM.model_copy(update={"m": 99, "n": 99, "k": 99})) == GEMM
    path = save(**dict.fromkeys("QKV", np.zeros((2, 3, 5, 4))))
    other = AttentionWorkload(kind="attention", heads=1, sequence=1, head_dim=1)
    assert workload_for_operands(path, other) == ATTENTION
    path = save(**dict.fromkeys("QKV", np.zeros((3, 5, 4))))
    assert workload_for_operands(path, other) == ATTENTION.model_copy(update={"batch": 1})
    assert shapes_of(path, ("Q",)) == {"Q": (3, 5, 4)}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (good(A=np.zeros((3, 2))), "array A has shape [3, 2], the workload needs [2, 3]"),
        (good(B=np.asarray([[1, 2, 3, 4], [5, np.nan, 7, 8], [np.nan] * 4])), "B[1, 1] is nan"),
        (good(A=np.asarray([[0, 1, -np.inf], [0, 0, 0]])), "A[0, 2] is -inf"),
        (good(A=np.asarray([[0, 0, 0], [70000.0, 0, 0]])), "A[1, 0] = 70000.0 does not fit in fp16"),
        (good(A=np.full((2, 3), "x")), "array A holds <U1, not real numbers"),
        (good(A=np.zeros((2, 3), complex)), "array A holds complex128, not real numbers"),
        (good(A=np.full((2, 3), None)), "array A cannot be read"),
        ({"a": np.zeros((2, 3)), "B": np.zeros((3, 4))}, "no array A; found B, a"),
    ],
)
def test_mistakes_name_the_array_and_what_is_wrong(save, arrays, message):
    with pytest.raises(OperandError, match=re.escape(message)):
        load_operands(save(**arrays), build_network(GEMM))


@pytest.mark.parametrize("value", [0.5, 128.0, -128.0, np.nan])
def test_int8_operands_must_be_integers_in_range(save, value):
    network = build_network(GEMM.model_copy(update={"dtype": "int8"}))
    assert load_operands(save(**good()), network).inputs["input"].dtype == np.int8
    a = good()["A"]
    a[1, 2] = value
    with pytest.raises(OperandError, match=re.escape("A[1, 2] is")):
        load_operands(save(**good(A=a)), network)


@pytest.mark.parametrize("shape", [(5, 4), (1, 2, 3, 5, 4)])
def test_attention_needs_three_or_four_dimensions(save, shape):
    path = save(**dict.fromkeys("QKV", np.zeros(shape)))
    with pytest.raises(OperandError, match=re.escape("array Q must be [heads, sequence, head_dim]")):
        load_operands(path, build_network(ATTENTION))
    with pytest.raises(OperandError, match="Q, K and V must be of one shape"):
        workload_for_operands(path, ATTENTION)


def test_sizes_of_a_file_must_agree(save):
    with pytest.raises(OperandError, match=re.escape("found A [2, 3], B [4, 4]")):
        workload_for_operands(save(A=np.zeros((2, 3)), B=np.zeros((4, 4))), GEMM)
    with pytest.raises(OperandError, match="must be matrices"):
        workload_for_operands(save(A=np.zeros((2, 0)), B=np.zeros((0, 4))), GEMM)
    path = save(Q=np.zeros((1, 2, 3)), K=np.zeros((1, 2, 4)), V=np.zeros((1, 2, 3)))
    with pytest.raises(OperandError, match="Q, K and V must be of one shape"):
        workload_for_operands(path, ATTENTION)


def test_operands_from_a_file_fit_a_single_product_or_attention(save):
    encoder = EncoderWorkload(kind="encoder", sequence=4, hidden=4, heads=1, ffn=4)
    for refused in (lambda: load_operands(save(**good()), build_network(encoder)),
                    lambda: workload_for_operands(save(**good()), encoder)):  # fmt: skip
        with pytest.raises(OperandError, match="fit workloads of kind gemm"):
            refused()


def test_files_that_are_no_npz(tmp_path):
    network = build_network(GEMM)
    with pytest.raises(OperandError, match=r"absent\.npz: no such file"):
        load_operands(tmp_path / "absent.npz", network)
    with pytest.raises(OperandError, match="cannot be read"):
        load_operands(tmp_path, network)
    (tmp_path / "text.npz").write_text("not an archive")
    with pytest.raises(OperandError, match=r"text\.npz: not a \.npz file"):
        load_operands(tmp_path / "text.npz", network)
    (tmp_path / "empty.npz").write_bytes(b"")
    with pytest.raises(OperandError, match=r"empty\.npz: not a \.npz file"):
        load_operands(tmp_path / "empty.npz", network)
    np.save(tmp_path / "single.npy", np.zeros((2, 3)))
    with pytest.raises(OperandError, match="holds a single array"):
        load_operands(tmp_path / "single.npy", network)
    np.savez(tmp_path / "cut.npz", **good())
    content = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(OperandError, match=r"not a \.npz file"):
        load_operands(tmp_path / "cut.npz", network)
