"""Tables and notes on a terminal: as wide as it is, with every cell whole."""

import os
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from accelsim.cli.output import Column

_WRAPPED = 24
"""Characters that a column which may wrap needs at least."""

_GAP = 2
"""Characters between columns."""


def console() -> Console:
    """Standard output as a terminal; plain where the environment asks for no colour."""
    return Console(color_system=None if os.environ.get("NO_COLOR") else "auto", highlight=False)


def draw_table(title: str, columns: Sequence["Column"], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; where it is too wide, in panels below one another that each begin with the first column.

    Only a last column of text may wrap. A terminal too narrow for two columns is run over rather than lose cells.
    """
    screen = console()
    headings, widths = _layout(columns, rows)
    screen.print(Text(title, style="bold"))
    for panel in panels(widths, screen.width):
        drawn = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 0, 0, 1), pad_edge=False)
        for index in panel:
            justify: Literal["left", "right"] = "right" if columns[index].number else "left"
            wraps = _wraps(columns, index)
            width = widths[index]
            drawn.add_column(headings[index], justify=justify, no_wrap=not wraps, overflow="fold", min_width=width)
        for row in rows:
            drawn.add_row(*(Text(row[index]) for index in panel))
        screen.print(drawn, width=max(screen.width, _needed(widths, panel)), crop=False, soft_wrap=False)
        screen.print()


def draw_lines(texts: Sequence[str]) -> None:
    """Print notes, folded at spaces; what follows a fold is indented, so that each note's beginning is seen."""
    width = console().width
    for text in texts:
        print(textwrap.fill(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False))


def panels(widths: Sequence[int], room: int) -> list[list[int]]:
    """Columns that stand side by side.

    Parameters
    ----------
    widths : sequence of int
        Of each column, in characters.
    room : int
        Width of the terminal.

    Returns
    -------
    list of list of int
        Numbers of the columns of each panel; the first column is in all of them.
    """
    found = [[0]] if widths else []
    for index in range(1, len(widths)):
        if len(found[-1]) > 1 and _needed(widths, [*found[-1], index]) > room:
            found.append([0])
        found[-1].append(index)
    return found


def _needed(widths: Sequence[int], panel: Sequence[int]) -> int:
    return sum(widths[index] + _GAP for index in panel) - _GAP


def _wraps(columns: Sequence["Column"], index: int) -> bool:
    return index == len(columns) - 1 and not columns[index].number


def _layout(columns: Sequence["Column"], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[int]]:
    """Headings, folded to about what their cells need, and widths."""
    headings, widths = [], []
    for index, column in enumerate(columns):
        cells = max((len(row[index]) for row in rows), default=0)
        longest = max(map(len, column.title.split()), default=0)
        room = max(cells, longest, 1)
        heading = textwrap.wrap(column.title, room, break_long_words=False, break_on_hyphens=False) or [""]
        width = max(cells, *map(len, heading))
        headings.append("\n".join(heading))
        widths.append(min(_WRAPPED, width) if _wraps(columns, index) else width)
    return headings, widths
