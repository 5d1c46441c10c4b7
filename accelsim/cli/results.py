"""`accelsim results`."""

from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli import options, output
from accelsim.cli.sweep import show_points
from accelsim.errors import UserError

_ROWS = 40


def results(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a sweep; it may still be running.")],
    sort: Annotated[
        str | None, typer.Option(metavar="KEY", show_default=False, help="As latency_us; left out, the sweep's order.")
    ] = None,
    descending: Annotated[bool, typer.Option("--descending", help="The largest first.")] = False,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="CONDITION",
            show_default=False,
            help="As 'latency_us < 100 and scheme = hdp', or 'error = null'.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, show_default=False, help=f"Points at most; a table has {_ROWS} unless told otherwise."),
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV and nothing else.")] = False,
    json: options.Json = False,
) -> None:
    """Points that a sweep has recorded, chosen and sorted."""
    from accelsim.config.names import near
    from accelsim.explore.sweep import SweepRun, read_results
    from accelsim.explore.sweep.select import keys_of, parse_where, select

    if csv and json:
        raise UserError("--csv and --json print one document each; give one of them")
    run = read_results(folder)
    known = keys_of(run.records) if where is not None or sort is not None else {}
    if sort is not None and sort not in known:
        raise UserError(f"--sort {sort}: no point has it; {near(sort, known)}")
    conditions = [] if where is None else parse_where(where, known)
    most = limit or (None if csv or json else _ROWS)
    chosen = select(run.records, conditions, sort, descending, most)
    part = SweepRun(run.name, run.axes, chosen)
    if json:
        output.pieces(part.json_pieces())
    elif csv:
        from accelsim.results.tables import csv_text

        output.pieces([csv_text(part.to_frame())])
    else:
        found = len(chosen)
        if found == most:
            found = sum(all(condition.holds(record) for condition in conditions) for record in run.records)
        of_all = f"{found} of {len(run.records)} points" if conditions else f"{found} points"
        shown = f"{run.name}: {of_all}" if found == len(chosen) else f"{run.name}: the first {len(chosen)} of {of_all}"
        keys = [sort] if sort else []
        show_points(shown, run.axes, chosen, [*keys, *(condition.key for condition in conditions)])
        if not chosen:
            output.lines([shown])
