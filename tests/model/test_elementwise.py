import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.kernels.formats import round_to_format
from accelsim.model.attention import join_heads, split_heads
from accelsim.model.elementwise import (
    add_norm,
    apply_elementwise,
    embed,
    erf,
    gelu,
    im2col,
    lstm_cell,
    mean_tokens,
    softmax,
)
from accelsim.model.graph import Attention, Elementwise

exact_erf = np.vectorize(math.erf)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_erf_is_exact_to_float32():
    x = np.concatenate([np.linspace(-6, 6, 40_001), np.geomspace(1e-8, 1, 2000), [-1e30, 1e30]]).astype(np.float32)
    error = np.abs(erf(x).astype(np.float64) - exact_erf(x.astype(np.float64)))
    assert error.max() < 1e-7
    assert np.abs(erf(x)).max() == 1


def test_erf_is_odd_and_keeps_the_shape():
    x = normal(3, 4, 5)
    np.testing.assert_array_equal(erf(-x), -erf(x))
    assert erf(x).shape == (3, 4, 5)
    assert erf(np.zeros((0, 3))).shape == (0, 3)


def test_gelu_matches_its_definition():
    x = np.linspace(-8, 8, 3001).astype(np.float32)
    exact = x.astype(np.float64) * (1 + exact_erf(x.astype(np.float64) / math.sqrt(2))) / 2
    np.testing.assert_allclose(gelu(x), exact, rtol=2e-7, atol=2e-7)
    assert gelu(x).dtype == np.float32


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.integers(1, 20), st.floats(0.1, 300))
def test_softmax_rows_add_up_to_one(rows, columns, spread):
    x = normal(rows, columns) * np.float32(spread)
    result = softmax(x, 0.5)
    np.testing.assert_allclose(result.sum(axis=1), 1, rtol=1e-5)
    power = np.exp(0.5 * x.astype(np.float64) - 0.5 * x.max(axis=1, keepdims=True))
    np.testing.assert_allclose(result, power / power.sum(axis=1, keepdims=True), rtol=1e-4, atol=1e-7)


def test_add_norm_has_the_moments_of_gain_and_bias():
    x, update = normal(50, 64), normal(50, 64, seed=1)
    result = add_norm(x, update, np.full(64, 3), np.full(64, -2), 1e-12)
    np.testing.assert_allclose(result.mean(axis=1), -2, atol=1e-5)
    np.testing.assert_allclose(result.std(axis=1), 3, rtol=1e-5)


def test_add_norm_of_a_constant_row_is_its_bias():
    result = add_norm(np.ones((2, 4)), np.ones((2, 4)), np.ones(4), np.arange(4), 1e-12)
    np.testing.assert_array_equal(result, [[0, 1, 2, 3]] * 2)


def test_mean_tokens():
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.testing.assert_array_equal(mean_tokens(x, 2), [[1.5, 2.5, 3.5], [7.5, 8.5, 9.5]])


def test_embed_adds_each_tokens_position():
    position = np.asarray([[10.0, 20.0], [30.0, 40.0]])
    x = np.asarray([[1.0], [2.0], [3.0], [4.0]])
    result = embed(x, position, np.asarray([[1.0, -1.0]]), np.asarray([0.5, 0.5]))
    np.testing.assert_array_equal(result, [[11.5, 19.5], [32.5, 38.5], [13.5, 17.5], [34.5, 36.5]])
    np.testing.assert_array_equal(embed(np.zeros((4, 2)), position), np.vstack([position, position]))


@settings(deadline=None, max_examples=40)
@given(
    batch=st.integers(1, 2),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    channels=st.integers(1, 3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    padding=st.integers(1, 2),
)
def test_im2col_times_weights_is_the_convolution(batch, height, width, channels, kernel, stride, padding):
    image = normal(batch, height, width, channels)
    weights = normal(kernel, kernel, channels, seed=1)
    columns = im2col(
        image.reshape(-1, channels), batch=batch, height=height, width=width, channels=channels, kernel=kernel,
        stride=stride, padding=padding,
    )  # fmt: skip
    result = (columns.astype(np.float64) @ weights.reshape(-1)).reshape(batch, -1)
    rows = (height + 2 * padding - kernel) // stride + 1
    wide = (width + 2 * padding - kernel) // stride + 1
    for item in range(batch):
        for place in range(rows * wide):
            top, left = place // wide * stride - padding, place % wide * stride - padding
            expected = sum(
                float(image[item, top + i, left + j] @ weights[i, j].astype(np.float64))
                for i in range(kernel)
                for j in range(kernel)
                if 0 <= top + i < height and 0 <= left + j < width
            )
            assert result[item, place] == pytest.approx(expected, abs=1e-5)


def test_im2col_keeps_integers():
    sizes = {"batch": 1, "height": 3, "width": 3, "channels": 1, "kernel": 2, "stride": 1, "padding": 0}
    operation = Elementwise("im2col", "im2col", ("x",), "y", 16, 9, 16, 0, sizes)
    pixels = np.arange(9, dtype=np.int8)[:, None]
    result = apply_elementwise(operation, [pixels], {}, "int8")
    assert result.dtype == np.int8
    np.testing.assert_array_equal(result, [[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, 6, 7], [4, 5, 7, 8]])


def test_lstm_cell_forgets_and_takes_in_as_its_gates_say():
    big = 40.0
    state = np.asarray([[9.0, 9.0, 9.0, 0.5]], np.float32)
    closed = lstm_cell(np.asarray([[-big, big, 7.0, big]]), state, 1)
    np.testing.assert_allclose(closed, [[math.tanh(0.5), 0.5]], rtol=1e-6)
    replaced = lstm_cell(np.asarray([[big, -big, 0.25, -big]]), state, 1, np.asarray([[3.0, 4.0]]))
    np.testing.assert_allclose(replaced, [[3, 4, 0, math.tanh(0.25)]], rtol=1e-6, atol=1e-12)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(1, 6))
def test_heads_split_and_join(batch, heads, sequence, head_dim):
    attention = Attention("attention", batch, heads, sequence, head_dim)
    x = normal(batch * sequence, heads * head_dim)
    parts = split_heads(x, attention)
    item, head = batch - 1, heads // 2
    np.testing.assert_array_equal(
        parts[item * heads + head],
        x[item * sequence : (item + 1) * sequence, head * head_dim : (head + 1) * head_dim],
    )
    np.testing.assert_array_equal(join_heads(parts, attention), x)


@pytest.mark.parametrize("dtype", ["fp16", "bf16", "tf32", "fp32"])
@pytest.mark.parametrize("function", ["softmax", "gelu", "transpose"])
def test_results_are_rounded_to_the_format_when_told(function, dtype):
    operation = Elementwise(function, function, ("x",), "y", 35, 70, 70, 1)
    x = normal(5, 7)
    free = apply_elementwise(operation, [x], {})
    assert free.dtype == np.float32
    np.testing.assert_array_equal(apply_elementwise(operation, [x], {}, dtype), round_to_format(free, dtype))


def test_columns_are_a_view():
    operation = Elementwise("view", "columns", ("x",), "y", 0, 0, 0, 0, {"first": 1, "last": 3})
    x = normal(4, 5)
    assert np.shares_memory(apply_elementwise(operation, [x], {}), x)
    np.testing.assert_array_equal(apply_elementwise(operation, [x], {}), x[:, 1:3])
