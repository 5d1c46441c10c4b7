"""Packed weights as plain arrays and back, so that they fit a .npz without pickle."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import OperandError
from accelsim.pruning.file_masks import read_any_arrays
from accelsim.pruning.packed import BlockWeights, ElementWeights, GroupedWeights, Packed, TileElementWeights
from accelsim.pruning.packing import TileWiseWeights

_FORMATS: dict[str, type] = {
    kind.__name__: kind for kind in (BlockWeights, ElementWeights, GroupedWeights, TileElementWeights, TileWiseWeights)
}
_FORMAT = "format"


def packed_arrays(name: str, packed: Packed) -> dict[str, NDArray[Any]]:
    """Fields of packed weights as arrays ``NAME/FIELD``, and the name of their class as ``NAME/format``.

    Numbers become arrays without dimensions, parts ``NAME/PART/FIELD``; what is None is left out.
    """
    arrays: dict[str, NDArray[Any]] = {f"{name}/{_FORMAT}": np.array(type(packed).__name__)}
    for field in fields(packed):
        value = getattr(packed, field.name)
        if is_dataclass(value):
            arrays |= packed_arrays(f"{name}/{field.name}", value)  # type: ignore[arg-type]
        elif value is not None:
            arrays[f"{name}/{field.name}"] = np.asarray(value)
    return arrays


def read_packed(path: str | Path) -> dict[str, Packed]:
    """Packed weights of a file that holds what `packed_arrays` gave, by layer.

    Raises
    ------
    OperandError
        When the file cannot be read, or holds something else.
    """
    arrays = read_any_arrays(path)
    names = [name.removesuffix(f"/{_FORMAT}") for name in arrays if name.endswith(f"/{_FORMAT}")]
    outer = [name for name in names if not any(name.startswith(f"{other}/") for other in names if other != name)]
    if not outer:
        raise OperandError(f"{path}: holds no packed weights")
    return {name: _packed(path, name, arrays) for name in outer}


def _packed(path: str | Path, name: str, arrays: Mapping[str, NDArray[Any]]) -> Packed:
    kind = _FORMATS.get(str(arrays[f"{name}/{_FORMAT}"]))
    if kind is None:
        raise OperandError(f"{path}: {name} has an unknown format; allowed: {', '.join(_FORMATS)}")
    values: dict[str, Any] = {}
    for field in fields(kind):
        key = f"{name}/{field.name}"
        if f"{key}/{_FORMAT}" in arrays:
            values[field.name] = _packed(path, key, arrays)
        elif key in arrays:
            array = arrays[key]
            values[field.name] = int(array) if array.ndim == 0 else array
        elif "None" in str(field.type):
            values[field.name] = None
        else:
            raise OperandError(f"{path}: {key} is missing")
    packed: Packed = kind(**values)
    return packed
