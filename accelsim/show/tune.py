"""Figure of a search: how it came to its best, or the front of what none beats."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from accelsim.show.style import (
    BLUE,
    DARK,
    GREEN,
    LIGHT,
    MIDDLE,
    ORANGE,
    SINGLE,
    VERMILLION,
    figure_bytes,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TITLES = {"latency_us": "latency (us)", "energy_uj": "energy (uJ)", "edp": "EDP (uJ us)"}
_LOOK = {
    "first guess": (ORANGE, "s"),
    "closed form": (GREEN, "D"),
    "sampler": (BLUE, "o"),
}
_REFERENCE = "without settings"
_FAR = 2.0
"""Of the best, up to which settings are drawn at their height; those beyond stand at the upper edge."""


def tune_figure(history: pd.DataFrame, objectives: Sequence[str]) -> "Figure":
    """Settings of a search in the order in which they were judged, with the best so far, and for several objectives
    the first two against each other.

    Parameters
    ----------
    history : pandas.DataFrame
        From `accelsim.explore.tune.Tuned.to_frame`.
    objectives : sequence of str
        What was made small.

    Raises
    ------
    ValueError
        When no setting ran.
    """
    ran = history[history[list(objectives)].notna().all(axis=1)]
    if ran.empty:
        raise ValueError("no setting of the search ran")
    with style():
        several = len(objectives) > 1
        figure = new_figure(8.2 if several else SINGLE, 3.0)
        panels = figure.subplots(1, 2 if several else 1, squeeze=False).ravel()
        if several:
            _front(panels[0], ran, objectives)
        _history(panels[-1], ran, objectives[0], None if several else _REFERENCE)
        handles = {
            name: handle for panel in panels for handle, name in zip(*panel.get_legend_handles_labels(), strict=True)
        }
        figure.legend(handles.values(), handles.keys(), loc="outside right upper")
    return figure


def _history(axes: "Axes", ran: pd.DataFrame, objective: str, called: str | None) -> None:
    good = ran[ran["holds"]]
    best = good[objective].cummin() if not good.empty else good[objective]
    top = _FAR * float(best.min() if not best.empty else ran[objective].min())
    axes.step(good["evaluation"], best, where="post", color=DARK, linewidth=1.2, label="best so far", zorder=3)
    reference = ran[ran["by"] == _REFERENCE]
    if not reference.empty:
        axes.axhline(float(reference[objective].iloc[0]), color=MIDDLE, linewidth=0.9, linestyle="--", label=called)
    _points(axes, ran.assign(**{objective: ran[objective].clip(upper=top)}), "evaluation", objective)
    beyond = int((ran[objective] > top).sum())
    if beyond:
        axes.annotate(f"{beyond} above {top:.4g} drawn here", (1, 1), xycoords="axes fraction", ha="right", va="bottom",
                      fontsize=7, color=DARK)  # fmt: skip
    axes.set_xlabel("settings judged")
    axes.set_ylabel(_TITLES[objective])
    axes.grid(True, axis="y")


def _front(axes: "Axes", ran: pd.DataFrame, objectives: Sequence[str]) -> None:
    x, y = objectives[:2]
    good = ran[ran["holds"]].sort_values([x, y])
    front = good[good[y] < good[y].cummin().shift(fill_value=float("inf"))]
    axes.step(
        front[x], front[y], where="post", color=LIGHT, linewidth=3, marker="o", markersize=10,
        markerfacecolor="none", markeredgewidth=1.2, markeredgecolor=DARK, label="none beats", zorder=1,
    )  # fmt: skip
    reference = ran[ran["by"] == _REFERENCE]
    axes.plot(reference[x], reference[y], "*", color=DARK, markersize=9, label=_REFERENCE, zorder=4)
    _points(axes, ran, x, y)
    for scale, name in ((axes.set_xscale, x), (axes.set_yscale, y)):
        if float(ran[name].max()) > 10 * float(ran[name].min()):
            scale("log")
    axes.set_xlabel(_TITLES[x])
    axes.set_ylabel(_TITLES[y])
    axes.grid(True, axis="both")


def _points(axes: "Axes", ran: pd.DataFrame, x: str, y: str) -> None:
    for by, (colour, marker) in _LOOK.items():
        own = ran[(ran["by"] == by) & ran["holds"]]
        if not own.empty:
            axes.plot(own[x], own[y], marker, color=colour, markersize=4, linestyle="none", label=by, zorder=2)
    over = ran[~ran["holds"]]
    if not over.empty:
        axes.plot(over[x], over[y], "x", color=VERMILLION, markersize=4.5, label="over a limit", zorder=2)


def tune_files(history: pd.DataFrame, objectives: Sequence[str]) -> dict[str, bytes]:
    """The figure as tune.png and tune.svg."""
    figure = tune_figure(history, objectives)
    return {f"tune.{kind}": figure_bytes(figure, kind) for kind in ("png", "svg")}
