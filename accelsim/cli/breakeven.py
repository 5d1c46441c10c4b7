"""`accelsim breakeven`."""

from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli import complete, options, output
from accelsim.cli.group import suggest
from accelsim.cli.progress import Progress
from accelsim.errors import UserError

if TYPE_CHECKING:
    from accelsim.config.workload import Workload
    from accelsim.explore.breakeven_table import BreakEven, Cell

ALL_PATTERNS = ",".join(options.PATTERNS)
DEFAULT_WORKLOAD, DEFAULT_BATCH = "bert_base_layer", 100

Hardware = Annotated[
    list[str],
    typer.Argument(
        metavar="HARDWARE...",
        help="One or more: names (accelsim hw list) or paths of YAML files.",
        autocompletion=complete.one_of(complete.machines),
    ),
]
Workload_ = Annotated[
    str | None,
    typer.Option(
        show_default=False,
        help="Whose products are taken; left out, an encoder layer of BERT-Base at batch 100 and sequence 128.",
        autocompletion=complete.one_of(complete.workloads),
    ),
]
Size = Annotated[
    int | None, typer.Option(min=1, show_default=False, help="With the other two of m, n and k: one product instead.")
]
Batch = Annotated[
    int | None, typer.Option(min=1, show_default=False, help="So many times the workload's own inputs at once.")
]
Sequence = Annotated[
    int | None, typer.Option(min=1, show_default=False, help="Tokens of a sequence (workload.sequence).")
]
Patterns = Annotated[
    str, typer.Option(help="Separated by commas.", autocompletion=complete.several_of(lambda: options.PATTERNS))
]
SearchEngine = Annotated[str, typer.Option(help="estimate or events: what searches.")]
Confirm = Annotated[bool, typer.Option("--confirm/--no-confirm", help="Whether events settle what estimate finds.")]
Limit = Annotated[float, typer.Option(help="Highest sparsity looked at.")]
Step = Annotated[float, typer.Option(help="Of the sparsities that are always run.")]
Resolution = Annotated[float, typer.Option(help="Of the answers.")]


def breakeven(
    hardware: Hardware,
    workload: Workload_ = None,
    m: Size = None,
    n: Size = None,
    k: Size = None,
    batch: Batch = None,
    sequence: Sequence = None,
    patterns: Patterns = ALL_PATTERNS,
    set_: options.Sets = None,
    engine: SearchEngine = "estimate",
    confirm: Confirm = True,
    limit: Limit = 0.98,
    step: Step = 0.05,
    resolution: Resolution = 0.005,
    seed: options.Seed = 0,
    force: options.Force = False,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """From which sparsity each pattern beats dense weights, and where that is undecided within the model's errors."""
    chosen, device = _patterns(patterns), options.check_engine(engine)
    options.check_out(out, whole=True)
    from accelsim.explore import Search, break_even

    search = Search(engine=device, confirm=confirm, limit=limit, step=step, resolution=resolution)
    sets = list(set_ or ())
    if sequence is not None:
        sets.append(f"workload.sequence={sequence}")
    named = workload is not None or m is not None
    with Progress(quiet, "answers") as progress:
        found = break_even(
            hardware,
            _workload(workload, m, n, k),
            batch=batch or (1 if named else DEFAULT_BATCH),
            patterns=chosen,
            sets=sets,
            search=search,
            seed=seed,
            force=force,
            progress=progress.show,
        )
    if out is not None:
        from accelsim.show import break_even_files

        found.save(out, break_even_files(found.points_frame()))
    if json:
        output.document(found.to_json())
    elif not quiet:
        _report(found)
    if out is not None and not quiet:
        output.message(f"saved {out}")


def _patterns(text: str) -> tuple[str, ...]:
    chosen = tuple(word.strip() for word in text.split(",") if word.strip())
    for word in chosen:
        if word not in options.PATTERNS:
            raise UserError(suggest("pattern", word, list(options.PATTERNS)))
    if not chosen:
        raise UserError(f"--patterns names no pattern; allowed: {', '.join(options.PATTERNS)}")
    return chosen


def _workload(name: str | None, m: int | None, n: int | None, k: int | None) -> "str | Workload":
    """The workload that is named, or the product of the given sizes."""
    sizes = {"m": m, "n": n, "k": k}
    given = [f"--{size}" for size, value in sizes.items() if value is not None]
    if not given:
        return DEFAULT_WORKLOAD if name is None else name
    if name is not None:
        raise UserError(f"{', '.join(given)} give a product, and --workload names others; give one of them")
    if m is None or n is None or k is None:
        missing = [f"--{size}" for size, value in sizes.items() if value is None]
        raise UserError(f"a product has m, n and k; {', '.join(missing)} missing")
    from accelsim.config.workload import GemmWorkload

    return GemmWorkload(kind="gemm", name=f"{m} x {n} x {k}", m=m, n=n, k=k)


_COLUMNS = (
    output.Column("product"),
    output.Column("pattern"),
    output.Column("beats dense from", True),
    output.Column("undecided", True),
    output.Column("speed-up at most", True),
    output.Column("remark"),
)


def _report(found: "BreakEven") -> None:
    """A table for each machine, then what a reader should know."""
    for machine in dict.fromkeys(cell.hardware for cell in found.cells):
        cells = [cell for cell in found.cells if cell.hardware == machine]
        rows, last = [], ""
        for cell in cells:
            rows.append(["" if cell.product == last else cell.product, *_row(cell)])
            last = cell.product
        batch = f", batch x {found.batch}" if found.batch > 1 else ""
        output.table(f"{found.workload} on {machine}, {found.dtype}{batch}: break-even", _COLUMNS, rows)
    repeated = [f"{one.count} of {one.name}" for one in found.products if one.count > 1]
    notes = [f"all: every product as often as the workload has it ({', '.join(repeated)})."] if repeated else []
    reasons: dict[str, dict[str, None]] = {}
    for cell in found.cells:
        if cell.reason is not None:
            reasons.setdefault(cell.reason, {})[cell.pattern] = None
    notes += [f"Not available ({', '.join(patterns)}): {reason}." for reason, patterns in reasons.items()]
    output.lines([*notes, *found.notes()])


def _row(cell: "Cell") -> list[str]:
    if cell.reason is not None:
        return [cell.pattern, "not available", "-", "-", "see below"]
    best = max(point.speedup.value for point in cell.points if point.engine == cell.points[-1].engine)
    return [cell.pattern, _from(cell), _undecided(cell), f"{best:.3g}x", _remark(cell)]


def _from(cell: "Cell") -> str:
    return "never" if cell.beats_from is None else output.percent(cell.beats_from)


def _undecided(cell: "Cell") -> str:
    if not cell.has_interval:
        return "unknown"
    if cell.undecided is None:
        return "-"
    low, high = cell.undecided
    if low == high:
        return f"at {output.percent(low)}"
    return f"{100 * low:.3g} to {output.percent(high)}"


def _remark(cell: "Cell") -> str:
    """What the figures do not say by themselves."""
    highest = output.percent(cell.highest)
    if cell.lowest == cell.highest:
        return f"has {highest} alone"
    if cell.beats_from is None:
        return f"up to {highest}"
    remarks = []
    if cell.beats_from == cell.lowest:
        remarks.append("its lowest")
    if cell.has_interval and cell.surely_from is None:
        remarks.append(f"undecided up to the highest, {highest}")
    return "; ".join(remarks)
