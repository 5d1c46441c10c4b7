"""`accelsim accuracy-hw`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli import complete, options, output
from accelsim.cli.progress import Progress
from accelsim.cli.written import check_yaml

if TYPE_CHECKING:
    from accelsim.config.accuracy import AccuracyEngine
    from accelsim.validate.intervals import Coverage, Measured

    _Checks = dict[AccuracyEngine, dict[str, Coverage]]


def accuracy_hw(
    measured: Annotated[
        Path, typer.Argument(metavar="MEASURED.csv", exists=True, dir_okay=False, help="Table of measurements.")
    ],
    hw: Annotated[
        str,
        typer.Option(
            "--hw",
            metavar="NAME",
            help="GPU (see: accelsim hw list), fitted or not.",
            autocompletion=complete.one_of(complete.gpus),
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE.yaml", help="Where its errors are written.")],
    gpu: Annotated[
        str | None, typer.Option("--gpu", metavar="GPU", show_default=False, help="GPU of the table.")
    ] = None,
    holdout: Annotated[
        float, typer.Option(help="Share of shapes that took no part in its fit; 1 for a GPU that was not fitted.")
    ] = 0.5,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split, as the fit had it.")] = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure how far off a GPU is on rows that took no part in its fit, so that results have intervals."""
    check_yaml(out, "accuracy", extends=hw)
    from accelsim.validate.accuracy_yaml import accuracy_yaml
    from accelsim.validate.fitted_yaml import write_yaml
    from accelsim.validate.intervals import latency_coverage, measure_accuracy, speedup_coverage

    with Progress(quiet, "predicting"):
        found = measure_accuracy(measured, hw, gpu=gpu, holdout=holdout, seed=seed)
    write_yaml(accuracy_yaml(found.accuracy, out.stem), out)
    checks = {
        engine: {"latency": latency_coverage(frame), "speedup": speedup_coverage([frame])["neighbours"]}
        for engine, frame in found.frames.items()
    }
    if json:
        output.document(_document(found, checks))
    elif not quiet:
        _report(found, checks)
    if not quiet:
        output.message(f"saved {out}")


def _document(found: "Measured", checks: "_Checks") -> str:
    from accelsim.results.schema import SCHEMA_VERSION
    from accelsim.results.store import json_text

    return json_text(
        {
            "schema_version": SCHEMA_VERSION,
            "accuracy": found.accuracy.model_dump(mode="json"),
            "coverage": {engine: {name: one.__dict__ for name, one in of.items()} for engine, of in checks.items()},
        }
    )


def _report(found: "Measured", checks: "_Checks") -> None:
    """Print the intervals, and how many of the measurements that gave none of them fall inside."""
    from accelsim.config.accuracy import INTERVAL_PERCENT, MIN_ROWS, REGIMES

    accuracy = found.accuracy
    titles = ("rows", "low", "median", "high")
    columns = [output.Column("engine"), output.Column("regime"), *(output.Column(title, True) for title in titles)]
    rows = [
        [
            engine,
            REGIMES.get(regime, "all rows"),
            str(one.n),
            *(f"{end:.3f}" for end in (one.low, one.median, one.high)),
        ]
        for engine, regimes in accuracy.engines.items()
        for regime, one in regimes.items()
    ]
    output.table(f"{accuracy.of_gpu} on {accuracy.table}: measured over predicted latency", columns, rows)
    checked = [
        [engine, _CHECKS[name], str(one.n), output.amount(one.inside_percent, 3)]
        for engine, of in checks.items()
        for name, one in of.items()
    ]
    columns = [output.Column("engine"), output.Column("checked"), output.Column("n", True)]
    output.table(
        f"How many fall inside when the other half of the rows gives the interval, {INTERVAL_PERCENT} % being wanted",
        [*columns, output.Column("inside (%)", True)],
        checked,
    )
    output.lines([f"A regime of fewer than {MIN_ROWS} rows takes the interval of all rows."])


_CHECKS = {"latency": "latencies", "speedup": "speed-ups between neighbouring m"}
