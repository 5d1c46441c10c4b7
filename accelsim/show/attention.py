"""Figures of attention accelerators: throughput, where time goes, a roofline of each, and stages over time."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from accelsim.show.style import (
    BLACK,
    BLUE,
    DARK,
    DOUBLE,
    GREEN,
    LIGHT,
    MARKERS,
    ORANGE,
    PALETTE,
    PURPLE,
    SKY,
    VERMILLION,
    YELLOW,
    label_of,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FIXED = {
    "idle": LIGHT,
    "load": "#BFBFBF",
    "fetch": DARK,
    "fetch_wait": DARK,
    "write": "#8C8C8C",
    "fetch_fractions": DARK,
    "fetch_values": "#8C8C8C",
}
"""Waiting and transfers are grey in every figure, work has colours."""
_WORK = (SKY, ORANGE, GREEN, PURPLE, YELLOW)
"""Colours of a unit's stages in the order of its pipeline, light enough for their names."""
_NAMED = 7.0
"""Percent of a bar from which a stage's name fits."""
_LETTERS = 8
"""Of a stage's name that the width of a bar holds."""
_CEILING = 256.0
"""GOP/s of 128 multipliers at 1 GHz that never rest."""


def throughput_axes(units: pd.DataFrame, axes: "Axes") -> "Axes":
    """Normalised throughput of each unit as bars, published figures as marks, at the longest sequence.

    Parameters
    ----------
    units : pandas.DataFrame
        Columns unit, sequence, normalised_gops, normalised_gops_bits and published_gops.
    axes : matplotlib.axes.Axes
        Drawn on, and returned.
    """
    longest = units[units["sequence"] == units["sequence"].max()]
    place = np.arange(len(longest))
    axes.bar(place - 0.2, longest["normalised_gops"], 0.4, color=BLUE, label="by multipliers (128 at 1 GHz)")
    axes.bar(place + 0.2, longest["normalised_gops_bits"], 0.4, color=SKY, label="by single-bit products (32,768 a ns)")
    published = longest["published_gops"].astype(float)
    axes.plot(place - 0.2, published, "D", color=BLACK, markersize=5, linestyle="none", label="published, unverified")
    axes.axhline(_CEILING, color=DARK, linewidth=0.9, linestyle="--", label="nothing pruned, multipliers never at rest")
    axes.set_xticks(place, [label_of(str(name)) for name in longest["unit"]], rotation=30, ha="right")
    axes.set_ylabel("dense-equivalent GOP/s")
    axes.set_title(f"Normalised throughput, sequence {int(units['sequence'].max())}")
    axes.grid(True, axis="y")
    axes.legend(loc="upper left", fontsize=7)
    axes.set_ylim(0, 1.45 * max(_CEILING, axes.get_ylim()[1] / 1.05))
    return axes


def account_axes(account: pd.DataFrame, axes: "Axes") -> "Axes":
    """Share of time by cause, a bar for each unit at the longest sequence; stages bear their names.

    Parameters
    ----------
    account : pandas.DataFrame
        Columns unit, sequence, cause and share_percent.
    """
    longest = account[account["sequence"] == account["sequence"].max()]
    names = list(dict.fromkeys(longest["unit"]))
    waits: dict[str, str] = {}
    for place, name in enumerate(names):
        some = longest[(longest["unit"] == name) & (longest["share_percent"] > 0)]
        own = [cause for cause in some["cause"] if cause not in _FIXED]
        colours = dict(zip(own, _WORK * 4, strict=False)) | _FIXED
        low = 0.0
        for cause, share in sorted(
            zip(some["cause"], some["share_percent"], strict=True), key=lambda one: one[0] in _FIXED
        ):
            small = cause not in _FIXED and share < _NAMED
            colour = VERMILLION if small else colours[cause]
            axes.bar(place, share, 0.75, low, color=colour, edgecolor="white", linewidth=0.5)
            if cause in _FIXED or small:
                waits.setdefault(colour, "other stages" if small else label_of(str(cause)))
            elif share >= _NAMED:
                name_of = label_of(str(cause)).replace(" ", "\n")
                turned = 90 if max(map(len, name_of.split("\n"))) > _LETTERS else 0
                axes.text(place, low + share / 2, name_of, ha="center", va="center", fontsize=7, rotation=turned)
            low += share
    axes.set_xticks(range(len(names)), [label_of(str(name)) for name in names], rotation=30, ha="right")
    axes.set_ylabel("share of the cores' time (%)")
    axes.set_ylim(0, 100)
    axes.set_title("Where time goes")
    for colour, label in waits.items():
        axes.bar(0, 0, color=colour, label=label)
    if waits:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=7)
    return axes


