"""Figure of break-even: a line, a band and a marker for each pattern, a panel for each machine and product."""

import pandas as pd
import pytest

from accelsim.show import break_even_files
from accelsim.show.breakeven import break_even_figure

_COLUMNS = ["hardware", "product", "pattern", "engine", "sparsity", "speedup", "speedup_low", "speedup_high"]


def _points(products=("64 x 64 x 64",), patterns=("tile_wise", "block_wise")):
    rows = [
        ("t4", product, pattern, engine, share, 2 * share + 0.2, 2 * share, 2 * share + 0.4)
        for product in products
        for pattern in patterns
        for engine in ("estimate", "events")
        for share in (0.25, 0.5, 0.75)
    ]
    return pd.DataFrame([*rows, ("t4", products[0], "n_m", "estimate", 0.5, 1.5, 1.2, 1.8)], columns=_COLUMNS)


def test_lines_are_the_search_and_markers_the_confirmation():
    figure = break_even_figure(_points())
    (axes,) = (panel for panel in figure.axes if panel.get_visible())
    lines = {line.get_label(): line for line in axes.lines if not str(line.get_label()).startswith("_")}
    assert list(lines) == ["tile-wise", "block-wise", "N:M"]
    assert list(lines["tile-wise"].get_xdata()) == [25, 50, 75]
    assert len({line.get_color() for line in lines.values()}) == 3
    assert len(axes.collections) == 3


def test_many_products_are_drawn_as_all_of_them():
    products = [f"{size} x 64 x 64" for size in range(1, 14)]
    figure = break_even_figure(_points([*products, "all"]))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["t4\nall products"]


def test_files_are_equal_bytes_and_none_without_points():
    points = _points(patterns=("tile_wise",))
    files = break_even_files(points)
    assert set(files) == {"breakeven.png", "breakeven.svg"}
    assert files == break_even_files(points)
    assert break_even_files(_points().iloc[:0]) == {}
    with pytest.raises(ValueError, match="nothing to draw"):
        break_even_figure(_points().iloc[:0])
