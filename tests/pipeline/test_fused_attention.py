"""Runs whose attention is one fused kernel."""

import numpy as np
import pytest

import accelsim
from accelsim.config.workload import AttentionWorkload
from accelsim.errors import UserError
from accelsim.results import Result

FUSED = "mapping.attention=fused"


def attention(length: int, *sets: str, hardware: str = "a100_sxm4_80gb", **options: object) -> Result:
    workload = {"kind": "attention", "name": "heads", "heads": 2, "sequence": length, "head_dim": 64}
    return accelsim.run(hardware, AttentionWorkload.model_validate(workload), sets=sets, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [1, 77, 515])
def test_values_are_those_of_unfused_attention_up_to_rounding(length: int) -> None:
    fused, unfused = attention(length, FUSED), attention(length)
    assert fused.value("max_rel_error") < 2e-3
    assert unfused.value("max_rel_error") < 2e-3
    assert fused.value("launches") == 1
    assert fused.value("effectual_macs") == unfused.value("effectual_macs") == 4 * length**2 * 64


@pytest.mark.parametrize("engine", ["events", "simpy", "estimate"])
def test_the_account_adds_up_to_the_latency_exactly(engine: str) -> None:
    result = attention(200, FUSED, engine=engine)
    latency_ps = round(result.value("latency_us") * 1e6)
    assert result.account.groupby("device").time_total_ps.sum()["gpu"] == 108 * latency_ps
    kernel = result.kernels.iloc[0]
    assert (kernel["unit"], kernel["tile"], kernel["macs"]) == ("tensor_core", "128x112x64", 4 * 200**2 * 64)
    actions = dict(zip(result.energy.action, result.energy["count"], strict=True))
    assert actions["tensor_mac_fp16"] >= kernel["macs"]
    assert {"cuda_flop", "shared_byte", "l2_byte", "dram_byte"} <= set(actions)


def test_long_sequences_gain_and_scores_are_not_written() -> None:
    many = "workload.heads=16"
    fused, unfused = (attention(4096, many, *sets, values=False) for sets in ((FUSED,), ()))
    assert fused.value("latency_us") < 0.5 * unfused.value("latency_us")
    # Scores of fp16 and probabilities are both written.
    assert unfused.value("dram_bytes") - fused.value("dram_bytes") > 2 * 16 * 4096**2 * 2


def test_a_stack_can_be_named() -> None:
    names = ("vllm", "trtllm")
    results = [attention(512, FUSED, f"mapping.attention_stack={name}", values=False) for name in names]
    assert results[0].value("latency_us") != results[1].value("latency_us")
    with pytest.raises(UserError, match="no attention stack 'other'"):
        attention(512, FUSED, "mapping.attention_stack=other", values=False)


def test_what_has_no_fused_kernel_is_named() -> None:
    with pytest.raises(UserError, match="not fp32"):
        attention(64, FUSED, "workload.dtype=fp32", values=False)
    with pytest.raises(UserError, match="has no fused attention"):
        attention(64, FUSED, hardware="edge_array", values=False)


def test_a_layer_keeps_its_output_and_its_intervals() -> None:
    fused, unfused = (accelsim.run("a100_sxm4_80gb", "bert_base_layer", sets=sets) for sets in ([FUSED], []))
    assert np.abs(fused.output - unfused.output).max() < 0.02
    assert "fused attention" in fused.summary["interval_left_out"]
    assert fused.summary["latency_low_us"] < fused.value("latency_us")
