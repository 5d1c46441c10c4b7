"""What points share: summaries equal those of whole runs, and keys hold all that counts depend on."""

from typing import Any

import numpy as np
import pytest

from accelsim.config.loader import load_config
from accelsim.costing import Costing
from accelsim.execution import execute
from accelsim.explore.sweep.reuse import COUNTED, Recent, Reuse, array_bytes, execution_key
from accelsim.mapping.network import plan_network
from accelsim.model.build import build_network
from accelsim.pipeline import run_config

TILE = ("mapping.tile_m=64", "mapping.tile_n=64", "mapping.tile_k=32", "mapping.stages=3")
TIMING = (
    "hardware.gpu.clock=0.9 GHz",
    "hardware.gpu.dram.bandwidth=400 GB/s",
    "hardware.gpu.l2.bandwidth=2000 B/cycle",
    "hardware.gpu.launch.graph=3 us",
    "workload.caches.activations=cold",
    "workload.launch=stream",
)


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("scheme", ["dense", "tile_wise", "n_m", "tile_element_wise"])
def test_points_that_differ_in_timing_share_an_execution(scheme: str, values: bool) -> None:
    reuse = Reuse()
    for timing in ((), *((one,) for one in TIMING)):
        config = load_config("a100_sxm4_80gb", "bert_tiny", scheme=scheme, sets=[*TILE, *timing], values=values)
        assert reuse.summary(config) == run_config(config).summary
    assert (reuse.inputs.made, reuse.pruned.made, reuse.executions.made) == (1, 1, 1)


def test_so_do_units_of_other_sizes() -> None:
    reuse = Reuse()
    for sets in ([], ["hardware.attention_unit.cores=2"], ["hardware.attention_unit.buffer=64 KiB"]):
        config = load_config("a100_hdp", "bert_tiny", scheme="hdp", sets=sets)
        assert reuse.summary(config) == run_config(config).summary
    assert reuse.executions.made == 1


@pytest.mark.parametrize(
    ("name", "scheme", "one", "other"),
    [
        ("a100_hdp", "hdp", "hdp.rho_b=0", "hdp.rho_b=0.5"),
        ("a100_hdp", "dense", "mapping.tile_m=64", "mapping.tile_m=32"),
        ("a100_hdp", "tile_wise", "tile_wise.sparsity=0.5", "tile_wise.sparsity=0.75"),
        ("a100_hdp", "dense", "hardware.gpu.shared_memory.banks=32", "hardware.gpu.shared_memory.banks=16"),
        ("a100_hdp", "dense", "workload.sequence=64", "workload.sequence=32"),
        ("a100_hdp", "dense", "workload.operands.activation_scale=1.0", "workload.operands.activation_scale=2.0"),
    ],
)
def test_what_changes_values_or_counts_is_run_anew(name: str, scheme: str, one: str, other: str) -> None:
    reuse = Reuse()
    for sets in ([one], [other], [one]):
        config = load_config(name, "bert_tiny", scheme=scheme, sets=sets)
        assert reuse.summary(config) == run_config(config).summary
    assert reuse.executions.made == 2


def test_seeds_are_apart() -> None:
    reuse = Reuse()
    errors = [reuse.summary(load_config("t4", "gemm_1024", seed=seed))["max_rel_error"] for seed in (0, 1, 0)]
    assert errors[0] == errors[2] != errors[1]


class Watched:
    """Stands in for a GPU and notes which of its keys are read."""

    def __init__(self, of: Any, seen: set[str]) -> None:
        self._of, self._seen = of, seen

    def __getattr__(self, name: str) -> Any:
        self._seen.add(name)
        return getattr(self._of, name)


class Looked:
    """Stands in for a value with one attribute replaced."""

    def __init__(self, of: Any, **replaced: Any) -> None:
        self._of = of
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of, name)


@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize(
    "scheme",
    ["dense", "element_wise", "vector_wise", "block_wise", "n_m", "tile_wise", "tile_element_wise", "hdp"],
)
def test_counts_read_no_more_of_a_gpu_than_the_key_holds(scheme: str, values: bool) -> None:
    ratios = [] if values or scheme != "hdp" else ["hdp.block_ratio=0.5"]
    config = load_config("a100_hdp", "bert_tiny", scheme=scheme, values=values, sets=ratios)
    network, costing = build_network(config.workload), Costing.of(config)
    from accelsim.execution import parameters_of
    from accelsim.model.operands import prepare_operands

    operands = prepare_operands(network, config)
    plan = plan_network(network, config, costing.library, parameters_of(operands), costing.sparse_library)
    seen: set[str] = set()
    gpu = Watched(config.hardware.gpu, seen)
    execute(plan, Looked(config, hardware=Looked(config.hardware, gpu=gpu)), operands)  # type: ignore[arg-type]
    assert seen <= set(COUNTED)
    assert execution_key(plan, config) == execution_key(plan, config)


def test_the_most_recent_values_that_fit_are_kept() -> None:
    recent: Recent[np.ndarray] = Recent(1000)
    for key in (1, 2, 1, 3, 1):
        recent.get(key, lambda: np.zeros(50))
    assert recent.made == 3
    recent.get(2, lambda: np.zeros(50))
    assert recent.made == 4
    recent.get(4, lambda: np.zeros(5000))
    recent.get(4, lambda: np.zeros(5000))
    assert recent.made == 5


def test_arrays_are_counted_once() -> None:
    array = np.zeros(10)
    assert array_bytes({"a": [array, array], "b": (np.zeros(1), "text")}) == 88
