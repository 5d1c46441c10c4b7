"""HDP kernels against the plain twin, and the properties that pruning has to have."""

import dataclasses
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.kernels.hdp import (
    HdpValues,
    attend,
    fixed_point_attention,
    hdp_attention,
    mean_key,
    split_operands,
)
from accelsim.kernels.hdp_counts import HdpCounts, block_sizes, counts_of_mask
from accelsim.kernels.hdp_decision import decide, kept_of_row
from accelsim.kernels.hdp_reference import reference_attention, reference_largest
from accelsim.kernels.hdp_rows import exponential, keep_largest, row_threshold

quick = settings(deadline=None, max_examples=40)

shapes = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 5))
switches = st.fixed_dictionaries(
    {
        "rounding": st.sampled_from(["truncate", "floor", "round"]),
        "scale": st.sampled_from([0.5, 1.0, 3.0]),
        "importance": st.sampled_from(["absolute", "signed"]),
        "center_keys": st.sampled_from(["none", "dynamic", "static"]),
        "pruned_score": st.sampled_from(["excluded", "zero", "zero_in_denominator"]),
        "selection": st.sampled_from(["threshold", "threshold", "top_k"]),
        "rho_b": st.sampled_from([-1.0, -0.6, 0.0, 0.3, 0.97, 1.0]),
        "top_k_ratio": st.sampled_from([0.0, 0.3, 0.5, 0.9]),
        "tau_h": st.sampled_from([0.0, 6.0, 60.0]),
        "tau_normalised": st.booleans(),
        "approximation": st.booleans(),
        "exponential": st.sampled_from(["exact", "polynomial"]),
    }
)


def draw(shape: tuple[int, int, int], seed: int, spread: float = 2.0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(scale=spread, size=shape).astype(np.float32) for _ in range(3)]


def assert_equals_reference(got: HdpValues, expected: dict[str, Any]) -> None:
    assert got.output.dtype == np.float32
    for name in ("output", "block_kept", "head_kept", "head_importance", "importance"):
        np.testing.assert_array_equal(getattr(got, name), expected[name], err_msg=name)
    assert got.saturated == expected["saturated"]
    for field in dataclasses.fields(HdpCounts):
        if not field.name.startswith("row_"):
            np.testing.assert_array_equal(getattr(got.counts, field.name), expected[field.name], err_msg=field.name)


@quick
@given(shapes, switches, st.integers(0, 2**32 - 1), st.sampled_from([(4, 12), (2, 14), (4, 0), (15, 1), (8, 5)]))
def test_equals_the_reference_bit_for_bit(
    shape: tuple[int, int, int], options: dict[str, Any], seed: int, bits: tuple[int, int]
) -> None:
    operands = draw(shape, seed)
    options = options | {"integer_bits": bits[0], "fraction_bits": bits[1]}
    options["key_means"] = np.random.default_rng(seed).normal(size=(shape[0], shape[2]))
    assert_equals_reference(
        hdp_attention(*operands, **options, keep_importance=True), reference_attention(*operands, **options)
    )


def test_scores_beyond_32_bits_are_exact() -> None:
    operands = [np.sign(x) * np.float32(12_000.5) + x for x in draw((1, 5, 32), 1, 1.0)]
    operands[1] = np.abs(operands[1]) * np.sign(operands[0][:, :1])
    options: dict[str, Any] = {"integer_bits": 15, "fraction_bits": 1, "approximation": False}
    got = hdp_attention(*operands, **options, keep_importance=True)
    assert got.importance is not None
    assert got.importance.max() > 2**31
    assert_equals_reference(got, reference_attention(*operands, **options))


@quick
@given(shapes, st.integers(0, 2**32 - 1), st.sampled_from(["exact", "polynomial"]), st.sampled_from([1.0, 3.0]))
def test_nothing_pruned_and_all_products_is_fixed_point_attention(
    shape: tuple[int, int, int], seed: int, kind: str, scale: float
) -> None:
    operands = draw(shape, seed)
    dense, saturated = fixed_point_attention(*operands, exponential=kind, scale=scale)
    for pruned_score in ("excluded", "zero", "zero_in_denominator"):
        got = hdp_attention(
            *operands, rho_b=-1.0, approximation=False, exponential=kind, scale=scale, pruned_score=pruned_score
        )
        np.testing.assert_array_equal(got.output, dense)
        assert got.saturated == saturated
        assert got.block_kept.all()


