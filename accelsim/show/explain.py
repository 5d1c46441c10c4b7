"""Figures of explanations: where the time went, and from saved work to saved time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from accelsim.results.explain import Explanation
from accelsim.results.stack import PS_PER_US, ordered
from accelsim.show.bars import legend_beside, scheme_label, stacked_bars
from accelsim.show.figures import CAUSES
from accelsim.show.style import (
    BLACK,
    BLUE,
    DARK,
    GREEN,
    LIGHT,
    MIDDLE,
    PURPLE,
    SKY,
    VERMILLION,
    axes_or_new,
    colour_of,
    label_of,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TIME_COLOURS = {
    **CAUSES, "padding": BLUE, "gather": VERMILLION, "power_limit": SKY, "link": PURPLE, "unexplained": LIGHT,
}  # fmt: skip
"""Of the causes of a stack."""
TIME_HATCHES = {
    "imbalance": "///",
    "tail": "...",
    "padding": "///",
    "gather": "xxx",
    "link": "...",
    "power_limit": "\\\\\\",
}
_UNIT = "attention_unit"
_WIDTH = 0.66


_LEAST = 1e-5
"""Share of the latency below which a loss is only what rounding made, and is left out."""
_NOTHING = 1e-3
"""Share of the longest bar below which a step is not told as a number."""


def time_stack(explanations: Sequence[Explanation], axes: "Axes | None" = None) -> "Axes":
    """Share of the latency by cause, a bar for each result; all that the attention unit does is one part."""
    shares = [_shares(one) for one in explanations]
    causes = ordered(cause for share in shares for cause in share)
    series = {cause: [share.get(cause, 0.0) for share in shares] for cause in causes}
    with style():
        axes = axes_or_new(axes, len(explanations) + 2)
        labels = [one.result.scheme for one in explanations]
        stacked_bars(axes, labels, series, colour_of(causes, TIME_COLOURS | {_UNIT: DARK}), hatches=TIME_HATCHES)
        axes.set_ylim(0, 100)
        axes.set_ylabel("share of latency (%)")
        legend_beside(axes)
    return axes


def loss_waterfall(explanation: Explanation, axes: "Axes | None" = None) -> "Axes":
    """From the dense latency over the ideal one, loss by loss, to the actual one, in us. Gains are green.

    Raises
    ------
    ValueError
        When the explanation has no baseline.
    """
    found = explanation.losses
    if found is None:
        raise ValueError(f"{explanation.result.scheme} has no baseline, so no losses")
    losses = {name: time for name, time in found.losses.items() if abs(time) >= _LEAST * found.actual_ps}
    names = ["dense", "ideal", *losses, "actual"]
    times = np.array([found.dense_ps, found.ideal_ps, *losses.values(), found.actual_ps]) / PS_PER_US
    before = found.ideal_ps + np.cumsum([0, *losses.values()])[:-1]
    bottoms = np.array([0, 0, *before, 0]) / PS_PER_US
    steps = [VERMILLION if time > 0 else GREEN for time in losses.values()]
    with style():
        axes = axes_or_new(axes, len(names))
        places = np.arange(len(names))
        axes.bar(places, times, _WIDTH, bottom=bottoms, color=[MIDDLE, BLUE, *steps, BLUE], edgecolor="white")
        for place, (time, bottom) in enumerate(zip(times, bottoms, strict=True)):
            whole = names[place] in ("dense", "ideal", "actual")
            small = abs(time) < _NOTHING * times.max()
            text = f"{time:.3g}" if whole else "~0" if small else f"{time:+.3g}"
            axes.text(place, max(bottom, bottom + time), text, ha="center", va="bottom", fontsize=7, color=BLACK)
        axes.set_xticks(places, [label_of(name) for name in names])
        for label in axes.get_xticklabels():
            label.set(rotation=35, ha="right", rotation_mode="anchor")
        axes.grid(True, axis="y")
        axes.set_ylim(0, 1.13 * float(np.max(np.maximum(bottoms, bottoms + times))))
        axes.set_ylabel("latency (us)")
        scheme = scheme_label(explanation.result.scheme).replace("\n", " ")
        axes.set_title(f"{scheme}: {found.macs_saved:.3g}x fewer MACs, {found.speedup:.3g}x as fast")
    return axes


def explanation_figure(explanations: Sequence[Explanation]) -> "Figure":
    """The stacks of all results, and below them a waterfall for each that has a baseline."""
    falls = [one for one in explanations if one.losses is not None]
    summary = explanations[0].result.summary
    with style():
        figure = new_figure(max(6.4, 2.6 + 0.9 * len(explanations)), 3.2 + 2.9 * len(falls))
        panels = figure.subplots(1 + len(falls), 1, squeeze=False, height_ratios=[3.2, *[2.9] * len(falls)])[:, 0]
        time_stack(explanations, panels[0])
        panels[0].set_title(f"{summary['workload']} on {summary['hardware']}")
        for axes, one in zip(panels[1:], falls, strict=True):
            loss_waterfall(one, axes)
    return figure


def explanation_files(explanations: Sequence[Explanation]) -> dict[str, bytes]:
    """The figure as explain.png and explain.svg."""
    from accelsim.show.style import figure_bytes

    figure = explanation_figure(explanations)
    return {f"explain.{kind}": figure_bytes(figure, kind) for kind in ("png", "svg")}


def _shares(explanation: Explanation) -> dict[str, float]:
    shares: dict[str, float] = {}
    whole = sum(explanation.stack.values())
    for cause, time in explanation.stack.items():
        name = _UNIT if cause.startswith(f"{_UNIT}.") else cause
        shares[name] = shares.get(name, 0.0) + (100 * time / whole if whole else 0.0)
    return shares
