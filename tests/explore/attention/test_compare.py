"""Comparisons of attention accelerators, on the plainest unit; each unit's own tests are beside it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import validate

from accelsim.config.attention_unit import accelerator_of, register
from accelsim.config.loader import load_attention_unit
from accelsim.errors import ConfigError, OperandError, UserError
from accelsim.explore.attention import compare_attention
from accelsim.explore.attention.operands import draw, exact_attention, read
from accelsim.explore.attention.published import ratios_to, yardstick_mm2
from accelsim.explore.attention.thresholds import solve, value_at, with_value
from accelsim.machine.attention.accelerator import Operands
from accelsim.results.schema import ATTENTION_SCHEMA
from accelsim.results.store import read_folder
from accelsim.show import attention_files


@pytest.fixture(scope="module")
def found() -> Any:
    return compare_attention(["dense_array", "hdp_edge"], sequences=[16, 48], heads=3, head_dim=16)


def test_every_unit_meets_every_length_in_order(found: Any) -> None:
    assert [(one.unit, one.sequence) for one in found.units] == [
        ("dense_array", 16),
        ("hdp_edge", 16),
        ("dense_array", 48),
        ("hdp_edge", 48),
    ]
    assert found.at("hdp_edge", 48).heads == 3
    with pytest.raises(KeyError, match="a3"):
        found.at("a3", 48)


def test_figures_follow_from_one_another(found: Any) -> None:
    for one in found.units:
        assert one.macs == 2 * 3 * one.sequence**2 * 16
        assert one.gops == pytest.approx(2e-3 * one.macs / one.latency_us)
        assert one.normalised_gops == pytest.approx(one.gops * 128e9 / (one.multipliers * one.clock_hz))
        assert one.normalised_gops_bits == pytest.approx(one.gops * 128e9 * 256 / (one.multiplier_bits * one.clock_hz))
        assert 0 < one.simulated_utilization <= 1
        assert sum(one.energy_by_action.values()) == pytest.approx(one.energy_uj)
        assert one.gop_per_j == pytest.approx(2e-3 * one.macs / one.energy_uj)
        assert one.core_energy_uj == pytest.approx(one.energy_uj - one.energy_by_action["dram_byte"])
    shares = found.account_frame().groupby(["unit", "sequence"])["share_percent"].sum()
    assert np.allclose(shares, 100)


def test_dense_attention_is_as_exact_as_its_format(found: Any) -> None:
    assert found.at("dense_array", 48).max_rel_error < 2e-3
    assert found.at("dense_array", 48).keep_ratio == 1


def test_nothing_pruned_is_dense_but_for_rounding() -> None:
    whole = "hdp_edge.hdp.approximation=false"
    one = compare_attention(["hdp_edge"], sequences=[33], heads=2, pruning=False, sets=[whole]).units[0]
    assert (one.keep_ratio, one.threshold.origin) == (1.0, "off")
    assert one.max_rel_error < 3e-3


def test_a_gpu_stands_beside_units() -> None:
    one = compare_attention(["a100_sxm4_80gb"], sequences=[40], heads=2).units[0]
    assert (one.unit, one.algorithm, one.keep_ratio) == ("a100_sxm4_80gb", "fused", 1.0)
    assert one.max_rel_error < 5e-3
    assert 0 < one.simulated_utilization < 1
    assert sum(one.energy_by_action.values()) == pytest.approx(one.energy_uj)
    slower = compare_attention(["a100_sxm4_80gb"], sequences=[40], heads=2, sets=["a100_sxm4_80gb.clock=0.7 GHz"])
    assert slower.units[0].latency_us > one.latency_us
    with pytest.raises(UserError, match="has no fused attention"):
        compare_attention(["edge_array"], sequences=[8])
    with pytest.raises(UserError, match="attention units and GPUs"):
        compare_attention(["cublas_volta"], sequences=[8])


def test_thresholds_are_solved_or_own() -> None:
    solved = compare_attention(["hdp_edge"], sequences=[64], heads=4, keep_ratio=0.3).units[0]
    assert solved.threshold.origin == "solved"
    assert solved.keep_ratio == pytest.approx(0.3, abs=0.02)
    own = compare_attention(["hdp_edge"], sequences=[64], heads=4, thresholds="own", sets=["hdp_edge.hdp.rho_b=0.6"])
    assert own.units[0].threshold.value == 0.6
    assert "own threshold, hdp.rho_b = 0.6" in " ".join(own.notes())


def test_same_comparison_same_bytes(found: Any) -> None:
    again = compare_attention(["dense_array", "hdp_edge"], sequences=[16, 48], heads=3, head_dim=16)
    assert again.to_json() == found.to_json()


def test_documents_and_folders_keep_their_form(found: Any, tmp_path: Path) -> None:
    validate(found.document(), ATTENTION_SCHEMA)
    figures = attention_files(found.to_frame(), found.account_frame(), found.stages_frame())
    found.save(tmp_path / "out", figures)
    held = set(read_folder(tmp_path / "out"))
    assert {"attention.json", "units.csv", "attention.svg", "gantt_hdp_edge.png", "gantt_dense_array.svg"} <= held


def test_operands_of_a_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    q, k, v = rng.standard_normal((3, 2, 3, 10, 8))
    np.savez(tmp_path / "qkv.npz", Q=q, K=k, V=v)
    one = compare_attention(["dense_array"], operands=tmp_path / "qkv.npz").units[0]
    assert (one.layers, one.heads, one.sequence, one.head_dim) == (2, 3, 10, 8)
    np.savez(tmp_path / "heads.npz", Q=q[0], K=k[0], V=v[0])
    assert len(read(tmp_path / "heads.npz").layers) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"V": np.zeros((2, 5, 4))}, "of one shape"),
        ({"K": np.full((2, 6, 4), np.nan)}, r"K\[0, 0, 0\] is nan"),
        ({"Q": np.zeros(3)}, "of one shape"),
    ],
)
def test_unfit_operands_are_told(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    arrays = {name: np.zeros((2, 6, 4)) for name in "QKV"} | change
    np.savez(tmp_path / "qkv.npz", **arrays)
    with pytest.raises(OperandError, match=words):
        compare_attention(["dense_array"], operands=tmp_path / "qkv.npz")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"units": ["dense_aray"]}, "did you mean 'dense_array'"),
        ({"units": []}, "no unit"),
        ({"units": ["dense_array", "dense_array"]}, "more than once"),
        ({"units": ["a100_sxm4_80gb_"]}, "unknown unit"),
        ({"sets": ["dense_array.clock=4"]}, "--set dense_array.clock=4"),
        ({"sets": ["hdp.rho_b=0"]}, "UNIT.PATH=VALUE"),
        ({"sets": ["dense_array.pe_row=4"]}, "pe_row"),
        ({"sets": ["dense_array.clock=4"]}, "clock"),
        ({"sequences": [0]}, "sequence is 0"),
        ({"sequences": []}, "no sequence"),
        ({"head_dim": 129}, "max_head_dim"),
        ({"thresholds": "mine"}, "cited, own"),
        ({"keep_ratio": 0.0}, "keep_ratio is 0"),
    ],
)
def test_mistakes_are_told(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        compare_attention(**({"units": ["dense_array"], "sequences": [8], "heads": 1} | arguments))


def test_drawn_operands_have_structure() -> None:
    drawn = draw(64, heads=2).first
    assert drawn.query.shape == (2, 64, 64)
    scores = drawn.query[0] @ drawn.key[0].T / 8
    near = np.abs(np.subtract.outer(np.arange(64), np.arange(64))) <= 1
    assert scores[near].mean() > scores[~near].mean() + 1
    for sizes in ({"heads": 1, "head_dim": 1}, {"heads": 1, "head_dim": 3}):
        assert np.isfinite(draw(5, **sizes).first.key).all()


def test_exact_attention_is_softmax_attention() -> None:
    rng = np.random.default_rng(0)
    operands = Operands(*rng.standard_normal((3, 2, 7, 5)).astype(np.float32))
    scores = np.einsum("hid,hjd->hij", operands.query.astype(float), operands.key) / np.sqrt(5)
    weights = np.exp(scores) / np.exp(scores).sum(axis=2, keepdims=True)
    assert np.allclose(exact_attention(operands), weights @ operands.value)


def test_a_key_is_changed_and_checked() -> None:
    unit = load_attention_unit("hdp_edge")
    changed = with_value(unit, "hdp.rho_b", 0.25)
    assert value_at(changed, "hdp.rho_b") == 0.25
    assert changed.model_copy(update={"hdp": unit.hdp}) == unit  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="no threshold"):
        solve(accelerator_of("dense"), load_attention_unit("dense_array"), draw(8).layers, 0.5)
    with pytest.raises(ConfigError, match="registered already"):
        register(accelerator_of("dense"))
    with pytest.raises(ConfigError, match="did you mean 'hdp'"):
        accelerator_of("hpd")


def test_ratios_are_those_of_the_figures(found: Any) -> None:
    units = [one for one in found.units if one.sequence == 48]
    own, other = units[1], units[0]
    (row,) = ratios_to(units, "hdp_edge").to_dict("records")
    assert row["unit"] == "dense_array"
    assert row["by_multipliers"] == pytest.approx(own.normalised_gops / other.normalised_gops)
    assert row["by_bits"] == pytest.approx(own.normalised_gops_bits / other.normalised_gops_bits)
    areas = [yardstick_mm2(one) for one in (own, other)]
    assert row["by_area"] == pytest.approx(own.gops / areas[0] / (other.gops / areas[1]))
    # 128 multipliers of 16 x 16 bits and 256 KiB: 0.048 and 0.079 mm2.
    assert areas[1] == pytest.approx(0.0482 + 0.0786, abs=1e-3)
