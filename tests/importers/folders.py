"""Small random Hugging Face folders, written by the tests themselves."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "good", "bad", "film", "was", "it", "very", "not"]
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
}
BERT = {**SIZES, "model_type": "bert", "vocab_size": 20, "max_position_embeddings": 12, "type_vocab_size": 2}
VIT = {**SIZES, "model_type": "vit", "image_size": 8, "patch_size": 4, "num_channels": 3}


def tensors_of(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {
        name: (generator.standard_normal(shape) * 0.3 + name.endswith("orm.weight")).astype(np.float32)
        for name, shape in shapes.items()
    }


def linear(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def bert_shapes(prefix: str = "bert.", classes: int | None = 3, offset: int = 0) -> dict[str, tuple[int, ...]]:
    hidden, ffn = 16, 24
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (20, hidden),
        "embeddings.position_embeddings.weight": (12 + offset, hidden),
        "embeddings.token_type_embeddings.weight": (2, hidden),
        **norm("embeddings.LayerNorm", hidden),
    }
    for layer in range(2):
        at = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            shapes |= linear(f"{at}.attention.self.{part}", hidden, hidden)
        shapes |= linear(f"{at}.attention.output.dense", hidden, hidden) | norm(
            f"{at}.attention.output.LayerNorm", hidden
        )
        shapes |= linear(f"{at}.intermediate.dense", hidden, ffn) | linear(f"{at}.output.dense", ffn, hidden)
        shapes |= norm(f"{at}.output.LayerNorm", hidden)
    if classes is not None:
        shapes |= linear("pooler.dense", hidden, hidden)
    found = {f"{prefix}{name}": shape for name, shape in shapes.items()}
    return found | (linear("classifier", hidden, classes) if classes is not None else {})


def distilbert_shapes() -> dict[str, tuple[int, ...]]:
    hidden, ffn = 16, 24
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (20, hidden),
        "embeddings.position_embeddings.weight": (12, hidden),
        **norm("embeddings.LayerNorm", hidden),
    }
    for layer in range(2):
        at = f"transformer.layer.{layer}"
        for part in ("q_lin", "k_lin", "v_lin", "out_lin"):
            shapes |= linear(f"{at}.attention.{part}", hidden, hidden)
        shapes |= norm(f"{at}.sa_layer_norm", hidden) | norm(f"{at}.output_layer_norm", hidden)
        shapes |= linear(f"{at}.ffn.lin1", hidden, ffn) | linear(f"{at}.ffn.lin2", ffn, hidden)
    found = {f"distilbert.{name}": shape for name, shape in shapes.items()}
    return found | linear("pre_classifier", hidden, hidden) | linear("classifier", hidden, 2)


def vit_shapes() -> dict[str, tuple[int, ...]]:
    hidden, ffn = 16, 24
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.cls_token": (1, 1, hidden),
        "embeddings.position_embeddings": (1, 5, hidden),
        "embeddings.patch_embeddings.projection.weight": (hidden, 3, 4, 4),
        "embeddings.patch_embeddings.projection.bias": (hidden,),
        **norm("layernorm", hidden),
    }
    for layer in range(2):
        at = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            shapes |= linear(f"{at}.attention.attention.{part}", hidden, hidden)
        shapes |= linear(f"{at}.attention.output.dense", hidden, hidden)
        shapes |= linear(f"{at}.intermediate.dense", hidden, ffn) | linear(f"{at}.output.dense", ffn, hidden)
        shapes |= norm(f"{at}.layernorm_before", hidden) | norm(f"{at}.layernorm_after", hidden)
    found = {f"vit.{name}": shape for name, shape in shapes.items()}
    return found | linear("classifier", hidden, 4)


def write_folder(path: Path, config: dict[str, Any], tensors: dict[str, np.ndarray]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config))
    save_file(tensors, path / "model.safetensors")
    return path


def write_tokenizer(path: Path, words: list[str] = WORDS) -> None:
    """A tokenizer of whole words that puts [CLS] before and [SEP] behind a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", words.index("[CLS]")), ("[SEP]", words.index("[SEP]"))],
    )
    tokenizer.enable_padding()
    tokenizer.enable_truncation(max_length=4)
    tokenizer.save(str(path))
