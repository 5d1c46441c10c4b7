"""`accelsim diff`."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accelsim.cli import options, output
from accelsim.cli.output import Column, amount
from accelsim.errors import UserError

if TYPE_CHECKING:
    from accelsim.results import Result
    from accelsim.results.diff import ArrayDiff, Change, ResultDiff, Setting
    from accelsim.results.sweep_diff import SweepDiff

WORSE = 3
"""Exit status when a guarded total rose by more than was allowed."""

Before = Annotated[Path, typer.Argument(metavar="BEFORE", help="Folder of a saved run, a comparison or a sweep.")]
After = Annotated[Path, typer.Argument(metavar="AFTER", help="Another of the same kind.")]
FailAbove = Annotated[
    str | None,
    typer.Option(
        metavar="PERCENT",
        show_default=False,
        help="End with status 3 when latency or energy rose by more, as in 2%, or a point of a sweep newly fails.",
    ),
]
Top = Annotated[int, typer.Option(min=1, help="Kernels and points shown; --json has all.")]

_NAMED = 3
"""Numbers of a point that are named beside latency and energy."""
_CHANGES = (Column("before", True), Column("after", True), Column("change", True), Column("%", True))


def diff(
    before: Before,
    after: After,
    fail_above: FailAbove = None,
    top: Top = 12,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """What changed between two saved results, comparisons or sweeps. Nothing is printed of what is alike."""
    allowed = None if fail_above is None else _percent(fail_above)
    from accelsim.results.saved import is_sweep

    missing = [folder for folder in (before, after) if not folder.is_dir()]
    if missing:
        raise UserError(f"{missing[0]}: no such folder of results")
    kinds = [is_sweep(folder) for folder in (before, after)]
    if kinds[0] != kinds[1]:
        sweep, other = (before, after) if kinds[0] else (after, before)
        raise UserError(f"{sweep} holds a sweep and {other} does not; name two of a kind")
    worst = (_sweeps if kinds[0] else _results)(before, after, allowed, top, json, quiet)
    if allowed is not None and worst > allowed:
        if not json and not quiet:
            output.message(f"latency or energy rose by {worst:.3g} %, more than {allowed:g} %")
        raise typer.Exit(WORSE)


def _percent(text: str) -> float:
    found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*%\s*", text)
    if found is None:
        raise UserError(f"--fail-above {text}: needs a percentage that is not negative, as in 2%")
    return float(found[1])


def _results(before: Path, after: Path, allowed: float | None, top: int, json: bool, quiet: bool) -> float:
    """Compare runs or comparisons; returns the largest rise in percent."""
    from accelsim.results.diff import diff_results
    from accelsim.results.saved import load_results

    sides = [load_results(folder) for folder in (before, after)]
    if len(sides[0]) == len(sides[1]) == 1:
        pairs = [(next(iter(sides[0].values())), next(iter(sides[1].values())))]
        added, removed = [], []
    else:
        pairs = [(one, sides[1][scheme]) for scheme, one in sides[0].items() if scheme in sides[1]]
        added = [scheme for scheme in sides[1] if scheme not in sides[0]]
        removed = [scheme for scheme in sides[0] if scheme not in sides[1]]
    found = [diff_results(one, other) for one, other in pairs]
    worst = max((one.worst_percent() for one in found), default=0.0)
    equal = not added and not removed and all(one.is_empty for one in found)
    if json:
        rows = [
            {"before": _name(pair[0]), "after": _name(pair[1]), **one.document()}
            for pair, one in zip(pairs, found, strict=True)
        ]
        _document("results", equal, worst, allowed, {"results": rows, "added": added, "removed": removed})
    elif not quiet:
        output.lines([f"Schemes only before: {', '.join(removed)}."] if removed else [])
        output.lines([f"Schemes only after: {', '.join(added)}."] if added else [])
        for pair, one in zip(pairs, found, strict=True):
            _report(_title(*pair), one, top)
    return worst


def _sweeps(before: Path, after: Path, allowed: float | None, top: int, json: bool, quiet: bool) -> float:
    """Compare sweeps; returns the largest rise in percent."""
    from accelsim.explore.sweep.results import saved_sweeps
    from accelsim.results.saved import is_finished_sweep
    from accelsim.results.sweep_diff import diff_sweeps

    sides = saved_sweeps(before, after)
    for folder, side in zip((before, after), sides, strict=True):
        if not is_finished_sweep(folder) and not quiet:
            output.message(f"{folder}: its sweep has not ended; the {len(side.points)} points that it has are compared")
    found = diff_sweeps(*sides)
    worst = found.worst_percent()
    if json:
        _document("sweep", found.is_empty, worst, allowed, found.document())
    elif not quiet:
        _report_sweep(found, top)
    return worst


def _document(kind: str, equal: bool, worst: float, allowed: float | None, rest: dict[str, Any]) -> None:
    from accelsim.results.schema import SCHEMA_VERSION
    from accelsim.results.store import json_text
    from accelsim.results.tables import plain

    head = {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "equal": equal,
        "worst_percent": worst,
        "exceeded": None if allowed is None else worst > allowed,
    }
    output.document(json_text(plain({**head, **rest})))  # type: ignore[arg-type]


def _name(result: "Result") -> dict[str, object]:
    return {key: result.summary[key] for key in ("hardware", "workload", "scheme", "engine")}


def _title(before: "Result", after: "Result") -> str:
    names = [f"{one.summary['workload']} on {one.summary['hardware']}, {one.scheme}" for one in (before, after)]
    return names[0] if names[0] == names[1] else f"{names[0]} -> {names[1]}"


def _report(title: str, found: "ResultDiff", top: int) -> None:
    if found.is_empty:
        output.lines([f"{title}: no difference."])
        return
    _settings(f"{title}: config", found.config)
    _changes("Totals", "quantity", found.totals)
    _changes("Time by cause (us)", "cause", found.causes)
    _changes("Energy (uJ)", "action", found.energy)
    many = f"Kernels (us), the {top} of {len(found.kernels)} that changed most"
    _changes(many if len(found.kernels) > top else "Kernels (us)", "kernel", found.kernels[:top])
    _settings("Besides", found.texts)
    output.lines([f"{one.name}: {_difference(one)}." for one in found.arrays])


def _difference(array: "ArrayDiff") -> str:
    if array.differing is None or array.largest is None:
        return "one of the two lacks it, or shapes differ"
    return f"{array.differing:,} of {array.size:,} elements differ, by up to {array.largest:.3g}"


def _report_sweep(found: "SweepDiff", top: int) -> None:
    if found.is_empty:
        output.lines([f"No difference in {found.compared} points."])
        return
    _settings("Sweep", found.config)
    counts = (("added", found.added), ("removed", found.removed))
    output.lines([f"Points {word}: {len(points)} ({_points(points, top)})." for word, points in counts if points])
    output.lines([f"Points changed: {len(found.changed)} of the {found.compared} that both have."])
    rows = []
    for point in found.changed[:top]:
        totals = {change.name: change for change in point.totals}
        error = next((f"{one.before} -> {one.after}" for one in point.texts if one.path == "error"), "")
        cells = [str(value) for value in point.point.values()]
        pairs = [_pair(totals.get(key)) for key in ("latency_us", "energy_uj")]
        others = [name for name in totals if name not in ("latency_us", "energy_uj")]
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        rows.append([*cells, *pairs, error or ", ".join(others[:_NAMED]) + more])
    columns = [Column(axis) for axis in found.axes]
    columns += [Column("latency (us)", True), Column("energy (uJ)", True), Column("besides")]
    if rows:
        output.table("Points whose latency or energy rose most", columns, rows)


def _pair(change: "Change | None") -> str:
    if change is None:
        return "alike"
    return f"{amount(change.before)} -> {amount(change.after)} ({_relative(change)})"


def _relative(change: "Change") -> str:
    return "-" if change.percent is None else f"{change.percent:+.3g} %"


def _points(points: Sequence[dict[str, object]], top: int) -> str:
    shown = ["/".join(str(value) for value in point.values()) for point in points[: min(top, 4)]]
    return ", ".join(shown) + (", ..." if len(points) > len(shown) else "")


def _settings(title: str, found: "Sequence[Setting]") -> None:
    if found:
        rows = [[one.path, _text(one.before), _text(one.after)] for one in found]
        output.table(title, [Column("key"), Column("before"), Column("after")], rows)


def _text(value: object) -> str:
    return "-" if value is None else str(value)


def _changes(title: str, what: str, found: "Sequence[Change]") -> None:
    if found:
        rows = [
            [one.name, amount(one.before), amount(one.after), f"{one.delta:+.4g}", _relative(one).removesuffix(" %")]
            for one in found
        ]
        output.table(title, [Column(what), *_CHANGES], rows)
