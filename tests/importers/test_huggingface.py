import json

import numpy as np
import pytest

import accelsim
from accelsim.config.loader import load_config, load_workload
from accelsim.errors import ConfigError, OperandError, UserError
from accelsim.importers.imported import save
from accelsim.importers.source import import_model
from accelsim.model.build import build_network
from tests.importers.folders import (
    BERT,
    SIZES,
    VIT,
    bert_shapes,
    distilbert_shapes,
    tensors_of,
    vit_shapes,
    write_folder,
    write_tokenizer,
)
from tests.importers.plain import plain_bert, plain_vit


def bert(path, tensors=None, **changes):
    return write_folder(path, BERT | changes, tensors_of(bert_shapes()) if tensors is None else tensors)


def output(workload, **options):
    return accelsim.run("edge_hdp", workload, engine="estimate", sets=("workload.dtype=fp32",), **options).output


def test_classifier_gives_what_the_model_gives(tmp_path):
    pytest.importorskip("tokenizers")
    folder = bert(tmp_path / "m")
    write_tokenizer(folder / "tokenizer.json")
    (tmp_path / "t.tsv").write_text("text\tlabel\na good film\t2\nit was not very bad it was\t0\ngood\t1\n")
    found = import_model(folder, data={"test": tmp_path / "t.tsv"})
    written = save(found, tmp_path / "out")
    workload = load_workload(written)
    assert (workload.sequence, workload.pooling, workload.classes) == (9, "pooler", 3)
    tokens = [[2, 4, 5, 7, 3], [2, 9, 8, 11, 10, 6, 9, 8, 3], [2, 5, 3]]
    wanted = plain_bert(tensors_of(bert_shapes()), "bert.", tokens)
    np.testing.assert_allclose(output(written), wanted, rtol=1e-4, atol=1e-5)
    result = accelsim.run("edge_hdp", written, engine="estimate")
    assert result.summary["metric_name"] == "accuracy"
    assert result.summary["metric"] == np.mean(np.argmax(wanted, axis=1) == [2, 0, 1])


def test_padding_changes_no_output(tmp_path):
    """Texts alone, without any padding, give what they give beside longer ones."""
    pytest.importorskip("tokenizers")
    folder = bert(tmp_path / "m")
    write_tokenizer(folder / "tokenizer.json")
    texts = ["a good film was it", "good", "not very bad"]
    (tmp_path / "all.csv").write_text("text\n" + "\n".join(texts) + "\n")
    together = save(import_model(folder, data={"test": tmp_path / "all.csv"}), tmp_path / "all")
    for index, text in enumerate(texts):
        (tmp_path / "one.csv").write_text(f"text\n{text}\n")
        alone = save(import_model(folder, data={"test": tmp_path / "one.csv"}), tmp_path / f"{index}")
        for scheme in ("dense", "hdp", "dense_on_unit"):
            both = (output(path, scheme=scheme) for path in (together, alone))
            np.testing.assert_allclose(next(both)[index], next(both)[0], rtol=1e-4, atol=1e-5, err_msg=scheme)


def test_sentence_transformers_folder_says_how_to_pool(tmp_path):
    folder = write_folder(tmp_path / "m", BERT, tensors_of(bert_shapes("", None)))
    stages = [("", "models.Transformer"), ("1_Pooling", "models.Pooling"), ("2_Normalize", "models.Normalize")]
    modules = [
        {"idx": i, "path": path, "type": f"sentence_transformers.{kind}"} for i, (path, kind) in enumerate(stages)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    mode = folder / "1_Pooling" / "config.json"
    mode.write_text(json.dumps({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}))
    spec = import_model(folder).workload
    assert (spec.pooling, spec.normalise, spec.classes) == ("mean", True, None)
    mode.write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(ConfigError, match="pooling_mode_max_tokens; allowed: mean or cls"):
        import_model(folder)
    broken = {
        "{": "modules.json: cannot be read as JSON",
        "{}": "holds a dict, not a list",
        "[1]": "must list stages",
        '[{"type": "sentence_transformers.models.Dense"}]': "stage 'Dense'; allowed: Transformer",
    }
    for text, message in broken.items():
        (folder / "modules.json").write_text(text)
        with pytest.raises(ConfigError, match=message):
            import_model(folder)


def test_old_names_of_norms_are_known(tmp_path):
    tensors = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): array
        for name, array in tensors_of(bert_shapes()).items()
    }
    found, usual = import_model(bert(tmp_path / "old", tensors)), import_model(bert(tmp_path / "new"))
    for name, array in usual.weights.items():
        np.testing.assert_array_equal(found.weights[name], array)


