"""Networks trained on under HDP: with the options they ship with, they prune 85 % and answer as their log says."""

import re
from pathlib import Path

import pytest

import accelsim

MODELS = Path(__file__).parents[2] / "workloads" / "models"
LOG = (MODELS / "digits_vit.md").read_text()
ROWS = re.findall(
    r"^\| `digits_vit_hdp(\S*)\.npz` .*\*\*(\d+) of 500\*\* \| (\S+) % \| \*\*(\d+) of 500\*\* \|", LOG, re.M
)
LOGGED = {f"digits_vit_hdp{suffix}": (int(dense), float(blocks), int(pruned)) for suffix, dense, blocks, pruned in ROWS}
SHARE = 0.85
"""Of blocks, that the shipped options prune at least."""


def test_all_seeds_are_logged() -> None:
    assert set(LOGGED) == {path.stem for path in MODELS.glob("digits_vit_hdp*.npz")}
    assert len(LOGGED) == 3


@pytest.mark.parametrize("name", LOGGED)
def test_accuracy_and_share_are_the_logged_ones(name: str) -> None:
    right, blocks, pruned_right = LOGGED[name]
    dense, pruned = (accelsim.run("edge_hdp", name, scheme=each, engine="estimate") for each in ("dense", "hdp"))
    assert dense.summary["accuracy"] == right / 500
    assert pruned.summary["accuracy"] == pruned_right / 500
    assert f"{100 * pruned.summary['block_ratio']:.1f}" == f"{blocks:.1f}"
    assert pruned.summary["block_ratio"] >= SHARE
    assert pruned.summary["latency_us"] < dense.summary["latency_us"]


def test_under_hdp_the_three_lose_at_most_a_point_to_the_dense_networks_before() -> None:
    before = re.findall(r"^\| `digits_vit(?:_seed\d)?\.npz` \| 64 .*\*\*(\d+) of 500\*\*", LOG, re.M)
    assert len(before) == len(LOGGED)
    lost = sum(map(int, before)) - sum(right for _, _, right in LOGGED.values())
    assert lost / (500 * len(before)) <= 0.01
