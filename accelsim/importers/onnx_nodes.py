"""Nodes of an ONNX graph, one after another, as steps of a workload."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.importers.onnx_values import Array, Constant, Formula, Heads, Numbers, Rows, Scores, Unknown, Value
from accelsim.model.elementwise import ACTIVATIONS

if TYPE_CHECKING:
    from onnx import NodeProto

Attributes = dict[str, Any]
Handler = Callable[["Walk", list[Value], Attributes, str], Value | None]

FUNCTIONS: dict[str, Callable[..., Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
    "Sqrt": np.sqrt,
    "Tanh": np.tanh,
    "Relu": lambda x: np.maximum(x, 0),
    "Erf": np.vectorize(math.erf, otypes=[np.float64]),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Neg": np.negative,
}
"""Operators that are functions of every element."""


class Walk:
    """Steps and weights so far, and what each tensor of the graph is."""

    def __init__(self, readers: dict[str, set[str]]) -> None:
        self.steps: list[dict[str, Any]] = []
        self.weights: dict[str, Array] = {}
        self.values: dict[str, Value] = {}
        self.made_by: dict[str, dict[str, Any]] = {}
        self.readers = readers
        """By tensor, the first outputs of the nodes that read it."""
        self.settled: dict[frozenset[str], Value] = {}
        """By the nodes of a formula, what it became."""
        self.limits: dict[str, int] = {}
        """By input of whole numbers, the smallest table that it is looked up in."""

    def node(self, node: "NodeProto", attributes: Attributes) -> Value | None:
        """What a node makes; None when it is not supported in this form."""
        inputs = [self.values[name] for name in node.input if name]
        output = node.output[0]
        if node.op_type in HANDLERS:
            found = HANDLERS[node.op_type](self, [self.plain(each, node) for each in inputs], attributes, output)
            if found is not None or node.op_type not in FUNCTIONS:
                return found
        if node.op_type not in FUNCTIONS:
            return None
        made = self.formula(FUNCTIONS[node.op_type], inputs, output)
        if node.op_type == "Add" and isinstance(made, Formula):
            terms = tuple(each for each in inputs if isinstance(each, Rows | Formula))
            return replace(made, terms=terms if len(terms) == 2 else (), output=output)
        return made

    def plain(self, value: Value, node: "NodeProto") -> Value:
        """A formula that is read by something else than another formula's node, as the step that it is."""
        if not isinstance(value, Formula) or node.op_type in FUNCTIONS:
            return value
        return self.settle(value)

    def settle(self, formula: Formula) -> Value:
        """A formula as a step: part of the product that it follows when nothing else reads that."""
        if formula.nodes not in self.settled:
            self.settled[formula.nodes] = self._settled(formula)
        return self.settled[formula.nodes]

    def _settled(self, formula: Formula) -> Value:
        name, source = formula.recognised(), formula.source
        if name is None and formula.terms:
            return self.sum(formula.terms[0], formula.terms[1], formula.output) or Unknown()
        # Of two functions of one product, the first that is settled may have become part of it.
        if name is None or self.activation(source) != formula.after:
            return Unknown()
        maker = self.made_by.get(source.tensor)
        alone = self.readers.get(source.tensor, set()) <= formula.nodes
        if maker is not None and maker["op"] == "linear" and maker["activation"] is None and alone:
            maker["activation"] = name
            return source
        return self.step(name, [source.tensor], source.shape, f"{source.tensor}.{name}")

    def sum(self, first: Rows | Formula, second: Rows | Formula, output: str) -> Value | None:
        """Two tensors of one shape, added."""
        left, right = (self.settle(each) if isinstance(each, Formula) else each for each in (first, second))
        if not isinstance(left, Rows) or not isinstance(right, Rows):
            return None
        return self.step("add", [left.tensor, right.tensor], left.shape, output)

    def formula(self, function: Callable[..., Array], inputs: list[Value], output: str) -> Value | None:
        """A function of one tensor and single numbers."""
        sources = {
            each.source if isinstance(each, Formula) else each for each in inputs if not isinstance(each, Constant)
        }
        numbers = [each.array for each in inputs if isinstance(each, Constant)]
        if len(sources) != 1 or any(array.size != 1 for array in numbers):
            return None
        source = sources.pop()
        if not isinstance(source, Rows):
            return None
        parts: list[Callable[[Array], Array]] = [_part(each) for each in inputs]
        nodes = frozenset({output}).union(*(each.nodes for each in inputs if isinstance(each, Formula)))
        return Formula(source, lambda x: function(*(part(x) for part in parts)), nodes, self.activation(source))

    def activation(self, rows: Rows) -> str | None:
        """Activation of the product that makes a tensor."""
        found: str | None = self.made_by.get(rows.tensor, {}).get("activation")
        return found

    def step(self, op: str, inputs: list[str], shape: tuple[int, ...], output: str, **settings: Any) -> Rows:
        """Add a step of the workload; its name is that of the tensor that it makes."""
        step = {"op": op, "name": output, "inputs": inputs, **settings}
        self.steps.append(step)
        self.made_by[output] = step
        return Rows(output, shape)


