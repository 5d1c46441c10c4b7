"""`accelsim prune`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accelsim.cli import complete, options, output
from accelsim.cli.progress import Progress
from accelsim.errors import UserError

if TYPE_CHECKING:
    from accelsim.config.patterns import Pattern
    from accelsim.pruning.prune_file import Pruned

_FAR = 0.02
"""A sparsity this far from the asked one is pointed out."""


Weights = Annotated[Path, typer.Argument(metavar="WEIGHTS", help="File of tensors, .npz or .safetensors.")]
Kind = Annotated[
    str,
    typer.Option(
        help="element_wise, vector_wise, block_wise, n_m, tile_wise, tile_element_wise or tile_vector_wise.",
        autocompletion=complete.one_of(lambda: options.PATTERNS),
    ),
]
Sparsity = Annotated[float | None, typer.Option(show_default=False, help="Share of weights to prune; n_m has its own.")]
Granularity = Annotated[int | None, typer.Option(show_default=False, help="Kept columns of a tile (G).")]
Block = Annotated[
    str | None, typer.Option(metavar="ROWSxCOLUMNS", show_default=False, help="Size of a block, as 32x32.")
]
Vector = Annotated[int | None, typer.Option(show_default=False, help="Weights of a vector along k.")]
NofM = Annotated[
    str | None, typer.Option("--nm", metavar="N:M", show_default=False, help="For n_m: weights that a group keeps.")
]
Delta = Annotated[
    float | None, typer.Option(show_default=False, help="Share of weights that tile_element_wise restores.")
]
Stages = Annotated[int | None, typer.Option(show_default=False, help="Of tiles: 2 columns, then rows; 1 rows alone.")]
Threshold = Annotated[
    str | None, typer.Option(show_default=False, help="per_layer, or global: all layers ranked as one.")
]
PerDimension = Annotated[
    bool, typer.Option("--per-dimension", help="--sparsity is of columns and again of rows (tile_wise).")
]
AprioriBlocks = Annotated[
    int | None, typer.Option(show_default=False, help="Column blocks that tile_wise prunes first.")
]
AprioriWidth = Annotated[int | None, typer.Option(show_default=False, help="Columns of such a block.")]
Gradients = Annotated[
    Path | None,
    typer.Option(metavar="FILE", show_default=False, help="Gradients by the weights' names; scores are (g w)^2."),
]
Schedule = Annotated[
    str | None,
    typer.Option(
        show_default=False,
        help="Prune in a schedule's stages, as far as --sparsity, without training.",
        autocompletion=complete.one_of(complete.schedules),
    ),
]
Masks = Annotated[
    Path | None,
    typer.Option(metavar="FILE.npz", show_default=False, help="Apply these masks instead, if they are of the pattern."),
]
Only = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", show_default=False, help="Tensors to prune, as 'encoder.*'; any number of times."),
]
Orientation = Annotated[
    str, typer.Option(help="in_out: tensors are [in, out]; out_in: [out, in], as PyTorch has them.")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="DIR", file_okay=False, show_default=False, help="Folder to save to."),
]
Pictures = Annotated[bool, typer.Option("--pictures/--no-pictures", help="Draw the masks into --out.")]


def prune(
    weights: Weights,
    pattern: Kind,
    sparsity: Sparsity = None,
    granularity: Granularity = None,
    block: Block = None,
    vector: Vector = None,
    nm: NofM = None,
    delta: Delta = None,
    stages: Stages = None,
    threshold: Threshold = None,
    per_dimension: PerDimension = False,
    apriori_blocks: AprioriBlocks = None,
    apriori_width: AprioriWidth = None,
    gradients: Gradients = None,
    schedule: Schedule = None,
    masks: Masks = None,
    only: Only = None,
    orientation: Orientation = "in_out",
    out: Out = None,
    pictures: Pictures = True,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Prune the weights of a file to a sparsity pattern: masks, packed weights, and what was lost."""
    given = {
        "sparsity": sparsity, "granularity": granularity, "vector": vector, "delta": delta, "stages": stages,
        "threshold": threshold, "apriori_blocks": apriori_blocks, "apriori_width": apriori_width,
        "sparsity_of": "per_dimension" if per_dimension else None, "score": "taylor" if gradients else None,
        **_pair("--block", block, "x", ("block_rows", "block_columns")), **_pair("--nm", nm, ":", ("n", "m")),
    }  # fmt: skip
    chosen = _pattern(pattern, given)
    if orientation not in ("in_out", "out_in"):
        raise UserError(f"--orientation {orientation}: allowed: in_out, out_in")
    options.check_out(out, whole=True)
    from accelsim.pruning.prune_file import prune_file

    with Progress(quiet, "pruning"):
        pruned = prune_file(
            weights, chosen, only=only or (), out_in=orientation == "out_in", gradients=gradients, masks=masks,
            stages=_stages(schedule, chosen),
        )  # fmt: skip
    if out is not None:
        _save(pruned, out, pictures)
    _show(pruned, out, json, quiet)


