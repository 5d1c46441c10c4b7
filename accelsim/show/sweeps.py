"""Figure of a sweep: one quantity over its axes."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import pandas as pd
from pandas.api.types import is_numeric_dtype

from accelsim.show.style import DARK, PALETTE, axis_label, label_of, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = "osD^vP*X"
_LINES = len(PALETTE)
_PANELS = 9
_GROWTH = 3
"""Last over first step between numbers above which they grow by factors."""
_MARKS = 9
"""Marks that an axis of numbers has room for."""
_SPAN = 20
"""Largest over smallest value above which an axis is logarithmic."""
_ROUNDING = 0.005
"""Sparsity that whole tiles and blocks of weights may miss by."""
_MORE_IS_BETTER = ("accuracy",)


def sweep_figure(frame: pd.DataFrame, axes: Sequence[str], quantity: str = "latency_us") -> "Figure":
    """`quantity` over the axes of a sweep: that with most values along x, one as lines, the rest as panels.

    Axes of names come after those of numbers; if one is along x, its points are not connected. Numbers are to scale,
    logarithmic where they grow by factors, and so is the quantity where it spans more than a factor of 20. Where the
    rest takes too many panels, each point is the best (smallest, of accuracies largest) over it, and the title says so.

    Parameters
    ----------
    frame : pandas.DataFrame
        A row for each point; failed points, whose quantity is missing, are left out.
    axes : sequence of str
        Columns that were swept.
    quantity : str
        Column to show; its name ends in its unit.

    Raises
    ------
    ValueError
        When no point has the quantity.
    """
    frame = frame[frame[quantity].notna()] if quantity in frame.columns else frame.iloc[:0]
    if frame.empty:
        raise ValueError(f"no point of the sweep has {quantity}")
    varied = [axis for axis in axes if frame[axis].nunique() > 1]
    varied.sort(key=lambda axis: (not is_numeric_dtype(frame[axis]), -frame[axis].nunique()))
    x, lines, rest = (varied or list(axes))[0], varied[1] if len(varied) > 1 else None, varied[2:]
    panels = list(_panels(frame, rest))
    if len(panels) > _PANELS:
        panels = [(f"best over {', '.join(map(_short, rest))}", frame)]
    with style():
        columns = min(3, len(panels))
        rows = -(-len(panels) // columns)
        figure = new_figure(1.5 + 2.7 * columns, 0.6 + 2.5 * rows)
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for panel, (title, points) in zip(grid, panels, strict=False):
            _draw(panel, points, x, lines, quantity)
            panel.set_title(title)
        for panel in grid[len(panels) :]:
            panel.set_visible(False)
        _scale(grid[0], frame[quantity])
        _legend(figure, grid[0], lines)
        figure.supylabel(axis_label(quantity), fontsize=9)
        figure.supxlabel(_short(x) + _asked(frame, x), fontsize=9)
    return figure


def _asked(frame: pd.DataFrame, x: str) -> str:
    """What to add to the name of an axis of sparsities, where weights were pruned to others than those."""
    if x.rsplit(".", 1)[-1] != "sparsity" or "weight_sparsity" not in frame.columns:
        return ""
    pruned = frame[frame["weight_sparsity"] > 0]
    return " (asked)" if ((pruned["weight_sparsity"] - pruned[x]).abs() > _ROUNDING).any() else ""


def _panels(frame: pd.DataFrame, rest: Sequence[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    if not rest:
        yield "", frame
        return
    for values, points in frame.groupby(list(rest), sort=True):
        named = zip(rest, values if isinstance(values, tuple) else (values,), strict=True)
        yield ", ".join(f"{_short(axis)} {value}" for axis, value in named), points


def _scale(axes: "Axes", values: "pd.Series[float]") -> None:
    """Panels share the axis of the quantity: its limits have to leave room for every point of any of them."""
    low, high = float(values.min()), float(values.max())
    if 0 < low < high / _SPAN and values.name not in _MORE_IS_BETTER:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.3, high * 1.3)
    else:
        axes.set_ylim(0, 1.06 * high or 1.0)


def _draw(axes: "Axes", points: pd.DataFrame, x: str, lines: str | None, quantity: str) -> None:
    numbers = is_numeric_dtype(points[x])
    ticks = sorted(points[x].unique()) if numbers else list(points[x].unique())
    positions = {value: value if numbers else index for index, value in enumerate(ticks)}
    groups = [("", points)] if lines is None else list(points.groupby(lines, sort=is_numeric_dtype(points[lines])))
    for index, (name, group) in enumerate(groups):
        best = group.groupby(x, sort=True)[quantity].agg("max" if quantity in _MORE_IS_BETTER else "min")
        colour = PALETTE[index % _LINES] if len(groups) <= 2 * _LINES else DARK
        axes.plot(
            [positions[value] for value in best.index], best.to_numpy(), color=colour,
            marker=_MARKERS[index % len(_MARKERS)], markersize=4.5, linewidth=1.3,
            linestyle=("-" if index < _LINES else "--") if numbers else "none", label=_tick(name, lines),
        )  # fmt: skip
    if numbers:
        _number_axis(axes, [float(value) for value in ticks], x)
    else:
        axes.set_xticks(range(len(ticks)), [_tick(value, x) for value in ticks], rotation=30, ha="right")
        for label in axes.get_xticklabels():
            label.set(rotation_mode="anchor")
        axes.set_xlim(-0.35, len(ticks) - 0.65)
    axes.grid(True, axis="y")


def _number_axis(axes: "Axes", values: Sequence[float], x: str) -> None:
    """Places of numbers to scale, logarithmic where they grow by factors; marks at those that do not crowd others."""
    steps = [b - a for a, b in pairwise(values)]
    if values[0] > 0 and len(values) > 2 and steps[-1] > _GROWTH * steps[0]:
        axes.set_xscale("log")
    places = [axes.transScale.transform((value, 1.0))[0] for value in values]
    room = (places[-1] - places[0]) / _MARKS
    marked = [0]
    for index in range(1, len(values)):
        if places[index] - places[marked[-1]] >= room:
            marked.append(index)
    axes.set_xticks([values[index] for index in marked], [_tick(values[index], x) for index in marked])
    axes.set_xticks([], minor=True)


def _legend(figure: "Figure", axes: "Axes", lines: str | None) -> None:
    handles, names = axes.get_legend_handles_labels()
    if lines is not None:
        figure.legend(handles, names, title=_short(lines), loc="outside right upper", title_fontsize=8)


def _short(path: str) -> str:
    return label_of(path.rsplit(".", 1)[-1])


def _tick(value: object, axis: str | None) -> str:
    return f"{value:g}" if isinstance(value, float) else label_of(str(value)) if axis == "scheme" else str(value)