def _part(value: Value) -> Callable[[Array], Array]:
    if isinstance(value, Constant):
        number = float(value.array.reshape(()))
        return lambda x: np.float64(number)  # type: ignore[return-value]
    return value.apply if isinstance(value, Formula) else lambda x: x


def _linear(walk: Walk, x: Rows, matrix: Array, bias: Array | None, output: str) -> Rows:
    walk.weights[f"{output}.weight"] = matrix
    if bias is not None:
        walk.weights[f"{output}.bias"] = bias.reshape(-1)
    shape = (*x.shape[:-1], matrix.shape[1])
    return walk.step(
        "linear", [x.tensor], shape, output, outputs=matrix.shape[1], bias=bias is not None, activation=None
    )


def _matmul(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    match inputs:
        case [Rows() as x, Constant(matrix)] if matrix.ndim == 2 and matrix.shape[0] == x.shape[-1]:
            return _linear(walk, x, matrix, None, output)
        case [Heads(order=(0, 2, 1, 3)) as query, Heads(order=(0, 2, 3, 1)) as key] if query.sizes == key.sizes:
            return Scores(query, key, query.scale * key.scale)
        case [Scores(softmax=True) as scores, Heads(order=(0, 2, 1, 3), scale=1.0) as value]:
            items, tokens, heads, columns = value.sizes
            if (
                not math.isclose(scores.scale, 1 / math.sqrt(columns), rel_tol=1e-4)
                or scores.query.sizes != value.sizes
            ):
                return None
            inputs_of = [scores.query.rows.tensor, scores.key.rows.tensor, value.rows.tensor]
            shape = (items, tokens, heads * columns)
            made = walk.step("attention", inputs_of, shape, output, batch=items, heads=heads)
            return Heads(made, value.sizes, (0, 2, 1, 3))
    return None


def _gemm(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    plain = attributes.get("alpha", 1.0) == 1 and attributes.get("beta", 1.0) == 1 and not attributes.get("transA", 0)
    if not plain or not isinstance(inputs[0], Rows) or not isinstance(inputs[1], Constant):
        return None
    matrix = inputs[1].array.T if attributes.get("transB", 0) else inputs[1].array
    if len(inputs) == 2:
        return _linear(walk, inputs[0], matrix, None, output)
    bias = inputs[2]
    if not isinstance(bias, Constant) or bias.array.size != matrix.shape[1]:
        return None
    return _linear(walk, inputs[0], matrix, bias.array, output)


def _add(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    if isinstance(inputs[0], Constant):
        inputs = inputs[::-1]
    match inputs:
        case [Rows() as x, Constant(array)] if array.ndim and array.shape[-1] == x.shape[-1] > 1:
            return _bias(walk, x, array, output) or _position(walk, x, array, output)
        case [Scores(softmax=False) as scores, Constant(array)] if not array.any():
            return scores
        case [Rows() | Formula() as first, Rows() | Formula() as second] if first.shape == second.shape:
            alike = {each.source if isinstance(each, Formula) else each for each in (first, second)}
            return walk.sum(first, second, output) if len(alike) == 2 else None
    return None


def _bias(walk: Walk, x: Rows, array: Array, output: str) -> Value | None:
    """A vector that is added to a product which nothing else reads belongs to it."""
    maker = walk.made_by.get(x.tensor)
    fits = array.size == x.shape[-1] and walk.readers.get(x.tensor) == {output}
    if maker is None or maker["op"] != "linear" or maker["bias"] or maker["activation"] or not fits:
        return None
    maker["bias"] = True
    walk.weights[f"{x.tensor}.bias"] = array.reshape(-1)
    walk.readers[x.tensor] = walk.readers.get(output, set())
    return x


def _position(walk: Walk, x: Rows, array: Array, output: str) -> Value | None:
    """A table that is added to the rows of every item alike."""
    if len(x.shape) < 2:
        return None
    try:
        whole = np.broadcast_to(array, x.shape).reshape(-1, *x.shape[-2:])
    except ValueError:
        return None
    if not (whole == whole[0]).all():
        return None
    walk.weights[f"{output}.position"] = np.ascontiguousarray(whole[0])
    return walk.step("position", [x.tensor], x.shape, output, sequence=x.shape[-2])


def _scaled(divides: bool) -> Handler:
    def handler(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
        if isinstance(inputs[0], Constant) and not divides:
            inputs = inputs[::-1]
        match inputs:
            case [Heads() as heads, Constant(array)] if array.size == 1:
                factor = float(array.reshape(())) ** (-1 if divides else 1)
                return Heads(heads.rows, heads.sizes, heads.order, heads.scale * factor)
            case [Scores(softmax=False) as scores, Constant(array)] if array.size == 1:
                factor = float(array.reshape(())) ** (-1 if divides else 1)
                return Scores(scores.query, scores.key, scores.scale * factor)
        return None

    return handler


def _norm(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    match inputs:
        case [Rows() as x, Constant(gain), *rest] if gain.size == x.shape[-1]:
            if attributes.get("axis", -1) not in (-1, len(x.shape) - 1):
                return None
            shift = rest[0].array if rest and isinstance(rest[0], Constant) else np.zeros(gain.size)
            walk.weights |= {f"{output}.gain": gain.reshape(-1), f"{output}.bias": shift.reshape(-1)}
            return walk.step("norm", [x.tensor], x.shape, output, epsilon=float(attributes.get("epsilon", 1e-5)))
    return None


def _softmax(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    axis = attributes.get("axis", -1)
    match inputs:
        case [Scores(softmax=False) as scores] if axis in (-1, 3):
            return Scores(scores.query, scores.key, scores.scale, softmax=True)
        case [Rows() as x] if axis in (-1, len(x.shape) - 1):
            return walk.step("softmax", [x.tensor], x.shape, output)
    return None


def _gather(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    axis = attributes.get("axis", 0)
    match inputs:
        case [Constant(table), Numbers() as numbers] if table.ndim == 2 and axis == 0:
            walk.weights[f"{output}.table"] = table
            walk.limits[numbers.tensor] = min(len(table), walk.limits.get(numbers.tensor, len(table)))
            shape, size = (*numbers.shape, table.shape[1]), {"size": table.shape[0], "columns": table.shape[1]}
            return walk.step("lookup", [numbers.tensor], shape, output, **size)
        case [Rows(shape=(items, tokens, columns)) as x, Constant(index)] if axis == 1 and index.ndim == 0:
            if int(index) != 0:
                return None
            return walk.step("first_token", [x.tensor], (items, columns), output, sequence=tokens)
    return None


def _mean(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    axes = attributes.get("axes") or (inputs[-1].array.tolist() if isinstance(inputs[-1], Constant) else None)
    match inputs[0]:
        case Rows(shape=(items, tokens, columns)) as x if axes in ([1], [-2]) and not attributes.get("keepdims", 1):
            return walk.step("mean_tokens", [x.tensor], (items, columns), output, sequence=tokens)
    return None


def _reshape(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    x, target = inputs[0], inputs[1]
    if not isinstance(target, Constant) or not isinstance(x, Rows | Heads):
        return None
    wanted = [x.shape[index] if size == 0 else int(size) for index, size in enumerate(target.array.tolist())]
    known = int(np.prod([size for size in wanted if size != -1], dtype=np.int64))
    total = int(np.prod(x.shape, dtype=np.int64))
    shape = tuple(total // max(1, known) if size == -1 else size for size in wanted)
    if shape == x.shape:
        return x
    if isinstance(x, Heads):
        heads, columns = x.sizes[2:]
        joined = shape[-1:] == (heads * columns,) and x.order == (0, 1, 2, 3) and x.scale == 1
        return Rows(x.rows.tensor, shape) if joined else None
    if shape[-1:] == x.shape[-1:]:
        return Rows(x.tensor, shape)
    if len(shape) == 4 and len(x.shape) == 3 and shape[:2] == x.shape[:2]:
        return Heads(x, (shape[0], shape[1], shape[2], shape[3]))
    return None


def _transpose(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    match inputs:
        case [Heads() as heads]:
            permutation = attributes.get("perm", [3, 2, 1, 0])
            return Heads(heads.rows, heads.sizes, tuple(heads.order[axis] for axis in permutation), heads.scale)
    return None


def _same(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    if isinstance(inputs[0], Rows):
        readers = walk.readers.get(inputs[0].tensor, set())
        walk.readers[inputs[0].tensor] = (readers - {output}) | walk.readers.get(output, set())
    return inputs[0]


def _is_nan(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    """Exporters ask this of probabilities, of which none is without a number where no query is without a key."""
    return Constant(np.asarray(False)) if isinstance(inputs[0], Scores) else None


def _where(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    condition, chosen, other = inputs
    if not isinstance(condition, Constant) or condition.array.any() != condition.array.all():
        return None
    return _same(walk, [chosen if condition.array.all() else other], attributes, output)


def _gelu(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    if not isinstance(inputs[0], Rows):
        return None
    name = "gelu_tanh" if attributes.get("approximate", "none") == "tanh" else "gelu"
    return Formula(inputs[0], ACTIVATIONS[name], frozenset({output}), walk.activation(inputs[0]))


HANDLERS: dict[str, Handler] = {
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Add": _add,
    "Mul": _scaled(divides=False),
    "Div": _scaled(divides=True),
    "LayerNormalization": _norm,
    "Softmax": _softmax,
    "Gather": _gather,
    "ReduceMean": _mean,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Identity": _same,
    "Dropout": _same,
    "Cast": _same,
    "Gelu": _gelu,
    "IsNaN": _is_nan,
    "Where": _where,
}
"""By operator; those of `FUNCTIONS` are tried after them."""

SUPPORTED = sorted({*HANDLERS, *FUNCTIONS})
