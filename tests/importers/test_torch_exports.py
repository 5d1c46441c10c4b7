"""What PyTorch itself exports, where it is installed: the workload's outputs beside those of torch."""

import numpy as np
import pytest

import accelsim
from accelsim.importers.imported import save
from accelsim.importers.source import import_model

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("onnx")
pytestmark = pytest.mark.slow

ITEMS, TOKENS, HIDDEN = 2, 7, 32


class Classifier(torch.nn.Module):
    """torch's own encoder, with Q, K and V in one product, and a classifier of the mean."""

    def __init__(self, norm_first, batch_first):
        super().__init__()
        layer = torch.nn.TransformerEncoderLayer(
            HIDDEN, 4, 64, dropout=0.0, activation="gelu", batch_first=batch_first, norm_first=norm_first
        )
        self.encoder = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = torch.nn.Linear(HIDDEN, 5)
        self.tokens = 1 if batch_first else 0

    def forward(self, x):
        """Logits of each item."""
        return self.head(self.encoder(x).mean(self.tokens))


def exported(model, given, path, opset, dynamo):
    if dynamo:
        pytest.importorskip("onnxscript", reason="torch's newer exporter needs onnxscript")
    names = list(given)
    model.eval()
    with torch.no_grad():
        expected = model(*given.values()).numpy()
    torch.onnx.export(model, tuple(given.values()), str(path), input_names=names, opset_version=opset, dynamo=dynamo)
    np.savez(path.with_suffix(".npz"), **{name: tensor.numpy() for name, tensor in given.items()})
    return expected


def outputs(path):
    found = import_model(path, data={"test": path.with_suffix(".npz")}, changes={"dtype": "fp32"})
    return accelsim.run("edge_hdp", save(found, path.parent / "out"), engine="estimate").output


@pytest.mark.parametrize(("opset", "dynamo"), [(14, False), (17, False), (18, True), (23, True)])
@pytest.mark.parametrize(("norm_first", "batch_first"), [(False, True), (True, True), (False, False)])
def test_transformer_encoder(tmp_path, norm_first, batch_first, opset, dynamo):
    torch.manual_seed(0)
    shape = (ITEMS, TOKENS, HIDDEN) if batch_first else (TOKENS, ITEMS, HIDDEN)
    path = tmp_path / "m.onnx"
    expected = exported(Classifier(norm_first, batch_first), {"x": torch.randn(shape)}, path, opset, dynamo)
    np.testing.assert_allclose(outputs(path), expected, rtol=1e-4, atol=1e-5)


class ByName(torch.nn.Module):
    """A model of transformers that takes its inputs in order and puts out its logits."""

    def __init__(self, model, names):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *given):
        """Logits of each item."""
        return self.model(**dict(zip(self.names, given, strict=True))).logits


def transformer(family, attention):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    sizes = {"num_labels": 3, "attn_implementation": attention}
    layers = {"hidden_size": HIDDEN, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    words = {"vocab_size": 50, "max_position_embeddings": 20, "pad_token_id": 1}
    match family:
        case "bert":
            return transformers.BertForSequenceClassification(transformers.BertConfig(**layers, **words, **sizes))
        case "roberta":
            config = transformers.RobertaConfig(**layers, **words, **sizes)
            return transformers.RobertaForSequenceClassification(config)
        case "distilbert":
            own = {"n_layers": 2, "n_heads": 4, "dim": HIDDEN, "hidden_dim": 64}
            config = transformers.DistilBertConfig(**own, **words, **sizes)
            return transformers.DistilBertForSequenceClassification(config)
    config = transformers.ViTConfig(image_size=16, patch_size=4, **layers, **sizes)
    return transformers.ViTForImageClassification(config)


@pytest.mark.parametrize(("opset", "dynamo"), [(14, False), (17, False), (18, True)])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "vit"])
def test_models_of_transformers(tmp_path, family, attention, opset, dynamo):
    torch.manual_seed(0)
    model = transformer(family, attention)
    ids = torch.randint(5, 50, (ITEMS, TOKENS))
    mask = torch.tensor([[1] * TOKENS, [1] * 4 + [0] * (TOKENS - 4)])
    given = {"input_ids": ids.masked_fill(mask == 0, 1), "attention_mask": mask}
    if family == "vit":
        given = {"pixel_values": torch.randn(ITEMS, 3, 16, 16)}
    path = tmp_path / "m.onnx"
    expected = exported(ByName(model, list(given)), given, path, opset, dynamo)
    np.testing.assert_allclose(outputs(path), expected, rtol=1e-3, atol=1e-5)
