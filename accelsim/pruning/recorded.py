"""Masks that an earlier run recorded, for runs without values."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import OperandError
from accelsim.pruning.tile_wise import TileWiseMask, cut_tiles

Mask = NDArray[np.bool_]

_FOLDER = "masks/"
_TILES = "tiles/"
TILES_SUFFIX = ".tiles"
"""Of the name under which a mask's tiles are kept beside it, where the mask alone does not tell them."""


def read_masks(path: str | Path) -> dict[str, Mask]:
    """Masks in the ``arrays.npz`` of a saved result, or in the ``masks.npz`` of `accelsim prune`, by name.

    Tiles of tile-element-wise and tile-vector-wise masks are among them, as ``NAME.tiles``.

    Raises
    ------
    OperandError
        When the file cannot be read or holds no mask.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {name.removeprefix(_FOLDER): archive[name] for name in archive.files if name.startswith(_FOLDER)}
            for name in archive.files:
                if name.startswith(_TILES):
                    found[name.removeprefix(_TILES) + TILES_SUFFIX] = archive[name]
    except (OSError, ValueError) as error:
        raise OperandError(f"{path}: cannot be read as recorded masks ({error})") from None
    if not found:
        raise OperandError(f"{path}: holds no masks; a result saved with a scheme that prunes does (--out)")
    return found


def recorded_mask(masks: Mapping[str, Mask], name: str, shape: tuple[int, ...], path: str) -> Mask:
    """One of them.

    Raises
    ------
    OperandError
        When it is missing, or of another shape or type.
    """
    if name not in masks:
        raise OperandError(f"{path}: no mask {name}; it holds {', '.join(masks)}")
    mask = masks[name]
    if mask.shape != shape or mask.dtype != np.bool_:
        raise OperandError(
            f"{path}: mask {name} is {mask.dtype} {list(mask.shape)}, and this workload needs bool {list(shape)}"
        )
    return mask


def recorded_tiles(masks: Mapping[str, Mask], name: str, shape: tuple[int, ...], path: str) -> Mask | None:
    """Tiles of one of them; None where it has none. Raises `OperandError` for another shape or type."""
    key = f"{name}{TILES_SUFFIX}"
    return recorded_mask(masks, key, shape, path) if key in masks else None


def as_tile_wise(mask: Mask, granularity: int, where: str, stages: int = 2) -> TileWiseMask:
    """A dense mask [k, n] as the tile-wise mask that it is.

    Parameters
    ----------
    mask : bool array [k, n]
    granularity : int
        Kept columns per tile.
    where : str
        What errors call the mask.
    stages : int
        1 when no column was pruned and tiles were cut every `granularity` columns. With 2, tiles are cut after every
        `granularity` columns that keep anything.

    Raises
    ------
    OperandError
        When rows of a tile of `granularity` kept columns keep some of its columns and prune others.
    """
    k, n = mask.shape
    columns = cut_tiles(np.arange(n) if stages == 1 else np.flatnonzero(mask.any(axis=0)), granularity)
    rows = tuple(np.flatnonzero(mask[:, tile].any(axis=1)).astype(np.int64) for tile in columns)
    result = TileWiseMask(k, n, granularity, columns, rows)
    if result.kept != int(mask.sum()):
        row, column = (int(index) for index in np.argwhere(result.to_dense() != mask)[0])
        tile = next(tile for tile in columns if column in tile)
        raise OperandError(
            f"{where}: not tile-wise at granularity {granularity}; was it recorded with another one? Row {row} keeps "
            f"some of the columns {tile[0]} to {tile[-1]} of its tile, but not column {column}"
        )
    return result
