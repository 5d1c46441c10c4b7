"""Figures of a validation: predicted against measured latency and power, and errors by regime."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from accelsim.show.style import BLUE, DARK, LIGHT, MIDDLE, ORANGE, PALETTE, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = "osD^vP*X"


def validation_figure(frame: pd.DataFrame, regimes: Mapping[str, str]) -> "Figure":
    """Two panels: predicted over measured latency, both logarithmic, and the spread of errors in each regime.

    Parameters
    ----------
    frame : pandas.DataFrame
        Predicted rows: hardware, measured_us, predicted_us, ape_percent, and a boolean column for each regime.
    regimes : mapping
        Column of each regime, from top to bottom, to the text beside it; those without rows are left out.

    Raises
    ------
    ValueError
        When there is no row.
    """
    if frame.empty:
        raise ValueError("no row was predicted")
    with style():
        figure = new_figure(9.2, 4.2)
        left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.0))
        _scatter(left, frame, "us")
        left.set(xscale="log", yscale="log", xlabel="measured latency (us)", ylabel="predicted latency (us)")
        left.set_title("a  Latency (dashed: 25 % apart)")
        _boxes(right, frame, regimes)
    return figure


def power_figure(frame: pd.DataFrame) -> "Figure":
    """Predicted over measured board power.

    Parameters
    ----------
    frame : pandas.DataFrame
        Predicted rows: hardware, measured_w, predicted_w.

    Raises
    ------
    ValueError
        When there is no row.
    """
    if frame.empty:
        raise ValueError("no row was predicted")
    with style():
        figure = new_figure(4.6, 4.2)
        axes = figure.subplots()
        _scatter(axes, frame, "w")
        axes.set(xlabel="measured board power (W)", ylabel="predicted board power (W)")
        axes.set_title("Board power (dashed: 25 % apart)")
    return figure


def error_chart(frame: pd.DataFrame, by: str | None = None, axes: "Axes | None" = None) -> "Axes":
    """Signed error of predicted latencies over measured ones, with a band of 10 % on both sides of none.

    Parameters
    ----------
    frame : pandas.DataFrame
        Predicted rows: measured_us, error_percent.
    by : str, optional
        Column that tells rows apart, such as in which half of a table they are; at most eight values.
    axes : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        When there is no row.
    """
    if frame.empty:
        raise ValueError("no row was predicted")
    with style():
        axes = axes if axes is not None else new_figure(4.6, 3.0).subplots()
        axes.axhspan(-10, 10, color=LIGHT, alpha=0.6, linewidth=0)
        axes.axhline(0, color=DARK, linewidth=0.8)
        groups = [("", frame)] if by is None else list(frame.groupby(by, sort=False))
        for index, (name, rows) in enumerate(groups):
            axes.scatter(
                rows["measured_us"], rows["error_percent"], s=10, color=(BLUE, ORANGE, *PALETTE[2:])[index], alpha=0.65,
                marker=_MARKERS[index], linewidths=0, label=f"{name!s} ({len(rows)})" if by is not None else None,
            )  # fmt: skip
        axes.set(xscale="log", xlabel="measured latency (us)", ylabel="error of prediction (%)")
        if by is not None:
            axes.legend(markerscale=1.6)
    return axes


def _scatter(axes: "Axes", frame: pd.DataFrame, unit: str) -> None:
    """Points of ``predicted_UNIT`` over ``measured_UNIT``, an own sign for each machine, and lines of equality."""
    measured, predicted = f"measured_{unit}", f"predicted_{unit}"
    ends = frame[[measured, predicted]].to_numpy(float)
    low, high = (0.7 * ends.min(), 1.4 * ends.max()) if unit == "us" else (0.0, 1.1 * ends.max())
    axes.plot([low, high], [low, high], color=DARK, linewidth=0.8)
    for factor in (0.8, 1.25):
        axes.plot([low, high], [factor * low, factor * high], color=MIDDLE, linewidth=0.7, linestyle="--")
    for index, (name, rows) in enumerate(frame.groupby("hardware", sort=False)):
        axes.scatter(
            rows[measured], rows[predicted], s=9, color=PALETTE[index % len(PALETTE)], alpha=0.6,
            marker=_MARKERS[index % len(_MARKERS)], linewidths=0, label=str(name),
        )  # fmt: skip
    axes.set(xlim=(low, high), ylim=(low, high))
    axes.legend(loc="upper left")


def _boxes(axes: "Axes", frame: pd.DataFrame, regimes: Mapping[str, str]) -> None:
    """Box from the 25th to the 75th percentile, line at the median, whiskers from the 10th to the 90th."""
    groups = [("all", frame["ape_percent"])]
    groups += [(text, frame.loc[frame[name], "ape_percent"]) for name, text in regimes.items() if frame[name].any()]
    for place, (_, errors) in enumerate(groups):
        low, first, median, third, high = np.quantile(errors, (0.1, 0.25, 0.5, 0.75, 0.9))
        axes.plot([low, high], [place, place], color=DARK, linewidth=1.0)
        axes.barh(place, third - first, left=first, height=0.56, color=BLUE, alpha=0.45, edgecolor=BLUE)
        axes.plot([median, median], [place - 0.28, place + 0.28], color=DARK, linewidth=1.6)
    axes.set_yticks(range(len(groups)), [f"{name} ({len(errors)})" for name, errors in groups])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")
    axes.set_xlabel("absolute error (%)\nbox: middle half of the rows; line: 10 to 90 % of them")
    axes.set_title("b  Errors by regime (rows)")
