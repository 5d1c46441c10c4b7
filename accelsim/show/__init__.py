"""Figures. Matplotlib is imported when the first one is drawn."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from accelsim.results.comparison import Comparison

if TYPE_CHECKING:
    import pandas as pd


def save_comparison(comparison: Comparison, folder: str | Path) -> Path:
    """`Comparison.save` with its figure beside it, as comparison.png and comparison.svg.

    Raises
    ------
    ResultError
        When the folder holds something else or cannot be written.
    """
    from accelsim.show.figures import comparison_figure
    from accelsim.show.style import figure_bytes

    figure = comparison_figure(comparison)
    files = {f"comparison.{kind}": figure_bytes(figure, kind) for kind in ("png", "svg")}
    return comparison.save(folder, files)


def sweep_files(frame: "pd.DataFrame", axes: Sequence[str]) -> dict[str, bytes]:
    """The figure of a sweep as sweep.png and sweep.svg, and likewise accuracy where it varies; nothing when every point
    failed."""
    from accelsim.show.style import figure_bytes
    from accelsim.show.sweeps import sweep_figure

    if "latency_us" not in frame.columns or not frame["latency_us"].notna().any():
        return {}
    figures = {"sweep": sweep_figure(frame, axes)}
    if "accuracy" in frame.columns and frame["accuracy"].nunique() > 1:
        figures["accuracy"] = sweep_figure(frame, axes, "accuracy")
    return {f"{name}.{kind}": figure_bytes(one, kind) for name, one in figures.items() for kind in ("png", "svg")}


def validation_files(frame: "pd.DataFrame", regimes: Mapping[str, str]) -> dict[str, bytes]:
    """Figures of a validation, of its predicted rows: validation.png and .svg of latencies, power.png and .svg of board
    power, each where it was measured."""
    from accelsim.show.style import figure_bytes
    from accelsim.show.validation import power_figure, validation_figure

    timed, metered = frame[frame["measured_us"].notna()], frame[frame["measured_w"].notna()]
    figures = {} if timed.empty else {"validation": validation_figure(timed, regimes)}
    figures |= {} if metered.empty else {"power": power_figure(metered)}
    return {f"{name}.{kind}": figure_bytes(one, kind) for name, one in figures.items() for kind in ("png", "svg")}


def break_even_files(points: "pd.DataFrame") -> dict[str, bytes]:
    """The figure of a search for break-even as breakeven.png and breakeven.svg; nothing when no pattern could run."""
    from accelsim.show.breakeven import break_even_figure
    from accelsim.show.style import figure_bytes

    if points.empty:
        return {}
    figure = break_even_figure(points)
    return {f"breakeven.{kind}": figure_bytes(figure, kind) for kind in ("png", "svg")}


def attention_files(units: "pd.DataFrame", account: "pd.DataFrame", stages: "pd.DataFrame") -> dict[str, bytes]:
    """Figures of a comparison of attention accelerators: attention.png and .svg, and gantt_UNIT.png and .svg."""
    from accelsim.show.attention import attention_figure, gantt_figure
    from accelsim.show.style import figure_bytes

    figures = {"attention": attention_figure(units, account)}
    figures |= {f"gantt_{unit}": gantt_figure(stages, unit) for unit in dict.fromkeys(stages["unit"])}
    return {f"{name}.{kind}": figure_bytes(one, kind) for name, one in figures.items() for kind in ("png", "svg")}


__all__ = ["attention_files", "break_even_files", "save_comparison", "sweep_files", "validation_files"]
