"""What a tensor of an ONNX graph is while the graph is walked: a constant, rows of activations, heads, scores, or a
function of one tensor that waits to be recognised."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.model.elementwise import ACTIVATIONS

Array = NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Constant:
    """A tensor whose values are known."""

    array: Array


@dataclass(frozen=True)
class Rows:
    """Activations: `shape` in the graph, [product of all but the last extent, last extent] in the workload."""

    tensor: str
    shape: Shape

    @property
    def rows(self) -> int:
        """Rows in the workload."""
        return int(np.prod(self.shape[:-1], dtype=np.int64))


@dataclass(frozen=True)
class Numbers:
    """An input of whole numbers, such as those of words."""

    tensor: str
    shape: Shape


@dataclass(frozen=True)
class Heads:
    """Activations cut into heads, whose four axes (item, token, head, column) stand in some order."""

    rows: Rows
    sizes: tuple[int, int, int, int]
    """Items, tokens, heads, columns of a head."""
    order: tuple[int, ...] = (0, 1, 2, 3)
    scale: float = 1.0
    """What the values were multiplied by since."""

    @property
    def shape(self) -> Shape:
        """In the graph."""
        return tuple(self.sizes[axis] for axis in self.order)


@dataclass(frozen=True)
class Scores:
    """Q K^T of every head, and after a softmax its probabilities."""

    query: Heads
    key: Heads
    scale: float
    softmax: bool = False

    @property
    def shape(self) -> Shape:
        """In the graph."""
        items, tokens, heads, _ = self.query.sizes
        return (items, heads, tokens, tokens)


@dataclass(frozen=True)
class Formula:
    """A function of every element of one tensor."""

    source: Rows
    apply: Callable[[Array], Array]
    nodes: frozenset[str]
    """First outputs of the nodes that it is made of."""
    after: str | None
    """Activation that the step which makes the source had by then."""
    terms: tuple["Rows | Formula", ...] = ()
    """What it is the sum of, should the whole be no known function; none when it is no sum."""
    output: str = ""
    """Of its last node."""

    @property
    def shape(self) -> Shape:
        """In the graph."""
        return self.source.shape

    def recognised(self) -> str | None:
        """Name of the activation that this is; None for any other function."""
        points = np.linspace(-6, 6, 241)
        with np.errstate(all="ignore"):
            found = np.asarray(self.apply(points), np.float64)
        for name, function in ACTIVATIONS.items():
            # Formats and constants of exporters differ in the last digits; the two forms of gelu by 4.7e-4.
            if np.allclose(found, function(points), rtol=0, atol=1e-5):
                return name
        return None


@dataclass(frozen=True)
class Unknown:
    """What a node made that is not supported, or what was made from that."""


Value = Constant | Rows | Numbers | Heads | Scores | Formula | Unknown
