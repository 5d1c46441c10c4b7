"""Transformer encoders: layers in BERT's post-norm form or with the norms first, and the vision transformer around
them."""

from dataclasses import dataclass

from accelsim.config.workload import EncoderWorkload, VisionWorkload
from accelsim.errors import ConfigError
from accelsim.model.graph import Activation, Network
from accelsim.model.parts import NetworkBuilder
from accelsim.model.vision import count_images

BERT_EPSILON = 1e-12
"""What BERT adds to the variance before the root."""
NORM_FLOPS = 7
"""Mean, difference, square and its sum, division by the deviation, gain and bias."""
ADD_NORM_FLOPS = 8
"""The same after a residual addition."""
EMBED_GEMM_MIN_K = 16
"""Depth of one fp16 tensor-core instruction: shallower patch embeddings are cheaper as element-wise work."""


@dataclass(frozen=True)
class EncoderForm:
    """What encoder layers are beside their sizes."""

    batch: int
    epsilon: float = BERT_EPSILON
    activation: Activation = "gelu"
    pre_norm: bool = False
    lengths: tuple[int, ...] | None = None
    """[batch] real tokens of each sequence; None when nothing is padded."""


def build_encoder(workload: EncoderWorkload) -> Network:
    """Encoder layers on activations [batch * sequence, hidden] that a LayerNorm (of the embedding) wrote."""
    builder = NetworkBuilder(workload.dtype)
    x = builder.input("input", workload.batch * workload.sequence, workload.hidden, normalised=True)
    x = encoder_layers(builder, workload, x, EncoderForm(workload.batch))
    return builder.finish(workload.name or "encoder", x, items=workload.batch)


def build_vision(workload: VisionWorkload) -> Network:
    """Vision transformer on patches [images * patches, channels * patch^2]: embedding, encoder, pooling, classifier.

    All images of the split (or the first `images` of them) are one batch.

    Raises
    ------
    ConfigError
        When `batch` contradicts the number of images.
    OperandError
        When the data cannot be read.
    """
    images = _images(workload)
    builder = NetworkBuilder(workload.dtype)
    patches = workload.sequence - workload.class_token
    x = builder.input("patches", images * patches, workload.channels * workload.patch**2)
    x = _embed(builder, workload, x, images)
    form = EncoderForm(images, workload.epsilon, workload.activation, workload.pre_norm)
    x = encoder_layers(builder, workload, x, form)
    if workload.pooling == "cls":
        shape = (images, workload.hidden)
        x = builder.view("first_token", "first_token", (x,), shape, {"sequence": workload.sequence})
    elif workload.pooling == "mean":
        x = mean_tokens(builder, workload, x, images)
    if workload.classes is not None:
        x = builder.linear("classifier", x, workload.classes)
    return builder.finish(workload.name or "vision", x, items=images)


def _images(workload: VisionWorkload) -> int:
    if workload.data is None:
        return workload.batch
    images = count_images(workload)
    if workload.batch not in (1, images):
        raise ConfigError(
            f"workload.batch is {workload.batch}, but a vision workload takes its {images} images as one batch; "
            "leave batch out and set workload.images"
        )
    return images


def _embed(builder: NetworkBuilder, workload: VisionWorkload, patches: str, images: int) -> str:
    """Patch embedding plus learned positions, after a class token where there is one; a GEMM where patches are deep
    enough for one."""
    rows, depth = builder.shape(patches)
    shape = (images * workload.sequence, workload.hidden)
    learned = {"position": builder.parameter("position", workload.sequence, workload.hidden)}
    if workload.class_token:
        learned["class_token"] = builder.parameter("class_token", workload.hidden)
    tables = (workload.sequence + workload.class_token) * workload.hidden
    if depth < EMBED_GEMM_MIN_K:
        weights = {"weight": (depth, workload.hidden), "bias": (workload.hidden,)}
        return builder.elementwise(
            "embed",
            "embed",
            (patches,),
            shape,
            flops=2 * depth + 1,
            read=rows * depth + (depth + 1) * workload.hidden + tables,
            parameters=weights,
            attributes=learned,
        )
    product = builder.gemm(
        "embed.product", patches, workload.hidden, weight="embed.weight", bias="embed.bias", output="embed.product"
    )
    read = rows * workload.hidden + tables
    return builder.elementwise("embed", "embed", (product,), shape, flops=1, read=read, attributes=learned)


