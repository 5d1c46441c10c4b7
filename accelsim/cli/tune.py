"""`accelsim tune`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accelsim.cli import complete, options, output
from accelsim.cli.progress import Progress
from accelsim.errors import UserError

if TYPE_CHECKING:
    from accelsim.explore.tune import Trial, Tune, Tuned

_ROWS = 20
_TITLES = {
    "latency_us": "latency (us)",
    "energy_uj": "energy (uJ)",
    "edp": "EDP (uJ us)",
    "dram_mib": "DRAM traffic (MiB)",
    "memory_mib": "memory (MiB)",
    "max_rel_error": "error of the output",
    "accuracy_points": "points lost",
}

File = Annotated[
    str,
    typer.Argument(
        metavar="TUNE|HARDWARE",
        help="YAML of kind tune (a path, or a name of workloads/tunes), or a machine.",
        autocompletion=complete.one_of(complete.tunes_and_machines),
    ),
]
Workload = Annotated[
    str | None,
    typer.Argument(
        show_default=False,
        help="With a machine: name or path of the workload.",
        autocompletion=complete.one_of(complete.workloads),
    ),
]
Objectives = Annotated[
    str | None,
    typer.Option(
        "--objective",
        metavar="NAME[,NAME]",
        show_default=False,
        help="latency_us (as it is without), energy_uj or edp; several for the settings that none beats in each.",
    ),
]
Vary = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATH=[VALUE,..]",
        show_default=False,
        help="With a machine: an axis, any number of times; left out, tile, stages, split-K and raster order.",
    ),
]
Limits = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="NAME=MOST",
        show_default=False,
        help="What must hold, as in memory_mib=100 or accuracy_points=1; any number of times.",
    ),
]
Evaluations = Annotated[
    int | None,
    typer.Option(min=1, show_default=False, help="Settings to judge at most; 100 if left out."),
]
Scheme = Annotated[
    str | None,
    typer.Option(
        show_default=False, help="With a machine: as for accelsim run.", autocompletion=options.complete_scheme
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        show_default=False,
        help="What judges settings; events if left out.",
        autocompletion=options.complete_engine,
    ),
]
Seed = Annotated[int | None, typer.Option(min=0, show_default=False, help="Of runs and of what the search draws.")]
Exhaustive = Annotated[
    bool, typer.Option("--exhaustive", help="Judge all other settings too, and tell how far from their best it ended.")
]
WorkerCount = Annotated[int, typer.Option(min=1, help="Processes that judge settings.")]


def tune(
    file: File,
    workload: Workload = None,
    objective: Objectives = None,
    vary: Vary = None,
    limit: Limits = None,
    evaluations: Evaluations = None,
    scheme: Scheme = None,
    engine: Engine = None,
    seed: Seed = None,
    exhaustive: Exhaustive = False,
    workers: WorkerCount = 1,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Search for the settings that take least time or energy. With --out each is kept, and the same command resumes."""
    options.check_out(out)
    wanted = _wanted(
        file,
        workload,
        vary,
        scheme,
        {
            "objectives": None if objective is None else [word.strip() for word in objective.split(",")],
            "limits": _limits(limit),
            "evaluations": evaluations,
            "engine": None if engine is None else options.check_engine(engine),
            "seed": seed,
        },
    )
    found = _run(wanted, out, exhaustive, workers, quiet)
    if json:
        output.document(found.to_json())
    elif not quiet:
        _report(found)
    if out is not None and not quiet:
        output.message(f"saved {out}; accelsim run MACHINE {out / 'best.yaml'} takes the best setting")


def _wanted(
    file: str, workload: str | None, vary: list[str] | None, scheme: str | None, changes: dict[str, Any]
) -> "Tune":
    from accelsim.explore.tune import make_tune, read_tune

    if workload is not None:
        named = None if scheme is None else options.check_scheme(scheme)
        return make_tune(file, workload, vary or (), scheme=named, **changes)
    if vary or scheme is not None:
        what = "--vary" if vary else "--scheme"
        raise UserError(f"{what} goes with a machine and a workload (accelsim tune HARDWARE WORKLOAD); a file says it")
    return read_tune(file, **changes)


def _limits(given: list[str] | None) -> dict[str, float] | None:
    """Limits from ``NAME=MOST`` texts."""
    if not given:
        return None
    found: dict[str, float] = {}
    for text in given:
        name, equals, most = text.partition("=")
        try:
            if not equals or name.strip() in found:
                raise ValueError
            found[name.strip()] = float(most)
        except ValueError:
            problem = "is given twice" if name.strip() in found else "is not of the form NAME=NUMBER, as latency_us=100"
            raise UserError(f"--limit {text}: {problem}") from None
    return found


