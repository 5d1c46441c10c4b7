"""Pages of what `accelsim tradeoff`, `serve` and `study` save: curves, a table of their points, and their notes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from accelsim.numerals import amount, percent
from accelsim.show.report.blocks import Card, Cards, Charts, Note, Page, Scatter, Section
from accelsim.show.report.scatter import Point, curves, pareto
from accelsim.show.report.tables import Column, label, table
from accelsim.show.style import label_of

Row = Mapping[str, Any]


def document_page(kind: str, document: Mapping[str, Any], title: str | None = None) -> Page:
    """The page of a document.

    Parameters
    ----------
    kind : str
        A name of `accelsim.show.report.DOCUMENTS`.
    document : mapping
        What KIND.json of the folder holds.
    title : str, optional
        Left out, what was run.
    """
    charts, columns, cards = _KINDS[kind](document)
    rows: list[dict[str, object]] = [dict(row) for row in document["points"]]
    known = [column for column in columns if any(row.get(column.key) is not None for row in rows)]
    sections = [Section("summary", "Summary", [Cards(cards), Note(_notes(document))])]
    sections += [Section("curves", "Curves", [Charts(charts)], _LEAD)] if charts else []
    sections.append(Section("points", "Points", [table("", known, rows)]))
    return Page(title or _named(document), f"Simulated {_NAMES[kind]}", _facts(document), sections)


_NAMES = {"tradeoff": "trade-off", "serve": "serving", "study": "study of dynamic pruning"}
_LEAD = "Hover a point, or focus a figure and step through its points with the arrow keys."


def _named(document: Mapping[str, Any]) -> str:
    what = document.get("workload") or ", ".join(document.get("workloads", ()))
    return f"{what} on {document['hardware']}" if "hardware" in document else str(what)


def _facts(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    keys = ("engine", "split", "judge", "arrivals", "batch", "requests", "items", "seed")
    return [(key, str(document[key])) for key in keys if document.get(key) is not None]


def _notes(document: Mapping[str, Any]) -> list[str]:
    notes = [str(note) for note in document.get("notes", ())]
    for row in document.get("unreachable", ()):
        notes.append(f"{label_of(row['method'])} at {percent(row['asked'])}: {row['reason']}.")
    return notes


def _scaled(title: str, key: str, size: float = 100.0) -> Column:
    """A column of shares in percent."""
    return Column(title, key, lambda value: amount(size * float(str(value)), 4))


Axis = tuple[str, float, str]
"""Key of a number, what it is multiplied with, and its name with the unit in brackets."""


def _points(rows: Sequence[Row], series: str, axes: tuple[Axis, Axis], more: Callable[[Row], str]) -> list[Point]:
    """Points of rows that have both numbers."""
    (x, x_size, x_name), (y, y_size, y_name) = axes
    found = []
    for row in rows:
        if row.get(x) is None or row.get(y) is None:
            continue
        place = x_size * float(row[x]), y_size * float(row[y])
        texts = [_told(name, at) for name, at in zip((x_name, y_name), place, strict=True)]
        name = label_of(str(row[series]))
        found.append(Point(*place, name, "\n".join(filter(None, [name, more(row), *texts]))))
    return found


def _told(axis: str, value: float) -> str:
    name, _, unit = axis.partition(" (")
    return f"{name} {amount(value)} {unit.rstrip(')')}".rstrip()


def _tradeoff(document: Mapping[str, Any]) -> tuple[list[Scatter], list[Column], list[Card]]:
    rows, metric = document["points"], str(document["metric"])
    quality: Axis = ("quality", 1.0, metric) if metric == "spearman" else ("quality", 100.0, f"{metric} (%)")
    costs: tuple[Axis, Axis] = ("latency_us", 1.0, "latency (us)"), ("energy_uj", 1.0, "energy (uJ)")
    charts = []
    for title, cost in zip(("Quality and latency", "Quality and energy"), costs, strict=True):
        points = _points(rows, "scheme", (cost, quality), lambda row: str(row["setting"] or ""))
        charts += [pareto(title, points, cost[2], quality[2], more_is_better=True)] if points else []
    columns = [
        Column("workload", "workload", number=False),
        Column("scheme", "scheme", label, False),
        Column("setting", "setting", lambda value: str(value) or "-", False),
        _scaled(quality[2], "quality", quality[1]),
        _scaled("change (points)", "change"),
        Column("latency (us)", "latency_us", amount),
        Column("energy (uJ)", "energy_uj", amount),
        Column("blocks pruned", "block_ratio", percent),
        Column("heads pruned", "head_ratio", percent),
        Column("weights pruned", "weight_sparsity", percent),
    ]
    cards = [Card("Points", str(len(rows)), "", f"{rows[0]['inputs']} inputs each")] if rows else []
    return charts, columns, cards


def _serve(document: Mapping[str, Any]) -> tuple[list[Scatter], list[Column], list[Card]]:
    rate = ("rate_per_s", 1.0, "rate (requests/s)")
    settled = [row for row in document["points"] if row["load"] < 1]
    charts = []
    for title, key, size, axis, rows in (
        ("Latency", "p95_us", 1.0, "95th percentile of latency (us)", settled),
        ("Throughput", "throughput_per_s", 1.0, "throughput (requests/s)", document["points"]),
        ("Energy", "energy_per_request_uj", 1e-3, "energy per request (mJ)", settled),
    ):
        points = _points(rows, "scheme", (rate, (key, size, axis)), lambda row: f"load {row['load']:.3g}")
        charts += [curves(title, points, rate[2], axis)] if points else []
    columns = [
        Column("scheme", "scheme", label, False),
        *(Column(title, key, amount) for title, key in (("rate (1/s)", "rate_per_s"), ("load", "load"))),
        Column("throughput (1/s)", "throughput_per_s", amount),
        *(Column(f"{name} (us)", f"{name}_us", amount) for name in ("mean", "p50", "p95", "p99")),
        Column("queue", "queue_length", amount),
        Column("busy", "utilisation", percent),
        Column("batch", "batch_mean", amount),
        Column("energy per request (uJ)", "energy_per_request_uj", amount),
    ]
    cards = []
    for scheme in document["schemes"]:
        knee = scheme.get("knee_per_s")
        detail = "" if knee is None else f"knee at {amount(knee)} 1/s"
        cards.append(Card(f"Capacity, {label_of(scheme['scheme'])}", amount(scheme["capacity_per_s"]), "1/s", detail))
    return charts, columns, cards


def _study(document: Mapping[str, Any]) -> tuple[list[Scatter], list[Column], list[Card]]:
    axis = f"{document['measure']} (%)"
    charts = []
    shares = (("blocks", "pairs_pruned", "query-key pairs pruned"), ("heads", "heads_pruned", "heads pruned"))
    for kind, key, name in shares:
        rows = [row for row in document["points"] if row["axis"] == kind]
        points = _points(rows, "method", ((key, 100.0, f"{name} (%)"), ("score", 100.0, axis)), _lost)
        charts += [curves(f"Pruned {kind}", points, f"{name} (%)", axis)] if points else []
    columns = [
        Column("what", "axis", number=False),
        Column("method", "method", label, False),
        _scaled("asked (%)", "asked"),
        _scaled("pairs pruned (%)", "pairs_pruned"),
        _scaled("heads pruned (%)", "heads_pruned"),
        _scaled(axis, "score"),
        *(_scaled(title, key) for title, key in (("lost (points)", "loss"), ("from", "loss_low"), ("to", "loss_high"))),
        _scaled("beyond random (points)", "gain_over_random"),
    ]
    score = amount(100 * document["dense_score"])
    dense = Card(f"Dense {document['measure']}", score, "%", f"{document['items']} inputs")
    return charts, columns, [dense, Card("Points", str(len(document["points"])))]


def _lost(row: Row) -> str:
    return f"{100 * row['loss']:.3g} points lost, {100 * row['loss_low']:.3g} to {100 * row['loss_high']:.3g}"


_KINDS = {"tradeoff": _tradeoff, "serve": _serve, "study": _study}
