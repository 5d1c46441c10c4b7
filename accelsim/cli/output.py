"""What commands print: documents and tables on standard output, messages on standard error."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import typer

from accelsim.numerals import amount, count, percent

__all__ = ["Column", "amount", "count", "document", "lines", "message", "percent", "pieces", "table"]

_WRAPPED = 24
"""Characters that a column which may wrap needs at least."""


@dataclass(frozen=True)
class Column:
    """Heading of a table's column."""

    title: str
    number: bool = False
    """Aligned to the right."""


def message(text: str) -> None:
    """A plain line on standard error."""
    typer.echo(text, err=True)


def document(text: str) -> None:
    """The one JSON document of a command that was asked for it."""
    typer.echo(text, nl=not text.endswith("\n"))


def pieces(texts: Iterable[str]) -> None:
    """A document that comes in pieces, since the whole may be large."""
    for text in texts:
        typer.echo(text, nl=False)


def table(title: str, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn with rich on a terminal, aligned text elsewhere."""
    if sys.stdout.isatty():
        _rich_table(title, columns, rows)
        return
    widths = [max(len(cell) for cell in cells) for cells in zip([c.title for c in columns], *rows, strict=True)]
    typer.echo(title)
    for row in [[column.title for column in columns], ["-" * width for width in widths], *rows]:
        cells = zip(row, widths, columns, strict=True)
        typer.echo(
            "  ".join(
                cell.rjust(width) if column.number else cell.ljust(width) for cell, width, column in cells
            ).rstrip()
        )
    typer.echo("")


def lines(texts: Sequence[str]) -> None:
    """Notes under a table."""
    for text in texts:
        typer.echo(text)


def _rich_table(title: str, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Only a last column of text may wrap; on a narrow terminal the table runs over rather than lose cells."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 0, 0, 1), pad_edge=False)
    needed = 0
    for index, column in enumerate(columns):
        wraps = index == len(columns) - 1 and not column.number
        heading = column.title.replace(" ", "\n") if column.number else column.title
        cells = [*heading.split("\n"), *(row[index] for row in rows)]
        longest = max(map(len, cells))
        width = min(_WRAPPED, longest) if wraps else longest
        needed += width + 2
        justify: Literal["left", "right"] = "right" if column.number else "left"
        drawn.add_column(heading, justify=justify, no_wrap=not wraps, overflow="fold", min_width=width)
    for row in rows:
        drawn.add_row(*map(Text, row))
    console = Console()
    if needed > console.width:
        console = Console(width=needed)
    console.print(Text(title, style="bold"))
    console.print(drawn)
    console.print()