def test_roberta_counts_positions_from_the_third(tmp_path):
    shapes = bert_shapes("roberta.", None, offset=2)
    shapes |= {"classifier.dense.weight": (16, 16), "classifier.dense.bias": (16,)}
    shapes |= {"classifier.out_proj.weight": (2, 16), "classifier.out_proj.bias": (2,)}
    tensors = tensors_of(shapes)
    config = BERT | {"model_type": "roberta", "max_position_embeddings": 14}
    found = import_model(write_folder(tmp_path / "m", config, tensors))
    table = tensors["roberta.embeddings.position_embeddings.weight"]
    np.testing.assert_array_equal(found.weights["embedding.position"], table[2:])
    np.testing.assert_array_equal(found.weights["pooler.weight"], tensors["classifier.dense.weight"].T)
    assert found.unused == ()


def test_distilbert_has_no_types_and_a_relu_before_its_classifier(tmp_path):
    config = {
        "model_type": "distilbert", "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "vocab_size": 20,
        "max_position_embeddings": 12, "activation": "gelu",
    }  # fmt: skip
    found = import_model(write_folder(tmp_path / "m", config, tensors_of(distilbert_shapes())))
    assert (found.workload.token_types, found.workload.pooler_activation) == (0, "relu")
    assert found.unused == ()
    assert {name: array.shape for name, array in found.weights.items()} == build_network(found.workload).parameters


