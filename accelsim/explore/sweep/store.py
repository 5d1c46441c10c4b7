"""The folder of a sweep: an SQLite database with a row for each finished point.

A row is written whole or not at all, whenever the process is killed (write-ahead log, one transaction for the points
that came back together). One process at a time keeps points in a folder: it holds a lock, which the system drops when
the process ends however it ends. Others may read meanwhile.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import overload

from accelsim.errors import ResultError
from accelsim.explore.sweep.points import INTERNAL, Point, Record
from accelsim.explore.sweep.tables import write_file
from accelsim.results.store import json_text

FORMAT = 1
"""Version of the tables."""

_APPLICATION = 0x61535750
"""Marks the database as a sweep's."""

POINTS, LOCK, IDENTITY = "points.sqlite", "points.lock", "sweep.json"
TABLES = ("points.csv", "points.parquet", "sweep.png", "sweep.svg", "accuracy.png", "accuracy.svg")
_OURS = {POINTS, f"{POINTS}-wal", f"{POINTS}-shm", f"{POINTS}-journal", LOCK, f"{LOCK}-journal"}
_OURS |= {*TABLES, IDENTITY, *(f".{name}.tmp" for name in (*TABLES, IDENTITY))}
_BEFORE = "points.jsonl"

_SCHEMA = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE points (key TEXT PRIMARY KEY, position INTEGER NOT NULL UNIQUE, failed INTEGER NOT NULL, "
    "latency_us REAL, record TEXT NOT NULL) WITHOUT ROWID",
)
_BATCH = 500
"""Rows that are asked for at once."""


