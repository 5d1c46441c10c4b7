"""Spec of a workload that lists its operations one by one, as importers write it."""

from typing import Annotated, Literal

from pydantic import Field

from accelsim.config.base import Spec
from accelsim.config.workload_base import Activation, Metric, Size, WorkloadBase

Name = Annotated[str, Field(min_length=1, pattern=r"^[\w.-]+$")]


class GraphInput(Spec):
    """A tensor from outside."""

    rows: Size
    columns: Size
    integers_below: Size | None = None
    """Left out, numbers; else whole numbers from 0 up to but without this."""


class LinearStep(Spec):
    """y = x W + b, then an activation; weights are ``NAME.weight`` [inputs, outputs] and ``NAME.bias``."""

    op: Literal["linear"]
    name: Name
    inputs: list[str] = Field(min_length=1, max_length=1)
    outputs: Size
    """Columns of y."""
    bias: bool = True
    activation: Activation | None = None


class AttentionStep(Spec):
    """softmax(Q K^T / sqrt(head_dim)) V of inputs Q, K and V, each [batch * sequence, heads * head_dim]."""

    op: Literal["attention"]
    name: Name
    inputs: list[str] = Field(min_length=3, max_length=3)
    batch: Size = 1
    heads: Size


class NormStep(Spec):
    """LayerNorm of every row with ``NAME.gain`` and ``NAME.bias``."""

    op: Literal["norm"]
    name: Name
    inputs: list[str] = Field(min_length=1, max_length=1)
    epsilon: float = Field(default=1e-5, gt=0)


class AddStep(Spec):
    """Sum of two tensors of one shape."""

    op: Literal["add"]
    name: Name
    inputs: list[str] = Field(min_length=2, max_length=2)


class FunctionStep(Spec):
    """A function of every element, or softmax of every row."""

    op: Literal["gelu", "gelu_tanh", "relu", "tanh", "softmax"]
    name: Name
    inputs: list[str] = Field(min_length=1, max_length=1)


class LookupStep(Spec):
    """Rows of a table ``NAME.table`` [size, columns] by whole numbers [rows, 1]."""

    op: Literal["lookup"]
    name: Name
    inputs: list[str] = Field(min_length=1, max_length=1)
    size: Size
    columns: Size


class PositionStep(Spec):
    """Adds ``NAME.position`` [sequence, columns] to the rows of every item."""

    op: Literal["position"]
    name: Name
    inputs: list[str] = Field(min_length=1, max_length=1)
    sequence: Size


class PoolStep(Spec):
    """From the `sequence` rows of every item to one: their mean, or the first."""

    op: Literal["mean_tokens", "first_token"]
    name: Name
    inputs: list[str] = Field(min_length=1, max_length=1)
    sequence: Size


Step = Annotated[
    LinearStep | AttentionStep | NormStep | AddStep | FunctionStep | LookupStep | PositionStep | PoolStep,
    Field(discriminator="op"),
]


class GraphWorkload(WorkloadBase):
    """A network as a list of operations, in order; each reads inputs or what an earlier one wrote."""

    kind: Literal["graph"]
    inputs: dict[Name, GraphInput] = Field(min_length=1)
    """Tensors from outside, by name."""
    steps: list[Step] = Field(min_length=1)
    """The last one's output is the result."""
    items: Size = 1
    """Texts, images and the like that one pass takes."""
    weights: str | None = None
    """.npz of the weights, a path relative to the YAML; left out, they are drawn."""
    data: str | None = None
    """.npz of the inputs by name and, if wanted, ``labels`` [items]; left out, inputs are drawn."""
    metric: Metric | None = None
    """What the run's `metric` is; left out, accuracy where there are labels."""
    sources: dict[str, str] = {}
