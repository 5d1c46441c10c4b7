"""Products against float64 NumPy: formats, ragged edges, split-K, tile-wise gather and scatter."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from accelsim.kernels import reference
from accelsim.kernels.formats import round_to_format, tolerance
from accelsim.kernels.gemm import block_product, tile_wise_product
from accelsim.mapping.plan import BlockTable
from accelsim.pruning.packing import TileWiseWeights

DTYPES = ["fp16", "bf16", "tf32", "fp32", "int8"]
Array = NDArray[Any]


def cut(size: int, tile: int) -> list[tuple[int, int]]:
    """Runs of `tile` that cover range(size)."""
    return [(first, min(first + tile, size)) for first in range(0, size, tile)]


def table(rows: Sequence[tuple[int, ...]]) -> BlockTable:
    """Thread blocks from rows of (batch, m0, m1, n0, n1, k0, k1, weight_tile, split)."""
    columns = np.array(rows, np.int64).reshape(-1, 9).T
    return BlockTable(*(np.ascontiguousarray(column) for column in columns))


def dense_table(batch: int, m: int, n: int, k: int, tile: tuple[int, int, int]) -> BlockTable:
    """Blocks of a tile (tile_m, tile_n, share of k)."""
    return table(
        [
            (item, *rows, *columns, *depth, 0, split)
            for item in range(batch)
            for columns in cut(n, tile[1])
            for rows in cut(m, tile[0])
            for split, depth in enumerate(cut(k, tile[2]))
        ]
    )


def shuffled(blocks: BlockTable, seed: int) -> BlockTable:
    order = np.random.default_rng(seed).permutation(len(blocks))
    return BlockTable(*(getattr(blocks, field.name)[order] for field in dataclasses.fields(BlockTable)))


def random_operand(shape: tuple[int, ...], dtype: str, seed: int) -> Array:
    generator = np.random.default_rng(seed)
    scale = 60.0 if dtype == "int8" else 1.0
    return round_to_format(scale * generator.standard_normal(shape), dtype)


Mask = tuple[Array, list[Array]]
"""Kept columns, and the kept rows of each tile of them."""


def random_mask(k: int, n: int, granularity: int, density: float, seed: int) -> Mask:
    """Any columns, any rows; about every fourth tile keeps no row."""
    generator = np.random.default_rng(seed)
    columns = np.flatnonzero(generator.random(n) < density)
    rows = [
        np.flatnonzero(generator.random(k) < density * (generator.random() < 0.75))
        for _ in range(0, len(columns), granularity)
    ]
    return columns, rows


def pack(mask: Mask, dense: Array, granularity: int) -> TileWiseWeights:
    """Packs the weights of `dense` [k, n] that the mask keeps."""
    columns, rows = mask
    runs = cut(len(columns), granularity)
    values = [dense[np.ix_(kept, columns[first:last])].ravel() for kept, (first, last) in zip(rows, runs, strict=True)]
    offsets = [kept - np.arange(len(kept)) for kept in rows]
    return TileWiseWeights(
        k=dense.shape[0],
        n=dense.shape[1],
        row_start=np.cumsum([0, *map(len, rows)]),
        column_start=np.array([0, *(last for _, last in runs)]),
        row_offset=np.concatenate([np.zeros(0), *offsets]).astype(np.int32),
        column_offset=(columns - np.arange(len(columns))).astype(np.int32),
        values=np.concatenate([np.zeros(0, dense.dtype), *values]),
        value_start=np.cumsum([0, *map(len, values)]),
    )


def everything(k: int, n: int, granularity: int) -> Mask:
    return np.arange(n), [np.arange(k)] * len(cut(n, granularity))


def keep_only(mask: Mask, dense: Array, granularity: int, pruned: float) -> Array:
    """`dense` with `pruned` in place of every weight that the mask prunes."""
    result = np.full_like(dense, pruned)
    for kept, (first, last) in zip(mask[1], cut(len(mask[0]), granularity), strict=True):
        index = np.ix_(kept, mask[0][first:last])
        result[index] = dense[index]
    return result


def packed_table(weights: TileWiseWeights, batch: int, m: int, tile: tuple[int, int, int]) -> BlockTable:
    rows = []
    for index, (first, last) in enumerate(zip(weights.column_start[:-1], weights.column_start[1:], strict=True)):
        shares = cut(int(weights.row_count[index]), tile[2]) or [(0, 0)]
        for item in range(batch):
            for m0, m1 in cut(m, tile[0]):
                for n0, n1 in cut(int(last - first), tile[1]):
                    for split, (k0, k1) in enumerate(shares):
                        rows.append((item, m0, m1, first + n0, first + n1, k0, k1, index, split))
    return table(rows)


def assert_close(result: Array, exact: Array, bound: Array, dtype: str, k: int) -> None:
    """Within the format's tolerance of the float64 product of the same operands, element by element."""
    assert result.shape == exact.shape
    if dtype == "int8":
        assert result.dtype == np.int32
        np.testing.assert_array_equal(result, exact)
    else:
        assert result.dtype == np.float32
        assert np.all(np.abs(result - exact) <= tolerance(dtype, k, same_operands=True) * bound)


