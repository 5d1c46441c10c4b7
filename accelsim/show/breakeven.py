"""Figure of break-even: speed-up over dense weights against sparsity, one line for each pattern."""

from typing import TYPE_CHECKING

import pandas as pd

from accelsim.show.style import (
    BLACK,
    BLUE,
    DARK,
    GREEN,
    ORANGE,
    PALETTE,
    PURPLE,
    SKY,
    VERMILLION,
    label_of,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOOKS = {
    "tile_wise": (BLUE, "o"),
    "tile_vector_wise": (VERMILLION, "s"),
    "tile_element_wise": (PURPLE, "D"),
    "block_wise": (GREEN, "^"),
    "n_m": (BLACK, "*"),
    "vector_wise": (ORANGE, "v"),
    "element_wise": (SKY, "P"),
}
"""Colour and marker of each pattern, so that figures of different runs agree."""
_ENGINES = {"estimate": "closed form"}
_PANELS = 12
_ALL = "all"


def break_even_figure(points: pd.DataFrame) -> "Figure":
    """Speed-up against sparsity with its interval as a band; a panel for each machine and product.

    Where there are too many, panels are of all products together.

    Parameters
    ----------
    points : pandas.DataFrame
        Columns hardware, product, pattern, engine, sparsity, speedup, speedup_low and speedup_high. Of two engines the
        first one's points are lines, and the other's are markers alone.

    Raises
    ------
    ValueError
        When there is no point.
    """
    if points.empty:
        raise ValueError("nothing was run, so there is nothing to draw")
    if points.groupby(["hardware", "product"]).ngroups > _PANELS and (points["product"] == _ALL).any():
        points = points[points["product"] == _ALL]
    groups = list(points.groupby(["hardware", "product"], sort=False))
    columns = min(4, len(groups))
    rows = -(-len(groups) // columns)
    with style():
        figure = new_figure(1.6 + 2.0 * columns, 0.6 + 2.4 * rows)
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for panel, ((hardware, product), some) in zip(grid, groups, strict=False):
            _draw(panel, some)
            panel.set_title(f"{hardware}\n{'all products' if product == _ALL else product}", fontsize=8)
        for panel in grid[len(groups) :]:
            panel.set_visible(False)
        _legend(figure, list(grid[: len(groups)]), list(dict.fromkeys(points["engine"])))
        figure.supylabel("speed-up over dense weights", fontsize=9)
        figure.supxlabel("sparsity (%)", fontsize=9)
    return figure


def _draw(axes: "Axes", points: pd.DataFrame) -> None:
    axes.axhline(1.0, color=DARK, linewidth=0.9)
    first = points["engine"].iloc[0]
    for pattern, some in points.groupby("pattern", sort=False):
        colour, marker = _LOOKS.get(str(pattern), (PALETTE[-1], "X"))
        line = some[some["engine"] == first].sort_values("sparsity")
        share = 100 * line["sparsity"].to_numpy()
        axes.plot(
            share, line["speedup"].to_numpy(), color=colour, linewidth=1.3, label=label_of(str(pattern)),
            marker=marker if len(line) == 1 else None,
        )  # fmt: skip
        low, high = (line[f"speedup_{end}"].to_numpy(dtype=float) for end in ("low", "high"))
        if len(line) == 1:
            axes.vlines(share, low, high, color=colour, linewidth=1.0)
        else:
            axes.fill_between(share, low, high, color=colour, alpha=0.13, linewidth=0)
        other = some[some["engine"] != first]
        axes.plot(
            100 * other["sparsity"].to_numpy(), other["speedup"].to_numpy(), color=colour, marker=marker,
            markersize=3, linestyle="none",
        )  # fmt: skip
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlim(-2, 101)
    axes.grid(True, axis="both")


def _legend(figure: "Figure", panels: "list[Axes]", engines: list[str]) -> None:
    """One entry for each pattern of any panel; where two engines are drawn, what lines and markers are."""
    from matplotlib.lines import Line2D

    known: dict[str, Artist] = {}
    for panel in panels:
        handles, names = panel.get_legend_handles_labels()
        for name, handle in zip(map(str, names), handles, strict=True):
            known.setdefault(name, handle)
    if len(engines) > 1:
        looks = Line2D([], [], color=DARK), Line2D([], [], color=DARK, marker="o", markersize=3, linestyle="none")
        known |= {_ENGINES.get(engine, engine): look for engine, look in zip(engines, looks, strict=False)}
    figure.legend(list(known.values()), list(known), loc="outside right upper")
