"""Products from packed forms against the plain twin, the dense product, float64 and SciPy."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse

from accelsim.kernels import sparse_reference as reference
from accelsim.kernels.formats import tolerance
from accelsim.kernels.gemm import block_product, tile_wise_product
from accelsim.kernels.sparse_blocks import block_sparse_product
from accelsim.kernels.sparse_elements import element_product, tile_element_product
from accelsim.kernels.sparse_groups import grouped_product, place_array
from accelsim.mapping.plan import BlockTable
from accelsim.pruning.masks import BlockWiseMask, TileElementWiseMask
from accelsim.pruning.packed import (
    GroupedWeights,
    pack_block_wise,
    pack_elements,
    pack_groups,
    pack_tile_element_wise,
    pack_tile_vector_wise,
)
from accelsim.pruning.seeded import seeded_mask
from tests.kernels.sparse_cases import (
    PATTERNS,
    SIZES,
    TILES,
    Case,
    case,
    group_mask,
    operand,
    random_blocks,
    thread_blocks,
    tile_vector_mask,
)

Array = NDArray[Any]
DTYPES = st.sampled_from(["fp16", "bf16", "tf32", "fp32", "int8"])
SEEDS = st.integers(0, 999)
Shape = tuple[int, int, int]


def assert_close(result: Array, given: Case, dtype: str) -> None:
    """Within the format's tolerance of the float64 product of the same operands, element by element."""
    if dtype == "int8":
        assert result.dtype == np.int32
        np.testing.assert_array_equal(result, given.exact)
    else:
        assert result.dtype == np.float32
        limit = tolerance(dtype, given.a.shape[2], same_operands=True) * given.bound
        assert np.all(np.abs(result - given.exact) <= limit)


def same_as_twin(twin: Array, given: Case) -> None:
    np.testing.assert_allclose(twin, given.exact, rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(SIZES, SIZES, SIZES, PATTERNS, st.floats(0, 1), TILES, DTYPES, SEEDS)
def test_groups(
    m: int, n: int, k: int, pattern: tuple[int, int], density: float, tile: Shape, dtype: str, seed: int
) -> None:
    given = case(group_mask(k, n, *pattern, seed, density), dtype, m, seed)
    packed = pack_groups(given.weights, given.kept, *pattern)
    blocks = thread_blocks(packed, 2, m, tile, seed, pattern[1])
    assert_close(grouped_product(given.a, packed, blocks, threads=1), given, dtype)
    same_as_twin(reference.grouped_product(given.a, packed, blocks), given)


@settings(deadline=None, max_examples=40)
@given(SIZES, SIZES, SIZES, st.integers(1, 60), PATTERNS, TILES, DTYPES, SEEDS)
def test_tile_vector_wise(
    m: int, n: int, k: int, granularity: int, pattern: tuple[int, int], tile: Shape, dtype: str, seed: int
) -> None:
    mask = tile_vector_mask(k, n, granularity, *pattern, seed)
    given = case(mask.to_dense(), dtype, m, seed)
    packed = pack_tile_vector_wise(given.weights, mask)
    blocks = thread_blocks(packed, 2, m, tile, seed, pattern[1])
    assert_close(grouped_product(given.a, packed, blocks, threads=1), given, dtype)
    same_as_twin(reference.grouped_product(given.a, packed, blocks), given)


@settings(deadline=None, max_examples=40)
@given(SIZES, SIZES, SIZES, st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), TILES, DTYPES, SEEDS)
def test_blocks(
    m: int, n: int, k: int, rows: int, columns: int, density: float, tile: Shape, dtype: str, seed: int
) -> None:
    mask = random_blocks(k, n, rows, columns, density, seed)
    given = case(mask.to_dense(), dtype, m, seed)
    packed = pack_block_wise(given.weights, mask)
    blocks = thread_blocks(packed, 2, m, tile, seed)
    assert_close(block_sparse_product(given.a, packed, blocks, threads=1), given, dtype)
    same_as_twin(reference.block_sparse_product(given.a, packed, blocks), given)


