"""A forward pass in float32 with the package's numerics, as the steps of a run make it, for tests to compare."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.config.scheme import RunConfig
from accelsim.config.workload import Workload
from accelsim.kernels.formats import round_to_format
from accelsim.model.attention import attention_as_gemms, join_heads, split_heads
from accelsim.model.elementwise import apply_elementwise, gelu
from accelsim.model.graph import Attention, Elementwise, Gemm, Network
from accelsim.model.operands import OperandSet, prepare_operands

Array = NDArray[Any]


def prepare(workload: Workload, network: Network, seed: int = 0, path: object = None) -> OperandSet:
    """Operands of a workload in a run of its own."""
    # The machine plays no part in operands, so the config is built without one, unchecked.
    path = None if path is None else str(path)
    config = RunConfig.model_construct(workload=workload, seed=seed, operands=path, values=True)
    operands = prepare_operands(network, config)
    assert operands is not None
    return operands


def forward(network: Network, operands: OperandSet, dtype: str) -> dict[str, Array]:
    """All tensors, each rounded to `dtype` when it is written."""
    tensors = dict(operands.inputs)
    for operation in network.operations:
        if isinstance(operation, Elementwise):
            inputs = [tensors[name] for name in operation.inputs]
            tensors[operation.output] = apply_elementwise(operation, inputs, operands.parameters, dtype)
        elif isinstance(operation, Gemm):
            tensors[operation.output] = _product(operation, tensors, operands.parameters, dtype)
        else:
            tensors[operation.output] = _attention(operation, tensors, dtype)
    return tensors


def _product(gemm: Gemm, tensors: dict[str, Array], parameters: dict[str, Array], dtype: str) -> Array:
    product = tensors[gemm.a] @ parameters[str(gemm.weight)]
    if gemm.bias is not None:
        product = product + parameters[gemm.bias]
    return round_to_format(gelu(product) if gemm.activation == "gelu" else product, dtype)


def _attention(attention: Attention, tensors: dict[str, Array], dtype: str) -> Array:
    _, softmax, _ = attention_as_gemms(attention)
    names = (attention.query, attention.key, attention.value)
    query, key, value = (split_heads(tensors[name], attention) for name in names)
    scores = round_to_format(query @ key.transpose(0, 2, 1), dtype)
    probabilities = apply_elementwise(softmax, [scores], {}, dtype)
    return join_heads(round_to_format(np.matmul(probabilities, value), dtype), attention)
