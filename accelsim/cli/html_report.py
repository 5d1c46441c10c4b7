"""`accelsim report`."""

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from accelsim.cli import options, output
from accelsim.cli.progress import Progress
from accelsim.cli.written import check_place
from accelsim.errors import ResultError, UserError

_OTHERS = {
    "breakeven.json": "breakeven",
    "explain.json": "explain",
    "watch.json": "watch",
    "predictions.csv": "validate",
    "report.json": "prune",
}
"""By a file of their folders, commands whose figures lie beside it and that have no page."""
_HEAD = 2000
"""Characters of a page in which it says what wrote it."""


def report(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="Folder that run, compare, sweep, tradeoff, serve, study, tune or attention compare saved.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE.html", help="Page to write; an earlier report is replaced.")
    ] = Path("report.html"),
    title: Annotated[
        str | None, typer.Option(metavar="TEXT", show_default=False, help="Title in place of the names in the results.")
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """One page for what another command saved: figures, tables and config, opened in a browser without a network."""
    _check(out)
    with Progress(quiet, "drawing"):
        text = _page(folder, title)
    _write(out, text)
    if not quiet:
        output.message(f"saved {out} ({len(text.encode()) / 1e6:.2g} MB)")


def _page(folder: Path, title: str | None) -> str:
    from accelsim.results.saved import is_sweep, load_results
    from accelsim.show.report import DOCUMENTS, comparison_report, document_report, run_report, sweep_report

    if folder.is_file():
        raise ResultError(f"{folder} is a file; name the folder that a command saved to with --out")
    if is_sweep(folder):
        from accelsim.explore.sweep import read_results

        run = read_results(folder)
        if not len(run.records):
            raise ResultError(f"{folder}: no point of its sweep is recorded yet")
        return sweep_report(run.name, run.axes, run.to_frame(), _document(folder / "sweep.json"), title)
    kind = next((name for name in DOCUMENTS if (folder / f"{name}.json").is_file()), None)
    if kind is not None:
        document = _verified(folder, kind)
        try:
            return document_report(kind, document, title)
        except KeyError as error:  # only of a folder without hashes, in which anyone may have written
            raise ResultError(f"{folder / kind}.json: lacks {error}; run accelsim {kind} again") from error
    _refuse_others(folder)
    results = load_results(folder)
    found = _comparison(folder)
    if found is None:
        return run_report(next(iter(results.values())), title)
    return comparison_report(results, found, title)


def _verified(folder: Path, kind: str) -> dict[str, Any]:
    """A document of a folder of results, whose files are as they were written and of our version."""
    from accelsim.results.schema import SCHEMA_VERSION
    from accelsim.results.store import read_folder

    if kind != "tune":  # its folder grows while it searches, and so has no list of files
        read_folder(folder)
    found = _document(folder / f"{kind}.json")
    if found.get("schema_version") != SCHEMA_VERSION:
        where, version = folder / f"{kind}.json", found.get("schema_version")
        raise ResultError(f"{where}: format {version}; this accelsim reads {SCHEMA_VERSION}")
    return found


def _refuse_others(folder: Path) -> None:
    """Say of a folder that another command saved what it is and which have pages."""
    saved_by = next((command for name, command in _OTHERS.items() if (folder / name).is_file()), None)
    if saved_by is not None:
        raise ResultError(
            f"{folder} was saved by accelsim {saved_by}, which has no page; its figures lie in the folder"
        )
    if (folder / "evaluations").is_dir():
        raise ResultError(f"{folder} holds a search that has not ended; run accelsim tune again to go on")


def _comparison(folder: Path) -> dict[str, Any] | None:
    """The document of a comparison's folder, which may lie one below; None where a run lies there."""
    places = [folder / "comparison.json", *folder.glob("*/comparison.json")]
    path = next((place for place in places if place.is_file()), None)
    return None if path is None else _document(path)


def _document(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultError(f"{path}: cannot be read ({error})") from error
    if not isinstance(found, dict):
        raise ResultError(f"{path}: holds no document of accelsim")
    return found


def _check(out: Path) -> None:
    """Refuse, before the work, a path that the page cannot or should not be written to."""
    check_place(out)
    if out.exists() and not _is_report(out):
        raise UserError(f"{out}: exists and is no report of accelsim; name another file, or remove this one")


def _is_report(path: Path) -> bool:
    """Whether a file is a page that we wrote, or empty."""
    from accelsim.show.report.page import GENERATOR

    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            head = lines.read(_HEAD)
    except OSError:
        return False
    return not head or f'name="generator" content="{GENERATOR}' in head


def _write(out: Path, text: str) -> None:
    """Write a page that takes its name once it is whole."""
    handle, temporary = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, out)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
