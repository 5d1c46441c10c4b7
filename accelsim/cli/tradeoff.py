"""`accelsim tradeoff`."""

import sys
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli import complete, options, output
from accelsim.cli.budget_options import Count, Judge, check_judge, numbers
from accelsim.cli.progress import Progress
from accelsim.errors import UserError

if TYPE_CHECKING:
    from accelsim.explore.budget import TradeOff


def tradeoff(
    hardware: options.Hardware,
    workloads: Annotated[
        str,
        typer.Argument(
            metavar="WORKLOAD[,WORKLOAD...]",
            help="Names or paths of models for the same inputs.",
            autocompletion=complete.several_of(complete.workloads),
        ),
    ],
    schemes: options.Schemes = "tile_wise,hdp,tile_wise+hdp",
    settings: Annotated[int, typer.Option(min=1, help="Settings of each scheme, spaced evenly.")] = 6,
    sparsities: Annotated[
        str | None, typer.Option(metavar="LIST", show_default=False, help="Of weights, as 0.25,0.5, in place of those.")
    ] = None,
    row_thresholds: Annotated[
        str | None, typer.Option(metavar="LIST", show_default=False, help="HDP's rho_b, as -0.5,0,0.5, likewise.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(show_default=False, help="Split of the data; left out, each workload's own.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz", exists=True, dir_okay=False, show_default=False, help="In place of the workloads' data."
        ),
    ] = None,
    inputs: Count = None,
    judge: Judge = "auto",
    per_input: Annotated[bool, typer.Option("--per-input", help="Time each input by itself too.")] = False,
    set_: options.Sets = None,
    engine: options.Engine = "estimate",
    seed: options.Seed = 0,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Accuracy against latency and energy: a point for each scheme and setting, and the front that no point beats."""
    names, device = options.split_schemes(schemes), options.check_engine(engine)
    judged, models = check_judge(judge), [word.strip() for word in workloads.split(",") if word.strip()]
    if len(set(models)) < max(1, len(models)):
        raise UserError(f"workloads {workloads!r}: name at least one, and each once")
    options.check_out(out, whole=True)
    from accelsim.explore.budget import trade_off

    with Progress(quiet or not sys.stderr.isatty(), "points") as progress:
        found = trade_off(
            hardware,
            models,
            schemes=names,
            settings=settings,
            sparsities=numbers("--sparsities", sparsities),
            row_thresholds=numbers("--row-thresholds", row_thresholds),
            split=split,
            data=data,
            count=inputs,
            judge=judged,
            each=per_input,
            sets=tuple(set_ or ()),
            engine=device,
            seed=seed,
            progress=progress.show,
        )
    if out is not None:
        from accelsim.show.tradeoff import trade_off_files

        found.save(out, trade_off_files(found.points, found.metric))
    if json:
        output.document(found.to_json())
    elif not quiet:
        _report(found, per_input)
    if out is not None and not quiet:
        output.message(f"saved {out}")


def _report(found: "TradeOff", per_input: bool) -> None:
    numbers_of = (found.metric, "change", "latency (us)", "energy (uJ)", "items/s")
    alone = ("one alone, median (us)", "95th percentile") if per_input else ()
    columns = [
        *(output.Column("scheme"), output.Column("setting")),
        *(output.Column(title, True) for title in (*numbers_of, *alone, "MACs kept")),
        output.Column("best for"),
    ]
    for workload in found.workloads:
        some = found.points[found.points["workload"] == workload]
        rows = [_cells(row, per_input) for row in some.to_dict("records")]
        output.table(f"{workload} on {found.hardware}, split {found.split}", columns, rows)
    output.lines(found.notes())


def _cells(row: Mapping[Hashable, object], per_input: bool) -> list[str]:
    alone = ("latency_p50_us", "latency_p95_us") if per_input else ()
    best = [cost for cost in ("latency", "energy") if row[f"front_{cost}"]]
    return [
        *(str(row["scheme"]), str(row["setting"])),
        *(output.percent(row["quality"], 4), _points(row)),
        *(output.amount(row[key]) for key in ("latency_us", "energy_uj", "items_per_s", *alone)),
        *(output.percent(row["kept"], 4), " and ".join(best)),
    ]


def _points(row: Mapping[Hashable, object]) -> str:
    """Change against dense in points, with its interval where there is one."""
    change, low, high = (100 * float(str(row[key])) for key in ("change", "change_low", "change_high"))
    text = f"{change:+.2f}"
    return text if low != low else f"{text} ({low:+.2f} to {high:+.2f})"
