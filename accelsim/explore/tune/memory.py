"""Memory that a planned network needs on the GPU."""

import math

from accelsim.mapping.network import NetworkPlan, PrunedWeights
from accelsim.mapping.plan import GemmPlan
from accelsim.model.graph import ELEMENT_BYTES, Attention, Elementwise, Gemm, Network, Operation, reads
from accelsim.pruning.packed import Packed
from accelsim.pruning.packed.checks import offset_bytes
from accelsim.pruning.packing import TileWiseWeights

ACCUMULATOR_BYTES = 4
"""Of an output element of a part of split-K."""


def memory_bytes(plan: NetworkPlan, pruned: PrunedWeights) -> int:
    """Bytes that must be in a GPU's memory at once, at the operation that needs most.

    Parameters lie there throughout, pruned ones as they are packed, with their indices. A tensor of activations lies
    there from the operation that writes it (an input from the start) to the last that reads it, a result to the end.
    While an operation runs, so do what it hands from kernel to kernel: scores of attention that is not fused, twice,
    and the parts of a product under split-K. An allocator's rounding and a runtime's own memory are left out.

    Parameters
    ----------
    plan : NetworkPlan
    pruned : PrunedWeights
        As the plan was made with.
    """
    network = plan.network
    element = ELEMENT_BYTES[network.dtype]
    parameters = sum(
        packed_bytes(pruned.packed[name], element) if name in pruned.packed else math.prod(shape) * element
        for name, shape in network.parameters.items()
    )
    sizes = _sizes(network, element)
    last = {tensor: index for index, one in enumerate(network.operations) for tensor in reads(one)}
    last |= {tensor: len(network.operations) for tensor in network.results}
    alive = {tensor: sizes[tensor] for tensor in network.inputs}
    most = 0
    for index, planned in enumerate(plan.operations):
        output = planned.operation.output
        alive[output] = sizes[output]
        kernels = [kernel for kernel in planned.kernels if isinstance(kernel, GemmPlan)]
        handed = _scores(planned.operation, kernels, element) + max(map(_parts, kernels), default=0)
        most = max(most, sum(alive.values()) + handed)
        alive = {tensor: size for tensor, size in alive.items() if last.get(tensor, -1) > index}
    return parameters + most


def packed_bytes(weights: Packed, element: int) -> int:
    """Bytes of packed weights: values of `element` bytes each, and indices."""
    if isinstance(weights, TileWiseWeights):
        return weights.kept * element + offset_bytes(weights)
    return weights.value_bytes(element) + weights.index_bytes


def _sizes(network: Network, element: int) -> dict[str, int]:
    """Bytes of every tensor of activations."""
    sizes = {tensor: math.prod(shape) * element for tensor, shape in network.inputs.items()}
    for operation in network.operations:
        if isinstance(operation, Elementwise):
            sizes[operation.output] = operation.bytes_written
        elif isinstance(operation, Gemm):
            sizes[operation.output] = operation.batch * operation.m * operation.n * element
        else:
            width = operation.heads * operation.head_dim
            sizes[operation.output] = operation.batch * operation.sequence * width * element
    return sizes


def _scores(operation: Operation, kernels: list[GemmPlan], element: int) -> int:
    """Scores of attention and what softmax makes of them, where they go through memory."""
    if not isinstance(operation, Attention) or not kernels:
        return 0
    return 2 * operation.batch * operation.heads * operation.sequence**2 * element


def _parts(plan: GemmPlan) -> int:
    """Parts of a product under split-K, before they are added up."""
    gemm = plan.gemm
    return plan.split_k * gemm.batch * gemm.m * gemm.n * ACCUMULATOR_BYTES if plan.split_k > 1 else 0
