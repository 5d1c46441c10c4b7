"""Specs of workloads: one GEMM, one attention, an encoder, a vision or text transformer, a list of layers or of
operations."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from accelsim.config.base import Spec
from accelsim.config.graph_workload import GraphWorkload
from accelsim.config.workload_base import Activation, Caches, CacheState, Metric, Operands, Size, WorkloadBase

__all__ = [
    "AttentionLayer",
    "AttentionWorkload",
    "CacheState",
    "Caches",
    "Conv2dLayer",
    "EncoderWorkload",
    "GemmWorkload",
    "GraphWorkload",
    "Layer",
    "LinearLayer",
    "LstmLayer",
    "NetworkWorkload",
    "Operands",
    "Size",
    "TextWorkload",
    "VisionWorkload",
    "Workload",
]


class GemmWorkload(WorkloadBase):
    """C[m, n] = A[m, k] B[k, n]; B holds the weights."""

    kind: Literal["gemm"]
    m: Size
    """Rows of A and C."""
    n: Size
    """Columns of B and C."""
    k: Size
    """Columns of A, rows of B."""


class AttentionWorkload(WorkloadBase):
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


class EncoderWorkload(WorkloadBase):
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
    """A vision transformer on images: embedding of patches, encoder, pooling, classifier."""

    kind: Literal["vision"]  # type: ignore[assignment]
    patch: Size
    """Side of a square patch in pixels; every patch is a token."""
    channels: Size = 1
    """Of a pixel."""
    classes: int | None = Field(default=None, gt=0)
    """Outputs of the classifier; left out, there is none."""
    pre_norm: bool = False
    """Whether a LayerNorm stands before each half of a layer, and one after the last layer; else after each half."""
    class_token: bool = False
    """Whether a learned token stands before the patches; `sequence` counts it."""
    pooling: Literal["mean", "cls", "none"] = "mean"
    """From tokens to one vector for each image, which a classifier reads: their mean, or the first one; none puts out
    every token."""
    activation: Activation = "gelu"
    """Of the feed-forward part."""
    epsilon: float = Field(default=1e-5, gt=0)
    """What a LayerNorm adds to the variance."""
    pixel_max: float = Field(default=16.0, gt=0)
    """Brightest value of a pixel, which becomes 1."""
    pixel_mean: list[float] = [0.0]
    """Taken from every pixel after that, for all channels or for each."""
    pixel_std: list[Annotated[float, Field(gt=0)]] = [1.0]
    """What it is divided by then."""
    weights: str | None = None
    """.npz of the weights, a path relative to the YAML; left out, they are drawn."""
    data: str | None = None
    """.npz of images and labels, a path relative to the YAML; left out, `batch` images are drawn."""
    split: str = "test"
    """Which images: arrays ``<split>_images`` and ``<split>_labels`` of the data."""
    images: int | None = Field(default=None, gt=0)
    """Only so many of them, from the first."""
    metric: Metric | None = None
    """What the run's `metric` is; left out, accuracy."""
    sources: dict[str, str] = {}

    @model_validator(mode="after")
    def _pixels(self) -> "VisionWorkload":
        for key in ("pixel_mean", "pixel_std"):
            found = len(getattr(self, key))
            if found not in (1, self.channels):
                raise ValueError(f"{key} lists {found} numbers; allowed: 1, or one for each channel ({self.channels})")
        if self.pooling == "cls" and not self.class_token:
            raise ValueError("pooling cls reads the class token; set class_token: true, or pooling: mean")
        if self.pooling == "none" and self.classes is not None:
            raise ValueError("a classifier needs one vector for each image; choose pooling cls or mean")
        return self


class TextWorkload(EncoderWorkload):
    """A text encoder of BERT's form on token numbers: embedding, encoder, pooling, classifier."""

    kind: Literal["text"]  # type: ignore[assignment]
    vocabulary: Size
    """Rows of the table of words."""
    positions: Size | None = None
    """Rows of the table of positions, at least `sequence`; left out, `sequence`."""
    token_types: int = Field(default=2, ge=0, le=65536)
    """Rows of the table of token types; 0 for none."""
    pooling: Literal["none", "cls", "mean", "pooler"] = "none"
    """From tokens to one vector for each text: none (every real token is put out), the first token, the mean over real
    tokens, or a linear layer on the first token."""
    pooler_activation: Literal["tanh", "relu"] = "tanh"
    """Of the linear layer that pooling `pooler` has."""
    normalise: bool = False
    """Whether the vector is divided by its length."""
    classes: int | None = Field(default=None, gt=0)
    """Outputs of the classifier on the vector; left out, there is none."""
    activation: Activation = "gelu"
    """Of the feed-forward part."""
    epsilon: float = Field(default=1e-12, gt=0)
    """What a LayerNorm adds to the variance."""
    weights: str | None = None
    """.npz of the weights, a path relative to the YAML; left out, they are drawn."""
    data: str | None = None
    """.npz of token numbers, a path relative to the YAML; left out, `batch` texts of full length are drawn."""
    split: str = "test"
    """Which texts: arrays ``<split>_tokens``, ``<split>_lengths`` and so on of the data."""
    items: int | None = Field(default=None, gt=0)
    """Only so many texts, from the first."""
    metric: Metric | None = None
    """What the run's `metric` is; left out, accuracy where there are labels, spearman where there are scores."""
    sources: dict[str, str] = {}

    @model_validator(mode="after")
    def _text(self) -> "TextWorkload":
        if self.positions is not None and self.positions < self.sequence:
            raise ValueError(f"positions ({self.positions}) are fewer than the tokens of a sequence ({self.sequence})")
        if self.pooling == "none" and (self.classes is not None or self.normalise):
            raise ValueError("classes and normalise need one vector for each text; choose pooling cls, mean or pooler")
        return self


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


class NetworkWorkload(WorkloadBase):
    """A list of independent layers, each on operands of its own: what sets of layer shapes are benchmarked as."""

    kind: Literal["network"]
    layers: list[Layer] = Field(min_length=1)
    """Each with its `type`: linear, conv2d, lstm or attention."""


Workload = Annotated[
    GemmWorkload
    | AttentionWorkload
    | EncoderWorkload
    | VisionWorkload
    | TextWorkload
    | NetworkWorkload
    | GraphWorkload,
    Field(discriminator="kind"),
]
