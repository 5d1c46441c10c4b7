"""Transformer encoders: layers in BERT's post-norm form, and the vision transformer around them."""

from accelsim.config.workload import EncoderWorkload, VisionWorkload
from accelsim.errors import ConfigError
from accelsim.model.graph import Network
from accelsim.model.parts import NetworkBuilder
from accelsim.model.vision import count_images

BERT_EPSILON = 1e-12
"""What BERT adds to the variance before the root."""
VISION_EPSILON = 1e-5
"""What the vision transformer was trained with."""
ADD_NORM_FLOPS = 8
"""Residual addition, mean, difference, square and its sum, division by the deviation, gain and bias."""
EMBED_GEMM_MIN_K = 16
"""Depth of one fp16 tensor-core instruction: shallower patch embeddings are cheaper as element-wise work."""


def build_encoder(workload: EncoderWorkload) -> Network:
    """Encoder layers on activations [batch * sequence, hidden] that a LayerNorm (of the embedding) wrote."""
    builder = NetworkBuilder(workload.dtype)
    x = builder.input("input", workload.batch * workload.sequence, workload.hidden, normalised=True)
    x = _layers(builder, workload, x, workload.batch, BERT_EPSILON)
    return builder.finish(workload.name or "encoder", x, items=workload.batch)


def build_vision(workload: VisionWorkload) -> Network:
    """Vision transformer on patches [images * sequence, patch^2]: embedding, encoder, mean over tokens, classifier.

    All images of the split (or the first `images` of them) are one batch.

    Raises
    ------
    ConfigError
        When `batch` contradicts the number of images.
    OperandError
        When the data cannot be read.
    """
    images = count_images(workload)
    if workload.batch not in (1, images):
        raise ConfigError(
            f"workload.batch is {workload.batch}, but a vision workload takes its {images} images as one batch; "
            "leave batch out and set workload.images"
        )
    builder = NetworkBuilder(workload.dtype)
    x = builder.input("patches", images * workload.sequence, workload.patch**2)
    x = _embed(builder, workload, x)
    x = _layers(builder, workload, x, images, VISION_EPSILON)
    x = builder.elementwise(
        "mean_tokens",
        "mean_tokens",
        (x,),
        (images, workload.hidden),
        flops=workload.sequence,
        attributes={"sequence": workload.sequence},
    )
    x = builder.linear("classifier", x, workload.classes)
    return builder.finish(workload.name or "vision", x, items=images)


def _embed(builder: NetworkBuilder, workload: VisionWorkload, patches: str) -> str:
    """Patch embedding plus learned positions; a GEMM where patches are deep enough for one."""
    rows, depth = builder.shape(patches)
    shape = (rows, workload.hidden)
    position = {"position": builder.parameter("position", workload.sequence, workload.hidden)}
    if depth < EMBED_GEMM_MIN_K:
        weights = {"weight": (depth, workload.hidden), "bias": (workload.hidden,)}
        read = rows * depth + (depth + 1 + workload.sequence) * workload.hidden
        return builder.elementwise(
            "embed",
            "embed",
            (patches,),
            shape,
            flops=2 * depth + 1,
            read=read,
            parameters=weights,
            attributes=position,
        )
    product = builder.gemm(
        "embed.product", patches, workload.hidden, weight="embed.weight", bias="embed.bias", output="embed.product"
    )
    read = (rows + workload.sequence) * workload.hidden
    return builder.elementwise("embed", "embed", (product,), shape, flops=1, read=read, attributes=position)


def _layers(builder: NetworkBuilder, workload: EncoderWorkload, x: str, batch: int, epsilon: float) -> str:
    for index in range(workload.layers):
        x = _layer(builder, f"layers.{index}", x, workload, batch, epsilon)
    return x


def _layer(builder: NetworkBuilder, name: str, x: str, workload: EncoderWorkload, batch: int, epsilon: float) -> str:
    """x = norm(x + attention(x)), then x = norm(x + ffn(x))."""
    hidden = workload.hidden
    query, key, value = (builder.linear(f"{name}.{role}", x, hidden) for role in ("query", "key", "value"))
    context = builder.attention(f"{name}.attention", query, key, value, batch=batch, heads=workload.heads)
    x = _add_norm(builder, f"{name}.attention_norm", x, builder.linear(f"{name}.output", context, hidden), epsilon)
    wide = builder.linear(f"{name}.ffn_in", x, workload.ffn, gelu=True)
    return _add_norm(builder, f"{name}.ffn_norm", x, builder.linear(f"{name}.ffn_out", wide, hidden), epsilon)


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
