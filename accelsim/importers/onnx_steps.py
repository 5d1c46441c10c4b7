"""What was found in an ONNX graph as a workload: steps that its output needs, small ones made part of products."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from accelsim.config.graph_workload import GraphWorkload
from accelsim.errors import ConfigError, OperandError
from accelsim.importers.imported import Imported, sha256
from accelsim.importers.onnx_values import Places, Probed, View
from accelsim.importers.onnx_walk import Step, Walk
from accelsim.model.build import build_network
from accelsim.model.elementwise import ACTIVATIONS

_NOTES = {
    "masked": "input {0} hides padding: real tokens come first in every item, and without data nothing is padded",
    "assumed": "what the graph computes from token numbers alone, such as positions, is taken as for ordinary tokens",
    "second": "items are the second extent of the graph's inputs; the workload has them first",
}


@dataclass(frozen=True)
class Listed:
    """A graph as a workload, and what leads from one to the other."""

    imported: Imported
    items: int
    """Items that the graph takes at once."""
    inputs: dict[str, str]
    """Names in the workload by those in the graph; that of the mask too."""
    places: Places
    """In the shape of the graph's output, where in the workload's each element lies."""


def listed_workload(walk: Walk, output: View, files: Sequence[Path], name: str, changes: dict[str, Any]) -> Listed:
    """Steps that an output needs, as a workload with its weights.

    Raises
    ------
    ConfigError
        When the steps make no valid workload.
    OperandError
        When a factor belongs to no step that could hold it, or a weight has a shape that its step does not take.
    """
    found, path = walk.rows(output), files[0]
    result = output.tensor if found is None else found[0]
    if found is None and output.places.size != np.prod(walk.shapes[result]):
        raise OperandError(f"{path}: the output is a part of {result} that lies across its rows")
    places = output.places if found is None else walk.made(result, found[1], output.shape).places
    steps, result = _fused(walk, _needed(walk, result), result, path)
    items = _items(walk, steps, output.shape[1 if walk.swapped and len(output.shape) > 2 else 0])
    read = {tensor for step in steps for tensor in step["inputs"]}
    inputs = {tensor: _input(walk, tensor, items) for tensor in walk.inputs if tensor in read}
    short = {tensor: _name(tensor, walk, index) for index, tensor in enumerate([*inputs, *(s["name"] for s in steps)])}
    mask = walk.used_mask if any(step.get("padded") for step in steps) else None
    document = {
        "kind": "graph",
        "name": name,
        "dtype": changes.get("dtype", "fp16"),
        **({"metric": changes["metric"]} if "metric" in changes else {}),
        "inputs": {short[tensor]: size for tensor, size in inputs.items()},
        **({} if mask is None else {"mask": _plain(mask)}),
        "steps": [_step(step, short, items) for step in steps],
        "sources": {file.name: f"sha256 {sha256(file)}" for file in files},
    }
    if not inputs:
        raise OperandError(f"{path}: the output does not depend on an input of the graph")
    try:
        spec = GraphWorkload.model_validate(document)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    imported = Imported(spec, _weights(walk, spec, short, path), notes=_notes(walk, mask))
    names = {tensor: short[tensor] for tensor in inputs} | ({} if mask is None else {mask: _plain(mask)})
    return Listed(imported, items, names, places)


def _notes(walk: Walk, mask: str | None) -> tuple[str, ...]:
    kinds = {"masked": mask is not None, "assumed": walk.assumed, "second": walk.swapped}
    return tuple(_NOTES[kind].format(mask) for kind, holds in kinds.items() if holds)


def _needed(walk: Walk, result: str) -> list[Step]:
    needed, steps = {result}, []
    for step in reversed(walk.steps):
        if step["name"] in needed:
            needed.update(step["inputs"])
            steps.append(dict(step))
    return steps[::-1]


def _fused(walk: Walk, steps: list[Step], result: str, path: Path) -> tuple[list[Step], str]:
    """Steps with biases, factors and functions made part of the product whose output nothing else reads."""
    readers: dict[str, int] = {result: 1}
    for step in steps:
        for tensor in step["inputs"]:
            readers[tensor] = readers.get(tensor, 0) + 1
    makers: dict[str, Step] = {}
    renamed: dict[str, str] = {}
    kept = []
    for step in steps:
        step["inputs"] = [renamed.get(tensor, tensor) for tensor in step["inputs"]]
        maker = makers.get(step["inputs"][0])
        if maker is not None and readers[maker["name"]] == 1 and _absorbed(walk, maker, step):
            renamed[step["name"]] = maker["name"]
            readers[maker["name"]] = readers[step["name"]]
            continue
        if step["op"] == "scale":
            raise OperandError(
                f"{path}: {step['name']} multiplies a tensor by known numbers, which only products, tables and norms "
                "that nothing else reads can hold"
            )
        makers[step["name"]] = step
        kept.append(step)
    return kept, renamed.get(result, result)


def _absorbed(walk: Walk, maker: Step, step: Step) -> bool:
    """Make a step part of the one before, where that can hold it."""
    name, weights = maker["name"], walk.weights
    linear = maker["op"] == "linear" and maker["activation"] is None
    if step["op"] == "scale":
        factor = weights[f"{step['name']}.factor"]
        roles = {"linear": ("weight", "bias"), "lookup": ("table",), "norm": ("gain", "bias"), "position": ()}
        if not linear and maker["op"] not in ("lookup", "norm"):
            return False
        for role in roles[maker["op"]]:
            if f"{name}.{role}" in weights:
                weights[f"{name}.{role}"] = weights[f"{name}.{role}"] * factor
        return True
    if step["op"] == "position" and linear and step["sequence"] == 1 and not step.get("class_token"):
        shift = weights[f"{step['name']}.position"][0]
        weights[f"{name}.bias"] = weights[f"{name}.bias"] + shift if maker["bias"] else shift
        maker["bias"] = True
        return True
    if step["op"] == "position" and maker["op"] == "position" and not step.get("class_token"):
        return _joined(walk, maker, step)
    if step["op"] in ACTIVATIONS and linear:
        maker["activation"] = step["op"]
        return True
    return False


def _joined(walk: Walk, maker: Step, step: Step) -> bool:
    """Two tables that are added one after the other as one."""
    tables = [walk.weights[f"{each['name']}.position"] for each in (maker, step)]
    rows = max(len(table) for table in tables)
    if any(rows % len(table) for table in tables) or (maker.get("class_token") and rows > len(tables[0])):
        return False
    first, second = (np.tile(table, (rows // len(table), 1)) for table in tables)
    walk.weights[f"{maker['name']}.position"] = first + second
    maker["sequence"] = rows
    return True


def _items(walk: Walk, steps: list[Step], first: int) -> int:
    """Items that the graph takes at once: those of its attention, else the first extent of its output; 1 where not all
    steps have as many."""
    batches = [step["batch"] for step in steps if step["op"] == "attention"]
    items = min(batches) if batches else first
    tensors = {tensor for step in steps for tensor in (step["name"], *step["inputs"])}
    rows = {tensor: walk.shapes[tensor][0] for tensor in tensors}
    even = all(count % items == 0 for count in [*rows.values(), *batches])
    whole = all(
        rows[step["inputs"][0]] // items % (step["sequence"] - bool(step.get("class_token"))) == 0
        for step in steps if "sequence" in step
    )  # fmt: skip
    return items if even and whole else 1


def _input(walk: Walk, tensor: str, items: int) -> dict[str, Any]:
    rows, columns = walk.shapes[tensor]
    if isinstance(walk.inputs[tensor], Probed):
        return {"rows": rows // items, "columns": 1, "integers_below": walk.limits[tensor]}
    size: dict[str, Any] = {"rows": rows // items, "columns": columns}
    if tensor in walk.images:
        channels, height, width, side = walk.images[tensor]
        size |= {"image": [channels, height, width], "patch": side}
    return size


def _weights(walk: Walk, spec: GraphWorkload, short: dict[str, str], path: Path) -> dict[str, Any]:
    weights = {}
    for tensor, array in walk.weights.items():
        maker, _, role = tensor.rpartition(".")
        if maker in short and role != "factor":
            weights[f"{short[maker]}.{role}"] = np.ascontiguousarray(array, np.float32)
    parameters = build_network(spec).parameters
    for parameter, shape in parameters.items():
        if weights[parameter].shape != shape:
            found = list(weights[parameter].shape)
            raise OperandError(f"{path}: {parameter} has shape {found}, its step needs {list(shape)}")
    return {name: weights[name] for name in parameters}


def _step(step: Step, short: dict[str, str], items: int) -> dict[str, Any]:
    named = {**step, "name": short[step["name"]], "inputs": [short[tensor] for tensor in step["inputs"]]}
    if "batch" in step:
        named["batch"] = step["batch"] // items
    return {key: value for key, value in named.items() if value is not None}


def _plain(tensor: str) -> str:
    """A tensor's name without the signs that YAML paths and files have a use for."""
    return "".join(sign if sign.isalnum() or sign in "_-" else "_" for sign in tensor).strip("_")


def _name(tensor: str, walk: Walk, index: int) -> str:
    """Inputs keep their names, steps are numbered."""
    return _plain(tensor) or f"input{index}" if tensor in walk.inputs else f"t{index}_{_plain(tensor)}"
