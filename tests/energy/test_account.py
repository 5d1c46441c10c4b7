"""Energy: sums of counts, and what a run counts."""

from typing import get_args

import pytest

import accelsim
from accelsim.config.actions import ACTIONS
from accelsim.config.hardware import Dtype, EnergyTable
from accelsim.config.loader import load_energy
from accelsim.energy.account import dynamic_energy, static_energy
from accelsim.errors import ConfigError
from accelsim.results import Result


def table(**power: str) -> EnergyTable:
    return EnergyTable(
        kind="energy", name="small", process_node="7 nm", actions={"l2_byte": "2 pJ", "dram_byte": "30 pJ"},
        static_power=power, sources={"actions": "a datasheet", "actions.dram_byte": "a paper"},
    )  # fmt: skip


def test_a_count_costs_its_multiple_of_one_action() -> None:
    l2, dram = dynamic_energy("gpu", {"l2_byte": 500_000, "dram_byte": 1_000_000, "cuda_flop": 0}, table())
    assert (l2.component, l2.action, l2.count, l2.source) == ("gpu", "l2_byte", 500_000, "a datasheet")
    assert l2.energy_uj == pytest.approx(1.0)
    assert dram.energy_uj == pytest.approx(30.0)
    assert dram.source == "a paper"


def test_a_watt_spends_a_microjoule_in_a_microsecond() -> None:
    (leak,) = static_energy("gpu", table(leakage="3 W"), 2_000_000)
    assert (leak.count, leak.energy_uj, leak.source) == (pytest.approx(2.0), pytest.approx(6.0), "default")


def test_what_a_table_lacks_is_named() -> None:
    with pytest.raises(ConfigError, match=r"small has no action 'cuda_flop' .*one operation of an element-wise"):
        dynamic_energy("gpu", {"cuda_flop": 1}, table())
    with pytest.raises(ConfigError, match="unknown static power 'fans'"):
        static_energy("gpu", table(fans="3 W"), 1)


def test_every_format_has_its_actions() -> None:
    for dtype in get_args(Dtype):
        assert {f"tensor_mac_{dtype}", f"cuda_mac_{dtype}"} <= set(ACTIONS)


def counts_of(result: Result, component: str) -> dict[str, float]:
    rows = result.energy[result.energy.component == component]
    return dict(zip(rows.action, rows["count"], strict=True))


def test_a_run_charges_for_what_its_kernels_move_and_multiply() -> None:
    sets = ["mapping.tile_m=64", "mapping.tile_n=64", "mapping.tile_k=32", "mapping.split_k=1"]
    sizes = ["workload.m=100", "workload.n=70", "workload.k=90"]
    result = accelsim.run("v100_pcie", "gemm_1024", sets=[*sizes, *sets], values=False)
    counts, kernels = counts_of(result, "gpu"), result.kernels
    assert counts["dram_byte"] == kernels.dram_read_bytes.sum() + kernels.dram_write_bytes.sum()
    assert counts["l2_byte"] == kernels.l2_read_bytes.sum() + 2 * 100 * 70
    assert counts["tensor_mac_fp16"] == 128 * 128 * 96  # two tiles by two, three k-steps, edges padded
    # Each of the four thread blocks writes two tiles of 64 x 32 in every k-step, and its 2 x 2 warps read both twice.
    assert counts["shared_byte"] == 4 * 3 * 3 * (64 + 64) * 32 * 2
    power = sum(load_energy("gpu_12nm").static_power.values())
    static = result.energy[result.energy.action.isin(["board_idle", "leakage"])].energy_uj.sum()
    assert static == pytest.approx(power * result.value("latency_us"))
    assert result.energy.energy_uj.sum() == pytest.approx(result.value("energy_uj"))


def test_attention_is_charged_where_it_runs() -> None:
    sets = ["workload.sequence=16"]
    gpu, unit = (accelsim.run("a100_hdp", "bert_tiny", scheme=scheme, sets=sets) for scheme in ("dense", "hdp"))
    on_unit, summary = counts_of(unit, "attention_unit"), unit.summary
    kinds = ("integer", "cross", "fraction", "value")
    assert on_unit["bit_product"] == 256 * sum(float(str(summary[f"{kind}_bit_macs"])) for kind in kinds)
    assert on_unit["softmax_element"] * 64 == summary["value_products"]
    assert on_unit["sparsity_block"] == 2 * 2 * 8 * 8
    assert counts_of(unit, "link")["link_byte"] == 2 * 4 * 16 * 128 * 2
    assert set(counts_of(gpu, "attention_unit")) == {"leakage"}
    assert counts_of(unit, "gpu")["tensor_mac_fp16"] < counts_of(gpu, "gpu")["tensor_mac_fp16"]
