"""Tables that a reader can sort. The order of every column is worked out here, so the page's script only applies it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from accelsim.results.tables import plain
from accelsim.show.style import label_of

PAGE = 100
"""Rows that stand on the page; the script turns to further ones."""

Show = Callable[[object], str]


def label(value: object) -> str:
    """A name as a reader sees it (`accelsim.show.style.label_of`)."""
    return label_of(str(value))


@dataclass(frozen=True)
class Column:
    """A column: its heading with the unit, where its value is in a record, and how that is written."""

    title: str
    key: str
    show: Show = str
    number: bool = True


@dataclass(frozen=True)
class Table:
    """Rows of text with the rank of each cell in its column."""

    title: str
    columns: Sequence[Column]
    cells: Sequence[Sequence[str]]
    """Row by row."""
    ranks: Sequence[Sequence[int]]
    """Place of each cell when its column is sorted upwards, alike for equal values; -1 for what is missing."""
    note: str = ""
    kind: str = "table"

    @property
    def first(self) -> list[tuple[Sequence[str], str]]:
        """Rows of the first page, each with its ranks as the page holds them."""
        pairs = zip(self.cells[:PAGE], self.ranks[:PAGE], strict=True)
        return [(cells, " ".join(map(str, ranks))) for cells, ranks in pairs]

    @property
    def more(self) -> str:
        """All rows as JSON, column by column, where there are more than a page of them; otherwise empty.

        ``<`` is written as its code, so that nothing in it ends the element that holds it.
        """
        if len(self.cells) <= PAGE:
            return ""
        document = {
            "cells": [list(column) for column in zip(*self.cells, strict=True)],
            "ranks": [list(column) for column in zip(*self.ranks, strict=True)],
        }
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def table(title: str, columns: Sequence[Column], records: Sequence[dict[str, object]], note: str = "") -> Table:
    """A table of records.

    Parameters
    ----------
    title : str
    columns : sequence of Column
    records : sequence of dict
        A missing key, None and NaN are shown as a dash and come last in every order.
    note : str
        A sentence below it.
    """
    values = [[plain(record.get(column.key)) for record in records] for column in columns]
    shown = [
        ["-" if value is None else column.show(value) for value in some]
        for column, some in zip(columns, values, strict=True)
    ]
    ranks = [_ranks(some) for some in values]
    rows = range(len(records))
    return Table(
        title,
        columns,
        [[column[row] for column in shown] for row in rows],
        [[column[row] for column in ranks] for row in rows],
        note,
    )


def _ranks(values: Sequence[object]) -> list[int]:
    """Rank of each value among the distinct ones: numbers before texts; -1 for None."""
    keys = [None if value is None else _key(value) for value in values]
    order = {key: rank for rank, key in enumerate(sorted({key for key in keys if key is not None}))}
    return [-1 if key is None else order[key] for key in keys]


def _key(value: object) -> tuple[int, float, str]:
    if isinstance(value, (bool, int, float)):
        return 0, float(value), ""
    return 1, 0.0, str(value)
