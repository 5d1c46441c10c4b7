"""One input watched: what is told agrees with the pass, with the thresholds, and with sparing a head for real."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from accelsim.config.workload import TextWorkload
from accelsim.errors import ConfigError, MappingError
from accelsim.explore.accuracy import StudyModel, Watched, load_model, run_model, watch
from accelsim.explore.accuracy.blocks import HdpMethod
from accelsim.explore.accuracy.recorder import Recorder
from accelsim.explore.accuracy.watch import margin
from accelsim.results.accuracy_schema import WATCH_SCHEMA
from accelsim.results.store import read_folder

FEW = "workload.images=20"


@pytest.fixture(scope="module")
def tau_h() -> str:
    """A setting under which half of the first layer's heads of input 4 are pruned."""
    layer = watch("edge_hdp", "digits_vit_16", 4, layer=0, sets=[FEW]).heads_frame()
    return f"hdp.tau_h=[{layer['importance'].median()}, 0]"


@pytest.fixture(scope="module")
def found(tau_h: str) -> Watched:
    """That input."""
    return watch("edge_hdp", "digits_vit_16", 4, sets=[FEW, tau_h])


def test_outputs_are_those_of_the_run(found: Watched, tau_h: str) -> None:
    model = load_model("digits_vit_16", [FEW, tau_h], hardware="edge_hdp")
    pruned = run_model(model, HdpMethod(model.hdp))
    np.testing.assert_allclose(found.dense, run_model(model).output[4], atol=0.02)
    np.testing.assert_allclose(found.pruned, pruned.output[4], atol=0.02)
    kept = pruned.kept_pairs[:, 4].sum() / (8 * 256)
    assert found.pairs_pruned == pytest.approx(1 - kept)
    assert found.heads_pruned == pytest.approx(1 - pruned.head_kept[:, 4].mean())
    assert found.heads_pruned == 0.25
    assert found.label == 8


def test_decisions_follow_from_the_numbers_beside_them(found: Watched) -> None:
    heads, rows = found.heads_frame(), found.rows_frame()
    assert (heads["kept"] == (heads["importance"] >= heads["threshold"])).all()
    assert heads["kept"].tolist().count(False) == 2
    assert heads["threshold"].tolist()[4:] == [0.0] * 4
    assert len(rows) == 8 * 8
    for record in found.heads:
        expected = (record.importance >= record.thresholds[:, None]) & record.kept
        np.testing.assert_array_equal(record.block_kept, expected)
        own = rows[(rows["layer"] == record.layer) & (rows["head"] == record.head)]
        np.testing.assert_array_equal(own["kept"], expected.sum(axis=1))
        np.testing.assert_array_equal(own["importance_max"], record.importance.max(axis=1))
        assert (own["importance_min"] <= own["threshold"]).all()
        assert record.scores.shape == (16, 16)
        assert record.output_change == pytest.approx(1) or record.kept
    changes = [record.output_change for record in found.most_changed()]
    assert changes == sorted(changes, reverse=True)
    assert changes[0] == heads["output_change"].max()


def test_sparing_every_head_is_attention_without_pruning(digits: StudyModel) -> None:
    every = [(layer, head) for layer in range(2) for head in range(4)]
    spared = run_model(digits, Recorder(digits.hdp, 0, every))
    assert spared.pairs_pruned == 0
    dense = run_model(digits)
    np.testing.assert_array_equal(spared.output.argmax(1), dense.output.argmax(1))
    np.testing.assert_allclose(spared.output, dense.output, atol=0.6)


def test_top_k_has_the_least_importance_kept_as_threshold() -> None:
    found = watch("edge_hdp", "digits_vit_16", 0, layer=1, head=2, sets=["workload.images=3", "hdp.selection=top_k"])
    (record,) = found.heads
    assert (record.layer, record.head) == (1, 2)
    for row in range(8):
        assert record.thresholds[row] == record.importance[row][record.block_kept[row]].min()
    assert record.block_kept.sum(axis=1).tolist() == [4] * 8


def test_keys_centred_by_the_first_input_stay_so() -> None:
    sets = ["workload.images=6", "hdp.center_keys=first_input"]
    model = load_model("digits_vit_16", sets, hardware="edge_hdp")
    whole = run_model(model, HdpMethod(model.hdp)).output[5]
    np.testing.assert_allclose(watch("edge_hdp", "digits_vit_16", 5, sets=sets).pruned, whole, atol=0.02)


def test_document_and_folder(found: Watched, tmp_path: Path) -> None:
    document = json.loads(found.to_json())
    jsonschema.validate(document, WATCH_SCHEMA)
    assert document["margin_dense"] == margin(found.dense, int(found.dense.argmax()))
    files = read_folder(found.save(tmp_path / "watched"))
    assert set(files) == {"watch.json", "heads.csv", "rows.csv", "rows.parquet", "heads.npz"}
    arrays = np.load(tmp_path / "watched" / "heads.npz")
    np.testing.assert_array_equal(arrays["block_kept_1_2"], found.heads[6].block_kept)


@pytest.mark.parametrize(
    ("item", "options", "error", "message"),
    [
        (20, {}, MappingError, "has no input 20; allowed: 0 to 19"),
        (0, {"layer": 2}, MappingError, "has no layer 2; allowed: 0 to 1"),
        (0, {"head": 4}, MappingError, "has no head 4; allowed: 0 to 3"),
        (0, {"scheme": "dense"}, ConfigError, "scheme 'dense' prunes nothing dynamically"),
    ],
)
def test_mistakes_are_told(item: int, options: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        watch("edge_hdp", "digits_vit_16", item, sets=["workload.images=20"], **options)  # type: ignore[arg-type]


def test_a_machine_without_unit_is_refused() -> None:
    with pytest.raises(MappingError, match="has none"):
        watch("v100_pcie", "digits_vit_16", 0, sets=["workload.images=3"])


def test_outputs_that_are_no_classes_are_compared_by_their_direction(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    data = tmp_path / "texts.npz"
    np.savez(data, test_tokens=draw.integers(0, 40, (3, 8)), test_lengths=[8, 5, 3])
    spec = {"layers": 2, "hidden": 16, "heads": 2, "ffn": 32, "vocabulary": 40, "pooling": "mean", "sequence": 8}
    workload = TextWorkload(kind="text", data=str(data), **spec)  # type: ignore[arg-type]
    found = watch("edge_hdp", workload, 1, sets=["hdp.rho_b=0.5"])
    assert not found.classifies
    assert found.label is None
    assert found.heads[0].scores.shape == (5, 5)  # padding has no part in it
    assert 0 < found.cosine < 1
    assert found.heads_frame()["cosine_if_spared"].max() > found.cosine
