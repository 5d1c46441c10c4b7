"""Packing: what is kept survives the round trip, what is pruned is never read."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.errors import OperandError
from accelsim.pruning.pack import pack, unpack
from accelsim.pruning.seeded import seeded_mask
from accelsim.pruning.tile_wise import TileWiseMask


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 50),
    st.integers(1, 50),
    st.floats(0, 0.95),
    st.sampled_from([1, 4, 16, 64]),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_round_trip(k: int, n: int, sparsity: float, granularity: int, uneven: float, seed: int) -> None:
    mask = seeded_mask(k, n, sparsity, granularity, seed, uneven)
    weights = np.random.default_rng(seed).normal(size=(k, n)).astype(np.float32)
    kept = mask.to_dense()
    poisoned = np.where(kept, weights, np.nan)
    packed = pack(poisoned, mask)
    np.testing.assert_array_equal(unpack(packed), np.where(kept, weights, 0))
    assert packed.kept == mask.kept == kept.sum()
    assert packed.tiles == len(mask.columns)
    for tile in range(packed.tiles):
        np.testing.assert_array_equal(packed.rows(tile), mask.rows[tile])
        np.testing.assert_array_equal(packed.columns(tile), mask.columns[tile])
    assert packed.row_offset.dtype == packed.column_offset.dtype == np.dtype(np.int32)
    assert np.all(packed.row_offset >= 0)
    assert np.all(np.diff(packed.column_offset) >= 0)


def test_a_mask_without_values() -> None:
    packed = pack(None, seeded_mask(8, 8, 0.5, 4, 0))
    assert packed.values is None
    assert packed.kept > 0
    with pytest.raises(OperandError, match="without values"):
        unpack(packed)


def test_an_empty_mask() -> None:
    packed = pack(np.ones((3, 5)), TileWiseMask(3, 5, 4, (), ()))
    assert packed.tiles == 0
    assert packed.kept == 0
    np.testing.assert_array_equal(unpack(packed), np.zeros((3, 5)))


def test_weights_of_another_shape() -> None:
    with pytest.raises(OperandError, match=r"\(5, 3\).*\[3, 5\]"):
        pack(np.ones((5, 3)), TileWiseMask(3, 5, 4, (), ()))


def test_int8_weights_are_held_exactly() -> None:
    mask = seeded_mask(16, 16, 0.5, 4, 2)
    weights = np.random.default_rng(0).integers(-127, 128, (16, 16), dtype=np.int8)
    np.testing.assert_array_equal(unpack(pack(weights, mask)), weights * mask.to_dense())
