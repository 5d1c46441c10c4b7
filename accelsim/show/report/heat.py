"""Maps of what was kept and how long it took: weights, thread blocks, and blocks of attention."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from accelsim.numerals import amount
from accelsim.results.result import Result
from accelsim.show.masks import cell_density
from accelsim.show.report.blocks import HeatMap, HeatMaps

_SIDE = 32
"""Cells along a side of a map at most."""
_LEVELS = 10

Text = Callable[[int, int], str]


def heat_map(
    title: str, cells: NDArray[np.float64], text: Text, axes: tuple[str, str], unit: str, whole: float | None = None
) -> HeatMap:
    """A grid of numbers as ten levels of one colour.

    Parameters
    ----------
    title : str
    cells : float [rows, columns]
        NaN where there is nothing.
    text : callable
        What hovering tells of the cell of a row and column.
    axes : (str, str)
        What runs to the right, and what down.
    unit : str
    whole : float, optional
        Colours span from 0 to this; left out, to the largest number.
    """
    there = cells[np.isfinite(cells)]
    high = (float(there.max()) if whole is None else whole) or 1.0
    paths: dict[int, list[str]] = {}
    for row, column in np.argwhere(np.isfinite(cells)):
        level = min(_LEVELS - 1, int(_LEVELS * cells[row, column] / high))
        paths.setdefault(level, []).append(f"M{column} {row}h1v1h-1z")
    rows, columns = cells.shape
    values = [
        text(row, column) if math.isfinite(cells[row, column]) else "" for row, column in np.ndindex(rows, columns)
    ]
    found = [(f"l{level}", "".join(parts)) for level, parts in sorted(paths.items())]
    return HeatMap(title, rows, columns, found, "|".join(values), *axes, unit, amount(high, 3))


def product_maps(result: Result, most: int) -> tuple[list[HeatMaps], int]:
    """For each product the weights that were kept and the time of its thread blocks, the longest products first.

    Parameters
    ----------
    result : Result
    most : int
        Products that are drawn.

    Returns
    -------
    list of HeatMaps, int
        And how many products there are.
    """
    tiles = result.tiles
    if tiles is None or tiles.empty:
        named = {name: mask for name, mask in result.masks.items() if mask.ndim == 2 and name.endswith("weight")}
        return [HeatMaps(name, [_weight_map(mask)]) for name, mask in list(named.items())[:most]], len(named)
    kernels = result.kernels
    took = dict(zip(kernels["name"], kernels["end_us"] - kernels["begin_us"], strict=True))
    operations = dict(zip(kernels["name"], kernels.get("operation", kernels["name"]), strict=True))
    names = sorted(dict.fromkeys(tiles["kernel"]), key=lambda name: -float(took.get(name, 0.0)))
    groups = []
    for name in names[:most]:
        keys = (f"{name}.weight", f"{operations.get(name)}.weight", "weight")  # a lone product's has no other name
        maps = [_weight_map(result.masks[key]) for key in keys if key in result.masks][:1]
        maps.append(_time_map(tiles[tiles["kernel"] == name]))
        groups.append(HeatMaps(f"{name}, {amount(float(took.get(name, math.nan)))} us", maps))
    return groups, len(names)


def _weight_map(mask: NDArray[np.bool_]) -> HeatMap:
    density = 100 * cell_density(mask, _SIDE)
    k, n = mask.shape
    step_k, step_n = -(-k // _SIDE), -(-n // _SIDE)

    def text(row: int, column: int) -> str:
        rows = f"k {row * step_k} to {min(k, (row + 1) * step_k) - 1}"
        columns = f"n {column * step_n} to {min(n, (column + 1) * step_n) - 1}"
        return f"{rows}, {columns}\n{density[row, column]:.3g} % kept"

    kept = 100 * float(mask.mean())
    return heat_map(f"Weights kept: {kept:.3g} %", density, text, (f"n = {n}", f"k = {k}"), "%", 100.0)


def _time_map(tiles: pd.DataFrame) -> HeatMap:
    shape = int(tiles["row"].max()) + 1, int(tiles["column"].max()) + 1
    cells = np.full(shape, np.nan)
    cells[tiles["row"], tiles["column"]] = tiles["duration_us"]
    rows = {(int(row["row"]), int(row["column"])): row for row in tiles.to_dict("records")}
    batched = int(tiles["batch"].max()) > 0

    def text(row: int, column: int) -> str:
        one = rows[row, column]
        where = f"m {one['m0']} to {one['m1'] - 1}, n {one['n0']} to {one['n1'] - 1}"
        where += f", batch {one['batch']}" if batched else ""
        number = one["thread_blocks"]
        each = f"\n{number} thread blocks, each" if number > 1 else "\n"
        took = f"{each} {amount(float(one['duration_us']))} us".replace("\n ", "\n")
        return f"{where}{took}\n{100 * one['kept_share']:.3g} % of k multiplied"

    number = int(tiles["thread_blocks"].sum())
    axes = ("columns of tiles (n)", "rows of tiles (m)" if not batched else "rows of tiles (m) of each batch item")
    return heat_map(f"Time of {number:,} thread blocks", cells, text, axes, "us")


def attention_maps(result: Result) -> list[HeatMaps]:
    """For each attention the share of its blocks that were kept: over all heads, and by head."""
    found = []
    for name, mask in result.masks.items():
        if name.endswith(".blocks") and mask.ndim == 3:
            maps = [_block_map(mask), _head_map(mask)]
            found.append(HeatMaps(name.removesuffix(".blocks"), maps, _heads_note(mask)))
    return found


def _heads_note(mask: NDArray[np.bool_]) -> str:
    dead = int((~mask.any(axis=(1, 2))).sum())
    return f"{dead} of {len(mask)} heads keep no block." if dead else ""


def _block_map(mask: NDArray[np.bool_]) -> HeatMap:
    density = 100 * cell_density(mask.mean(axis=0), _SIDE)
    rows, columns = mask.shape[1:]
    steps = -(-rows // _SIDE), -(-columns // _SIDE)

    def text(row: int, column: int) -> str:
        where = f"{_range('block row', row, steps[0], rows)}, {_range('column', column, steps[1], columns)}"
        return f"{where}\n{density[row, column]:.3g} % of {len(mask)} heads' blocks kept"

    title = f"Blocks kept, mean of {len(mask)} heads: {100 * float(mask.mean()):.3g} %"
    return heat_map(title, density, text, ("blocks of keys", "blocks of queries"), "%", 100.0)


def _head_map(mask: NDArray[np.bool_]) -> HeatMap:
    density = 100 * cell_density(mask.mean(axis=2), _SIDE)
    heads, rows = mask.shape[:2]
    steps = -(-heads // _SIDE), -(-rows // _SIDE)

    def text(row: int, column: int) -> str:
        where = f"{_range('head', row, steps[0], heads)}, {_range('block row', column, steps[1], rows)}"
        return f"{where}\n{density[row, column]:.3g} % of its blocks kept"

    return heat_map("By head", density, text, ("blocks of queries", "heads"), "%", 100.0)


def _range(name: str, cell: int, step: int, whole: int) -> str:
    last = min(whole, (cell + 1) * step) - 1
    return f"{name} {cell}" if step == 1 else f"{name}s {cell * step} to {last}"


def cells_of(groups: Sequence[HeatMaps]) -> int:
    """Cells of all maps together."""
    return sum(one.rows * one.columns for group in groups for one in group.maps)