def test_close_to_attention_in_float64() -> None:
    query, key, value = draw((2, 33, 16), 3, 1.0)
    scores = np.einsum("hid,hjd->hij", query.astype(float), key.astype(float)) / 4
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    expected = weights / weights.sum(axis=2, keepdims=True) @ value
    dense, _ = fixed_point_attention(query, key, value, exponential="exact")
    # Half a step of each of 33 probabilities, of V, and of Q and K through the scores.
    assert np.abs(dense - expected).max() < 33 * 2.0**-16 * 4 + 2.0**-12 * 8
    polynomial, _ = fixed_point_attention(query, key, value)
    assert 0 < np.abs(polynomial - dense).max() < 0.01


@quick
@given(shapes, switches, st.integers(0, 2**32 - 1))
def test_what_is_not_fetched_is_not_used(shape: tuple[int, int, int], options: dict[str, Any], seed: int) -> None:
    operands = draw(shape, seed)
    options = options | {"key_means": np.full((shape[0], shape[2]), 0.25)}
    prepare = {name: options[name] for name in ("rounding", "scale", "center_keys", "key_means")}
    weigh = {name: options[name] for name in ("pruned_score", "approximation", "exponential")}
    parts = split_operands(*operands, **prepare)
    chosen = decide(
        parts.query_integer,
        parts.key_integer,
        **{name: options[name] for name in ("importance", "selection", "rho_b", "top_k_ratio", "tau_h")},
        tau_normalised=options["tau_normalised"],
    )
    fetched = np.repeat(chosen.block_kept.any(axis=1), 2, axis=1)[:, : shape[1]]
    read = fetched | (chosen.head_kept[:, None] & (options["pruned_score"] == "zero"))
    counts = counts_of_mask(chosen.block_kept, chosen.head_kept, *shape[1:], pruned_score=options["pruned_score"])
    np.testing.assert_array_equal(counts.key_rows_fetched, fetched.sum(axis=1))
    np.testing.assert_array_equal(counts.value_rows_fetched, read.sum(axis=1))

    def poison(array: np.ndarray, kept: np.ndarray) -> np.ndarray:
        return np.where(kept[..., None], array, np.int32(2**31 - 1)).astype(np.int32)

    poisoned = dataclasses.replace(
        parts,
        query_fraction=poison(parts.query_fraction, np.broadcast_to(chosen.head_kept[:, None], fetched.shape)),
        key_fraction=poison(parts.key_fraction, fetched),
        value=poison(parts.value, read),
    )
    clean = attend(parts, chosen.block_kept, chosen.head_kept, **weigh)
    np.testing.assert_array_equal(attend(poisoned, chosen.block_kept, chosen.head_kept, **weigh), clean)
    np.testing.assert_array_equal(clean, hdp_attention(*operands, **options).output)


def test_what_is_fetched_is_used() -> None:
    parts = split_operands(*draw((1, 8, 4), 5))
    everything, head = np.ones((1, 4, 4), dtype=bool), np.ones(1, dtype=bool)
    clean = attend(parts, everything, head)
    for name in ("query_fraction", "key_fraction", "value"):
        changed = getattr(parts, name).copy()
        changed[0, 3] += 1000
        assert (attend(dataclasses.replace(parts, **{name: changed}), everything, head) != clean).any()


@quick
@given(shapes, st.integers(0, 2**32 - 1), st.sampled_from(["absolute", "signed"]), st.floats(-1, 1), st.floats(-1, 1))
def test_pruning_grows_with_rho_b(
    shape: tuple[int, int, int], seed: int, importance: str, one: float, other: float
) -> None:
    operands = draw(shape, seed)
    low, high = sorted((one, other))
    more = hdp_attention(*operands, importance=importance, rho_b=low)
    fewer = hdp_attention(*operands, importance=importance, rho_b=high)
    assert not (fewer.block_kept & ~more.block_kept).any()


@quick
@given(shapes, st.integers(0, 2**32 - 1), st.sampled_from(["absolute", "signed"]))
def test_ends_and_middle_of_rho_b(shape: tuple[int, int, int], seed: int, importance: str) -> None:
    operands = draw(shape, seed)

    def at(rho_b: float) -> HdpValues:
        return hdp_attention(*operands, importance=importance, rho_b=rho_b, keep_importance=True)

    theta = at(0.0).importance
    assert theta is not None
    assert at(-1.0).block_kept.all()
    # Integers: a row's total compares exactly where its mean would be rounded.
    np.testing.assert_array_equal(at(0.0).block_kept, theta * theta.shape[2] >= theta.sum(axis=2, keepdims=True))
    for nearly in (1 - 2.0**-53, 1.0):
        np.testing.assert_array_equal(at(nearly).block_kept, theta == theta.max(axis=2, keepdims=True))


