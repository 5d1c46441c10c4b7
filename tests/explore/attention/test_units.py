"""Every unit that ships, by what all of them promise."""

from typing import Any

import numpy as np
import pytest

from accelsim.config.attention_unit import accelerator_of
from accelsim.config.loader import available, load_attention_unit
from accelsim.explore.attention import compare_attention
from accelsim.explore.attention.operands import draw
from accelsim.explore.attention.thresholds import with_value

UNITS = tuple(available("hwconfigs/attention"))


@pytest.mark.parametrize("name", UNITS)
def test_nothing_pruned_is_as_fast_as_the_closed_form_says(name: str) -> None:
    """Of 128 multipliers at 1 GHz no more than 256 GOP/s, times the utilisation of the unit's own formula."""
    for one in compare_attention([name], sequences=[128, 384], pruning=False).units:
        assert one.normalised_gops == pytest.approx(256 * one.utilization, rel=0.05)
        assert one.keep_ratio == one.kept_pairs == one.kept_tokens == one.kept_heads == 1
        assert one.effectual_macs == one.macs


@pytest.mark.parametrize("name", UNITS)
def test_figures_are_within_their_bounds(name: str) -> None:
    found = compare_attention([name], sequences=[9, 70], heads=3, head_dim=16)
    for one in found.units:
        for share in (one.keep_ratio, one.kept_pairs, one.kept_tokens, one.kept_heads):
            assert 0 < share <= 1
        assert 0 < one.simulated_utilization <= 1
        assert one.effectual_macs <= one.macs
        assert one.energy_uj > 0
        assert one.dram_bytes > 0
        for run in one.runs:
            assert (run.core_account_ps.sum(axis=1) == run.end_ps).all()
            assert (run.core_account_ps >= 0).all()
            assert (run.stage_begin_ps <= run.stage_end_ps).all()
            assert run.stage_end_ps.max(initial=0) <= run.end_ps
            assert all((busy <= run.end_ps).all() for busy in run.core_busy_ps.values())
            assert run.dram_busy_ps <= run.end_ps
    again = compare_attention([name], sequences=[9, 70], heads=3, head_dim=16)
    assert again.to_json() == found.to_json()


@pytest.mark.parametrize("name", [name for name in UNITS if load_attention_unit(name).keep_ratio is not None])
def test_thresholds_reach_the_cited_share(name: str) -> None:
    one = compare_attention([name], sequences=[96], heads=4).units[0]
    cited = load_attention_unit(name).keep_ratio
    assert one.threshold.target == cited
    assert one.keep_ratio == pytest.approx(cited, rel=0.1)


@pytest.mark.parametrize("name", UNITS)
def test_more_is_kept_in_one_direction_of_the_knob(name: str) -> None:
    unit = load_attention_unit(name)
    accelerator = accelerator_of(unit.algorithm)
    knob = accelerator.knob_of(unit) or accelerator.ratio
    if knob is None:
        pytest.skip(f"{name} has nothing to turn")
    layers = draw(40, heads=3, head_dim=16).layers

    def kept(value: float) -> float:
        return float(accelerator.keep_ratio(with_value(unit, knob.path, value), layers))

    shares = np.array([kept(value) for value in np.linspace(knob.low, knob.high, 7)])
    steps = np.diff(shares)
    assert (steps <= 1e-9).all() or (steps >= -1e-9).all()


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize("shape", [(1, 1, 2), (2, 3, 5), (1, 77, 64)])
def test_odd_shapes_run(name: str, shape: tuple[int, int, int]) -> None:
    heads, sequence, head_dim = shape
    one = compare_attention([name], sequences=[sequence], heads=heads, head_dim=head_dim).units[0]
    assert one.latency_us > 0


@pytest.mark.parametrize("name", UNITS)
def test_order_of_heads_changes_no_value(name: str) -> None:
    unit: Any = load_attention_unit(name)
    accelerator = accelerator_of(unit.algorithm)
    (layer,) = draw(24, heads=3, head_dim=16).layers
    turned = type(layer)(layer.query[::-1], layer.key[::-1], layer.value[::-1])
    (one,), (other,) = accelerator.execute(unit, [layer]), accelerator.execute(unit, [turned])
    assert np.array_equal(one.output, other.output[::-1])
    assert one.effectual_macs == other.effectual_macs
