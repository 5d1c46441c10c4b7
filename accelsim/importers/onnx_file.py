"""An ONNX file as a workload that lists its operations."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.errors import ConfigError, OperandError, UserError
from accelsim.importers.imported import Imported
from accelsim.importers.onnx_attention import moved
from accelsim.importers.onnx_check import check_against_graph
from accelsim.importers.onnx_data import read_data_files, with_arrays
from accelsim.importers.onnx_evaluate import evaluate
from accelsim.importers.onnx_nodes import MOVES, SUPPORTED, node_value
from accelsim.importers.onnx_steps import listed_workload
from accelsim.importers.onnx_values import Array, Constant, Formula, Probed, Scores, Unknown, Value, View
from accelsim.importers.onnx_walk import Walk, input_view

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

DEFAULT_SEQUENCE = 128
"""What an extent without a number becomes, unless it counts items."""
ITEMS = 2
"""Items of a graph that leaves their number open; two tell items from extents of 1."""
EXAMPLES = 3
"""Of token numbers and masks, by which is told what follows from them."""
_SHOWN = 8
"""Nodes that are listed by name."""
_KEPT = ("Cast", "CastLike", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze")
"""Operators after which token numbers are still those of the input, in order."""

Failures = list[tuple[str, str]]
"""Operator and name of each node that is not supported."""


def import_onnx(path: Path, name: str, changes: dict[str, Any], data: Mapping[str, Path]) -> Imported:
    """Workload and weights of an ONNX file.

    Nodes whose inputs are all known are computed. Nodes that move activations are computed on the places where their
    elements lie; all others become linear layers, attention (recognised from its two products with a softmax between),
    LayerNorm, additions, lookups, pooling, and functions, which are recognised by their values. Masks are recognised by
    what they hide. At the end the workload's dense outputs are compared with those of the graph itself.

    Parameters
    ----------
    path : Path
    name : str
        Of the workload.
    changes : dict
        Fields that are asked for: sequence (for extents without a number), dtype and metric.
    data : mapping of str to Path
        By split, .npz or .safetensors files of arrays by the names of the graph's inputs and in their shapes, with any
        number of items, and where there are any ``labels`` or ``scores``; names may begin with the split.

    Raises
    ------
    UserError
        When the package onnx is not installed.
    OperandError
        When the file cannot be read, has operators that are not supported (all are listed with the names of their
        nodes), or gives other outputs than the workload would.
    """
    unfit = sorted(set(changes) - {"sequence", "dtype", "metric"})
    if unfit:
        raise ConfigError(f"{path}: {', '.join(unfit)} cannot be asked of an ONNX file, which says it itself")
    model = _load(path)
    trained = ("dropout of training was left out",) if _without_training(model) else ()
    arrays = read_data_files(data, [info.name for info in model.graph.input])
    asked = changes.get("sequence")
    sequences = [asked or _tokens(model.graph, arrays, axis) or DEFAULT_SEQUENCE for axis in (1, 0)]
    walk, failures = _walked(model, Extents(sequences[0]), swapped=False)
    if failures and _may_swap(walk):
        other, unsupported = _walked(model, Extents(sequences[1], swapped=True), swapped=True)
        walk, failures = (other, unsupported) if not unsupported else (walk, failures)
    if failures:
        raise OperandError(f"{path}: {_listed(failures)}")
    output = walk.settle(walk.values[model.graph.output[0].name])
    if not isinstance(output, View):
        raise OperandError(f"{path}: output {model.graph.output[0].name} is no result of supported operators")
    listed = listed_workload(walk, output, [path, *_beside(path)], name, changes)
    note, found = check_against_graph(model, walk, listed, path), listed.imported
    left_out = [f"output {other.name} was left out; the first, {model.graph.output[0].name}, is the result"
                for other in model.graph.output[1:]]  # fmt: skip
    found = replace(found, notes=(*found.notes, *trained, *left_out, note))
    return with_arrays(found, listed.inputs, walk.swapped, data, arrays) if data else found


def _load(path: Path) -> "ModelProto":
    try:
        import onnx
        from onnx import inliner
    except ImportError:
        raise UserError("ONNX files need the package onnx: pip install 'accelsim[import]'") from None
    try:
        model = onnx.load(path)
        onnx.checker.check_model(path)
        if model.functions:
            model = inliner.inline_local_functions(model)
    except Exception as error:  # decoding errors of protobuf and the checker's own have no common class
        text = " ".join(str(error).split())[:200]
        raise OperandError(f"{path}: cannot be read as an ONNX model ({text})") from None
    return model


def _beside(path: Path) -> list[Path]:
    """Files beside a model that hold its larger tensors."""
    import onnx
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    tensors = onnx.load(path, load_external_data=False).graph.initializer
    names = {ExternalDataInfo(tensor).location for tensor in tensors if uses_external_data(tensor)}
    return [path.parent / name for name in sorted(names)]


def _without_training(model: "ModelProto") -> bool:
    """Take dropout of training out of a graph; whether it had any."""
    nodes = [node for node in model.graph.node if node.op_type == "Dropout" and len(node.input) > 2]
    for node in nodes:
        del node.input[1:]
    return bool(nodes)


def _tokens(graph: "GraphProto", arrays: Mapping[str, Mapping[str, Array]], axis: int) -> int | None:
    """Tokens of the items of a user's arrays, along an axis; None without any."""
    names = [info.name for info in graph.input]
    found = [array.shape[axis] for split, stored in arrays.items() for name, array in stored.items()
             if name.removeprefix(f"{split}_") in names and array.ndim in (2, 3)]  # fmt: skip
    return found[0] if found else None


