"""`accelsim validate`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from accelsim.cli import complete, options, output
from accelsim.cli.error_columns import error_cells, error_columns
from accelsim.cli.group import suggest
from accelsim.cli.progress import Progress
from accelsim.errors import UserError

if TYPE_CHECKING:
    from accelsim.validate import Validation

_ENGINES = ("estimate", "events")


def validate(
    measured: Annotated[
        Path, typer.Argument(metavar="MEASURED.csv", exists=True, dir_okay=False, help="Table of measurements.")
    ],
    hw: Annotated[
        list[str],
        typer.Option(
            "--hw",
            metavar="NAME",
            help="Machine to predict with (see: accelsim hw list); several times to compare GPUs on one shape.",
            autocompletion=complete.one_of(complete.gpus),
        ),
    ],
    gpu: Annotated[
        list[str] | None,
        typer.Option(
            "--gpu",
            metavar="GPU",
            show_default=False,
            help="GPU of the table that the machine stands for, one for each --hw; left out, those it is known as.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            show_default=False,
            help="Override a field of hardware, mapping, workload.caches or workload.launch; any number of times.",
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--without",
            metavar="NAMES",
            show_default=False,
            help="Mechanisms to switch off, separated by commas; any number of times. A wrong name lists them all.",
        ),
    ] = None,
    engine: Annotated[str, typer.Option(help="estimate (closed form, fast) or events.")] = "estimate",
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Predict what real GPUs measured, and say how far predictions are off: by machine, by regime, and of decisions."""
    if engine not in _ENGINES:
        raise UserError(suggest("engine", engine, list(_ENGINES)))
    options.check_out(out, whole=True)
    from accelsim.show import validation_files
    from accelsim.validate import validate as compute
    from accelsim.validate.regimes import REGIMES, REST

    chosen = cast(Literal["estimate", "events"], engine)
    off = [word.strip() for words in without or () for word in words.split(",") if word.strip()]
    with Progress(quiet, "predicting"):
        validation = compute(measured, hw, engine=chosen, gpus=tuple(gpu or ()), sets=tuple(set_ or ()), without=off)
    if json:
        output.document(validation.to_json())
    elif not quiet:
        _report(validation, measured.name)
    if out is not None:
        regimes = {**{name: text for name, (text, _) in REGIMES.items()}, REST: "none of these"}
        validation.save(out, validation_files(validation.predicted, regimes))
        if not quiet:
            output.message(f"saved {out}")


def _report(validation: "Validation", table: str) -> None:
    """Print the summary; whatever is not modelled is named."""
    from accelsim.validate.decisions import KINDS
    from accelsim.validate.regimes import REGIMES

    summary = validation.summary()
    errors = error_columns("rows")
    rows = [[name, *error_cells(found)] for name, found in summary["gpus"].items()]
    if len(rows) > 1:
        rows.append(["all", *error_cells(summary)])
    rows += [[f"{name}, fitted roofline", *error_cells(found)] for name, found in summary["roofline"]["gpus"].items()]
    rows += [[REGIMES[name][0] if name in REGIMES else "none of these", *error_cells(found)]
             for name, found in summary["regimes"].items() if found["n"]]  # fmt: skip
    if summary["n"]:
        output.table(f"{table} by {summary['engine']}", errors, rows)
    if "attention" in summary:
        _attention(summary["attention"], errors)
    if summary["power"]["n"]:
        output.table(f"Board power by {summary['engine']}", errors, [["all", *error_cells(summary["power"])]])
    if summary["decisions"]:
        columns = [
            output.Column("speed-ups"),
            *(output.Column(title, True) for title in ("pairs", "MAPE (%)", "median (%)")),
        ]
        decided = [
            [KINDS[kind], str(found["n"]), *(output.amount(found[key], 3) for key in _DECIDED)]
            for kind, found in summary["decisions"].items()
        ]
        output.table("Decisions", [*columns, output.Column("faster side right (%)", True)], decided)
    output.lines(_notes(summary))


def _attention(found: Mapping[str, Any], errors: "list[output.Column]") -> None:
    """Errors of attention by stack and regime, the half of the rows that stacks are fitted to apart from the other."""
    from accelsim.validate.attention_rows import HALVES, REGIMES

    parts = [(f"{one['hardware']}, {one['stack'] or 'no stack named'}", one) for one in found["stacks"]]
    parts += [(REGIMES[name][0], one) for name, one in found["regimes"].items()] + [("all", found["halves"])]
    rows = [[name, half.replace("_", " "), *error_cells(one[half])] for name, one in parts for half in HALVES]
    columns = [output.Column("attention"), output.Column("half"), *errors[1:]]
    output.table("Attention by stack and regime", columns, [row for row in rows if row[2] != "0"])


_DECIDED = ("mape_percent", "median_ape_percent", "right_percent")


def _notes(summary: Mapping[str, Any]) -> list[str]:
    """What a reader must know beside the numbers."""
    notes = list(summary["remarks"])
    if summary["left_out"]:
        others = ", ".join(f"{gpu} ({count} rows)" for gpu, count in summary["left_out"].items())
        notes.append(f"Rows of other GPUs, left out: {others}.")
    for reason, count in summary["unmodelled_reasons"].items():
        notes.append(f"Not predicted, {count} rows: {reason}.")
    for name, count in summary["left_to_defaults"].items():
        if count:
            notes.append(f"{count} rows do not tell their {name}: the machine's or workload's default was taken.")
    if summary["unknown_notes"]:
        told = ", ".join(f"{part!r} ({count} rows)" for part, count in summary["unknown_notes"].items())
        notes.append(f"Notes that nobody knows: {told}.")
    return notes
