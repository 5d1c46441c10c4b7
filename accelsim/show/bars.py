"""Bars: of one quantity, and stacked."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from accelsim.show.style import BLACK, HATCHES, label_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH = 0.62
_ABREAST = 27
"""Letters that two neighbouring names have room for, to an inch between their bars."""


def scheme_label(scheme: str) -> str:
    """A scheme's name under a bar, broken where it is long."""
    return label_of(scheme).replace(" + ", " +\n").replace(" on ", "\non ")


def _crowded(axes: "Axes", labels: Sequence[str]) -> bool:
    """Whether names side by side would run into each other."""
    place = axes.get_subplotspec()
    columns = place.get_gridspec().ncols if place is not None else 1
    figure = axes.get_figure(root=True)
    apart = 0.85 * figure.get_figwidth() / columns / (len(labels) + 0.2) if figure is not None else 1.0
    lines = [[len(line) for line in scheme_label(label).split("\n")] for label in labels]
    return any(max(one) + max(two) > _ABREAST * apart for one, two in pairwise(lines))


def plain_bars(axes: "Axes", labels: Sequence[str], values: Sequence[float], colour: str, texts: Sequence[str]) -> None:
    """One bar for each label with its text above; a value of NaN leaves a gap that says so.

    Parameters
    ----------
    axes : Axes
    labels, texts : sequence of str
        Under and above the bars.
    values : sequence of float
    colour : str
    """
    heights = np.nan_to_num(np.asarray(values, dtype=float))
    axes.bar(np.arange(len(labels)), heights, _WIDTH, color=colour, edgecolor="white", linewidth=0.6)
    _frame(axes, labels, heights, texts)


def stacked_bars(
    axes: "Axes",
    labels: Sequence[str],
    series: Mapping[str, Sequence[float]],
    colours: Mapping[str, str],
    hatches: Mapping[str, str] | None = None,
    texts: Sequence[str] | None = None,
) -> None:
    """A bar for each label, stacked from `series` (name -> one value for each label), with a legend in stacking order.

    Series that are zero everywhere are left out. When two series share a colour, the later is hatched.
    """
    positions, base = np.arange(len(labels)), np.zeros(len(labels))
    seen: list[str] = []
    for name, values in series.items():
        heights = np.nan_to_num(np.asarray(values, dtype=float))
        if not heights.any():
            continue
        colour = colours[name]
        hatch = (hatches or {}).get(name) or HATCHES[seen.count(colour) % len(HATCHES)]
        seen.append(colour)
        style = {"color": colour, "edgecolor": "white", "linewidth": 0.6, "hatch": hatch, "label": label_of(name)}
        axes.bar(positions, heights, _WIDTH, bottom=base, **style)  # type: ignore[arg-type]
        base = base + heights
    _frame(axes, labels, base, texts or [""] * len(labels))


def whiskers(axes: "Axes", ends: Sequence[tuple[float, float, float]], label: str) -> None:
    """Intervals on bars that stand already, each a value with its low and high end; NaN for an end leaves one out.

    The legend names them once, as `label`. A text above a bar moves above its whisker.
    """
    known = [(place, *one) for place, one in enumerate(ends) if np.isfinite(one[1]) and np.isfinite(one[2])]
    for place, value, low, high in known:
        axes.errorbar(
            place, value, yerr=[[value - low], [high - value]], color=BLACK, linewidth=0.9, capsize=3, zorder=3,
            linestyle="none", label=label if place == known[0][0] else None,
        )  # fmt: skip
    tops = [high for *_, high in known]
    if tops:
        top = axes.get_ylim()[1]
        axes.set_ylim(0, max(top, 1.1 * max(tops)))
        for text, (value, _, high) in zip(axes.texts, ends, strict=False):
            text.set_y(text.get_position()[1] + (high - value if np.isfinite(high) else 0.0))


def legend_beside(axes: "Axes") -> None:
    """Legend to the right of the axes, listed from top to bottom as the bars are stacked."""
    handles, names = axes.get_legend_handles_labels()
    if handles:
        axes.legend(handles[::-1], names[::-1], loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)


def legend_below(axes: "Axes", columns: int = 3) -> None:
    """Legend under the axes in so many columns, below their labels."""
    handles, names = axes.get_legend_handles_labels()
    if handles:
        slanted = any(label.get_rotation() for label in axes.get_xticklabels())
        axes.legend(
            handles, names, loc="upper center", bbox_to_anchor=(0.5, -0.26 if slanted else -0.17), ncols=columns,
            columnspacing=1.0, handlelength=1.3, handletextpad=0.5,
        )  # fmt: skip


def _frame(axes: "Axes", labels: Sequence[str], heights: np.ndarray, texts: Sequence[str]) -> None:
    axes.set_xticks(np.arange(len(labels)), [scheme_label(label) for label in labels])
    axes.tick_params(axis="x", length=0)
    if _crowded(axes, labels):
        axes.tick_params(axis="x", labelrotation=30)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.grid(True, axis="y")
    axes.set_xlim(-0.6, len(labels) - 0.4)
    top = float(heights.max(initial=0.0)) or 1.0
    axes.set_ylim(0, top * 1.14)
    for position, (height, text) in enumerate(zip(heights, texts, strict=True)):
        axes.text(position, height + 0.015 * top, text, ha="center", va="bottom", fontsize=7.5)
