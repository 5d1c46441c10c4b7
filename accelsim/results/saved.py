"""Results from the folders that commands save: of a run, of a comparison, or of a finished sweep."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from accelsim.errors import ResultError
from accelsim.results.result import Result
from accelsim.results.store import MANIFEST, read_folder
from accelsim.results.tables import records

_RUN, _COMPARISON = "result.json", "comparison.json"
_SWEEP, _POINTS = "sweep.json", "points.parquet"


@dataclass(frozen=True)
class SavedSweep:
    """A finished sweep, as its folder tells it."""

    identity: dict[str, object]
    """What the sweep was of; empty where the folder does not say."""
    axes: tuple[str, ...]
    points: tuple[dict[str, object], ...]
    """For each point the value of every axis, `error`, and the summary of its run."""


def is_sweep(folder: str | Path) -> bool:
    """Whether a folder holds a sweep, finished or not."""
    return any((Path(folder) / name).exists() for name in (_SWEEP, _POINTS, "points.jsonl", "points.sqlite"))


def is_finished_sweep(folder: str | Path) -> bool:
    """Whether a folder holds a sweep's table of points."""
    return (Path(folder) / _POINTS).is_file()


def load_sweep(folder: str | Path) -> SavedSweep:
    """The points of a finished sweep.

    Raises
    ------
    ResultError
        When the folder holds no table of points, or one that cannot be read.
    """
    path, described = Path(folder) / _POINTS, Path(folder) / _SWEEP
    if not is_finished_sweep(folder):
        raise ResultError(
            f"{folder} has no {_POINTS}, which a sweep writes at its end; run the sweep again to finish it"
        )
    try:
        frame = pd.read_parquet(path)
        identity = json.loads(described.read_text(encoding="utf-8")) if described.is_file() else {}
    except (OSError, ValueError) as error:
        raise ResultError(f"{folder}: cannot be read as a sweep ({error})") from error
    columns = [str(column) for column in frame.columns]
    if "error" not in columns or not isinstance(identity, dict):
        raise ResultError(f"{folder}: cannot be read as a sweep (its table has no column error)")
    return SavedSweep(identity, tuple(columns[: columns.index("error")]), tuple(records(frame)))


def load_results(folder: str | Path) -> dict[str, Result]:
    """Results of a folder by scheme: one where a run was saved, several where a comparison was.

    A folder that holds one such folder, and no more, stands for it.

    Raises
    ------
    ResultError
        When the folder is missing, damaged or holds neither; several that lie below it are named.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ResultError(f"{folder}: no such folder of results")
    if not (folder / MANIFEST).is_file():
        below = sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))
        if len(below) == 1:  # what a run saves lies below the folder that was named for it
            return load_results(below[0])
        hint = f"; below it are {', '.join(path.name for path in below)}" if below else ""
        raise ResultError(f"{folder} holds no result of a run or comparison{hint}")
    files = read_folder(folder)
    if _RUN in files:
        result = Result.from_files(files, folder)
        return {result.scheme: result}
    if _COMPARISON in files:
        return {scheme: Result.from_files(_below(files, scheme), folder / scheme) for scheme in _schemes(files)}
    raise ResultError(f"{folder} holds no result of a run or comparison")


def load_one(folder: str | Path, scheme: str | None = None) -> Result:
    """The result of a run's folder, or that of `scheme` in a comparison's.

    Raises
    ------
    ResultError
        As for `load_results`; when `scheme` is not among the results, or needed to choose.
    """
    found = load_results(folder)
    if scheme is None and len(found) == 1:
        return next(iter(found.values()))
    if scheme in found:
        return found[scheme]
    asked = "name a scheme" if scheme is None else f"there is no {scheme}"
    raise ResultError(f"{folder}: {asked}; it holds {', '.join(found)}")


def _schemes(files: Mapping[str, bytes]) -> list[str]:
    """Schemes of a comparison in the order of its table."""
    document = json.loads(files[_COMPARISON])
    return [str(entry["scheme"]) for entry in document["schemes"]]


def _below(files: Mapping[str, bytes], scheme: str) -> dict[str, bytes]:
    prefix = f"{scheme}/"
    return {name.removeprefix(prefix): content for name, content in files.items() if name.startswith(prefix)}
