"""Sanger's values: the compiled rows against their twin, the prediction, the load balance, the limits."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from accelsim.kernels import sanger_reference as reference
from accelsim.kernels.sanger import (
    EXPONENTIALS,
    KEEP_ALL,
    NORMALISATIONS,
    column_windows,
    load_balance,
    low_bits,
    sanger_attention,
    segments,
)

quick = settings(deadline=None, max_examples=40)

shapes = st.tuples(st.integers(1, 3), st.integers(1, 23), st.integers(1, 9))
seeds = st.integers(0, 999)
spreads = st.sampled_from([0.1, 1.0, 3.0, 20.0])
thresholds = st.sampled_from([KEEP_ALL, 0.0, 1e-3, 0.02, 0.1, 0.5, 1.0])
options = st.fixed_dictionaries(
    {
        "predict_bits": st.integers(2, 8),
        "normalise": st.sampled_from(NORMALISATIONS),
        "exponential": st.sampled_from(EXPONENTIALS),
        "vector": st.integers(1, 30),
    }
)


def operands(shape: tuple[int, int, int], seed: int, spread: float = 1.0) -> list[NDArray[np.float32]]:
    generator = np.random.default_rng(seed)
    return [(generator.normal(size=shape) * spread).astype(np.float32) for _ in range(3)]


@quick
@given(shapes, seeds, spreads, thresholds, options)
def test_rows_equal_their_twin(
    shape: tuple[int, int, int], seed: int, spread: float, threshold: float, chosen: dict[str, Any]
) -> None:
    q, k, v = operands(shape, seed, spread)
    compiled = sanger_attention(q, k, v, threshold=threshold, keep_mask=True, **chosen)
    plain = reference.sanger_attention(q, k, v, threshold=threshold, **chosen)
    np.testing.assert_array_equal(compiled.mask, plain.mask)
    np.testing.assert_array_equal(compiled.vector_counts, plain.vector_counts)
    np.testing.assert_array_equal(compiled.output, plain.output)
    assert compiled.saturated == plain.saturated
    decided = sanger_attention(q, k, v, threshold=threshold, decide_only=True, **chosen)
    assert decided.output is None
    np.testing.assert_array_equal(decided.vector_counts, plain.vector_counts)


@quick
@given(shapes, seeds, spreads, st.floats(0, 1), st.floats(0, 1), options)
def test_a_higher_threshold_keeps_a_subset(
    shape: tuple[int, int, int], seed: int, spread: float, one: float, other: float, chosen: dict[str, Any]
) -> None:
    q, k, v = operands(shape, seed, spread)
    low, high = sorted((one, other))
    loose = sanger_attention(q, k, v, threshold=low, keep_mask=True, **chosen).mask
    strict = sanger_attention(q, k, v, threshold=high, keep_mask=True, **chosen).mask
    everything = sanger_attention(q, k, v, threshold=KEEP_ALL, keep_mask=True, **chosen).mask
    assert loose is not None
    assert strict is not None
    assert everything is not None
    # A row that keeps nothing keeps its largest score, which a lower threshold keeps as well.
    assert not (strict & ~loose).any()
    assert strict.any(axis=2).all()
    assert everything.all()


@quick
@given(shapes, seeds)
def test_keeping_everything_is_dense_attention(shape: tuple[int, int, int], seed: int) -> None:
    q, k, v = operands(shape, seed)
    scores = np.einsum("hid,hjd->hij", q.astype(np.float64), k.astype(np.float64)) / np.sqrt(shape[2])
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    dense = weights / weights.sum(axis=2, keepdims=True) @ v.astype(np.float64)
    exact = sanger_attention(q, k, v, threshold=KEEP_ALL, exponential="exact").output
    table = sanger_attention(q, k, v, threshold=KEEP_ALL, exponential="table").output
    # A step of 2**-12 in Q, K and V, and of 2**-15 in each exponential.
    np.testing.assert_allclose(exact, dense, atol=6e-3)
    np.testing.assert_allclose(table, dense, atol=0.05 * np.abs(v).max())


@given(st.floats(-8, 0))
def test_the_table_stays_within_the_tolerance_of_its_tests(x: float) -> None:
    # The public tests of the exponential unit allow 5 %; half a step of the result comes on top.
    assert abs(int(reference.exponentials(np.array(x), "table")) / 2**15 - np.exp(x)) <= 0.05 * np.exp(x) + 2**-16


def test_exponentials_at_the_ends() -> None:
    for kind in EXPONENTIALS:
        ends = reference.exponentials(np.array([0.0, -1e-105, -40.1, -1e9]), kind)
        np.testing.assert_array_equal(ends, [1 << 15, 1 << 15, 0, 0])
    # 2**(1.4375 * -2) = 2**-3 * 2**0.125, and 0.125 begins an interval of the table.
    assert reference.exponentials(np.array([-2.0]), "table")[0] == round(2**15 * 2**-3 * 2**0.125)


def test_low_bits_of_a_small_case() -> None:
    query = np.array([[[3.0, 4.0], [0.0, 0.0]]], dtype=np.float32)
    key = np.array([[[-7.0, 3.5], [1.0, 0.0]]], dtype=np.float32)
    plain = low_bits(query, key, bits=4, normalise="none")
    # 7 levels to the largest magnitude, 4 and 7; 3 * 7 / 4 = 5.25.
    np.testing.assert_array_equal(plain.query[0], [[5, 7], [0, 0]])
    np.testing.assert_array_equal(plain.key[0], [[-7, 4], [1, 0]])
    np.testing.assert_allclose(plain.query_factor[0] * np.sqrt(2), 4 / 7)
    np.testing.assert_allclose(plain.key_factor[0], 1.0)
    scaled = low_bits(query, key, bits=4, normalise="inner_product")
    # Rows of length 1: (0.6, 0.8), and (-0.894, 0.447), (1, 0) of which 1 is the largest.
    np.testing.assert_array_equal(scaled.query[0], [[5, 7], [0, 0]])
    np.testing.assert_array_equal(scaled.key[0], [[-6, 3], [7, 0]])
    np.testing.assert_allclose(scaled.query_factor[0] * np.sqrt(2), [0.8 / 7 * 5, 0.0])
    np.testing.assert_allclose(scaled.key_factor[0], [np.hypot(7, 3.5) / 7, 1 / 7])


def test_load_balance_of_small_cases() -> None:
    assert load_balance(np.array([64])) == 1.0
    assert load_balance(np.array([1, 0])) == 1 / 16
    # 17 pairs are one full segment and a remnant of one.
    assert load_balance(np.array([17])) == (1 + 1 / 16) / 2
    assert load_balance(np.array([0, 0])) == 1.0


@given(st.lists(st.integers(0, 64), min_size=1, max_size=40).filter(any), st.integers(1, 32))
def test_load_balance_is_full_segments_and_remnants(counts: list[int], size: int) -> None:
    split = np.array([count / size for count in counts])
    expected = (np.floor(split).sum() + (split % 1).sum()) / np.ceil(split).sum()
    assert load_balance(np.array(counts), size) == pytest.approx(expected)
    np.testing.assert_array_equal(segments(np.array(counts), size), np.ceil(split))


@quick
@given(
    st.integers(1, 3),
    st.integers(1, 30),
    st.floats(0, 1),
    seeds,
    st.integers(1, 8),
    st.integers(1, 6),
    st.integers(1, 9),
)
def test_windows_equal_their_twin(
    heads: int, n: int, density: float, seed: int, rows: int, segment: int, ports: int
) -> None:
    mask = np.random.default_rng(seed).random((heads, n, n)) < density
    windows = column_windows(mask, rows, segment, ports)
    np.testing.assert_array_equal(windows, reference.column_windows(mask, rows, segment, ports))
    # The fullest query needs a window for each of its runs, and no window is wider than the ports or empty.
    kept = mask.sum(axis=2)
    fullest = np.array([[kept[h, g : g + rows].max() for g in range(0, n, rows)] for h in range(heads)])
    assert (windows >= -(-fullest // segment)).all()
    # Between two ends that the ports make, each further end needs a query with `segment` pairs before it.
    assert (windows <= -(-n // ports) + kept.sum() // segment).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predict_bits": 1}, "bits is 1; allowed: 2 to 8"),
        ({"predict_bits": 9}, "bits is 9"),
        ({"normalise": "max"}, "unknown normalise 'max'; allowed: none, inner_product"),
        ({"exponential": "cubic"}, "unknown exponential 'cubic'"),
        ({"threshold": 1.5}, "threshold 1.5"),
        ({"vector": 0}, "vector 0"),
        ({"fraction_bits": 13}, "at most 16 bits"),
    ],
)
def test_settings_out_of_range(change: dict[str, Any], message: str) -> None:
    q, k, v = operands((1, 4, 2), 0)
    with pytest.raises(ValueError, match=message):
        sanger_attention(q, k, v, **{"threshold": 0.1, **change})


def test_bad_operands() -> None:
    q, k, v = operands((1, 4, 2), 0)
    with pytest.raises(ValueError, match="one shape"):
        sanger_attention(q, k[:, :3], v, threshold=0.1)
    with pytest.raises(ValueError, match="one shape"):
        sanger_attention(q, k, v[:, :3], threshold=0.1)
    for place in range(3):
        bad = operands((1, 4, 2), 0)
        bad[place][0, 1, 1] = np.nan
        with pytest.raises(ValueError, match="NaN or infinity"):
            sanger_attention(*bad, threshold=0.1)


def test_operands_of_zeros_keep_all_or_one() -> None:
    zeros = [np.zeros((1, 5, 3), dtype=np.float32) for _ in range(3)]
    # Every probability is 1/5.
    loose = sanger_attention(*zeros, threshold=0.19)
    strict = sanger_attention(*zeros, threshold=0.2, keep_mask=True)
    assert loose.vector_counts.sum() == 25
    assert strict.mask is not None
    np.testing.assert_array_equal(strict.mask[0], np.arange(5)[None, :] == np.zeros((5, 1)))


def test_saturation_is_counted() -> None:
    q, k, v = operands((1, 4, 2), 0)
    q[0, 0, 0], v[0, 1, 1] = 100.0, -9.0
    assert sanger_attention(q, k, v, threshold=0.1).saturated == 2