SIZES = st.integers(1, 70)
TILES = st.tuples(st.integers(1, 70), st.integers(1, 70), st.integers(1, 70))


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=15)
@given(m=SIZES, n=SIZES, k=SIZES, batch=st.integers(1, 2), shared=st.booleans(), tile=TILES, seed=st.integers(0, 999))
def test_dense_product_of_any_partition(
    dtype: str, m: int, n: int, k: int, batch: int, shared: bool, tile: tuple[int, int, int], seed: int
) -> None:
    a = random_operand((batch, m, k), dtype, seed)
    b = random_operand((1 if shared else batch, k, n), dtype, seed + 1)
    blocks = shuffled(dense_table(batch, m, n, k, tile), seed)
    result = block_product(a, b, blocks, threads=1)
    wide = a.astype(np.float64), b.astype(np.float64)
    assert_close(result, wide[0] @ wide[1], np.abs(wide[0]) @ np.abs(wide[1]), dtype, k)
    np.testing.assert_allclose(reference.block_product(a, b, blocks), wide[0] @ wide[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=15)
@given(
    m=SIZES,
    n=SIZES,
    k=SIZES,
    granularity=st.integers(1, 40),
    density=st.floats(0, 1),
    tile=TILES,
    seed=st.integers(0, 999),
)
def test_tile_wise_product_of_any_mask(
    dtype: str, m: int, n: int, k: int, granularity: int, density: float, tile: tuple[int, int, int], seed: int
) -> None:
    a, dense = random_operand((2, m, k), dtype, seed), random_operand((k, n), dtype, seed + 1)
    mask = random_mask(k, n, granularity, density, seed)
    weights = pack(mask, dense, granularity)
    blocks = shuffled(packed_table(weights, 2, m, tile), seed)
    result = tile_wise_product(a, weights, blocks, threads=1)
    kept = keep_only(mask, dense.astype(np.float64), granularity, 0)
    exact = a.astype(np.float64) @ kept
    assert_close(result, exact, np.abs(a.astype(np.float64)) @ np.abs(kept), dtype, k)
    np.testing.assert_allclose(reference.tile_wise_product(a, weights, blocks), exact, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 130, 700), (130, 1, 3), (129, 257, 600), (8, 32, 256)])
def test_dense_product_beyond_one_tile(dtype: str, shape: tuple[int, int, int]) -> None:
    m, n, k = shape
    a, b = random_operand((1, m, k), dtype, 1), random_operand((1, k, n), dtype, 2)
    wide = a.astype(np.float64), b.astype(np.float64)
    result = block_product(a, b, dense_table(1, m, n, k, (128, 128, 384)))
    assert_close(result, wide[0] @ wide[1], np.abs(wide[0]) @ np.abs(wide[1]), dtype, k)


def test_largest_int8_sums_are_exact() -> None:
    """Odd products, whose sum float32 could not hold beyond 2^24."""
    a = np.full((1, 3, 4099), 127, np.int8)
    b = np.full((1, 4099, 5), 127, np.int8)
    b[0, 7] = -128
    result = block_product(a, b, dense_table(1, 3, 5, 4099, (64, 64, 4099)))
    np.testing.assert_array_equal(result, np.full((1, 3, 5), 4098 * 127**2 - 127 * 128))


