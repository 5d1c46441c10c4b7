"""Points between two quantities: which no other one beats, and how near kernels are to the machine's roof."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from accelsim.numerals import amount
from accelsim.results.front import unbeaten
from accelsim.results.result import Result
from accelsim.show.report.blocks import Key, Line, Mark, Scatter
from accelsim.show.report.colours import series
from accelsim.show.report.scales import Scale
from accelsim.show.style import label_of

_TOLD = 3
"""Points in one place that hovering tells of."""
_NEAR = (35.0, 6.0)
"""Percents of the width and height within which labels of two points would run into each other."""
HOVER = "Hover a point, or focus a figure and step through its points with the arrow keys."
"""How a reader comes to what points tell."""
DRAWN = 2_000
"""Points that a figure draws; of more, those that no other one beats and an even choice of the rest."""


@dataclass(frozen=True)
class Point:
    """A point with the series that it belongs to and what hovering tells."""

    x: float
    y: float
    name: str
    tip: str
    label: str = ""


def pareto(title: str, points: Sequence[Point], x_axis: str, y_axis: str, *, more_is_better: bool = False) -> Scatter:
    """Points with the front of those that no other one beats as a stepped line.

    Parameters
    ----------
    title, x_axis, y_axis : str
        Axes with their units.
    points : sequence of Point
        At least one.
    more_is_better : bool
        Of y.
    """
    xs, ys = [point.x for point in points], [point.y for point in points]
    front = unbeaten(xs, ys, more_is_better=more_is_better)
    chosen = thinned(front, DRAWN)
    across, up = Scale.over(xs), Scale.over(ys)
    looks = _looks(points)
    marks = [_mark(points[index], across, up, looks, bool(front[index])) for index in chosen]
    best = sorted({(across.place(xs[i]), up.place(ys[i])) for i in np.flatnonzero(front)})
    steps = [(one[0], other[1]) for one, other in zip(best[1:], best, strict=False)]
    line = [place for pair in zip(best, [*steps, best[-1]], strict=True) for place in pair]
    keys = [Key(name, colour, marker=marker) for name, (colour, marker) in looks.items() if name]
    note = f"Outlined: {len(best)} that no other point beats in both."
    if len(chosen) < len(points):
        note += f" Drawn are these and an even choice of the others, {len(chosen):,} of {len(points):,} points."
    keys = [] if len(keys) < 2 or all(point.label for point in points) else keys
    lines = [Line(line, "front-line")]
    return Scatter(title, x_axis, y_axis, across.ticks(), up.ticks(), _together(marks), lines, keys, note)


def curves(title: str, points: Sequence[Point], x_axis: str, y_axis: str) -> Scatter:
    """Points whose series are joined by lines in the order of x.

    Parameters
    ----------
    title, x_axis, y_axis : str
        Axes with their units.
    points : sequence of Point
        At least one.
    """
    across, up = Scale.over([point.x for point in points], log=False), Scale.over([point.y for point in points])
    looks = _looks(points)
    marks = _together([_mark(point, across, up, looks, False) for point in points])
    lines = []
    for name, (colour, _) in looks.items():
        own = sorted((across.place(point.x), up.place(point.y)) for point in points if point.name == name)
        lines.append(Line(own, f"curve s-{colour}"))
    keys = [Key(name, colour, marker=marker) for name, (colour, marker) in looks.items()]
    return Scatter(title, x_axis, y_axis, across.ticks(), up.ticks(), marks, lines, keys)


def history(
    title: str, points: Sequence[Point], x_axis: str, y_axis: str, counts: Callable[[Point], bool] = lambda _: True
) -> Scatter:
    """Points in the order of x, and the least y so far as a stepped line.

    Parameters
    ----------
    title, x_axis, y_axis : str
        Axes with their units.
    points : sequence of Point
        At least one.
    counts : callable
        Whether the line may go down to a point.
    """
    points = sorted(points, key=lambda point: point.x)
    across, up = Scale.over([point.x for point in points], log=False), Scale.over([point.y for point in points])
    looks = _looks(points)
    line: list[tuple[float, float]] = []
    lower = np.zeros(len(points), bool)
    least = math.inf
    for index, point in enumerate(points):
        if counts(point) and point.y < least:
            line += [(across.place(point.x), up.place(y)) for y in (least, point.y) if y < math.inf]
            least, lower[index] = point.y, True
    line += [(across.place(points[-1].x), up.place(least))] if line else []
    marks = _together([_mark(points[index], across, up, looks, bool(lower[index])) for index in thinned(lower, DRAWN)])
    keys = [Key(name, colour, marker=marker) for name, (colour, marker) in looks.items()]
    note = "Outlined: less than any before; the line is the least so far."
    lines = [Line(line, "front-line")] if line else []
    return Scatter(title, x_axis, y_axis, across.ticks(), up.ticks(), marks, lines, keys, note)


def _looks(points: Sequence[Point]) -> dict[str, tuple[str, str]]:
    """Colour's class and marker of each series."""
    return {name: series(index) for index, name in enumerate(dict.fromkeys(point.name for point in points))}


def _mark(point: Point, across: Scale, up: Scale, looks: Mapping[str, tuple[str, str]], front: bool) -> Mark:
    x, y = across.place(point.x), up.place(point.y)
    return Mark(x, y, *looks[point.name], point.tip, front, point.label, x > 70)


