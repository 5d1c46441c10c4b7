"""A network as a small graph: a list of operations in order of execution that read and write named tensors."""

from dataclasses import dataclass, field
from typing import Literal

ElementwiseFunction = Literal[
    "softmax", "add_norm", "norm", "add", "gelu", "gelu_tanh", "relu", "tanh", "embed", "embed_tokens", "lookup",
    "mean_tokens", "normalise", "im2col", "lstm_cell", "transpose", "columns", "first_token", "real_tokens", "scatter",
]  # fmt: skip
"""``columns``, ``first_token`` and ``real_tokens`` are views of some columns or rows of a tensor: they move no bytes,
so they are no kernels and take no time. ``scatter`` moves compact columns of a product to their places; values are
computed in place, so it changes none."""

Activation = Literal["gelu", "gelu_tanh", "relu", "tanh"]

Layout = Literal["row_major", "transposed"]
"""How an operand lies in memory: row by row as the product reads it, or row by row of its transpose."""

ELEMENT_BYTES: dict[str, int] = {"fp16": 2, "bf16": 2, "tf32": 4, "fp32": 4, "int8": 1}
"""Bytes of an element in memory, for each operand format."""


@dataclass(frozen=True)
class Gemm:
    """C[m, n] = A[m, k] B[k, n], `batch` times with operands of their own. B holds the weights, if there are any."""

    name: str
    m: int
    n: int
    k: int
    batch: int = 1
    dtype: str = "fp16"
    a: str = "input"
    """Tensor of activations, [batch * m, k] (rows of batch items one after another)."""
    weight: str | None = "weight"
    """Parameter of shape [k, n]; None when B is an activation too (then `batch` may exceed 1)."""
    b: str | None = None
    bias: str | None = None
    activation: Activation | None = None
    """Done on the accumulators in the epilogue."""
    output: str = "output"
    a_layout: Layout = "row_major"
    """A as [m, k], or stored as [k, m]."""
    b_layout: Layout = "row_major"
    """B as [k, n], or stored as [n, k]."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the dense product."""
        return self.batch * self.m * self.n * self.k


@dataclass(frozen=True)
class Attention:
    """softmax(Q K^T / sqrt(head_dim)) V. Q, K, V and the output are [batch * sequence, heads * head_dim]."""

    name: str
    batch: int
    heads: int
    sequence: int
    head_dim: int
    dtype: str = "fp16"
    query: str = "query"
    key: str = "key"
    value: str = "value"
    output: str = "output"
    lengths: tuple[int, ...] | None = None
    """[batch] real tokens of each sequence, which come first; the rest is padding that no query may see. None: all."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of both dense products, padding included."""
        return 2 * self.batch * self.heads * self.sequence**2 * self.head_dim


@dataclass(frozen=True)
class Elementwise:
    """A memory-bound operation between the products."""

    name: str
    function: ElementwiseFunction
    inputs: tuple[str, ...]
    output: str
    elements: int
    """Elements written."""
    bytes_read: int
    bytes_written: int
    flops_per_element: int
    """Additions, multiplications and the like for each element written (an exponential counts as 4)."""
    attributes: dict[str, float | int | str] = field(default_factory=dict)
    cold_bytes: int = 0
    """Of `bytes_read`: what lies in memory and was not just written, as the rows that are looked up in a table."""


Operation = Gemm | Attention | Elementwise


def reads(operation: Operation) -> tuple[str, ...]:
    """Tensors of activations that an operation reads."""
    if isinstance(operation, Gemm):
        return (operation.a,) if operation.b is None else (operation.a, operation.b)
    if isinstance(operation, Attention):
        return (operation.query, operation.key, operation.value)
    return operation.inputs


@dataclass(frozen=True)
class Network:
    """Operations in order; each reads tensors that an earlier one wrote, or an input."""

    name: str
    operations: tuple[Operation, ...]
    inputs: dict[str, tuple[int, ...]]
    """Shape of every tensor that comes from outside."""
    parameters: dict[str, tuple[int, ...]]
    """Shape of every weight, bias and norm parameter."""
    output: str
    """Tensor that is the result."""
    items: int = 1
    """Inputs (sequences, images) that one pass takes, for items_per_s."""
    dtype: str = "fp16"
    normalised_inputs: tuple[str, ...] = ()
    """Inputs that stand for what a LayerNorm wrote: their rows have mean 0 and variance 1."""
    integer_inputs: dict[str, int] = field(default_factory=dict)
    """Inputs that hold whole numbers, each from 0 up to but without this bound."""

    @property
    def results(self) -> tuple[str, ...]:
        """Tensors that are written and not read again: the output, and that of each layer of independent ones."""
        read = {tensor for operation in self.operations for tensor in reads(operation)}
        return tuple(operation.output for operation in self.operations if operation.output not in read)

    @property
    def macs(self) -> int:
        """Dense multiply-accumulates of all products."""
        return sum(operation.macs for operation in self.operations if not isinstance(operation, Elementwise))
