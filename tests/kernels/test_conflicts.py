"""Bank conflicts from addresses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.kernels.conflicts import SharedLayout, bank_ways, chunk_addresses, fragment_ways


@pytest.mark.parametrize(("stride", "ways"), [(0, 1), (1, 1), (2, 2), (4, 4), (32, 32), (33, 1), (48, 16)])
def test_strides_of_a_warp(stride: int, ways: int) -> None:
    assert bank_ways(np.arange(32) * stride) == ways


def test_lanes_on_one_word_are_served_together() -> None:
    assert bank_ways([5] * 31 + [37]) == 2
    assert bank_ways([]) == 0


@settings(deadline=None, max_examples=50)
@given(words=st.lists(st.integers(0, 500), max_size=32), banks=st.integers(1, 40))
def test_ways_equal_a_count_by_hand(words: list[int], banks: int) -> None:
    by_bank: dict[int, set[int]] = {}
    for word in words:
        by_bank.setdefault(word % banks, set()).add(word)
    assert bank_ways(words, banks) == max((len(distinct) for distinct in by_bank.values()), default=0)


@pytest.mark.parametrize(
    ("layout", "row_bytes", "ways"),
    [
        ("linear", 16, 1),
        ("linear", 32, 2),
        ("linear", 64, 4),
        ("linear", 128, 8),
        ("linear", 256, 8),
        ("linear", 96, 2),
        ("linear", 80, 1),
        ("padded", 128, 1),
        ("padded", 64, 1),
        ("padded", 32, 1),
        ("padded", 48, 4),
        ("swizzled", 16, 1),
        ("swizzled", 32, 1),
        ("swizzled", 64, 1),
        ("swizzled", 128, 1),
        ("swizzled", 256, 1),
        ("swizzled", 96, 1),
    ],
)
def test_fragment_reads(layout: SharedLayout, row_bytes: int, ways: int) -> None:
    assert fragment_ways(layout, row_bytes) == ways


@settings(deadline=None, max_examples=50)
@given(row_bytes=st.integers(1, 600))
def test_swizzled_rows_of_any_length_meet_nowhere(row_bytes: int) -> None:
    assert fragment_ways("swizzled", row_bytes) == 1
    assert fragment_ways("linear", row_bytes) >= 1


@settings(deadline=None, max_examples=50)
@given(row_bytes=st.integers(1, 600), rows=st.integers(1, 20), layout=st.sampled_from(["linear", "padded", "swizzled"]))
def test_layouts_give_every_chunk_a_place_of_its_own(row_bytes: int, rows: int, layout: SharedLayout) -> None:
    addresses = chunk_addresses(layout, row_bytes, rows)
    chunks = -(-row_bytes // 16)
    pitch = 16 * (chunks + (layout == "padded"))
    assert len(np.unique(addresses)) == rows * chunks
    # Every chunk stays within its own row.
    np.testing.assert_array_equal(addresses // pitch, np.repeat(np.arange(rows)[:, None], chunks, axis=1))


def test_unknown_layouts_and_empty_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown layout 'diagonal'; allowed: linear, padded, swizzled"):
        fragment_ways("diagonal", 64)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be positive"):
        fragment_ways("linear", 0)
