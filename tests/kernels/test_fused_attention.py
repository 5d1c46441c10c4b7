"""Attention by tiles against softmax as a whole."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.kernels.formats import UNIT_ROUNDOFF, round_to_format
from accelsim.kernels.fused_attention import FORMATS, fused_attention, fused_attention_reference


def operands(
    seed: int, shape: tuple[int, int, int, int, int], dtype: str, size: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    q_heads, kv_heads, q_len, kv_len, head_dim = shape
    random = np.random.default_rng(seed)
    shapes = [(q_heads, q_len, head_dim), (kv_heads, kv_len, head_dim), (kv_heads, kv_len, head_dim)]
    query, key, value = (round_to_format(size * random.standard_normal(one), dtype) for one in shapes)
    return query, key, value


def plain(query: np.ndarray, key: np.ndarray, value: np.ndarray, causal: bool) -> np.ndarray:
    """softmax(Q K^T / sqrt(head_dim)) V in float64."""
    shared = len(query) // len(key)
    keys, values = (np.repeat(one.astype(np.float64), shared, axis=0) for one in (key, value))
    scores = query.astype(np.float64) @ keys.transpose(0, 2, 1) / math.sqrt(query.shape[2])
    if causal:
        q_len, kv_len = scores.shape[1:]
        scores[:, np.arange(kv_len) > kv_len - q_len + np.arange(q_len)[:, None]] = -np.inf
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    result: np.ndarray = weights / weights.sum(axis=2, keepdims=True) @ values
    return result


shapes = st.tuples(
    st.integers(1, 3), st.integers(1, 2), st.integers(1, 90), st.integers(0, 60), st.integers(1, 40)
).map(lambda one: (one[0] * one[1], one[1], one[2], one[2] + one[3], one[4]))


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 99), shapes, st.integers(1, 70), st.integers(1, 70), st.booleans(), st.sampled_from(FORMATS)
)  # fmt: skip
def test_tiles_give_the_plain_softmax(
    seed: int, shape: tuple[int, int, int, int, int], tile_q: int, tile_k: int, causal: bool, dtype: str
) -> None:
    query, key, value = operands(seed, shape, dtype)
    found = fused_attention(query, key, value, tile_q=tile_q, tile_k=tile_k, causal=causal, dtype=dtype)
    # A weight is off by half a step of the format, relative to itself or, in fp16, to 2^-14.
    largest = np.abs(value).max()
    bound = largest * (1.1 * UNIT_ROUNDOFF[dtype] + 2.0**-25 * shape[3] * (dtype == "fp16") + 1e-5)
    assert np.abs(found - plain(query, key, value, causal)).max() <= bound


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 99), shapes, st.integers(1, 70), st.integers(1, 70), st.booleans(), st.sampled_from(FORMATS))
def test_the_twin_agrees_to_the_order_of_sums(
    seed: int, shape: tuple[int, int, int, int, int], tile_q: int, tile_k: int, causal: bool, dtype: str
) -> None:
    query, key, value = operands(seed, shape, dtype)
    found = fused_attention(query, key, value, tile_q=tile_q, tile_k=tile_k, causal=causal, dtype=dtype)
    twin = fused_attention_reference(query, key, value, tile_k=tile_k, causal=causal, dtype=dtype)
    # Exponentials that lie half a step apart may be rounded to either side.
    assert np.abs(found - twin).max() <= 2 * UNIT_ROUNDOFF[dtype] * np.abs(value).max() + 1e-5
    assert np.median(np.abs(found - twin)) <= 1e-5


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 99), shapes, st.integers(1, 70), st.integers(1, 70), st.integers(1, 70), st.booleans())
def test_query_tiles_change_nothing(
    seed: int, shape: tuple[int, int, int, int, int], tile_q: int, other: int, tile_k: int, causal: bool
) -> None:
    query, key, value = operands(seed, shape, "fp16")
    one, two = (
        fused_attention(query, key, value, tile_q=size, tile_k=tile_k, causal=causal) for size in (tile_q, other)
    )
    assert np.array_equal(one, two)


@pytest.mark.parametrize("length", [1, 77, 3841])
def test_odd_lengths(length: int) -> None:
    query, key, value = operands(1, (1, 1, length, length, 16), "bf16")
    found = fused_attention(query, key, value, tile_q=128, tile_k=64, causal=True, dtype="bf16")
    assert np.array_equal(found[:, 0], value[:, 0])
    assert np.abs(found - plain(query, key, value, True)).max() <= 5e-3 * np.abs(value).max()


def test_large_scores_neither_overflow_nor_vanish() -> None:
    query, key, value = operands(2, (2, 2, 33, 65, 8), "fp16", size=200.0)
    found = fused_attention(query, key, value, tile_q=16, tile_k=16)
    assert np.isfinite(found).all()
    assert np.allclose(found, plain(query, key, value, False), rtol=2e-3, atol=0.5)


def test_the_rounding_is_that_of_the_format() -> None:
    # With V of ones the output is the sum of rounded weights over that of unrounded ones.
    query, key, _ = operands(3, (1, 1, 5, 7, 4), "bf16")
    found = fused_attention(query, key, np.ones_like(key), tile_k=7, dtype="bf16")
    scores = (query[0] @ key[0].T) * np.float32(0.5)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    expected = round_to_format(weights, "bf16").sum(axis=1) / weights.sum(axis=1)
    assert np.allclose(found[0], expected[:, None], rtol=1e-5)
    assert not np.allclose(found[0], 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "int8"}, "unknown format 'int8'"),
        ({"tile_k": 0}, "at least 1"),
        ({"key": np.zeros((1, 3, 5), np.float32)}, "do not belong together"),
        ({"query": np.zeros((1, 9, 4), np.float32), "causal": True}, "needs as many keys"),
    ],
)
def test_unfit_arguments_are_named(change: dict[str, object], message: str) -> None:
    query, key, value = operands(0, (1, 1, 3, 3, 4), "fp16")
    given = {"query": query, "key": key, "value": value} | change
    with pytest.raises(ValueError, match=message):
        fused_attention(**given)  # type: ignore[arg-type]
