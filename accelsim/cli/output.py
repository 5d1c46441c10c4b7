"""What commands print: documents and tables on standard output, messages on standard error."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import typer

from accelsim.numerals import amount, count, percent

__all__ = ["Column", "amount", "count", "document", "lines", "message", "percent", "pieces", "table"]


@dataclass(frozen=True)
class Column:
    """Heading of a table's column."""

    title: str
    number: bool = False
    """Aligned to the right."""


def message(text: str) -> None:
    """A plain line on standard error; on a terminal folded at spaces, since names that are allowed may be many."""
    if sys.stderr.isatty():
        import shutil
        import textwrap

        width = shutil.get_terminal_size().columns
        text = "\n".join(
            textwrap.fill(line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
            for line in text.splitlines()
        )
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
        from accelsim.cli.terminal import draw_table

        draw_table(title, columns, rows)
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
    """Notes under a table: folded on a terminal, a line each elsewhere."""
    if sys.stdout.isatty():
        from accelsim.cli.terminal import draw_lines

        draw_lines(texts)
        return
    for text in texts:
        typer.echo(text)
