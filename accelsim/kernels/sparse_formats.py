"""Packed sparse weights as the kernels see them, and checks of what they index.

`accelsim.pruning.packed` packs them and says what each array holds. In all forms thread blocks name a tile of the
weights: the whole matrix, a tile-wise tile or a block column. Their columns n0:n1 count the columns of all tiles, their
k0:k1 the rows that the tile keeps.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.output_tiles import Array, Blocks, IntArray, check, check_blocks, original_index


class TiledForm(Protocol):
    """What every form has: the shape [k, n], and rows and columns of its tiles."""

    @property
    def k(self) -> int: ...
    @property
    def n(self) -> int: ...
    @property
    def row_start(self) -> IntArray: ...
    @property
    def column_start(self) -> IntArray: ...


class GroupedForm(TiledForm, Protocol):
    """N:M, vector-wise and tile-vector-wise weights (`GroupedWeights`)."""

    @property
    def slots(self) -> int: ...
    @property
    def group(self) -> int: ...
    @property
    def slots_per_word(self) -> int: ...
    @property
    def row_offset(self) -> NDArray[np.int32] | None: ...
    @property
    def column_offset(self) -> NDArray[np.int32] | None: ...
    @property
    def values(self) -> Array | None: ...
    @property
    def value_start(self) -> IntArray: ...
    @property
    def metadata(self) -> NDArray[np.uint32]: ...
    @property
    def metadata_start(self) -> IntArray: ...
    @property
    def group_kept(self) -> NDArray[np.int16]: ...
    @property
    def group_start(self) -> IntArray: ...


class BlockForm(TiledForm, Protocol):
    """Block-wise weights (`BlockWeights`)."""

    @property
    def block_rows(self) -> int: ...
    @property
    def block_columns(self) -> int: ...
    @property
    def block_start(self) -> IntArray: ...
    @property
    def block_row(self) -> NDArray[np.int32]: ...
    @property
    def row_offset(self) -> NDArray[np.int32]: ...
    @property
    def values(self) -> Array | None: ...


class ElementForm(TiledForm, Protocol):
    """Element-wise weights (`ElementWeights`)."""

    @property
    def element_start(self) -> IntArray: ...
    @property
    def row_index(self) -> NDArray[np.int32]: ...
    @property
    def values(self) -> Array | None: ...


def sparse_values(weights: GroupedForm | BlockForm | ElementForm, count: int, integer: bool) -> Array:
    """The values, one after another.

    Raises
    ------
    ValueError
        Unless there are `count` values of float32 or int8, whole numbers of int8 for an `integer` product.
    """
    check(weights.values is not None, "the weights have a mask only, no values")
    values = np.ascontiguousarray(weights.values).reshape(-1)
    check(values.dtype in (np.float32, np.int8), f"weights must be float32 or int8, not {values.dtype}")
    check(len(values) == count, f"{len(values)} values instead of {count}")
    if integer:
        whole = np.all(values == np.clip(np.rint(values), -128, 127))
        check(whole, "weights of an int8 product must be whole numbers from -128 to 127")
    return values


def check_tiles(weights: TiledForm, blocks: Blocks, batch: int, m: int) -> None:
    """Raises ValueError when a thread block leaves the operands or its tile of the weights."""
    tile = blocks.weight_tile
    check(np.all((tile >= 0) & (tile < len(weights.row_start) - 1)), "a thread block has no weight tile")
    first, last = weights.column_start[tile], weights.column_start[tile + 1]
    check_blocks(blocks, batch, m, int(weights.column_start[-1]), np.diff(weights.row_start)[tile])
    check(np.all((blocks.n0 >= first) & (blocks.n1 <= last)), "a thread block leaves the columns of its weight tile")


def check_groups(weights: GroupedForm, blocks: Blocks) -> None:
    """Raises ValueError unless thread blocks begin and end with groups, but for the end of their tile's rows."""
    end = np.diff(weights.row_start)[blocks.weight_tile]
    whole = (blocks.k0 % weights.group == 0) & ((blocks.k1 % weights.group == 0) | (blocks.k1 == end))
    check(np.all(whole | (blocks.k0 == blocks.k1)), f"k0 and k1 of a thread block must be multiples of {weights.group}")


def kept_rows(weights: GroupedForm) -> IntArray:
    """Original index of every kept row, tile after tile; of no row where the weights gather none."""
    if weights.row_offset is None:
        return np.zeros(0, np.int64)
    check(len(weights.row_offset) == weights.row_start[-1], "row_offset and row_start do not match")
    return original_index(weights.row_offset, weights.row_start, weights.k, "row")


def kept_columns(weights: GroupedForm) -> IntArray:
    """Original index of every column that is kept."""
    if weights.column_offset is None:
        return np.arange(weights.n)
    check(len(weights.column_offset) == weights.column_start[-1], "column_offset and column_start do not match")
    whole = np.array([0, len(weights.column_offset)])
    return original_index(weights.column_offset, whole, weights.n, "column")


def place_mask(weights: GroupedForm) -> tuple[int, int]:
    """Bits of a place in the metadata, and the mask of so many bits."""
    bits = max(1, (weights.group - 1).bit_length())
    return bits, (1 << bits) - 1
