"""Figure of a trade-off: quality against latency and against energy, with the points that no other one beats."""

from typing import TYPE_CHECKING

import pandas as pd

from accelsim.show.style import DARK, LIGHT, MARKERS, PALETTE, figure_bytes, label_of, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COSTS = (("latency_us", "front_latency", "latency (us)"), ("energy_uj", "front_energy", "energy (uJ)"))


def trade_off_figure(points: pd.DataFrame, metric: str) -> "Figure":
    """Two panels with one axis of quality: a colour for each scheme, a marker for each workload (of one, for each
    scheme), the front as a line.

    Parameters
    ----------
    points : pandas.DataFrame
        Columns workload, scheme, quality, change, change_low, change_high, latency_us, energy_uj, front_latency and
        front_energy; intervals may be NaN.
    metric : str
        What quality is, for the axis; but for ``spearman`` it is shown in percent.

    Raises
    ------
    ValueError
        When there is no point.
    """
    if points.empty:
        raise ValueError("nothing was run, so there is nothing to draw")
    with style():
        figure = new_figure(8.6, 3.6)
        panels = figure.subplots(1, 2, sharey=True)
        size = 1.0 if metric == "spearman" else 100.0
        for panel, (cost, front, title) in zip(panels, _COSTS, strict=True):
            _draw(panel, points, cost, front, size)
            panel.set_xlabel(title)
        panels[0].set_ylabel(metric if size == 1 else f"{metric} (%)")
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside right upper")
    return figure


def _draw(axes: "Axes", points: pd.DataFrame, cost: str, front: str, size: float) -> None:
    best = points[points[front]].sort_values([cost, "quality"])
    axes.plot(
        best[cost], size * best["quality"], color=LIGHT, linewidth=3, zorder=1, label="front", drawstyle="steps-post"
    )
    schemes, workloads = list(dict.fromkeys(points["scheme"])), list(dict.fromkeys(points["workload"]))
    for (workload, scheme), some in points.groupby(["workload", "scheme"], sort=False):
        colour = DARK if scheme == "dense" else PALETTE[(schemes.index(scheme) - 1) % len(PALETTE)]
        sign = workloads.index(workload) if len(workloads) > 1 else schemes.index(scheme)
        name = label_of(str(scheme)) if len(workloads) == 1 else f"{label_of(str(scheme))}, {workload}"
        low = (some["change"] - some["change_low"]).clip(lower=0)
        high = (some["change_high"] - some["change"]).clip(lower=0)
        if size > 1:  # no share lies below 0 or above 1, though its difference from another may
            low, high = low.clip(upper=some["quality"]), high.clip(upper=1 - some["quality"])
        axes.errorbar(
            some[cost], size * some["quality"], yerr=[size * low, size * high], fmt=MARKERS[sign % len(MARKERS)],
            color=colour, markersize=4.5, elinewidth=0.7, label=name, zorder=2,
        )  # fmt: skip
    axes.grid(True, axis="both")


def trade_off_files(points: pd.DataFrame, metric: str) -> dict[str, bytes]:
    """The figure as tradeoff.png and tradeoff.svg."""
    figure = trade_off_figure(points, metric)
    return {f"tradeoff.{kind}": figure_bytes(figure, kind) for kind in ("png", "svg")}
