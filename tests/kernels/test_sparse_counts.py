"""Counts of thread blocks against the plain twin, against totals, and by hand."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from accelsim.kernels import sparse_reference as reference
from accelsim.kernels.sectors import ActivationLayout
from accelsim.kernels.sparse_counts import (
    SparseCounts,
    count_block_sparse,
    count_elements,
    count_groups,
    count_tile_wise,
)
from accelsim.mapping.plan import BlockTable
from accelsim.pruning.masks import BlockWiseMask
from accelsim.pruning.pack import pack
from accelsim.pruning.packed import pack_block_wise, pack_elements, pack_groups, pack_tile_vector_wise
from accelsim.pruning.seeded import seeded_mask
from tests.kernels.sparse_cases import PATTERNS, TILES, group_mask, random_blocks, thread_blocks, tile_vector_mask

Array = NDArray[Any]
SIZES = st.integers(1, 24)
SEEDS = st.integers(0, 999)
BYTES = st.sampled_from([1, 2, 4])
LAYOUTS = st.sampled_from(["transposed", "row_major"])
STEPS = st.integers(0, 3)
"""Groups (rows, elements) of a k-step; 0 takes all as one."""
Shape = tuple[int, int, int]


def assert_same(result: SparseCounts, twin: SparseCounts) -> None:
    for field in dataclasses.fields(SparseCounts):
        column = getattr(result, field.name)
        assert column.dtype == np.int64
        np.testing.assert_array_equal(column, getattr(twin, field.name), err_msg=field.name)


@settings(deadline=None, max_examples=40)
@given(SIZES, SIZES, SIZES, PATTERNS, st.floats(0, 1), TILES, BYTES, STEPS, LAYOUTS, SEEDS)
def test_groups(
    m: int, n: int, k: int, pattern: tuple[int, int], density: float, tile: Shape, size: int, step: int,
    layout: ActivationLayout, seed: int,
) -> None:  # fmt: skip
    mask = group_mask(k, n, *pattern, seed, density)
    packed = pack_groups(None, mask, *pattern)
    blocks = thread_blocks(packed, 2, m, tile, seed, pattern[1])
    tile_k = step * pattern[1]
    counts = count_groups(packed, blocks, m, size, 2, tile_k=tile_k, layout=layout)
    assert_same(counts, reference.count_groups(packed, blocks, m, size, 2, tile_k=tile_k, layout=layout))
    assert counts.effectual_macs.sum() == 2 * m * mask.sum()
    assert counts.executed_macs.sum() == 2 * m * n * -(-k // pattern[1]) * pattern[0]


@settings(deadline=None, max_examples=40)
@given(SIZES, SIZES, SIZES, st.integers(1, 24), PATTERNS, TILES, BYTES, STEPS, LAYOUTS, SEEDS)
def test_tile_vector_wise(
    m: int, n: int, k: int, granularity: int, pattern: tuple[int, int], tile: Shape, size: int, step: int,
    layout: ActivationLayout, seed: int,
) -> None:  # fmt: skip
    mask = tile_vector_mask(k, n, granularity, *pattern, seed)
    packed = pack_tile_vector_wise(None, mask)
    blocks = thread_blocks(packed, 2, m, tile, seed, pattern[1])
    tile_k = step * pattern[1]
    counts = count_groups(packed, blocks, m, size, 2, tile_k=tile_k, layout=layout)
    assert_same(counts, reference.count_groups(packed, blocks, m, size, 2, tile_k=tile_k, layout=layout))
    assert counts.effectual_macs.sum() == 2 * m * mask.kept


@settings(deadline=None, max_examples=30)
@given(SIZES, SIZES, SIZES, st.integers(1, 24), TILES, BYTES, STEPS, LAYOUTS, SEEDS)
def test_tile_wise(
    m: int, n: int, k: int, granularity: int, tile: Shape, size: int, step: int, layout: ActivationLayout, seed: int
) -> None:
    mask = seeded_mask(k, n, 0.6, granularity, seed, 1.0)
    packed = pack(None, mask)
    blocks = thread_blocks(packed, 2, m, tile, seed)
    counts = count_tile_wise(packed, blocks, m, size, 2, tile_k=4 * step, layout=layout)
    assert_same(counts, reference.count_tile_wise(packed, blocks, m, size, 2, tile_k=4 * step, layout=layout))
    assert counts.effectual_macs.sum() == counts.executed_macs.sum() == 2 * m * mask.kept


@settings(deadline=None, max_examples=40)
@given(
    SIZES, SIZES, SIZES, st.integers(1, 16), st.integers(1, 16), st.floats(0, 1), TILES, BYTES, STEPS, LAYOUTS, SEEDS
)
def test_blocks(
    m: int, n: int, k: int, rows: int, columns: int, density: float, tile: Shape, size: int, step: int,
    layout: ActivationLayout, seed: int,
) -> None:  # fmt: skip
    mask = random_blocks(k, n, rows, columns, density, seed)
    packed = pack_block_wise(None, mask)
    blocks = thread_blocks(packed, 2, m, tile, seed)
    counts = count_block_sparse(packed, blocks, m, size, 2, tile_k=4 * step, layout=layout)
    assert_same(counts, reference.count_block_sparse(packed, blocks, m, size, 2, tile_k=4 * step, layout=layout))
    assert counts.effectual_macs.sum() == counts.executed_macs.sum() == 2 * m * mask.kept


@settings(deadline=None, max_examples=40)
@given(SIZES, SIZES, SIZES, st.floats(0, 1), TILES, BYTES, STEPS, LAYOUTS, st.booleans(), SEEDS)
def test_elements(
    m: int, n: int, k: int, density: float, tile: Shape, size: int, step: int, layout: ActivationLayout, onto: bool,
    seed: int,
) -> None:  # fmt: skip
    mask = np.random.default_rng(seed).random((k, n)) < density
    packed = pack_elements(None, mask)
    blocks = thread_blocks(packed, 2, m, tile, seed)
    counts = count_elements(packed, blocks, m, size, 2, tile_k=2 * step, layout=layout, onto=onto)
    twin = reference.count_elements(packed, blocks, m, size, 2, tile_k=2 * step, layout=layout, onto=onto)
    assert_same(counts, twin)
    assert counts.effectual_macs.sum() == counts.executed_macs.sum() == 2 * m * mask.sum()


def one(m: int, n: int, k: int, tile: int = 0) -> BlockTable:
    """A single thread block of everything."""
    return BlockTable(*(np.array([edge], np.int64) for edge in (0, 0, m, 0, n, 0, k, tile, 0)))


def test_two_of_four_by_hand() -> None:
    """128 x 64 outputs over 256 rows in k-steps of 64: fp16, activations transposed."""
    packed = pack_groups(None, group_mask(256, 64, 2, 4, 0, 1.0), 2, 4)
    counts = count_groups(packed, one(128, 64, 256), 128, 2, 2, tile_k=64)
    dense = 128 * 64 * 256
    assert counts.executed_macs[0] * 2 == dense
    assert counts.effectual_macs[0] == counts.executed_macs[0]
    assert counts.load_a_bytes[0] == 128 * 256 * 2 == 32 * counts.load_a_sectors[0]
    assert counts.load_value_bytes[0] == 64 * 128 * 2 == 32 * counts.load_value_sectors[0]
    assert counts.load_index_bytes[0] == 64 * 128 * 2 // 8 == packed.metadata_bytes
    assert counts.output_bytes[0] == 128 * 64 * 2
    assert counts.load_c_bytes[0] == 0


def test_row_major_activations_of_blocks_come_in_runs() -> None:
    """A block of 32 rows is 64 bytes of each row of A: 2 sectors. A single element costs a sector for its own."""
    mask = BlockWiseMask(256, 32, 32, 32, np.array([True, False] * 4)[:, None])
    packed = pack_block_wise(None, mask)
    counts = count_block_sparse(packed, one(128, 32, 128), 128, 2, 2, tile_k=32, layout="row_major")
    assert counts.load_a_sectors[0] == 128 * 4 * 2
    assert counts.load_index_bytes[0] == 4 * (4 + 2)
    elements = pack_elements(None, np.arange(256)[:, None] % 16 == 0)
    counts = count_elements(elements, one(128, 1, 256), 128, 2, 2, tile_k=32, layout="row_major")
    assert counts.load_a_sectors[0] == 128 * 16
    assert counts.load_a_bytes[0] == 128 * 16 * 2
    counts = count_elements(elements, one(128, 1, 256), 128, 2, 2, tile_k=32)
    assert counts.load_a_sectors[0] == 16 * 128 * 2 // 32


def test_an_overlay_touches_columns_with_elements_alone() -> None:
    mask = np.zeros((16, 8), bool)
    mask[3, [1, 5]] = True
    counts = count_elements(pack_elements(None, mask), one(10, 8, 16), 10, 2, 4, onto=True)
    assert counts.load_c_bytes[0] == counts.output_bytes[0] == 10 * 2 * 4
    assert counts.load_index_bytes[0] == 4 * (2 + 9)


def test_what_cannot_be_counted_is_refused() -> None:
    packed = pack_groups(None, group_mask(16, 8, 2, 4, 0), 2, 4)
    with pytest.raises(ValueError, match="tile_k must be a multiple of the group 4, not 6"):
        count_groups(packed, one(4, 8, 16), 4, 2, 2, tile_k=6)
    with pytest.raises(ValueError, match="multiples of 4"):
        count_groups(packed, one(4, 8, 14), 4, 2, 2)
    with pytest.raises(ValueError, match="k must be within"):
        count_groups(packed, one(4, 8, 17), 4, 2, 2)
    elements = pack_elements(None, np.ones((16, 8), bool))
    with pytest.raises(ValueError, match="no weight tile"):
        count_elements(elements, one(4, 8, 16, 1), 4, 2, 2)
    with pytest.raises(ValueError, match="unknown layout 'columns'"):
        count_elements(elements, one(4, 8, 16), 4, 2, 2, layout="columns")  # type: ignore[arg-type]


def test_no_thread_blocks() -> None:
    none = BlockTable(*(np.zeros(0, np.int64) for _ in range(9)))
    packed = pack_groups(None, group_mask(16, 8, 2, 4, 0), 2, 4)
    assert len(count_groups(packed, none, 4, 2, 2)) == 0
    assert len(count_elements(pack_elements(None, np.ones((16, 8), bool)), none, 4, 2, 2)) == 0
    blocks = pack_block_wise(None, BlockWiseMask(16, 8, 4, 4, np.zeros((4, 2), bool)))
    assert len(count_block_sparse(blocks, none, 4, 2, 2)) == 0