def test_tiles_of_different_heights_may_begin_in_one_row() -> None:
    a, b = random_operand((1, 60, 30), "int8", 1), random_operand((1, 30, 50), "int8", 2)
    ranges = [(0, 20, 0, 25), (20, 60, 0, 25), (0, 45, 25, 31), (45, 60, 25, 31), (0, 60, 31, 50)]
    blocks = table([(0, *edges, 0, 30, 0, 0) for edges in ranges])
    np.testing.assert_array_equal(block_product(a, b, blocks), a.astype(np.int64) @ b)


def test_split_k_adds_up_to_the_whole() -> None:
    a, b = random_operand((1, 40, 600), "int8", 1), random_operand((1, 600, 50), "int8", 2)
    whole = block_product(a, b, dense_table(1, 40, 50, 600, (32, 32, 600)))
    split = block_product(a, b, shuffled(dense_table(1, 40, 50, 600, (32, 32, 77)), 3))
    np.testing.assert_array_equal(split, whole)


def test_output_without_blocks_is_zero() -> None:
    a, b = random_operand((1, 10, 8), "fp32", 1), random_operand((1, 8, 12), "fp32", 2)
    empty = block_product(a, b, table([]))
    np.testing.assert_array_equal(empty, np.zeros((1, 10, 12)))
    part = block_product(a, b, table([(0, 2, 5, 3, 9, 0, 8, 0, 0)]))
    assert np.all(part[0, 2:5, 3:9] != 0)
    assert np.count_nonzero(part) == 18


def test_results_do_not_depend_on_threads_or_order_of_blocks() -> None:
    a, b = random_operand((1, 300, 500), "fp32", 1), random_operand((1, 500, 260), "fp32", 2)
    blocks = dense_table(1, 300, 260, 500, (64, 48, 200))
    one = block_product(a, b, blocks, threads=1)
    for threads in (2, 3):
        np.testing.assert_array_equal(block_product(a, b, shuffled(blocks, threads), threads=threads), one)
    weights = pack(random_mask(500, 260, 32, 0.6, 4), b[0], 32)
    packed = packed_table(weights, 1, 300, (64, 20, 150))
    one = tile_wise_product(a, weights, packed, threads=1)
    for threads in (2, 3):
        again = tile_wise_product(a, weights, shuffled(packed, threads), threads=threads)
        np.testing.assert_array_equal(again, one)


def test_everything_kept_equals_dense() -> None:
    a, b = random_operand((1, 70, 90), "fp16", 1), random_operand((1, 90, 64), "fp16", 2)
    weights = pack(everything(90, 64, 32), b[0], 32)
    sparse = tile_wise_product(a, weights, packed_table(weights, 1, 70, (64, 32, 90)))
    np.testing.assert_array_equal(sparse, block_product(a, b, dense_table(1, 70, 64, 90, (64, 32, 90))))


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_pruned_weights_are_never_read(poison: float) -> None:
    a, dense = random_operand((1, 33, 60), "fp16", 1), random_operand((60, 50), "fp16", 2)
    mask = random_mask(60, 50, 16, 0.6, 3)
    clean = pack(mask, dense, 16)
    poisoned = pack(mask, keep_only(mask, dense, 16, poison), 16)
    blocks = packed_table(clean, 1, 33, (16, 8, 25))
    unused = np.setdiff1d(np.arange(60), np.concatenate([clean.rows(tile) for tile in range(clean.tiles)]))
    noisy = a.copy()
    noisy[:, :, unused] = poison
    expected = tile_wise_product(a, clean, blocks)
    assert np.count_nonzero(expected) > 0
    np.testing.assert_array_equal(tile_wise_product(noisy, poisoned, blocks), expected)


def test_a_wrong_offset_changes_the_output() -> None:
    a, dense = random_operand((1, 20, 40), "fp32", 1), random_operand((40, 30), "fp32", 2)
    weights = pack(random_mask(40, 30, 8, 0.5, 5), dense, 8)
    blocks = packed_table(weights, 1, 20, (16, 8, 40))
    right = tile_wise_product(a, weights, blocks)
    for name in ("row_offset", "column_offset"):
        wrong = getattr(weights, name).copy()
        wrong[1] += 1 if wrong[1] == 0 else -1
        assert not np.array_equal(tile_wise_product(a, dataclasses.replace(weights, **{name: wrong}), blocks), right)


NOTHING = np.zeros(0, np.int64)