class Extents:
    """Numbers for extents that a graph leaves open: equal names have equal numbers."""

    def __init__(self, sequence: int, swapped: bool = False) -> None:
        self.sequence = sequence
        self.swapped = swapped
        self._named: dict[str, int] = {}

    def of(self, dims: Iterable[Any]) -> tuple[int, ...]:
        """Shape of an input."""
        return tuple(dim.dim_value or self._open(dim.dim_param, axis) for axis, dim in enumerate(dims))

    def _open(self, name: str, axis: int) -> int:
        first = "batch" in name.lower() or (axis == 0 and "seq" not in name.lower())
        counts_items = axis == 1 if self.swapped else first
        guess = ITEMS if counts_items else self.sequence
        return self._named.setdefault(name, guess) if name else guess


def _walked(model: "ModelProto", extents: Extents, swapped: bool) -> tuple[Walk, Failures]:
    walk, failures = Walk(swapped), []
    _inputs(walk, model.graph, extents)
    opsets = {each.domain: each.version for each in model.opset_import}
    last_read = {name: index for index, node in enumerate(model.graph.node) for name in node.input}
    kept = {output.name for output in model.graph.output}
    makers = {name: node for node in model.graph.node for name in node.output}
    for index, node in enumerate(model.graph.node):
        made = _made(walk, node, opsets)
        if not made:
            failed = _failed(walk, node, makers)
            failures.append((_label(walk, failed), failed.name or failed.output[0]))
        _keep(walk, node, made)
        for name in {*node.input} - kept:
            if last_read[name] == index and name not in walk.inputs:
                walk.values.pop(name, None)
    return walk, failures


def _keep(walk: Walk, node: "NodeProto", made: list[Value]) -> None:
    """Let what a node makes be known by the names of its outputs; of those that nobody told, that they are unknown."""
    walk.values |= dict(zip(node.output, made + [Unknown()] * (len(node.output) - len(made)), strict=True))


def _failed(walk: Walk, node: "NodeProto", makers: Mapping[str, "NodeProto"]) -> "NodeProto":
    """The node that is not supported: that which a node reads where it ends a function that is not known."""
    for name in node.input:
        value = walk.values.get(name)
        if isinstance(value, Formula) and walk.settle(value) is None:
            return makers.get(value.output, node)
    return node


def _label(walk: Walk, node: "NodeProto") -> str:
    """A node's operator; some exporters add masks of truth values to scores, which ONNX does not define."""
    values = [walk.values.get(name) for name in node.input]
    arrays = [each.arrays[0] if isinstance(each, Probed) else each.array
              for each in values if isinstance(each, Constant | Probed)]  # fmt: skip
    truth = node.op_type in ("Add", "Sub", "Mul", "Div") and any(array.dtype == np.bool_ for array in arrays)
    return f"{node.op_type} of truth values" if truth else node.op_type


