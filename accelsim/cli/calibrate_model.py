"""`accelsim calibrate`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli import complete, options, output
from accelsim.cli.budget_options import Count, Judge, KeepMargin, Minimise, check_judge, share
from accelsim.cli.group import suggest
from accelsim.cli.progress import Progress
from accelsim.cli.written import check_yaml
from accelsim.errors import UserError

if TYPE_CHECKING:
    from accelsim.config.scheme import SchemeName
    from accelsim.explore.budget import Calibrated

OBJECTIVES = ("kept", "latency", "energy")
_SEARCHED = tuple(scheme for scheme in options.ALL_SCHEMES if scheme not in ("dense", "dense_on_unit"))


def calibrate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Workload with trained weights: a name, or the path of a YAML file.",
            autocompletion=complete.one_of(complete.workloads),
        ),
    ],
    budget: Annotated[str, typer.Option(metavar="SHARE", help="What may be lost, as 1% or 0.01.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FILE.yaml", help="Where the calibrated model is written.")
    ],
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DATA.npz]", exists=True, dir_okay=False, show_default=False, help="In place of the model's data."
        ),
    ] = None,
    hw: Annotated[
        str,
        typer.Option(
            "--hw",
            metavar="HARDWARE",
            help="Machine (see: accelsim hw list).",
            autocompletion=complete.one_of(complete.machines),
        ),
    ] = "edge_hdp",
    scheme: Annotated[
        str, typer.Option(help=f"What is pruned: one or more of {', '.join(_SEARCHED)}; the best is taken.")
    ] = "hdp",
    split: Annotated[str, typer.Option(help="Split of the data that settings are chosen on.")] = "calibration",
    test_split: Annotated[str, typer.Option(help="Split that the choice is checked on; none for no check.")] = "test",
    minimise: Minimise = "kept",
    judge: Judge = "auto",
    keep_margin: KeepMargin = 0.5,
    inputs: Count = None,
    evaluations: Annotated[int, typer.Option(min=1, help="Settings that may be tried.")] = 200,
    set_: options.Sets = None,
    engine: options.Engine = "estimate",
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find how much of a model can be pruned within a budget of accuracy (of a machine's parameters: calibrate-hw)."""
    allowed, schemes = share("--budget", budget), _schemes(scheme)
    device, judged = options.check_engine(engine), check_judge(judge)
    if minimise not in OBJECTIVES:
        raise UserError(suggest("what to minimise", minimise, list(OBJECTIVES)))
    check_yaml(out, "a calibrated model", extends=model)
    from accelsim.explore.budget import calibrate as find
    from accelsim.explore.budget.written import calibrated_yaml
    from accelsim.validate.fitted_yaml import write_yaml

    with Progress(quiet or not sys.stderr.isatty(), "settings") as progress:
        found = find(
            model,
            budget=allowed,
            hardware=hw,
            schemes=schemes,
            data=data,
            split=split,
            test_split=None if test_split == "none" else test_split,
            count=inputs,
            objective=minimise,  # type: ignore[arg-type]
            judge=judged,
            keep_margin=keep_margin,
            evaluations=evaluations,
            sets=tuple(set_ or ()),
            engine=device,
            seed=seed,
            progress=progress.show,
        )
    write_yaml(calibrated_yaml(found, model, out), out)
    if json:
        output.document(found.to_json())
    elif not quiet:
        _report(found)
    if not quiet:
        output.message(f"saved {out}; run it with --scheme {found.chosen.setting.scheme}")


def _schemes(text: str) -> "tuple[SchemeName, ...]":
    schemes = options.split_schemes(text)
    for word in schemes:
        if word not in _SEARCHED:
            raise UserError(f"scheme {word} prunes nothing to calibrate; allowed: {', '.join(_SEARCHED)}")
    return schemes


def _report(found: "Calibrated") -> None:
    columns = [
        *(output.Column("split"), output.Column("setting"), output.Column("inputs", True)),
        *(output.Column(title, True) for title in (found.metric, "lost", "MACs kept", "blocks pruned", "heads pruned")),
        *(output.Column(title, True) for title in ("weights pruned", "latency (us)", "energy (uJ)")),
    ]
    frame = found.to_frame()
    rows = [
        [
            *(str(row["split"]), str(row["which"]), str(row["inputs"])),
            *(output.percent(row[key], 4) for key in ("quality", "loss", "kept", "block_ratio", "head_ratio")),
            output.percent(row["weight_sparsity"]),
            *(output.amount(row[key]) for key in ("latency_us", "energy_uj")),
        ]
        for row in frame.to_dict("records")
    ]
    title = f"{found.workload} on {found.hardware}: within {output.percent(found.budget)}, least {found.objective}"
    output.table(title, columns, rows)
    output.lines([f"Chosen of {len(found.tried)} settings: {found.chosen.setting.words()}", *_notes(found)])


def _notes(found: "Calibrated") -> list[str]:
    notes = []
    if found.chosen.setting.scheme == "dense":
        notes.append("Every setting lost more than the budget, so nothing is pruned.")
    notes += _dearer(found)
    if found.interval is not None:
        change, low, high = (
            100 * value for value in (found.interval.difference, found.interval.low, found.interval.high)
        )
        notes.append(f"Change on the test split: {change:+.2f} points, 95 % interval {low:+.2f} to {high:+.2f}.")
    if found.held is not None:
        verdict = "keeps the budget" if found.held else "exceeds the budget"
        notes.append(f"On the test split, whose inputs took no part in the choice, its {found.metric} {verdict}.")
        lost = 0.0 if found.checked is None else found.checked.verdict.loss
        if found.held and lost > found.budget:
            notes.append(
                f"Counted as in the choice, by answers wrong or short of margin, {output.percent(lost)} is lost."
            )
    return notes


def _dearer(found: "Calibrated") -> list[str]:
    """A word where the chosen setting takes more than the dense network, as on a machine with a slow unit or link."""
    frame = found.to_frame()
    dense, chosen = (frame[frame["which"] == which].iloc[0] for which in ("dense", "chosen"))
    more = [word for word, key in (("time", "latency_us"), ("energy", "energy_uj")) if chosen[key] > dense[key]]
    if not more:
        return []
    return [f"On {found.hardware} it takes more {' and '.join(more)} than the dense network on the GPU."]
