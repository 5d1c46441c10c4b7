"""The page of a sweep, finished or not."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from accelsim.numerals import amount, count, percent
from accelsim.results.front import unbeaten
from accelsim.results.tables import plain, records
from accelsim.show.report.blocks import Card, Cards, Charts, Code, Note, Page, Scatter, Section
from accelsim.show.report.scatter import HOVER, Point, pareto, thinned, told
from accelsim.show.report.sections import interval_text
from accelsim.show.report.tables import Column, Table, label, table

ROWS = 10_000
"""Points that the table holds; of more, those that no other one beats and an even choice of the rest."""
_SERIES = 8
"""Values of an axis that colours tell apart."""

_QUANTITIES = (
    Column("weights pruned", "weight_sparsity", percent),
    Column("latency (us)", "latency_us", amount),
    Column("80 % interval (us)", "interval"),
    Column("energy (uJ)", "energy_uj", amount),
    Column("MACs done", "effectual_macs", count),
    Column("blocks pruned", "block_ratio", percent),
    Column("heads pruned", "head_ratio", percent),
    Column("error of the output", "max_rel_error", percent),
    Column("accuracy", "accuracy", percent),
)


def sweep_page(
    name: str, axes: Sequence[str], points: pd.DataFrame, identity: Mapping[str, Any], title: str | None = None
) -> Page:
    """All that the points of a sweep say.

    Parameters
    ----------
    name : str
        Of the sweep.
    axes : sequence of str
        Columns that were swept.
    points : pandas.DataFrame
        A row for each point: axes, `error`, and the summary's keys; without rows for a sweep that has just begun.
    identity : mapping
        What the sweep is of; may be empty.
    title : str, optional
        Left out, the sweep's name.
    """
    good = points[points["error"].isna() & points["latency_us"].notna()] if "latency_us" in points else points.iloc[:0]
    good = good.reset_index(drop=True)
    varied = [axis for axis in axes if points[axis].nunique() > 1] or list(axes)
    charts = _charts(good, varied) if len(good) else []
    sections = [_summary(points, good, varied)]
    sections += [Section("tradeoffs", "Trade-offs", [Charts(charts)], HOVER)] if charts else []
    sections.append(Section("points", "Points", [_points_table(points, varied)]))
    failed = points[points["error"].notna()]
    if len(failed):
        sections.append(Section("failed", "Points that failed", [_failures(failed, varied)]))
    sections.append(_provenance(identity))
    shown = ("hardware", "workload", "scheme", "engine", "accelsim")
    facts = [(key, str(identity[key])) for key in shown if key in identity and key not in axes]
    subject = f"Simulated sweep over {', '.join(varied)}"
    return Page(title or _title(name, axes, identity), subject, [("sweep", name), *facts], sections)


def _title(name: str, axes: Sequence[str], identity: Mapping[str, Any]) -> str:
    """Workload on machine, where all points have one of each; else the sweep's name."""
    named = {key: identity.get(key) for key in ("workload", "hardware") if key not in axes}
    return f"{named['workload']} on {named['hardware']}" if len(named) == 2 and all(named.values()) else name


def _summary(points: pd.DataFrame, good: pd.DataFrame, axes: Sequence[str]) -> Section:
    failed = int(points["error"].notna().sum())
    cards = [Card("Points", f"{len(points):,}", "", f"{failed:,} failed" if failed else "none failed")]
    best = [("Fastest", "latency_us", "us", False), ("Least energy", "energy_uj", "uJ", False)]
    best += [("Highest accuracy", "accuracy", "", True)] if _varies(good, "accuracy") else []
    for title, key, unit, more in best:
        if key in good and good[key].notna().any():
            row = good.iloc[int(good[key].argmax() if more else good[key].argmin())]
            shown = amount(float(row[key])) if unit else percent(float(row[key]))
            cards.append(Card(title, shown, unit, _where(row, axes)))
    if len(good) > 1:
        low, high = float(good["latency_us"].min()), float(good["latency_us"].max())
        cards.append(Card("Slowest over fastest", f"{amount(high / low, 3)}x"))
    return Section("summary", "Summary", [Cards(cards)])


def _where(row: "pd.Series[Any]", axes: Sequence[str]) -> str:
    return ", ".join(f"{axis.rpartition('.')[2]} {_value(row[axis])}" for axis in axes)


