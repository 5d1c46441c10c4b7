"""The clock's answer to the power limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import accelsim
from accelsim.errors import ConfigError
from accelsim.machine.gemm.power import throttled_seconds


@given(
    free=st.floats(1e-7, 1.0), joule=st.floats(0, 1e3), static=st.floats(0, 100), over=st.floats(1, 500),
    tau=st.floats(1e-6, 1e-2),
)  # fmt: skip
def test_time_lies_between_full_clock_and_the_limit(
    free: float, joule: float, static: float, over: float, tau: float
) -> None:
    slowed = throttled_seconds(free, joule, static, static + over, tau)
    assert free <= slowed <= max(free, joule / over) * (1 + 1e-12)
    assert slowed <= throttled_seconds(free, joule, static, static + over, tau / 2) * (1 + 1e-12)


def test_a_limit_below_static_power_is_an_error() -> None:
    with pytest.raises(ConfigError, match="leaves nothing"):
        throttled_seconds(1.0, 1.0, 60.0, 50.0, 1e-3)


def test_a_long_kernel_is_slowed_and_its_account_still_adds_up() -> None:
    sets = ["workload.m=8192", "workload.n=8192", "workload.k=8192"]
    capped = accelsim.run("a100_sxm4_80gb", "gemm_1024", values=False, sets=[*sets, "hardware.power.limit=250 W"])
    free = accelsim.run("a100_sxm4_80gb", "gemm_1024", values=False, sets=[*sets, "hardware.power.limit=2 kW"])
    account = capped.account.set_index("cause").time_total_ps
    assert account["power_limit"] > 0
    assert free.account.set_index("cause").time_total_ps["power_limit"] == 0
    assert account.sum() == 108 * round(capped.value("latency_us") * 1e6)
    watts = capped.value("energy_uj") / capped.value("latency_us")
    assert 250 <= watts < free.value("energy_uj") / free.value("latency_us")


def test_a_slower_clock_keeps_the_units_that_share_it_as_busy_as_they_were() -> None:
    sets = ["workload.m=4096", "workload.n=4096", "workload.k=4096"]
    capped, free = (
        accelsim.run("a100_sxm4_80gb", "gemm_1024", values=False, sets=[*sets, f"hardware.power.limit={limit}"])
        for limit in ("200 W", "2 kW")
    )
    assert capped.value("latency_us") > 1.1 * free.value("latency_us")
    slow, fast = (result.units.set_index("unit") for result in (capped, free))
    for unit in ("sm_multipliers", "l2"):
        assert slow.utilisation_percent[unit] == pytest.approx(fast.utilisation_percent[unit], rel=1e-6)
    assert slow.busy_us["dram"] == pytest.approx(fast.busy_us["dram"])


def test_a_limit_that_static_power_eats_is_the_users_mistake() -> None:
    with pytest.raises(ConfigError, match=r"power\.limit is 50 W.*115 W"):
        accelsim.run("a100_sxm4_80gb", "gemm_1024", values=False, sets=["hardware.power.limit=50 W"])