@quick
@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=12), st.floats(-1, 1))
def test_threshold_stays_between_the_extremes_of_its_row(theta: list[int], rho: float) -> None:
    assert min(theta) <= row_threshold(np.array(theta), rho) <= max(theta)


@quick
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=12), st.integers(0, 99))
def test_a_row_keeps_its_largest_and_of_equals_the_first(theta: list[int], percent: int) -> None:
    ratio = percent / 100
    kept = np.zeros(len(theta), dtype=np.bool_)
    keep_largest(np.array(theta), kept_of_row(len(theta), ratio), kept)
    assert kept.tolist() == reference_largest(theta, ratio)
    assert kept.sum() == max(1, len(theta) - len(theta) * percent // 100)
    assert min(np.array(theta)[kept]) >= max(np.array(theta)[~kept], default=-5)


@quick
@given(shapes, st.integers(0, 2**32 - 1), st.floats(0, 0.99), st.floats(0, 0.99))
def test_a_larger_share_prunes_what_a_smaller_one_does_and_more(
    shape: tuple[int, int, int], seed: int, one: float, other: float
) -> None:
    operands, (low, high) = draw(shape, seed), sorted((one, other))
    more, fewer = (hdp_attention(*operands, selection="top_k", top_k_ratio=ratio).block_kept for ratio in (low, high))
    assert not (fewer & ~more).any()
    np.testing.assert_array_equal(more.sum(axis=2), kept_of_row(more.shape[2], low))


def test_thresholds_of_heads_as_means_and_as_sums() -> None:
    operands = draw((4, 12, 4), 21)
    importance = hdp_attention(*operands).head_importance
    bound = float(np.median(importance))
    as_means = hdp_attention(*operands, tau_h=bound)
    as_sums = hdp_attention(*operands, tau_h=bound * 6 * 6, tau_normalised=False)
    assert 0 < as_means.head_kept.sum() < 4
    np.testing.assert_array_equal(as_means.head_kept, as_sums.head_kept)
    np.testing.assert_array_equal(as_sums.head_importance, importance)
    assert not hdp_attention(*operands, tau_h=importance.max() * 1.01).head_kept.any()
    assert hdp_attention(*operands, tau_h=importance.max() * 1.01, tau_normalised=False).head_kept.all()


def test_static_centring_with_the_mean_of_these_keys_is_dynamic_centring() -> None:
    query, key, value = draw((2, 16, 8), 13, 1.0)
    dynamic = hdp_attention(query, key, value, center_keys="dynamic")
    static = hdp_attention(query, key, value, center_keys="static", key_means=mean_key(key)[:, 0])
    np.testing.assert_array_equal(static.output, dynamic.output)
    np.testing.assert_array_equal(static.block_kept, dynamic.block_kept)
    other = hdp_attention(query, key, value, center_keys="static", key_means=np.full((2, 8), 0.7))
    assert (other.block_kept != dynamic.block_kept).any()


def test_ties_with_the_threshold_stay() -> None:
    same = np.ones((1, 6, 4), dtype=np.float32)
    for rho_b in (-0.3, 0.0, 0.1, 0.7, 1.0):
        assert hdp_attention(same, same, same, rho_b=rho_b).block_kept.all()


@quick
@given(shapes, switches, st.integers(0, 2**32 - 1))
def test_order_of_heads_changes_nothing(shape: tuple[int, int, int], options: dict[str, Any], seed: int) -> None:
    operands = draw(shape, seed)
    order = np.random.default_rng(seed).permutation(shape[0])
    means = np.random.default_rng(seed).normal(size=(shape[0], shape[2]))
    straight = hdp_attention(*operands, **options, key_means=means)
    turned = hdp_attention(*(x[order] for x in operands), **options, key_means=means[order])
    np.testing.assert_array_equal(turned.output, straight.output[order])
    np.testing.assert_array_equal(turned.block_kept, straight.block_kept[order])
    np.testing.assert_array_equal(turned.counts.value_products, straight.counts.value_products[order])


def test_number_of_threads_changes_nothing() -> None:
    operands = draw((5, 37, 12), 11)
    before = numba.get_num_threads()
    results = []
    try:
        for threads in (1, before):
            numba.set_num_threads(threads)
            results.append((hdp_attention(*operands, rho_b=0.2), fixed_point_attention(*operands)[0]))
    finally:
        numba.set_num_threads(before)
    (one, dense_one), (many, dense_many) = results
    np.testing.assert_array_equal(one.output, many.output)
    np.testing.assert_array_equal(one.block_kept, many.block_kept)
    np.testing.assert_array_equal(dense_one, dense_many)


def test_pruned_heads_are_zero_and_read_nothing() -> None:
    operands = draw((3, 6, 4), 7)
    importance = hdp_attention(*operands).head_importance
    got = hdp_attention(*operands, tau_h=float(np.median(importance)))
    np.testing.assert_array_equal(got.head_kept, importance >= np.median(importance))
    gone = ~got.head_kept
    assert gone.sum() == 1
    assert not got.output[gone].any()
    assert not got.block_kept[gone].any()
    assert got.counts.integer_products[gone] == 6 * 6 * 4
    for name in ("query_rows_fetched", "key_rows_fetched", "value_rows_fetched", "cross_products", "softmax_elements"):
        assert getattr(got.counts, name)[gone] == 0
    # A threshold for each head.
    thresholds = np.where([True, False, True], 0.0, np.inf)
    assert hdp_attention(*operands, tau_h=thresholds).head_kept.tolist() == [True, False, True]


def test_one_key_attends_to_itself() -> None:
    query, key, value = draw((2, 1, 3), 9, 1.0)
    got = hdp_attention(query, key, value, exponential="exact")
    np.testing.assert_allclose(got.output, value, atol=2.0**-13)
    assert got.block_kept.shape == (2, 1, 1)
    assert got.counts.kept_elements.tolist() == [1, 1]


def test_centred_keys_do_not_move_dense_attention_but_importance() -> None:
    query, key, value = draw((2, 16, 8), 13, 1.0)
    key += 2.0
    plain = hdp_attention(query, key, value, rho_b=-1, approximation=False, keep_importance=True)
    centred = hdp_attention(
        query, key, value, rho_b=-1, approximation=False, keep_importance=True, center_keys="dynamic"
    )
    np.testing.assert_allclose(centred.output, plain.output, atol=0.005)
    assert centred.importance is not None
    assert plain.importance is not None
    assert centred.importance.mean() < plain.importance.mean()
    np.testing.assert_allclose(mean_key(key)[:, 0], key.mean(axis=1), rtol=1e-6)


def test_pruned_share_follows_rho_b_on_normal_operands() -> None:
    query, key, value = draw((4, 128, 64), 0, 2.0)
    for rho_b, expected in ((-0.5, 0.18), (0.0, 0.54), (0.25, 0.76), (0.5, 0.89)):
        pruned = 1 - hdp_attention(query, key, value, rho_b=rho_b).block_kept.mean()
        # Recorded on other draws of the same distribution.
        assert abs(pruned - expected) < 0.03


def test_polynomial_exponential_is_close_to_exact() -> None:
    x = -np.linspace(0, 12, 2001)
    polynomial = np.array([exponential(value, 1) for value in x])
    assert np.abs(polynomial / np.exp(x) - 1).max() < 0.005
    assert exponential(-1000.0, 1) == 0.0
    assert exponential(-1.0, 0) == np.exp(-1.0)


def test_mean_of_ragged_block_sizes() -> None:
    assert block_sizes(5).tolist() == [2, 2, 1]
    assert block_sizes(4).tolist() == [2, 2]


def test_refusals() -> None:
    query, key, value = draw((1, 4, 2), 0)
    with pytest.raises(ValueError, match="one shape"):
        hdp_attention(query, key[:, :3], value)
    with pytest.raises(ValueError, match=r"rho_b is 1\.5"):
        hdp_attention(query, key, value, rho_b=1.5)
    for name in ("rounding", "importance", "center_keys", "pruned_score", "exponential", "selection"):
        wrong: dict[str, Any] = {name: "other"}
        with pytest.raises(ValueError, match="allowed"):
            hdp_attention(query, key, value, **wrong)
    with pytest.raises(ValueError, match="NaN"):
        hdp_attention(query * np.float32(np.inf), key, value)
    with pytest.raises(ValueError, match=r"top_k_ratio is 1\.0; allowed: 0 <= top_k_ratio < 1"):
        hdp_attention(query, key, value, top_k_ratio=1.0)
    with pytest.raises(ValueError, match="needs key_means"):
        hdp_attention(query, key, value, center_keys="static")
    for unfit in (np.zeros((2, 2)), np.full((1, 2), np.nan)):
        with pytest.raises(ValueError, match=r"finite numbers \[1, 2\]"):
            hdp_attention(query, key, value, center_keys="static", key_means=unfit)
    parts = split_operands(query, key, value)
    with pytest.raises(ValueError, match="at least one block"):
        attend(parts, np.zeros((1, 2, 2), dtype=bool), np.ones(1, dtype=bool))
    with pytest.raises(ValueError, match="do not fit"):
        attend(parts, np.ones((1, 3, 3), dtype=bool), np.ones(1, dtype=bool))