@settings(deadline=None, max_examples=40)
@given(SIZES, SIZES, SIZES, st.floats(0, 1), TILES, DTYPES, SEEDS)
def test_elements(m: int, n: int, k: int, density: float, tile: Shape, dtype: str, seed: int) -> None:
    given = case(np.random.default_rng(seed).random((k, n)) < density, dtype, m, seed)
    packed = pack_elements(given.weights, given.kept)
    blocks = thread_blocks(packed, 2, m, tile, seed)
    assert_close(element_product(given.a, packed, blocks, threads=1), given, dtype)
    same_as_twin(reference.element_product(given.a, packed, blocks), given)


@settings(deadline=None, max_examples=25)
@given(SIZES, SIZES, SIZES, st.integers(1, 60), st.floats(0, 0.5), TILES, DTYPES, SEEDS)
def test_tiles_with_an_overlay(
    m: int, n: int, k: int, granularity: int, restored: float, tile: Shape, dtype: str, seed: int
) -> None:
    tiles = seeded_mask(k, n, 0.6, granularity, seed, 1.0)
    mask = TileElementWiseMask(tiles, np.random.default_rng(seed).random((k, n)) < restored)
    given = case(mask.to_dense(), dtype, m, seed)
    packed = pack_tile_element_wise(given.weights, mask)
    blocks = thread_blocks(packed.tile_wise, 2, m, tile, seed)
    overlay_blocks = thread_blocks(packed.overlay, 2, m, tile[::-1], seed)
    result = tile_element_product(given.a, packed.tile_wise, blocks, packed.overlay, overlay_blocks, threads=1)
    assert_close(result, given, dtype)


def whole(weights: Any, m: int) -> BlockTable:
    return thread_blocks(weights, 1, m, (128, 128, 1 << 20), 0)


@pytest.mark.parametrize("shape", [(1, 130, 700), (130, 1, 3), (129, 70, 601)])
def test_products_beyond_one_tile_and_one_step(shape: Shape) -> None:
    m, n, k = shape
    for pattern in ((2, 4), (5, 7)):
        given = case(group_mask(k, n, *pattern, 1), "fp16", m, 1, batch=1)
        packed = pack_groups(given.weights, given.kept, *pattern)
        assert_close(grouped_product(given.a, packed, whole(packed, m)), given, "fp16")
    mask = tile_vector_mask(k, n, 64, 2, 4, 2)
    given = case(mask.to_dense(), "fp16", m, 2, batch=1)
    vectors = pack_tile_vector_wise(given.weights, mask)
    assert_close(grouped_product(given.a, vectors, whole(vectors, m)), given, "fp16")
    for size in (16, 300):
        blocks_mask = random_blocks(k, n, size, 32, 0.6, 3)
        given = case(blocks_mask.to_dense(), "fp16", m, 3, batch=1)
        blocks = pack_block_wise(given.weights, blocks_mask)
        assert_close(block_sparse_product(given.a, blocks, whole(blocks, m)), given, "fp16")
    given = case(np.random.default_rng(4).random((k, n)) < 0.3, "fp16", m, 4, batch=1)
    elements = pack_elements(given.weights, given.kept)
    assert_close(element_product(given.a, elements, whole(elements, m)), given, "fp16")


@pytest.mark.parametrize("pattern", [(2, 4), (4, 16), (3, 4), (1, 2)])
def test_groups_that_divide_a_step_give_the_dense_product_to_the_bit(pattern: tuple[int, int]) -> None:
    given = case(group_mask(600, 90, *pattern, 5), "fp32", 70, 5, batch=1)
    packed = pack_groups(given.weights, given.kept, *pattern)
    blocks = thread_blocks(packed, 1, 70, (64, 64, 320), 5, pattern[1])
    dense = block_product(given.a, given.pruned[None], blocks)
    np.testing.assert_array_equal(grouped_product(given.a, packed, blocks), dense)


