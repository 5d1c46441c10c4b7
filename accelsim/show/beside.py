"""Figures that set simulated and measured points side by side: lines over a quantity, and groups of bars."""

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from accelsim.show.style import DARK, HATCHES, MARKERS, PALETTE, axis_label, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GROUP = 0.82
"""Share of the room between two groups that their bars take."""


def line_chart(
    frame: pd.DataFrame,
    x: str,
    y: str,
    by: str | None = None,
    *,
    points: pd.DataFrame | None = None,
    points_label: str = "measured",
    ends: tuple[str, str] | None = None,
    name: str = "{}",
    axes: "Axes | None" = None,
) -> "Axes":
    """`y` over `x` as a line for each value of `by`, with measured points of the same colour beside it.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns `x`, `y` and `by`; lines are in the order in which values of `by` first stand there.
    x, y : str
        Columns; the labels of the axes are made of them.
    by : str, optional
        Column that tells lines apart; one line where it is left out.
    points : pandas.DataFrame, optional
        Measured or published points in the same columns, drawn as hollow markers without a line.
    points_label : str
        What the legend calls them.
    ends : pair of str, optional
        Columns with the low and high end of each point of `frame`, drawn as bars.
    name : str
        How the legend names a value of `by`, such as ``G = {}``.
    axes : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        When `frame` has no rows.
    """
    if frame.empty:
        raise ValueError("there is no point to draw")
    groups = _groups(frame, by)
    looks = {key: index for index, key in enumerate(groups)}
    with style():
        axes = axes if axes is not None else new_figure(4.8, 3.2).subplots()
        for key, some in groups.items():
            _line(axes, some.sort_values(x), (x, y), ends, looks[key], name.format(key) if by is not None else "")
        if points is not None:
            for key, some in _groups(points, by).items():
                colour, marker = _look(looks.get(key, len(looks)))
                axes.plot(
                    some[x].to_numpy(), some[y].to_numpy(), linestyle="none", color=colour, marker=marker,
                    markersize=5.5, markerfacecolor="white", markeredgewidth=1.2,
                )  # fmt: skip
            axes.plot([], [], linestyle="none", marker="o", color=DARK, markerfacecolor="white", label=points_label)
        axes.set_xlabel(axis_label(x))
        axes.set_ylabel(axis_label(y))
        axes.grid(True, axis="y")
        if by is not None or points is not None:
            axes.legend()
    return axes


def grouped_bars(
    series: Mapping[str, "pd.DataFrame | pd.Series[float]"],
    *,
    ylabel: str,
    colours: Mapping[str, str] | None = None,
    hatches: Mapping[str, str] | None = None,
    number: str | None = None,
    axes: "Axes | None" = None,
) -> "Axes":
    """A group of bars for each label of an index, one bar a series; columns of a series are stacked.

    Parameters
    ----------
    series : mapping of str to pandas.Series or pandas.DataFrame
        By the name in the legend. All have the index of the first; values that are missing leave a gap. Of frames,
        columns have colours and series hatches; else series have colours.
    ylabel : str
        With its unit.
    colours : mapping, optional
        By name of a series, or of a column where there are columns.
    hatches : mapping, optional
        By name of a series.
    number : str, optional
        Format of a number above each bar, such as ``.2f``.
    axes : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        When there is no series, or its index is empty.
    """
    frames = {name: values.to_frame("") if isinstance(values, pd.Series) else values for name, values in series.items()}
    if not frames or (index := next(iter(frames.values())).index).empty:
        raise ValueError("there is no bar to draw")
    parts = list(dict.fromkeys(str(part) for frame in frames.values() for part in frame.columns))
    named = parts if parts != [""] else list(frames)
    colours = {key: PALETTE[place % len(PALETTE)] for place, key in enumerate(named)} | dict(colours or {})
    plain = {key: HATCHES[place % len(HATCHES)] if parts != [""] else "" for place, key in enumerate(frames)}
    hatches = plain | dict(hatches or {})
    with style():
        axes = axes if axes is not None else new_figure(max(3.6, 1.4 + 0.45 * len(index) * len(frames)), 3.2).subplots()
        width = _GROUP / len(frames)
        for place, (name, frame) in enumerate(frames.items()):
            at = np.arange(len(index)) + (place - (len(frames) - 1) / 2) * width
            tops = _stack(axes, frame.reindex(index), at, 0.94 * width, name, colours, hatches[name])
            if number is not None:
                _numbers(axes, at, tops, number)
        axes.set_xticks(range(len(index)), [str(label) for label in index])
        axes.tick_params(axis="x", length=0)
        axes.set_xlim(-0.6, len(index) - 0.4)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(ylabel)
        axes.grid(True, axis="y")
        if len(named) > 1 or len(frames) > 1:
            axes.legend()
    return axes


def _groups(frame: pd.DataFrame, by: str | None) -> dict[Hashable, pd.DataFrame]:
    return {"": frame} if by is None else dict(list(frame.groupby(by, sort=False)))


def _look(index: int) -> tuple[str, str]:
    return PALETTE[index % len(PALETTE)], MARKERS[index % len(MARKERS)]


def _line(
    axes: "Axes", some: pd.DataFrame, columns: tuple[str, str], ends: tuple[str, str] | None, index: int, label: str
) -> None:
    (x, y), (colour, marker) = columns, _look(index)
    heights = some[y].to_numpy(float)
    looks = {"color": colour, "linewidth": 1.3, "marker": marker, "markersize": 3.5, "label": label}
    if ends is None:
        axes.plot(some[x].to_numpy(), heights, **looks)  # type: ignore[arg-type]
        return
    low, high = (some[end].to_numpy(float) for end in ends)
    bars = np.maximum([heights - low, high - heights], 0)
    axes.errorbar(some[x].to_numpy(), heights, yerr=bars, elinewidth=0.8, capsize=2.5, **looks)  # type: ignore[arg-type]


def _stack(
    axes: "Axes",
    frame: pd.DataFrame,
    at: np.ndarray,
    width: float,
    name: str,
    colours: Mapping[str, str],
    hatch: str,
) -> np.ndarray:
    """Draw the bars of one series; their heights, missing where all parts are."""
    base = np.zeros(len(frame))
    for part in map(str, frame.columns):
        heights = frame[part].to_numpy(float)
        label = ", ".join(filter(None, (part, name)))
        axes.bar(
            at, np.nan_to_num(heights), width, bottom=base, color=colours[part or name], hatch=hatch,
            edgecolor="white", linewidth=0.5, label=label,
        )  # fmt: skip
        base = base + np.nan_to_num(heights)
    base[frame.isna().all(axis=1).to_numpy()] = np.nan
    return base


def _numbers(axes: "Axes", at: Sequence[float] | np.ndarray, tops: np.ndarray, number: str) -> None:
    for x, top in zip(at, tops, strict=True):
        if np.isfinite(top):
            axes.annotate(
                format(top, number), (x, top), xytext=(0, 1.5), textcoords="offset points", ha="center", fontsize=7
            )
