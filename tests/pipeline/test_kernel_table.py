"""Kernels' own accounts: together they are the device's, and each is its duration times the copies."""

import numpy as np
import pytest

import accelsim
from accelsim.results import Result
from accelsim.results.explain import Explanation, explain
from accelsim.results.stack import exposed, latency_ps, stack_ps

RATIOS = ("hdp.block_ratio=0.5", "hdp.head_ratio=0.25")


def run(scheme: str, *sets: str, hardware: str = "a100_hdp", workload: str = "bert_base_layer", **more: bool) -> Result:
    return accelsim.run(hardware, workload, scheme=scheme, sets=sets, values=False, engine="estimate", **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def dense() -> Result:
    return run("dense")


@pytest.fixture(scope="module")
def mixed() -> Result:
    return run("tile_wise+hdp", *RATIOS)


def times(result: Result) -> list[str]:
    return [column for column in result.kernels.columns if column.startswith("time_")]


@pytest.mark.parametrize("name", ["dense", "mixed"])
def test_accounts_of_kernels_are_those_of_devices(name: str, request: pytest.FixtureRequest) -> None:
    result: Result = request.getfixturevalue(name)
    account = result.account[result.account["cause"] != "other_unit"]
    for device, rows in account.groupby("device"):
        kernels = result.kernels[result.kernels["device"] == device]
        for cause, total in zip(rows["cause"], rows["time_total_ps"], strict=True):
            assert kernels[f"time_{cause}_ps"].sum() == total, (device, cause)


def test_each_account_is_the_duration_of_all_copies(mixed: Result) -> None:
    copies = {"gpu": 108, "attention_unit": 16, "link": 0}
    whole = mixed.kernels[times(mixed)].sum(axis=1)
    durations = np.rint(mixed.kernels["duration_us"] * 1e6).astype(np.int64)
    assert (whole == durations * mixed.kernels["device"].map(copies)).all()


@pytest.mark.parametrize("name", ["dense", "mixed"])
def test_multiply_accumulates_of_kernels_are_those_of_the_run(name: str, request: pytest.FixtureRequest) -> None:
    result: Result = request.getfixturevalue(name)
    assert result.kernels["macs"].sum() == result.summary["effectual_macs"]
    done = result.kernels.dropna(subset=["executed_macs"])
    assert (done["executed_macs"] >= done["macs"]).all()
    assert (done["fetched_bytes"] >= done["asked_bytes"]).all()


def test_transfers_belong_to_their_attention(mixed: Result) -> None:
    links = mixed.kernels[mixed.kernels["device"] == "link"]
    assert len(links) == 4
    assert set(links["operation"]) == {"layers.0.attention"}


def test_ragged_tiles_are_padding(dense: Result) -> None:
    ragged = run("dense", "workload.m=130", "workload.n=130", "mapping.tile_m=128", "mapping.tile_n=128",
                 hardware="v100_pcie", workload="gemm_1024")  # fmt: skip
    found = stack_ps(exposed(ragged))
    filled = 1 - 130 * 130 / 256**2
    assert found["padding"] / (found["padding"] + found["compute"]) == pytest.approx(filled)
    assert "padding" not in stack_ps(exposed(dense))


def test_a_separate_scatter_is_told_as_gathering() -> None:
    fused, apart = (run("tile_wise", f"tile_wise.scatter={how}") for how in ("fused", "separate"))
    rows = [row for row in exposed(apart) if row.name.endswith(".scatter")]
    assert rows
    assert all(set(row.causes) <= {"gather", "launch"} for row in rows)
    assert stack_ps(exposed(apart))["gather"] > 10 * stack_ps(exposed(fused))["gather"]


def test_losses_of_a_run_add_up(dense: Result, mixed: Result) -> None:
    found = explain([dense, mixed])[1].losses
    assert found is not None
    assert found.ideal_ps + sum(found.losses.values()) == latency_ps(mixed)
    assert found.losses["launch"] > 0
    assert found.losses["other_device"] > 0
    assert found.macs_saved == pytest.approx(dense.value("effectual_macs") / mixed.value("effectual_macs"))


def test_no_kernel_beats_the_roof(dense: Result, mixed: Result) -> None:
    for result in (dense, mixed):
        placed = [row for row in Explanation(result).kernel_rows() if row["attained_percent"] is not None]
        assert len(placed) > 5
        assert all(0 <= float(str(row["attained_percent"])) <= 100 for row in placed)
        position = Explanation(result).position
        assert position is not None
        assert position.attained_percent is not None
        assert 0 < position.attained_percent < 100


def test_sparse_tensor_cores_do_not_beat_the_roof_either() -> None:
    result = run("n_m", "workload.m=8192", hardware="a100_sxm4_80gb", workload="gemm_1024")
    position = Explanation(result).position
    assert position is not None
    assert position.attained_percent is not None
    assert 20 < position.attained_percent <= 100