def test_a_full_pattern_gives_the_tile_wise_product_to_the_bit() -> None:
    mask = tile_vector_mask(500, 90, 32, 4, 4, 6)
    full = dataclasses.replace(mask, inner=tuple(np.ones_like(part) for part in mask.inner))
    given = case(full.to_dense(), "fp32", 50, 6, batch=1)
    packed = pack_tile_vector_wise(given.weights, full)
    tiles = pack_tile_element_wise(given.weights, TileElementWiseMask(mask.tiles, np.zeros((500, 90), bool))).tile_wise
    blocks = thread_blocks(packed, 1, 50, (32, 32, 600), 6, 4)
    np.testing.assert_array_equal(grouped_product(given.a, packed, blocks), tile_wise_product(given.a, tiles, blocks))


def test_scipy_agrees() -> None:
    random = np.random.default_rng(7)
    a, weights = operand((1, 40, 96), "fp32", 7), operand((96, 64), "fp32", 8)
    kept = random.random((96, 64)) < 0.2
    packed = pack_elements(weights, kept)
    csr = sparse.csr_array(np.where(kept, weights, 0).T)
    np.testing.assert_allclose(element_product(a, packed, whole(packed, 40))[0], (csr @ a[0].T).T, rtol=0, atol=2e-5)
    mask = random_blocks(96, 64, 16, 8, 0.4, 9)
    blocks = pack_block_wise(weights, mask)
    bsr = sparse.bsr_array(np.where(mask.to_dense(), weights, 0).T, blocksize=(8, 16))
    result = block_sparse_product(a, blocks, whole(blocks, 40))[0]
    np.testing.assert_allclose(result, (bsr @ a[0].T).T, rtol=0, atol=2e-5)


def test_results_do_not_depend_on_threads_or_order_of_blocks() -> None:
    a, weights = operand((1, 150, 400), "fp32", 1), operand((400, 130), "fp32", 2)
    groups = pack_groups(weights, group_mask(400, 130, 2, 4, 3), 2, 4)
    vectors = pack_tile_vector_wise(weights, tile_vector_mask(400, 130, 32, 2, 4, 3))
    blocks = pack_block_wise(weights, random_blocks(400, 130, 32, 32, 0.5, 3))
    elements = pack_elements(weights, np.random.default_rng(3).random((400, 130)) < 0.2)
    for product, packed in (
        (grouped_product, groups),
        (grouped_product, vectors),
        (block_sparse_product, blocks),
        (element_product, elements),
    ):
        one = product(a, packed, thread_blocks(packed, 1, 150, (64, 48, 160), 0, 4), threads=1)  # type: ignore[arg-type]
        for threads in (2, 3):
            table = thread_blocks(packed, 1, 150, (64, 48, 160), threads, 4)
            np.testing.assert_array_equal(product(a, packed, table, threads=threads), one)  # type: ignore[arg-type]


def test_activations_of_pruned_rows_are_never_read() -> None:
    """But for groups, whose places are all multiplied: there they must be finite."""
    a, weights = operand((1, 20, 60), "fp16", 1), operand((60, 30), "fp16", 2)
    used = np.arange(60) < 30
    noisy = np.where(used, a, np.nan).astype(np.float32)
    kept = (np.random.default_rng(0).random((60, 30)) < 0.5) & used[:, None]
    elements = pack_elements(weights, kept)
    grid = np.repeat([[True], [False]], 3, axis=1)
    blocks = pack_block_wise(weights, BlockWiseMask(60, 30, 30, 10, grid))
    for product, packed in ((element_product, elements), (block_sparse_product, blocks)):
        table = thread_blocks(packed, 1, 20, (8, 8, 16), 0)
        expected = product(a, packed, table)  # type: ignore[arg-type]
        assert np.count_nonzero(expected) > 0
        np.testing.assert_array_equal(product(noisy, packed, table), expected)  # type: ignore[arg-type]
    groups = pack_groups(weights, group_mask(60, 30, 2, 4, 0), 2, 4)
    with pytest.raises(ValueError, match="A must be finite"):
        grouped_product(noisy, groups, whole(groups, 20))