def roofline_axes(units: pd.DataFrame, axes: "Axes") -> "Axes":
    """Effectual throughput against effectual operations for each DRAM byte, with the unit's own roof.

    Parameters
    ----------
    units : pandas.DataFrame
        Columns unit, sequence, effectual_macs, effectual_gops, dram_bytes, dram_bandwidth, multipliers and clock_hz.
    """
    names = list(dict.fromkeys(units["unit"]))
    colours, signs = dict(zip(names, PALETTE * 4, strict=False)), dict(zip(names, MARKERS * 4, strict=False))
    reach = 2.0 * units["effectual_macs"] / units["dram_bytes"]
    span = np.geomspace(max(0.25, reach.min() / 4), max(reach.max() * 4, 64.0), 200)
    for name in names:
        some = units[units["unit"] == name]
        peak = 2e-9 * float(some["multipliers"].iloc[0]) * float(some["clock_hz"].iloc[0])
        roof = np.minimum(peak, 1e-9 * float(some["dram_bandwidth"].iloc[0]) * span)
        axes.plot(span, roof, color=colours[name], linewidth=1.0, alpha=0.7)
        axes.plot(
            reach[some.index], some["effectual_gops"], f"{signs[name]}-", color=colours[name], markersize=4,
            linewidth=0.6, label=label_of(str(name)),
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("effectual operations for each DRAM byte")
    axes.set_ylabel("effectual GOP/s")
    axes.set_title("Roofline of each unit")
    axes.grid(True, which="major", axis="both")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=7)
    return axes


def cost_axes(units: pd.DataFrame, axes: "Axes") -> "Axes":
    """Operations a joule against the error of the output, a line for each unit over sequences.

    Parameters
    ----------
    units : pandas.DataFrame
        Columns unit, sequence, gop_per_j and rms_rel_error.
    """
    names = list(dict.fromkeys(units["unit"]))
    for name, colour, sign in zip(names, PALETTE * 4, MARKERS * 4, strict=False):
        some = units[units["unit"] == name]
        error = 100 * some["rms_rel_error"].clip(lower=1e-5)
        axes.plot(
            error,
            some["gop_per_j"].astype(float),
            f"{sign}-",
            color=colour,
            markersize=4,
            linewidth=0.8,
            label=label_of(name),
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("error of the output (rms, %)")
    axes.set_ylabel("dense-equivalent GOP/J")
    axes.set_title("What accuracy costs")
    axes.grid(True, which="major", axis="both")
    return axes


def attention_figure(units: pd.DataFrame, account: pd.DataFrame) -> "Figure":
    """Throughput, account, roofline and cost in one figure.

    Parameters
    ----------
    units, account : pandas.DataFrame
        `AttentionComparison.to_frame` and `account_frame`.

    Raises
    ------
    ValueError
        When there is no unit.
    """
    if units.empty:
        raise ValueError("no unit was compared, so there is nothing to draw")
    with style():
        figure = new_figure(DOUBLE, 7.0)
        panels = figure.subplots(2, 2)
        throughput_axes(units, panels[0, 0])
        if account.empty:
            panels[0, 1].set_visible(False)
        else:
            account_axes(account, panels[0, 1])
        cost_axes(units, panels[1, 0])
        roofline_axes(units, panels[1, 1])
    return figure


_HEADS = 3
"""Heads of a core that a chart of stages shows; later ones repeat the pattern."""


def gantt_figure(stages: pd.DataFrame, unit: str) -> "Figure":
    """Stages of the first heads on a unit's first core over time.

    Parameters
    ----------
    stages : pandas.DataFrame
        Columns unit, sequence, core, head, stage, begin_us and end_us; the shortest sequence is drawn.
    unit : str
        Name in the column ``unit``.

    Raises
    ------
    ValueError
        When the unit has no stages.
    """
    some = stages[(stages["unit"] == unit)]
    some = some[(some["sequence"] == some["sequence"].min()) & (some["core"] == 0)]
    if some.empty:
        raise ValueError(f"no stages of {unit} to draw")
    heads = list(dict.fromkeys(some.sort_values("begin_us")["head"]))[:_HEADS]
    some = some[some["head"].isin(heads)]
    names = list(dict.fromkeys(some.sort_values("begin_us")["stage"]))
    with style():
        figure = new_figure(7.5, 1.2 + 0.28 * len(names))
        axes = figure.subplots()
        for head, colour in zip(heads, PALETTE, strict=False):
            own = some[some["head"] == head]
            rows = [names.index(stage) for stage in own["stage"]]
            axes.barh(
                rows, own["end_us"] - own["begin_us"], 0.7, own["begin_us"], color=colour, alpha=0.75,
                edgecolor=BLACK, linewidth=0.4, label=f"head {head}",
            )  # fmt: skip
        axes.set_yticks(range(len(names)), [label_of(str(name)) for name in names])
        axes.invert_yaxis()
        axes.set_xlabel("time (us)")
        sequence = int(some["sequence"].iloc[0])
        axes.set_title(f"{unit}, sequence {sequence}: first heads of core 0")
        axes.grid(True, axis="x")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
