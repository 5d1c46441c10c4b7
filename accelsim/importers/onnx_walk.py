"""Steps of a workload that grow while the nodes of an ONNX graph are walked, and how views become tensors of it."""

from typing import Any

import numpy as np

from accelsim.importers.onnx_formulas import recognise
from accelsim.importers.onnx_values import Array, Constant, Formula, Places, Probed, Shape, Value, View, whole

Step = dict[str, Any]
Patches = tuple[int, int, int, int]
"""Channels, height, width and side of a patch."""


class Walk:
    """Steps and weights so far, and what each tensor of the graph is."""

    def __init__(self, swapped: bool = False) -> None:
        self.swapped = swapped
        """Whether items are the second extent of inputs, and not the first."""
        self.steps: list[Step] = []
        self.weights: dict[str, Array] = {}
        self.values: dict[str, Value] = {}
        self.shapes: dict[str, tuple[int, int]] = {}
        """[rows, columns] by tensor of the workload."""
        self.inputs: dict[str, Value] = {}
        """Inputs of the graph that hold activations or token numbers."""
        self.masks: dict[str, Probed] = {}
        """Inputs of the graph that may hide padding, [items, tokens]."""
        self.used_mask: str | None = None
        self.assumed = False
        """Whether something that is computed from token numbers was taken as known, since it was alike for examples."""
        self.limits: dict[str, int] = {}
        """By input of token numbers, the smallest table that it is looked up in."""
        self.images: dict[str, Patches] = {}
        """By input of pixels, how it is cut."""
        self._loose: set[str] = set()
        self._settled: dict[str, View | None] = {}

    def activations(self, name: str, view: View) -> None:
        """An input of activations, whose columns are those of the first step that reads it."""
        self.values[name] = self.inputs[name] = view
        self.shapes[view.tensor] = (view.places.size // view.shape[-1], view.shape[-1])
        self._loose.add(view.tensor)

    def numbers(self, name: str, probed: Probed) -> None:
        """An input of token numbers, or a mask."""
        self.values[name] = self.inputs[name] = probed
        self.shapes[name] = (probed.arrays[0].size, 1)

    def step(self, op: str, inputs: list[str], shape: tuple[int, int], output: str, /, **settings: Any) -> str:
        """Add a step of the workload; its name is that of the tensor [rows, columns] that it makes."""
        self.steps.append({"op": op, "name": output, "inputs": inputs, **settings})
        self.shapes[output] = shape
        return output

    def patched(self, tensor: str, patches: Patches) -> bool:
        """Cut an input of pixels that nothing has read yet into patches; whether it can be."""
        channels, height, width, side = patches
        if self.images.get(tensor) == patches:
            return True
        if tensor not in self._loose:
            return False
        self._loose.discard(tensor)
        depth = channels * side * side
        self.shapes[tensor] = (self.shapes[tensor][0] * self.shapes[tensor][1] // depth, depth)
        self.images[tensor] = (channels, height, width, side)
        return True

    def rows(self, view: View) -> tuple[str, Places] | None:
        """The tensor whose whole rows are the rows of a view, and which row of it each one is.

        A view of some columns, or of the first row of every item, becomes a tensor of its own. None when the rows of
        the view lie across those of its tensor, or were multiplied.
        """
        if view.places.ndim == 0 or view.places.size == 0:
            return None
        if view.scale != 1:
            scaled = self.scaled(View(view.tensor, view.places), np.asarray(view.scale), f"{view.tensor}.scaled")
            return None if scaled is None else self.rows(scaled)
        width = view.shape[-1]
        places = view.places.reshape(-1, width)
        if view.tensor in self._loose:
            self._loose.discard(view.tensor)
            if np.array_equal(np.sort(places[:, 0]), np.arange(0, places.size, width)):
                self.shapes[view.tensor] = places.shape
        rows, columns = self.shapes[view.tensor]
        starts = places[:, 0]
        if (places != starts[:, None] + np.arange(width)).any():
            return None
        first, order = int(starts[0] % columns), starts // columns
        if first + width > columns or (starts % columns != first).any():
            return None
        tensor = view.tensor if width == columns else self._columns(view.tensor, first, first + width)
        return self._chosen(tensor, order, rows, width)

    def _columns(self, tensor: str, first: int, last: int) -> str:
        name = f"{tensor}.columns_{first}_{last}"
        if name not in self.shapes:
            self.step("columns", [tensor], (self.shapes[tensor][0], last - first), name, first=first, last=last)
        return name

    def _chosen(self, tensor: str, order: Places, rows: int, width: int) -> tuple[str, Places] | None:
        if len(order) == rows:
            return (tensor, order) if np.array_equal(np.sort(order), np.arange(rows)) else None
        sequence = rows // len(order)
        if rows % len(order) or not np.array_equal(np.sort(order), np.arange(0, rows, sequence)):
            return None
        name = f"{tensor}.first"
        if name not in self.shapes:
            self.step("first_token", [tensor], (len(order), width), name, sequence=sequence)
        return name, order // sequence

    def made(self, tensor: str, order: Places, shape: Shape) -> View:
        """A tensor whose rows stand in some order in the graph."""
        width = self.shapes[tensor][1]
        return View(tensor, (order[:, None] * width + np.arange(width)).reshape(shape))

    def settle(self, value: Value) -> Value | None:
        """A function as activations, or None when it is not known; anything else as it is."""
        if isinstance(value, Formula):
            if value.output not in self._settled:
                self._settled[value.output] = self._formula(value)
            return self._settled[value.output]
        return value

    def scaled(self, view: View, factor: Array, output: str) -> View | None:
        """A view times a number, or one for each column: part of the step that makes its tensor, in the end."""
        found = self.rows(view)
        if found is None:
            return None
        tensor, order = found
        name = self.free(output)
        self.weights[f"{name}.factor"] = factor
        self.step("scale", [tensor], self.shapes[tensor], name)
        return self.made(name, order, view.shape)

    def _formula(self, formula: Formula) -> View | None:
        known = recognise(formula)
        if known is None:
            return self.sum(formula.terms[0], formula.terms[1], formula.output) if formula.terms else None
        found = self.rows(formula.source)
        if found is None:
            return None
        tensor, order = found
        name = self.free(formula.output)
        if known.op == "norm":
            assert known.gain is not None
            assert known.bias is not None
            return self.norm(formula.source, known.gain, known.bias, known.epsilon, name)
        self.step(known.op, [tensor], self.shapes[tensor], name)
        return self.made(name, order, formula.shape)

    def free(self, output: str) -> str:
        """A name that no tensor has yet."""
        return output if output not in self.shapes else f"{output}.{len(self.steps)}"

    def norm(self, x: View, gain: Array, bias: Array, epsilon: float, output: str) -> View | None:
        """LayerNorm of every row."""
        found = self.rows(x)
        if found is None or gain.size != x.shape[-1]:
            return None
        tensor, order = found
        self.weights |= {f"{output}.gain": gain.reshape(-1), f"{output}.bias": bias.reshape(-1)}
        self.step("norm", [tensor], self.shapes[tensor], output, epsilon=epsilon)
        return self.made(output, order, x.shape)

    def sum(self, first: Value, second: Value, output: str) -> View | None:
        """Two tensors added, or a tensor and what is known."""
        left, right = self.settle(first), self.settle(second)
        if isinstance(left, Constant):
            left, right = right, left
        if isinstance(left, View) and isinstance(right, Constant):
            return self.shifted(left, right.array, output)
        if not isinstance(left, View) or not isinstance(right, View) or left.shape != right.shape:
            return None
        found, other = self.rows(left), self.rows(right)
        if found is None or other is None or not np.array_equal(found[1], other[1]):
            return None
        name = self.free(output)
        self.step("add", [found[0], other[0]], self.shapes[found[0]], name)
        return self.made(name, found[1], left.shape)

    def shifted(self, x: View, array: Array, output: str) -> View | None:
        """A table that is added to the rows of every item alike, of one row where it is a bias."""
        found = self.rows(x)
        try:
            wide = np.broadcast_to(array, x.shape)
        except ValueError:
            return None
        if found is None:
            return None
        tensor, order = found
        rows, columns = self.shapes[tensor]
        table = np.empty((rows, columns), np.float32)
        table[order] = wide.reshape(-1, columns)
        sequence = next(
            length for length in _divisors(rows) if (table.reshape(-1, length, columns) == table[:length]).all()
        )
        name = self.free(output)
        self.weights[f"{name}.position"] = np.ascontiguousarray(table[:sequence])
        self.step("position", [tensor], (rows, columns), name, sequence=sequence)
        return self.made(name, order, x.shape)


def _divisors(number: int) -> list[int]:
    return [each for each in range(1, number + 1) if number % each == 0]


def input_view(name: str, shape: Shape, swapped: bool) -> View:
    """An input of activations; swapped, its second extent counts items and its first the rows of each."""
    if not swapped or len(shape) < 3:
        return whole(name, *shape)
    turned = (shape[1], shape[0], *shape[2:])
    return View(name, np.swapaxes(whole(name, *turned).places, 0, 1))
