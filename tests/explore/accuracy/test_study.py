"""A study: scores, intervals and shares that agree with each other, and mistakes that are told."""

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from accelsim.config.workload import TextWorkload
from accelsim.errors import ConfigError, OperandError
from accelsim.explore.accuracy import METHODS, Study, study
from accelsim.explore.accuracy.methods import CASCADES, CONTROLS, ORACLES, Setup
from accelsim.explore.accuracy.quality import cosines, margins
from accelsim.explore.accuracy.study import DEFAULT_METHODS
from accelsim.results.accuracy_schema import STUDY_SCHEMA
from accelsim.results.store import read_folder

FEW = ("workload.images=20",)


@pytest.fixture(scope="module")
def found() -> Study:
    """A study of two models (one given twice)."""
    return study(
        ["digits_vit_16", "digits_vit_16"],
        methods=("hdp", "random", "cascade_tokens", "heads_hdp", "heads_random", "heads_cascade"),
        block_ratios=(0.5, 0.8),
        head_ratios=(0.375,),
        sets=FEW,
    )


def test_points_are_in_order_and_say_what_they_pruned(found: Study) -> None:
    assert [(each.method, each.asked) for each in found.points] == [
        ("hdp", 0.5), ("hdp", 0.8), ("random", 0.5), ("random", 0.8), ("cascade_tokens", 0.5),
        ("heads_hdp", 0.375), ("heads_random", 0.375), ("heads_cascade", 0.375),
    ]  # fmt: skip
    for point in found.points:
        share = point.pairs_pruned if point.axis == "blocks" else point.heads_pruned
        assert share == pytest.approx(point.asked, abs=0.2)
        assert point.scores.shape == (2, 20)
        assert set(np.unique(point.scores)) <= {0.0, 1.0}
    assert found.at("heads_random", 0.375).heads_pruned == 0.375
    ((method, asked, reason),) = [tuple(vars(each).values()) for each in found.unreachable]
    assert (method, asked) == ("cascade_tokens", 0.8)
    assert "at most 50 %" in reason


def test_seeds_of_controls_differ_and_others_agree(found: Study) -> None:
    same = found.at("hdp", 0.5)
    np.testing.assert_array_equal(same.scores[0], same.scores[1])
    assert same.deviation == 0
    drawn = found.at("random", 0.8)
    assert not np.array_equal(drawn.scores[0], drawn.scores[1])


def test_records_hold_losses_with_their_intervals(found: Study) -> None:
    for record, point in zip(found.records, found.points, strict=True):
        numbers = {key: record[key] for key in ("loss", "loss_low", "loss_high", "score")}
        low, loss, high = (float(str(numbers[key])) for key in ("loss_low", "loss", "loss_high"))
        assert low <= loss <= high
        assert loss == pytest.approx(found.dense.mean() - point.score)
        against = found.gain(point, CONTROLS[point.axis])
        if point.method in CONTROLS.values():
            assert record["gain_over_random"] is None
        else:
            assert against is not None
            assert record["gain_over_random"] == against.difference
    assert found.records[1]["gain_over_cascade"] is None  # no cascade reaches that ratio
    assert any("Does heads_hdp at" in note for note in found.notes())


def test_document_and_folder(found: Study, tmp_path: Path) -> None:
    document = json.loads(found.to_json())
    jsonschema.validate(document, STUDY_SCHEMA)
    assert document["dense_score"] == found.dense.mean()
    assert document["points"][0]["settings"][0]["rho_b"] == document["points"][0]["settings"][1]["rho_b"]
    files = read_folder(found.save(tmp_path / "study"))
    assert set(files) == {"study.json", "points.csv", "scores.npz"}
    scores = np.load(tmp_path / "study" / "scores.npz")
    np.testing.assert_array_equal(scores["hdp@0.5"], found.at("hdp", 0.5).scores)
    with pytest.raises(KeyError):
        found.at("hdp", 0.6)


def test_every_method_can_be_set_up(calibration: object) -> None:
    from accelsim.explore.accuracy import StudyModel, run_model

    assert isinstance(calibration, StudyModel)
    setup = Setup(calibration, calibration.hdp, 0)
    readings = [name for name in METHODS if name.startswith("hdp_")]
    for name in [
        each for each in METHODS if each not in readings[1:]
    ]:  # which differ from one another in switches alone
        entry = METHODS[name]
        method, _ = entry.make(setup, 0.25)
        passed = run_model(calibration, method)
        share = passed.pairs_pruned if entry.axis == "blocks" else passed.heads_pruned
        assert share == pytest.approx(0.25, abs=0.05), name
    assert set(DEFAULT_METHODS) <= set(METHODS)
    assert {*CONTROLS.values(), *ORACLES.values(), *CASCADES.values()} <= set(DEFAULT_METHODS)


def test_without_labels_agreement_is_measured(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    data = tmp_path / "texts.npz"
    arrays = {f"{split}_tokens": draw.integers(0, 40, (6, 8)) for split in ("test", "calibration")}
    np.savez(data, **arrays, test_lengths=[8, 3, 5, 3, 8, 1], calibration_lengths=[8] * 6)  # type: ignore[arg-type]
    spec = {"layers": 2, "hidden": 16, "heads": 2, "ffn": 32, "vocabulary": 40, "pooling": "mean", "sequence": 8}
    workload = TextWorkload(kind="text", data=str(data), **spec)  # type: ignore[arg-type]
    found = study([workload], methods=("oracle", "random"), block_ratios=(0.5,), head_ratios=())
    assert found.measure == "agreement"
    assert found.dense.tolist() == [[1.0] * 6]
    assert all(point.margin_change is None for point in found.points)
    assert all(0.5 < point.score < 1 for point in found.points)
    assert found.at("random", 0.5).pairs_pruned_padded > found.at("random", 0.5).pairs_pruned
    jsonschema.validate(json.loads(found.to_json()), STUDY_SCHEMA)


def test_measures() -> None:
    output = np.array([[1.0, 4.0, 2.0], [0.0, -1.0, 3.0]])
    np.testing.assert_allclose(margins(output, np.array([1, 0])), [2.0, -3.0])
    np.testing.assert_allclose(cosines(output, 2 * output), [1, 1])
    np.testing.assert_allclose(cosines(np.array([[1.0, 0], [0, 0]]), np.array([[1.0, 1], [1, 1]])), [0.5**0.5, 0])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"methods": ("hpd",)}, ConfigError, "unknown method 'hpd'; did you mean 'hdp'"),
        ({"block_ratios": (0.5, 1.0)}, ConfigError, "ratio 1 of blocks; allowed: 0 < ratio < 1"),
        ({"block_ratios": (), "head_ratios": ()}, ConfigError, "needs methods, and ratios"),
        ({"methods": ("hdp",), "block_ratios": ()}, ConfigError, "needs methods, and ratios"),
        ({"split": "nothing"}, OperandError, "no array nothing_images"),
        ({"workloads": []}, ConfigError, "at least one workload"),
        ({"workloads": ["bert_tiny"]}, OperandError, "brings no inputs of its own"),
    ],
)
def test_mistakes_are_told(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    workloads = arguments.pop("workloads", ["digits_vit_16"])
    with pytest.raises(error, match=message):
        study(workloads, **arguments)  # type: ignore[arg-type]
