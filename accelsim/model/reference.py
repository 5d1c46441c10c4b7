"""What a network computes, densely and in float64: slow, plain, and shared with no kernel.

It rounds nothing: errors of a run against it hold the rounding of the run's format and whatever its scheme leaves out.
"""

import math
from collections.abc import Collection
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from accelsim.model.graph import Activation, Attention, Elementwise, Gemm, Network, reads
from accelsim.model.operand_set import OperandSet

Doubles = NDArray[np.float64]
Tensors = dict[str, Doubles]

_ROWS = 1024
"""Query rows of one head that are worked on together: long sequences would not fit otherwise."""


@njit(cache=True, nogil=True)
def _erf(x: Doubles) -> Doubles:
    """math.erf of every element; compiled, because calls from Python take seconds for a few million."""
    result = np.empty_like(x)
    for index in range(len(x)):
        result[index] = math.erf(x[index])
    return result


def reference_output(network: Network, operands: OperandSet) -> Doubles:
    """The network's result in a dense forward pass, float64 [rows, columns]."""
    return reference_outputs(network, operands.inputs, operands.parameters, keep=(network.output,))[network.output]


def dense_results(network: Network, operands: OperandSet) -> Tensors:
    """Every result of a network (`Network.results`) in a dense forward pass, computed once for a set of operands."""
    for known, results in operands.dense:
        if known == network:
            return results
    results = reference_outputs(network, operands.inputs, operands.parameters, keep=network.results)
    operands.dense.append((network, results))
    return results


def reference_outputs(
    network: Network,
    inputs: dict[str, NDArray[Any]],
    parameters: dict[str, NDArray[Any]],
    keep: Collection[str] | None = None,
) -> Tensors:
    """Every tensor of a dense forward pass.

    Parameters
    ----------
    network : Network
        Without products of two activations, which are parts of an Attention here.
    inputs, parameters : dict of str to ndarray
        Operands as the machine gets them, that is rounded to its format.
    keep : collection of str, optional
        Tensors to return; others are dropped as soon as no later operation reads them. Left out, all are kept.

    Returns
    -------
    dict of str to ndarray
        float64, [rows, columns], inputs included.
    """
    tensors: Tensors = {name: array.astype(np.float64) for name, array in inputs.items()}
    weights: Tensors = {name: array.astype(np.float64) for name, array in parameters.items()}
    last_use = {tensor: index for index, operation in enumerate(network.operations) for tensor in reads(operation)}
    for index, operation in enumerate(network.operations):
        if isinstance(operation, Gemm):
            tensors[operation.output] = _gemm(operation, tensors, weights)
        elif isinstance(operation, Attention):
            tensors[operation.output] = _attention(operation, tensors)
        else:
            tensors[operation.output] = _elementwise(operation, tensors, weights)
        if keep is not None:
            done = [name for name in tensors if name not in keep and last_use.get(name, -1) <= index]
            for name in done:
                del tensors[name]
    return tensors


def _gemm(gemm: Gemm, tensors: Tensors, weights: Tensors) -> Doubles:
    if gemm.weight is None:
        raise ValueError(f"{gemm.name} has no weight: products of activations are part of an Attention here")
    result = tensors[gemm.a] @ weights[gemm.weight]
    if gemm.bias is not None:
        result = result + weights[gemm.bias]
    return result if gemm.activation is None else _activated(gemm.activation, result)


def _attention(attention: Attention, tensors: Tensors) -> Doubles:
    query, key, value = (tensors[name] for name in (attention.query, attention.key, attention.value))
    output = np.empty_like(query)
    for item in range(attention.batch):
        for head in range(attention.heads):
            rows = slice(item * attention.sequence, (item + 1) * attention.sequence)
            columns = slice(head * attention.head_dim, (head + 1) * attention.head_dim)
            last = attention.sequence if attention.lengths is None else attention.lengths[item]
            seen = slice(rows.start, rows.start + last)
            output[rows, columns] = _head(query[rows, columns], key[seen, columns], value[seen, columns])
    return output


def _head(query: Doubles, key: Doubles, value: Doubles) -> Doubles:
    output = np.empty_like(query)
    for start in range(0, len(query), _ROWS):
        scores = query[start : start + _ROWS] @ key.T / math.sqrt(query.shape[1])
        output[start : start + _ROWS] = _softmax(scores) @ value
    return output


def _softmax(scores: Doubles) -> Doubles:
    power = np.exp(scores - scores.max(axis=1, keepdims=True))
    result: Doubles = power / power.sum(axis=1, keepdims=True)
    return result


def _gelu(x: Doubles) -> Doubles:
    result: Doubles = x * (1 + _erf(np.ravel(x / math.sqrt(2))).reshape(x.shape)) / 2
    return result


def _activated(function: Activation, x: Doubles) -> Doubles:
    match function:
        case "gelu":
            return _gelu(x)
        case "gelu_tanh":
            smooth: Doubles = x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2
            return smooth
        case "relu":
            positive: Doubles = np.maximum(x, 0)
            return positive
        case "tanh":
            bounded: Doubles = np.tanh(x)
            return bounded


