"""Figure of serving: latency, throughput and energy against the rate of requests, a colour for each scheme."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from accelsim.show.style import BLUE, DARK, DOUBLE, GREEN, ORANGE, VERMILLION, colour_of, label_of, new_figure, style

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FIXED = {"dense": BLUE, "tile_wise": ORANGE, "hdp": GREEN, "tile_wise+hdp": VERMILLION}
_LINES: dict[str, tuple[Literal[":", "-", "--"], str]] = {
    "p50_us": (":", "p50"),
    "p95_us": ("-", "p95"),
    "p99_us": ("--", "p99"),
}
_MARKERS = {"dense": "o", "tile_wise": "s", "hdp": "^", "tile_wise+hdp": "v"}
_MANY = 2e3
"""Rates and microseconds from which they are given in thousands."""


def serve_figure(points: pd.DataFrame, knees: Mapping[str, float | None], target_us: float | None = None) -> "Figure":
    """Percentiles of latency, throughput, and energy for each request, against the rate.

    Rates at or above a scheme's capacity are drawn as throughput alone: latencies there only tell how long the run was.

    Parameters
    ----------
    points : pandas.DataFrame
        Columns scheme, rate_per_s, load, throughput_per_s, p50_us, p95_us, p95_low_us, p95_high_us, p99_us and
        energy_per_request_uj.
    knees : mapping of str to float or None
        By scheme, the rate of its knee, which gets a marker.
    target_us : float, optional
        Of the 95th percentile, drawn as a line.

    Raises
    ------
    ValueError
        When there is no point.
    """
    if points.empty:
        raise ValueError("nothing was run, so there is nothing to draw")
    colours = colour_of(list(dict.fromkeys(points["scheme"])), _FIXED)
    with style():
        figure = new_figure(DOUBLE, 3.0)
        latency, throughput, energy = figure.subplots(1, 3)
        unit = 1e3 if float(points["rate_per_s"].max()) >= _MANY else 1.0
        settled = points.loc[points["load"] < 1, "p99_us"]
        tick = 1e3 if not settled.empty and float(settled.max()) >= _MANY else 1.0
        scaled = points.assign(
            **{key: points[key] / unit for key in ("rate_per_s", "throughput_per_s")},
            **{str(key): points[key] / tick for key in points.columns if str(key).endswith("_us")},
        )
        at = {scheme: None if knee is None else knee / unit for scheme, knee in knees.items()}
        for scheme, some in scaled.sort_values("rate_per_s").groupby("scheme", sort=False):
            _draw(latency, throughput, energy, str(scheme), some, colours[str(scheme)], at.get(str(scheme)))
        if target_us is not None:
            latency.axhline(target_us / tick, color=DARK, linewidth=0.9, linestyle="-.")
        latency.set_ylabel("latency (ms)" if tick > 1 else "latency (us)")
        _finish(latency, throughput, energy, float(scaled["rate_per_s"].max()), unit)
        handles, names = throughput.get_legend_handles_labels()
        styles, shown = _percentile_legend(knees, target_us)
        figure.legend([*handles, *styles], [*map(str, names), *shown], loc="outside right upper")
    return figure


def _draw(
    latency: "Axes",
    throughput: "Axes",
    energy: "Axes",
    scheme: str,
    some: pd.DataFrame,
    colour: str,
    knee: float | None,
) -> None:
    settled = some[some["load"] < 1]
    rates = settled["rate_per_s"].to_numpy()
    shape = _MARKERS.get(scheme, "P")
    for key, (line, _) in _LINES.items():
        sign = shape if key == "p95_us" or len(settled) == 1 else None
        latency.plot(rates, settled[key].to_numpy(), color=colour, linestyle=line, linewidth=1.2, **_marked(sign))
    low, high = (settled[f"p95_{end}_us"].to_numpy(dtype=float) for end in ("low", "high"))
    latency.fill_between(rates, low, high, color=colour, alpha=0.15, linewidth=0)
    at = settled[settled["rate_per_s"] == knee]
    if len(at):
        latency.plot(at["rate_per_s"].to_numpy(), at["p95_us"].to_numpy(), "D", color=colour, markersize=6.5)
    everywhere = some["rate_per_s"].to_numpy()
    served = some["throughput_per_s"].to_numpy()
    throughput.plot(everywhere, served, color=colour, linewidth=1.2, label=label_of(scheme), **_marked(shape))
    joules = settled["energy_per_request_uj"].to_numpy(dtype=float) / 1e3
    energy.plot(rates, joules, color=colour, linewidth=1.2, **_marked(shape))


def _marked(shape: str | None) -> dict[str, Any]:
    return {"marker": shape, "markersize": 3.5}


def _finish(latency: "Axes", throughput: "Axes", energy: "Axes", highest: float, unit: float) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    throughput.plot([0, highest], [0, highest], color=DARK, linewidth=0.8, linestyle=":")
    latency.set_yscale("log")
    latency.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
    latency.yaxis.set_major_formatter("{x:g}")
    latency.yaxis.set_minor_formatter(NullFormatter())
    many = "1,000 requests/s" if unit > 1 else "requests/s"
    throughput.set_ylabel(f"throughput ({many})")
    energy.set_ylabel("energy per request (mJ)")
    for axes, title in zip((latency, throughput, energy), ("a  Latency", "b  Throughput", "c  Energy"), strict=True):
        axes.set_title(title)
        axes.set_xlabel(f"rate ({many})")
        axes.set_xlim(left=0)
        axes.grid(True, axis="both")
    energy.set_ylim(bottom=0)
    throughput.set_ylim(bottom=0)


def _percentile_legend(knees: Mapping[str, float | None], target_us: float | None) -> "tuple[list[Artist], list[str]]":
    from matplotlib.lines import Line2D

    handles: list[Artist] = [Line2D([], [], color=DARK, linestyle=line) for line, _ in _LINES.values()]
    names = [name for _, name in _LINES.values()]
    if any(knee is not None for knee in knees.values()):
        handles.append(Line2D([], [], color=DARK, marker="D", linestyle="none", markersize=5))
        names.append("knee")
    if target_us is not None:
        handles.append(Line2D([], [], color=DARK, linestyle="-."))
        names.append("target of p95")
    return handles, names


def serve_files(
    points: pd.DataFrame, knees: Mapping[str, float | None], target_us: float | None = None
) -> dict[str, bytes]:
    """`serve_figure` as serve.png and serve.svg."""
    from accelsim.show.style import figure_bytes

    figure = serve_figure(points, knees, target_us)
    return {f"serve.{kind}": figure_bytes(figure, kind) for kind in ("png", "svg")}
