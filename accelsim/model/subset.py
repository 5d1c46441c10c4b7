"""Some of the inputs of a network: the same operations on fewer items, and the rows of operands that belong to them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from accelsim.errors import MappingError
from accelsim.model.graph import ELEMENT_BYTES, Attention, Elementwise, Gemm, Network, Operation
from accelsim.model.operand_set import OperandSet


def take_items(network: Network, chosen: Sequence[int]) -> Network:
    """The network on some of its items.

    What an element-wise operation reads beside its inputs (parameters, positions) does not depend on the number of
    items; everything else shrinks with it.

    Parameters
    ----------
    network : Network
        Whose tensors have the rows of the first item, then those of the next.
    chosen : sequence of int
        Items, at least one.

    Raises
    ------
    MappingError
        When an operation does not treat every item alike, as a list of layers does.
    """
    sizes = _tensor_sizes(network)
    operations = tuple(_operation(operation, network, chosen, sizes) for operation in network.operations)
    inputs = {name: (_share(shape[0], network, chosen, name), *shape[1:]) for name, shape in network.inputs.items()}
    return replace(network, operations=operations, inputs=inputs, items=len(chosen))


def take_rows(operands: OperandSet, network: Network, chosen: Sequence[int]) -> OperandSet:
    """Operands of some items; weights are shared, and right answers left out.

    Parameters
    ----------
    operands : OperandSet
        Of all items of `network`.
    network : Network
    chosen : sequence of int
    """
    inputs = {
        name: np.ascontiguousarray(array.reshape(network.items, -1, *array.shape[1:])[list(chosen)]).reshape(
            -1, *array.shape[1:]
        )
        for name, array in operands.inputs.items()
    }
    return OperandSet(inputs, operands.parameters, f"{len(chosen)} items of {operands.description}")


def _share(extent: int, network: Network, chosen: Sequence[int], name: str) -> int:
    if extent % network.items:
        raise MappingError(
            f"{name} of workload {network.name} has {extent} rows, which {network.items} inputs do not share evenly; "
            "only whole networks can be cut into inputs"
        )
    return extent // network.items * len(chosen)


def _tensor_sizes(network: Network) -> dict[str, int]:
    """Elements of every tensor."""
    sizes = {name: int(np.prod(shape)) for name, shape in network.inputs.items()}
    for operation in network.operations:
        if isinstance(operation, Gemm):
            sizes[operation.output] = operation.batch * operation.m * operation.n
        elif isinstance(operation, Attention):
            sizes[operation.output] = operation.batch * operation.sequence * operation.heads * operation.head_dim
        else:
            sizes[operation.output] = operation.elements or _view_size(operation, sizes)
    return sizes


def _view_size(view: Elementwise, sizes: dict[str, int]) -> int:
    """Elements that a view shows; it writes none itself."""
    size, attributes = sizes[view.inputs[0]], view.attributes
    match view.function:
        case "first_token":
            return size // int(attributes["sequence"])
        case "columns":
            return size // int(attributes["of"]) * (int(attributes["last"]) - int(attributes["first"]))
    return size


def _operation(operation: Operation, network: Network, chosen: Sequence[int], sizes: dict[str, int]) -> Operation:
    if isinstance(operation, Gemm):
        return replace(operation, m=_share(operation.m, network, chosen, operation.name))
    if isinstance(operation, Attention):
        lengths = None if operation.lengths is None else tuple(operation.lengths[item] for item in chosen)
        return replace(operation, batch=_share(operation.batch, network, chosen, operation.name), lengths=lengths)
    return _elementwise(operation, network, chosen, sizes)


def _elementwise(operation: Elementwise, network: Network, chosen: Sequence[int], sizes: dict[str, int]) -> Elementwise:
    elements = _share(operation.elements, network, chosen, operation.name)
    of_items = sum(sizes[tensor] for tensor in operation.inputs) * ELEMENT_BYTES[network.dtype] + operation.cold_bytes
    moved = of_items if operation.bytes_read else 0
    return replace(
        operation,
        elements=elements,
        bytes_read=operation.bytes_read - moved + moved * len(chosen) // network.items,
        bytes_written=operation.bytes_written * len(chosen) // network.items,
        cold_bytes=operation.cold_bytes * len(chosen) // network.items,
    )