def _run(wanted: "Tune", out: Path | None, exhaustive: bool, workers: int, quiet: bool) -> "Tuned":
    from accelsim.explore.tune import Told
    from accelsim.explore.tune import tune as search

    def draw(found: "Tuned") -> dict[str, bytes]:
        from accelsim.show.tune import tune_files

        return tune_files(found.to_frame(), found.objectives)

    with Progress(quiet, "settings judged") as progress:
        told = Told(
            lambda done, total: progress.note(f"{done} of {total} looked at"),
            progress.show,
            lambda trial: progress.note(_better(wanted, trial)),
        )
        try:
            return search(wanted, out, exhaustive=exhaustive, workers=workers, told=told, draw=draw)
        except KeyboardInterrupt:
            if out is not None and not quiet:
                output.message(f"judged settings are kept in {out}; the same command resumes")
            raise


def _better(wanted: "Tune", trial: "Trial") -> str:
    """A trial in a few words."""
    values = trial.values or ()
    amounts = ", ".join(f"{output.amount(value)} {_TITLES[name].split(' ', 1)[1].strip('()')}" for name, value in zip(
        wanted.spec.objectives, values, strict=False
    ))  # fmt: skip
    own = [f"{axis.rpartition('.')[2]} {trial.record[axis]}" for axis in wanted.axes if axis in trial.record]
    return f"best {amounts} ({', '.join(own) or 'without settings'})"


def _report(found: "Tuned") -> None:
    spec = found.tune.spec
    names = list(dict.fromkeys([*found.objectives, *spec.limits.given()]))
    columns = [
        *(output.Column(axis) for axis in found.tune.axes),
        *(output.Column(_TITLES[name], True) for name in names),
        *(output.Column(f"{_TITLES[name].split(' (')[0]}, times less", True) for name in found.objectives),
    ]
    rows = [_cells(found, trial, names) for trial in (found.reference, *found.best[:_ROWS])]
    what = " and ".join(_TITLES[name].split(" (")[0] for name in found.objectives)
    title = f"{found.tune.name} on {found.machine}: least {what}"
    output.table(title, columns, rows)
    output.lines([*_counts(found), *_checked(found), *found.notes, f"Run the {_first(found)}: {found.command}"])


def _first(found: "Tuned") -> str:
    return "best" if len(found.best) == 1 else "first of them"


def _cells(found: "Tuned", trial: "Trial", names: list[str]) -> list[str]:
    from accelsim.explore.tune.measures import measure

    settings, gain = found.settings(trial), found.gain(trial) or {}
    own = ["-" if settings.get(axis) is None else str(settings[axis]) for axis in found.tune.axes]
    own += [output.amount(measure(trial.record, name)) for name in names]
    return own + [f"{gain[name]:.3f}" if name in gain else "-" for name in found.objectives]


def _counts(found: "Tuned") -> list[str]:
    """What the search cost, and how it did."""
    size = len(found.tune.sweep)
    looked = [f"{found.looks} looked at by the closed form"] if found.looks else []
    looked += [f"{found.estimate_runs} run by the closed form"] if found.estimate_runs else []
    looked += [f"{found.evaluations} judged by {found.tune.spec.engine}"]
    looked += [f"{found.hopeless} proposals left alone as hopeless"] if found.hopeless else []
    lines = [f"The first row is the run without settings. Of {size} settings: {', '.join(looked)}."]
    every = found.exhausted
    if every is None:
        return lines
    share = f"{100 * found.evaluations / max(1, every.legal):.1f} % of their runs"
    end = f"all {every.legal} that can run, with {share}"
    if every.gap_percent is not None:
        return [*lines, f"What the search found is {every.gap_percent:.2f} % above the best of {end}."]
    return [*lines, f"The search found {every.found} of the {len(every.best)} that none beats of {end}."]


def _checked(found: "Tuned") -> list[str]:
    """How what was found does on the other split."""
    lines = []
    for own in found.checked[:1]:
        change = f"{100 * float(str(own['change'])):+.2f} points"
        if own["change_low"] is not None:
            low, high = (100 * float(str(own[key])) for key in ("change_low", "change_high"))
            change += f" (95 % interval {low:+.2f} to {high:+.2f})"
        quality, dense = (output.percent(own[key], 4) for key in ("quality", "dense_quality"))
        lines.append(
            f"Chosen on split {found.tune.spec.split}; on split {own['split']} ({own['inputs']} inputs) it has "
            f"{own['metric']} {quality}, dense {dense}: {change}."
        )
    return lines
