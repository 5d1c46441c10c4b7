"""`accelsim study`."""

from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli import complete, options, output
from accelsim.cli.progress import Progress
from accelsim.errors import UserError

if TYPE_CHECKING:
    from accelsim.explore.accuracy.study_table import Study

METHODS = (
    "hdp,hdp_paper,hdp_robust,top_k,oracle,random,cascade_tokens,"
    "heads_hdp,heads_top_k,heads_oracle,heads_random,heads_cascade"
)

Workloads = Annotated[
    list[str],
    typer.Argument(
        metavar="WORKLOAD...",
        help="Names (accelsim workload list) or paths of YAML files: one network, trained from one or more seeds.",
        autocompletion=complete.one_of(complete.workloads),
    ),
]
Methods = Annotated[str, typer.Option(help="Separated by commas; a wrong one names them all.")]
BlockRatios = Annotated[str, typer.Option(help="Shares of query-key pairs to prune, separated by commas; '' for none.")]
HeadRatios = Annotated[str, typer.Option(help="Shares of heads to prune, likewise.")]
Split = Annotated[str, typer.Option(help="Which of the workload's inputs are told about.")]
Calibration = Annotated[str, typer.Option(help="Which of them thresholds are solved on.")]


def study(
    workloads: Workloads,
    methods: Methods = METHODS,
    block_ratios: BlockRatios = "0.5,0.7,0.86",
    head_ratios: HeadRatios = "0.125,0.25,0.375",
    split: Split = "test",
    calibration: Calibration = "calibration",
    set_: options.Sets = None,
    seed: options.Seed = 0,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Accuracy against what is pruned dynamically, under HDP, SpAtten's cascades, oracles and random controls."""
    chosen = _words(methods, "--methods")
    shares = _shares(block_ratios, "--block-ratios"), _shares(head_ratios, "--head-ratios")
    options.check_out(out, whole=True)
    from accelsim.explore.accuracy import study as run_study

    with Progress(quiet, "points") as progress:
        found = run_study(
            workloads,
            methods=chosen,
            block_ratios=shares[0],
            head_ratios=shares[1],
            split=split,
            calibration=calibration,
            sets=list(set_ or ()),
            seed=seed,
            progress=progress.show,
        )
    if out is not None:
        from accelsim.show.accuracy import study_files

        found.save(out, study_files(found.to_frame(), found.dense_score, found.measure))
    if json:
        output.document(found.to_json())
    elif not quiet:
        _report(found)
    if out is not None and not quiet:
        output.message(f"saved {out}")


def _words(text: str, option: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise UserError(f"{option} names nothing")
    return words


def _shares(text: str, option: str) -> list[float]:
    shares = []
    for word in filter(None, (word.strip() for word in text.split(","))):
        try:
            share = float(word)
        except ValueError:
            share = -1.0
        if not 0 < share < 1:
            raise UserError(f"{option} {text}: {word!r} is no share; allowed: 0 < share < 1")
        shares.append(share)
    return shares


_COLUMNS = (
    output.Column("method"),
    output.Column("asked", True),
    output.Column("pairs pruned", True),
    output.Column("heads pruned", True),
    output.Column("score", True),
    output.Column("+-", True),
    output.Column("points lost", True),
    output.Column("95 % interval", True),
    output.Column("beyond random", True),
    output.Column("beyond cascade", True),
    output.Column("margin change", True),
)
_TITLES = {"blocks": "Blocks, tokens and values left out", "heads": "Heads left out"}


def _report(found: "Study") -> None:
    from accelsim.explore.accuracy.study_table import deviation

    spread = deviation(found.dense, found.wanted)
    over = f" +- {100 * spread:.2f}" if spread is not None else ""
    names = ", ".join(found.workloads)
    dense = f"dense {found.measure} {_points(found.dense_score)}{over} {'%' if found.wanted is None else 'hundredths'}"
    output.lines([f"{names}, {found.items} inputs of split {found.split}: {dense}", ""])
    for axis, title in _TITLES.items():
        rows = [_row(record) for record in found.records if record["axis"] == axis]
        if rows:
            output.table(title, _COLUMNS, rows)
    notes = [f"Not available: {each.method} at {100 * each.asked:g} %: {each.reason}." for each in found.unreachable]
    output.lines([*notes, *found.notes()])


def _row(record: dict[str, object]) -> list[str]:
    spread = record["score_deviation"]
    return [
        str(record["method"]),
        output.percent(record["asked"]),
        output.percent(record["pairs_pruned"]),
        output.percent(record["heads_pruned"]),
        _points(record["score"]),
        "-" if spread is None else _points(spread, 2),
        _points(record["loss"]),
        _interval(record, "loss"),
        _interval(record, "gain_over_random"),
        _interval(record, "gain_over_cascade"),
        output.amount(record["margin_change"], 3),
    ]


def _points(share: object, digits: int = 1) -> str:
    """A share in points of a hundred."""
    return f"{100 * share:.{digits}f}" if isinstance(share, float) else "-"


def _interval(record: dict[str, object], name: str) -> str:
    low, high = record[f"{name}_low"], record[f"{name}_high"]
    return "-" if low is None else f"{_points(low)} to {_points(high)}"
