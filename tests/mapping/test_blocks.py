"""Thread blocks: every product is computed once, in the order asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from accelsim.mapping.blocks import (
    build_blocks,
    dense_columns,
    launch_per_tile,
    raster_order,
    run_lengths,
    tile_wise_columns,
)
from accelsim.mapping.plan import BlockTable
from accelsim.model.graph import Gemm
from accelsim.pruning.pack import pack
from accelsim.pruning.packing import TileWiseWeights
from accelsim.pruning.seeded import seeded_mask

extents = st.integers(1, 70)
tiles = st.sampled_from([1, 3, 8, 16, 64])
rasters = st.sampled_from(["along_m", "along_n", "swizzle"])


def cover(table: BlockTable, shape: tuple[int, int, int, int], weights: TileWiseWeights | None) -> NDArray[np.int64]:
    """How often each product of [batch, m, n, k] is computed, in original rows and columns."""
    count = np.zeros(shape, dtype=np.int64)
    for i in range(len(table)):
        columns, rows = np.arange(table.n0[i], table.n1[i]), np.arange(table.k0[i], table.k1[i])
        if weights is not None:
            tile = int(table.weight_tile[i])
            columns = weights.columns(tile)[columns - weights.column_start[tile]]
            rows = weights.rows(tile)[rows]
        count[table.batch[i], table.m0[i] : table.m1[i], columns[:, None], rows[None, :]] += 1
    return count


@settings(deadline=None, max_examples=60)
@given(extents, extents, extents, st.integers(1, 2), tiles, tiles, tiles, st.integers(1, 5), rasters)
def test_dense_products_are_computed_once(
    m: int, n: int, k: int, batch: int, tile_m: int, tile_n: int, tile_k: int, split_k: int, raster: str
) -> None:
    gemm = Gemm("g", m, n, k, batch)
    table = build_blocks(gemm, dense_columns(n, k, tile_n), (tile_m, tile_k), split_k, (raster, 2))
    assert table.macs.sum() == gemm.macs
    assert np.all(table.macs > 0)
    assert np.all((table.k1 - table.k0) <= -(-k // (split_k * tile_k)) * tile_k + tile_k)
    assert np.all(table.k0 % tile_k == 0)
    assert np.all(cover(table, (batch, m, n, k), None) == 1)


@settings(deadline=None, max_examples=60)
@given(
    extents,
    extents,
    extents,
    tiles,
    tiles,
    tiles,
    st.integers(1, 4),
    rasters,
    st.floats(0, 0.9),
    st.floats(0, 1),
    st.booleans(),
)
def test_tile_wise_products_are_those_kept(
    m: int,
    n: int,
    k: int,
    tile_m: int,
    tile_n: int,
    tile_k: int,
    split_k: int,
    raster: str,
    sparsity: float,
    uneven: float,
    padded: bool,
) -> None:
    mask = seeded_mask(k, n, sparsity, 16, 1, uneven)
    weights = pack(None, mask)
    padded_k = int(weights.row_count.max()) if padded else None
    table = build_blocks(
        Gemm("g", m, n, k), tile_wise_columns(weights, tile_n), (tile_m, tile_k), split_k, (raster, 2), padded_k
    )
    assert table.macs.sum() == m * mask.kept
    np.testing.assert_array_equal(cover(table, (1, m, n, k), weights)[0], np.broadcast_to(mask.to_dense().T, (m, n, k)))
    assert padded or np.all(table.macs > 0)
    if padded_k is not None:
        shares = 1 + int(table.split.max())
        runs = run_lengths(table, tile_k, shares, padded_k)
        assert np.all(runs >= table.k1 - table.k0)
        first_panel = (table.m0 == 0) & (table.n0 == table.n0.min())
        assert runs[first_panel].sum() == padded_k


def test_a_pruned_tile_has_no_thread_block() -> None:
    mask = seeded_mask(32, 64, 0.75, 8, 3, uneven=1.0)
    assert 0 in [len(rows) for rows in mask.rows]
    columns = tile_wise_columns(pack(None, mask), 8)
    assert set(columns.weight_tile) == {tile for tile, rows in enumerate(mask.rows) if len(rows)}
    assert np.all(columns.depth > 0)


def test_raster_orders() -> None:
    def walk(raster: str, width: int = 2) -> list[tuple[int, int]]:
        rows, columns = raster_order(3, 4, raster, width)
        return list(zip(rows.tolist(), columns.tolist(), strict=True))

    assert walk("along_m")[:4] == [(0, 0), (1, 0), (2, 0), (0, 1)]
    assert walk("along_n")[:5] == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]
    assert walk("swizzle") == [
        (0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (2, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 2), (2, 3),
    ]  # fmt: skip
    assert walk("swizzle", 9) == walk("along_m")


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 20), st.integers(1, 20), rasters, st.integers(1, 5))
def test_every_raster_visits_every_tile_once(rows: int, columns: int, raster: str, width: int) -> None:
    visited = list(zip(*(part.tolist() for part in raster_order(rows, columns, raster, width)), strict=True))
    assert sorted(visited) == [(row, column) for row in range(rows) for column in range(columns)]


def test_split_k_has_no_more_shares_than_steps() -> None:
    table = build_blocks(Gemm("g", 8, 8, 100), dense_columns(8, 100, 8), (8, 32), 3, ("along_m", 1))
    assert list(zip(table.k0.tolist(), table.k1.tolist(), strict=True)) == [(0, 64), (64, 100)]


def test_a_launch_for_each_tile() -> None:
    weights = pack(None, seeded_mask(32, 80, 0.75, 8, 3, uneven=1.0))
    table = build_blocks(Gemm("g", 40, 80, 32), tile_wise_columns(weights, 4), (16, 8), 1, ("swizzle", 2))
    blocks, launches = launch_per_tile("g", table, 2)
    kept = np.flatnonzero(weights.row_count)
    assert [launch.name for launch in launches] == [f"g[{tile}]" for tile in kept]
    assert [launch.stream for launch in launches] == [turn % 2 for turn in range(len(kept))]
    for launch, tile in zip(launches, kept, strict=True):
        own = slice(launch.first_block, launch.first_block + launch.block_count)
        assert set(blocks.weight_tile[own]) == {tile}
    assert sum(launch.block_count for launch in launches) == len(blocks) == len(table)
    assert blocks.macs.sum() == table.macs.sum()


@pytest.mark.parametrize("streams", [1, 4])
def test_nothing_kept_is_one_empty_launch(streams: int) -> None:
    weights = pack(None, seeded_mask(4, 4, 0.0, 4, 0))
    empty = build_blocks(Gemm("g", 4, 4, 4), tile_wise_columns(weights, 4), (4, 4), 1, ("along_m", 1))
    table = BlockTable(*(np.zeros(0, np.int64) for _ in range(9)))
    assert len(empty) == 1
    _, launches = launch_per_tile("g", table, streams)
    assert [(launch.name, launch.block_count) for launch in launches] == [("g", 0)]
