"""SpAtten's kernel: its plain twin, what keeping all means, and the top-k engine."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.kernels.spatten import high_plane, select, spatten_heads
from accelsim.kernels.spatten_reference import reference_select, reference_spatten_heads

OPTIONS = {"fraction_bits": 8, "low_bits": 4, "low_threshold": 0.2, "probability_bits": 12, "parallelism": 4}


def raw(seed, n, head_dim, limit=2048, heads=1):
    return np.random.default_rng(seed).integers(-limit, limit, size=(3, heads, n, head_dim), dtype=np.int32)


def run(operands, kernel=spatten_heads, queries=None, **changes):
    options = OPTIONS | {"keep_values": operands.shape[2], "seeds": np.arange(operands.shape[1]) * 1000}
    query, key, value = operands
    return kernel(query[:, :queries], key, value, **options | changes)


def assert_equal(ours, other):
    for field in dataclasses.fields(ours):
        np.testing.assert_array_equal(getattr(ours, field.name), getattr(other, field.name), err_msg=field.name)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**20),
    heads=st.integers(1, 3),
    n=st.integers(1, 30),
    fewer=st.integers(0, 9),
    head_dim=st.integers(1, 9),
    keep=st.floats(0.01, 1),
    low_bits=st.integers(0, 8),
    threshold=st.floats(0, 1),
    bits=st.integers(2, 16),
    limit=st.sampled_from([30, 300, 2048]),
)
def test_equals_its_plain_twin_bit_for_bit(seed, heads, n, fewer, head_dim, keep, low_bits, threshold, bits, limit):
    operands = raw(seed, n, head_dim, limit, heads)
    options = {
        "low_bits": low_bits,
        "low_threshold": threshold,
        "probability_bits": bits,
        "keep_values": max(1, int(keep * n)),
        "queries": max(1, n - fewer),
    }
    assert_equal(run(operands, **options), run(operands, reference_spatten_heads, **options))


def test_heads_do_not_know_of_each_other():
    operands = raw(3, 50, 8, heads=3)
    together, alone = run(operands, keep_values=20), run(operands[:, 1:2], keep_values=20, seeds=np.array([1000]))
    for field in dataclasses.fields(together):
        np.testing.assert_array_equal(getattr(together, field.name)[1:2], getattr(alone, field.name))


@settings(deadline=None, max_examples=30)
@given(values=st.lists(st.integers(0, 30), min_size=1, max_size=80), share=st.floats(0, 1), seed=st.integers(0, 2**30))
def test_the_engine_keeps_as_many_as_asked_for_and_the_largest_of_them(values, share, seed):
    numbers = np.array(values, dtype=np.float64)
    count = max(1, int(share * len(values)))
    kept, cycles, compared = select(numbers, count, 16, seed)
    plain, plain_cycles, plain_compared = reference_select(values, count, 16, seed)
    assert kept.tolist() == plain
    assert (cycles, compared) == (plain_cycles, plain_compared)
    assert kept.sum() == count
    assert len(values) == count or numbers[kept].min() >= numbers[~kept].max()


def test_the_engine_takes_one_pass_when_all_are_equal():
    assert select(np.full(33, 0.5), 7, 16, 0)[1:] == (math.ceil(33 / 16) + 3, 33)


def test_the_engine_takes_about_as_long_as_quick_select_does():
    """A search for the median compares (2 + 2 ln 2) n numbers on average (Knuth), here over 300 seeds."""
    numbers = np.random.default_rng(0).permutation(1024).astype(np.float64)
    compared = [select(numbers, 512, 16, seed)[2] for seed in range(300)]
    assert np.mean(compared) / 1024 == pytest.approx(2 + 2 * math.log(2), rel=0.06)


@pytest.mark.parametrize("count", [0, 4])
def test_the_engine_cannot_keep_none_or_more_than_there_are(count):
    with pytest.raises(ValueError, match="cannot keep"):
        select(np.zeros(3), count, 16, 0)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), n=st.integers(1, 60))
def test_keeping_all_at_full_width_is_dense_attention_within_a_step(seed, n):
    operands = raw(seed, n, 16, limit=700)
    got = run(operands, low_bits=0)
    query, key, value = operands[:, 0] / 256
    scores = query @ key.T / 4.0
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    # Each probability is off by at most half a step of its row's largest, 1 / 2047 of it.
    bound = 0.5 / 2047 * weights.max(axis=1)[:, None] * np.abs(value).sum(axis=0) + 1e-6
    assert (np.abs(got.output[0] - weights @ value) <= bound + 1e-6 * np.abs(got.output[0])).all()
    np.testing.assert_allclose(got.received[0] / 2.0**24, weights.sum(axis=0), atol=n * 2.0**-24)
    assert got.value_used.all()
    assert not got.recomputed.any()
    assert got.compared.sum() == 0


def test_what_keys_receive_adds_up_to_the_number_of_queries():
    got = run(raw(1, 77, 16), keep_values=30)
    assert got.received.sum() / 2.0**24 == pytest.approx(77, rel=1e-4)


def test_the_low_plane_is_asked_for_more_often_as_the_threshold_rises():
    rows = [run(raw(5, 64, 16, limit=400), low_threshold=t).recomputed for t in (0, 0.1, 0.3, 2)]
    assert not rows[0].any()
    assert rows[-1].all()
    assert 0 < rows[1].sum() < rows[2].sum()
    for fewer, more in itertools.pairwise(rows):
        assert not (fewer & ~more).any()


def test_a_second_pass_everywhere_gives_what_full_width_gives():
    operands = raw(6, 30, 8)
    # No probability reaches 2, so every query needs the low plane.
    again, full = run(operands, low_threshold=2.0), run(operands, low_bits=0)
    np.testing.assert_array_equal(again.output, full.output)
    assert again.recomputed.all()


def test_the_high_plane_is_what_two_complement_leaves():
    np.testing.assert_array_equal(high_plane(np.array([17, -1, -17, 2047], dtype=np.int32), 4), [16, -16, -32, 2032])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keep_values": 0}, "keep_values is 0"),
        ({"keep_values": 9}, "keep_values is 9"),
        ({"probability_bits": 1}, "probability_bits is 1"),
        ({"low_bits": -1}, "low_bits is -1"),
        ({"parallelism": 0}, "parallelism is 0"),
    ],
)
def test_numbers_out_of_range_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        run(raw(0, 8, 4), **change)


def test_shapes_that_differ_are_refused():
    query, key, value = raw(0, 8, 4)
    with pytest.raises(ValueError, match="need query"):
        spatten_heads(query, key[:, :5], value, **OPTIONS, keep_values=8, seeds=np.zeros(1, dtype=np.int64))