def _value(value: object) -> str:
    found = plain(value)
    return "-" if found is None else f"{found:g}" if isinstance(found, float) else str(found)


def _varies(points: pd.DataFrame, key: str) -> bool:
    return key in points and points[key].nunique() > 1


def _charts(good: pd.DataFrame, axes: Sequence[str]) -> list[Scatter]:
    by = _coloured(good, axes)
    found = []
    if good["energy_uj"].notna().any():
        found.append(_chart("Latency and energy", good, axes, by, ("energy_uj", "energy (uJ)", 1.0, False)))
    if _varies(good, "accuracy"):
        found.append(_chart("Latency and accuracy", good, axes, by, ("accuracy", "accuracy (%)", 100.0, True)))
    elif _varies(good, "max_rel_error"):
        axis = "largest error of the output (%)"
        found.append(_chart("Latency and error", good, axes, by, ("max_rel_error", axis, 100.0, False)))
    return found


def _coloured(points: pd.DataFrame, axes: Sequence[str]) -> str | None:
    """Axis that colours stand for: the scheme, or that with the most values that colours can tell apart."""
    if _varies(points, "scheme"):
        return "scheme"
    numbers = {axis: int(points[axis].nunique()) for axis in axes}
    fit = [axis for axis, number in numbers.items() if 1 < number <= _SERIES]
    return max(fit, key=lambda axis: numbers[axis]) if fit else None


def _chart(
    title: str, points: pd.DataFrame, axes: Sequence[str], by: str | None, quantity: tuple[str, str, float, bool]
) -> Scatter:
    key, axis, size, more = quantity
    some = points[points[key].notna()]
    if by is not None:
        some = some.sort_values(by, kind="stable")
    found = []
    for row in some.to_dict("records"):
        y = size * float(row[key])
        name = "" if by is None else _series_name(by, row[by])
        settings = "\n".join(f"{path.rpartition('.')[2]} {_value(row[path])}" for path in axes)
        tip = f"{amount(float(row['latency_us']))} us\n{told(axis, y)}\n{settings}"
        found.append(Point(float(row["latency_us"]), y, name, tip))
    return pareto(title, found, "latency (us)", axis, more_is_better=more)


def _series_name(axis: str, value: object) -> str:
    return label(value) if axis == "scheme" else f"{axis.rpartition('.')[2]} {_value(value)}"


def _points_table(points: pd.DataFrame, axes: Sequence[str]) -> Table:
    chosen, note = _chosen(points)
    rows = records(chosen)
    for row in rows:
        row["interval"] = interval_text(row) or None
    columns = _axis_columns(axes)
    columns += [
        column for column in _QUANTITIES if column.key not in axes and any(row.get(column.key) for row in rows[:ROWS])
    ]
    return table("", columns, rows, note)


def _axis_columns(axes: Sequence[str]) -> list[Column]:
    """Columns of axes, whose paths may be broken after a dot."""
    return [Column(axis.replace(".", ".\u200b"), axis, _value) for axis in axes]


def _chosen(points: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The points of the table, and what to say where they are not all."""
    if len(points) <= ROWS:
        return points, ""
    known = (
        points["latency_us"].notna() & points["energy_uj"].notna() if "latency_us" in points else points["error"].isna()
    )
    best = np.zeros(len(points), bool)
    if known.any():
        best[np.flatnonzero(known)] = unbeaten(
            *(points.loc[known, key].tolist() for key in ("latency_us", "energy_uj"))
        )
    wanted = thinned(best, ROWS)
    note = (
        f"{len(wanted):,} of {len(points):,} points: those that no other one beats in latency and energy, and an even "
        "choice of the rest. accelsim results has all."
    )
    return points.iloc[wanted], note


def _failures(failed: pd.DataFrame, axes: Sequence[str]) -> Table:
    columns = [*_axis_columns(axes), Column("failed with", "error", number=False)]
    return table("", columns, records(failed.iloc[:ROWS]))


def _provenance(identity: Mapping[str, Any]) -> Section:
    if not identity:
        return Section("config", "Config and provenance", [Note(["The folder does not say what the sweep is of."])])
    text = json.dumps(identity, indent=2, ensure_ascii=False)
    lead = "What the sweep is of. Hashes are of configs, each of a machine and a workload; it resumes in its folder."
    return Section("config", "Config and provenance", [Code(text)], lead)
