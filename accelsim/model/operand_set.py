"""What a network runs on, and the way of any array onto the grid of a format."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import OperandError
from accelsim.kernels.formats import round_to_format
from accelsim.model.graph import Network

Array = NDArray[Any]
Arrays = dict[str, Array]

INT8_MAX = 127
"""Largest magnitude of an int8 operand: -128 has no counterpart and is not used."""


@dataclass(frozen=True)
class OperandSet:
    """What a network runs on: float32 arrays on the grid of its format, or int8 arrays."""

    inputs: Arrays
    parameters: Arrays
    description: str
    """Where they come from, in words."""
    labels: NDArray[np.int64] | None = None
    """[items] right class of each item, where the workload has labels."""
    scores: NDArray[np.float64] | None = None
    """What outputs are to be ranked like: [items], or [pairs] for the similarity of two items each."""
    pairs: NDArray[np.int64] | None = None
    """[pairs, 2] the items that each score compares; None for scores of items, or of items 0 and 1, 2 and 3, ..."""
    dense: list[tuple[Network, dict[str, NDArray[np.float64]]]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )
    """Results of dense passes in float64 that were computed on these operands, for schemes that share them."""


def to_format(name: str, values: Array, dtype: str) -> Array:
    """Values on the grid of a format.

    Raises
    ------
    OperandError
        Naming the array and the first index whose value is not finite, or exceeds the format's range.
    """
    check_finite(name, values)
    rounded = round_to_format(values, dtype)
    if dtype != "int8":
        check_finite(name, rounded, f" in {dtype}: {_range_text(dtype)}", values)
    return rounded


def _range_text(dtype: str) -> str:
    return "its largest value is 65504" if dtype == "fp16" else "its range is that of float32, about 3.4e38"


def check_finite(name: str, values: Array, where: str = "", original: Array | None = None) -> None:
    """Refuse values that are none, or that became none in a format (`where`) that cannot hold the original ones.

    Raises
    ------
    OperandError
        Naming the first index.
    """
    finite = np.isfinite(values)
    if finite.all():
        return
    index = tuple(int(i) for i in np.unravel_index(int(np.argmin(finite)), values.shape))
    if original is not None:
        raise OperandError(f"{name}{list(index)} = {original[index]!s} does not fit{where}")
    raise OperandError(f"{name}{list(index)} is {values[index]!s}; operands must be finite")