class Store:
    """Records of a sweep's points. `open` one for a sweep; `read_store` for looking at what is there.

    As a context manager it closes, and gives up its lock, at the end.
    """

    def __init__(self, database: sqlite3.Connection, lock: sqlite3.Connection | None, path: Path | None) -> None:
        self._database = database
        self._lock = lock
        self.path = path
        """The folder; None when records are kept only while the process runs."""

    @classmethod
    def open(
        cls, path: Path | None, identity: Mapping[str, object], axes: Sequence[str] = (), what: str = "sweep"
    ) -> "Store":
        """The store of the sweep that `identity` describes, made if the folder is missing or empty.

        Parameters
        ----------
        path : Path or None
            The folder; None keeps records in a file that ends with the process.
        identity : mapping
            What makes the sweep this one and no other, as JSON holds it.
        axes : sequence of str
            Of the sweep.
        what : str
            What messages call it.

        Raises
        ------
        ResultError
            When the folder holds another sweep, one of another version or something else, is in use, damaged, or
            cannot be written. What is there stays as it is.
        """
        if path is None:
            store = cls(sqlite3.connect(""), None, None)
            store._begin(identity, axes, what)
            return store
        lock: sqlite3.Connection | None = None
        try:
            path.mkdir(parents=True, exist_ok=True)
            _refuse_foreign(path)
            lock = _locked(path, what)
            store = cls(_connected(path / POINTS), lock, path)
            store._begin(identity, axes, what)
            if not (path / IDENTITY).exists():
                write_file(path / IDENTITY, json_text(identity).encode())
        except (OSError, sqlite3.Error) as error:
            _close(lock)
            raise ResultError(f"cannot keep a {what} in {path}: {_reason(error)}") from error
        except ResultError:
            _close(lock)
            raise
        return store

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write the log into the database, so that one file holds all, and give up the lock."""
        if self._lock is not None:
            with contextlib.suppress(sqlite3.Error):  # someone reads: the log stays beside the database
                self._database.execute("PRAGMA busy_timeout = 0")
                self._database.execute("PRAGMA journal_mode = DELETE")
        _close(self._database)
        _close(self._lock)

    def _begin(self, identity: Mapping[str, object], axes: Sequence[str], what: str) -> None:
        """Make the tables, all in one transaction, or check that those there are of this sweep."""
        with _told(self):
            database = self._database
            ours = self.path is not None and _is_ours(database, self.path / POINTS)
            if self.path is not None and ours:
                _refuse_other(self.path, _meta(database, "identity"), identity, what)
            database.execute("PRAGMA journal_mode = WAL")
            # A row outlives the process; the last ones may be lost where the power fails, and nothing else.
            database.execute("PRAGMA synchronous = NORMAL")
            if ours:
                return
            database.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA:
                database.execute(statement)
            rows = [("identity", json_text(identity)), ("axes", json.dumps(list(axes)))]
            database.executemany("INSERT INTO meta VALUES (?, ?)", rows)
            database.execute(f"PRAGMA application_id = {_APPLICATION}")
            database.execute(f"PRAGMA user_version = {FORMAT}")
            database.commit()

    @property
    def axes(self) -> tuple[str, ...]:
        """Of the sweep."""
        return tuple(json.loads(_meta(self._database, "axes")))

    @property
    def identity(self) -> dict[str, object]:
        """What the sweep is."""
        found: dict[str, object] = json.loads(_meta(self._database, "identity"))
        return found

    def add(self, points: Iterable[Point], records: Iterable[Record]) -> None:
        """Record finished points, all of them or none; they outlive the process when this returns.

        Raises
        ------
        ResultError
            When they cannot be written, as on a full disk. Points that were recorded before stay.
        """
        rows = [
            (point.key, point.position, record["error"] is not None, record.get("latency_us"), _text(record))
            for point, record in zip(points, records, strict=True)
        ]
        with _told(self):
            try:
                self._database.execute("BEGIN IMMEDIATE")
                self._database.executemany("INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?, ?)", rows)
                self._database.commit()
            except sqlite3.Error:
                self._database.rollback()
                raise

    def done(self, keys: Sequence[str]) -> set[str]:
        """Keys of points that need not run again: all but those that ended with a mistake of ours."""
        return {key for (key,) in self._of_done("key", keys)}

    def found(self, keys: Sequence[str]) -> dict[str, Record]:
        """Records of the points that `done` names, by key."""
        return {key: json.loads(record) for key, record in self._of_done("key, record", keys)}

    def _of_done(self, columns: str, keys: Sequence[str]) -> Iterator[tuple[str, ...]]:
        for begin in range(0, len(keys), _BATCH):
            part = keys[begin : begin + _BATCH]
            marks = ", ".join("?" * len(part))
            query = f"SELECT {columns} FROM points WHERE key IN ({marks}) AND NOT {_OURS_TO_MEND}"
            yield from self._database.execute(query, part).fetchall()

    def finished(self) -> int:
        """Number of points that need not run again."""
        return self._count(f"SELECT COUNT(*) FROM points WHERE NOT {_OURS_TO_MEND}")

    def failed(self) -> int:
        """Number of points that have an error."""
        return self._count("SELECT COUNT(*) FROM points WHERE failed")

    def best(self) -> Record | None:
        """The fastest point so far."""
        query = "SELECT record FROM points WHERE latency_us IS NOT NULL ORDER BY latency_us, position LIMIT 1"
        row = self._database.execute(query).fetchone()
        return None if row is None else json.loads(row[0])

    def records(self) -> "StoredRecords":
        """Every record, in the sweep's order."""
        return StoredRecords(self)

    def _count(self, query: str) -> int:
        return int(self._database.execute(query).fetchone()[0])


_OURS_TO_MEND = f"(failed AND json_extract(record, '$.error') LIKE '{INTERNAL}%')"


