"""`accelsim explain`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accelsim.cli import complete, options, output
from accelsim.cli.output import Column, amount
from accelsim.cli.progress import Progress
from accelsim.errors import UserError

if TYPE_CHECKING:
    from accelsim.explore.what_if import WhatIf
    from accelsim.results import Result
    from accelsim.results.explain import Explanation

Result_ = Annotated[
    str,
    typer.Argument(
        metavar="RESULT",
        help="Folder of a saved run or comparison; or HARDWARE, followed by WORKLOAD.",
        autocompletion=complete.one_of(complete.machines),
    ),
]
Baseline = Annotated[
    str | None,
    typer.Argument(
        metavar="BASELINE",
        show_default=False,
        help="Folder of the dense run that losses refer to; or WORKLOAD.",
        autocompletion=complete.one_of(complete.workloads),
    ),
]
Schemes = Annotated[
    str | None,
    typer.Option(
        "--scheme",
        show_default=False,
        help="Of a comparison, or to run: schemes separated by commas (else all, dense).",
        autocompletion=options.complete_schemes,
    ),
]
Top = Annotated[int, typer.Option(min=0, help="Kernels shown; --json has all.")]
Without = Annotated[
    bool, typer.Option("--what-if", help="Run again without one mechanism of the machine at a time: what each costs.")
]

_LEAST = 1e-5
"""Share of the latency below which a loss is not shown."""
_SHARE = Column("share (%)", number=True)


def explain(
    result: Result_,
    baseline: Baseline = None,
    scheme: Schemes = None,
    sparsity: options.Sparsity = None,
    set_: options.Sets = None,
    engine: options.Engine = "events",
    values: options.Values = True,
    seed: options.Seed = 0,
    force: options.Force = False,
    what_if: Without = False,
    top: Top = 12,
    out: options.Out = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Where time went, by cause and by kernel, and why saved work is not saved time."""
    options.check_out(out, whole=True)
    if Path(result).is_dir():
        given: dict[str, object] = {
            "--sparsity": sparsity,
            "--set": set_,
            "--force": force or None,
            "--no-values": None if values else 1,
        }
        given |= {"--engine": None if engine == "events" else engine, "--seed": seed or None}
        results, dense = _saved(result, baseline, scheme, given)
    else:
        settings: dict[str, Any] = {"sets": tuple(set_ or ()), "engine": options.check_engine(engine), "values": values}
        settings |= {"seed": seed, "sparsity": sparsity, "force": force}
        with Progress(quiet, "simulating"):
            results, dense = _run(result, baseline, scheme, settings)
    from accelsim.results.explain import explain as explanations_of

    found = explanations_of(results, dense)
    costs = _what_if(found, quiet) if what_if else []
    text = _document(found, costs)
    if out is not None:
        _save(found, text, out)
    if json:
        output.document(text)
    elif not quiet:
        _report(found, costs, top)
    if out is not None and not quiet:
        output.message(f"saved {out}")


def _saved(
    folder: str, baseline: str | None, schemes: str | None, given: Mapping[str, object]
) -> "tuple[list[Result], Result | None]":
    from accelsim.results.saved import load_one, load_results

    idle = [name for name, value in given.items() if value is not None]
    if idle:
        raise UserError(f"{idle[0]} belongs to a run, and {folder} is a saved one; give HARDWARE and WORKLOAD to run")
    found = load_results(folder)
    dense = found.get("dense") if baseline is None else load_one(baseline, "dense" if _many(baseline) else None)
    if schemes is None:
        return list(found.values()), dense
    wanted = options.split_schemes(schemes)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise UserError(f"{folder} holds no {missing[0]}; it holds {', '.join(found)}")
    return [found[name] for name in wanted], dense


def _many(folder: str) -> bool:
    from accelsim.results.saved import load_results

    return len(load_results(folder)) > 1


def _run(
    hardware: str, workload: str | None, schemes: str | None, settings: dict[str, Any]
) -> "tuple[list[Result], Result | None]":
    """Results of the schemes that were asked for, and the dense one where another was."""
    if workload is None:
        raise UserError(f"{hardware}: no such folder of results; to run something, give HARDWARE and WORKLOAD")
    wanted = options.split_schemes(schemes or "dense")
    import accelsim

    if wanted == ("dense",):
        return [accelsim.run(hardware, workload, **settings)], None
    compared = accelsim.compare(hardware, workload, schemes=wanted, **settings)
    return [compared[name] for name in wanted], compared.baseline


def _what_if(found: "Sequence[Explanation]", quiet: bool) -> "list[list[WhatIf]]":
    from accelsim.explore.what_if import what_if

    costs = []
    for one in found:
        with Progress(quiet, "machines") as progress:
            costs.append(what_if(one.result, progress=progress.show))
    return costs


def _document(found: "Sequence[Explanation]", costs: "Sequence[Sequence[WhatIf]]") -> str:
    from accelsim.results.explain import explanations_text

    if not costs:
        return explanations_text(found)
    rows = [
        {
            "scheme": one.result.scheme,
            "mechanisms": [cost.document(one.result.value("latency_us")) for cost in of_one],
        }
        for one, of_one in zip(found, costs, strict=True)
    ]
    return explanations_text(found, what_if=rows)


