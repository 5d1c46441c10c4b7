"""Padded texts: their subsets, their guard and latency one by one, and budgets by labels, scores and agreement."""

from pathlib import Path

import numpy as np
import pytest

from accelsim.config.loader import load_config
from accelsim.explore.budget import calibrate
from accelsim.explore.budget.evaluate import Inputs
from accelsim.model.build import build_network
from accelsim.model.subset import take_items
from accelsim.pipeline import run

TEXTS = 8
FORM = "kind: text\nlayers: 2\nsequence: 10\nhidden: 16\nheads: 2\nffn: 32\nvocabulary: 40\npooling: mean\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier and an encoder of random weights, on texts of unequal length."""
    made = tmp_path_factory.mktemp("texts")
    generator = np.random.default_rng(0)
    common, labels, scores = {}, {}, {}
    for split in ("calibration", "test"):
        lengths = generator.integers(3, 11, TEXTS)
        lengths[0] = 4
        common[f"{split}_tokens"], common[f"{split}_lengths"] = generator.integers(0, 40, (TEXTS, 10)), lengths
        labels[f"{split}_labels"], scores[f"{split}_scores"] = (
            generator.integers(0, 3, TEXTS),
            generator.random(TEXTS // 2),
        )
    np.savez(made / "labels.npz", **common, **labels)
    np.savez(made / "scores.npz", **common, **scores)
    np.savez(made / "bare.npz", **common)
    (made / "classifier.yaml").write_text(f"{FORM}classes: 3\ndata: labels.npz\n")
    (made / "encoder.yaml").write_text(f"{FORM}data: scores.npz\n")
    return made


def test_some_texts_are_the_network_built_for_so_many(folder: Path) -> None:
    network, few = (
        build_network(load_config("edge_hdp", folder / "classifier.yaml", sets=sets).workload)
        for sets in ([], ["workload.items=3"])
    )
    assert take_items(network, [0, 1, 2]) == few


def test_a_guard_and_single_latencies_heed_padding(folder: Path) -> None:
    sets = ["hdp.rho_b=0.5", "hdp.guard=input", "hdp.guard_margin=1000"]
    result = run("edge_hdp", folder / "classifier.yaml", scheme="hdp", sets=sets, engine="estimate", per_input=True)
    dense = run("edge_hdp", folder / "classifier.yaml", scheme="dense_on_unit", engine="estimate")
    assert result.summary["guarded_inputs"] == 1
    assert np.array_equal(result.output, dense.output)  # type: ignore[arg-type]
    pruned = run("edge_hdp", folder / "classifier.yaml", scheme="hdp", sets=sets[:1], engine="estimate", per_input=True)
    alone = [*sets[:1], "workload.items=1"]
    one = run("edge_hdp", folder / "classifier.yaml", scheme="hdp", sets=alone, engine="estimate")
    assert pruned.per_input is not None
    assert result.per_input is not None
    assert pruned.per_input["latency_us"][0] == pytest.approx(one.value("latency_us"))
    assert pruned.per_input["block_ratio"][0] == pytest.approx(one.value("block_ratio"))
    assert (result.per_input["latency_us"] > pruned.per_input["latency_us"]).all()


@pytest.mark.parametrize(
    ("model", "data", "judge", "metric"),
    [
        ("classifier", None, "labels", "accuracy"),
        ("classifier", "bare.npz", "top1", "top-1 agreement"),
        ("encoder", None, "labels", "spearman"),
        ("encoder", "bare.npz", "cosine", "cosine agreement"),
    ],
)
def test_budgets_by_what_the_data_has(folder: Path, model: str, data: str | None, judge: str, metric: str) -> None:
    found = calibrate(folder / f"{model}.yaml", budget=0.3, data=None if data is None else folder / data, evaluations=5)
    assert (found.judge, found.metric) == (judge, metric)
    assert found.chosen.verdict.loss <= 0.3
    assert (found.interval is None) == (model == "encoder")


def test_a_split_can_be_cut_short(folder: Path) -> None:
    assert Inputs("edge_hdp", folder / "classifier.yaml", "test", count=3).inputs == 3
