"""Options that several commands share, and checks of them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from accelsim.cli import complete, output
from accelsim.cli.group import suggest
from accelsim.errors import UserError

if TYPE_CHECKING:
    from accelsim.config.scheme import Engine as Engine_
    from accelsim.config.scheme import SchemeName

Hardware = Annotated[
    str,
    typer.Argument(
        help="Name (see: accelsim hw list) or path of a YAML file.", autocompletion=complete.one_of(complete.machines)
    ),
]
Workload = Annotated[
    str,
    typer.Argument(
        help="Name (see: accelsim workload list) or path of a YAML file.",
        autocompletion=complete.one_of(complete.workloads),
    ),
]
PATTERNS = (
    *("element_wise", "vector_wise", "block_wise", "n_m", "tile_wise", "tile_element_wise", "tile_vector_wise"),
)
ALL_SCHEMES = ("dense", *PATTERNS, "hdp", "tile_wise+hdp", "dense_on_unit")
_PRUNES_NO_WEIGHTS = ("dense", "hdp", "dense_on_unit")
ALL_ENGINES = ("events", "simpy", "estimate")

complete_scheme = complete.one_of(lambda: ALL_SCHEMES)
complete_schemes = complete.several_of(lambda: ALL_SCHEMES)
complete_engine = complete.one_of(lambda: ALL_ENGINES)

Scheme = Annotated[
    str,
    typer.Option(
        help=f"{', '.join(ALL_SCHEMES[:-1])} or {ALL_SCHEMES[-1]}.",
        autocompletion=complete_scheme,
    ),
]
Schemes = Annotated[str, typer.Option(help="Schemes to compare, separated by commas.", autocompletion=complete_schemes)]
Sparsity = Annotated[
    float | None,
    typer.Option(help="Share of weights that the scheme prunes (SCHEME.sparsity).", show_default=False),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        show_default=False,
        help="Override a field, as in mapping.tile_m=128 or workload.m=777; any number of times.",
    ),
]
Engine = Annotated[
    str,
    typer.Option(help="events, simpy (slow, readable twin) or estimate (closed form).", autocompletion=complete_engine),
]
Values = Annotated[
    bool, typer.Option("--values/--no-values", help="Whether products are computed, or time follows from shapes alone.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")]
Masks = Annotated[
    Path | None,
    typer.Option(
        metavar="RESULT",
        exists=True,
        show_default=False,
        help="Folder of a saved result whose masks a run with --no-values takes.",
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Imagine sparse tensor cores on a machine without them; the output says so.")
]
Operands = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.npz",
        exists=True,
        dir_okay=False,
        show_default=False,
        help="Your own matrices: A and B, or Q, K and V; inputs by name of a workload from an ONNX file.",
    ),
]
Out = Annotated[
    Path | None, typer.Option(metavar="DIR", file_okay=False, show_default=False, help="Folder to save to.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No tables and no messages; errors still show.")]


def check_scheme(word: str) -> "SchemeName":
    """`word` if it names a scheme; else a UserError with near matches."""
    return cast("SchemeName", _known("scheme", word, ALL_SCHEMES))


def note_idle_sparsity(scheme: str, sparsity: float | None, quiet: bool) -> None:
    """Tell that ``--sparsity`` does nothing under a scheme that prunes no weights."""
    if sparsity is not None and not quiet and scheme in _PRUNES_NO_WEIGHTS:
        output.message(f"note: --sparsity {sparsity:g} has no effect, since {scheme} prunes no weights")


def check_engine(word: str) -> "Engine_":
    """`word` if it names an engine; else a UserError with near matches."""
    return cast("Engine_", _known("engine", word, ALL_ENGINES))


def check_out(out: Path | None, whole: bool = False) -> None:
    """Refuse a folder that cannot be written, before the work whose result it is to hold.

    Parameters
    ----------
    out : Path or None
    whole : bool
        Whether the folder itself is to be replaced by what is saved, and so must hold nothing else.

    Raises
    ------
    UserError
        Naming what is in the way.
    """
    if out is None:
        return
    nearest = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise UserError(f"--out {out}: {nearest} is a file; results need a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"--out {out}: cannot write in {nearest}")
    if whole:
        from accelsim.results.store import refuse_foreign

        refuse_foreign(out.absolute())


def _known(what: str, word: str, known: Sequence[str]) -> str:
    if word not in known:
        raise UserError(suggest(what, word, list(known)))
    return word


def split_schemes(text: str) -> "tuple[SchemeName, ...]":
    """The schemes of a list such as ``dense,hdp``.

    Raises
    ------
    UserError
        For an unknown scheme, one given twice, or none.
    """
    schemes = tuple(check_scheme(word.strip()) for word in text.split(",") if word.strip())
    if not schemes:
        raise UserError(f"--schemes names no scheme; allowed: {', '.join(ALL_SCHEMES)}")
    twice = sorted({scheme for scheme in schemes if schemes.count(scheme) > 1})
    if twice:
        raise UserError(f"--schemes names {', '.join(twice)} more than once")
    return schemes
