"""What a run leaves behind: one frozen value with the summary, the tables, the output and where it all comes from."""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from accelsim.errors import ResultError
from accelsim.results.schema import INTERVAL, SCHEMA_VERSION, SUMMARY
from accelsim.results.store import json_text, npz_bytes, read_folder, write_folder
from accelsim.results.tables import OPTIONAL, REQUIRED, canonical, parquet_bytes, plain, records
from accelsim.results.timeline import Timeline

_DOCUMENT = "result.json"
_ARRAYS = "arrays.npz"
_MASK = "masks/"
_BULK = ("tiles",)
"""Tables that are saved and stand in no document."""


@dataclass(frozen=True, eq=False)
class Result:
    """Outcome of one run. `accelsim.results.tables.REQUIRED` names the columns of the tables.

    Raises
    ------
    ValueError
        When the summary lacks a key of `accelsim.results.schema.SUMMARY`, or a table a column.
    """

    summary: dict[str, object]
    """Scalars by name; a quantity's name ends in its unit. None for what does not apply."""
    kernels: pd.DataFrame
    """A row for each operation or kernel launch."""
    units: pd.DataFrame
    """A row for each unit: how busy it was."""
    account: pd.DataFrame
    """A row for each device and cause: where its time went; adds up to the whole."""
    energy: pd.DataFrame
    """A row for each component and action."""
    output: np.ndarray | None = None
    """The workload's output; None without values."""
    per_input: pd.DataFrame | None = None
    """A row for each input timed by itself; None unless that was asked for."""
    tiles: pd.DataFrame | None = None
    """A row for each cell of a grid over the output tiles of each product; None of older results."""
    masks: dict[str, np.ndarray] = field(default_factory=dict)
    """Which weights, blocks and heads were kept, by name."""
    timeline: Timeline | None = field(default=None, repr=False)
    """What ran when, if that was asked for; no part of what is saved (`accelsim.show.trace` writes it)."""
    provenance: dict[str, object] = field(default_factory=dict)
    """`config` (resolved, with its sources), `config_hash`, `seed`, `accelsim` (version); no times, so that equal runs
    are equal bytes."""

    def __post_init__(self) -> None:
        missing = [key for key in SUMMARY if key not in self.summary]
        if missing:
            raise ValueError(f"the summary lacks {', '.join(missing)}")
        object.__setattr__(self, "summary", plain({**self.summary, **{key: self.summary.get(key) for key in INTERVAL}}))
        object.__setattr__(self, "provenance", plain(self.provenance))
        for name in REQUIRED:
            object.__setattr__(self, name, canonical(name, getattr(self, name)))
        for name in self._optional():
            object.__setattr__(self, name, canonical(name, getattr(self, name)))

    @property
    def scheme(self) -> str:
        """Name of the scheme."""
        return str(self.summary["scheme"])

    def value(self, key: str) -> float:
        """Number under `key` of the summary, NaN where it is None.

        Raises
        ------
        KeyError
            For a key that the summary does not have.
        TypeError
            For a text.
        """
        entry = self.summary[key]
        if entry is None:
            return float("nan")
        if isinstance(entry, (int, float)):
            return float(entry)
        raise TypeError(f"{key} is {entry!r}, no number")

    def to_frame(self) -> pd.DataFrame:
        """The summary as a table of one row."""
        scalars = {key: entry for key, entry in self.summary.items() if not isinstance(entry, (list, dict))}
        return pd.DataFrame([scalars])

    def document(self) -> dict[str, object]:
        """The run as a JSON document (`accelsim.results.schema.RUN_SCHEMA`): the summary's keys at the top level."""
        names = ("account", "units", "energy", *(name for name in self._optional() if name not in _BULK))
        tables = {name: records(getattr(self, name)) for name in names}
        return {"schema_version": SCHEMA_VERSION, **self.summary, **tables, "provenance": self.provenance}

    def to_json(self) -> str:
        """`document` as text."""
        return json_text(self.document())

    def equals(self, other: "Result") -> bool:
        """Whether both hold the same numbers, texts, tables and arrays."""
        tables = (*REQUIRED, *self._optional())
        same_tables = self._optional() == other._optional() and all(
            getattr(self, name).equals(getattr(other, name)) for name in tables
        )
        mine, theirs = self._arrays(), other._arrays()
        return (
            same_tables
            and self.summary == other.summary
            and self.provenance == other.provenance
            and mine.keys() == theirs.keys()
            and all(_same_array(mine[name], theirs[name]) for name in mine)
        )

    def files(self) -> dict[str, bytes]:
        """What `save` writes, by file name: JSON, a Parquet file for each table, and the arrays as .npz."""
        document = {"schema_version": SCHEMA_VERSION, "summary": self.summary, "provenance": self.provenance}
        contents = {_DOCUMENT: json_text(document).encode()}
        contents |= {f"{name}.parquet": parquet_bytes(getattr(self, name)) for name in (*REQUIRED, *self._optional())}
        return contents | {_ARRAYS: npz_bytes(self._arrays())}

    def save(self, folder: str | Path) -> Path:
        """Write the result as a folder; an earlier result there is replaced, anything else refused.

        Raises
        ------
        ResultError
            When the folder holds something else or cannot be written.
        """
        write_folder(Path(folder), self.files())
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> "Result":
        """The result that `save` wrote to `folder`.

        Raises
        ------
        ResultError
            When the folder is missing, damaged, of another format, or holds no result.
        """
        folder = Path(folder)
        return cls.from_files(read_folder(folder), folder)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], where: Path) -> "Result":
        """The result whose `files` these are; `where` names them in errors."""
        missing = [
            name for name in (_DOCUMENT, _ARRAYS, *(f"{name}.parquet" for name in REQUIRED)) if name not in files
        ]
        if missing:
            raise ResultError(f"{where} holds no result: {missing[0]} is missing")
        try:
            document = json.loads(files[_DOCUMENT])
            version = document.get("schema_version")
            if version != SCHEMA_VERSION:
                raise ResultError(f"{where / _DOCUMENT}: format {version}; this accelsim reads {SCHEMA_VERSION}")
            tables = {
                name: pd.read_parquet(io.BytesIO(files[f"{name}.parquet"]))
                for name in (*REQUIRED, *OPTIONAL)
                if f"{name}.parquet" in files
            }
            arrays = _read_arrays(files[_ARRAYS])
            return cls(
                summary=document["summary"],
                provenance=document["provenance"],
                timeline=None,
                output=arrays.get("output"),
                masks={name.removeprefix(_MASK): array for name, array in arrays.items() if name.startswith(_MASK)},
                **tables,
            )
        except (ValueError, KeyError, AttributeError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise ResultError(f"{where}: cannot be read as a result ({error})") from error

    def _optional(self) -> list[str]:
        """Names of the tables of `OPTIONAL` that it has."""
        return [name for name in OPTIONAL if getattr(self, name) is not None]

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {f"{_MASK}{name}": np.asarray(mask) for name, mask in self.masks.items()}
        return arrays if self.output is None else arrays | {"output": np.asarray(self.output)}


def _read_arrays(content: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _same_array(left: np.ndarray, right: np.ndarray) -> bool:
    exact = left.dtype.kind in "fc"
    return left.dtype == right.dtype and bool(np.array_equal(left, right, equal_nan=exact))
