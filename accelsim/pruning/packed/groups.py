"""N:M, vector-wise and tile-vector-wise weights: of every `group` rows, each column holds `slots` values.

The layout is that which sparse tensor cores read 2:4 operands in: values without the pruned ones, and for each value
the place in its group, in as many bits as places need (2 for a group of 4, 4 for one of 16). Words of 32 bits hold the
places of consecutive slots of one column, the first in the lowest bits.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import OperandError
from accelsim.pruning.masks import GroupMask, TileVectorWiseMask
from accelsim.pruning.pack import pack
from accelsim.pruning.packed.checks import INDEX_BYTES, check_mask, check_shape, known, starts

MAX_GROUP = 256
"""Largest group: a k-step of the kernel holds whole groups."""

_WORD_BITS = 32


def place_bits(group: int) -> int:
    """Bits that tell the places of a group apart: ``ceil(log2(group))``, at least 1."""
    return max(1, (group - 1).bit_length())


@dataclass(frozen=True)
class GroupedWeights:
    """Weights B[k, n] of which every `group` rows of a tile keep at most `slots` in each column.

    Tile t has `row_count[t]` rows in ``ceil(row_count[t] / group)`` groups (the last may be short) and as many times
    `slots` rows of values; all columns of a tile have equally many. N:M and vector-wise weights are one tile of all
    rows and columns, with no offsets. Tile-vector-wise weights are tiles of kept rows and columns, whose offsets are
    those of `accelsim.pruning.packing.TileWiseWeights`; groups run along a tile's kept rows.

    A group that keeps fewer than `slots` is filled up with zeros in its first free places. Places ascend.
    """

    k: int
    n: int
    slots: int
    """Values of a group (the n of n:m)."""
    group: int
    """Rows of a group (the m of n:m)."""
    row_start: NDArray[np.int64]
    """[tiles + 1] first row of each tile, counted over all tiles."""
    column_start: NDArray[np.int64]
    """[tiles + 1] first column of each tile, counted over all tiles."""
    row_offset: NDArray[np.int32] | None
    """Original minus compact index of each kept row, tile after tile; None where every row is kept."""
    column_offset: NDArray[np.int32] | None
    values: NDArray[np.float32] | None
    """Tile after tile, row-major [groups * slots, columns]; None when only the mask is known."""
    value_start: NDArray[np.int64]
    """[tiles + 1] where each tile begins in `values`."""
    metadata: NDArray[np.uint32]
    """Places, tile after tile, row-major [words, columns]."""
    metadata_start: NDArray[np.int64]
    """[tiles + 1] where each tile begins in `metadata`."""
    group_kept: NDArray[np.int16]
    """Kept weights of each group and column, tile after tile, row-major [groups, columns]. Serves counting alone: it is
    no part of the format, and its bytes are not counted."""
    group_start: NDArray[np.int64]
    """[tiles + 1] where each tile begins in `group_kept`."""

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return len(self.row_start) - 1

    @property
    def row_count(self) -> NDArray[np.int64]:
        """[tiles] rows of each tile."""
        return np.diff(self.row_start)

    @property
    def column_count(self) -> NDArray[np.int64]:
        """[tiles] columns of each tile."""
        return np.diff(self.column_start)

    @property
    def slots_per_word(self) -> int:
        """Places that a word of metadata holds."""
        return _WORD_BITS // place_bits(self.group)

    @property
    def kept(self) -> int:
        """Weights that are kept; slots that were filled up do not count."""
        return int(self.group_kept.sum(dtype=np.int64))

    def value_bytes(self, element_bytes: int) -> int:
        """Bytes of the values, slots that were filled up among them."""
        return int(self.value_start[-1]) * element_bytes

    @property
    def metadata_bytes(self) -> int:
        """Bytes of the places."""
        return 4 * len(self.metadata)

    @property
    def index_bytes(self) -> int:
        """Bytes of all that is not values: metadata, and offsets where rows and columns are gathered."""
        offsets = sum(len(part) for part in (self.row_offset, self.column_offset) if part is not None)
        return self.metadata_bytes + INDEX_BYTES * offsets

    def rows(self, tile: int) -> NDArray[np.int64]:
        """Original indices of the rows of `tile`, ascending."""
        compact = np.arange(self.row_start[tile + 1] - self.row_start[tile])
        if self.row_offset is None:
            return compact
        return self.row_offset[self.row_start[tile] : self.row_start[tile + 1]].astype(np.int64) + compact

    def columns(self, tile: int) -> NDArray[np.int64]:
        """Original indices of the columns of `tile`, ascending."""
        first, last = self.column_start[tile], self.column_start[tile + 1]
        compact = np.arange(first, last)
        return compact if self.column_offset is None else self.column_offset[first:last].astype(np.int64) + compact

    def places(self, tile: int) -> NDArray[np.int64]:
        """Place in its group of every value of `tile`: [groups * slots, columns]."""
        columns = int(self.column_count[tile])
        words = self.metadata[self.metadata_start[tile] : self.metadata_start[tile + 1]].reshape(-1, columns)
        slot = np.arange(-(-int(self.row_count[tile]) // self.group) * self.slots)
        bits = place_bits(self.group)
        shift = (slot % self.slots_per_word * bits).astype(np.uint32)[:, None]
        return (words[slot // self.slots_per_word] >> shift & np.uint32((1 << bits) - 1)).astype(np.int64)

    def unpack(self) -> NDArray[np.float32]:
        """Dense weights [k, n] with zeros where they are pruned.

        Raises
        ------
        OperandError
            If only the mask was packed.
        """
        values, dense = known(self.values), np.zeros((self.k, self.n), np.float32)
        for tile in range(self.tiles):
            rows, columns = self.rows(tile), self.columns(tile)
            places = self.places(tile)
            part = values[self.value_start[tile] : self.value_start[tile + 1]].reshape(places.shape)
            whole = np.zeros((-(-len(rows) // self.group) * self.group, len(columns)), np.float32)
            group = np.arange(len(places))[:, None] // self.slots
            whole[group * self.group + places, np.arange(len(columns))] = part
            dense[np.ix_(rows, columns)] = whole[: len(rows)]
        return dense


@dataclass(frozen=True)
class _Compressed:
    values: NDArray[np.float32] | None
    metadata: NDArray[np.uint32]
    kept: NDArray[np.int16]


def _in_groups(matrix: NDArray[Any], group: int) -> NDArray[Any]:
    """Rows in groups: [groups, group, columns], zeros after the last row."""
    rows, columns = matrix.shape
    groups = -(-rows // group)
    whole = np.zeros((groups * group, columns), matrix.dtype)
    whole[:rows] = matrix
    return whole.reshape(groups, group, columns)


def _pack_places(places: NDArray[np.int64], group: int) -> NDArray[np.uint32]:
    """Places [slots, columns] in words [words, columns], low bits first."""
    bits = place_bits(group)
    per_word = _WORD_BITS // bits
    whole = _in_groups(places.astype(np.uint32), per_word)
    shift = (np.arange(per_word) * bits).astype(np.uint32)[:, None]
    words: NDArray[np.uint32] = np.bitwise_or.reduce(whole << shift, axis=1).astype(np.uint32)
    return words


def _compress(weights: NDArray[Any] | None, mask: NDArray[np.bool_], slots: int, group: int, where: str) -> _Compressed:
    """Kept values of a matrix in the slots of its groups."""
    kept = _in_groups(mask, group)
    count = np.count_nonzero(kept, axis=1)
    if np.any(count > slots):
        number, column = (int(index) for index in np.argwhere(count > slots)[0])
        last = min((number + 1) * group, len(mask)) - 1
        raise OperandError(
            f"{where}rows {number * group} to {last} of column {column} keep {count[number, column]} weights; "
            f"{slots}:{group} allows {slots}"
        )
    # Kept places first, then free ones, each ascending; those that fit are put in order again.
    places = np.sort(np.argsort(~kept, axis=1, kind="stable")[:, :slots], axis=1)
    columns = mask.shape[1]
    values = None
    if weights is not None:
        clean = np.where(kept, _in_groups(weights, group), 0)
        values = np.take_along_axis(clean, places, axis=1).astype(np.float32).reshape(-1, columns)
    return _Compressed(values, _pack_places(places.reshape(-1, columns), group), count.astype(np.int16))


def _check_pattern(slots: int, group: int) -> None:
    if not 1 <= slots <= group <= MAX_GROUP:
        raise OperandError(f"{slots}:{group} is no pattern; allowed: 1 to m weights of every m, m at most {MAX_GROUP}")


def _joined(parts: list[NDArray[Any]], dtype: type) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Parts one after another, and where each begins."""
    flat = [part.ravel() for part in parts]
    begin = starts(np.array([len(part) for part in flat], np.int64))
    return np.concatenate([np.zeros(0, dtype), *flat]), begin