def _may_swap(walk: Walk) -> bool:
    return any(len(each.shape if isinstance(each, View) else each.arrays[0].shape) > 1
               for each in walk.inputs.values() if isinstance(each, View | Probed))  # fmt: skip


def _inputs(walk: Walk, graph: "GraphProto", extents: Extents) -> None:
    """Constants and inputs of the graph as values."""
    from onnx import TensorProto, numpy_helper

    for tensor in graph.initializer:
        walk.values[tensor.name] = Constant(numpy_helper.to_array(tensor))
    floats = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
    for info in graph.input:
        if info.name in walk.values:
            continue
        kind = info.type.tensor_type.elem_type
        shape = extents.of(info.type.tensor_type.shape.dim)
        masks = "mask" in info.name.lower() and len(shape) == 2
        if masks:
            examples = Probed(_mask_examples(shape, kind == TensorProto.BOOL), info.name)
            walk.masks[info.name] = examples
            walk.values[info.name] = examples
        elif kind in floats:
            walk.activations(info.name, input_view(info.name, shape, walk.swapped))
        else:
            rows = _table_rows(graph, info.name, walk.values)
            walk.numbers(info.name, Probed(_number_examples(shape, rows, len(walk.inputs)), info.name))


def _mask_examples(shape: tuple[int, ...], truth: bool) -> tuple[Array, ...]:
    """All real, and two ways in which items end early."""
    items, tokens = shape
    examples = []
    for example in range(EXAMPLES):
        short = (np.arange(items) * 3 + 2 * example) % max(1, tokens) if example else np.zeros(items, np.int64)
        shown = np.arange(tokens) < tokens - short[:, None]
        examples.append(shown if truth else shown.astype(np.int64))
    return tuple(examples)


def _number_examples(shape: tuple[int, ...], rows: int, seed: int) -> tuple[Array, ...]:
    """Ordinary token numbers: of large tables the upper half, since marks of padding and ends are low."""
    generator = np.random.default_rng(seed)
    low = rows // 2 if rows > 8 else 0
    return tuple(generator.integers(low, rows, shape).astype(np.int64) for _ in range(EXAMPLES))


def _table_rows(graph: "GraphProto", name: str, known: Mapping[str, Value]) -> int:
    """Rows of the smallest table that an input's numbers are looked up in; 2 where none is found."""
    aliases, sizes = {name}, []
    for node in graph.node:
        if node.op_type in _KEPT and node.input[0] in aliases:
            aliases.add(node.output[0])
        table = known.get(node.input[0]) if node.op_type == "Gather" and node.input[1] in aliases else None
        if isinstance(table, Constant) and table.array.ndim == 2:
            sizes.append(len(table.array))
    return min(sizes, default=2)


def _made(walk: Walk, node: "NodeProto", opsets: Mapping[str, int]) -> list[Value]:
    """What a node makes, of its first outputs; nothing when it is not supported."""
    from onnx import helper

    values = [walk.values.get(name, Unknown()) for name in node.input if name]
    if node.op_type == "If" and isinstance(values[0], Constant):
        return _branch(walk, node, bool(values[0].array.all()), opsets)
    if any(isinstance(value, Unknown) for value in values):
        return [Unknown()] if node.op_type in (*SUPPORTED, "Shape") else []
    known = all(isinstance(value, Constant | Probed) for value in values)
    if known and not (node.op_type == "Gather" and _is_lookup(walk, values)):
        return _computed(walk, node, values, opsets)
    if node.op_type == "Shape":
        shapes = _evaluated(node, [np.broadcast_to(np.int64(0), _shape(values[0]))], opsets)
        return [Constant(shape) for shape in shapes]
    if node.op_type in MOVES:
        return _moved(walk, node, values, opsets)
    attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    texts = {key: value.decode() for key, value in attributes.items() if isinstance(value, bytes)}
    if node.domain not in ("", "ai.onnx"):
        return []
    made = node_value(walk, node, values, attributes | texts)
    return [] if made is None else [made]


def _is_lookup(walk: Walk, values: Sequence[Value]) -> bool:
    """Whether rows of a table are taken by the numbers of an input."""
    table, numbers = values
    looked_up = isinstance(numbers, Probed) and numbers.source in walk.inputs
    return looked_up and isinstance(table, Constant) and table.array.ndim == 2


