"""Masks in files: dense, and beside them what tiles held where that cannot be told from the dense form."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.config.patterns import Pattern
from accelsim.errors import OperandError
from accelsim.pruning.masks import Mask
from accelsim.pruning.patterns import as_mask, require_granularity, tile_part

_MASKS, _TILES = "masks/", "tiles/"


def mask_arrays(masks: Mapping[str, Mask]) -> dict[str, NDArray[Any]]:
    """Masks [k, n] as ``masks/NAME``, as saved results hold them, and ``tiles/NAME`` for patterns that need it."""
    arrays = {f"{_MASKS}{name}": mask.to_dense() for name, mask in masks.items()}
    tiles = {f"{_TILES}{name}": tile_part(mask) for name, mask in masks.items()}
    return arrays | {name: array for name, array in tiles.items() if array is not None}


def read_pattern_masks(path: str | Path, pattern: Pattern, shapes: Mapping[str, tuple[int, int]]) -> dict[str, Mask]:
    """Masks of a file as those of a pattern, for layers of given shapes.

    Parameters
    ----------
    path : str or path-like
        .npz with ``masks/NAME`` for each layer.
    pattern : Pattern
    shapes : mapping of name to (k, n)

    Raises
    ------
    OperandError
        When the file cannot be read, a mask is missing, has another shape, or is not of the pattern.
    """
    arrays = read_any_arrays(path)
    found: dict[str, Mask] = {}
    require_granularity({name: n for name, (_, n) in shapes.items()}, pattern)
    for name, shape in shapes.items():
        if f"{_MASKS}{name}" not in arrays:
            held = [key.removeprefix(_MASKS) for key in arrays if key.startswith(_MASKS)]
            known = (
                f"it holds masks of {', '.join(held)}" if held else f"masks are called {_MASKS}NAME, and none is here"
            )
            raise OperandError(f"{path}: no mask of {name}; {known}")
        dense = arrays[f"{_MASKS}{name}"]
        if dense.shape != shape:
            raise OperandError(f"{path}: mask {name} has shape {list(dense.shape)}, the layer [k, n] {list(shape)}")
        found[name] = as_mask(pattern, dense, f"{path}: mask {name}", arrays.get(f"{_TILES}{name}"))
    return found


def read_any_arrays(path: str | Path) -> dict[str, NDArray[Any]]:
    """Every array of a .npz, of any kind but Python objects.

    Raises
    ------
    OperandError
        When the file cannot be read.
    """
    try:
        archive = np.load(path, allow_pickle=False)
        return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise OperandError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise OperandError(f"{path}: cannot be read as .npz ({error})") from None
