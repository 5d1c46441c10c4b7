"""Forward passes of Hugging Face models, written once more from their papers: one text at a time, no padding."""

import math

import numpy as np

_erf = np.vectorize(math.erf)


def _linear(t, name, x):
    return x @ t[f"{name}.weight"].T.astype(np.float64) + t[f"{name}.bias"]


def _norm(t, name, x, epsilon=1e-12):
    centred = x - x.mean(axis=-1, keepdims=True)
    return (
        centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon) * t[f"{name}.weight"] + t[f"{name}.bias"]
    )


def _gelu(x):
    return x * (1 + _erf(x / math.sqrt(2))) / 2


def _attention(t, at, x, heads):
    query, key, value = (_linear(t, f"{at}.{part}", x) for part in ("query", "key", "value"))
    size = x.shape[1] // heads
    out = np.empty_like(query)
    for head in range(heads):
        columns = slice(head * size, (head + 1) * size)
        power = np.exp(query[:, columns] @ key[:, columns].T / math.sqrt(size))
        out[:, columns] = power / power.sum(axis=1, keepdims=True) @ value[:, columns]
    return out


def bert_tokens(t, tokens, heads, layers):
    """Last hidden state of one text, [tokens, hidden]."""
    x = t["embeddings.word_embeddings.weight"][tokens] + t["embeddings.position_embeddings.weight"][: len(tokens)]
    x = _norm(t, "embeddings.LayerNorm", x + t["embeddings.token_type_embeddings.weight"][0])
    for layer in range(layers):
        at = f"encoder.layer.{layer}"
        attended = _linear(t, f"{at}.attention.output.dense", _attention(t, f"{at}.attention.self", x, heads))
        x = _norm(t, f"{at}.attention.output.LayerNorm", x + attended)
        wide = _gelu(_linear(t, f"{at}.intermediate.dense", x))
        x = _norm(t, f"{at}.output.LayerNorm", x + _linear(t, f"{at}.output.dense", wide))
    return x


def plain_bert(t, prefix, texts, heads=2, layers=2):
    """Logits of a BERT classifier, [texts, classes]."""
    t = {name.removeprefix(prefix): array for name, array in t.items()}
    first = np.asarray([bert_tokens(t, tokens, heads, layers)[0] for tokens in texts])
    return _linear(t, "classifier", np.tanh(_linear(t, "pooler.dense", first)))


def plain_vit(t, images, heads=2, layers=2, patch=4):
    """Logits of a ViT classifier on normalised images [count, height, width, channels]."""
    t = {name.removeprefix("vit."): array for name, array in t.items()}
    kernel, bias = (t[f"embeddings.patch_embeddings.projection.{part}"] for part in ("weight", "bias"))
    found = []
    for image in images:
        tokens = [t["embeddings.cls_token"][0, 0]]
        for top in range(0, image.shape[0], patch):
            for left in range(0, image.shape[1], patch):
                window = image[top : top + patch, left : left + patch]
                tokens.append(np.einsum("hcij,ijc->h", kernel, window) + bias)
        x = np.asarray(tokens) + t["embeddings.position_embeddings"][0]
        for layer in range(layers):
            at = f"encoder.layer.{layer}"
            attended = _attention(t, f"{at}.attention.attention", _norm(t, f"{at}.layernorm_before", x), heads)
            x = x + _linear(t, f"{at}.attention.output.dense", attended)
            wide = _gelu(_linear(t, f"{at}.intermediate.dense", _norm(t, f"{at}.layernorm_after", x)))
            x = x + _linear(t, f"{at}.output.dense", wide)
        found.append(_linear(t, "classifier", _norm(t, "layernorm", x)[:1])[0])
    return np.asarray(found)
