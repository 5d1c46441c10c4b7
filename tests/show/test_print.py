"""Figures in print: no text is too small at the width of a column or a page, and colour is never the only sign."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from accelsim.show.breakeven import break_even_figure
from accelsim.show.figures import comparison_figure
from accelsim.show.masks import norm_figure
from accelsim.show.serve import serve_figure
from accelsim.show.sweeps import sweep_figure
from accelsim.show.tradeoff import trade_off_figure
from accelsim.show.tune import tune_figure
from tests.results.examples import comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMN, PAGE = 85 / 25.4, 180 / 25.4
SMALLEST = 5.0
"""Points that journals ask for."""
SCHEMES = ("dense", "tile_wise", "hdp", "tile_wise+hdp")


def swept() -> "Figure":
    rows = [(tile, scheme, 100.0 / tile + place) for tile in (16, 64, 256) for place, scheme in enumerate(SCHEMES)]
    return sweep_figure(pd.DataFrame(rows, columns=["tile_m", "scheme", "latency_us"]), ["tile_m", "scheme"])


def served() -> "Figure":
    rows = [
        {"scheme": scheme, "rate_per_s": rate, "load": rate / 5000, "throughput_per_s": rate,
         "energy_per_request_uj": 5.0,
         **{f"{name}_us": 9.0 * rate for name in ("p50", "p95", "p95_low", "p95_high", "p99")}}
        for scheme in SCHEMES for rate in (1000.0, 2000.0, 4000.0)
    ]  # fmt: skip
    return serve_figure(pd.DataFrame(rows), {}, 30_000.0)


def traded() -> "Figure":
    rows = [
        {"workload": "w", "scheme": scheme, "quality": 0.02, "change": -0.9, "change_low": -1.0, "change_high": -0.5,
         "latency_us": 9.0 - place, "energy_uj": 3.0, "front_latency": True, "front_energy": True}
        for place, scheme in enumerate(SCHEMES)
    ]  # fmt: skip
    return trade_off_figure(pd.DataFrame(rows), "accuracy")


def broken_even() -> "Figure":
    rows = [
        (gpu, "all", pattern, engine, share, 2 * share, share, 3 * share)
        for gpu in ("t4", "v100_pcie", "a100_sxm4_80gb", "h100_sxm5")
        for pattern in ("tile_wise", "block_wise", "tile_element_wise")
        for engine in ("estimate", "events")
        for share in (0.25, 0.75)
    ]
    names = ("hardware", "product", "pattern", "engine", "sparsity", "speedup", "speedup_low", "speedup_high")
    return break_even_figure(pd.DataFrame(rows, columns=list(names)))


def searched() -> "Figure":
    by = ["without settings", "first guess", "closed form", "sampler"]
    rows = {"evaluation": range(4), "by": by, "holds": True, "latency_us": [9.0, 7.0, 8.0, 6.0]}
    return tune_figure(pd.DataFrame(rows), ["latency_us"])


FIGURES: dict[str, tuple[Callable[[], "Figure"], float]] = {
    "comparison": (lambda: comparison_figure(comparison()), PAGE),
    "serve": (served, PAGE),
    "tradeoff": (traded, PAGE),
    "breakeven": (broken_even, PAGE),
    "sweep": (swept, COLUMN),
    "tune": (searched, COLUMN),
    "norm": (lambda: norm_figure({name: [(0.5, 0.9), (0.9, 0.5)] for name in SCHEMES}), COLUMN),
}


@pytest.mark.parametrize("name", FIGURES)
def test_texts_stay_large_enough(name: str) -> None:
    from matplotlib.text import Text

    figure, width = FIGURES[name][0](), FIGURES[name][1]
    shrink = min(1.0, width / figure.get_figwidth())
    sizes = {text.get_text(): float(text.get_fontsize()) for text in figure.findobj(Text) if text.get_text()}
    small = {text: size * shrink for text, size in sizes.items() if size * shrink < SMALLEST}
    assert len(sizes) > 5
    assert small == {}


@pytest.mark.parametrize("name", ["serve", "tradeoff", "sweep", "tune", "norm"])
def test_schemes_differ_in_their_markers_too(name: str) -> None:
    from matplotlib.lines import Line2D

    figure = FIGURES[name][0]()
    drawn = {
        (str(line.get_color()), str(line.get_marker()))
        for axes in figure.axes
        for line in axes.findobj(Line2D)
        if line in axes.lines and line.get_marker() not in ("None", None, "", "_", "|")
    }
    assert len(drawn) >= 3
    assert len({colour for colour, _ in drawn}) == len({marker for _, marker in drawn}) == len(drawn)


def test_bars_of_a_share_end_at_nothing() -> None:
    collections = traded().axes[0].collections
    ends = np.concatenate([line[:, 1] for some in collections for line in some.get_segments()])  # type: ignore[attr-defined]
    assert ends.min() == 0
    assert ends.max() == pytest.approx(42)


def test_numbers_of_a_sweep_are_to_scale() -> None:
    axes = swept().axes[0]
    assert axes.get_xscale() == "log"
    assert list(axes.get_xticks()) == [16, 64, 256]
    frame = pd.DataFrame({"sparsity": [0.0, 0.5, 0.75, 0.9], "latency_us": [4.0, 3.0, 2.0, 1.0]})
    plain = sweep_figure(frame, ["sparsity"]).axes[0]
    assert plain.get_xscale() == "linear"
    assert np.asarray(plain.lines[0].get_xdata()).tolist() == [0.0, 0.5, 0.75, 0.9]
    many = pd.DataFrame({"m": [1, 2, 3, 1000], "latency_us": 1.0})
    assert sweep_figure(many, ["m"]).axes[0].get_xscale() == "log"


def test_long_latencies_are_in_milliseconds() -> None:
    latency, *_ = served().axes
    assert latency.get_ylabel() == "latency (ms)"
    assert np.asarray(latency.lines[0].get_ydata()).tolist() == [9.0, 18.0, 36.0]
