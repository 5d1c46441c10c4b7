"""Specs of workloads: one GEMM, one attention, an encoder, a vision transformer, or a list of layers."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from accelsim.config.base import Spec
from accelsim.config.hardware import Dtype
from accelsim.config.options import Defaults

Size = Annotated[int, Field(gt=0, le=10_000_000)]
"""An extent of operands; the limit is far beyond what is simulated, and keeps products of extents in 64 bits."""

CacheState = Literal["cold", "warm"]


class Caches(Spec):
    """What lies in L2 when a kernel starts. In a network, activations were just written and weights were not."""

    activations: CacheState = "warm"
    """The first operand."""
    weights: CacheState = "cold"
    """The second operand."""


class Operands(Spec):
    """How synthetic operands are drawn. Results name the distribution."""

    distribution: Literal["normal", "uniform"] = "normal"
    """Of activations and weights."""
    activation_scale: float = Field(default=1.0, gt=0)
    """Standard deviation (normal) or half range (uniform) of activations."""
    weight_scale: float | None = Field(default=None, gt=0)
    """Likewise of weights; left out, 1/sqrt(k), which keeps the variance of the output."""


class _Workload(Spec):
    name: str = ""
    description: str = ""
    dtype: Dtype = "fp16"
    """Format of operands and of what kernels write."""
    caches: Caches = Caches()
    """What lies in L2 when a kernel starts."""
    operands: Operands = Operands()
    """How synthetic operands are drawn."""
    launch: Literal["graph", "stream", "sync"] = "graph"
    """Whether kernels replay from a graph, are launched one by one, or are each launched and waited for."""
    defaults: Defaults = Defaults()
    """Options that hold for this workload unless ``--set`` says otherwise."""


class GemmWorkload(_Workload):
    """C[m, n] = A[m, k] B[k, n]; B holds the weights."""

    kind: Literal["gemm"]
    m: Size
    """Rows of A and C."""
    n: Size
    """Columns of B and C."""
    k: Size
    """Columns of A, rows of B."""


class AttentionWorkload(_Workload):
    """softmax(Q K^T / sqrt(head_dim)) V for every batch item and head."""

    kind: Literal["attention"]
    batch: Size = 1
    """Sequences."""
    heads: Size
    """Of each sequence."""
    sequence: Size
    """Tokens of a sequence."""
    head_dim: Size
    """Length of a row of Q, K and V in one head."""


class EncoderWorkload(_Workload):
    """Post-norm transformer encoder layers (BERT's form), without embedding."""

    kind: Literal["encoder"]
    layers: int = Field(default=1, gt=0, le=4096)
    """Encoder layers, one after another."""
    batch: Size = 1
    """Sequences."""
    sequence: Size
    """Tokens of a sequence."""
    hidden: Size
    """Width of a token; a multiple of `heads`."""
    heads: Size
    """Of each layer."""
    ffn: Size
    """Width inside the feed-forward part."""

    @model_validator(mode="after")
    def _heads(self) -> "EncoderWorkload":
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) is not a multiple of heads ({self.heads})")
        return self


class VisionWorkload(EncoderWorkload):
    """A trained vision transformer on labelled images: embedding, encoder, mean over tokens, classifier."""

    kind: Literal["vision"]  # type: ignore[assignment]
    patch: Size
    """Side of a square patch in pixels; every patch is a token."""
    classes: int = Field(gt=1)
    """Outputs of the classifier."""
    weights: str
    """.npz of the weights, a path relative to the YAML."""
    data: str
    """.npz of images and labels, a path relative to the YAML."""
    split: str = "test"
    """Which images: arrays ``<split>_images`` and ``<split>_labels`` of the data."""
    images: int | None = Field(default=None, gt=0)
    """Only so many of them, from the first."""
    sources: dict[str, str] = {}


class LinearLayer(Spec):
    """y = x W + b on `rows` rows."""

    type: Literal["linear"]
    rows: Size
    """Rows of x."""
    inputs: Size
    """Columns of x."""
    outputs: Size
    """Columns of y."""


class Conv2dLayer(Spec):
    """A convolution as im2col and GEMM: k = kernel^2 x channels, ordered (kernel row, kernel column, channel)."""

    type: Literal["conv2d"]
    batch: Size = 1
    """Images."""
    height: Size
    """Of an image."""
    width: Size
    """Of an image."""
    channels: Size
    """Of an image."""
    filters: Size
    """Channels of the output."""
    kernel: Size
    """Side of the square window."""
    stride: Size = 1
    """Of the window, both ways."""
    padding: int = Field(default=0, ge=0, le=10_000_000)
    """Zeros on each side."""


class LstmLayer(Spec):
    """One LSTM layer: for each step a GEMM of [x, h] with the weights of the four gates."""

    type: Literal["lstm"]
    batch: Size = 1
    """Sequences."""
    steps: int = Field(gt=0, le=65536)
    """Length of a sequence."""
    inputs: Size
    """Width of x."""
    hidden: Size
    """Width of h."""


class AttentionLayer(Spec):
    """Self-attention proper, without projections."""

    type: Literal["attention"]
    batch: Size = 1
    """Sequences."""
    heads: Size
    """Of each sequence."""
    sequence: Size
    """Tokens of a sequence."""
    head_dim: Size
    """Length of a row of Q, K and V in one head."""


Layer = Annotated[LinearLayer | Conv2dLayer | LstmLayer | AttentionLayer, Field(discriminator="type")]


class NetworkWorkload(_Workload):
    """A list of independent layers, each on operands of its own: what sets of layer shapes are benchmarked as."""

    kind: Literal["network"]
    layers: list[Layer] = Field(min_length=1)
    """Each with its `type`: linear, conv2d, lstm or attention."""


Workload = Annotated[
    GemmWorkload | AttentionWorkload | EncoderWorkload | VisionWorkload | NetworkWorkload, Field(discriminator="kind")
]
