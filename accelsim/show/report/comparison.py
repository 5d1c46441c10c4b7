"""The page of a comparison."""

from collections.abc import Mapping, Sequence
from typing import Any

from accelsim.numerals import amount, count, percent
from accelsim.results.result import Result
from accelsim.results.tables import plain
from accelsim.show.report.blocks import Charts, Note, Page, Scatter, Section
from accelsim.show.report.scatter import Point, pareto, told
from accelsim.show.report.sections import energy_section, interval_text, kernel_section, tile_section, time_section
from accelsim.show.report.settings import config_section, facts
from accelsim.show.report.tables import Column, label, table
from accelsim.show.style import label_of

_COLUMNS = (
    Column("scheme", "scheme", label, False),
    Column("latency (us)", "latency_us", amount),
    Column("80 % interval (us)", "interval"),
    Column("speed-up", "speedup", lambda value: f"{amount(value, 3)}x"),
    Column("interval of it", "speedup_interval"),
    Column("attention speed-up", "attention_speedup", lambda value: f"{amount(value, 3)}x"),
    Column("energy (uJ)", "energy_uj", amount),
    Column("MACs done", "effectual_macs", count),
    Column("weights pruned", "weight_sparsity", percent),
    Column("blocks pruned", "block_ratio", percent),
    Column("error", "max_rel_error", percent),
    Column("accuracy", "accuracy", percent),
    Column("DRAM (B)", "dram_bytes", count),
)
_ELSEWHERE = ("Defaults,", "Operands:")
"""How notes begin that stand in the page's head, or beside the config."""


def comparison_page(results: Mapping[str, Result], document: Mapping[str, Any], title: str | None = None) -> Page:
    """All that a comparison says.

    Parameters
    ----------
    results : mapping of scheme to Result
        In the order of the table.
    document : mapping
        That of the comparison (`accelsim.results.schema.COMPARE_SCHEMA`).
    title : str, optional
        Left out, workload and machine.
    """
    found = list(results.values())
    named = f"{document['workload']} on {document['hardware']}"
    parts = [
        _summary(document),
        _trade_offs(document),
        time_section(found),
        kernel_section(found),
        energy_section(found),
        tile_section(found),
        config_section(found),
    ]
    subject = f"Simulated comparison of {len(found)} schemes"
    return Page(title or named, subject, facts(found), [part for part in parts if part is not None])


def _summary(document: Mapping[str, Any]) -> Section:
    rows = []
    for scheme in document["schemes"]:
        row = {**scheme, "interval": interval_text(scheme) or None, "speedup_interval": _speedup_interval(scheme)}
        row["weight_sparsity"] = row.get("weight_sparsity") or None
        rows.append(row)
    columns = [column for column in _COLUMNS if any(plain(row.get(column.key)) is not None for row in rows)]
    return Section(
        "summary",
        "Summary",
        [table("", columns, rows), Note([note for note in document["notes"] if not note.startswith(_ELSEWHERE)])],
    )


def _speedup_interval(row: Mapping[str, Any]) -> str | None:
    if row.get("verdict") is None:
        return None
    return f"{amount(row['speedup_low'], 3)} to {amount(row['speedup_high'], 3)}, {row['verdict']}"


def _trade_offs(document: Mapping[str, Any]) -> Section | None:
    """Latency against energy, and against what it costs of the output."""
    rows: Sequence[Mapping[str, Any]] = document["schemes"]
    if len(rows) < 2:
        return None
    charts = [_chart("Latency and energy", rows, "energy_uj", "energy (uJ)", 1.0, False)]
    if len({row["accuracy"] for row in rows} - {None}) > 1:
        charts.append(_chart("Latency and accuracy", rows, "accuracy", "accuracy (%)", 100.0, True))
    elif len({row["max_rel_error"] for row in rows} - {None}) > 1:
        charts.append(
            _chart("Latency and error", rows, "max_rel_error", "largest error of the output (%)", 100.0, False)
        )
    return Section("tradeoffs", "Trade-offs", [Charts(charts)])


def _chart(title: str, rows: Sequence[Mapping[str, Any]], key: str, axis: str, size: float, more: bool) -> Scatter:
    points = []
    for row in rows:
        if row[key] is None:
            continue
        named, y = label_of(row["scheme"]), float(size * row[key])
        tip = f"{named}\n{amount(row['latency_us'])} us\n{told(axis, y)}"
        points.append(Point(row["latency_us"], y, named, tip, named))
    return pareto(title, points, "latency (us)", axis, more_is_better=more)
