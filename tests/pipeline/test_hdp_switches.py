"""Switches of HDP through whole runs."""

import numpy as np
import pytest

import accelsim
from accelsim.errors import MappingError

SMALL = ["workload.images=6"]


def run(*sets: str) -> accelsim.Result:
    return accelsim.run("edge_hdp", "digits_vit_16", scheme="hdp", sets=[*SMALL, *sets])


def test_each_layer_has_its_own_head_threshold() -> None:
    every = run("hdp.tau_h=0").summary
    second = run("hdp.tau_h=[0, 1000000]").summary
    both = run("hdp.tau_h=1000000").summary
    assert every["head_ratio"] == 0.0
    assert second["head_ratio"] == pytest.approx(0.5)
    assert both["head_ratio"] == 1.0
    with pytest.raises(MappingError, match="lists 3 thresholds, and workload digits_vit_16 has 2 attention layers"):
        run("hdp.tau_h=[0, 1, 2]")


def test_top_k_prunes_the_share_that_it_names() -> None:
    found = run("hdp.selection=top_k", "hdp.top_k_ratio=0.75").summary
    assert found["block_ratio"] == pytest.approx(0.75)


def test_sums_and_means_of_importance_are_told_apart() -> None:
    # 16 tokens make 64 blocks: a threshold on the sum prunes what one of a 64th prunes on the mean.
    mean, total = run("hdp.tau_h=12").summary, run("hdp.tau_h=768", "hdp.tau_normalised=false").summary
    assert 0 < mean["head_ratio"] < 1
    assert mean["head_ratio"] == total["head_ratio"]


def test_presets_change_what_comes_out() -> None:
    literal, robust = (run(f"hdp.preset={name}", "hdp.rho_b=0.1") for name in ("paper", "robust"))
    assert literal.output is not None
    assert robust.output is not None
    assert not np.array_equal(literal.output, robust.output)
