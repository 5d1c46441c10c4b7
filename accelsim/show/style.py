"""One look for all figures: colours that the colour-blind tell apart, legible in print, equal bytes each time."""

import io
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW, BLACK = "#56B4E9", "#CC79A7", "#F0E442", "#222222"
LIGHT, MIDDLE, DARK = "#D9D9D9", "#A6A6A6", "#6E6E6E"

PALETTE = (BLUE, ORANGE, GREEN, VERMILLION, SKY, PURPLE, YELLOW, BLACK)
"""Okabe and Ito's eight colours (Color Universal Design, 2008), black softened."""

MARKERS = "osD^vP*Xph"
"""Second sign beside colour for points and lines, in the order of `PALETTE`."""

HATCHES = ("", "///", "\\\\\\", "...", "xxx")
"""Second sign beside colour, for prints without it and for more series than colours."""

_SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.linewidth": 0.8,
    "axes.grid.axis": "y",
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "savefig.bbox": "tight",
    "savefig.pad_inches": 0.05,
    "svg.fonttype": "path",
    "svg.hashsalt": "accelsim",
}


def style() -> AbstractContextManager[None]:
    """Settings under which figures are drawn and written; nothing outside the `with` changes."""
    import matplotlib

    return matplotlib.rc_context(_SETTINGS)  # type: ignore[arg-type]


SINGLE, DOUBLE = 4.6, 9.6
"""Inches that figures of one panel and of several may be wide: printed 85 and 180 mm wide, 7 points stay above 5."""


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of a size in inches (see `SINGLE` and `DOUBLE`), independent of pyplot and of any display."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def axes_or_new(axes: "Axes | None", bars: int) -> "Axes":
    """`axes`, or those of a new figure wide enough for so many bars."""
    return axes if axes is not None else new_figure(max(3.6, 1.6 + 0.75 * bars), 3.2).subplots()


def figure_bytes(figure: "Figure", kind: str, dpi: int | None = None) -> bytes:
    """`figure` as a PNG or SVG file, without date or version, so that equal figures are equal bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    kind : str
        ``png`` or ``svg``.
    dpi : int, optional
        Dots an inch of a PNG; left out, enough for print.
    """
    metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}[kind]
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format=kind, metadata=metadata, dpi=dpi or _SETTINGS["savefig.dpi"])
    return buffer.getvalue()


def colour_of(names: Iterable[str], fixed: dict[str, str]) -> dict[str, str]:
    """A colour for each name: its fixed one, or the next of the palette that no other name has."""
    names = list(names)
    free = [colour for colour in PALETTE if colour not in {fixed[name] for name in names if name in fixed}] or [DARK]
    others = [name for name in names if name not in fixed]
    return {name: fixed.get(name) or free[others.index(name) % len(free)] for name in names}


_SPELT = {
    "gpu": "GPU",
    "gemm": "GEMM",
    "hdp": "HDP",
    "l2": "L2",
    "dram": "DRAM",
    "sms": "SMs",
    "tile_wise": "tile-wise",
    "element_wise": "element-wise",
    "vector_wise": "vector-wise",
    "block_wise": "block-wise",
    "n_m": "N:M",
    "tile_element_wise": "tile-element-wise",
    "tile_vector_wise": "tile-vector-wise",
    "a3": "A3",
    "spatten": "SpAtten",
    "acceltran": "AccelTran",
    "energon": "Energon",
    "sanger": "Sanger",
}


def label_of(name: str) -> str:
    """A name as a reader sees it: ``bank_conflict`` becomes ``bank conflict``, ``l2`` becomes ``L2``."""
    return " + ".join(_SPELT.get(part) or _words(part) for part in name.split("+"))


_OWN_UNITS = {"edp": "EDP (uJ us)", "memory_mib": "memory (MiB)", "accuracy_points": "accuracy (points)"}


def axis_label(column: str) -> str:
    """What a column holds with its unit, as an axis has it: ``energy_uj`` becomes ``energy (uJ)``."""
    from accelsim.results.tables import unit_of

    if column in _OWN_UNITS:
        return _OWN_UNITS[column]
    unit = unit_of(column)
    return f"{label_of(column.rpartition('_')[0])} ({unit})" if unit else label_of(column)


def _words(part: str) -> str:
    return " ".join(_SPELT.get(word, word) for word in part.split("_"))