def mean_tokens(builder: NetworkBuilder, workload: EncoderWorkload, x: str, items: int, *lengths: str) -> str:
    """Mean over the tokens of each item, or over the real ones when ``lengths`` names the tensor of their numbers."""
    return builder.elementwise(
        "mean_tokens",
        "mean_tokens",
        (x, *lengths),
        (items, workload.hidden),
        flops=workload.sequence,
        attributes={"sequence": workload.sequence},
    )


def encoder_layers(builder: NetworkBuilder, workload: EncoderWorkload, x: str, form: EncoderForm) -> str:
    """All layers on ``x``, with the norm after the last one where norms come first."""
    layer = _pre_norm_layer if form.pre_norm else _post_norm_layer
    for index in range(workload.layers):
        x = layer(builder, f"layers.{index}", x, workload, form)
    return norm(builder, "final_norm", x, form.epsilon) if form.pre_norm else x


def _post_norm_layer(builder: NetworkBuilder, name: str, x: str, workload: EncoderWorkload, form: EncoderForm) -> str:
    """x = norm(x + attention(x)), then x = norm(x + ffn(x))."""
    x = _add_norm(builder, f"{name}.attention_norm", x, _attention(builder, name, x, workload, form), form.epsilon)
    return _add_norm(builder, f"{name}.ffn_norm", x, _ffn(builder, name, x, workload, form), form.epsilon)


def _pre_norm_layer(builder: NetworkBuilder, name: str, x: str, workload: EncoderWorkload, form: EncoderForm) -> str:
    """x = x + attention(norm(x)), then x = x + ffn(norm(x))."""
    before = norm(builder, f"{name}.attention_norm", x, form.epsilon)
    x = add(builder, f"{name}.attention_add", x, _attention(builder, name, before, workload, form))
    before = norm(builder, f"{name}.ffn_norm", x, form.epsilon)
    return add(builder, f"{name}.ffn_add", x, _ffn(builder, name, before, workload, form))


def _attention(builder: NetworkBuilder, name: str, x: str, workload: EncoderWorkload, form: EncoderForm) -> str:
    query, key, value = (builder.linear(f"{name}.{role}", x, workload.hidden) for role in ("query", "key", "value"))
    context = builder.attention(
        f"{name}.attention", query, key, value, batch=form.batch, heads=workload.heads, lengths=form.lengths
    )
    return builder.linear(f"{name}.output", context, workload.hidden)


def _ffn(builder: NetworkBuilder, name: str, x: str, workload: EncoderWorkload, form: EncoderForm) -> str:
    wide = builder.linear(f"{name}.ffn_in", x, workload.ffn, activation=form.activation)
    return builder.linear(f"{name}.ffn_out", wide, workload.hidden)


def norm(builder: NetworkBuilder, name: str, x: str, epsilon: float) -> str:
    """LayerNorm of every row."""
    rows, columns = builder.shape(x)
    parameters = {"gain": (columns,), "bias": (columns,)}
    attributes = {"epsilon": epsilon}
    return builder.elementwise(
        name, "norm", (x,), (rows, columns), flops=NORM_FLOPS, parameters=parameters, attributes=attributes
    )


def add(builder: NetworkBuilder, name: str, x: str, update: str) -> str:
    """Sum of two tensors of one shape."""
    return builder.elementwise(name, "add", (x, update), builder.shape(x), flops=1)


def _add_norm(builder: NetworkBuilder, name: str, x: str, update: str, epsilon: float) -> str:
    rows, columns = builder.shape(x)
    return builder.elementwise(
        name,
        "add_norm",
        (x, update),
        (rows, columns),
        flops=ADD_NORM_FLOPS,
        parameters={"gain": (columns,), "bias": (columns,)},
        attributes={"epsilon": epsilon},
    )