@pytest.mark.parametrize("mask", [(NOTHING, []), (np.arange(7), [NOTHING, NOTHING])], ids=["columns", "rows"])
def test_a_mask_that_keeps_nothing_gives_zero(mask: Mask) -> None:
    a, dense = random_operand((1, 5, 6), "fp32", 1), random_operand((6, 7), "fp32", 2)
    weights = pack(mask, dense, 4)
    blocks = packed_table(weights, 1, 5, (4, 4, 4))
    assert len(blocks) == 2 * len(mask[1])
    np.testing.assert_array_equal(tile_wise_product(a, weights, blocks), np.zeros((1, 5, 7)))


def test_a_pruned_tile_beside_others_gives_zero_in_its_columns() -> None:
    a, dense = random_operand((1, 5, 6), "fp32", 1), random_operand((6, 12), "fp32", 2)
    weights = pack((np.arange(12), [np.array([1, 4]), NOTHING, np.array([0])]), dense, 4)
    result = tile_wise_product(a, weights, packed_table(weights, 1, 5, (4, 4, 4)))
    np.testing.assert_array_equal(np.flatnonzero(result.any((0, 1))), [0, 1, 2, 3, 8, 9, 10, 11])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((1, 0, 4, 0, 6, 0, 5, 0, 0), "batch"),
        ((0, -1, 4, 0, 6, 0, 5, 0, 0), "m must be within 0 and 4"),
        ((0, 0, 4, 0, 7, 0, 5, 0, 0), "n must be within 0 and 6"),
        ((0, 0, 4, 0, 6, 3, 2, 0, 0), "k must be within 0 and 5"),
    ],
)
def test_blocks_outside_the_operands_are_refused(row: tuple[int, ...], message: str) -> None:
    a, b = np.zeros((1, 4, 5), np.float32), np.zeros((1, 5, 6), np.float32)
    with pytest.raises(ValueError, match=message):
        block_product(a, b, table([row]))


def test_operands_that_do_not_match_are_refused() -> None:
    a, blocks = np.zeros((1, 4, 5), np.float32), table([])
    for b, message in (
        (np.zeros((1, 6, 6), np.float32), "shapes do not match"),
        (np.zeros((2, 5, 6), np.float32), "shapes do not match"),
        (np.zeros((1, 5, 6), np.int8), "differ in type"),
        (np.zeros((1, 5, 6)), "float32 or int8"),
        (np.zeros((5, 6), np.float32), "three dimensions"),
    ):
        with pytest.raises(ValueError, match=message):
            block_product(a, b, blocks)


def test_weights_that_do_not_match_are_refused() -> None:
    a, dense = np.ones((1, 4, 5), np.float32), np.ones((5, 6), np.float32)
    weights = pack(everything(5, 6, 3), dense, 3)
    blocks = packed_table(weights, 1, 4, (4, 3, 5))
    outside = weights.row_offset.copy()
    outside[-1] = 1
    for changes, message in (
        ({"k": 6}, "weights have 6 rows"),
        ({"values": None}, "no values"),
        ({"values": weights.values[1:]}, "29 values instead of 30"),  # type: ignore[index]
        ({"values": dense.astype(np.float64).ravel()}, "float32 or int8"),
        ({"value_start": np.array([0, 14, 30])}, "value_start"),
        ({"row_offset": outside}, "kept row leads outside"),
        ({"row_offset": outside[1:]}, "row_offset"),
        ({"column_offset": np.full(6, 1, np.int32)}, "kept column leads outside"),
        ({"column_offset": np.zeros(7, np.int32)}, "column_offset"),
    ):
        with pytest.raises(ValueError, match=message):
            tile_wise_product(a, dataclasses.replace(weights, **changes), blocks)
    with pytest.raises(ValueError, match="whole numbers"):
        tile_wise_product(a.astype(np.int8), dataclasses.replace(weights, values=np.full(30, np.float32(0.5))), blocks)
    with pytest.raises(ValueError, match="no weight tile"):
        tile_wise_product(a, weights, table([(0, 0, 4, 0, 3, 0, 5, 2, 0)]))
    with pytest.raises(ValueError, match="columns of its weight tile"):
        tile_wise_product(a, weights, table([(0, 0, 4, 0, 4, 0, 5, 0, 0)]))
