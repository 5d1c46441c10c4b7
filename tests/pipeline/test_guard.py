"""HDP's guard in a run: what falls back, that values and accounts hold both passes, and what it costs."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from accelsim.config.loader import load_config
from accelsim.errors import ConfigError, MappingError
from accelsim.guard import margins
from accelsim.model.build import build_network
from accelsim.model.operands import prepare_operands
from accelsim.model.subset import take_items, take_rows
from accelsim.pipeline import run
from accelsim.results import Comparison, Result

IMAGES = 24
PRUNED = ("hdp.rho_b=0.6",)


@lru_cache
def digits(*sets: str, scheme: str = "hdp", engine: str = "estimate", per_input: bool = False) -> Result:
    return run(
        "edge_hdp",
        "digits_vit_16",
        scheme=scheme,  # type: ignore[arg-type]
        sets=[f"workload.images={IMAGES}", *sets],
        engine=engine,  # type: ignore[arg-type]
        per_input=per_input,
    )


def guarded_digits(margin: float, *sets: str, scheme: str = "hdp") -> Result:
    return digits(*PRUNED, "hdp.guard=input", f"hdp.guard_margin={margin}", *sets, scheme=scheme, per_input=True)


@pytest.mark.parametrize("scheme", ["hdp", "tile_wise+hdp"])
def test_uncertain_inputs_have_the_output_of_unpruned_attention(scheme: str) -> None:
    pruned, unpruned = digits(*PRUNED, scheme=scheme), digits(scheme="dense_on_unit")
    assert pruned.output is not None
    uncertain = margins(pruned.output) < 4.0
    assert 0 < uncertain.sum() < IMAGES
    found = guarded_digits(4.0, scheme=scheme)
    assert found.output is not None
    assert np.array_equal(found.output[~uncertain], pruned.output[~uncertain])
    assert not np.array_equal(found.output[uncertain], pruned.output[uncertain])
    if scheme == "hdp":
        assert unpruned.output is not None
        assert np.array_equal(found.output[uncertain], unpruned.output[uncertain])
    assert found.summary["guarded_inputs"] == uncertain.mean()
    assert found.per_input is not None
    assert found.per_input["second_pass"].tolist() == uncertain.tolist()


def test_both_passes_are_in_time_energy_and_tables() -> None:
    pruned, found = digits(*PRUNED), guarded_digits(4.0)
    second = found.kernels[found.kernels["name"].str.startswith("second.")]
    first = found.kernels[~found.kernels["name"].str.startswith("second.")]
    assert set(second["name"].str.removeprefix("second.")) == set(first["name"])
    assert second["begin_us"].min() >= first["end_us"].max()
    assert found.value("latency_us") == pytest.approx(pruned.value("latency_us") + found.value("guard_latency_us"))
    assert found.value("energy_uj") == pytest.approx(pruned.value("energy_uj") + found.value("guard_energy_uj"))
    assert found.value("guard_latency_us") > 0
    dense_macs = pruned.summary["macs"]
    assert found.summary["macs"] == dense_macs * (1 + found.value("guarded_inputs"))  # type: ignore[operator]
    assert found.value("effectual_macs") + found.value("skipped_macs") == found.value("macs")
    shares = found.account.groupby("device")["share_percent"].sum()
    assert shares.to_numpy() == pytest.approx(100)
    assert found.summary["items"] == IMAGES


def test_a_margin_that_nothing_is_below_changes_nothing() -> None:
    pruned, found = digits(*PRUNED), guarded_digits(0.0)
    assert found.summary["guarded_inputs"] == 0
    assert (found.summary["guard_latency_us"], found.summary["guard_energy_uj"]) == (0, 0)
    assert found.kernels.equals(pruned.kernels)
    assert pruned.summary["guard"] is None


def test_a_guarded_head_is_unpruned_and_pays_for_its_decision() -> None:
    pruned = digits(*PRUNED)
    found = digits(*PRUNED, "hdp.guard=head", "hdp.guard_margin=1", "hdp.guard_share=0")
    kept = digits("hdp.selection=top_k", "hdp.top_k_ratio=0")
    assert found.summary["guarded_heads"] == 1
    assert found.summary["block_ratio"] == 0
    assert np.array_equal(found.output, kept.output)  # type: ignore[arg-type]
    assert found.summary["integer_products"] == pruned.summary["integer_products"]
    assert found.value("guard_latency_us") > 0
    assert found.value("guard_latency_us") == pytest.approx(
        found.value("latency_us") - pruned.value("latency_us"), rel=0.3
    )


def test_per_input_is_what_each_input_takes_alone() -> None:
    table = digits(*PRUNED, per_input=True)
    assert table.per_input is not None
    assert len(table.per_input) == IMAGES
    alone = run("edge_hdp", "digits_vit_16", scheme="hdp", sets=["workload.images=1", *PRUNED], engine="estimate")
    first = table.per_input.iloc[0]
    assert first["latency_us"] == pytest.approx(alone.value("latency_us"))
    assert first["energy_uj"] == pytest.approx(alone.value("energy_uj"))
    assert first["block_ratio"] == pytest.approx(alone.value("block_ratio"))
    assert table.per_input["latency_us"].nunique() > 1
    ordered = np.sort(table.per_input["latency_us"])
    assert table.value("latency_p50_us") == ordered[IMAGES // 2 - 1]
    assert table.value("latency_p95_us") == ordered[int(np.ceil(0.95 * IMAGES)) - 1]
    dense = digits(scheme="dense", per_input=True)
    assert dense.summary["latency_p50_us"] == dense.summary["latency_p95_us"]


def test_a_result_with_the_table_loads_back_equal(tmp_path: Path) -> None:
    result = guarded_digits(4.0)
    assert Result.load(result.save(tmp_path / "saved")).equals(result)
    assert not digits(*PRUNED).equals(result)


@pytest.mark.parametrize("workload", ["digits_vit_16", "bert_tiny"])
def test_some_items_are_the_network_built_for_so_many(workload: str) -> None:
    key = "images" if workload == "digits_vit_16" else "batch"
    config = load_config("edge_hdp", workload, sets=[f"workload.{key}=5"])
    network = build_network(config.workload)
    wanted = build_network(load_config("edge_hdp", workload, sets=[f"workload.{key}=3"]).workload)
    assert take_items(network, [0, 1, 2]) == wanted
    operands = prepare_operands(network, config)
    assert operands is not None
    rows = take_rows(operands, network, [3, 1])
    for name, array in operands.inputs.items():
        each = len(array) // 5
        assert np.array_equal(rows.inputs[name], np.concatenate([array[3 * each : 4 * each], array[each : 2 * each]]))


def test_what_cannot_be_guarded_is_told() -> None:
    with pytest.raises(MappingError, match="classifier"):
        run("edge_hdp", "bert_tiny", scheme="hdp", sets=["hdp.guard=input"])
    with pytest.raises(MappingError, match=r"hdp\.guard head decides by values"):
        run("edge_hdp", "bert_tiny", scheme="hdp", sets=["hdp.guard=head", "hdp.block_ratio=0.5"], values=False)
    with pytest.raises(ConfigError, match=r"hdp\.guard"):
        run("edge_hdp", "bert_tiny", scheme="hdp", sets=["hdp.guard=tail"])
    network = build_network(load_config("edge_hdp", "bert_tiny", sets=["workload.batch=2"]).workload)
    with pytest.raises(MappingError, match="3 inputs do not share evenly"):
        take_items(replace(network, items=3), [0])


def test_a_comparison_tells_of_the_guard() -> None:
    dense = digits(scheme="dense")
    assert not any("guard" in note for note in Comparison((digits(*PRUNED),), dense).notes())
    told = [note for note in Comparison((guarded_digits(4.0),), dense).notes() if "guard" in note]
    share = 100 * guarded_digits(4.0).value("guarded_inputs")
    assert len(told) == 1
    assert told[0].startswith(f"hdp: by its guard {share:.3g} % of inputs run again unpruned")
