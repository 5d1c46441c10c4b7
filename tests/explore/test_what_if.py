"""Runs without one mechanism at a time: the same kernels, and the latency that a run on such a machine has."""

import pytest

import accelsim
from accelsim.explore.what_if import ALL, CACHES, CHOSEN, TIMED, what_if
from accelsim.validate.mechanisms import MECHANISMS

RUN = ("v100_pcie", "gemm_1024")
FIXED = ("mapping.tile_m=128", "mapping.tile_n=64", "mapping.tile_k=32", "mapping.stages=2", "mapping.split_k=1")


@pytest.fixture(scope="module")
def result() -> accelsim.Result:
    return accelsim.run(*RUN, scheme="tile_wise", sets=FIXED, values=False)


def test_each_is_what_a_run_on_that_machine_takes(result: accelsim.Result) -> None:
    found = {one.mechanism: one for one in what_if(result)}
    assert len(found) >= 5
    for name in ("epilogue", "dram_efficiency", "launch"):
        sets = MECHANISMS[name].sets(accelsim.load_hardware(RUN[0]).gpu)
        alone = accelsim.run(*RUN, scheme="tile_wise", sets=(*FIXED, *sets), values=False)
        assert found[name].latency_us == alone.value("latency_us")
        assert found[name].gained_us == pytest.approx(result.value("latency_us") - found[name].latency_us)


def test_costs_gain_and_order_is_by_gain(result: accelsim.Result) -> None:
    found = what_if(result)
    assert [one.gained_us for one in found] == sorted((one.gained_us for one in found), reverse=True)
    gained = {one.mechanism: one.gained_us for one in found}
    assert gained["launch"] > 0
    assert gained["epilogue"] > 0


def test_kernels_are_chosen_anew_without_a_choice() -> None:
    shape = ("workload.m=128", "workload.n=256", "workload.k=16384")  # few tiles, which share k
    free = accelsim.run("a100_sxm4_80gb", "gemm_1024", values=False, sets=shape)
    found = {one.mechanism: one for one in what_if(free, (*CACHES, *CHOSEN))}
    assert {"kernel_choice", "split_k", "warm_start"} <= set(found)
    for name, one in found.items():
        sets = MECHANISMS[name].sets(accelsim.load_hardware("a100_sxm4_80gb").gpu)
        if not MECHANISMS[name].library:
            alone = accelsim.run("a100_sxm4_80gb", "gemm_1024", values=False, sets=(*shape, *sets))
            assert one.latency_us == alone.value("latency_us")


def test_what_heads_keep_stays_where_kernels_change() -> None:
    run = accelsim.run("a100_hdp", "digits_vit", scheme="hdp", sets=("workload.images=3", "hdp.rho_b=0.3"))
    (found,) = what_if(run, [MECHANISMS["kernel_choice"]])
    sets = ("workload.images=3", "hdp.rho_b=0.3", "mapping.tile_m=128", "mapping.tile_n=128")
    alone = accelsim.run("a100_hdp", "digits_vit", scheme="hdp", sets=sets)
    assert found.latency_us == alone.value("latency_us")


def test_no_idle_mechanisms_nor_choices_that_were_made(result: accelsim.Result) -> None:
    assert {"kernel_choice", "split_k", "copies"}.isdisjoint(one.name for one in TIMED)
    assert {one.name for one in ALL} < set(MECHANISMS)
    found = what_if(result)
    assert all(one.gained_us for one in found)
    assert {"kernel_choice", "split_k"}.isdisjoint(one.mechanism for one in found)
    counted: list[tuple[int, int]] = []
    what_if(result, TIMED[:2], lambda done, total: counted.append((done, total)))
    assert counted == [(0, 2), (1, 2), (2, 2)]
