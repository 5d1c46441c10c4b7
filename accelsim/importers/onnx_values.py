"""What a tensor of an ONNX graph is while the graph is walked: known, computed from token numbers and masks,
activations seen through any number of reshapes and transposes, scores of attention, or a function that waits to be
recognised."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Places = NDArray[np.int64]
Shape = tuple[int, ...]
RowFunction = Callable[[Array], Array]
"""[rows, columns] to [rows, columns], or to [rows, 1] where it reduces rows."""


@dataclass(frozen=True)
class Constant:
    """A tensor whose values are known."""

    array: Array


@dataclass(frozen=True)
class Probed:
    """What follows from token numbers and masks alone, told by what it is for a few examples of them."""

    arrays: tuple[Array, ...]
    """One for each example."""
    source: str | None = None
    """Input of the graph that this is, element by element; None when it was computed from one."""


@dataclass(frozen=True)
class View:
    """Activations: a tensor of the workload, [rows, columns], as the graph sees it."""

    tensor: str
    places: Places
    """In the graph's shape, where in the tensor (rows one after another) each element lies."""
    scale: float = 1.0
    """What the elements were multiplied by since."""

    @property
    def shape(self) -> Shape:
        """In the graph."""
        return self.places.shape


@dataclass(frozen=True)
class Scores:
    """Q K^T of every head, and after a softmax its probabilities."""

    query: View
    key: View
    """Transposed: columns of a head before its tokens."""
    shape: Shape
    """[..., tokens, tokens]"""
    scale: float
    softmax: bool = False
    padded: bool = False
    """Whether keys that a mask names are hidden."""


@dataclass(frozen=True)
class Formula:
    """A function of the rows of one view, in however many nodes."""

    source: View
    apply: RowFunction
    output: str
    """Tensor of the graph that its last node makes."""
    elementwise: bool
    """Whether every element of it depends on one of the source alone, alike for all columns."""
    reduced: bool = False
    """Whether it makes one number of each row."""
    terms: "tuple[View | Formula | Constant, ...]" = ()
    """What it is the sum of, should the whole be no known function; none when it is no sum."""

    @property
    def shape(self) -> Shape:
        """In the graph."""
        return (*self.source.shape[:-1], 1) if self.reduced else self.source.shape


@dataclass(frozen=True)
class Hidden:
    """Activations times a mask: those of padding are 0; after a sum over tokens, one row for each item."""

    source: View
    summed: bool = False

    @property
    def shape(self) -> Shape:
        """In the graph."""
        shape = self.source.shape
        return (*shape[:-2], shape[-1]) if self.summed else shape


@dataclass(frozen=True)
class Unknown:
    """What a node made that is not supported, or what was made from that."""


Value = Constant | Probed | View | Scores | Formula | Hidden | Unknown


def whole(tensor: str, *shape: int) -> View:
    """A tensor as it lies."""
    return View(tensor, np.arange(int(np.prod(shape, dtype=np.int64)), dtype=np.int64).reshape(shape))
