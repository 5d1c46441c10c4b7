"""`accelsim calibrate-hw`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli import complete, options, output
from accelsim.cli.error_columns import error_cells, error_columns
from accelsim.cli.group import suggest
from accelsim.cli.progress import Progress
from accelsim.cli.written import check_yaml, gpu_alone, reference
from accelsim.errors import UserError

if TYPE_CHECKING:
    from accelsim.validate.calibrate import Calibration


def calibrate_hw(
    measured: Annotated[
        Path, typer.Argument(metavar="MEASURED.csv", exists=True, dir_okay=False, help="Table of measurements.")
    ],
    hw: Annotated[
        str,
        typer.Option(
            "--hw",
            metavar="BASE",
            help="GPU to start from (see: accelsim hw list).",
            autocompletion=complete.one_of(complete.gpus),
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE.yaml", help="Where the calibrated GPU is written.")],
    gpu: Annotated[
        str | None, typer.Option("--gpu", metavar="GPU", show_default=False, help="GPU of the table to fit.")
    ] = None,
    holdout: Annotated[float, typer.Option(help="Share of shapes that take no part in the fit.")] = 0.5,
    evaluations: Annotated[int, typer.Option(help="Predictions of all rows that the search may make.")] = 1200,
    engine: Annotated[
        str, typer.Option(help="Whose predictions are fitted: estimate, events or both; events take far longer.")
    ] = "estimate",
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fit a GPU's few parameters that datasheets lack, and say how far off held-out rows are (models: calibrate)."""
    check_yaml(out, "a GPU", extends=hw)
    from accelsim.validate.calibrate import FIT_ENGINES, calibrate
    from accelsim.validate.fitted_yaml import calibration_yaml, write_yaml

    if engine not in FIT_ENGINES:
        raise UserError(suggest("engine", engine, list(FIT_ENGINES)))
    gpu_alone(hw)
    with Progress(quiet, "evaluations") as progress:
        found = calibrate(
            measured,
            hw,
            gpu=gpu,
            holdout=holdout,
            evaluations=evaluations,
            seed=seed,
            progress=progress.show,
            engine=engine,  # type: ignore[arg-type]
        )
    write_yaml(calibration_yaml(found, out.stem, reference(hw)), out)
    if json:
        output.document(_document(found))
    elif not quiet:
        _report(found)
    if not quiet:
        output.message(f"saved {out}")


def _document(found: "Calibration") -> str:
    from accelsim.results.schema import SCHEMA_VERSION
    from accelsim.results.store import json_text

    return json_text(
        {
            "schema_version": SCHEMA_VERSION,
            "base": found.base,
            "measured": found.measured,
            "holdout": found.holdout,
            "seed": found.seed,
            "evaluations": found.evaluations,
            "engine": found.engine,
            "parameters": [
                {"path": parameter.path, "meaning": parameter.meaning, "base": base, "fitted": value}
                for parameter, base, value in found.fitted
            ],
            "errors": {
                machine: {rows: summary.as_dict() for rows, summary in of_rows.items()}
                for machine, of_rows in found.errors.items()
            },
        }
    )


def _report(found: "Calibration") -> None:
    columns = [output.Column("parameter"), output.Column("base", True), output.Column("fitted", True)]
    rows = [
        [parameter.path, str(parameter.text(base)), str(parameter.text(value)), parameter.meaning]
        for parameter, base, value in found.fitted
    ]
    output.table(f"{found.base} fitted to {found.measured}", [*columns, output.Column("what it is")], rows)
    table = [
        [machine, rows_of.replace("_", " "), *error_cells(summary.as_dict())]
        for machine, of_rows in found.errors.items()
        for rows_of, summary in of_rows.items()
    ]
    output.table(
        f"Errors by {'events' if found.engine == 'events' else 'the closed form'}",
        error_columns("GPU", "rows"),
        table,
    )
