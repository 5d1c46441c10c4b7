"""`accelsim sweep`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli import complete, options, output
from accelsim.cli.progress import Progress
from accelsim.cli.report import interval_of
from accelsim.errors import UserError

if TYPE_CHECKING:
    from accelsim.explore.sweep import Record, Sweep, SweepRun

_ROWS = 40
_INTERVAL = "latency_interval"
_PRUNED = ("weight_sparsity", "block_ratio", "head_ratio", "accuracy")
"""Keys of columns that stand only where some point has more than 0 there."""
_SHOWN: tuple[tuple[str, str, Callable[[object], str]], ...] = (
    ("weights pruned", "weight_sparsity", output.percent),
    ("blocks pruned", "block_ratio", output.percent),
    ("heads pruned", "head_ratio", output.percent),
    ("accuracy", "accuracy", output.percent),
    ("latency (us)", "latency_us", output.amount),
    ("80 % interval (us)", _INTERVAL, lambda text: str(text or "-")),
    ("cycles", "cycles", output.amount),
    ("energy (uJ)", "energy_uj", output.amount),
    ("MACs done", "effectual_macs", output.count),
    ("error of the output", "max_rel_error", output.percent),
    ("error", "error", lambda text: str(text or "")),
)
_FEW = 24
"""Points without values up to which starting processes takes longer than they would save."""
_COMPARED = 50_000
"""Points up to which all are compared with the fastest."""


def sweep(
    file: Annotated[
        str,
        typer.Argument(
            metavar="SWEEP",
            help="YAML of kind sweep: a path, or a name of workloads/sweeps.",
            autocompletion=complete.one_of(complete.sweeps),
        ),
    ],
    out: options.Out = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            show_default=False,
            help="Processes on this machine; left out, as many as it has cores and memory for (1 for few points).",
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", show_default=False, help="Run on the workers of a Dask scheduler, as tcp://host:8786."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="More than a million points are meant.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run every point of a sweep. With --out each finished point is kept, and the same command resumes."""
    if workers is not None and scheduler is not None:
        raise UserError("--workers starts processes here and --scheduler takes those of a cluster; give one of them")
    if workers is not None and workers > 1:
        from accelsim.explore.sweep import nursery

        nursery.begin()  # it loads while the sweep is read
    from accelsim.explore.sweep import SweepRun, read_sweep, run_sweep

    options.check_out(out)
    wanted = read_sweep(file, many=yes)

    def draw(run: SweepRun) -> "Mapping[str, bytes]":
        from accelsim.show import sweep_files

        return sweep_files(run.to_frame(), run.axes)

    with Progress(quiet, "points") as progress:
        try:
            run = run_sweep(
                wanted,
                out,
                workers=_workers(wanted) if workers is None else workers,
                scheduler=scheduler,
                progress=progress.show,
                watch=lambda record: progress.note(_best(record, wanted.axes)),
                draw=draw,
            )
        except KeyboardInterrupt:
            if out is not None and not quiet:
                output.message(f"finished points are kept in {out}; the same command resumes")
            raise
    if json:
        output.pieces(run.json_pieces())
    elif not quiet:
        _report(run)
    _close(run, out, quiet)


def _workers(wanted: "Sweep") -> int:
    """Processes that are worth starting for a sweep."""
    from accelsim.explore.sweep.workers import default_workers, operand_bytes

    if len(wanted) <= _FEW and not wanted.spec.values:
        return 1
    return min(default_workers(operand_bytes(wanted)), len(wanted))


def _best(record: "Record", axes: Sequence[str]) -> str:
    """The fastest point so far, in a few words."""
    where = ", ".join(f"{axis.rpartition('.')[2]} {record[axis]}" for axis in axes)
    return f"best {output.amount(record['latency_us'])} us ({where})"


def _report(run: "SweepRun") -> None:
    """Print the points, or the fastest of many, and how many cannot be told from the fastest.

    What was pruned stands beside the sparsity that was asked for, since not every pattern has every sparsity.
    """
    from accelsim.explore.sweep.select import Comparison, select
    from accelsim.results.intervals import undecided_from_fastest

    went_well = [Comparison("error", "=", None)]
    shown = select(run.records, went_well, limit=_ROWS + 1)
    count, latencies = len(shown), _latencies(shown)
    title = f"{run.name}: {count} points"
    if count > _ROWS:
        shown = select(run.records, went_well, "latency_us", limit=_ROWS)
        good = (record for record in run.records if record["error"] is None)
        latencies = _latencies(islice(good, _COMPARED))
        count = len(latencies) + sum(1 for _ in good)
        title = f"{run.name}: the fastest {_ROWS} of {count} points"
    show_points(title, run.axes, shown)
    undecided = undecided_from_fastest(latencies) if count <= _COMPARED else 0
    if undecided:
        output.lines([f"Undecided, since within the errors of both: {undecided} of {count} points and the fastest."])


def _latencies(records: "Iterable[Record]") -> "list[Record]":
    """Of each record its latency and the interval alone, which many of take little memory."""
    keys = ("latency_us", "latency_low_us", "latency_high_us")
    return [{key: record.get(key) for key in keys} for record in records]


def show_points(title: str, axes: Sequence[str], chosen: "Sequence[Record]", more: Sequence[str] = ()) -> None:
    """Print records of points as a table, nothing where there are none.

    Parameters
    ----------
    title : str
    axes : sequence of str
        First columns.
    chosen : sequence of dict
    more : sequence of str
        Keys that have a column of their own beside those that always have.
    """
    intervals = [interval_of(record) if record["error"] is None else None for record in chosen]
    failed = any(record["error"] is not None for record in chosen)
    given = {_INTERVAL: any(intervals), "error": failed}
    given |= {key: any(record.get(key) for record in chosen) for key in _PRUNED}
    shown = [entry for entry in _SHOWN if given.get(entry[1], True)]
    own = [key for key in more if key not in (*axes, *(key for _, key, _ in _SHOWN))]
    shown[-1:-1] = [(key, key, output.amount) for key in own]
    numbers = {key for _, key, _ in shown if key != "error"}
    columns = [
        *(output.Column(axis) for axis in axes),
        *(output.Column(title, key in numbers) for title, key, _ in shown),
    ]
    rows = [
        [*("-" if record[axis] is None else str(record[axis]) for axis in axes)]
        + [show({**record, _INTERVAL: interval}.get(key)) for _, key, show in shown]
        for record, interval in zip(chosen, intervals, strict=True)
    ]
    if rows:
        output.table(title, columns, rows)


def _close(run: "SweepRun", out: Path | None, quiet: bool) -> None:
    """Tell where it was kept and what failed; that every point failed is an error."""
    if out is not None and not quiet:
        output.message(f"saved {out}")
    failed = sum(record["error"] is not None for record in run.records)
    if not failed or (quiet and failed < len(run.records)):
        return
    first = next(record for record in run.records if record["error"] is not None)
    if failed == len(run.records):
        raise UserError(f"all {failed} points failed; the first: {first['error']}")
    where = ", ".join(f"{axis}={first[axis]}" for axis in run.axes)
    output.message(f"{failed} of {len(run.records)} points failed; the first ({where}): {first['error']}")