def test_a_wrong_place_or_index_changes_the_output() -> None:
    a, weights = operand((1, 9, 64), "fp32", 1), operand((64, 20), "fp32", 2)
    groups = pack_groups(weights, group_mask(64, 20, 2, 4, 3, 1.0), 2, 4)
    right = grouped_product(a, groups, whole(groups, 9))
    metadata = groups.metadata.copy()
    metadata[7] ^= np.uint32(0b11)
    wrong = grouped_product(a, dataclasses.replace(groups, metadata=metadata), whole(groups, 9))
    np.testing.assert_array_equal(np.flatnonzero((wrong != right).any((0, 1))), [7])
    blocks = pack_block_wise(weights, BlockWiseMask(64, 20, 16, 10, np.eye(4, 2, dtype=bool)))
    moved = dataclasses.replace(blocks, block_row=blocks.block_row + np.int32(1))
    assert not np.array_equal(
        block_sparse_product(a, moved, whole(blocks, 9)), block_sparse_product(a, blocks, whole(blocks, 9))
    )


def test_nothing_kept_gives_zero() -> None:
    a, weights = operand((1, 5, 6), "fp32", 1), operand((6, 7), "fp32", 2)
    nothing = np.zeros((6, 7), bool)
    groups = pack_groups(weights, nothing, 2, 4)
    blocks = pack_block_wise(weights, BlockWiseMask(6, 7, 4, 4, np.zeros((2, 2), bool)))
    elements = pack_elements(weights, nothing)
    zero = np.zeros((1, 5, 7))
    np.testing.assert_array_equal(grouped_product(a, groups, whole(groups, 5)), zero)
    np.testing.assert_array_equal(block_sparse_product(a, blocks, whole(blocks, 5)), zero)
    np.testing.assert_array_equal(element_product(a, elements, whole(elements, 5)), zero)
    np.testing.assert_array_equal(element_product(a, elements, whole(elements, 5), onto=zero + 3), zero + 3)


def groups_of_eight() -> GroupedWeights:
    return pack_groups(np.ones((8, 6), np.float32), np.tile([True, False], (6, 4)).T, 2, 4)


def test_places_come_out_of_words() -> None:
    packed = pack_groups(None, group_mask(50, 9, 3, 5, 1), 3, 5)
    np.testing.assert_array_equal(place_array(packed).reshape(-1, 9), packed.places(0))


def table(*row: int) -> BlockTable:
    """One thread block: batch, m0, m1, n0, n1, k0, k1, weight_tile."""
    return BlockTable(*(np.array([number], np.int64) for number in (*row, 0)))


def test_thread_blocks_that_leave_the_operands_are_refused() -> None:
    a, packed = np.ones((1, 4, 8), np.float32), groups_of_eight()
    for row, message in (
        ((0, 0, 4, 0, 6, 0, 8, 1), "no weight tile"),
        ((0, 0, 4, 0, 6, 0, 8, -1), "no weight tile"),
        ((1, 0, 4, 0, 6, 0, 8, 0), "batch"),
        ((0, 0, 5, 0, 6, 0, 8, 0), "m must be within"),
        ((0, 0, 4, 0, 7, 0, 8, 0), "n must be within"),
        ((0, 0, 4, 0, 6, 0, 12, 0), "k must be within"),
        ((0, 0, 4, 0, 6, 2, 8, 0), "multiples of 4"),
        ((0, 0, 4, 0, 6, 0, 6, 0), "multiples of 4"),
    ):
        with pytest.raises(ValueError, match=message):
            grouped_product(a, packed, table(*row))
    blocks = pack_block_wise(np.ones((8, 6)), BlockWiseMask(8, 6, 4, 3, np.ones((2, 2), bool)))
    with pytest.raises(ValueError, match="columns of its weight tile"):
        block_sparse_product(a, blocks, table(0, 0, 4, 0, 4, 0, 8, 0))


