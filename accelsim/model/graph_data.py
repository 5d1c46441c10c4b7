"""Inputs of a network that is listed operation by operation: arrays by the names of its inputs, masks and labels."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.config.graph_workload import GraphInput, GraphWorkload
from accelsim.errors import OperandError
from accelsim.model.drawing import describe_operands, draw_operands
from accelsim.model.graph import Attention, Elementwise, Gemm, Network
from accelsim.model.operand_files import array_names, read_arrays
from accelsim.model.operand_set import OperandSet, check_finite, to_format
from accelsim.model.vision import cut_patches, load_weights

Array = NDArray[Any]
Integers = NDArray[np.int64]
PLAIN_SPLIT = "test"
"""Split whose arrays may be named without it."""


@dataclass(frozen=True)
class GraphData:
    """Arrays of one split."""

    items: int
    arrays: dict[str, Array]
    """[items, ...] by input."""
    tokens: int | None
    """Columns of the mask, where there is one."""
    lengths: Integers | None
    """[items] real tokens of each, where any is padded."""
    labels: Integers | None
    """[items]"""
    scores: NDArray[np.float64] | None
    """[items]"""


def splits_of(workload: GraphWorkload) -> list[str]:
    """Splits of the workload's data: those whose first input is there."""
    return _splits(workload, array_names(str(workload.data)))


def _splits(workload: GraphWorkload, names: Collection[str]) -> list[str]:
    first = next(iter(workload.inputs))
    plain = [PLAIN_SPLIT] if first in names else []
    return sorted({*plain, *(name.removesuffix(f"_{first}") for name in names if name.endswith(f"_{first}"))})


def read_data(workload: GraphWorkload) -> GraphData:
    """Arrays of the workload's split, checked against its inputs.

    Raises
    ------
    OperandError
        Naming the array, and the row where one row is at fault.
    """
    path = str(workload.data)
    known = array_names(path)
    names = named_arrays(workload, path, known)
    stored = read_arrays(path, tuple(names.values()))
    return checked_data(workload, path, {name: (full, stored[full]) for name, full in names.items()})


def named_arrays(workload: GraphWorkload, path: str, known: Collection[str]) -> dict[str, str]:
    """Names in a file of the arrays of a split: inputs, and where they are there the mask, labels and scores.

    Raises
    ------
    OperandError
        When an input is missing, or what the metric needs.
    """
    found = {}
    for name in [*workload.inputs, *([workload.mask] if workload.mask else []), "labels", "scores"]:
        full = f"{workload.split}_{name}"
        if workload.split == PLAIN_SPLIT and full not in known and name in known:
            full = name
        if full in known:
            found[name] = full
        elif name in workload.inputs:
            splits = ", ".join(_splits(workload, known)) or "none"
            raise OperandError(f"{path}: no array {full}; splits in the file: {splits} (workload.split)")
    needed = {"accuracy": "labels", "f1": "labels", "spearman": "scores"}.get(str(workload.metric))
    if needed is not None and needed not in found:
        raise OperandError(f"{path}: no array {workload.split}_{needed}, which metric {workload.metric} needs")
    return found


def checked_data(workload: GraphWorkload, path: str, stored: Mapping[str, tuple[str, Array]]) -> GraphData:
    """Arrays of a split by input (and mask, labels, scores), each with its name in the file, checked and cut to the
    items that the workload takes.

    Raises
    ------
    OperandError
        Naming the array, and the row where one row is at fault.
    """
    first = next(iter(workload.inputs))
    count = len(stored[first][1]) if stored[first][1].ndim else 0
    for full, array in stored.values():
        if array.ndim == 0 or len(array) == 0:
            raise OperandError(f"{path}: array {full} has no items, so split {workload.split} is empty")
        if len(array) != count:
            raise OperandError(f"{path}: {full} has {len(array)} items, and {stored[first][0]} {count}")
    items = count if workload.items is None else workload.items
    if items > count:
        raise OperandError(f"{path}: split {workload.split} has {count} items, workload.items asks for {items}")
    named = {name: (f"{path}: {full}", array[:items]) for name, (full, array) in stored.items()}
    mask = named.get(str(workload.mask))
    return GraphData(
        items,
        {name: _checked(*named[name], tensor) for name, tensor in workload.inputs.items()},
        None if mask is None or mask[1].ndim < 2 else int(mask[1].shape[1]),
        None if mask is None else _lengths(*mask),
        _labels(*named["labels"]) if "labels" in named else None,
        _scores(*named["scores"]) if "scores" in named else None,
    )


def _checked(name: str, array: Array, tensor: GraphInput) -> Array:
    """An input of all items, whole numbers within their bound and images with the extents that they need."""
    check_finite(name, array)
    if tensor.image is not None:
        if list(array.shape[1:]) != tensor.image:
            channels, height, width = tensor.image
            raise OperandError(
                f"{name} must be [items, {channels}, {height}, {width}] (channels first), found {list(array.shape)}"
            )
        return array
    if array.size != len(array) * tensor.rows * tensor.columns:
        found = list(array.shape[1:])
        raise OperandError(f"{name} has items of shape {found}, needed are {tensor.rows} rows of {tensor.columns}")
    if tensor.integers_below is not None:
        if array.dtype.kind not in "iu":
            raise OperandError(f"{name} must hold whole numbers, not {array.dtype}")
        _in_range(name, array, tensor.integers_below - 1)
    return array