def test_vision_model_gives_what_the_model_gives(tmp_path):
    tensors = tensors_of(vit_shapes())
    folder = write_folder(tmp_path / "m", VIT, tensors)
    processing = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.6, 0.7]}
    (folder / "preprocessor_config.json").write_text(json.dumps(processing))
    images = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    np.savez(tmp_path / "i.npz", images=images, labels=np.asarray([0, 1, 2]))
    written = save(import_model(folder, data={"calibration": tmp_path / "i.npz"}), tmp_path / "out")
    assert load_workload(written).split == "calibration"
    pixels = (images / 255 - processing["image_mean"]) / processing["image_std"]
    np.testing.assert_allclose(output(written), plain_vit(tensors, pixels), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", [None, "cls"])
def test_vision_model_without_a_classifier_puts_out_its_states(tmp_path, pooling):
    tensors = {name: array for name, array in tensors_of(vit_shapes()).items() if not name.startswith("classifier")}
    images = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    np.savez(tmp_path / "i.npz", images=images)
    folder = write_folder(tmp_path / "m", VIT, tensors)
    found = import_model(folder, data={"test": tmp_path / "i.npz"}, changes={"pooling": pooling})
    made = output(save(found, tmp_path / "out"))
    unit = {"classifier.weight": np.eye(16), "classifier.bias": np.zeros(16)}
    first = made if pooling else made.reshape(3, 5, 16)[:, 0]
    np.testing.assert_allclose(first, plain_vit(tensors | unit, images / 127.5 - 1), rtol=1e-4, atol=1e-5)


def test_labels_without_a_classifier_are_refused(tmp_path):
    tensors = {name: array for name, array in tensors_of(vit_shapes()).items() if not name.startswith("classifier")}
    np.savez(tmp_path / "i.npz", images=np.zeros((2, 8, 8, 3), np.uint8), labels=np.zeros(2, np.int64))
    folder = write_folder(tmp_path / "m", VIT, tensors)
    with pytest.raises(OperandError, match="test_labels need a classifier"):
        import_model(folder, data={"test": tmp_path / "i.npz"})
    np.savez(tmp_path / "i.npz", images=np.zeros((2, 8, 8, 3), np.uint8))
    with pytest.raises(OperandError, match="no array labels; found images"):
        import_model(folder, data={"test": tmp_path / "i.npz"}, changes={"metric": "accuracy", "pooling": "cls"})


def test_weights_without_data_run_on_drawn_texts(tmp_path):
    written = save(import_model(bert(tmp_path / "m"), changes={"sequence": 6}), tmp_path / "out")
    result = accelsim.run("edge_hdp", written, engine="estimate")
    assert result.output.shape == (1, 3)
    assert "token numbers drawn" in result.summary["operands"]


def test_sources_are_hashed_and_unused_tensors_told(tmp_path):
    tensors = tensors_of(bert_shapes()) | {"cls.predictions.bias": np.zeros(20, np.float32)}
    found = import_model(bert(tmp_path / "m", tensors))
    assert set(found.workload.sources) == {"config.json", "model.safetensors"}
    assert all(text.startswith("sha256 ") and len(text) == 71 for text in found.workload.sources.values())
    assert found.unused == ("cls.predictions.bias",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drop": "bert.encoder.layer.1.output.dense.weight"}, "no tensor bert.encoder.layer.1.output.dense.weight"),
        (
            {"reshape": "bert.encoder.layer.0.intermediate.dense.weight"},
            "encoder.layer.0.intermediate.dense.weight makes",
        ),
        (
            {"reshape": "bert.encoder.layer.0.attention.self.query.bias"},
            "attention.self.query.bias makes layers.0.query",
        ),
        ({"config": {"model_type": "t5"}}, "model_type 't5'"),
        ({"config": {"num_hidden_layers": None}}, "no num_hidden_layers"),
        ({"config": {"hidden_act": "silu"}}, "hidden_act 'silu'"),
        ({"config": {"position_embedding_type": "relative_key"}}, "position_embedding_type 'relative_key'"),
        ({"config": {"num_attention_heads": 3}}, "hidden .16. is not a multiple of heads .3."),
        ({"config": {"max_position_embeddings": "12"}}, "max_position_embeddings '12' is no number"),
        ({"spoil": "bert.encoder.layer.1.output.dense.bias"}, "1.output.dense.bias holds numbers that are infinite"),
        ({"config": {"vocab_size": 21}}, "word_embeddings.weight makes embedding.word of shape .20, 16."),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, message):
    tensors = tensors_of(bert_shapes())
    tensors.pop(change.get("drop", ""), None)
    if "reshape" in change:
        tensors[change["reshape"]] = np.zeros((7, 5)[: tensors[change["reshape"]].ndim], np.float32)
    if "spoil" in change:
        tensors[change["spoil"]][3] = np.nan
    with pytest.raises(UserError, match=message):
        import_model(bert(tmp_path / "m", tensors, **change.get("config", {})))


def test_imported_models_prune_by_the_robust_preset(tmp_path):
    path = save(import_model(bert(tmp_path / "m")), tmp_path / "out")
    found = load_workload(path).defaults.hdp
    assert (found.preset, found.importance, found.center_keys) == ("robust", "signed", "dynamic")
    literal = load_config("edge_hdp", path, scheme="hdp", sets=["hdp.preset=paper"]).hdp
    assert (literal.importance, literal.center_keys, literal.pruned_score) == ("absolute", "none", "excluded")


def test_pickles_are_refused(tmp_path):
    folder = bert(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(OperandError, match=r"pytorch_model\.bin is a pickle"):
        import_model(folder)
    with pytest.raises(OperandError, match="is a pickle"):
        import_model(folder / "pytorch_model.bin")


def test_shards_are_read_from_inside_the_folder_alone(tmp_path):
    folder = bert(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "part.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "part.safetensors"}}))
    assert import_model(folder).workload.layers == SIZES["num_hidden_layers"]
    index.write_text(json.dumps({"weight_map": {"x": "../part.safetensors"}}))
    with pytest.raises(ConfigError, match="lies outside the folder"):
        import_model(folder)


def test_no_folder_no_model(tmp_path):
    with pytest.raises(OperandError, match="no such file or folder"):
        import_model(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"no config\.json"):
        import_model(tmp_path)
    (tmp_path / "m.h5").write_text("x")
    with pytest.raises(OperandError, match=r"Hugging Face folder or an .onnx file"):
        import_model(tmp_path / "m.h5")
