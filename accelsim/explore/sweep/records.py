"""The folder of a sweep: a line for each finished point, and the tables and figure at the end."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from accelsim.errors import ResultError
from accelsim.results.store import json_text
from accelsim.results.tables import csv_text, parquet_bytes

Record = dict[str, bool | int | float | str | None]

_IDENTITY, _LINES = "sweep.json", "points.jsonl"
_OURS = {_IDENTITY, _LINES, "points.csv", "points.parquet", "sweep.png", "sweep.svg"}


@dataclass(frozen=True)
class SweepFolder:
    """Where a sweep's points are kept. Every point is on disk before the next is recorded."""

    path: Path

    @classmethod
    def open(cls, path: Path, identity: Mapping[str, object]) -> "SweepFolder":
        """The folder of the sweep that `identity` describes, made if it is missing or empty.

        Raises
        ------
        ResultError
            When it holds another sweep or something else, or cannot be written.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            found = {entry.name for entry in path.iterdir()} - {_temporary(name) for name in _OURS}
            if not found:
                _write(path / _IDENTITY, json_text(identity).encode())
                return cls(path)
        except OSError as error:
            raise ResultError(f"cannot keep a sweep in {path}: {error.strerror}") from error
        if _IDENTITY not in found or found - _OURS:
            other = sorted(found - _OURS or found)[0]
            raise ResultError(f"{path} holds something else ({other}); name another folder or empty this one")
        _refuse_other(path / _IDENTITY, identity)
        return cls(path)

    def read(self) -> dict[str, Record]:
        """Recorded points by key; the later of two records counts. A last line that was cut off is dropped.

        Raises
        ------
        ResultError
            For a line that is no record, with its number.
        """
        path = self.path / _LINES
        if not path.exists():
            return {}
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            _write(path, whole)
        records: dict[str, Record] = {}
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                entry = json.loads(line)
                records[str(entry["key"])] = dict(entry["record"], error=entry["record"]["error"])
            except (ValueError, KeyError, TypeError) as error:
                raise ResultError(f"{path}:{number}: is no record of a point; mend or remove the line") from error
        return records

    def append(self, key: str, record: Record) -> None:
        """Record a point; it is on disk when this returns."""
        line = json.dumps({"key": key, "record": record}, ensure_ascii=False, allow_nan=False)
        with (self.path / _LINES).open("a", encoding="utf-8") as lines:
            lines.write(f"{line}\n")
            lines.flush()
            os.fsync(lines.fileno())

    def finish(self, frame: pd.DataFrame, figures: Mapping[str, bytes] | None = None) -> None:
        """Write the tables of all points, and figures by file name."""
        files = {"points.csv": csv_text(frame).encode(), "points.parquet": parquet_bytes(frame), **(figures or {})}
        for name, content in files.items():
            _write(self.path / name, content)


def frame_of(records: Iterable[Mapping[str, object]], axes: Sequence[str]) -> pd.DataFrame:
    """A row for each record: axes first, then `error`, then the rest. Whole numbers stay whole where points failed."""
    records = list(records)
    rest = dict.fromkeys(key for record in records for key in record)
    columns = dict.fromkeys([*axes, "error", *rest])
    return pd.DataFrame({name: _column([record.get(name) for record in records]) for name in columns})


def _column(values: Sequence[object]) -> pd.Series:
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, bool) for value in present):
        return pd.Series(values, dtype="boolean")
    if present and all(isinstance(value, int) and not isinstance(value, bool) for value in present):
        return pd.Series(values, dtype="Int64")
    if present and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in present):
        return pd.Series(values, dtype="float64")
    return pd.Series([None if value is None else str(value) for value in values], dtype="str")


def _temporary(name: str) -> str:
    """Name under which a file is written before it takes its own; an interrupt may leave one behind."""
    return f".{name}.tmp"


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(_temporary(path.name))
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _refuse_other(path: Path, identity: Mapping[str, object]) -> None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultError(f"{path}: cannot be read as a sweep; name another folder") from error
    wanted = json.loads(json_text(identity))
    if found != wanted:
        keys = sorted(set(found) | set(wanted)) if isinstance(found, dict) else []
        differing = [key for key in keys if found.get(key) != wanted.get(key)]
        raise ResultError(f"{path.parent} holds another sweep ({', '.join(differing)} differ); name another folder")
