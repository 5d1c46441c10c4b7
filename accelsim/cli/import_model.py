"""`accelsim import`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli import options, output
from accelsim.cli.progress import Progress
from accelsim.errors import UserError

if TYPE_CHECKING:
    from accelsim.importers.imported import Imported

_SHOWN = 12
"""Names of unused tensors that are listed."""

Source = Annotated[Path, typer.Argument(metavar="SOURCE", help="Hugging Face folder, or .onnx file.")]
Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="DIR", file_okay=False, show_default=False, help="Folder to write.")
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[SPLIT=]FILE",
        show_default=False,
        help="Texts (.tsv, .csv), images (.npz) or, of an ONNX file, arrays by the names of its inputs (.npz, "
        ".safetensors) of a split (test when left out); any number of times.",
    ),
]
Name = Annotated[str | None, typer.Option(show_default=False, help="Of the workload; left out, the source's.")]
Sequence = Annotated[
    int | None, typer.Option(min=1, show_default=False, help="Tokens of a text; left out, those of the longest.")
]
Pooling = Annotated[
    str | None, typer.Option(show_default=False, help="none, cls, mean or pooler; left out, the folder's.")
]
Normalise = Annotated[
    bool | None,
    typer.Option("--normalise/--no-normalise", show_default=False, help="Whether vectors are divided by their length."),
]
Metric = Annotated[str | None, typer.Option(show_default=False, help="accuracy, f1 or spearman.")]
Dtype = Annotated[str, typer.Option(help="Format of operands: fp16, bf16, tf32 or fp32.")]
TokenizerFile = Annotated[
    Path | None,
    typer.Option(
        "--tokenizer",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        show_default=False,
        help="In place of the folder's tokenizer.json.",
    ),
]


def import_model(
    source: Source,
    out: Out,
    data: Data = None,
    name: Name = None,
    sequence: Sequence = None,
    pooling: Pooling = None,
    normalise: Normalise = None,
    metric: Metric = None,
    dtype: Dtype = "fp16",
    tokenizer: TokenizerFile = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make a workload of a model: a YAML and its weights, which `accelsim run` takes."""
    options.check_out(out, whole=True)
    files = _splits(data or [])
    from accelsim.config.loader import load_workload
    from accelsim.importers.imported import save
    from accelsim.importers.source import import_model as import_source
    from accelsim.model.build import build_network

    changes = {
        "sequence": sequence, "pooling": pooling, "normalise": normalise, "metric": metric, "dtype": dtype,
    }  # fmt: skip
    with Progress(quiet, "importing"):
        found = import_source(source, name=name, data=files, tokenizer=tokenizer, changes=changes)
        written = save(found, out)
        network = build_network(load_workload(written))
    if json:
        from accelsim.results.store import json_text

        document = {
            "workload": str(written),
            "kind": found.workload.kind,
            "items": network.items,
            "macs": network.macs,
            "parameters": sum(array.size for array in found.weights.values()),
            "unused": list(found.unused),
            "notes": list(found.notes),
        }
        output.document(json_text(document))
    elif not quiet:
        _report(found, written, network.macs, network.items)


def _splits(given: list[str]) -> dict[str, Path]:
    """Files by split."""
    found: dict[str, Path] = {}
    for text in given:
        split, sign, file = text.partition("=")
        split, file = (split, file) if sign else ("test", text)
        if not split.isidentifier():
            raise UserError(f"--data {text}: {split!r} is no name of a split; letters, digits and _ are allowed")
        if split in found:
            raise UserError(f"--data {text}: split {split} is given twice")
        if not Path(file).is_file():
            raise UserError(f"--data {text}: no file {file}")
        found[split] = Path(file)
    return found


def _report(found: "Imported", written: Path, macs: int, items: int) -> None:
    weights = sum(array.size for array in found.weights.values())
    rows = [
        ["workload", str(written)],
        ["kind", found.workload.kind],
        ["weights", output.count(weights)],
        ["items", output.count(items)],
        ["MACs", output.count(macs)],
    ]
    output.table(f"Imported {found.workload.name}", [output.Column("what"), output.Column("value")], rows)
    if found.unused:
        more = f" and {len(found.unused) - _SHOWN} more" if len(found.unused) > _SHOWN else ""
        output.lines([f"Tensors without use ({len(found.unused)}): {', '.join(found.unused[:_SHOWN])}{more}."])
    output.lines([f"Note: {note}." for note in found.notes])
