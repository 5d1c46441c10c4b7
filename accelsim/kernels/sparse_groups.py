"""Products with N:M, vector-wise and tile-vector-wise weights.

A sparse tensor core picks, for every value, the activation at its place. Here the values are put at their places: for
every output tile and k-step a panel of the weights is spread out of its packed form, and the dense micro-kernel
multiplies it. No more than that panel of the weights is ever dense.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from accelsim.kernels.microkernel import COLUMNS, ROWS
from accelsim.kernels.output_tiles import (
    DEPTH,
    Array,
    Blocks,
    IntArray,
    OutputTiles,
    accumulator_type,
    check,
    gather_rows,
    multiply_panels,
    operand,
    pack_a,
    sort_tiles,
    tile_size,
)
from accelsim.kernels.panels import Strips, aligned_empty, pack, pack_columns, share
from accelsim.kernels.sparse_formats import (
    GroupedForm,
    check_groups,
    check_tiles,
    kept_columns,
    kept_rows,
    place_mask,
    sparse_values,
)


@njit(cache=True, nogil=True)
def _unpack_places(
    first: int, last: int, metadata: NDArray[np.uint32], per_word: int, bits: int, mask: int, places: Array
) -> None:
    """Rows first:last of places [slots, columns] from words [words, columns]."""
    for slot in range(first, last):
        word = metadata[slot // per_word]
        shift = np.uint32(slot % per_word * bits)
        for column in range(places.shape[1]):
            places[slot, column] = (word[column] >> shift) & np.uint32(mask)


@njit(cache=True, nogil=True)
def _spread(
    values: Array, places: Array, start: int, stride: int, groups: int, slots: int, group: int, width: int,
    panel: Array,
) -> None:  # fmt: skip
    """Panels of the weights [groups * group, width] from those of values and places, which are `stride` apart."""
    size = groups * group * COLUMNS
    for index in range(np.uint64(-(-width // COLUMNS) * size)):
        panel[index] = 0
    for column in range(-(-width // COLUMNS)):
        source = start + column * stride
        for number in range(groups):
            target = column * size + number * group * COLUMNS
            for _ in range(slots):
                for lane in range(COLUMNS):
                    # Unsigned, since the check for negative indices costs as much as the copy.
                    place = np.int64(places[np.uint64(source + lane)])
                    panel[np.uint64(target + place * COLUMNS + lane)] = values[np.uint64(source + lane)]
                source += COLUMNS


@njit(cache=True, nogil=True)
def _multiply_groups(
    first: int, last: int, tiles: OutputTiles, a: Array, a_depth: int, values: Array, places: Array, slots: int,
    group: int, kept_row: IntArray, kept_column: IntArray, gathered: Array, panel: Array, tile: Array, out: Array,
) -> None:  # fmt: skip
    """Computes output tiles first:last into `out`. Without `kept_row` nothing is gathered."""
    longest = DEPTH // group * group
    for number in range(first, last):
        lead = tiles.first_block[number]
        rows, columns = tiles.m1[lead] - tiles.m0[lead], tiles.n1[lead] - tiles.n0[lead]
        height, width = -(-rows // ROWS) * ROWS, -(-columns // COLUMNS) * COLUMNS
        tile[: height * width] = 0
        for block in range(lead, tiles.first_block[number + 1]):
            for step in range(tiles.k0[block], tiles.k1[block], longest):
                depth = min(longest, tiles.k1[block] - step)
                groups = -(-depth // group)
                start = tiles.b_panel[block] + step // group * slots * COLUMNS
                _spread(values, places, start, tiles.b_depth[block] * COLUMNS, groups, slots, group, width, panel)
                stride = groups * group * COLUMNS
                if len(kept_row) == 0:
                    origin = tiles.a_panel[block] + step * ROWS
                    multiply_panels(a, origin, a_depth * ROWS, panel, 0, stride, depth, tile, height, width)
                    continue
                kept = kept_row[tiles.row_start[block] + step : tiles.row_start[block] + step + depth]
                gather_rows(a, tiles.a_panel[block], a_depth, height // ROWS, kept, gathered)
                multiply_panels(gathered, 0, depth * ROWS, panel, 0, stride, depth, tile, height, width)
        for row in range(rows):
            target = out[tiles.batch[lead], tiles.m0[lead] + row]
            for column in range(columns):
                target[kept_column[tiles.n0[lead] + column]] = tile[row * width + column]


def _slot_rows(weights: GroupedForm) -> IntArray:
    """[tiles] rows of values of each tile."""
    return -(-np.diff(weights.row_start) // weights.group) * weights.slots


def place_array(weights: GroupedForm, threads: int | None = None) -> NDArray[np.uint8]:
    """Place in its group of every value, in the order of the values.

    Raises
    ------
    ValueError
        When the metadata are not of the size that the tiles call for, or a place lies outside its group.
    """
    bits, mask = place_mask(weights)
    rows, columns = _slot_rows(weights), np.diff(weights.column_start)
    check(np.array_equal(np.diff(weights.value_start), rows * columns), "value_start does not match the tiles")
    words = -(-rows // weights.slots_per_word) * columns
    check(np.array_equal(np.diff(weights.metadata_start), words), "metadata_start does not match the tiles")
    check(len(weights.metadata) == weights.metadata_start[-1], f"{len(weights.metadata)} words of metadata")
    places = np.empty(int(weights.value_start[-1]), np.uint8)
    for tile in range(len(rows)):
        own = places[weights.value_start[tile] : weights.value_start[tile + 1]].reshape(rows[tile], columns[tile])
        part = weights.metadata[weights.metadata_start[tile] : weights.metadata_start[tile + 1]]
        part = part.reshape(-1, columns[tile])

        def work(low: int, high: int, part: Array = part, own: Array = own) -> None:
            _unpack_places(low, high, part, weights.slots_per_word, bits, mask, own)

        share(work, int(rows[tile]), threads)
    check(places.max(initial=0) < weights.group, f"a place of the metadata lies outside its group of {weights.group}")
    return places


def _check_grouped(a: Array, weights: GroupedForm, blocks: Blocks) -> None:
    """Raises ValueError when operands do not match or a thread block leaves them."""
    batch, m, k = a.shape
    check(k == weights.k, f"A has {k} columns, the weights have {weights.k} rows")
    check(bool(np.isfinite(a).all()), "A must be finite")
    check(1 <= weights.slots <= weights.group <= DEPTH, f"{weights.slots}:{weights.group} is no pattern")
    check_tiles(weights, blocks, batch, m)
    check_groups(weights, blocks)


def _weight_panels(
    weights: GroupedForm, blocks: Blocks, integer: bool, threads: int | None
) -> tuple[Array, Array, IntArray, IntArray]:
    """Panels of values and of places, and where the strip of each thread block begins in them and how deep it is."""
    values = sparse_values(weights, int(weights.value_start[-1]), integer)
    places = place_array(weights, threads)
    tile = blocks.weight_tile
    depth = _slot_rows(weights)[tile]
    start = weights.value_start[tile] + blocks.n0 - weights.column_start[tile]
    strips = Strips(start, np.diff(weights.column_start)[tile], blocks.n1 - blocks.n0, depth, start)
    value_panels, panel = pack(pack_columns, COLUMNS, values, strips, threads)
    return value_panels, pack(pack_columns, COLUMNS, places, strips, threads)[0], panel, depth


def grouped_product(a: Array, weights: GroupedForm, blocks: Blocks, *, threads: int | None = None) -> Array:
    """Output of a plan with N:M, vector-wise or tile-vector-wise weights.

    Parameters
    ----------
    a : array of float32 or int8, [batch, m, k]
        Finite: a panel holds zeros where weights are pruned, and each is multiplied.
    weights : GroupedForm
        With values (float32 or int8; whole numbers of int8 when `a` is int8).
    blocks : Blocks
        Thread blocks in any order, each within one tile of the weights, which N:M and vector-wise weights have one
        of. k0 and k1 are rows of the tile and lie on the edges of groups.
    threads : int, optional
        Default: Numba's number of threads.

    Returns
    -------
    array of float32 or int32, [batch, m, n]
        The product with the dense weights of which pruned ones are zero; where the group divides 256, the same to the
        bit. Pruned columns are zero.

    Raises
    ------
    ValueError
        When shapes or types do not match, weights have no values, `a` is not finite, or a block, offset or place
        leaves the operands.
    """
    a = operand(a, "a")
    _check_grouped(a, weights, blocks)
    value_panels, place_panels, b_panel, depth = _weight_panels(weights, blocks, a.dtype == np.int8, threads)
    kept_row, kept_column = kept_rows(weights), kept_columns(weights)
    a_panels, a_panel = pack_a(a, blocks, threads)
    tiles = sort_tiles(blocks, a_panel, b_panel, depth, weights.row_start[blocks.weight_tile])
    height, width = tile_size(blocks)
    out = np.zeros((*a.shape[:2], weights.n), accumulator_type(a.dtype))

    def work(first: int, last: int) -> None:
        tile, panel = aligned_empty(height * width, out.dtype), aligned_empty(width * DEPTH)
        gathered = aligned_empty(height * DEPTH if len(kept_row) else 0)
        arrays: tuple[Any, ...] = (kept_row, kept_column, gathered, panel, tile, out)
        pattern = weights.slots, weights.group
        _multiply_groups(first, last, tiles, a_panels, weights.k, value_panels, place_panels, *pattern, *arrays)

    share(work, len(tiles.first_block) - 1, threads)
    return out
