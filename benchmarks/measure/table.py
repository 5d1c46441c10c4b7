"""The table of measurements: a CSV to which every finished row is appended at once."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path

from .errors import UsageError

COLUMNS = (
    *("dataset", "gpu", "dtype", "op", "batch", "m", "n", "k", "sparsity"),
    *("q_heads", "kv_heads", "head_dim", "q_len", "kv_len", "causal"),
    *("latency_us", "p10_us", "p90_us", "repeats", "sustained_us"),
    *("power_w", "clock_mhz", "memory_clock_mhz", "sustained_clock_mhz"),
    *("library", "op_a", "op_b", "order", "launch", "copies", "warm", "strategy", "granularity", "uneven"),
    *("tile_m", "tile_n", "tile_k", "stages"),
    *("driver", "torch", "notes"),
)

_SIZES = ("batch", "m", "n", "k", "sparsity", "q_heads", "kv_heads", "head_dim", "q_len", "kv_len", "causal")
_CONDITIONS = ("library", "op_a", "op_b", "order", "launch", "copies", "strategy", "granularity", "uneven")
KEY = ("gpu", "driver", "torch", "dtype", "op", *_SIZES, *_CONDITIONS)
"""Columns that make a row another measurement; two rows alike in all of them are one."""

_TOLD = {
    "library": "library={}",
    "op_a": "opA={}",
    "op_b": "opB={}",
    "order": "{}-major",
    "launch": "launch={}",
    "copies": "copies={}",
    "warm": "warm={}",
    "strategy": "strategy={}",
    "granularity": "G={}",
    "repeats": "median of {}",
}


def notes_of(cells: Mapping[str, str]) -> str:
    """The conditions of a row as text, for readers that know no other column."""
    return ";".join(form.format(cells[name]) for name, form in _TOLD.items() if cells.get(name))


def key_of(cells: Mapping[str, str]) -> tuple[str, ...]:
    """What makes a row another measurement than others."""
    return tuple(cells.get(name, "") for name in KEY)


class Table:
    """Rows of one file. Rows that are already there when it is opened count as done.

    Parameters
    ----------
    path : str or path-like
        Made with its header when it is missing or empty. A last line without its end, left by a run that was killed
        while it wrote, is cut off.

    Raises
    ------
    UsageError
        When the file has other columns, or cannot be read or written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._done = self._open()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{self.path}: {getattr(error, 'strerror', None) or error}; give another -o") from None

    def _open(self) -> set[tuple[str, ...]]:
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if not whole:
            if text and not ",".join(COLUMNS).startswith(text):
                raise UsageError(f"{self.path}: one line without an end, which is no table; give another -o")
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(_line(COLUMNS), encoding="utf-8")
            return set()
        reader = csv.DictReader(io.StringIO(whole))
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise UsageError(f"{self.path}: its columns are not those of this program; give another -o")
        done = {key_of(record) for record in reader}
        if whole != text:
            os.truncate(self.path, len(whole.encode()))
        return done

    def __len__(self) -> int:
        return len(self._done)

    def __contains__(self, cells: Mapping[str, str]) -> bool:
        return key_of(cells) in self._done

    def append(self, cells: Mapping[str, str]) -> None:
        """Write a row; it is on its way to the disk when this returns.

        Raises
        ------
        ValueError
            For a column that the table does not have.
        """
        unknown = sorted(set(cells) - set(COLUMNS))
        if unknown:
            raise ValueError(f"no column {', '.join(unknown)}")
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(_line([cells.get(name, "") for name in COLUMNS]))
        self._done.add(key_of(cells))


def _line(cells: tuple[str, ...] | list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()
