"""Held-out errors as YAML: one regime for every kernel, and errors that belong to the machine that made them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.config.accuracy import REGIMES, regime_of
from accelsim.config.loader import available, load_accuracy, load_config, load_hardware
from accelsim.config.names import built_in
from accelsim.config.record import config_hash, gpu_digest
from accelsim.errors import ConfigError

NAMES = available("hwconfigs/accuracy")


@given(st.integers(1, 10**6), st.floats(0.1, 1e6))
def test_every_kernel_is_in_one_regime(rows: int, predicted_us: float) -> None:
    regime = regime_of(rows, predicted_us)
    assert regime in REGIMES
    assert regime == "few_rows" if rows <= 16 else regime != "few_rows"


def test_regimes_follow_the_predicted_time() -> None:
    assert [regime_of(17, time) for time in (10.0, 10.1, 1000.0, 1000.1)] == ["short", "medium", "medium", "long"]
    assert [regime_of(16, time) for time in (1.0, 1e4)] == ["few_rows", "few_rows"]


@pytest.mark.parametrize("name", NAMES)
def test_shipped_errors_are_those_of_the_shipped_machine(name: str) -> None:
    accuracy = load_accuracy(name)
    gpu = load_hardware(accuracy.of_gpu).gpu
    assert gpu.accuracy == name
    assert gpu_digest(gpu) == accuracy.gpu_digest, "the machine has changed; run: python docs/interval_tables.py"
    assert set(accuracy.engines) == {"estimate", "events"}


def test_a_machine_of_other_figures_is_another() -> None:
    digests = {
        name: gpu_digest(load_hardware(name).gpu) for name in ("v100_sxm2", "v100_pcie", "h200_sxm", "h100_sxm5")
    }
    assert len(set(digests.values())) == len(digests)
    same = load_hardware("v100_sxm2", ["hardware.name=mine", "hardware.accuracy=accuracy_t4"]).gpu
    assert gpu_digest(same) == digests["v100_sxm2"]
    for changed in ("clock=1.2 GHz", "library=cutlass_volta", "energy=gpu_7nm"):
        assert gpu_digest(load_hardware("v100_sxm2", [f"hardware.{changed}"]).gpu) != digests["v100_sxm2"]


def test_heirs_borrow_and_those_of_another_generation_do_not() -> None:
    assert load_hardware("v100_pcie").gpu.accuracy == "accuracy_v100_sxm2"
    assert load_hardware("h200_sxm").gpu.accuracy == "accuracy_h100_sxm5"
    for name in ("rtx4090", "l40s", "rtx3090", "edge_array"):
        assert load_hardware(name).gpu.accuracy is None


def test_a_spread_is_that_of_the_regime_or_of_all_rows() -> None:
    accuracy = load_accuracy("accuracy_a100_sxm4_80gb")
    events = accuracy.engines["events"]
    assert accuracy.spread("simpy", 8, 50.0) == accuracy.spread("events", 8, 50.0) == events["few_rows"]
    assert accuracy.spread("estimate", 512, 50.0) == accuracy.engines["estimate"]["medium"]
    fewer = accuracy.model_copy(update={"engines": {"events": {"all": events["all"]}}})
    assert fewer.spread("events", 8, 50.0) == events["all"]
    assert fewer.spread("estimate", 8, 50.0) is None


def test_runs_that_differ_in_errors_differ(tmp_path: Path) -> None:
    text = built_in("hwconfigs/accuracy")["accuracy_t4"].read_text()
    (tmp_path / "mine.yaml").write_text(text)
    sets = [f"hardware.accuracy={tmp_path}/mine.yaml"]
    base = config_hash(load_config("t4", "gemm_1024"))
    (tmp_path / "mine.yaml").write_text(text.replace("{n: ", "{n: 1"))
    assert config_hash(load_config("t4", "gemm_1024", sets=sets)) != base


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("low: ", "low: 9", "must rise"),
        ("all:", "most:", "most"),
        ("holdout: 0.5", "holdout: 1.5", "at most 1"),
        ("formats: [fp16]", "formats: []", "at least one"),
        ("table: ", "tabel: ", "did you mean 'table'"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = built_in("hwconfigs/accuracy")["accuracy_t4"].read_text()
    assert old in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match=message) as caught:
        load_accuracy(path)
    assert f"{path}:" in str(caught.value)


def test_a_gpu_that_names_no_such_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: t4\naccuracy: accuracy_t5\n")
    with pytest.raises(
        ConfigError, match=r"mine.yaml:2: accuracy: unknown name 'accuracy_t5'; did you mean 'accuracy_t4'"
    ):
        load_hardware(path)
