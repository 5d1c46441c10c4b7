"""What notebooks share: quick mode, where data lies, and how tables and figures are shown."""

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from IPython.display import Image, Markdown, display
from PIL import Image as Picture
from ruamel.yaml import YAML

from accelsim.show.style import figure_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

sys.path.append(str(ROOT / "docs"))  # pages and notebooks share how some tables are made

QUICK = bool(os.environ.get("ACCELSIM_NOTEBOOK_QUICK"))
"""Whether to do less: fewer points of a sweep, fewer rows of a table, the closed form in place of events."""

_DPI = 130
_COLOURS = 256
"""Of a picture in a notebook: figures have few, and a third of the bytes is left."""


def published(name: str) -> dict[str, Any]:
    """Published figures of a notebook, from ``data/NAME.yaml``, which cites each."""
    data: dict[str, Any] = YAML(typ="safe").load(HERE / "data" / f"{name}.yaml")
    return data


def measured(name: str) -> Path | None:
    """A public table of measurements in ``$ACCELSIM_DATA/measured`` (default ``../shared``); None where it is not.

    The tables are not part of the project. ``execute.py`` leaves a notebook that asks for them as it is committed
    where they are missing, so that a machine without them does not overwrite what they showed.
    """
    folder = Path(os.environ.get("ACCELSIM_DATA", ROOT.parent / "shared")) / "measured"
    path = folder / name
    return path if path.is_file() else None


def say(text: str) -> None:
    """Show computed text; Markdown."""
    display(Markdown(text))


def show(figure: "Figure", name: str) -> None:
    """Show a figure, and write it as NAME.svg and NAME.png to ``$ACCELSIM_NOTEBOOK_FIGURES`` where that is set."""
    picture = Picture.open(io.BytesIO(figure_bytes(figure, "png", dpi=_DPI))).convert("RGB")
    small = io.BytesIO()
    picture.quantize(_COLOURS, dither=Picture.Dither.NONE).save(small, "png", optimize=True)
    display(Image(small.getvalue(), width=round(96 * figure.get_figwidth())))
    folder = os.environ.get("ACCELSIM_NOTEBOOK_FIGURES")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for kind in ("svg", "png"):
            (Path(folder) / f"{name}.{kind}").write_bytes(figure_bytes(figure, kind))


def off(ours: float, theirs: float) -> str:
    """How far ours is from theirs, as ``+3.1 %``."""
    return f"{100 * (ours / theirs - 1):+.1f} %"


def spread(values: Sequence[float] | np.ndarray, digits: int = 2) -> str:
    """Smallest and largest of some values, as ``1.20 to 3.40``; one value alone where they agree."""
    ends = [f"{value:.{digits}f}" for value in (np.min(values), np.max(values))]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)
