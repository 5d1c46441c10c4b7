"""Nodes of an ONNX graph, one after another, as steps of a workload."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.importers.onnx_attention import attention_node, context, hide, product_of_heads, softmax
from accelsim.importers.onnx_formulas import ELEMENTWISE, REDUCTIONS
from accelsim.importers.onnx_values import Array, Constant, Formula, Hidden, Probed, Scores, Value, View, whole
from accelsim.importers.onnx_walk import Walk
from accelsim.model.elementwise import gelu_tanh

if TYPE_CHECKING:
    from onnx import NodeProto

Attributes = dict[str, Any]
Handler = Callable[[Walk, list[Value], Attributes, str], Value | None]


def node_value(walk: Walk, node: "NodeProto", inputs: list[Value], attributes: Attributes) -> Value | None:
    """What a node makes of activations; None when it is not supported in this form."""
    output = node.output[0]
    if node.op_type in ELEMENTWISE or node.op_type in REDUCTIONS or node.op_type in ("Clip", "Expand"):
        made = _structured(walk, node.op_type, inputs, attributes, output)
        return _formula(node.op_type, inputs, attributes, output) if made is None else made
    if node.op_type not in HANDLERS:
        return None
    settled = [walk.settle(each) for each in inputs]
    if any(each is None for each in settled):
        return None
    return HANDLERS[node.op_type](walk, [each for each in settled if each is not None], attributes, output)


def _structured(walk: Walk, op: str, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    """An operator of every element, or a reduction, where it is more than a function of rows."""
    match op, inputs:
        case "Add", [Scores() as scores, Constant() | Probed() as mask]:
            return hide(walk, scores, mask)
        case "Add", [Constant() | Probed() as mask, Scores() as scores]:
            return hide(walk, scores, mask)
        case "Add", [first, second] if not _one_source(first, second):
            return walk.sum(first, second, output)
        case (("Mul" | "Div"), [Scores() | View() as x, Constant(array)]) if array.size == 1:
            return _times(x, float(array.reshape(())) ** (1 if op == "Mul" else -1))
        case "Mul", [Constant(array), Scores() | View() as x] if array.size == 1:
            return _times(x, float(array.reshape(())))
        case "Mul", [View() as x, Constant(array)] | [Constant(array), View() as x] if (
            array.shape[-1:] == (array.size,) == x.shape[-1:]
        ):
            return walk.scaled(x, array.reshape(-1), output)
        case "Mul", [View() | Formula() as x, Probed() as mask] | [Probed() as mask, View() | Formula() as x]:
            settled = walk.settle(x)
            return _masked(walk, settled, mask) if isinstance(settled, View) else None
        case "Div", [Hidden(summed=True) as total, Probed() as count]:
            return _masked_mean(walk, total, count, output)
        case (("ReduceMean" | "ReduceSum"), [View() | Formula() | Hidden() as x, *_]):
            return _over_tokens(walk, op, x, inputs[1:], attributes, output)
    return None


def _one_source(first: Value, second: Value) -> bool:
    """Whether a sum may be part of a function of one tensor."""
    views = [each.source if isinstance(each, Formula) else each for each in (first, second)]
    if any(isinstance(each, Constant) for each in views):
        constant = next(each for each in views if isinstance(each, Constant))
        return constant.array.size == 1 or any(isinstance(each, Formula) for each in (first, second))
    left, right = views
    if not isinstance(left, View) or not isinstance(right, View):
        return False
    return left.tensor == right.tensor and np.array_equal(left.places, right.places)


def _times(x: Scores | View, factor: float) -> Value | None:
    if isinstance(x, View):
        return View(x.tensor, x.places, x.scale * factor)
    return None if x.softmax else Scores(x.query, x.key, x.shape, x.scale * factor, padded=x.padded)


def _formula(op: str, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    """A function of the rows of one view, and numbers or rows of them that are known."""
    sources = [each.source if isinstance(each, Formula) else each for each in inputs if not isinstance(each, Constant)]
    if not sources or not all(isinstance(each, View) for each in sources):
        return None
    views = [each for each in sources if isinstance(each, View)]
    source = View(views[0].tensor, views[0].places)
    if any(each.tensor != source.tensor or not np.array_equal(each.places, source.places) for each in views[1:]):
        return None
    formulas = [each for each in inputs if isinstance(each, Formula)]
    elementwise, reduced = all(each.elementwise for each in formulas), bool(formulas)
    reduced = reduced and all(isinstance(each, Constant) or getattr(each, "reduced", False) for each in inputs)
    if op in REDUCTIONS:
        if not _last_axis(inputs, attributes, len(source.shape)) or not attributes.get("keepdims", 1):
            return None
        part, reduce = _part(inputs[0]), REDUCTIONS[op]
        return Formula(source, lambda x: reduce(part(x)), output, False, reduced=True)
    if op == "Expand":
        kept = isinstance(inputs[0], Formula) and reduced
        return inputs[0] if kept else None
    constants = [each.array for each in inputs if isinstance(each, Constant)]
    for array in constants:
        if array.size != 1 and (array.size != source.shape[-1] or array.shape[-1] != array.size or reduced):
            return None
        elementwise = elementwise and array.size == 1
    parts = [_part(each) for each in inputs]
    smooth = op == "Gelu" and attributes.get("approximate", "none") == "tanh"
    function: Callable[..., Array] = _clipped if op == "Clip" else gelu_tanh if smooth else ELEMENTWISE[op]
    terms = tuple(each for each in inputs if isinstance(each, View | Formula | Constant)) if op == "Add" else ()
    return Formula(source, lambda x: function(*(part(x) for part in parts)), output, elementwise, reduced, terms)


def _clipped(x: Array, low: Array | None = None, high: Array | None = None) -> Array:
    return np.clip(x, low, high)


def _part(value: Value) -> Callable[[Array], Array]:
    match value:
        case Constant(array):
            known = array.astype(np.float64).reshape(-1) if array.size != 1 else np.float64(array.reshape(()))
            return lambda x: known  # type: ignore[return-value]
        case View(scale=scale):
            return lambda x: x * scale
        case Formula(apply=apply):
            return apply
    raise TypeError(type(value).__name__)


def _axes(inputs: list[Value], attributes: Attributes) -> list[int] | None:
    if len(inputs) > 1 and isinstance(inputs[1], Constant):
        return [int(axis) for axis in inputs[1].array.reshape(-1)]
    return attributes.get("axes")


def _last_axis(inputs: list[Value], attributes: Attributes, extents: int) -> bool:
    return _axes(inputs, attributes) in ([-1], [extents - 1])


def _over_tokens(
    walk: Walk, op: str, x: View | Formula | Hidden, rest: list[Value], attributes: Attributes, output: str
) -> Value | None:
    """The mean over the rows of every item, or the sum over those that a mask shows."""
    axes, extents = _axes([x, *rest], attributes), len(x.shape)
    if axes is None or len(axes) != 1 or extents < 3 or axes[0] % extents == extents - 1:
        return None
    if isinstance(x, Hidden):
        fits = op == "ReduceSum" and axes[0] % extents == extents - 2 and not attributes.get("keepdims", 1)
        return Hidden(x.source, summed=True) if fits and not x.summed else None
    settled = walk.settle(x)
    if op != "ReduceMean" or not isinstance(settled, View):
        return None
    tokens = settled.shape[axes[0]]
    places = np.moveaxis(settled.places, axes[0], -2)
    found = walk.rows(View(settled.tensor, places))
    if found is None:
        return None
    tensor, order = found
    items = order.reshape(-1, tokens)
    if (np.sort(items, axis=1) // tokens != items[:, :1] // tokens).any():
        return None
    shape = (*places.shape[:-2], places.shape[-1])
    name = walk.free(output)
    walk.step("mean_tokens", [tensor], (len(items), walk.shapes[tensor][1]), name, sequence=tokens)
    made = walk.made(name, items[:, 0] // tokens, shape)
    return View(name, np.expand_dims(made.places, axes[0] % extents)) if attributes.get("keepdims", 1) else made


def _masked(walk: Walk, x: View, mask: Probed) -> Value | None:
    """Activations [items, tokens, columns] times a mask of 0 and 1 over items and tokens."""
    if x.scale != 1 or len(x.shape) != 3:
        return None
    for name, known in walk.masks.items():
        pairs = zip(mask.arrays, known.arrays, strict=True)
        alike = (_broadcasts(array, x.shape, wanted[:, :, None]) for array, wanted in pairs)
        if known.arrays[0].shape == x.shape[:2] and all(alike):
            walk.used_mask = name
            return Hidden(x)
    return None


def _broadcasts(array: Array, shape: tuple[int, ...], wanted: Array) -> bool:
    try:
        return bool((np.broadcast_to(array, shape) == wanted).all())
    except ValueError:
        return False


def _masked_mean(walk: Walk, total: Hidden, count: Probed, output: str) -> Value | None:
    """A sum over what a mask shows, by how much that is."""
    known, found = walk.masks[str(walk.used_mask)], walk.rows(total.source)
    pairs = zip(count.arrays, known.arrays, strict=True)
    if not all(_broadcasts(array, total.shape, wanted.sum(axis=1, keepdims=True)) for array, wanted in pairs):
        return None
    if found is None or not np.array_equal(found[1], np.arange(len(found[1]))):
        return None
    name, (items, columns) = walk.free(output), total.shape
    walk.step("mean_tokens", [found[0]], (items, columns), name, sequence=total.source.shape[1], padded=True)
    return whole(name, items, columns)


def _matmul(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    match inputs:
        case [View() as x, Constant(matrix)] if matrix.ndim == 2 and matrix.shape[0] == x.shape[-1]:
            return _linear(walk, x, matrix, output)
        case [View() as query, View() as key]:
            return product_of_heads(query, key)
        case [Scores(softmax=True) as scores, View() as value]:
            return context(walk, scores, value, output)
    return None


def _linear(walk: Walk, x: View, matrix: Array, output: str) -> View | None:
    found = walk.rows(x)
    if found is None:
        return None
    tensor, order = found
    columns = int(matrix.shape[1])
    walk.weights[f"{output}.weight"] = matrix
    walk.step(
        "linear", [tensor], (walk.shapes[tensor][0], columns), output, outputs=columns, bias=False, activation=None
    )
    return walk.made(output, order, (*x.shape[:-1], columns))


def _gemm(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    plain = attributes.get("alpha", 1.0) == 1 and attributes.get("beta", 1.0) == 1 and not attributes.get("transA", 0)
    if not plain or not isinstance(inputs[0], View) or not isinstance(inputs[1], Constant):
        return None
    matrix = inputs[1].array.T if attributes.get("transB", 0) else inputs[1].array
    if len(inputs) == 2:
        return _linear(walk, inputs[0], matrix, output)
    made, bias = _linear(walk, inputs[0], matrix, f"{output}.product"), inputs[2]
    return walk.shifted(made, bias.array, output) if made is not None and isinstance(bias, Constant) else None


def _conv(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    """A convolution whose windows do not overlap: a product of patches with its kernels."""
    if len(inputs) < 2 or not isinstance(inputs[0], View) or not isinstance(inputs[1], Constant):
        return None
    x, kernels = inputs[0], inputs[1].array
    if len(x.shape) != 4 or kernels.ndim != 4 or kernels.shape[2] != kernels.shape[3] or attributes.get("group", 1) > 1:
        return None
    items, channels, height, width = x.shape
    side = int(kernels.shape[2])
    cut = list(attributes.get("strides", [1, 1])) == [side, side] and not any(attributes.get("pads", [0]))
    whole_dilation = all(each == 1 for each in attributes.get("dilations", [1]))
    padded = attributes.get("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER")
    if not cut or not whole_dilation or padded or height % side or width % side or kernels.shape[1] != channels:
        return None
    down, across, depth = height // side, width // side, channels * side * side
    if walk.inputs.get(x.tensor) is x and walk.patched(x.tensor, (channels, height, width, side)):
        patches = whole(x.tensor, items, down * across, depth)
    else:
        places = x.places.reshape(items, channels, down, side, across, side).transpose(0, 2, 4, 1, 3, 5)
        patches = View(x.tensor, places.reshape(items, down * across, depth), x.scale)
    made = _linear(walk, patches, kernels.reshape(len(kernels), -1).T, f"{output}.product")
    if made is not None and len(inputs) > 2:
        made = walk.shifted(made, inputs[2].array, output) if isinstance(inputs[2], Constant) else None
    if made is None:
        return None
    return View(made.tensor, made.places.reshape(items, down, across, len(kernels)).transpose(0, 3, 1, 2))


def _norm(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    match inputs:
        case [View() as x, Constant(gain), *rest] if attributes.get("axis", -1) in (-1, len(x.shape) - 1):
            shift = rest[0].array if rest and isinstance(rest[0], Constant) else np.zeros(gain.size)
            return walk.norm(x, gain, shift, float(f"{attributes.get('epsilon', 1e-5):.6g}"), output)
    return None


def _gather(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    match inputs:
        case [Constant(table), Probed(source=str(source)) as numbers] if table.ndim == 2:
            if attributes.get("axis", 0) != 0:
                return None
            size, columns = table.shape
            walk.weights[f"{output}.table"] = table
            walk.limits[source] = min(size, walk.limits.get(source, size))
            rows, shape = numbers.arrays[0].size, (*numbers.arrays[0].shape, columns)
            walk.step("lookup", [source], (rows, columns), output, size=size, columns=columns)
            return walk.made(output, _turned(walk, source, rows), shape)
        case [View() as x, Constant(index)]:
            return View(x.tensor, np.take(x.places, index.astype(np.int64), axis=attributes.get("axis", 0)), x.scale)
    return None


def _turned(walk: Walk, source: str, rows: int) -> Array:
    """Order of the rows of what is looked up by an input's numbers, whose items may come second in the graph."""
    order = np.arange(rows, dtype=np.int64)
    known = walk.inputs[source]
    assert isinstance(known, Probed)
    if not walk.swapped or known.arrays[0].ndim != 2:
        return order
    first, second = known.arrays[0].shape
    return np.ascontiguousarray(order.reshape(second, first).T).reshape(-1)