def _together(marks: Sequence[Mark]) -> list[Mark]:
    """Marks, those of a front on top; each of several in one place tells of all, since one hides the others."""
    places: dict[tuple[float, float], list[str]] = {}
    for mark in marks:
        places.setdefault((mark.x, mark.y), []).append(mark.tip)
    found: list[Mark] = []
    for mark in sorted(marks, key=lambda mark: (mark.front, mark.x, mark.y)):
        tips = places[mark.x, mark.y]
        more = [f"and {len(tips) - _TOLD} more here"] if len(tips) > _TOLD else []
        found.append(replace(mark, tip="\n\n".join([*tips[:_TOLD], *more]), below=_yields(mark, marks)))
    return found


def _yields(mark: Mark, marks: Sequence[Mark]) -> bool:
    """Whether a label goes below its point, since that of a point just above it is above; never onto the axis."""
    if not mark.label or mark.y < _NEAR[1]:
        return False
    near = [one for one in marks if one.label and abs(one.x - mark.x) < _NEAR[0] and abs(one.y - mark.y) < _NEAR[1]]
    return any((one.y, one.x) > (mark.y, mark.x) for one in near)


def thinned(best: NDArray[np.bool_], most: int) -> list[int]:
    """Indices of so many points: the best ones, of which none is left out, and an even choice of the others."""
    if len(best) <= most:
        return list(range(len(best)))
    others = np.flatnonzero(~best)
    room = min(len(others), max(0, most - int(best.sum())))
    even = others[np.linspace(0, len(others) - 1, room).astype(int)]
    return sorted([*np.flatnonzero(best).tolist(), *even.tolist()])


def told(axis: str, value: float) -> str:
    """A number on an axis as hovering tells it: ``latency 12.50 us`` on ``latency (us)``."""
    name, _, unit = axis.partition(" (")
    return f"{name} {amount(value)} {unit.rstrip(')')}".rstrip()


def roofline(results: Sequence[Result]) -> Scatter | None:
    """Kernels by the FLOPs that count to a byte of DRAM and to a second, below the roofs of the units that ran them.

    None without a kernel whose place is known (`accelsim.results.roofline`).
    """
    rows = [(result.scheme, row) for result in results for row in _placed(result)]
    if not rows:
        return None
    peaks = {str(row["unit"]): 2 * row["macs"] / row["peak_compute_us"] / 1e6 for _, row in rows}
    bandwidth = max(row["traffic"] / row["peak_dram_us"] / 1e6 for _, row in rows)
    points = [_kernel_point(scheme, row, len(results) > 1) for scheme, row in rows]
    ridges = [peak / bandwidth for peak in peaks.values()]
    across = Scale.over([*(point.x for point in points), min(ridges) / 20, 3 * max(ridges)], log=True)
    up = Scale.over([*(point.y for point in points), *peaks.values()], log=True)
    looks = _looks(points)
    marks = _together([_mark(point, across, up, looks, False) for point in points])
    lines = [_roof(unit, peak, bandwidth, across, up) for unit, peak in peaks.items()]
    keys = [Key(label_of(name), colour, marker=marker) for name, (colour, marker) in looks.items()]
    axes = ("FLOP to a byte of DRAM traffic", "TFLOP/s that count")
    note = (
        f"The roof slopes with {amount(bandwidth, 4)} TB/s of DRAM; neither it nor peaks are lowered by an efficiency."
    )
    return Scatter("Kernels below the roof", *axes, across.ticks(), up.ticks(), marks, lines, keys, note)


def _placed(result: Result) -> list[dict[str, float]]:
    """Kernels with MACs, traffic and peaks."""
    wanted = ("macs", "peak_compute_us", "peak_dram_us", "dram_read_bytes", "dram_write_bytes")
    if any(key not in result.kernels.columns for key in (*wanted, "unit")):
        return []
    known = result.kernels.dropna(subset=[*wanted, "unit"])
    known = known.assign(
        traffic=known["dram_read_bytes"] + known["dram_write_bytes"], took=known["end_us"] - known["begin_us"]
    )
    known = known[(known["macs"] > 0) & (known["peak_compute_us"] > 0) & (known["traffic"] > 0) & (known["took"] > 0)]
    return [{str(key): value for key, value in row.items()} for row in known.to_dict("records")]


def _kernel_point(scheme: str, row: Mapping[str, float], many: bool) -> Point:
    flop = 2 * float(row["macs"])
    x, y = flop / row["traffic"], flop / row["took"] / 1e6
    bound = "compute" if row["peak_compute_us"] >= row["peak_dram_us"] else "DRAM"
    attained = 100 * max(row["peak_compute_us"], row["peak_dram_us"]) / row["took"]
    tip = f"{row['name']}{f', {scheme}' if many else ''}\n{amount(y, 3)} TFLOP/s at {amount(x, 3)} FLOP/B"
    tip += f"\n{attained:.1f} % of the roof, which {bound} sets\n{amount(float(row['took']))} us"
    return Point(x, y, scheme if many else str(row["part"]), tip)


def _roof(unit: str, peak: float, bandwidth: float, across: Scale, up: Scale) -> Line:
    """From the left end of the axis, or where the roof enters the figure, over the ridge to the right end."""
    ridge = peak / bandwidth
    start = max(across.low, up.low / bandwidth)
    points = [(start, start * bandwidth), (ridge, peak), (across.high, peak)]
    label = f"{label_of(unit)} {amount(peak, 3)} TFLOP/s"
    return Line([(across.place(x), up.place(y)) for x, y in points if x <= across.high], "roof", label)