def _elementwise(operation: Elementwise, tensors: Tensors, weights: Tensors) -> Doubles:
    x, *others = (tensors[name] for name in operation.inputs)
    attributes: dict[str, Any] = operation.attributes
    match operation.function:
        case "softmax":
            return _softmax(x * attributes.get("scale", 1.0))
        case "add_norm":
            return _add_norm(x + others[0], weights, attributes)
        case "norm":
            return _add_norm(x, weights, attributes)
        case "add":
            return x + others[0]
        case "gelu" | "gelu_tanh" | "relu" | "tanh":
            return _activated(operation.function, x)
        case "embed":
            return _embed(x, weights, attributes)
        case "embed_tokens":
            return _embed_tokens(x, others, weights, attributes)
        case "lookup":
            return weights[attributes["word"]][x[:, 0].astype(np.int64)]
        case "mean_tokens":
            return _mean_tokens(x, others, attributes["sequence"])
        case "normalise":
            units: Doubles = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
            return units
        case "first_token":
            return x[:: attributes["sequence"]]
        case "real_tokens":
            items = x.reshape(-1, attributes["sequence"], x.shape[1])
            return np.vstack([rows[: int(last)] for rows, last in zip(items, others[0][:, 0], strict=True)])
        case "im2col":
            return _im2col(x, attributes)
        case "lstm_cell":
            return _lstm_cell(x, others, attributes)
        case "transpose":
            return x.T
        case "scatter":
            return x
        case "columns":
            return x[:, attributes["first"] : attributes["last"]]


def _add_norm(total: Doubles, weights: Tensors, attributes: dict[str, Any]) -> Doubles:
    mean = total.mean(axis=1, keepdims=True)
    deviation = np.sqrt(total.var(axis=1, keepdims=True) + attributes["epsilon"])
    result: Doubles = (total - mean) / deviation * weights[attributes["gain"]] + weights[attributes["bias"]]
    return result


def _embed(x: Doubles, weights: Tensors, attributes: dict[str, Any]) -> Doubles:
    if "weight" in attributes:
        x = x @ weights[attributes["weight"]] + weights[attributes["bias"]]
    position = weights[attributes["position"]]
    if "class_token" in attributes:
        patches, token = len(position) - 1, weights[attributes["class_token"]]
        items = [np.vstack([token, x[first : first + patches]]) for first in range(0, len(x), patches)]
        x = np.vstack(items)
    return x + np.tile(position, (len(x) // len(position), 1))


def _embed_tokens(tokens: Doubles, others: list[Doubles], weights: Tensors, attributes: dict[str, Any]) -> Doubles:
    word, position = weights[attributes["word"]], weights[attributes["position"]]
    rows = np.empty((len(tokens), word.shape[1]))
    for index, token in enumerate(tokens[:, 0]):
        rows[index] = word[int(token)] + position[index % attributes["sequence"]]
        if "type" in attributes:
            rows[index] += weights[attributes["type"]][int(others[0][index, 0]) if others else 0]
    return rows


def _mean_tokens(x: Doubles, others: list[Doubles], sequence: int) -> Doubles:
    items = x.reshape(-1, sequence, x.shape[1])
    lengths = others[0][:, 0] if others else np.full(len(items), sequence)
    means: Doubles = np.stack([rows[: int(last)].sum(axis=0) / last for rows, last in zip(items, lengths, strict=True)])
    return means


def _im2col(x: Doubles, attributes: dict[str, Any]) -> Doubles:
    batch, height, width, channels, kernel, stride, padding = (
        attributes[name] for name in ("batch", "height", "width", "channels", "kernel", "stride", "padding")
    )
    image = np.zeros((batch, height + 2 * padding, width + 2 * padding, channels))
    image[:, padding : padding + height, padding : padding + width] = x.reshape(batch, height, width, channels)
    windows = [
        image[item, row : row + kernel, column : column + kernel].reshape(-1)
        for item in range(batch)
        for row in range(0, height + 2 * padding - kernel + 1, stride)
        for column in range(0, width + 2 * padding - kernel + 1, stride)
    ]
    return np.asarray(windows)


def _lstm_cell(gates: Doubles, others: list[Doubles], attributes: dict[str, Any]) -> Doubles:
    hidden, batch, step = attributes["hidden"], len(gates), attributes["step"]
    entry, keep, candidate, exit_ = (gates[:, i * hidden : (i + 1) * hidden] for i in range(4))
    cell = others[0][:, -hidden:] / (1 + np.exp(-keep)) + np.tanh(candidate) / (1 + np.exp(-entry))
    output = np.tanh(cell) / (1 + np.exp(-exit_))
    following = [others[1][step * batch : (step + 1) * batch]] if len(others) > 1 else []
    return np.hstack([*following, output, cell])
