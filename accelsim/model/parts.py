"""Pieces that networks are put together from: a builder that collects operations, tensors and parameters."""

from collections.abc import Mapping
from dataclasses import replace

from accelsim.model.graph import (
    ELEMENT_BYTES,
    Activation,
    Attention,
    Elementwise,
    ElementwiseFunction,
    Gemm,
    Network,
    Operation,
)

Shape = tuple[int, ...]


class NetworkBuilder:
    """Collects a network operation by operation, and knows the shape of every tensor so far.

    Each method that adds an operation returns the name of the tensor that it writes, and takes the operation's name as
    that of its output.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.operations: list[Operation] = []
        self.inputs: dict[str, Shape] = {}
        self.parameters: dict[str, Shape] = {}
        self.normalised: list[str] = []
        self.integers: dict[str, int] = {}
        self._shapes: dict[str, Shape] = {}

    def shape(self, tensor: str) -> Shape:
        """Shape of an input, or of a tensor that an operation writes."""
        return self._shapes[tensor]

    def input(self, name: str, *shape: int, normalised: bool = False) -> str:
        """A tensor from outside."""
        self.inputs[name] = self._shapes[name] = shape
        if normalised:
            self.normalised.append(name)
        return name

    def integer_input(self, name: str, bound: int, *shape: int) -> str:
        """A tensor of whole numbers from outside, from 0 up to but without ``bound``."""
        self.integers[name] = bound
        return self.input(name, *shape)

    def parameter(self, name: str, *shape: int) -> str:
        """A weight, bias or norm parameter."""
        self.parameters[name] = shape
        return name

    def gemm(
        self,
        name: str,
        a: str,
        outputs: int,
        *,
        weight: str,
        bias: str | None = None,
        activation: Activation | None = None,
        output: str | None = None,
    ) -> str:
        """Product of all rows of ``a`` with a weight [columns of a, outputs], plus a bias when one is named."""
        rows, depth = self.shape(a)
        self.parameter(weight, depth, outputs)
        if bias is not None:
            self.parameter(bias, outputs)
        output = name if output is None else output
        self.operations.append(
            Gemm(
                name,
                m=rows,
                n=outputs,
                k=depth,
                dtype=self.dtype,
                a=a,
                weight=weight,
                bias=bias,
                activation=activation,
                output=output,
            )
        )
        self._shapes[output] = (rows, outputs)
        return output

    def linear(self, name: str, a: str, outputs: int, *, activation: Activation | None = None) -> str:
        """Product with ``<name>.weight`` and ``<name>.bias``."""
        return self.gemm(name, a, outputs, weight=f"{name}.weight", bias=f"{name}.bias", activation=activation)

    def attention(
        self,
        name: str,
        query: str,
        key: str,
        value: str,
        *,
        batch: int,
        heads: int,
        output: str | None = None,
        lengths: tuple[int, ...] | None = None,
    ) -> str:
        """Attention of every batch item and head; ``lengths`` are the real tokens of each item."""
        rows, columns = self.shape(query)
        output = name if output is None else output
        self.operations.append(
            Attention(
                name,
                batch=batch,
                heads=heads,
                sequence=rows // batch,
                head_dim=columns // heads,
                dtype=self.dtype,
                query=query,
                key=key,
                value=value,
                output=output,
                lengths=lengths,
            )
        )
        self._shapes[output] = (rows, columns)
        return output

    def elementwise(
        self,
        name: str,
        function: ElementwiseFunction,
        inputs: tuple[str, ...],
        shape: Shape,
        *,
        flops: int,
        read: int | None = None,
        parameters: Mapping[str, Shape] | None = None,
        attributes: Mapping[str, float | int | str] | None = None,
        cold: int = 0,
    ) -> str:
        """A memory-bound operation that writes a tensor of ``shape``.

        Memory sees its inputs and parameters read once and its output written once, in the network's format. ``read``
        replaces the number of elements read where not all of the inputs are; ``cold`` of them were not just written.
        Attributes name the parameters by role.
        """
        parameters = {} if parameters is None else parameters
        named = {role: self.parameter(f"{name}.{role}", *extent) for role, extent in parameters.items()}
        if read is None:
            read = sum(_size(self.shape(tensor)) for tensor in inputs) + sum(map(_size, parameters.values()))
        operation = elementwise_operation(
            name, function, inputs, name, _size(shape), read, flops, self.dtype, {**(attributes or {}), **named}
        )
        self.operations.append(replace(operation, cold_bytes=cold * ELEMENT_BYTES[self.dtype]))
        self._shapes[name] = shape
        return name

    def columns(self, name: str, tensor: str, first: int, last: int) -> str:
        """Columns ``first`` to ``last`` of a tensor as a tensor of its own: a view."""
        rows, columns = self.shape(tensor)
        return self.view(
            name, "columns", (tensor,), (rows, last - first), {"first": first, "last": last, "of": columns}
        )

    def view(
        self,
        name: str,
        function: ElementwiseFunction,
        inputs: tuple[str, ...],
        shape: Shape,
        attributes: Mapping[str, float | int | str],
    ) -> str:
        """Some rows or columns of a tensor as a tensor of its own, which moves no bytes."""
        self.operations.append(
            Elementwise(
                name,
                function,
                inputs,
                name,
                elements=0,
                bytes_read=0,
                bytes_written=0,
                flops_per_element=0,
                attributes=dict(attributes),
            )
        )
        self._shapes[name] = shape
        return name

    def finish(self, name: str, output: str, items: int = 1) -> Network:
        """The network, with ``output`` as its result."""
        return Network(
            name=name,
            operations=tuple(self.operations),
            inputs=dict(self.inputs),
            parameters=dict(self.parameters),
            output=output,
            items=items,
            dtype=self.dtype,
            normalised_inputs=tuple(self.normalised),
            integer_inputs=dict(self.integers),
        )


def elementwise_operation(
    name: str,
    function: ElementwiseFunction,
    inputs: tuple[str, ...],
    output: str,
    elements: int,
    read: int,
    flops: int,
    dtype: str,
    attributes: dict[str, float | int | str],
) -> Elementwise:
    """An element-wise operation that reads ``read`` and writes ``elements`` elements of a format."""
    size = ELEMENT_BYTES[dtype]
    return Elementwise(
        name,
        function,
        inputs,
        output,
        elements=elements,
        bytes_read=read * size,
        bytes_written=elements * size,
        flops_per_element=flops,
        attributes=attributes,
    )


def _size(shape: Shape) -> int:
    total = 1
    for extent in shape:
        total *= extent
    return total
