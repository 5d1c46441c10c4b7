"""Tables of a sweep's records: a frame, and CSV and Parquet files that are written piece by piece."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import pandas as pd

from accelsim.results.tables import csv_text

_PIECE = 5_000
"""Rows that are in memory at once."""


def frame_of(records: Iterable[Mapping[str, object]], axes: Sequence[str]) -> pd.DataFrame:
    """A row for each record: axes first, then `error`, then the rest. Whole numbers stay whole where points failed."""
    records = list(records)
    return _frame(records, column_types(records, axes))


def column_types(records: Iterable[Mapping[str, object]], axes: Sequence[str]) -> dict[str, str]:
    """Type of every column, in order: boolean, Int64, float64 or str, which mixed ones become."""
    kinds: dict[str, set[type]] = {name: set() for name in (*axes, "error")}
    for record in records:
        for name, value in record.items():
            held = kinds.setdefault(name, set())
            if value is not None:
                held.add(type(value))
    return {name: _type(found) for name, found in kinds.items()}


def _type(kinds: set[type]) -> str:
    if kinds == {bool}:
        return "boolean"
    if kinds == {int}:
        return "Int64"
    return "float64" if kinds and kinds <= {int, float} else "str"


def _frame(records: Sequence[Mapping[str, object]], types: Mapping[str, str]) -> pd.DataFrame:
    columns = {name: [record.get(name) for record in records] for name in types}
    return pd.DataFrame({name: _column(columns[name], kind) for name, kind in types.items()})


def _column(values: Sequence[object], kind: str) -> pd.Series:
    if kind == "str":
        values = [None if value is None else str(value) for value in values]
    return pd.Series(values, dtype=kind)


def write_tables(folder: Path, records: Iterable[Mapping[str, object]], axes: Sequence[str]) -> None:
    """Write `points.csv` and `points.parquet`; each takes its name once it is whole.

    Parameters
    ----------
    folder : Path
    records : iterable of mapping
        Gone through twice: for the types of the columns, and for the rows.
    axes : sequence of str
        First columns.
    """
    import pyarrow as pa
    from pyarrow import parquet

    types = column_types(records, axes)
    csv, columnar = folder / ".points.csv.tmp", folder / ".points.parquet.tmp"
    schema = pa.Table.from_pandas(_frame([], types), preserve_index=False).schema
    with (
        csv.open("w", encoding="utf-8", newline="") as lines,
        parquet.ParquetWriter(columnar, schema, compression="zstd") as writer,
    ):
        for index, piece in enumerate(_pieces(records)):
            frame = _frame(piece, types)
            text = csv_text(frame)
            lines.write(text if index == 0 else text.split("\n", 1)[1])
            writer.write_table(pa.Table.from_pandas(frame, schema=schema, preserve_index=False))
    os.replace(csv, folder / "points.csv")
    os.replace(columnar, folder / "points.parquet")


def _pieces(records: Iterable[Mapping[str, object]]) -> Iterator[list[Mapping[str, object]]]:
    rows = iter(records)
    while piece := list(islice(rows, _PIECE)):
        yield piece


def write_file(path: Path, content: bytes) -> None:
    """Write a file that takes its name once it is whole."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)
