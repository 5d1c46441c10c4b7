"""Figures of results and comparisons. Each function draws into the axes that it is given, or into new ones."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from accelsim.results.comparison import Comparison
from accelsim.results.parts import IDLE, latency_parts
from accelsim.results.result import Result
from accelsim.show.bars import legend_below, legend_beside, plain_bars, stacked_bars, whiskers
from accelsim.show.style import (
    BLUE,
    DARK,
    DOUBLE,
    GREEN,
    LIGHT,
    MIDDLE,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    YELLOW,
    axes_or_new,
    colour_of,
    label_of,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARTS = {"gemm": BLUE, "attention": ORANGE, "elementwise": GREEN, "transfer": PURPLE, IDLE: LIGHT}
CAUSES = {
    "compute": BLUE, "shared_memory": GREEN, "bank_conflict": YELLOW, "l2": ORANGE, "dram": VERMILLION,
    "prologue": SKY, "epilogue": PURPLE, "launch": LIGHT, "imbalance": DARK, "tail": MIDDLE, "idle": LIGHT,
    "other_unit": MIDDLE,
}  # fmt: skip
_MANY = 1e4
"""Microseconds from which latencies are given in milliseconds."""
_GREYS = (LIGHT, MIDDLE, DARK)
_HATCHED = {"imbalance": "///", "tail": "...", "other_unit": "xxx"}

ENERGY_GROUPS = {
    "products": ("tensor_mac", "sparse_tensor_mac", "cuda_mac", "mac_", "bit_product"),
    "other arithmetic": ("cuda_flop", "softmax", "sparsity"),
    "on-chip memory": ("shared_byte", "l2_byte", "buffer_byte"),
    "DRAM": ("dram_byte",),
    "link": ("link",),
    "leakage and idle": ("leakage", "board_idle"),
}
"""Actions that figures show as one, by the beginning of their names."""
ENERGY_COLOURS = {
    "products": BLUE, "other arithmetic": GREEN, "on-chip memory": ORANGE, "DRAM": VERMILLION, "link": PURPLE,
    "leakage and idle": LIGHT,
}  # fmt: skip
"""Of the groups, in the order of a stack."""


def latency_bars(results: "Comparison | Iterable[Result]", axes: "Axes | None" = None) -> "Axes":
    """Latency of each scheme in us or ms, stacked by part; a comparison's bars bear their speed-ups.

    Whiskers are the intervals of held-out errors, where they are known.
    """
    found = _results(results)
    parts = [latency_parts(result) for result in found]
    names = sorted(dict.fromkeys(name for part in parts for name in part), key=_order(PARTS))
    unit, size = ("ms", 1e3) if max(map(sum, (part.values() for part in parts)), default=0.0) >= _MANY else ("us", 1.0)
    series = {name: [part.get(name, 0.0) / size for part in parts] for name in names}
    with style():
        axes = axes_or_new(axes, len(found))
        texts = _speedups(results, "speedup") if isinstance(results, Comparison) else None
        stacked_bars(axes, [r.scheme for r in found], series, colour_of(names, PARTS), texts=texts)
        whiskers(axes, [_ends(result, size) for result in found], "80 % interval")
        axes.set_ylabel(f"latency ({unit})")
        legend_below(axes)
    return axes


def speedup_bars(comparison: Comparison, axes: "Axes | None" = None, of: str = "speedup") -> "Axes":
    """`speedup` or `attention_speedup` of each scheme, the dense run at 1."""
    values = [comparison.ratios(result)[of] for result in comparison.results]
    with style():
        axes = axes_or_new(axes, len(values))
        heights = [np.nan if value is None else value for value in values]
        plain_bars(axes, [r.scheme for r in comparison.results], heights, BLUE, _speedups(comparison, of))
        axes.axhline(1.0, color=DARK, linewidth=0.8, linestyle="--")
        axes.set_ylabel(f"{label_of(of).replace('speedup', 'speed-up')} over {comparison.baseline.scheme} (x)")
    return axes


def account_stack(
    results: "Result | Comparison | Iterable[Result]", axes: "Axes | None" = None, device: str = "gpu"
) -> "Axes":
    """Where the time of a device's SMs or cores went, in percent of it: a bar for each result that has the device.

    Raises
    ------
    ValueError
        When no result has it.
    """
    shares = {}
    for result in [results] if isinstance(results, Result) else _results(results):
        rows = result.account[result.account["device"] == device]
        if len(rows):
            shares[result.scheme] = dict(zip(rows["cause"], rows["share_percent"], strict=True))
    if not shares:
        raise ValueError(f"no result accounts for a device {device!r}")
    causes = sorted(dict.fromkeys(cause for share in shares.values() for cause in share), key=_order(CAUSES))
    series = {cause: [share.get(cause, 0.0) for share in shares.values()] for cause in causes}
    with style():
        axes = axes_or_new(axes, len(shares) + 2)
        stacked_bars(axes, list(shares), series, colour_of(causes, CAUSES), hatches=_HATCHED)
        axes.set_ylim(0, 100)
        axes.set_ylabel(f"share of {label_of(device)} time (%)")
        legend_beside(axes)
    return axes


def energy_bars(results: "Comparison | Iterable[Result]", axes: "Axes | None" = None) -> "Axes":
    """Energy of each scheme, stacked by what it went to, in uJ, mJ or J."""
    found = _results(results)
    groups = [energy_groups(result.energy) for result in found]
    names = sorted(dict.fromkeys(name for group in groups for name in group), key=_order(ENERGY_COLOURS))
    totals = [sum(group.values()) for group in groups]
    largest = max(totals, default=0.0)
    unit, size = next(((unit, size) for unit, size in (("J", 1e6), ("mJ", 1e3)) if largest >= size), ("uJ", 1.0))
    series = {name: [group.get(name, 0.0) / size for group in groups] for name in names}
    with style():
        axes = axes_or_new(axes, len(found))
        texts = [f"{total / size:#.3g}".rstrip(".") for total in totals]
        stacked_bars(axes, [r.scheme for r in found], series, colour_of(names, ENERGY_COLOURS), texts=texts)
        axes.set_ylabel(f"energy ({unit})")
        legend_below(axes)
    return axes


def quality_bars(results: "Comparison | Iterable[Result]", axes: "Axes | None" = None) -> "Axes":
    """Accuracy in percent where there are labels, else the largest error in percent of the largest magnitude."""
    found = _results(results)
    accurate = any(result.summary["accuracy"] is not None for result in found)
    key, label = ("accuracy", "accuracy (%)") if accurate else ("max_rel_error", "largest error of the output (%)")
    values = [100 * result.value(key) for result in found]
    digits = ".1f" if accurate else ".2g"
    with style():
        axes = axes_or_new(axes, len(found))
        texts = ["no values" if np.isnan(value) else format(value, digits) for value in values]
        plain_bars(axes, [r.scheme for r in found], values, GREEN if accurate else VERMILLION, texts)
        axes.set_ylabel(label)
        if accurate:
            axes.set_ylim(0, 109)
            axes.set_yticks(range(0, 101, 20))
    return axes


def comparison_figure(comparison: Comparison) -> "Figure":
    """Three panels: latency by part with speed-ups, energy by what it went to, accuracy or error of the output."""
    summary = comparison.baseline.summary
    with style():
        figure = new_figure(max(DOUBLE, 2.6 + 1.4 * len(comparison.results)), 3.7)
        left, middle, right = figure.subplots(1, 3)
        latency_bars(comparison, left)
        energy_bars(comparison, middle)
        quality_bars(comparison, right)
        quality = "Accuracy" if right.get_ylabel().startswith("accuracy") else "Error of the output"
        for axes, title in ((left, "a  Latency"), (middle, "b  Energy"), (right, f"c  {quality}")):
            axes.set_title(title)
            axes.tick_params(axis="x", labelsize=8)
        for axes in (left, middle):
            legend_below(axes, columns=2)
        figure.suptitle(f"{summary['workload']} on {summary['hardware']}", fontsize=10.5)
    return figure


def _results(results: "Comparison | Iterable[Result]") -> list[Result]:
    return list(results.results if isinstance(results, Comparison) else results)


def _ends(result: Result, size: float) -> tuple[float, float, float]:
    """Latency and the ends of its interval, in `size` us; NaN where they are unknown."""
    latency, low, high = (result.value(f"latency{end}_us") / size for end in ("", "_low", "_high"))
    return latency, low, high


def _speedups(comparison: Comparison, key: str) -> list[str]:
    """Speed-ups as texts; one whose interval holds 1 says so instead."""
    values = [comparison.ratios(result)[key] for result in comparison.results]
    undecided = [
        key == "speedup" and comparison.interval(result)["verdict"] == "undecided" for result in comparison.results
    ]
    return [
        "undecided" if open_ else "" if value is None else f"{value:.2f}x"
        for value, open_ in zip(values, undecided, strict=True)
    ]


def energy_groups(energy: pd.DataFrame) -> dict[str, float]:
    """Energy in uJ of each of `ENERGY_GROUPS`, from a result's table; an action of none of them is its own group."""
    groups: dict[str, float] = {}
    for action, amount in zip(energy["action"], energy["energy_uj"], strict=True):
        group = next((name for name, starts in ENERGY_GROUPS.items() if str(action).startswith(starts)), str(action))
        groups[group] = groups.get(group, 0.0) + float(amount)
    return groups


def _order(fixed: dict[str, str]) -> Callable[[str], int]:
    """Rank in a stack: as in `fixed`, what it does not name before the greys, in which nothing is done."""
    names = [name for name, colour in fixed.items() if colour not in _GREYS]
    idle = [name for name, colour in fixed.items() if colour in _GREYS]
    ranks = {name: rank for rank, name in enumerate([*names, "", *idle])}
    return lambda name: ranks.get(name, ranks[""])