def test_packed_weights_that_do_not_match_are_refused() -> None:
    a, packed = np.ones((1, 4, 8), np.float32), groups_of_eight()
    blocks = whole(packed, 4)
    for changes, message in (
        ({"k": 9}, "weights have 9 rows"),
        ({"values": None}, "no values"),
        ({"values": np.ones(23, np.float32)}, "23 values instead of 24"),
        ({"values": np.ones(24)}, "float32 or int8"),
        ({"value_start": np.array([0, 20])}, "24 values instead of 20"),
        ({"metadata": packed.metadata[1:]}, "5 words of metadata"),
        ({"metadata_start": np.array([0, 5])}, "metadata_start"),
        ({"slots": 5}, "5:4 is no pattern"),
    ):
        with pytest.raises(ValueError, match=message):
            grouped_product(a, dataclasses.replace(packed, **changes), blocks)
    halves = dataclasses.replace(packed, values=np.full(24, np.float32(0.5)))
    with pytest.raises(ValueError, match="whole numbers"):
        grouped_product(a.astype(np.int8), halves, blocks)
    vectors = pack_tile_vector_wise(np.ones((8, 6)), tile_vector_mask(8, 6, 2, 2, 4, 1))
    for name, moved in (("value_start", vectors.value_start), ("metadata_start", vectors.metadata_start)):
        broken = np.concatenate((moved[:1], moved[1:2] + 1, moved[2:]))
        with pytest.raises(ValueError, match=f"{name} does not match the tiles"):
            grouped_product(a, dataclasses.replace(vectors, **{name: broken}), whole(vectors, 4))
    for name in ("row_offset", "column_offset"):
        outside = np.full(len(getattr(vectors, name)), 8, np.int32)
        with pytest.raises(ValueError, match="leads outside the matrix"):
            grouped_product(a, dataclasses.replace(vectors, **{name: outside}), whole(vectors, 4))
        with pytest.raises(ValueError, match=f"{name} and"):
            grouped_product(a, dataclasses.replace(vectors, **{name: outside[1:]}), whole(vectors, 4))
    seven = pack_groups(np.ones((7, 1)), np.ones((7, 1), bool), 7, 7)
    with pytest.raises(ValueError, match="outside its group of 7"):
        grouped_product(a[:, :, :7], dataclasses.replace(seven, metadata=np.array([7], np.uint32)), whole(seven, 4))


def test_blocks_and_elements_that_do_not_match_are_refused() -> None:
    a = np.ones((1, 4, 8), np.float32)
    blocks = pack_block_wise(np.ones((8, 6)), BlockWiseMask(8, 6, 4, 3, np.ones((2, 2), bool)))
    for changes, message in (
        ({"block_row": np.array([0, 1, 0, 2], np.int32)}, "outside the matrix"),
        ({"block_row": np.array([0, 1, 1, 0], np.int32)}, "must ascend"),
        ({"block_start": np.array([0, 2, 3])}, "block_start is broken"),
        ({"block_columns": 6}, "block_start does not match"),
        ({"values": np.ones((3, 4, 3), np.float32)}, "36 values instead of 48"),
    ):
        with pytest.raises(ValueError, match=message):
            block_sparse_product(a, dataclasses.replace(blocks, **changes), whole(blocks, 4))
    elements = pack_elements(np.ones((8, 6)), np.ones((8, 6), bool))
    for changes, message in (
        ({"row_index": elements.row_index + np.int32(1)}, "outside the matrix"),
        ({"row_index": elements.row_index[::-1]}, "must ascend"),
        ({"element_start": elements.element_start[1:]}, "6 entries for 6 columns"),
        ({"element_start": elements.element_start * 2}, "element_start is broken"),
    ):
        with pytest.raises(ValueError, match=message):
            element_product(a, dataclasses.replace(elements, **changes), whole(elements, 4))
    with pytest.raises(ValueError, match="added to an array"):
        element_product(a, elements, whole(elements, 4), onto=np.zeros((1, 4, 5), np.float32))
