"""Spec of a workload that lists its operations one by one, as importers write it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from accelsim.config.base import Spec
from accelsim.config.workload_base import Activation, Metric, Size, WorkloadBase

Name = Annotated[str, Field(min_length=1, pattern=r"^[\w.-]+$")]


class GraphInput(Spec):
    """A tensor from outside."""

    rows: Size
    """Of one item."""
    columns: Size
    integers_below: Size | None = None
    """Left out, numbers; else whole numbers from 0 up to but without this."""
    image: list[Size] | None = Field(default=None, min_length=3, max_length=3)
    """Channels, height and width of an item's image, which is cut into patches: a row each, channel by channel."""
    patch: Size | None = None
    """Side of a square patch of the image."""

    @model_validator(mode="after")
    def _image(self) -> "GraphInput":
        if (self.image is None) != (self.patch is None):
            raise ValueError("image and patch belong together")
        if self.image is None or self.patch is None:
            return self
        channels, height, width = self.image
        side = self.patch
        cut = height % side == 0 and width % side == 0
        if not cut or (self.rows, self.columns) != (height * width // side**2, channels * side**2):
            raise ValueError(
                f"an image of {channels} x {height} x {width} cut into patches of {side} x {side} does not make "
                f"{self.rows} rows of {self.columns} columns"
            )
        return self


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
    """softmax(Q K^T / sqrt(head_dim)) V of inputs Q, K and V, for an item [batch * sequence, heads * head_dim] each."""

    op: Literal["attention"]
    name: Name
    inputs: list[str] = Field(min_length=3, max_length=3)
    batch: Size = 1
    """Sequences of one item."""
    heads: Size
    padded: bool = False
    """Whether no query sees the padding that the workload's mask names."""


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
    """A function of every element, or of every row: softmax, or division by its length."""

    op: Literal["gelu", "gelu_tanh", "relu", "tanh", "softmax", "normalise"]
    name: Name
    inputs: list[str] = Field(min_length=1, max_length=1)


class LookupStep(Spec):
    """Rows of a table ``NAME.table`` [size, columns] by whole numbers [rows, 1]."""

    op: Literal["lookup"]
    name: Name
    inputs: list[str] = Field(min_length=1, max_length=1)
    size: Size
    columns: Size


class ColumnsStep(Spec):
    """Columns `first` up to but without `last` of every row, such as one of Q, K and V that one product makes."""

    op: Literal["columns"]
    name: Name
    inputs: list[str] = Field(min_length=1, max_length=1)
    first: int = Field(ge=0)
    last: Size


class PositionStep(Spec):
    """Adds ``NAME.position`` [sequence, columns] to the rows of every item, or of every `sequence` of its rows."""

    op: Literal["position"]
    name: Name
    inputs: list[str] = Field(min_length=1, max_length=1)
    sequence: Size
    class_token: bool = False
    """Whether a learned row ``NAME.class_token`` [columns] is put before the rows first; `sequence` counts it."""


class PoolStep(Spec):
    """From every `sequence` rows to one: their mean, or the first."""

    op: Literal["mean_tokens", "first_token"]
    name: Name
    inputs: list[str] = Field(min_length=1, max_length=1)
    sequence: Size
    padded: bool = False
    """Whether a mean leaves out the padding that the workload's mask names."""


Step = Annotated[
    LinearStep | AttentionStep | NormStep | AddStep | FunctionStep | LookupStep | ColumnsStep | PositionStep | PoolStep,
    Field(discriminator="op"),
]


class GraphWorkload(WorkloadBase):
    """A network as a list of operations, in order; each reads inputs or what an earlier one wrote."""

    kind: Literal["graph"]
    inputs: dict[Name, GraphInput] = Field(min_length=1)
    """Tensors from outside, by name."""
    steps: list[Step] = Field(min_length=1)
    """The last one's output is the result."""
    mask: Name | None = None
    """Array of the data that tells real tokens (1) from padding behind them (0), [items, tokens]; without data, all are
    real."""
    items: Size | None = None
    """Texts, images and the like that one pass takes: with data the first so many, or left out all; else 1."""
    weights: str | None = None
    """.npz of the weights, a path relative to the YAML; left out, they are drawn."""
    data: str | None = None
    """.npz of the inputs, a path relative to the YAML; left out, inputs are drawn."""
    split: str = "test"
    """Which arrays of the data: ``<split>_<input>`` [items, ...], and where there are any ``<split>_<mask>``,
    ``<split>_labels`` [items] and ``<split>_scores`` [items]; for the split test, names without it do too."""
    metric: Metric | None = None
    """What the run's `metric` is; left out, accuracy where there are labels, spearman where there are scores."""
    sources: dict[str, str] = {}

    @model_validator(mode="after")
    def _mask(self) -> "GraphWorkload":
        padded = [step.name for step in self.steps if isinstance(step, AttentionStep | PoolStep) and step.padded]
        if padded and self.mask is None:
            raise ValueError(f"step {padded[0]} is padded, which needs mask: the array that tells what is real")
        if self.mask is not None and self.mask in self.inputs:
            raise ValueError(f"mask and an input are both named {self.mask}")
        return self
