"""`--trace` and what goes with it: options, checks before the work, and the file after it."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli import output
from accelsim.cli.written import check_place
from accelsim.errors import UserError

if TYPE_CHECKING:
    from accelsim.config.trace import Sampling
    from accelsim.results.timeline import Timeline

File = Annotated[
    Path | None,
    typer.Option(
        "--trace",
        metavar="FILE.pftrace",
        show_default=False,
        help="Write a timeline, which opens in ui.perfetto.dev.",
    ),
]
Sms = Annotated[
    str | None,
    typer.Option(
        "--trace-sms",
        metavar="N",
        show_default=False,
        help="SMs whose thread blocks it shows, or all; left out, 4, spread evenly.",
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--trace-limit",
        metavar="N",
        show_default=False,
        help="Slices that it holds at most; left out, 200000. What comes later is left out and counted.",
    ),
]
_SUFFIXES = (".pftrace", ".perfetto-trace")


def sampling(file: Path | None, sms: str | None, limit: int | None, option: str = "--trace") -> "Sampling | None":
    """What a timeline is to hold, None without one.

    Raises
    ------
    UserError
        When the file cannot be written, a number is not allowed, or there are details of a timeline and no file.
    """
    if file is None:
        if sms is not None or limit is not None:
            given = "--trace-limit" if sms is None else "--trace-sms"
            raise UserError(f"{given} is about a timeline; name its file, as in {option} run.pftrace")
        return None
    _check(file, option)
    from accelsim.config.trace import DEFAULT_LIMIT, DEFAULT_SMS, Sampling

    shown = DEFAULT_SMS if sms is None else None if sms == "all" else _number(sms)
    return Sampling(shown, DEFAULT_LIMIT if limit is None else limit)


def write(file: Path | None, timelines: "Iterable[Timeline | None]", quiet: bool) -> None:
    """Write timelines, one group of tracks for each, and tell what the file holds; nothing without a file."""
    if file is None:
        return
    from accelsim.results.timeline import join
    from accelsim.show.trace import write_trace

    timeline = join(part for part in timelines if part is not None)
    write_trace(timeline, file)
    if not quiet:
        left = f", {timeline.left_out:,} more left out" if timeline.left_out else ""
        output.message(f"wrote {file}: {timeline.slices:,} slices{left}; open it in https://ui.perfetto.dev")
        for note in timeline.notes:
            output.message(f"note: {note}")


def _check(file: Path, option: str) -> None:
    if file.suffix not in _SUFFIXES:
        raise UserError(f"{option} {file}: a timeline is a Perfetto trace; name it {file.with_suffix(_SUFFIXES[0])}")
    check_place(file, option)


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UserError(f"--trace-sms {text}: needs a whole number, or all") from None
