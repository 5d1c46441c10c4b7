"""Operands of a network, mean keys from them, and the choice among HDP's variants."""

from pathlib import Path

import numpy as np
import pytest

import accelsim
from accelsim.config.options import HDP_PRESETS
from accelsim.errors import MappingError, OperandError
from accelsim.explore.attention.operands import draw
from accelsim.explore.hdp_operands import attention_operands, calibrate_key_means
from accelsim.explore.hdp_preset import LITERAL, VARIANTS, choose_preset
from accelsim.kernels.hdp import mean_key
from accelsim.machine.attention.accelerator import Operands

FEW = ("workload.split=calibration", "workload.images=12")


@pytest.fixture(scope="module")
def digits() -> tuple[Operands, ...]:
    return tuple(each.operands for each in attention_operands("digits_vit_16", FEW))


def test_operands_are_those_that_the_network_attends_with(digits: tuple[Operands, ...]) -> None:
    assert [each.query.shape for each in digits] == [(48, 16, 16)] * 2
    captured = attention_operands("digits_vit_16", FEW)
    assert [each.heads for each in captured] == [4, 4]
    assert len({each.name for each in captured}) == 2
    # The first layer's keys of an image depend on that image alone.
    alone = attention_operands("digits_vit_16", ["workload.split=calibration", "workload.images=1"])
    np.testing.assert_array_equal(alone[0].operands.key, digits[0].key[:4])
    with pytest.raises(MappingError, match="has no attention"):
        attention_operands("gemm_1024")


def test_the_robust_preset_is_what_is_chosen(digits: tuple[Operands, ...]) -> None:
    found = choose_preset({"digits_vit_16": digits, "drawn heads": draw(96, heads=6).layers}, (0.5, 0.7))
    assert found.switches == HDP_PRESETS["robust"]
    assert HDP_PRESETS["paper"] == LITERAL
    chosen = max(found.worst(found.chosen, model) for model in ("digits_vit_16", "drawn heads"))
    for label in VARIANTS:
        assert max(max(each) for each in found.losses[label].values()) >= chosen
    assert found.worst("literal", "digits_vit_16") > found.worst(found.chosen, "digits_vit_16")
    assert found.table().count("\n") == 1 + len(found.losses) == 8
    for losses in found.losses.values():
        for model in losses.values():
            assert all(0 < loss < 1.2 for loss in model)


def test_padding_takes_no_part_in_the_choice(digits: tuple[Operands, ...]) -> None:
    short = digits[0]
    rows, room = short.query[:8], ((0, 0), (0, 9), (0, 0))
    cut = [Operands(rows[:4], short.key[:4], short.value[:4])]
    cut.append(Operands(rows[4:, :7], short.key[4:8, :7], short.value[4:8, :7]))
    junk = [np.pad(array[:8], room, constant_values=3.0) for array in (short.query, short.key, short.value)]
    for array in junk:
        array[4:, 7:] = -2.0
    padded = Operands(junk[0], junk[1], junk[2], np.repeat(np.array([16, 7]), 4))
    assert choose_preset({"some": [padded]}, (0.5,)).losses == choose_preset({"some": cut[::-1]}, (0.5,)).losses


def test_losses_grow_with_the_share_pruned(digits: tuple[Operands, ...]) -> None:
    found = choose_preset({"digits": digits}, (0.2, 0.5, 0.8))
    for losses in found.losses.values():
        assert list(losses["digits"]) == sorted(losses["digits"])


def test_mean_keys_of_calibration_serve_a_run(tmp_path: Path, digits: tuple[Operands, ...]) -> None:
    path = tmp_path / "means.npz"
    calibrate_key_means("digits_vit_16", path, FEW)
    with np.load(path) as stored:
        means = [stored[name] for name in stored.files]
    np.testing.assert_allclose(means[0][1], mean_key(digits[0].key)[1::4, 0].mean(axis=0), rtol=1e-6)
    sets = ["workload.images=4", "hdp.center_keys=static", f"hdp.key_means={path}", "hdp.rho_b=0.2"]
    static = accelsim.run("edge_hdp", "digits_vit_16", scheme="hdp", sets=sets)
    first = accelsim.run(
        "edge_hdp", "digits_vit_16", scheme="hdp", sets=["workload.images=4", "hdp.center_keys=first_input"]
    )
    assert static.summary["latency_us"] != first.summary["latency_us"]


def test_refusals(digits: tuple[Operands, ...]) -> None:
    with pytest.raises(OperandError, match="at least one layer of at least one model"):
        choose_preset({})
    with pytest.raises(OperandError, match="at least one layer"):
        choose_preset({"none": ()})
    for ratios in ((), (0.5, 1.0), (0.0,)):
        with pytest.raises(OperandError, match="0 < ratio < 1"):
            choose_preset({"digits": digits}, ratios)