def _save(found: "Sequence[Explanation]", text: str, out: Path) -> None:
    from accelsim.results.store import write_folder
    from accelsim.show.explain import explanation_files

    write_folder(out, {"explain.json": text.encode(), **explanation_files(found)})


def _report(found: "Sequence[Explanation]", costs: "Sequence[Sequence[WhatIf]]", top: int) -> None:
    _stacks(found)
    for index, one in enumerate(found):
        if top:
            _kernels(one, top)
        _resources(one)
        _losses(one)
        if costs:
            _costs(one, costs[index])


def _stacks(found: "Sequence[Explanation]") -> None:
    """Time and share by cause, two columns for each result; they add up to the latency and to 100."""
    from accelsim.results.stack import MEANINGS, ordered

    stacks = [{str(row["cause"]): row for row in one.stack_rows()} for one in found]
    causes = ordered(cause for stack in stacks for cause in stack)
    columns = [Column("cause")]
    for one in found:
        columns += [Column(f"{one.result.scheme} (us)", number=True), _SHARE]
    rows = []
    for cause in causes:
        cells = [cell for stack in stacks for cell in _cells(stack.get(cause))]
        rows.append([cause, *cells, MEANINGS.get(cause, "")])
    sums = [cell for one in found for cell in (amount(one.result.value("latency_us")), "100.00")]
    rows.append(["sum", *sums, ""])
    summary = found[0].result.summary
    title = f"{summary['workload']} on {summary['hardware']}: where the latency went"
    output.table(title, [*columns, Column("meaning")], rows)


def _cells(row: Mapping[str, object] | None) -> list[str]:
    return ["-", "-"] if row is None else [amount(row["time_us"]), f"{row['share_percent']:.2f}"]


def _kernels(one: "Explanation", top: int) -> None:
    rows = one.kernel_rows()
    shown = [
        [
            str(row["name"] or "(nothing)"),
            amount(row["time_us"]),
            f"{row['share_percent']:.2f}",
            str(row["largest_cause"] or "-"),
            "-" if row["largest_cause"] is None else f"{_largest(row):.1f}",
            str(row["bound"] or "-"),
            amount(row["attained_percent"], 3),
        ]
        for row in rows[:top]
    ]
    columns = [Column("kernel"), Column("time (us)", True), _SHARE, Column("mostly"), Column("of it (%)", True)]
    columns += [Column("roof"), Column("attained (%)", True)]
    title = f"{one.result.scheme}: the longest {len(shown)} of {len(rows)}"
    output.table(title, columns, shown)


def _largest(row: Mapping[str, Any]) -> float:
    return 100 * float(row["causes_us"][row["largest_cause"]]) / float(row["time_us"])


def _resources(one: "Explanation") -> None:
    units = one.result.units
    rows = [
        [str(unit), amount(busy), f"{used:.1f}"]
        for unit, busy, used in zip(units["unit"], units["busy_us"], units["utilisation_percent"], strict=True)
        if busy
    ]
    output.table(
        f"{one.result.scheme}: resources", [Column("unit"), Column("busy (us)", True), Column("%", True)], rows
    )
    at = one.position
    if at is not None:
        intensity = "" if at.intensity_flop_per_byte is None else f" at {at.intensity_flop_per_byte:.3g} FLOP/B"
        output.lines(
            [
                f"Roof of the GPU{intensity}: {amount(max(at.compute_us, at.dram_us))} us, set by {at.bound} "
                f"({amount(at.compute_us)} us of multiply-accumulates, {amount(at.dram_us)} us of DRAM); its kernels "
                f"reach {amount(at.attained_percent, 3)} % of it.",
                "",
            ]
        )


def _losses(one: "Explanation") -> None:
    found = one.losses
    if found is None:
        return
    columns = [Column("step"), Column("time (us)", True), Column("reached (us)", True)]
    columns += [Column("speed-up without it", True), Column("meaning")]
    rows = [["ideal", amount(found.ideal_ps / 1e6), amount(found.ideal_ps / 1e6), "", "dense time of what is left"]]
    rows += [
        [
            str(row["loss"]),
            f"{row['time_us']:+.4g}",
            amount(row["reached_us"]),
            "-" if row["speedup_without"] is None else f"{amount(row['speedup_without'], 3)}x",
            str(row["meaning"]),
        ]
        for row in found.rows()
        if abs(float(str(row["time_ps"]))) >= _LEAST * found.actual_ps
    ]
    rows.append(["actual", amount(found.actual_ps / 1e6), amount(found.actual_ps / 1e6), f"{found.speedup:.3g}x", ""])
    saved, gained = f"{found.macs_saved:.3g}x", f"{found.speedup:.3g}x"
    title = f"{one.result.scheme}: {saved} fewer multiply-accumulates, {gained} the speed of dense"
    output.table(title, columns, rows)


def _costs(one: "Explanation", costs: "Sequence[WhatIf]") -> None:
    base = one.result.value("latency_us")
    rows = [
        [cost.mechanism, amount(cost.latency_us), f"{cost.gained_us:+.4g}", f"{100 * cost.gained_us / base:+.1f}",
         cost.instead]
        for cost in costs
    ]  # fmt: skip
    columns = [Column("without"), Column("latency (us)", True), Column("gained (us)", True), Column("%", True)]
    output.table(f"{one.result.scheme}: without one mechanism at a time", [*columns, Column("instead")], rows)