def _concat(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    """One learned row before the rows of every item."""
    match inputs:
        case [Constant(token), View() as x] if len(x.shape) == 3 and attributes.get("axis") in (1, -2):
            items, tokens, columns = x.shape
            alike = token.shape == (items, 1, columns) and (token == token[0]).all()
            found = walk.rows(x)
            if not alike or found is None or not np.array_equal(found[1], np.arange(items * tokens)):
                return None
            walk.weights[f"{output}.class_token"] = token[0, 0]
            walk.weights[f"{output}.position"] = np.zeros((tokens + 1, columns), np.float32)
            rows = items * (tokens + 1)
            walk.step("position", [found[0]], (rows, columns), output, sequence=tokens + 1, class_token=True)
            return whole(output, items, tokens + 1, columns)
    return None


def _first(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    return inputs[0]


def _where(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    match inputs:
        case [Constant(condition), chosen, other] if condition.any() == condition.all():
            return chosen if condition.all() else other
        case [Constant() | Probed() as condition, Scores() as scores, Constant(other)]:
            return _shown(walk, scores, condition, other, shown=True)
        case [Constant() | Probed() as condition, Constant(other), Scores() as scores]:
            return _shown(walk, scores, condition, other, shown=False)
    return None


def _shown(walk: Walk, scores: Scores, condition: Constant | Probed, other: Array, shown: bool) -> Value | None:
    """Scores where a condition has (or has not) that value, and else a number."""
    arrays = condition.arrays if isinstance(condition, Probed) else (condition.array,)
    added = tuple(np.where(array.astype(np.bool_) == shown, 0.0, other.astype(np.float64)) for array in arrays)
    return hide(walk, scores, Probed(added) if isinstance(condition, Probed) else Constant(added[0]))


def _is_nan(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    """Exporters ask this of probabilities, of which none is without a number where no query is without a key."""
    return Constant(np.asarray(False)) if isinstance(inputs[0], Scores) else None


def _softmax(walk: Walk, inputs: list[Value], attributes: Attributes, output: str) -> Value | None:
    x = inputs[0]
    if not isinstance(x, View | Scores) or attributes.get("axis", -1) not in (-1, len(x.shape) - 1):
        return None
    if isinstance(x, Scores):
        return softmax(x)
    found = walk.rows(x)
    if found is None:
        return None
    walk.step("softmax", [found[0]], walk.shapes[found[0]], output)
    return walk.made(output, found[1], x.shape)


HANDLERS: dict[str, Handler] = {
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Conv": _conv,
    "LayerNormalization": _norm,
    "Softmax": _softmax,
    "Attention": attention_node,
    "Gather": _gather,
    "Concat": _concat,
    "Identity": _first,
    "Dropout": _first,
    "Cast": _first,
    "CastLike": _first,
    "IsNaN": _is_nan,
    "Where": _where,
}
"""By operator."""

MOVES = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Split", "Expand")
"""Operators that only move elements: they are computed on the places where elements lie."""

SUPPORTED = sorted({*HANDLERS, *ELEMENTWISE, *REDUCTIONS, *MOVES, "Clip", "Shape", "If"})
