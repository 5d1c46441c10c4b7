"""Figures of explanations: all of the time is drawn, and steps lead from ideal to actual."""

import numpy as np
import pytest

from accelsim.results.explain import Explanation, explain
from accelsim.show.explain import explanation_files, loss_waterfall, time_stack
from tests.results.examples import example
from tests.results.runs import kernel, run_of

DENSE = run_of([kernel("a", 0, (10, 80, 8, 2, 20), macs=400, executed=400)])
SPARSE = run_of([kernel("a", 0, (10, 40, 8, 4, 12), macs=100, executed=125)], "tile_wise")


def test_bars_reach_the_whole() -> None:
    axes = time_stack(explain([example("dense"), example("hdp")]))
    tops: dict[float, float] = {}
    for patch in axes.patches:
        tops[patch.get_x()] = max(tops.get(patch.get_x(), 0.0), patch.get_y() + patch.get_height())  # type: ignore[attr-defined]
    assert list(tops.values()) == pytest.approx([100, 100])
    legend = axes.get_legend()
    assert legend is not None
    assert "attention unit" in [text.get_text() for text in legend.get_texts()]


def test_steps_lead_from_ideal_to_actual() -> None:
    one = explain([DENSE, SPARSE])[1]
    found = one.losses
    assert found is not None
    bars = loss_waterfall(one).patches
    bottoms = np.array([bar.get_y() for bar in bars])  # type: ignore[attr-defined]
    heights = np.array([bar.get_height() for bar in bars])  # type: ignore[attr-defined]
    assert len(bars) == 3 + len(found.losses)
    np.testing.assert_allclose(bottoms[2:-1], heights[1] + np.cumsum([0, *heights[2:-2]]), atol=1e-12)
    assert bottoms[-2] + heights[-2] == pytest.approx(heights[-1])


def test_what_only_rounding_made_is_not_drawn() -> None:
    dense = run_of([kernel("a", 0, (8_000_000, 80_000_000, 0, 0, 0), macs=400, executed=400)])
    sparse = run_of([kernel("a", 0, (2_000_001, 40_000_000, 0, 0, 0), macs=100, executed=100)], "tile_wise")
    one = explain([dense, sparse])[1]
    assert one.losses is not None
    assert sorted(one.losses.losses.values()) == [1, 20_000_000]
    assert len(loss_waterfall(one).patches) == 3 + 1


def test_nothing_to_lose_is_no_waterfall() -> None:
    with pytest.raises(ValueError, match="has no baseline"):
        loss_waterfall(Explanation(example()))


def test_files_are_equal_bytes() -> None:
    found = explain([DENSE, SPARSE])
    files = explanation_files(found)
    assert list(files) == ["explain.png", "explain.svg"]
    assert files == explanation_files(found)
