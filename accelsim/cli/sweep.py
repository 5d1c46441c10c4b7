"""`accelsim sweep`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli import options, output
from accelsim.cli.progress import Progress
from accelsim.cli.report import interval_of
from accelsim.errors import UserError

if TYPE_CHECKING:
    from accelsim.explore import SweepRun

_ROWS = 40
_INTERVAL = "latency_interval"
_PRUNED = "weight_sparsity"
_SHOWN: tuple[tuple[str, str, Callable[[object], str]], ...] = (
    ("weights pruned", _PRUNED, output.percent),
    ("latency (us)", "latency_us", output.amount),
    ("80 % interval (us)", _INTERVAL, lambda text: str(text or "-")),
    ("cycles", "cycles", output.amount),
    ("energy (uJ)", "energy_uj", output.amount),
    ("MACs done", "effectual_macs", output.count),
    ("error of the output", "max_rel_error", output.percent),
)


def sweep(
    file: Annotated[
        str, typer.Argument(metavar="SWEEP", help="YAML of kind sweep: a path, or a name of workloads/sweeps.")
    ],
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run every point of a sweep. With --out each finished point is kept, and the same command resumes."""
    from accelsim.explore import read_sweep, run_sweep
    from accelsim.show import sweep_files

    options.check_out(out)
    wanted = read_sweep(file)
    with Progress(quiet, "points") as progress:
        try:
            run = run_sweep(wanted, out, progress=progress.show, draw=lambda run: sweep_files(run.to_frame(), run.axes))
        except KeyboardInterrupt:
            if out is not None and not quiet:
                output.message(f"finished points are kept in {out}; the same command resumes")
            raise
    if json:
        output.document(run.to_json())
    elif not quiet:
        _report(run)
    _close(run, out, quiet)


def _report(run: "SweepRun") -> None:
    """Print the points, or the fastest of many, and how many cannot be told from the fastest.

    What was pruned stands beside the sparsity that was asked for, since not every pattern has every sparsity.
    """
    from accelsim.results.intervals import undecided_from_fastest

    good = [record for record in run.records if record["error"] is None]
    many = len(good) > _ROWS
    chosen = sorted(good, key=lambda record: float(record["latency_us"] or 0))[:_ROWS] if many else good
    intervals = [interval_of(record) for record in chosen]
    given = {_INTERVAL: any(intervals), _PRUNED: any(record.get(_PRUNED) for record in chosen)}
    shown = [entry for entry in _SHOWN if given.get(entry[1], True)]
    columns = [*(output.Column(axis) for axis in run.axes), *(output.Column(title, True) for title, _, _ in shown)]
    rows = [
        [*("-" if record[axis] is None else str(record[axis]) for axis in run.axes)]
        + [show({**record, _INTERVAL: interval}.get(key)) for _, key, show in shown]
        for record, interval in zip(chosen, intervals, strict=True)
    ]
    if rows:
        title = f"{run.name}: the fastest {_ROWS} of {len(good)} points" if many else f"{run.name}: {len(good)} points"
        output.table(title, columns, rows)
    undecided = undecided_from_fastest(good)
    if undecided:
        output.lines(
            [f"Undecided, since within the errors of both: {undecided} of {len(good)} points and the fastest."]
        )


def _close(run: "SweepRun", out: Path | None, quiet: bool) -> None:
    """Tell where it was kept and what failed; that every point failed is an error."""
    if out is not None and not quiet:
        output.message(f"saved {out}")
    failed = run.failed
    if failed and len(failed) == len(run.records):
        raise UserError(f"all {len(failed)} points failed; the first: {failed[0]['error']}")
    if failed and not quiet:
        where = ", ".join(f"{axis}={failed[0][axis]}" for axis in run.axes)
        output.message(f"{len(failed)} of {len(run.records)} points failed; the first ({where}): {failed[0]['error']}")
