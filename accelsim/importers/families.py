"""How families of Hugging Face models name their tensors and sizes, and what those are called here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Wanted:
    """One tensor of a workload, and where it is found."""

    name: str
    """In the workload's weights."""
    source: str
    """In the model, without the family's prefix."""
    convert: Callable[[Array], Array]


@dataclass(frozen=True)
class Family:
    """A family of encoders."""

    prefixes: tuple[str, ...]
    """Before the names of all tensors but those of a classifier; the empty one too."""
    sizes: Mapping[str, str]
    """Keys of config.json by those of a workload."""
    activation: str
    """Key of config.json for the activation of the feed-forward part."""
    table: str
    """Tensor that every model of the family has, by which its prefix is found."""


def as_is(array: Array) -> Array:
    """The tensor itself."""
    return array


def transposed(array: Array) -> Array:
    """A linear layer's [outputs, inputs] as [inputs, outputs]."""
    return np.ascontiguousarray(array.T)


def flat(array: Array) -> Array:
    """A tensor without extents of 1."""
    return array.reshape(-1)


def rows(array: Array) -> Array:
    """[1, rows, columns] as [rows, columns]."""
    return array.reshape(array.shape[-2:])


def patches(array: Array) -> Array:
    """Kernels of a convolution whose stride is its size, [hidden, channels, patch, patch], as a matrix [inputs, hidden]
    whose rows are ordered (row, column, channel)."""
    return np.ascontiguousarray(array.transpose(2, 3, 1, 0).reshape(-1, len(array)))


BERT_SIZES = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "ffn": "intermediate_size",
    "vocabulary": "vocab_size",
    "positions": "max_position_embeddings",
    "token_types": "type_vocab_size",
    "epsilon": "layer_norm_eps",
}

FAMILIES: dict[str, Family] = {
    "bert": Family(("bert.", ""), BERT_SIZES, "hidden_act", "embeddings.word_embeddings.weight"),
    "roberta": Family(("roberta.", ""), BERT_SIZES, "hidden_act", "embeddings.word_embeddings.weight"),
    "distilbert": Family(
        ("distilbert.", ""),
        {
            "layers": "n_layers",
            "hidden": "dim",
            "heads": "n_heads",
            "ffn": "hidden_dim",
            "vocabulary": "vocab_size",
            "positions": "max_position_embeddings",
        },
        "activation",
        "embeddings.word_embeddings.weight",
    ),
    "vit": Family(
        ("vit.", ""),
        {
            "layers": "num_hidden_layers",
            "hidden": "hidden_size",
            "heads": "num_attention_heads",
            "ffn": "intermediate_size",
            "patch": "patch_size",
            "channels": "num_channels",
            "epsilon": "layer_norm_eps",
        },
        "hidden_act",
        "embeddings.patch_embeddings.projection.weight",
    ),
}
"""By ``model_type`` of config.json."""

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
}
"""By their names in config.json."""

POSITION_OFFSET = {"roberta": 2}
"""First row of the table of positions that a text uses; the rows before belong to padding."""

_BERT_LAYER = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "ffn_in": "intermediate.dense",
    "ffn_out": "output.dense",
    "ffn_norm": "output.LayerNorm",
}
_DISTILBERT_LAYER = {
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "output": "attention.out_lin",
    "attention_norm": "sa_layer_norm",
    "ffn_in": "ffn.lin1",
    "ffn_out": "ffn.lin2",
    "ffn_norm": "output_layer_norm",
}
_VIT_LAYER = {
    "query": "attention.attention.query",
    "key": "attention.attention.key",
    "value": "attention.attention.value",
    "output": "attention.output.dense",
    "attention_norm": "layernorm_before",
    "ffn_in": "intermediate.dense",
    "ffn_out": "output.dense",
    "ffn_norm": "layernorm_after",
}
_LAYERS = {
    "bert": ("encoder.layer", _BERT_LAYER),
    "roberta": ("encoder.layer", _BERT_LAYER),
    "distilbert": ("transformer.layer", _DISTILBERT_LAYER),
    "vit": ("encoder.layer", _VIT_LAYER),
}


def linear(name: str, source: str) -> list[Wanted]:
    """Matrix and bias of a linear layer."""
    return [
        Wanted(f"{name}.weight", f"{source}.weight", transposed),
        Wanted(f"{name}.bias", f"{source}.bias", as_is),
    ]


def layer_norm(name: str, source: str) -> list[Wanted]:
    """Gain and bias of a LayerNorm."""
    return [Wanted(f"{name}.gain", f"{source}.weight", as_is), Wanted(f"{name}.bias", f"{source}.bias", as_is)]


def encoder_tensors(family: str, layers: int) -> list[Wanted]:
    """Tensors of the encoder layers of a family."""
    stem, parts = _LAYERS[family]
    found = []
    for index in range(layers):
        for name, source in parts.items():
            pair = layer_norm if name.endswith("_norm") else linear
            found += pair(f"layers.{index}.{name}", f"{stem}.{index}.{source}")
    return found


def text_embedding(family: str, token_types: int) -> list[Wanted]:
    """Tables of a text encoder, and the LayerNorm after them."""
    offset = POSITION_OFFSET.get(family, 0)
    found = [
        Wanted("embedding.word", "embeddings.word_embeddings.weight", as_is),
        Wanted("embedding.position", "embeddings.position_embeddings.weight", lambda table: table[offset:]),
        *layer_norm("embedding_norm", "embeddings.LayerNorm"),
    ]
    if token_types:
        found.append(Wanted("embedding.type", "embeddings.token_type_embeddings.weight", as_is))
    return found


def vision_embedding() -> list[Wanted]:
    """Patch embedding, class token and positions of a vision transformer, and the norm after its last layer."""
    projection = "embeddings.patch_embeddings.projection"
    return [
        Wanted("embed.weight", f"{projection}.weight", patches),
        Wanted("embed.bias", f"{projection}.bias", as_is),
        Wanted("class_token", "embeddings.cls_token", flat),
        Wanted("position", "embeddings.position_embeddings", rows),
        *layer_norm("final_norm", "layernorm"),
    ]