def _pair(option: str, text: str | None, sign: str, names: tuple[str, str]) -> dict[str, int]:
    """Two whole numbers of an option such as 32x32 or 2:4; one alone, where blocks are meant, stands for both."""
    if text is None:
        return {}
    match = re.fullmatch(rf"(\d+)(?:{sign}(\d+))?", text.strip())
    if match is None or (match[2] is None and sign == ":"):
        raise UserError(f"{option} {text}: is not of the form {'32x32' if sign == 'x' else '2:4'}")
    return {names[0]: int(match[1]), names[1]: int(match[2] or match[1])}


def _pattern(kind: str, given: Mapping[str, Any]) -> "Pattern":
    """The pattern that the options describe; those that were left out have the pattern's defaults."""
    from accelsim.config.patterns import PATTERNS
    from accelsim.config.schedules import pattern_of

    flags = {
        "block_rows": "--block", "block_columns": "--block", "n": "--nm", "m": "--nm", "score": "--gradients",
        "sparsity_of": "--per-dimension",
    }  # fmt: skip
    places = {key: flags.get(key, f"--{key.replace('_', '-')}") for key in given}
    options_given = {key: value for key, value in given.items() if value is not None}
    if kind in PATTERNS:
        # n_m takes --sparsity as a check of n and m, though it is no field of it.
        taken = {*PATTERNS[kind].model_fields, "sparsity"}
        foreign = [places[key] for key in options_given if key not in taken]
        if foreign:
            allowed = dict.fromkeys(flags.get(key, f"--{key.replace('_', '-')}") for key in sorted(taken - {"kind"}))
            raise UserError(f"{foreign[0]} has no meaning for {kind}; allowed: {', '.join(allowed)}")
    return pattern_of(kind, options_given, places)


def _stages(name: str | None, pattern: "Pattern") -> list[float] | None:
    """Sparsities of a schedule up to the pattern's own, which is the last."""
    if name is None:
        return None
    from accelsim.config.schedules import load_schedule

    schedule = load_schedule(name)
    of_dimension = getattr(pattern, "sparsity_of", "total") == "per_dimension"
    wanted = pattern.total_sparsity if of_dimension else pattern.sparsity
    return [*(share for share in schedule.total if share < wanted - 1e-9), wanted]


def _save(pruned: "Pruned", out: Path, pictures: bool) -> None:
    from accelsim.pruning.file_masks import mask_arrays
    from accelsim.pruning.packed_files import packed_arrays
    from accelsim.results.store import json_text, npz_bytes, write_folder

    packed = [packed_arrays(name, weights) for name, weights in pruned.packed().items()]
    files = {
        "report.json": json_text(pruned.as_dict()).encode(),
        "masks.npz": npz_bytes(mask_arrays(pruned.masks)),
        "weights.npz": npz_bytes(pruned.masked_tensors()),
        "packed.npz": npz_bytes({name: array for arrays in packed for name, array in arrays.items()}),
    }
    if pictures:
        from accelsim.show.masks import mask_files

        files |= mask_files({name: mask.to_dense() for name, mask in pruned.masks.items()}, pruned.histogram)
    write_folder(out, files)


def _show(pruned: "Pruned", out: Path | None, json: bool, quiet: bool) -> None:
    if json:
        from accelsim.results.store import json_text

        output.document(json_text(pruned.as_dict()))
    elif not quiet:
        _report(pruned)
    if out is not None and not quiet:
        output.message(f"saved {out}")


def _report(pruned: "Pruned") -> None:
    titles = (("k x n", True), ("kept", True), ("sparsity", True), ("retained norm", True))
    columns = [output.Column("layer"), *(output.Column(*title) for title in titles)]
    tiled = pruned.histogram is not None
    rows = [
        [
            layer.name,
            f"{layer.k} x {layer.n}",
            output.count(layer.kept),
            output.percent(layer.sparsity),
            output.percent(layer.retained_norm),
            *([_spread(layer.rows_per_tile or [])] if tiled else []),
        ]
        for layer in pruned.layers
    ]
    if tiled:
        columns.append(output.Column("rows kept by a tile"))
    title = f"{pruned.file}, {pruned.pattern.kind}: {output.percent(pruned.sparsity)} of the weights pruned"
    output.table(title, columns, rows)
    output.lines(_notes(pruned))


def _spread(rows: list[int]) -> str:
    """How many rows the tiles of a layer keep: one number where all keep alike."""
    if not rows:
        return "no tile"
    mean = sum(rows) / len(rows)
    return str(rows[0]) if min(rows) == max(rows) else f"{min(rows)} to {max(rows)}, mean {mean:.1f}"


def _notes(pruned: "Pruned") -> list[str]:
    asked = pruned.pattern.total_sparsity
    notes = []
    vectors = pruned.pattern.kind in ("vector_wise", "tile_vector_wise")
    if vectors and not pruned.given_masks and abs(asked - pruned.pattern.sparsity) > _FAR:
        whole, wanted = output.percent(asked), output.percent(pruned.pattern.sparsity)
        notes.append(f"asked for {wanted}: a vector keeps a whole number of weights, which makes {whole}")
    if not pruned.given_masks and abs(pruned.sparsity - asked) > _FAR:
        notes.append(f"asked for {output.percent(asked)}: columns, rows or blocks are counted, whose sizes differ")
    if pruned.skipped:
        notes.append(f"left alone, being no matrix: {', '.join(pruned.skipped)}")
    return notes
