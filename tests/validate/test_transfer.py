"""Transfer: what one GPU gives to another, what stays, and the file that says so."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.cli import main
from accelsim.config.hardware import Gpu
from accelsim.config.loader import load_hardware
from accelsim.errors import UserError
from accelsim.validate.parameters import PARAMETERS, with_values
from accelsim.validate.transfer import CARRIED, carry_over

PATHS = [parameter.path for parameter in CARRIED]
DATASHEET = {
    "h200_sxm": "h100_sxm5",
    "a100_pcie_80gb": "a100_sxm4_80gb",
    "a40": "a100_sxm4_80gb",
    "rtx4090": "a100_sxm4_80gb",
    "l40s": "a100_sxm4_80gb",
}
"""GPUs that nobody measured here, and the calibrated one whose values each holds."""


def _gpu(name: str, **values: Any) -> Gpu:
    return with_values(load_hardware(name).gpu, {path.replace("__", "."): value for path, value in values.items()})


def test_everything_else_is_the_targets_own() -> None:
    source, target = _gpu("a100_sxm4_80gb"), _gpu("h100_sxm5")
    found = carry_over(source, target)
    assert [one.parameter.path for one in found.carried] == PATHS
    back = with_values(found.gpu, {parameter.path: parameter.value(target) for parameter in CARRIED})
    assert back == target
    for one in found.carried:
        assert one.base == one.parameter.value(target)
        assert one.parameter.value(found.gpu) == one.value
        if one.parameter.path not in ("power.limit", "tensor_efficiency"):
            assert one.value == pytest.approx(one.parameter.value(source), rel=1e-3)


@given(st.floats(0.7, 1.2), st.floats(50, 1000), st.floats(50, 1000))
@settings(deadline=None, max_examples=30)
def test_power_carries_over_as_a_share_of_the_board(share: float, source_watt: float, target_watt: float) -> None:
    source = _gpu("a100_sxm4_80gb", power__rated=source_watt, power__limit=share * source_watt)
    target = _gpu("h100_sxm5", power__rated=target_watt, power__limit=1.0)
    found = carry_over(source, target)
    assert found.gpu.power is not None
    assert found.gpu.power.limit == pytest.approx(share * target_watt, rel=1e-3)
    assert found.assumed == ()


@given(st.floats(0.3, 1.0), st.floats(1.0, 2.5), st.floats(1.0, 2.5))
@settings(deadline=None, max_examples=30)
def test_efficiency_carries_over_as_a_share_of_the_datasheets_peak(share: float, source: float, target: float) -> None:
    a100 = _gpu("a100_sxm4_80gb", tensor_efficiency=share, clock=source * 1e9, rated_clock=1e9)
    h100 = _gpu("h100_sxm5", clock=target * 1e9, rated_clock=1e9)
    found = carry_over(a100, h100).gpu.tensor_efficiency
    assert found == pytest.approx(min(share * source / target, 1.0), rel=1e-3)
    same = carry_over(a100, _gpu("h100_sxm5", rated_clock=None)).gpu.tensor_efficiency
    assert same == pytest.approx(min(share * source, 1.0), rel=1e-3)


def test_a_limit_stands_in_for_a_rated_power_that_is_not_given() -> None:
    source, target = _gpu("a100_sxm4_80gb", power__rated=None), _gpu("a40", power__rated=None)
    found = carry_over(source, target)
    assert found.assumed == ("a100_sxm4_80gb", "a40")
    assert found.gpu.power == with_values(target, {"power.time_constant": found.gpu.power.time_constant}).power  # type: ignore[union-attr]
    assert carry_over(source, target, keep=("power.limit",)).assumed == ()


def test_what_is_kept_or_absent_stays() -> None:
    source, target = _gpu("a100_sxm4_80gb", power=None), _gpu("h100_sxm5")
    found = carry_over(source, target, keep=("epilogue",))
    assert found.gpu.epilogue == target.epilogue
    assert found.gpu.power == target.power
    assert found.left == ("power.limit", "power.time_constant")
    with pytest.raises(UserError, match="clock is not carried over; allowed: tensor_efficiency"):
        carry_over(source, target, keep=("clock",))


@pytest.mark.parametrize(("name", "source"), DATASHEET.items())
def test_gpus_from_datasheets_hold_what_the_rule_gives(name: str, source: str) -> None:
    found = carry_over(load_hardware(source).gpu, load_hardware(name).gpu, keep=("power.limit",))
    for one in found.carried:
        assert one.base == pytest.approx(one.value, rel=1e-3), one.parameter.path
    assert {parameter.path for parameter in PARAMETERS} - set(PATHS) == {"dram.strided_efficiency"}


def test_the_command_writes_a_gpu_with_its_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mine.yaml"
    words = ["hw", "carry-over", "a100_sxm4_80gb", "h100_sxm5", "-o", str(out)]
    assert main([*words, "--keep", "power.limit", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [entry["path"] for entry in document["parameters"]] == [path for path in PATHS if path != "power.limit"]
    loaded, source = load_hardware(out).gpu, load_hardware("a100_sxm4_80gb").gpu
    assert loaded.name == "mine"
    assert loaded.load_latency == pytest.approx(source.load_latency, rel=1e-3)
    assert loaded.sources["load_latency"].startswith("carried over from a100_sxm4_80gb: ")
    assert loaded.sm_count == 132
    assert main(words) == 0
    assert "load latency under load" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["a100_sxm4_80gb", "h100", "-o", "x.yaml"], "unknown name 'h100'"),
        (["a100_sxm4_80gb", "h100_sxm5", "-o", "x.txt"], "a GPU is a YAML file"),
        (["a100_sxm4_80gb", "h100_sxm5", "-o", "x.yaml", "--keep", "epilog"], "epilog is not carried over"),
        (["a100_sxm4_80gb", "a100_hdp", "-o", "x.yaml"], "a100_hdp is a system; give its GPU, a100_sxm4_80gb"),
        (["a100_sxm4_80gb", "./x.yaml", "-o", "x.yaml"], "the new file would extend itself"),
        (["a100_sxm4_80gb", "h100_sxm5", "-o", "/proc/x.yaml"], "/proc"),
    ],
)
def test_mistakes(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["hw", "carry-over", *words]) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
