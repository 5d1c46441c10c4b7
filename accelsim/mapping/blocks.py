"""Thread blocks of a GEMM in launch order: output tiles in raster order, cut along k under split-K.

A dense product and a tile-wise one are cut by the same rule. Both have columns of output tiles; those of a dense
product are n cut by tile_n and share one depth k, those of a tile-wise product are the columns of each weight tile cut
by tile_n, as deep as that tile has kept rows. A weight tile without a kept row has no thread block: like a pruned
column, its output is the zero that the output starts with.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from accelsim.mapping.plan import BlockTable, IntArray, LaunchPlan, PlannedWeights
from accelsim.model.graph import Gemm


@dataclass(frozen=True)
class ColumnTiles:
    """Columns of output tiles, left to right. Arrays are int64 [column tiles]."""

    n0: IntArray
    n1: IntArray
    depth: IntArray
    """Extent of k that its thread blocks multiply."""
    weight_tile: IntArray

    def __len__(self) -> int:
        return len(self.n0)


def ceil_div(number: IntArray | int, divisor: IntArray | int) -> IntArray:
    """Quotient rounded up, elementwise."""
    return -(-np.asarray(number, dtype=np.int64) // np.asarray(divisor, dtype=np.int64))


def split_length(depth: IntArray | int, tile_k: int, split_k: int) -> IntArray:
    """Extent of k of one share under split-K: whole k-steps, equally many in every share but the last."""
    result: IntArray = ceil_div(ceil_div(depth, tile_k), split_k) * tile_k
    return result


def run_lengths(blocks: BlockTable, tile_k: int, split_k: int, padded_k: int | None) -> IntArray:
    """Extent of k that each thread block runs through: its own, or its share of the padded one."""
    if padded_k is None:
        return blocks.k1 - blocks.k0
    length = split_length(padded_k, tile_k, split_k)
    result: IntArray = np.minimum((blocks.split + 1) * length, padded_k) - blocks.split * length
    return result


def dense_columns(n: int, k: int, tile_n: int) -> ColumnTiles:
    """Columns of output tiles of a dense product."""
    n0 = np.arange(0, n, tile_n, dtype=np.int64)
    return ColumnTiles(n0, np.minimum(n0 + tile_n, n), np.full(len(n0), k, np.int64), np.zeros(len(n0), np.int64))


def tile_wise_columns(weights: PlannedWeights, tile_n: int) -> ColumnTiles:
    """Columns of output tiles of a product with packed weights; none spans two weight tiles."""
    occupied = np.flatnonzero(weights.row_count > 0)
    parts = ceil_div(weights.column_count[occupied], tile_n)
    weight_tile = np.repeat(occupied, parts)
    within = np.arange(len(weight_tile)) - np.repeat(np.cumsum(parts) - parts, parts)
    n0 = weights.column_start[weight_tile] + within * tile_n
    n1 = np.minimum(n0 + tile_n, weights.column_start[weight_tile + 1])
    return ColumnTiles(n0, n1, weights.row_count[weight_tile], weight_tile)


def raster_order(rows: int, columns: int, raster: str, width: int) -> tuple[IntArray, IntArray]:
    """Row and column of every output tile in the order of launch.

    Parameters
    ----------
    rows, columns : int
        Size of the grid of output tiles.
    raster : {"along_m", "along_n", "swizzle"}
        ``along_m`` walks down each column, ``along_n`` along each row; ``swizzle`` takes squares of `width` x `width`
        tiles, down the columns of squares and down the columns of each square, so that few operand panels are in use.
    """
    column, row = np.divmod(np.arange(rows * columns, dtype=np.int64), max(1, rows))
    if raster == "along_n":
        order = np.lexsort((column, row))
    elif raster == "swizzle":
        order = np.lexsort((row, column, row // width, column // width))
    else:
        order = np.arange(rows * columns)
    return row[order], column[order]


def build_blocks(
    gemm: Gemm,
    columns: ColumnTiles,
    tile: tuple[int, int],
    split_k: int,
    raster: tuple[str, int],
    padded_k: int | None = None,
) -> BlockTable:
    """Thread blocks: batch items one after another, shares of k one after another, output tiles in raster order.

    Parameters
    ----------
    gemm : Gemm
        Its m and batch.
    columns : ColumnTiles
        Of `dense_columns` or `tile_wise_columns`.
    tile : (int, int)
        tile_m and tile_k.
    split_k : int
        Most thread blocks that share an output tile; there are fewer where k has fewer k-steps.
    raster : (str, int)
        Order and width of `raster_order`.
    padded_k : int, optional
        Extent that every thread block runs through; its shares are cut from that, and one may lie beyond the rows of
        its own weight tile (k0 = k1).
    """
    tile_m, tile_k = tile
    panel, column = raster_order(int(ceil_div(gemm.m, tile_m)), len(columns), *raster)
    batch, split, index = (
        part.reshape(-1) for part in np.indices((gemm.batch, split_k, len(panel)), dtype=np.int64, sparse=False)
    )
    column = column[index]
    own = columns.depth[column]
    run = own if padded_k is None else np.full_like(own, padded_k)
    length = split_length(run, tile_k, split_k)
    m0 = panel[index] * tile_m
    table = BlockTable(
        batch=batch,
        m0=m0,
        m1=np.minimum(m0 + tile_m, gemm.m),
        n0=columns.n0[column],
        n1=columns.n1[column],
        k0=np.minimum(split * length, own),
        k1=np.minimum((split + 1) * length, own),
        weight_tile=columns.weight_tile[column],
        split=split,
    )
    return take_blocks(table, np.flatnonzero(split * length < run))


def take_blocks(table: BlockTable, order: NDArray[np.int64]) -> BlockTable:
    """The given rows of a table, in the given order."""
    return BlockTable(**{field.name: getattr(table, field.name)[order] for field in fields(table)})


def one_launch(name: str, table: BlockTable) -> tuple[LaunchPlan, ...]:
    """All thread blocks in a single launch."""
    return (LaunchPlan(name, 0, len(table)),)


def launch_per_tile(name: str, table: BlockTable, streams: int) -> tuple[BlockTable, tuple[LaunchPlan, ...]]:
    """A launch for every weight tile, dealt to the streams in turn; thread blocks are sorted to suit.

    When nothing is kept there is one launch without thread blocks.
    """
    table = take_blocks(table, np.argsort(table.weight_tile, kind="stable"))
    tiles, first, count = np.unique(table.weight_tile, return_index=True, return_counts=True)
    launches = tuple(
        LaunchPlan(f"{name}[{tile}]", int(begin), int(size), turn % streams)
        for turn, (tile, begin, size) in enumerate(zip(tiles, first, count, strict=True))
    )
    return table, launches or one_launch(name, table)
