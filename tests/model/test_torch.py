"""Dense output of a text encoder against PyTorch's own modules; skipped where torch is not installed."""

import numpy as np
import pytest

import accelsim
from accelsim.config.workload import TextWorkload

torch = pytest.importorskip("torch", reason="torch is not installed")

LAYERS, HIDDEN, HEADS, FFN, WORDS, SEQUENCE, CLASSES = 2, 32, 4, 64, 40, 12, 3


class Bert(torch.nn.Module):
    """BERT from torch's own encoder layers, which are post-norm with exact GELU."""

    def __init__(self):
        super().__init__()
        self.word, self.position, self.kind = (torch.nn.Embedding(size, HIDDEN) for size in (WORDS, SEQUENCE, 2))
        self.norm = torch.nn.LayerNorm(HIDDEN, eps=1e-12)
        layer = torch.nn.TransformerEncoderLayer(
            HIDDEN, HEADS, FFN, dropout=0.0, activation="gelu", layer_norm_eps=1e-12, batch_first=True
        )
        self.layers = torch.nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.pooler, self.classifier = torch.nn.Linear(HIDDEN, HIDDEN), torch.nn.Linear(HIDDEN, CLASSES)

    def forward(self, tokens, lengths):
        x = self.norm(self.word(tokens) + self.position.weight + self.kind.weight[0])
        x = self.layers(x, src_key_padding_mask=torch.arange(SEQUENCE) >= lengths[:, None])
        return self.classifier(torch.tanh(self.pooler(x[:, 0])))


def weights(model):
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    found = {
        "embedding.word": state["word.weight"],
        "embedding.position": state["position.weight"],
        "embedding.type": state["kind.weight"],
        "embedding_norm.gain": state["norm.weight"],
        "embedding_norm.bias": state["norm.bias"],
    }
    for name in ("pooler", "classifier"):
        found |= {f"{name}.weight": state[f"{name}.weight"].T, f"{name}.bias": state[f"{name}.bias"]}
    for layer in range(LAYERS):
        at, ours = f"layers.layers.{layer}", f"layers.{layer}"
        matrices = np.split(state[f"{at}.self_attn.in_proj_weight"], 3)
        biases = np.split(state[f"{at}.self_attn.in_proj_bias"], 3)
        for name, matrix, bias in zip(("query", "key", "value"), matrices, biases, strict=True):
            found |= {f"{ours}.{name}.weight": matrix.T, f"{ours}.{name}.bias": bias}
        for name, theirs in (("output", "self_attn.out_proj"), ("ffn_in", "linear1"), ("ffn_out", "linear2")):
            found |= {f"{ours}.{name}.weight": state[f"{at}.{theirs}.weight"].T}
            found |= {f"{ours}.{name}.bias": state[f"{at}.{theirs}.bias"]}
        for name, theirs in (("attention_norm", "norm1"), ("ffn_norm", "norm2")):
            found |= {f"{ours}.{name}.gain": state[f"{at}.{theirs}.weight"]}
            found |= {f"{ours}.{name}.bias": state[f"{at}.{theirs}.bias"]}
    return found


def test_dense_output_is_that_of_torch(tmp_path):
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = Bert().train()  # the fast path of eval leaves out rows of padding
    generator = np.random.default_rng(0)
    tokens, lengths = generator.integers(0, WORDS, (5, SEQUENCE)), generator.integers(1, SEQUENCE + 1, 5)
    np.savez(tmp_path / "weights.npz", **weights(model))
    np.savez(tmp_path / "data.npz", test_tokens=tokens, test_lengths=lengths)
    workload = TextWorkload(
        kind="text", name="t", layers=LAYERS, sequence=SEQUENCE, hidden=HIDDEN, heads=HEADS, ffn=FFN, vocabulary=WORDS,
        pooling="pooler", classes=CLASSES, dtype="fp32", weights=str(tmp_path / "weights.npz"),
        data=str(tmp_path / "data.npz"),
    )  # fmt: skip
    with torch.no_grad():
        wanted = model(torch.from_numpy(tokens), torch.from_numpy(lengths)).numpy()
    found = accelsim.run("edge_hdp", workload, engine="estimate").output
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-6)