class StoredRecords(Sequence[Record]):
    """Records of a store, read as they are asked for, so that a million of them need no memory."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __len__(self) -> int:
        return self._store._count("SELECT COUNT(*) FROM points")

    def __iter__(self) -> Iterator[Record]:
        last = -1
        while True:  # in pieces, since an open query would keep the log from being taken in
            rows = self._store._database.execute(
                "SELECT position, record FROM points WHERE position > ? ORDER BY position LIMIT ?", (last, _BATCH)
            ).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            yield from (json.loads(text) for _, text in rows)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        wanted = range(len(self))[index]
        if isinstance(wanted, range):
            return [self[one] for one in wanted]
        query = "SELECT record FROM points ORDER BY position LIMIT 1 OFFSET ?"
        found: Record = json.loads(self._store._database.execute(query, (wanted,)).fetchone()[0])
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return False
        return all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


def read_store(folder: Path) -> Store:
    """The store of a folder, to be read; a sweep may be writing to it.

    Raises
    ------
    ResultError
        When the folder holds no sweep, one of another version, or is damaged.
    """
    path = folder / POINTS
    if not path.is_file():
        before = f", but one of an older accelsim ({_BEFORE})" if (folder / _BEFORE).exists() else ""
        raise ResultError(f"{folder} holds no sweep{before}; accelsim sweep --out makes one ({POINTS} is missing)")
    try:
        store = Store(_connected(path), None, folder)
        if not _is_ours(store._database, path):
            raise ResultError(f"{path} is empty: its sweep was stopped before it began")
    except sqlite3.Error as error:
        raise ResultError(f"{path}: cannot be read as a sweep ({error})") from error
    return store


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=30, isolation_level=None)


def _locked(path: Path, what: str) -> sqlite3.Connection:
    """A lock on the folder: an exclusive transaction on a database that stays empty."""
    lock = sqlite3.connect(path / LOCK, timeout=0, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        if "locked" in str(error):
            raise ResultError(f"another {what} is running in {path}; wait for it, or name another folder") from None
        raise
    return lock


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        connection.close()


def _is_ours(database: sqlite3.Connection, path: Path) -> bool:
    """Whether a database holds a sweep of this version; False for an empty one.

    Raises
    ------
    ResultError
        For anything else.
    """
    try:
        application = database.execute("PRAGMA application_id").fetchone()[0]
        form = database.execute("PRAGMA user_version").fetchone()[0]
        tables = database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise ResultError(f"{path}: cannot be read as a sweep ({error}); it stays as it is") from error
    if not tables:
        return False
    if application != _APPLICATION:
        raise ResultError(f"{path} is a database of something else; name another folder")
    if form != FORMAT:
        raise ResultError(f"{path}: format {form}; this accelsim keeps sweeps in format {FORMAT}; name another folder")
    return True


def _meta(database: sqlite3.Connection, key: str) -> str:
    return str(database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0])


def _refuse_foreign(path: Path) -> None:
    found = {entry.name for entry in path.iterdir()}
    if _BEFORE in found:
        raise ResultError(f"{path} holds a sweep of an older accelsim ({_BEFORE}); name another folder")
    if found - _OURS:
        raise ResultError(
            f"{path} holds something else ({sorted(found - _OURS)[0]}); name another folder or empty this one"
        )


def _refuse_other(path: Path, found: str, identity: Mapping[str, object], what: str) -> None:
    """Raise unless the identity in the store is the wanted one; the version comes first, since it changes much."""
    held, wanted = json.loads(found), json.loads(json_text(identity))
    if held == wanted:
        return
    if held.get("accelsim") != wanted.get("accelsim"):
        raise ResultError(
            f"{path} holds a {what} of accelsim {held.get('accelsim')}, and this is {wanted.get('accelsim')}, whose "
            "results may differ; name another folder"
        )
    differing = [key for key in sorted(set(held) | set(wanted)) if held.get(key) != wanted.get(key)]
    if differing == ["content"]:
        raise ResultError(f"{path} holds results of files that have changed since; name another folder")
    raise ResultError(f"{path} holds another {what} ({', '.join(differing)} differ); name another folder")


@contextlib.contextmanager
def _told(store: Store) -> Iterator[None]:
    """SQLite's errors as errors of ours."""
    try:
        yield
    except sqlite3.Error as error:
        where = store.path or "a temporary file"
        raise ResultError(
            f"cannot record points in {where}: {_reason(error)}; points recorded before are kept, and the same command "
            "goes on from them"
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return str(error.strerror)
    return "the disk is full" if "full" in str(error) else str(error)


def _text(record: Record) -> str:
    return json.dumps(record, ensure_ascii=False, allow_nan=False)
