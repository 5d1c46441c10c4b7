"""Networks pruned and trained on: the scheme prunes what training pruned, and their answers are those recorded."""

import csv
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

import accelsim
from accelsim.config.loader import load_config, load_library
from accelsim.config.scheme import SchemeName
from accelsim.execution import parameters_of
from accelsim.mapping.network import plan_network
from accelsim.model.build import build_network
from accelsim.model.operands import prepare_operands
from accelsim.model.reference import reference_output

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "workloads" / "models"
LOG = (MODELS / "digits_vit.md").read_text()
RECORDED = ROOT / "docs" / "data" / "recovery.csv"

PRUNED: dict[str, tuple[SchemeName, str]] = {
    "digits_vit_tw75": ("tile_wise", "edge_hdp"),
    "digits_vit_tvw75": ("tile_vector_wise", "a100_hdp"),
}
"""Scheme, and a machine that runs it: 2:4 needs sparse tensor cores."""
SHIPPED = re.findall(r"^([0-9a-f]{64})  (\S+\.npz)$", LOG, re.MULTILINE)
SEEDS = re.findall(r"^\| `(digits_vit(?:_16)?_seed\d\.npz)` .*\*\*(\d+) of 500\*\*", LOG, re.MULTILINE)


def recorded(setting: str) -> int:
    """Test images right of the 64-token network of seed 0 at 75 %, of the most steps that were recorded."""
    with RECORDED.open(newline="") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if (row["tokens"], row["seed"], row["setting"], row["asked"]) == ("64", "0", setting, "0.75")
        ]
    return int(max(rows, key=lambda row: int(row["steps"]))["correct"])


def test_every_file_has_its_hash_in_the_log() -> None:
    assert {name for _, name in SHIPPED} == {path.name for path in MODELS.glob("digits*.npz")}
    for wanted, name in SHIPPED:
        assert hashlib.sha256((MODELS / name).read_bytes()).hexdigest() == wanted, name


@pytest.mark.parametrize("name", PRUNED)
def test_the_scheme_finds_the_masks_of_training(name: str) -> None:
    scheme, machine = PRUNED[name]
    config = load_config(machine, name, scheme=scheme, sets=["workload.images=1"])
    network = build_network(config.workload)
    operands = prepare_operands(network, config)
    assert operands is not None
    plan = plan_network(network, config, load_library(config.hardware.gpu.library), parameters_of(operands))
    assert plan.weight_sparsity == pytest.approx(0.75, abs=0.01)
    for weight, mask in plan.masks.items():
        outside = operands.parameters[weight][~mask.to_dense()]
        assert not outside.any(), weight
        assert np.count_nonzero(operands.parameters[weight]) > 0.99 * mask.kept, weight


@pytest.mark.parametrize("name", PRUNED)
def test_accuracy_is_the_recorded_one_and_latency_is_lower(name: str) -> None:
    scheme, machine = PRUNED[name]
    dense, pruned = (accelsim.run(machine, name, scheme=kind, engine="estimate").summary for kind in ("dense", scheme))
    assert pruned["accuracy"] == dense["accuracy"] == recorded(f"{scheme}_32") / 500
    assert pruned["latency_us"] < dense["latency_us"]


@pytest.mark.parametrize(("file", "right"), SEEDS)
def test_other_seeds_have_their_logged_accuracy(file: str, right: str) -> None:
    workload = file.partition("_seed")[0]
    config = load_config("edge_hdp", workload, scheme="dense", sets=[f"workload.weights={MODELS / file}"])
    network = build_network(config.workload)
    operands = prepare_operands(network, config)
    assert operands is not None
    logits = reference_output(network, operands)
    assert int((logits.argmax(axis=1) == operands.labels).sum()) == int(right)
