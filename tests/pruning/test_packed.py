"""Packed forms: what is kept survives the round trip, what is pruned is never read, and bytes are counted exactly."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse

from accelsim.config.patterns import BlockWisePattern
from accelsim.errors import OperandError
from accelsim.pruning.block_wise import as_block_wise
from accelsim.pruning.masks import (
    BlockWiseMask,
    ElementWiseMask,
    GroupMask,
    TileElementWiseMask,
    TileVectorWiseMask,
)
from accelsim.pruning.packed import (
    BlockWeights,
    ElementWeights,
    GroupedWeights,
    TileElementWeights,
    pack_block_wise,
    pack_elements,
    pack_groups,
    pack_mask,
    pack_tile_element_wise,
    pack_tile_vector_wise,
)
from accelsim.pruning.packed.groups import place_bits
from accelsim.pruning.packing import TileWiseWeights
from accelsim.pruning.seeded import seeded_mask
from accelsim.pruning.tile_wise import TileWiseMask

Array = NDArray[Any]
SIZES = st.integers(1, 70)
PATTERNS = st.sampled_from([(2, 4), (1, 2), (3, 4), (4, 16), (5, 7), (1, 1), (2, 32), (9, 16), (4, 4)])


def block_mask(mask: np.ndarray, rows: int, columns: int) -> BlockWiseMask:
    return as_block_wise(mask, BlockWisePattern(block_rows=rows, block_columns=columns), "mask")


def group_mask(k: int, n: int, keep: int, group: int, seed: int, density: float = 0.8) -> Array:
    """A mask that keeps at most `keep` of every `group` rows of a column, often fewer."""
    random = np.random.default_rng(seed)
    mask = np.zeros((k, n), bool)
    for first in range(0, k, group):
        part = random.random((min(group, k - first), n))
        rank = part.argsort(0).argsort(0)
        mask[first : first + group] = (rank < keep) & (random.random(part.shape) < density)
    return mask


def tile_vector_mask(k: int, n: int, granularity: int, keep: int, group: int, seed: int) -> TileVectorWiseMask:
    tiles = seeded_mask(k, n, 0.5, granularity, seed, 1.0)
    shapes = [(len(rows), len(columns)) for rows, columns in zip(tiles.rows, tiles.columns, strict=True)]
    inner = tuple(group_mask(*shape, keep, group, seed + tile) for tile, shape in enumerate(shapes))
    return TileVectorWiseMask(tiles, group, keep, inner)


def poisoned(weights: Array, kept: Array) -> Array:
    """NaN where nothing may be read."""
    return np.where(kept, weights, np.nan)


def weights_of(k: int, n: int, seed: int) -> Array:
    return np.random.default_rng(seed).normal(size=(k, n)).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(SIZES, SIZES, PATTERNS, st.floats(0, 1), st.integers(0, 99))
def test_groups_round_trip(k: int, n: int, pattern: tuple[int, int], density: float, seed: int) -> None:
    keep, group = pattern
    mask, weights = group_mask(k, n, keep, group, seed, density), weights_of(k, n, seed)
    packed = pack_groups(poisoned(weights, mask), mask, keep, group)
    np.testing.assert_array_equal(packed.unpack(), np.where(mask, weights, 0))
    assert packed.kept == mask.sum()
    groups = math.ceil(k / group)
    assert packed.value_bytes(2) == groups * keep * n * 2
    assert packed.values is not None
    assert packed.values.size * 2 == packed.value_bytes(2)
    per_word = 32 // max(1, math.ceil(math.log2(group)))
    assert packed.index_bytes == packed.metadata_bytes == 4 * n * math.ceil(groups * keep / per_word)
    places = packed.places(0).reshape(groups, keep, n)
    assert places.max() < group
    assert np.all(np.diff(places, axis=1) > 0), "places ascend, none twice"


def test_metadata_of_two_of_four_as_bits() -> None:
    """Column of 8: rows 1 and 3 kept, then row 4 alone, beside which the first free place, 1, is filled up."""
    mask = np.zeros((8, 1), bool)
    mask[[1, 3, 4]] = True
    packed = pack_groups(np.arange(1, 9, dtype=np.float32)[:, None], mask, 2, 4)
    np.testing.assert_array_equal(packed.values, [2, 4, 5, 0])
    np.testing.assert_array_equal(packed.metadata, [0b01_00_11_01])
    assert packed.value_bytes(2) == 8
    assert packed.metadata_bytes == 4


def test_two_of_four_takes_nine_sixteenths_of_fp16() -> None:
    """Half of the values and 2 bits for each: 16 bits become 8 + 1."""
    packed = pack_groups(None, group_mask(768, 64, 2, 4, 0), 2, 4)
    assert packed.value_bytes(2) + packed.index_bytes == 768 * 64 * 2 * 9 // 16


@settings(deadline=None, max_examples=40)
@given(SIZES, SIZES, st.integers(1, 70), PATTERNS, st.integers(0, 99))
def test_tile_vector_wise_round_trip(k: int, n: int, granularity: int, pattern: tuple[int, int], seed: int) -> None:
    mask, weights = tile_vector_mask(k, n, granularity, *pattern, seed), weights_of(k, n, seed)
    kept = mask.to_dense()
    packed = pack_tile_vector_wise(poisoned(weights, kept), mask)
    np.testing.assert_array_equal(packed.unpack(), np.where(kept, weights, 0))
    assert packed.kept == mask.kept
    assert packed.tiles == len(mask.tiles.rows)
    keep, group = pattern
    slots = [math.ceil(len(rows) / group) * keep for rows in mask.tiles.rows]
    widths = [len(columns) for columns in mask.tiles.columns]
    words = [math.ceil(slot / packed.slots_per_word) for slot in slots]
    assert packed.value_bytes(4) == 4 * np.dot(slots, widths)
    offsets = sum(map(len, mask.tiles.rows)) + sum(widths)
    assert packed.index_bytes == 4 * np.dot(words, widths) + 4 * offsets


@settings(deadline=None, max_examples=60)
@given(SIZES, SIZES, st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.integers(0, 99))
def test_blocks_round_trip(k: int, n: int, rows: int, columns: int, density: float, seed: int) -> None:
    grid = np.random.default_rng(seed).random((math.ceil(k / rows), math.ceil(n / columns))) < density
    mask, weights = BlockWiseMask(k, n, rows, columns, grid), weights_of(k, n, seed)
    kept = mask.to_dense()
    packed = pack_block_wise(poisoned(weights, kept), mask)
    np.testing.assert_array_equal(packed.unpack(), np.where(kept, weights, 0))
    assert packed.kept == kept.sum()
    assert packed.value_bytes(2) == 2 * rows * columns * grid.sum()
    assert packed.index_bytes == 4 * (grid.sum() + grid.shape[1] + 1)
    for tile in range(packed.tiles):
        first, last = packed.row_start[tile : tile + 2]
        original = packed.row_offset[first:last] + np.arange(last - first)
        np.testing.assert_array_equal(original, np.flatnonzero(kept[:, packed.column_start[tile]]))
    np.testing.assert_array_equal(block_mask(kept, rows, columns).blocks, grid)


def test_blocks_are_those_of_scipy() -> None:
    mask = block_mask(np.kron(np.random.default_rng(0).random((6, 5)) < 0.5, np.ones((4, 8))).astype(bool), 4, 8)
    weights = np.where(mask.to_dense(), weights_of(24, 40, 1), 0)
    packed, other = pack_block_wise(weights, mask), sparse.bsr_array(weights.T, blocksize=(8, 4))
    np.testing.assert_array_equal(packed.block_start, other.indptr)
    np.testing.assert_array_equal(packed.block_row, other.indices)
    np.testing.assert_array_equal(packed.values, other.data.transpose(0, 2, 1))


@settings(deadline=None, max_examples=60)
@given(SIZES, SIZES, st.floats(0, 1), st.integers(0, 99))
def test_elements_are_those_of_scipy(k: int, n: int, density: float, seed: int) -> None:
    kept, weights = np.random.default_rng(seed).random((k, n)) < density, weights_of(k, n, seed)
    packed = pack_elements(poisoned(weights, kept), kept)
    other = sparse.csc_array(np.where(kept, weights, 0))
    np.testing.assert_array_equal(packed.element_start, other.indptr)
    np.testing.assert_array_equal(packed.row_index, other.indices)
    np.testing.assert_array_equal(packed.values, other.data)
    np.testing.assert_array_equal(packed.unpack(), np.where(kept, weights, 0))
    assert packed.value_bytes(2) == 2 * kept.sum()
    assert packed.index_bytes == 4 * (kept.sum() + n + 1)


@settings(deadline=None, max_examples=40)
@given(SIZES, SIZES, st.floats(0, 0.9), st.integers(1, 70), st.floats(0, 0.5), st.integers(0, 99))
def test_overlay_round_trip(k: int, n: int, sparsity: float, granularity: int, restored: float, seed: int) -> None:
    tiles = seeded_mask(k, n, sparsity, granularity, seed, 0.5)
    overlay = (np.random.default_rng(seed).random((k, n)) < restored) & ~tiles.to_dense()
    mask, weights = TileElementWiseMask(tiles, overlay), weights_of(k, n, seed)
    kept = mask.to_dense()
    packed = pack_tile_element_wise(poisoned(weights, kept), mask)
    np.testing.assert_array_equal(packed.unpack(), np.where(kept, weights, 0))
    assert packed.kept == mask.kept == kept.sum()
    assert packed.value_bytes(2) == 2 * kept.sum()
    offsets = sum(map(len, tiles.rows)) + sum(map(len, tiles.columns))
    assert packed.index_bytes == 4 * (offsets + overlay.sum() + n + 1)


def test_what_tiles_hold_is_not_restored_again() -> None:
    tiles = seeded_mask(20, 30, 0.5, 8, 0)
    weights = weights_of(20, 30, 0)
    packed = pack_tile_element_wise(weights, TileElementWiseMask(tiles, np.ones((20, 30), bool)))
    assert packed.kept == 600
    np.testing.assert_array_equal(packed.unpack(), weights)


def test_every_mask_finds_its_form() -> None:
    tiles = seeded_mask(24, 20, 0.5, 8, 0)
    dense = group_mask(24, 20, 2, 4, 0)
    weights = weights_of(24, 20, 0)
    for mask, form in (
        (tiles, TileWiseWeights),
        (ElementWiseMask(dense), ElementWeights),
        (GroupMask(dense, 4, 2), GroupedWeights),
        (tile_vector_mask(24, 20, 8, 2, 4, 1), GroupedWeights),
        (BlockWiseMask(24, 20, 8, 4, np.eye(3, 5, dtype=bool)), BlockWeights),
        (TileElementWiseMask(tiles, ~tiles.to_dense()), TileElementWeights),
    ):
        packed = pack_mask(weights, mask)
        assert isinstance(packed, form)
        assert packed.kept == mask.kept
        assert pack_mask(None, mask).kept == mask.kept
    with pytest.raises(OperandError, match=r"ndarray has no packed form; allowed: BlockWiseMask"):
        pack_mask(weights, dense)  # type: ignore[arg-type]


def test_int8_weights_are_held_exactly() -> None:
    weights = np.random.default_rng(0).integers(-127, 128, (24, 20), dtype=np.int8)
    dense = group_mask(24, 20, 2, 4, 0)
    for mask in (ElementWiseMask(dense), GroupMask(dense, 4, 2), BlockWiseMask(24, 20, 8, 4, np.eye(3, 5, dtype=bool))):
        packed = pack_mask(weights, mask)
        assert not isinstance(packed, TileWiseWeights)
        np.testing.assert_array_equal(packed.unpack(), weights * mask.to_dense())


def test_masks_that_are_not_of_their_pattern() -> None:
    weights, dense = weights_of(10, 3, 0), np.ones((10, 3), bool)
    dense[:4] = False
    with pytest.raises(OperandError, match=r"rows 4 to 7 of column 0 keep 4 weights; 2:4 allows 2"):
        pack_groups(weights, dense, 2, 4)
    for slots, group in ((3, 2), (0, 4), (1, 257)):
        with pytest.raises(OperandError, match=f"{slots}:{group} is no pattern"):
            pack_groups(weights, dense, slots, group)
    with pytest.raises(OperandError, match="is kept in part"):
        block_mask(dense, 8, 3)
    with pytest.raises(OperandError, match=r"has \(2, 1\) blocks of 8 x 3"):
        pack_block_wise(weights, BlockWiseMask(10, 3, 8, 3, np.ones((1, 1), bool)))
    with pytest.raises(OperandError, match="bool matrix"):
        pack_elements(weights, dense.astype(np.int8))
    with pytest.raises(OperandError, match=r"shape \(10, 3\), their mask \[3, 10\]"):
        pack_elements(weights, dense.T)
    tiles = TileWiseMask(10, 3, 3, (np.arange(3),), (np.arange(5),))
    with pytest.raises(OperandError, match="tile 0: rows 0 to 3 of column 0 keep 4"):
        pack_tile_vector_wise(weights, TileVectorWiseMask(tiles, 4, 2, (np.ones((5, 3), bool),)))
    with pytest.raises(OperandError, match="tile 0 keeps 5 rows and 3 columns"):
        pack_tile_vector_wise(weights, TileVectorWiseMask(tiles, 4, 2, (np.ones((4, 3), bool),)))


def test_a_mask_alone_has_nothing_to_unpack() -> None:
    tiles = seeded_mask(24, 20, 0.5, 8, 0)
    for mask in (
        ElementWiseMask(tiles.to_dense()),
        GroupMask(group_mask(24, 20, 2, 4, 0), 4, 2),
        tile_vector_mask(24, 20, 8, 2, 4, 1),
        BlockWiseMask(24, 20, 8, 4, np.eye(3, 5, dtype=bool)),
        TileElementWiseMask(tiles, ~tiles.to_dense()),
    ):
        packed = pack_mask(None, mask)
        assert not isinstance(packed, TileWiseWeights)
        with pytest.raises(OperandError, match="without values"):
            packed.unpack()


def test_nothing_kept() -> None:
    nothing = np.zeros((5, 3), bool)
    empty = TileWiseMask(5, 3, 4, (), ())
    for mask in (
        ElementWiseMask(nothing),
        GroupMask(nothing, 4, 2),
        BlockWiseMask(5, 3, 2, 2, np.zeros((3, 2), bool)),
        TileVectorWiseMask(empty, 4, 2, ()),
        TileElementWiseMask(empty, nothing),
    ):
        packed = pack_mask(np.full((5, 3), np.nan), mask)
        assert not isinstance(packed, TileWiseWeights)
        assert packed.kept == 0
        np.testing.assert_array_equal(packed.unpack(), np.zeros((5, 3)))


@pytest.mark.parametrize(("group", "bits"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (16, 4), (17, 5), (256, 8)])
def test_bits_of_a_place(group: int, bits: int) -> None:
    assert place_bits(group) == bits
