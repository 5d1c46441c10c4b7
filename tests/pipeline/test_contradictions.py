"""Options that contradict each other, and errors that must not hide: a stranger's mistakes, found by trying."""

from pathlib import Path

import numpy as np
import pytest

import accelsim
from accelsim.config.workload import LinearLayer, LstmLayer, NetworkWorkload
from accelsim.errors import UserError

RATIOS = ("hdp.block_ratio=0.7", "hdp.head_ratio=0.1")
TINY = ("workload.sequence=8", "workload.layers=1")


def test_sparsity_is_given_once() -> None:
    with pytest.raises(UserError, match=r"--set tile_wise.sparsity=0.7: sparsity 0.5 is given too"):
        accelsim.run("t4", "gemm_1024", scheme="tile_wise", sets=["tile_wise.sparsity=0.7"], sparsity=0.5)


def test_ratios_of_masks_are_for_runs_without_values() -> None:
    with pytest.raises(UserError, match=r"hdp.block_ratio and hdp.head_ratio name what HDP prunes when values are off"):
        accelsim.run("edge_hdp", "bert_tiny", scheme="hdp", sets=[*TINY, *RATIOS])
    for scheme in ("dense", "dense_on_unit"):
        assert accelsim.run("edge_hdp", "bert_tiny", scheme=scheme, sets=[*TINY, *RATIOS]).summary["values"]


def test_sizes_of_operands_are_those_of_their_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "ab.npz", A=np.ones((4, 6)), B=np.ones((6, 8)))
    file = tmp_path / "ab.npz"
    with pytest.raises(UserError, match=r"--set workload.m=5: .*ab.npz makes workload.m 4"):
        accelsim.run("t4", "gemm_1024", operands=file, sets=["workload.m=5"])
    result = accelsim.run("t4", "gemm_1024", operands=file, sets=["workload.m=4", "workload.dtype=fp32"])
    assert result.summary["macs"] == 4 * 6 * 8


def test_error_of_independent_layers_is_the_largest_of_theirs() -> None:
    pruned = LinearLayer(type="linear", rows=8, inputs=64, outputs=64)
    kept = LstmLayer(type="lstm", steps=2, inputs=4, hidden=16)
    workload = NetworkWorkload(kind="network", name="two", layers=[pruned, kept])
    dense = accelsim.run("t4", workload).summary["max_rel_error"]
    alone = accelsim.run("t4", NetworkWorkload(kind="network", name="two", layers=[pruned]), scheme="tile_wise",
                         sets=["tile_wise.granularity=16"])  # fmt: skip
    both = accelsim.run("t4", workload, scheme="tile_wise", sets=["tile_wise.granularity=16"])
    assert dense < 0.01
    assert both.summary["max_rel_error"] >= alone.summary["max_rel_error"] > 0.1


def test_schemes_that_cannot_run_are_told_before_any_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accelsim.pipeline.run_config", lambda config: pytest.fail(f"{config.scheme} was run"))
    with pytest.raises(UserError, match="scheme hdp computes attention on an attention unit, and t4 has none"):
        accelsim.compare("t4", "bert_tiny", schemes=["dense", "hdp"])