def _in_range(name: str, array: Array, most: int) -> None:
    wrong = np.argwhere((array < 0) | (array > most))
    if len(wrong):
        at = tuple(int(index) for index in wrong[0])
        raise OperandError(f"{name}{list(at)} is {array[at]}; allowed: whole numbers from 0 to {most}")


def _lengths(name: str, mask: Array) -> Integers | None:
    """Real tokens of each item; None when nothing is padded."""
    if mask.ndim != 2 or not np.isin(mask, (0, 1)).all():
        raise OperandError(f"{name} must be [items, tokens] of 0 (padding) and 1 (real), found {list(mask.shape)}")
    lengths = mask.astype(np.int64).sum(axis=1)
    gaps = np.flatnonzero((mask != (np.arange(mask.shape[1]) < lengths[:, None])).any(axis=1) | (lengths == 0))
    if len(gaps):
        row = int(gaps[0])
        raise OperandError(f"{name}: row {row} must have its real tokens first, at least one, and padding behind them")
    return lengths if (lengths < mask.shape[1]).any() else None


def _labels(name: str, labels: Array) -> Integers:
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise OperandError(f"{name} must be [items] whole numbers, found {list(labels.shape)} of {labels.dtype}")
    return labels.astype(np.int64)


def _scores(name: str, scores: Array) -> NDArray[np.float64]:
    if scores.ndim != 1 or not np.isfinite(scores).all():
        raise OperandError(f"{name} must be [items] finite numbers, found {list(scores.shape)}")
    return scores.astype(np.float64)


def graph_inputs(
    workload: GraphWorkload, arrays: Mapping[str, Array], items: int, lengths: Integers | None
) -> dict[str, Array]:
    """Tensors [items * rows, columns] of all inputs; images are cut into patches, channel by channel.

    Parameters
    ----------
    workload : GraphWorkload
    arrays : mapping of str to array
        [items, ...] by input.
    items : int
    lengths : int [items] or None
        Real tokens, where any item is padded.
    """
    found = {}
    for name, tensor in workload.inputs.items():
        array = arrays[name]
        if tensor.patch is not None:
            images = array.reshape(-1, *array.shape[2:])
            channels, patches = array.shape[1], tensor.rows
            cut = cut_patches(images, tensor.patch).reshape(items, channels, patches, -1)
            array = cut.transpose(0, 2, 1, 3)
        found[name] = np.ascontiguousarray(array).reshape(items * tensor.rows, tensor.columns)
    if lengths is not None and workload.mask is not None:
        found[workload.mask] = np.asarray(lengths, np.int64)[:, None]
    return found


def load_graph(workload: GraphWorkload, network: Network, seed: int) -> OperandSet:
    """Weights and inputs of a listed network; what it names no file for is drawn from the seed.

    Raises
    ------
    OperandError
        For a file that cannot be read, an array that is missing, unknown or of another shape, numbers or labels out of
        range, NaN or infinity.
    """
    shapes = replace(network, parameters={}) if workload.weights is not None else network
    drawn = draw_operands(shapes, workload.operands, seed, network.dtype)
    parameters, words = drawn.parameters, describe_operands(workload.operands, seed, network.dtype)
    if workload.weights is not None:
        parameters, words = load_weights(workload.weights, network), "weights from a file"
    if workload.data is None:
        return OperandSet(drawn.inputs, parameters, f"{words}, inputs drawn from seed {seed}")
    data = read_data(workload)
    inputs = graph_inputs(workload, data.arrays, data.items, data.lengths)
    ready = {
        name: inputs[name].astype(np.int64)
        if name in network.integer_inputs
        else to_format(f"{workload.data}: {name}", inputs[name], network.dtype)
        for name in network.inputs
    }
    check_answers(network, str(workload.data), data)
    described = f"{words} on the first {data.items} items of split {workload.split}"
    return OperandSet(ready, parameters, described, data.labels, data.scores)


def check_answers(network: Network, path: str, data: GraphData) -> None:
    """Refuse labels without a row of classes for each item, and scores without one number.

    Raises
    ------
    OperandError
    """
    rows, columns = output_shape(network)
    name = f"{path}: labels" if data.labels is not None else f"{path}: scores"
    if (data.labels is not None or data.scores is not None) and rows != data.items:
        raise OperandError(f"{name} need one row of outputs for each item; {network.name} puts out {rows} rows")
    if data.labels is not None:
        _in_range(name, data.labels, columns - 1)
    elif data.scores is not None and columns != 1:
        raise OperandError(f"{name} need one output for each item; {network.name} puts out {columns}")


def output_shape(network: Network) -> tuple[int, int]:
    """Rows and columns of a listed network's result."""
    shapes: dict[str, tuple[int, ...]] = dict(network.inputs)
    for operation in network.operations:
        if isinstance(operation, Gemm):
            shapes[operation.output] = (operation.batch * operation.m, operation.n)
        elif isinstance(operation, Attention):
            shapes[operation.output] = shapes[operation.query]
        else:
            shapes[operation.output] = _elementwise_shape(operation, network, shapes)
    rows, columns = shapes[network.output]
    return rows, columns


def _elementwise_shape(
    operation: Elementwise, network: Network, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[int, int]:
    rows, columns = shapes[operation.inputs[0]]
    attributes: dict[str, Any] = operation.attributes
    match operation.function:
        case "columns":
            return rows, attributes["last"] - attributes["first"]
        case "first_token":
            return rows // attributes["sequence"], columns
        case "lookup":
            return rows, network.parameters[attributes["word"]][1]
        case "real_tokens":
            return rows, columns  # at most; labels need one row for each item in any case
    return operation.elements // columns, columns
