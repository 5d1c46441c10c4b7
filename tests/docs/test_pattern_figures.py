"""Figures of the page about patterns."""

import numpy as np
import pytest
from generate import ROOT
from pattern_figures import example_weights, norms

NAMES = ("patterns", "patterns_norm")


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_small_and_shown(name: str) -> None:
    content = (ROOT / f"docs/images/{name}.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) < 200_000
    assert f"](images/{name}.png)" in (ROOT / "docs/patterns.md").read_text(encoding="utf-8")


def test_freer_patterns_keep_more_norm_at_75_percent() -> None:
    kept = {title: points[3][1] for title, points in norms().items()}
    order = sorted(kept, key=lambda title: -kept[title])
    assert order[0] == "EW"
    assert order[-1] == "BW, 32 x 32"
    assert kept["TW, G = 128, 2 stages"] < kept["TVW-4, G = 128"] < kept["VW, 16 along k"]


def test_example_is_the_same_each_time() -> None:
    np.testing.assert_array_equal(example_weights(8), example_weights(8))