def pack_groups(weights: NDArray[Any] | None, mask: NDArray[np.bool_], slots: int, group: int) -> GroupedWeights:
    """Pack N:M weights: at most `slots` of every `group` rows in each column. 2:4 is 2 and 4.

    Parameters
    ----------
    weights : array [k, n] or None
        None packs the mask alone. Nothing is read of a pruned weight, which may even be NaN.
    mask : bool array [k, n]
        True where a weight is kept.
    slots, group : int
        The pattern; vector-wise weights have a group of 16. Any k serves: the last group may be short.

    Returns
    -------
    GroupedWeights

    Raises
    ------
    OperandError
        For weights of another shape, an impossible pattern, or a group that keeps more than its slots.
    """
    _check_pattern(slots, group)
    mask = check_mask(mask)
    k, n = mask.shape
    check_shape(weights, k, n)
    part = _compress(weights, mask, slots, group, "")
    size = np.array([-(-k // group) * slots * n])
    return GroupedWeights(
        k=k,
        n=n,
        slots=slots,
        group=group,
        row_start=np.array([0, k]),
        column_start=np.array([0, n]),
        row_offset=None,
        column_offset=None,
        values=None if part.values is None else part.values.ravel(),
        value_start=starts(size),
        metadata=part.metadata.ravel(),
        metadata_start=starts(np.array([part.metadata.size])),
        group_kept=part.kept.ravel(),
        group_start=starts(np.array([part.kept.size])),
    )


def pack_group_mask(weights: NDArray[Any] | None, mask: GroupMask) -> GroupedWeights:
    """`pack_groups` with the pattern that a mask names."""
    return pack_groups(weights, mask.dense, mask.keep, mask.group)


def _compress_tile(weights: NDArray[Any] | None, mask: TileVectorWiseMask, tile: int) -> _Compressed:
    """Kept values of a tile, in groups along the rows that it keeps."""
    rows, columns, inner = mask.tiles.rows[tile], mask.tiles.columns[tile], mask.inner[tile]
    if inner.shape != (len(rows), len(columns)):
        raise OperandError(f"tile {tile} keeps {len(rows)} rows and {len(columns)} columns, its mask is {inner.shape}")
    own = None if weights is None else weights[np.ix_(rows, columns)]
    return _compress(own, check_mask(inner), mask.keep, mask.group, f"tile {tile}: ")


def pack_tile_vector_wise(weights: NDArray[Any] | None, mask: TileVectorWiseMask) -> GroupedWeights:
    """Pack tile-vector-wise weights: groups along the rows that each tile keeps.

    Parameters
    ----------
    weights : array [k, n] or None
        None packs the mask alone. Nothing is read of a pruned weight.
    mask : TileVectorWiseMask

    Returns
    -------
    GroupedWeights

    Raises
    ------
    OperandError
        As `pack_groups`; the message names the tile.
    """
    _check_pattern(mask.keep, mask.group)
    check_shape(weights, mask.k, mask.n)
    index = pack(None, mask.tiles)
    parts = [_compress_tile(weights, mask, tile) for tile in range(len(mask.tiles.rows))]
    metadata, metadata_start = _joined([part.metadata for part in parts], np.uint32)
    group_kept, group_start = _joined([part.kept for part in parts], np.int16)
    values = [part.values for part in parts if part.values is not None]
    groups = -(-index.row_count // mask.group)
    return GroupedWeights(
        k=mask.k,
        n=mask.n,
        slots=mask.keep,
        group=mask.group,
        row_start=index.row_start,
        column_start=index.column_start,
        row_offset=index.row_offset,
        column_offset=index.column_offset,
        values=None if weights is None else _joined(values, np.float32)[0],
        value_start=starts(groups * mask.keep * index.column_count),
        metadata=metadata,
        metadata_start=metadata_start,
        group_kept=group_kept,
        group_start=group_start,
    )