def _shape(value: Value) -> tuple[int, ...]:
    if isinstance(value, Unknown):
        return ()
    arrays = value.arrays[0] if isinstance(value, Probed) else value.array if isinstance(value, Constant) else value
    return arrays.shape


def _branch(walk: Walk, node: "NodeProto", taken: bool, opsets: Mapping[str, int]) -> list[Value]:
    """The branch of an If whose condition is known."""
    from onnx import numpy_helper

    graph = next(each.g for each in node.attribute if each.name == ("then_branch" if taken else "else_branch"))
    for tensor in graph.initializer:
        walk.values[tensor.name] = Constant(numpy_helper.to_array(tensor))
    for inner in graph.node:
        made = _made(walk, inner, opsets)
        if not made:
            return []
        _keep(walk, inner, made)
    return [walk.values.get(output.name, Unknown()) for output in graph.output]


def _computed(walk: Walk, node: "NodeProto", values: list[Value], opsets: Mapping[str, int]) -> list[Value]:
    """A node whose inputs are known, or follow from token numbers and masks, computed."""
    if all(isinstance(value, Constant) for value in values):
        arrays = [value.array for value in values if isinstance(value, Constant)]
        return [Constant(array) for array in _evaluated(node, arrays, opsets)]
    results = []
    for example in range(EXAMPLES):
        arrays = [value.arrays[example] if isinstance(value, Probed) else value.array
                  for value in values if isinstance(value, Constant | Probed)]  # fmt: skip
        results.append(_evaluated(node, arrays, opsets))
    made: list[Value] = []
    for arrays_of_output in zip(*results, strict=True):
        first = values[0]
        source = first.source if node.op_type in _KEPT and isinstance(first, Probed) else None
        alike = all(np.array_equal(array, arrays_of_output[0]) for array in arrays_of_output[1:])
        if source is None and alike:
            walk.assumed |= node.op_type != "Shape"
            made.append(Constant(arrays_of_output[0]))
        else:
            made.append(Probed(tuple(arrays_of_output), source))
    return made


def _evaluated(node: "NodeProto", arrays: list[Array], opsets: Mapping[str, int]) -> list[Array]:
    """A node on arrays; nothing when the evaluator does not know it."""
    feeds = dict(zip((name for name in node.input if name), arrays, strict=False))
    try:
        return evaluate(node, feeds, opsets=opsets)
    except Exception:  # whatever an evaluator of all operators raises: the node is listed as not supported
        return []


def _moved(walk: Walk, node: "NodeProto", values: list[Value], opsets: Mapping[str, int]) -> list[Value]:
    """A node that moves activations, computed on the places where their elements lie."""
    first, *rest = values
    if not all(isinstance(value, Constant) for value in rest):
        return []
    known = [value.array for value in rest if isinstance(value, Constant)]
    if isinstance(first, Scores):
        shapes = _evaluated(node, [np.broadcast_to(np.int64(0), first.shape), *known], opsets)
        made = moved(first, shapes[0].shape) if shapes and node.op_type != "Transpose" else None
        return [] if made is None else [made]
    if node.op_type == "Expand" and getattr(first, "reduced", False):
        return [first]
    settled = walk.settle(first)
    if not isinstance(settled, View):
        return []
    results = _evaluated(node, [settled.places, *known], opsets)
    return [View(settled.tensor, each, settled.scale) for each in results]


def _listed(failures: Failures) -> str:
    """Every operator that is not supported with its count, and the first nodes by name."""
    counts = Counter(op for op, _ in failures)
    listed = ", ".join(f"{op} ({count})" for op, count in sorted(counts.items()))
    nodes = ", ".join(f"{name} ({op})" for op, name in failures[:_SHOWN])
    more = f" and {len(failures) - _SHOWN} more" if len(failures) > _SHOWN else ""
    form = [op for op in sorted(counts) if op in SUPPORTED]
    words = f"; supported in other forms: {', '.join(form)}" if form else ""
    return (
        f"operators that are not supported, or not in the form that the graph has them: {listed}{words}; nodes: "
        f"{nodes}{more}; supported: {', '.join(SUPPORTED)}"
    )
