"""`accelsim hw carry-over`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli import complete, options, output
from accelsim.cli.written import check_yaml, gpu_alone, reference

if TYPE_CHECKING:
    from accelsim.validate.transfer import Transfer


def carry_over(
    source: Annotated[
        str,
        typer.Argument(
            help="Calibrated GPU: name (see: accelsim hw list) or path of a YAML file.",
            autocompletion=complete.one_of(complete.gpus),
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(help="GPU that nobody measured, likewise.", autocompletion=complete.one_of(complete.gpus)),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE.yaml", help="Where the new GPU is written.")],
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            show_default=False,
            help="Field at which the target keeps its own value, as in epilogue; any number of times.",
        ),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Describe a GPU that nobody measured: its datasheet, with what was calibrated on another."""
    check_yaml(out, "a GPU", extends=target)
    from accelsim.config.loader import load_hardware
    from accelsim.validate import transfer
    from accelsim.validate.fitted_yaml import transfer_yaml, write_yaml

    found = transfer.carry_over(load_hardware(source).gpu, gpu_alone(target), keep=tuple(keep or ()))
    write_yaml(transfer_yaml(found, out.stem, reference(target), source), out)
    if json:
        output.document(_document(source, target, found))
    elif not quiet:
        _report(source, target, found)
    if not quiet:
        output.message(f"saved {out}")


def _document(source: str, target: str, found: "Transfer") -> str:
    from accelsim.results.schema import SCHEMA_VERSION
    from accelsim.results.store import json_text

    return json_text(
        {
            "schema_version": SCHEMA_VERSION,
            "source": source,
            "target": target,
            "parameters": [
                {
                    "path": one.parameter.path,
                    "meaning": one.parameter.meaning,
                    "target": one.base,
                    "carried": one.value,
                    "source": one.source,
                }
                for one in found.carried
            ],
            "left": list(found.left),
            "rated_power_assumed": list(found.assumed),
        }
    )


def _report(source: str, target: str, found: "Transfer") -> None:
    columns = [output.Column("parameter"), output.Column("target's own", True), output.Column("carried over", True)]
    rows = []
    for one in found.carried:
        own, carried = (str(one.parameter.text(value)) for value in (one.base, one.value))
        rows.append([one.parameter.path, own, carried, one.parameter.meaning])
    output.table(f"{target} with values of {source}", [*columns, output.Column("what it is")], rows)
    notes = [f"{name} has no power.rated; its power.limit was taken for the board's power." for name in found.assumed]
    if found.left:
        notes.append(f"Not carried over, as one of the two has no such figure: {', '.join(found.left)}.")
    output.lines(notes)
