"""Figures of accuracy under dynamic pruning: a study's methods, and what was pruned of one input and why."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from accelsim.show.style import (
    BLACK,
    BLUE,
    DARK,
    GREEN,
    MIDDLE,
    ORANGE,
    PALETTE,
    PURPLE,
    SKY,
    VERMILLION,
    YELLOW,
    figure_bytes,
    label_of,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOOKS = {
    "hdp": (BLUE, "o", "-"),
    "hdp_robust": (SKY, "s", "-"),
    "hdp_paper": (VERMILLION, "D", "-"),
    "hdp_centred": (GREEN, "v", "-"),
    "hdp_signed": (PURPLE, "P", "-"),
    "hdp_zeroed": (YELLOW, "X", "-"),
    "top_k": (ORANGE, "^", "-"),
    "oracle": (BLACK, "*", "--"),
    "oracle_mass": (BLACK, "+", "-."),
    "random": (DARK, "x", ":"),
    "random_zeroed": (MIDDLE, "x", ":"),
    "cascade_tokens": (PURPLE, "h", "-"),
    "local_values": (GREEN, "p", "-"),
    "heads_hdp": (BLUE, "o", "-"),
    "heads_hdp_global": (SKY, "s", "-"),
    "heads_top_k": (ORANGE, "^", "-"),
    "heads_oracle": (BLACK, "*", "--"),
    "heads_random": (DARK, "x", ":"),
    "heads_inverse": (VERMILLION, "D", "-"),
    "heads_top_k_late": (GREEN, "v", "-."),
    "heads_random_late": (MIDDLE, "x", ":"),
    "heads_cascade": (PURPLE, "h", "-"),
}
"""Colour, marker and line of each method, so that figures of different studies agree."""
_AXES = {"blocks": ("pairs_pruned", "query-key pairs pruned (%)"), "heads": ("heads_pruned", "heads pruned (%)")}


def study_figure(points: pd.DataFrame, dense: float, measure: str = "accuracy") -> "Figure":
    """Scores against the share pruned, a panel for blocks and one for heads; bars are intervals of the loss.

    Parameters
    ----------
    points : pandas.DataFrame
        Columns axis, method, pairs_pruned, heads_pruned, score, loss, loss_low and loss_high; shares from 0 to 1.
    dense : float
        Score without pruning.
    measure : str
        What a score is.

    Raises
    ------
    ValueError
        When there is no point.
    """
    axes = [axis for axis in _AXES if (points.get("axis", pd.Series(dtype=object)) == axis).any()]
    if not axes:
        raise ValueError("the study has no points, so there is nothing to draw")
    with style():
        figure = new_figure(4.8 * len(axes), 3.3)
        least = -1.0 if measure == "spearman" else 0.0
        for panel, axis in zip(figure.subplots(1, len(axes), squeeze=False)[0], axes, strict=True):
            _draw_methods(panel, points[points["axis"] == axis], axis, dense, least)
            panel.set_ylabel("rank correlation (hundredths)" if measure == "spearman" else f"{measure} (%)")
    return figure


def _draw_methods(axes: "Axes", points: pd.DataFrame, axis: str, dense: float, least: float) -> None:
    """Scores of one panel; no bar goes beyond `least` or 1, as the interval of a difference may."""
    share, title = _AXES[axis]
    axes.axhline(100 * dense, color=DARK, linewidth=0.9, label="dense")
    for method, some in points.groupby("method", sort=False):
        colour, marker, line = _LOOKS.get(str(method), (PALETTE[-1], "X", "-"))
        some = some.sort_values(share)
        score = some["score"].to_numpy(dtype=float)
        ends = np.stack([some["loss_high"] - some["loss"], some["loss"] - some["loss_low"]])
        ends = np.clip(ends, 0, [score - least, 1 - score])
        axes.errorbar(
            100 * some[share].to_numpy(), 100 * score, yerr=100 * ends, color=colour, marker=marker,
            linestyle=line, markersize=5, linewidth=1.2, elinewidth=0.7, capsize=2,
            label=label_of(str(method)),
        )  # fmt: skip
    axes.set_xlabel(title)
    axes.grid(True, axis="both")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=7)


def study_files(points: pd.DataFrame, dense: float, measure: str = "accuracy") -> dict[str, bytes]:
    """The figure of a study as study.png and study.svg; nothing when no point could be had."""
    if points.empty:
        return {}
    figure = study_figure(points, dense, measure)
    return {f"study.{kind}": figure_bytes(figure, kind) for kind in ("png", "svg")}


def head_figure(
    scores: np.ndarray, kept: np.ndarray, rows: pd.DataFrame, importance: np.ndarray, title: str
) -> "Figure":
    """One head of one input: its scores with what was pruned, and the importance of each block beside the thresholds.

    Parameters
    ----------
    scores : float [n, n]
        Exact scores, queries down and keys across.
    kept : bool [nb, nb]
        Blocks that were kept.
    rows : pandas.DataFrame
        Columns block_row and threshold.
    importance : int [nb, nb]
    title : str
    """
    with style():
        figure = new_figure(9.0, 3.9)
        left, right = figure.subplots(1, 2, width_ratios=(1.1, 1))
        _draw_scores(left, scores, kept)
        left.set_title(title)
        _draw_thresholds(right, kept, rows, importance)
    return figure


def _draw_scores(axes: "Axes", scores: np.ndarray, kept: np.ndarray) -> None:
    n = len(scores)
    pruned = ~np.kron(kept, np.ones((2, 2), bool))[:n, :n]
    bound = float(np.abs(scores).max()) or 1.0
    image = axes.imshow(scores, cmap="PuOr_r", vmin=-bound, vmax=bound, interpolation="nearest")
    veil = np.zeros((n, n, 4))
    veil[pruned] = (0.62, 0.62, 0.62, 0.9)
    axes.imshow(veil, interpolation="nearest")
    axes.set_xlabel("key")
    axes.set_ylabel("query")
    axes.figure.colorbar(image, ax=axes, label="score; grey is pruned", shrink=0.85)


def _draw_thresholds(axes: "Axes", kept: np.ndarray, rows: pd.DataFrame, importance: np.ndarray) -> None:
    for stays, colour, marker, label in ((False, MIDDLE, "x", "pruned"), (True, BLUE, "o", "kept")):
        row, column = np.nonzero(kept == stays)
        axes.plot(
            row, importance[row, column], color=colour, marker=marker, linestyle="none", markersize=3, label=label,
        )  # fmt: skip
    axes.step(
        rows["block_row"].to_numpy(), rows["threshold"].to_numpy(), where="mid", color=VERMILLION, linewidth=1.2,
        label="threshold",
    )  # fmt: skip
    axes.set_xlabel("block row")
    axes.set_ylabel("importance of its blocks")
    axes.set_title("Importance")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncol=3, fontsize=7)


def heads_figure(heads: pd.DataFrame) -> "Figure":
    """Importance of every head beside the threshold of its layer, and how much pruning changed its output.

    Parameters
    ----------
    heads : pandas.DataFrame
        Columns layer, head, importance, threshold, kept and output_change.
    """
    with style():
        figure = new_figure(max(4.5, 1.6 + 0.28 * len(heads)), 4.4)
        upper, lower = figure.subplots(2, 1, sharex=True)
        places = np.arange(len(heads))
        colours = [BLUE if kept else MIDDLE for kept in heads["kept"]]
        upper.bar(places, heads["importance"].to_numpy(), color=colours, width=0.7)
        upper.step(places, heads["threshold"].to_numpy(), where="mid", color=VERMILLION, label="tau_h")
        upper.set_ylabel("importance")
        upper.set_title("Heads: blue kept, grey pruned")
        upper.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), fontsize=7)
        lower.bar(places, 100 * heads["output_change"].to_numpy(), color=colours, width=0.7)
        lower.set_ylabel("change of output (%)")
        lower.set_xticks(places, [f"{row.layer}.{row.head}" for row in heads.itertuples()], rotation=90)
        lower.set_xlabel("layer.head")
    return figure


def watch_files(
    heads: pd.DataFrame, rows: pd.DataFrame, arrays: Mapping[tuple[int, int], tuple[np.ndarray, np.ndarray, np.ndarray]]
) -> dict[str, bytes]:
    """Pictures of a watched input: heads.png, and head_LAYER_HEAD.png of each head with scores, mask and importance."""
    files = {"heads.png": figure_bytes(heads_figure(heads), "png")}
    for (layer, head), (scores, kept, importance) in arrays.items():
        own = rows[(rows["layer"] == layer) & (rows["head"] == head)]
        figure = head_figure(scores, kept, own, importance, f"Layer {layer}, head {head}")
        files[f"head_{layer}_{head}.png"] = figure_bytes(figure, "png")
    return files
