"""Seeded masks and what is counted from masks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.kernels.hdp_counts import block_count, counts_of_mask, seeded_masks


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 6), st.integers(1, 20), st.floats(0, 0.99), st.floats(0, 0.99), st.integers(0, 1000))
def test_ratios_are_as_close_as_integers_allow(
    heads: int, n: int, block_ratio: float, head_ratio: float, seed: int
) -> None:
    block_kept, head_kept = seeded_masks(heads, n, block_ratio, head_ratio, seed)
    nb = block_count(n)
    assert heads - head_kept.sum() == round(head_ratio * heads)
    assert not block_kept[~head_kept].any()
    rows = block_kept[head_kept].sum(axis=2)
    expected = min(round(block_ratio * nb * nb), nb * nb - nb)
    assert (nb * nb - rows.sum(axis=1) == expected).all()
    assert rows.size == 0 or (rows.min() >= 1 and np.ptp(rows, axis=1).max() <= 1)


def test_seeds_differ_and_repeat() -> None:
    first, again, other = (seeded_masks(2, 600, 0.5, 0.0, seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    # Every column is as likely as any other, so columns do not all keep the same number.
    columns = first[0].sum(axis=0)
    assert 100 < columns.min() < columns.max() < 200


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 9),
    st.integers(1, 4),
    st.booleans(),
    st.sampled_from(["excluded", "zero", "zero_in_denominator"]),
    st.integers(0, 2**32 - 1),
)
def test_counts_are_those_of_the_expanded_mask(
    n: int, head_dim: int, approximation: bool, pruned_score: str, seed: int
) -> None:
    block_kept, head_kept = seeded_masks(3, n, 0.6, 0.3, seed)
    got = counts_of_mask(block_kept, head_kept, n, head_dim, approximation=approximation, pruned_score=pruned_score)
    # The same mask for every score; heads that are pruned keep nothing.
    full = np.repeat(np.repeat(block_kept, 2, axis=1), 2, axis=2)[:, :n, :n]
    alive = head_kept.astype(int)
    kept = full.sum(axis=(1, 2))
    weighed = n * n * alive if pruned_score == "zero" else kept
    extra = (full.sum(axis=2) < n).sum(axis=1) * alive if pruned_score == "zero_in_denominator" else 0
    np.testing.assert_array_equal(got.kept_elements, kept)
    np.testing.assert_array_equal(got.row_keys, full[:, ::2].sum(axis=2))
    np.testing.assert_array_equal(got.key_rows_fetched, full.any(axis=1).sum(axis=1))
    np.testing.assert_array_equal(
        got.value_rows_fetched, n * alive if pruned_score == "zero" else full.any(axis=1).sum(axis=1)
    )
    np.testing.assert_array_equal(got.query_rows_fetched, n * alive)
    np.testing.assert_array_equal(got.integer_products, np.full(3, n * n * head_dim))
    np.testing.assert_array_equal(got.cross_products, 2 * kept * head_dim)
    np.testing.assert_array_equal(got.fraction_products, 0 if approximation else kept * head_dim)
    np.testing.assert_array_equal(got.value_products, weighed * head_dim)
    np.testing.assert_array_equal(got.softmax_elements, weighed + extra)


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"block_ratio is 1\.0"):
        seeded_masks(2, 8, 1.0, 0.0, 0)
    with pytest.raises(ValueError, match="head_ratio"):
        seeded_masks(2, 8, 0.0, -0.1, 0)
    with pytest.raises(ValueError, match="at least one head"):
        seeded_masks(0, 8, 0.0, 0.0, 0)
    with pytest.raises(ValueError, match="block_kept has shape"):
        counts_of_mask(np.ones((2, 3, 3), dtype=bool), np.ones(2, dtype=bool), 8, 4)
    with pytest.raises(ValueError, match="pruned_score"):
        counts_of_mask(np.ones((2, 4, 4), dtype=bool), np.ones(2, dtype=bool), 8, 4, pruned_score="none")
