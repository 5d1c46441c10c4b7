"""Networks that a workload lists operation by operation."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.config.graph_workload import (
    AddStep,
    AttentionStep,
    FunctionStep,
    GraphWorkload,
    LinearStep,
    LookupStep,
    NormStep,
    PoolStep,
    PositionStep,
    Step,
)
from accelsim.errors import ConfigError, OperandError
from accelsim.model.attention import SOFTMAX_FLOPS
from accelsim.model.drawing import describe_operands, draw_operands
from accelsim.model.encoder import add, norm
from accelsim.model.graph import Network
from accelsim.model.operand_files import array_names, read_arrays
from accelsim.model.operand_set import OperandSet, to_format
from accelsim.model.parts import NetworkBuilder
from accelsim.model.vision import load_weights

FLOPS = {"gelu": 12, "gelu_tanh": 14, "relu": 1, "tanh": 7, "softmax": SOFTMAX_FLOPS}
"""Of the functions of every element; an exponential counts as 4."""


def build_graph(workload: GraphWorkload) -> Network:
    """Network of a list of operations.

    Raises
    ------
    ConfigError
        When a step reads what nothing writes, a name stands twice, or shapes do not go together; the step is named.
    """
    builder = NetworkBuilder(workload.dtype)
    known = set()
    for name, tensor in workload.inputs.items():
        known.add(name)
        if tensor.integers_below is None:
            builder.input(name, tensor.rows, tensor.columns)
        else:
            builder.integer_input(name, tensor.integers_below, tensor.rows, tensor.columns)
    output = ""
    for index, step in enumerate(workload.steps):
        at = f"workload.steps.{index} ({step.op} {step.name})"
        missing = [name for name in step.inputs if name not in known]
        if missing:
            raise ConfigError(f"{at}: reads {missing[0]}, which is no input and no earlier step")
        if step.name in known:
            raise ConfigError(f"{at}: the name stands twice")
        for name in step.inputs:
            if (name in builder.integers) != isinstance(step, LookupStep):
                raise ConfigError(f"{at}: lookup reads whole numbers, and nothing else does; {name} does not fit")
        output = _add(builder, step, at)
        known.add(step.name)
    return builder.finish(workload.name or "graph", output, items=workload.items)


def _add(builder: NetworkBuilder, step: Step, at: str) -> str:
    """One step as an operation of the network."""
    shapes = [builder.shape(name) for name in step.inputs]
    rows, columns = shapes[0]
    match step:
        case LinearStep():
            bias = f"{step.name}.bias" if step.bias else None
            weight = f"{step.name}.weight"
            return builder.gemm(
                step.name, step.inputs[0], step.outputs, weight=weight, bias=bias, activation=step.activation
            )
        case AttentionStep():
            if len(set(shapes)) > 1 or rows % step.batch or columns % step.heads:
                raise ConfigError(
                    f"{at}: needs Q, K and V of one shape, its rows a multiple of batch ({step.batch}), its columns of "
                    f"heads ({step.heads}); found {', '.join(str(list(shape)) for shape in shapes)}"
                )
            return builder.attention(step.name, *step.inputs, batch=step.batch, heads=step.heads)
        case NormStep():
            return norm(builder, step.name, step.inputs[0], step.epsilon)
        case AddStep():
            if shapes[0] != shapes[1]:
                raise ConfigError(f"{at}: adds shapes {list(shapes[0])} and {list(shapes[1])}, which differ")
            return add(builder, step.name, step.inputs[0], step.inputs[1])
        case FunctionStep():
            return builder.elementwise(step.name, step.op, (step.inputs[0],), (rows, columns), flops=FLOPS[step.op])
        case LookupStep():
            return _lookup(builder, step, rows, columns, at)
        case PositionStep():
            _whole(step.sequence, rows, at)
            parameter = {"position": builder.parameter(f"{step.name}.position", step.sequence, columns)}
            read = (rows + step.sequence) * columns
            return builder.elementwise(
                step.name, "embed", (step.inputs[0],), (rows, columns), flops=1, read=read, attributes=parameter
            )
        case PoolStep():
            _whole(step.sequence, rows, at)
            shape, sequence = (rows // step.sequence, columns), {"sequence": step.sequence}
            if step.op == "first_token":
                return builder.view(step.name, "first_token", (step.inputs[0],), shape, sequence)
            return builder.elementwise(
                step.name, "mean_tokens", (step.inputs[0],), shape, flops=step.sequence, attributes=sequence
            )


def _lookup(builder: NetworkBuilder, step: LookupStep, rows: int, columns: int, at: str) -> str:
    bound = builder.integers[step.inputs[0]]
    if columns != 1 or bound > step.size:
        raise ConfigError(
            f"{at}: looks up one number a row, each below the {step.size} rows of its table; {step.inputs[0]} has "
            f"{columns} columns of numbers below {bound}"
        )
    word = {"word": builder.parameter(f"{step.name}.table", step.size, step.columns)}
    read = rows * step.columns
    return builder.elementwise(
        step.name,
        "lookup",
        (step.inputs[0],),
        (rows, step.columns),
        flops=0,
        read=rows + read,
        attributes=word,
        cold=read,
    )


def _whole(sequence: int, rows: int, at: str) -> None:
    if rows % sequence:
        raise ConfigError(f"{at}: {rows} rows are no whole number of sequences of {sequence}")


def load_graph(workload: GraphWorkload, network: Network, seed: int) -> OperandSet:
    """Weights and inputs of a listed network; what it names no file for is drawn from the seed.

    Raises
    ------
    OperandError
        For a file that cannot be read, an array that is missing, unknown or of another shape, numbers out of range, NaN
        or infinity.
    """
    shapes = replace(network, parameters={}) if workload.weights is not None else network
    drawn = draw_operands(shapes, workload.operands, seed, network.dtype)
    parameters, words = drawn.parameters, describe_operands(workload.operands, seed, network.dtype)
    if workload.weights is not None:
        parameters, words = load_weights(workload.weights, network), "weights from a file"
    if workload.data is None:
        return OperandSet(drawn.inputs, parameters, f"{words}, inputs drawn from seed {seed}")
    stored = read_arrays(workload.data, (*network.inputs, *_labelled(workload)))
    inputs = {name: _input(workload.data, name, stored[name], network) for name in network.inputs}
    labels = stored.get("labels")
    if labels is not None and (labels.shape != (network.items,) or labels.dtype.kind not in "iu"):
        raise OperandError(f"{workload.data}: labels must be {network.items} whole numbers (workload.items)")
    labels = None if labels is None else labels.astype(np.int64)
    return OperandSet(inputs, parameters, f"{words}, inputs from a file", labels)


def _labelled(workload: GraphWorkload) -> tuple[str, ...]:
    if workload.metric is not None:
        return ("labels",)
    return ("labels",) if "labels" in array_names(str(workload.data)) else ()


def _input(path: str, name: str, array: NDArray[Any], network: Network) -> NDArray[Any]:
    if array.shape != network.inputs[name]:
        raise OperandError(f"{path}: {name} has shape {list(array.shape)}, needed is {list(network.inputs[name])}")
    if name not in network.integer_inputs:
        return to_format(f"{path}: {name}", array, network.dtype)
    bound = network.integer_inputs[name]
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= bound:
        raise OperandError(f"{path}: {name} must hold whole numbers from 0 to {bound - 1}")
    return array.astype(np.int64)
