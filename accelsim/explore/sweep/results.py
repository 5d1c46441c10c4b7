"""A sweep's outcome: its records, as a table and as JSON, of a run or of a folder."""

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from accelsim.explore.sweep.points import Record
from accelsim.explore.sweep.store import POINTS, read_store
from accelsim.explore.sweep.tables import frame_of
from accelsim.results.saved import SavedSweep, is_finished_sweep, load_sweep
from accelsim.results.schema import SCHEMA_VERSION


@dataclass(frozen=True)
class SweepRun:
    """A sweep's outcome."""

    name: str
    axes: tuple[str, ...]
    records: Sequence[Record]
    """For each point the value of every axis, `error` (None if it went well), `config_hash`, and the summary."""

    @property
    def failed(self) -> tuple[Record, ...]:
        """Points that have an error."""
        return tuple(record for record in self.records if record["error"] is not None)

    def to_frame(self) -> pd.DataFrame:
        """A row for each point, axes first."""
        return frame_of(self.records, self.axes)

    def document(self) -> dict[str, object]:
        """The sweep as a JSON document (`accelsim.results.schema.SWEEP_SCHEMA`)."""
        return {**self._head(), "points": list(self.records)}

    def json_pieces(self) -> Iterator[str]:
        """`document` as text, piece by piece."""
        head = json.dumps(self._head(), indent=2, ensure_ascii=False, allow_nan=False)
        yield head.removesuffix("\n}") + ',\n  "points": ['
        separator = "\n"
        for record in self.records:
            text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
            yield separator + textwrap.indent(text, "    ")
            separator = ",\n"
        yield "]\n}\n" if separator == "\n" else "\n  ]\n}\n"

    def to_json(self) -> str:
        """`document` as text."""
        return "".join(self.json_pieces())

    def _head(self) -> dict[str, object]:
        return {"schema_version": SCHEMA_VERSION, "sweep": self.name, "axes": list(self.axes)}


def read_results(folder: str | Path) -> SweepRun:
    """The points that a sweep has recorded in a folder so far; it may still be running.

    Raises
    ------
    ResultError
        When the folder holds no sweep, one of another version, or is damaged.
    """
    store = read_store(Path(folder))
    return SweepRun(Path(folder).resolve().name, store.axes, store.records())


def saved_sweeps(*folders: str | Path) -> tuple[SavedSweep, ...]:
    """Sweeps to be compared: from their databases, finished or not, or from their tables where those are all there is.

    All are read from the same kind of file if they can be, since a table holds an axis of texts and numbers as texts.

    Raises
    ------
    ResultError
        When a folder holds neither, or something damaged.
    """
    stored = [(Path(folder) / POINTS).is_file() for folder in folders]
    if not all(stored) and all(map(is_finished_sweep, folders)):
        stored = [False] * len(folders)
    pairs = zip(folders, stored, strict=True)
    return tuple(_recorded(Path(folder)) if here else load_sweep(folder) for folder, here in pairs)


def _recorded(folder: Path) -> SavedSweep:
    with read_store(folder) as store:
        return SavedSweep(store.identity, store.axes, tuple(map(dict, store.records())))
