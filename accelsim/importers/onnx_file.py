"""An ONNX file as a workload that lists its operations."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.config.graph_workload import GraphWorkload
from accelsim.errors import ConfigError, OperandError, UserError
from accelsim.importers.imported import Imported, sha256
from accelsim.importers.onnx_nodes import SUPPORTED, Walk
from accelsim.importers.onnx_values import Constant, Formula, Numbers, Rows, Unknown, Value
from accelsim.model.build import build_network

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

DEFAULT_SEQUENCE = 128
"""What an extent without a number becomes, unless it is the first, which becomes 1."""


def import_onnx(path: Path, name: str, changes: dict[str, Any]) -> Imported:
    """Workload and weights of an ONNX file.

    Nodes whose inputs are all known are computed; the others become linear layers, attention (recognised from its two
    products with a softmax between), LayerNorm, additions, lookups, pooling, and functions of every element, which are
    recognised by their values. Inputs of whole numbers named after masks or token types are taken as all ones and all
    zeros, which a note says.

    Parameters
    ----------
    path : Path
    name : str
        Of the workload.
    changes : dict
        Fields that are asked for: sequence (for extents without a number) and dtype.

    Raises
    ------
    UserError
        When the package onnx is not installed.
    OperandError
        When the file cannot be read, or has operators that are not supported: all are listed, with counts.
    """
    unfit = sorted(set(changes) - {"sequence", "dtype"})
    if unfit:
        raise ConfigError(f"{path}: {', '.join(unfit)} cannot be asked of an ONNX file, which says it itself")
    model = _load(path)
    graph = model.graph
    walk = Walk(_readers(graph))
    notes = _inputs(walk, graph, int(changes.get("sequence", DEFAULT_SEQUENCE)))
    _nodes(walk, model, path)
    output = _output(walk, graph, path)
    notes += [f"output {other.name} was left out; the first, {graph.output[0].name}, is the result"
              for other in graph.output[1:]]  # fmt: skip
    return _finish(walk, output, path, name, changes, tuple(notes))


def _load(path: Path) -> "ModelProto":
    try:
        import onnx
    except ImportError:
        raise UserError("ONNX files need the package onnx: pip install 'accelsim[import]'") from None
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # decoding errors of protobuf and the checker's own have no common class
        text = " ".join(str(error).split())[:200]
        raise OperandError(f"{path}: cannot be read as an ONNX model ({text})") from None
    return model


def _readers(graph: "GraphProto") -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for node in graph.node:
        for tensor in node.input:
            found.setdefault(tensor, set()).add(node.output[0])
    for output in graph.output:
        found.setdefault(output.name, set()).add("")
    return found


def _inputs(walk: Walk, graph: "GraphProto", sequence: int) -> list[str]:
    """Constants and inputs of the graph as values; notes on inputs that are taken as known."""
    from onnx import TensorProto, numpy_helper

    notes = []
    for tensor in graph.initializer:
        walk.values[tensor.name] = Constant(numpy_helper.to_array(tensor))
    for info in graph.input:
        if info.name in walk.values:
            continue
        shape = _shape(info, sequence)
        if info.type.tensor_type.elem_type not in (TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL):
            walk.values[info.name] = Rows(info.name, shape)
        elif "mask" in info.name or "type" in info.name:
            ones = "mask" in info.name
            dtype = np.bool_ if info.type.tensor_type.elem_type == TensorProto.BOOL else np.int64
            walk.values[info.name] = Constant(np.full(shape, ones, dtype))
            notes.append(f"input {info.name} is taken as all {'ones' if ones else 'zeros'}: nothing is padded")
        else:
            walk.values[info.name] = Numbers(info.name, shape)
    return notes


def _shape(info: "ValueInfoProto", sequence: int) -> tuple[int, ...]:
    sizes = [dim.dim_value for dim in info.type.tensor_type.shape.dim]
    return tuple(size or (1 if axis == 0 else sequence) for axis, size in enumerate(sizes))


def _nodes(walk: Walk, model: "ModelProto", path: Path) -> None:
    """Walk all nodes.

    Raises
    ------
    OperandError
        Listing every operator that is not supported, with counts.
    """
    unsupported: Counter[str] = Counter()
    for node in model.graph.node:
        made = _made(walk, node, model)
        if not made:
            unsupported[node.op_type] += 1
        values = made + [Unknown()] * (len(node.output) - len(made))
        walk.values |= dict(zip(node.output, values, strict=True))
    if unsupported:
        listed = ", ".join(f"{name} ({count})" for name, count in sorted(unsupported.items()))
        raise OperandError(
            f"{path}: operators that are not supported, or not in the form that the graph has them: {listed}; "
            f"supported: {', '.join(SUPPORTED)}"
        )


def _made(walk: Walk, node: "NodeProto", model: "ModelProto") -> list[Value]:
    """What a node makes, of its first outputs; nothing when it is not supported."""
    from onnx import helper

    values = [walk.values[name] for name in node.input if name]
    if any(isinstance(value, Unknown) for value in values):
        return [Unknown()] if node.op_type in (*SUPPORTED, "Shape") else []
    if all(isinstance(value, Constant) for value in values):
        return _folded(walk, node, model)
    if node.op_type == "Shape":
        return [Constant(np.asarray(values[0].shape, np.int64))]  # type: ignore[union-attr]
    attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    texts = {key: value.decode() for key, value in attributes.items() if isinstance(value, bytes)}
    made = walk.node(node, attributes | texts)
    return [] if made is None else [made]


def _folded(walk: Walk, node: "NodeProto", model: "ModelProto") -> list[Value]:
    """A node whose inputs are known, computed."""
    from onnx.reference import ReferenceEvaluator

    feeds = {name: walk.values[name].array for name in node.input if name}  # type: ignore[union-attr]
    try:
        opsets = {each.domain: each.version for each in model.opset_import}
        results: Any = ReferenceEvaluator(node, opsets=opsets).run(None, feeds)
    except Exception:  # whatever an evaluator of all operators raises: it is listed as not supported
        return []
    return [Constant(np.asarray(result)) for result in results]


def _output(walk: Walk, graph: "GraphProto", path: Path) -> Rows:
    value = walk.values.get(graph.output[0].name, Unknown())
    if isinstance(value, Formula):
        value = walk.settle(value)
    if not isinstance(value, Rows) or value.tensor not in walk.made_by:
        raise OperandError(f"{path}: output {graph.output[0].name} is no result of supported operators")
    return value


def _finish(
    walk: Walk, output: Rows, path: Path, name: str, changes: dict[str, Any], notes: tuple[str, ...]
) -> Imported:
    """The steps that the output needs, as a workload."""
    needed, steps = {output.tensor}, []
    for step in reversed(walk.steps):
        if step["name"] in needed:
            needed.update(step["inputs"])
            steps.append(step)
    steps.reverse()
    inputs: dict[str, Any] = {}
    for tensor, value in walk.values.items():
        if tensor in needed and isinstance(value, Numbers):
            rows = int(np.prod(value.shape, dtype=np.int64))
            inputs[tensor] = {"rows": rows, "columns": 1, "integers_below": walk.limits[tensor]}
        elif tensor in needed and isinstance(value, Rows) and value.tensor not in walk.made_by:
            inputs[tensor] = {"rows": value.rows, "columns": value.shape[-1]}
    short = {old: _name(old, index) for index, old in enumerate([*inputs, *(step["name"] for step in steps)])}
    document = {
        "kind": "graph",
        "name": name,
        "dtype": changes.get("dtype", "fp16"),
        "inputs": {short[tensor]: size for tensor, size in inputs.items()},
        "steps": [_step(step, short) for step in steps],
        "items": output.shape[0],
        "sources": {path.name: f"sha256 {sha256(path)}"},
    }
    try:
        spec = GraphWorkload.model_validate(document)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    weights = {}
    for tensor, array in walk.weights.items():
        maker, _, role = tensor.rpartition(".")
        if maker in short:
            weights[f"{short[maker]}.{role}"] = np.asarray(array, np.float32)
    for parameter, shape in build_network(spec).parameters.items():
        if weights[parameter].shape != shape:
            found = list(weights[parameter].shape)
            raise OperandError(f"{path}: {parameter} has shape {found}, its step needs {list(shape)}")
    return Imported(spec, weights, notes=notes)


def _step(step: dict[str, Any], short: dict[str, str]) -> dict[str, Any]:
    named = {**step, "name": short[step["name"]], "inputs": [short[tensor] for tensor in step["inputs"]]}
    return {key: value for key, value in named.items() if value is not None}


def _name(tensor: str, index: int) -> str:
    """A tensor's name without the signs that YAML paths and files have a use for."""
    words = "".join(sign if sign.isalnum() or sign in "_-" else "_" for sign in tensor).strip("_")
    return f"t{index}_{words}"
