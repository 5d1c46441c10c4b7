"""Pages of what `accelsim tradeoff`, `serve`, `study`, `tune` and `attention compare` save: curves, tables, notes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from accelsim.numerals import amount, percent
from accelsim.show.report.blocks import Card, Cards, Charts, Code, Note, Page, Scatter, Section
from accelsim.show.report.scatter import HOVER, Point, curves, history, pareto, told
from accelsim.show.report.tables import Column, label, table
from accelsim.show.style import axis_label, label_of

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
    rows: list[dict[str, object]] = [dict(row) for row in document[_ROWS.get(kind, "points")]]
    known = [column for column in columns if any(row.get(column.key) is not None for row in rows)]
    sections = [Section("summary", "Summary", [Cards(cards), Note(_notes(document))])]
    sections += [Section("best", "Best settings", _best(document))] if kind == "tune" else []
    sections += [Section("curves", "Curves", [Charts(charts)], HOVER)] if charts else []
    sections.append(Section("points", "Points", [table("", known, rows)]))
    return Page(title or _named(document), f"Simulated {_NAMES[kind]}", _facts(document), sections)


_NAMES = {
    "tradeoff": "trade-off",
    "serve": "serving",
    "study": "study of dynamic pruning",
    "tune": "search for settings",
    "attention": "comparison of attention accelerators",
}
_ROWS = {"tune": "history", "attention": "units"}
"""Where a document has its points, other than under ``points``."""


def _named(document: Mapping[str, Any]) -> str:
    if "units" in document:
        return ", ".join(dict.fromkeys(label_of(str(row["unit"])) for row in document["units"]))
    what = document.get("workload") or ", ".join(document.get("workloads", ()))
    return f"{what} on {document['hardware']}" if "hardware" in document else str(what)


def _facts(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    keys = ("scheme", "engine", "split", "judge", "arrivals", "batch", "requests", "items", "operands", "seed")
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
        texts = [told(name, at) for name, at in zip((x_name, y_name), place, strict=True)]
        name = label_of(str(row[series]))
        found.append(Point(*place, name, "\n".join(filter(None, [name, more(row), *texts]))))
    return found


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


def _tune(document: Mapping[str, Any]) -> tuple[list[Scatter], list[Column], list[Card]]:
    objectives = [str(name) for name in document["objectives"]]
    rows = [row | {"by": row["by"] if row["holds"] else _OVER} for row in map(dict, document["history"])]
    axes: list[Axis] = [(name, 1.0, axis_label(name)) for name in objectives]
    order: Axis = ("evaluation", 1.0, "settings judged")
    charts = []
    if len(axes) > 1:
        points = _points(rows, "by", (axes[0], axes[1]), _setting_of(document))
        charts += [pareto("What each costs the other", points, axes[0][2], axes[1][2])] if points else []
    points = _points(rows, "by", (order, axes[0]), _setting_of(document))
    named = "The search in its order"
    charts += [history(named, points, order[2], axes[0][2], lambda point: point.name != _OVER)] if points else []
    limits = [Column(f"{axis_label(name)}, limited", f"limit_{name}", amount) for name in document["limits"]]
    columns = [
        Column("number", "evaluation"),
        Column("proposed by", "by", number=False),
        *(Column(name, key, amount) for key, _, name in axes),
        *limits,
        *(Column(_short(axis), axis) for axis in document["axes"]),
        Column("not run, since", "error", number=False),
    ]
    cards = [Card("Judged", str(document["evaluations"]), "", f"of {document['space_points']:,} settings")]
    for name in objectives:
        found = [row for row in document["best"] if row.get(name) is not None]
        least = min(found, key=lambda row: float(row[name]), default=None)
        if least is not None:
            gain = (least["gain"] or {}).get(name)
            detail = "" if gain is None else f"{gain:.3g} times less than without settings"
            what, _, unit = axis_label(name).partition(" (")
            cards.append(Card(f"Least {what}", amount(least[name]), unit.rstrip(")"), detail))
    return charts, columns, cards


_OVER = "over a limit"


def _best(document: Mapping[str, Any]) -> list[object]:
    """Settings that no other one beats, and the command that runs the first of them."""
    rows = [{**row, **row["settings"]} for row in document["best"]]
    if not rows:
        return [Note(["No setting ran that holds the limits."])]
    columns = [
        *(Column(_short(axis), axis) for axis in document["axes"]),
        *(Column(axis_label(name), name, amount) for name in dict.fromkeys([*document["objectives"], *_COSTS])),
    ]
    known = [column for column in columns if any(row.get(column.key) is not None for row in rows)]
    command = [Code(str(document["command"]))] if document.get("command") else []
    return [table("", known, rows), *command]


_COSTS = ("latency_us", "energy_uj")


def _setting_of(document: Mapping[str, Any]) -> Callable[[Row], str]:
    axes = [str(axis) for axis in document["axes"]]
    return lambda row: "\n".join(f"{_short(axis)} {row[axis]}" for axis in axes if row.get(axis) is not None)


def _short(path: str) -> str:
    return label_of(path.rsplit(".", 1)[-1])


def _attention(document: Mapping[str, Any]) -> tuple[list[Scatter], list[Column], list[Card]]:
    rows = document["units"]
    length: Axis = ("sequence", 1.0, "sequence (tokens)")
    charts = []
    for title, (key, size, axis) in (
        ("Throughput at one number of multipliers", ("normalised_gops", 1.0, "dense-equivalent throughput (GOP/s)")),
        ("Latency", ("latency_us", 1.0, "latency (us)")),
    ):
        points = _points(rows, "unit", (length, (key, size, axis)), _pruned)
        charts += [curves(title, points, length[2], axis)] if points else []
    cost: tuple[Axis, Axis] = ("rms_rel_error", 100.0, "rms error of the output (%)"), (
        "gop_per_j", 1.0, "dense-equivalent operations (GOP/J)")  # fmt: skip
    points = _points(rows, "unit", cost, lambda row: f"sequence {row['sequence']}")
    if points:
        charts.append(pareto("What accuracy costs", points, cost[0][2], cost[1][2], more_is_better=True))
    columns = [
        Column("unit", "unit", label, False),
        Column("sequence", "sequence"),
        Column("pairs kept", "kept_pairs", percent),
        Column("latency (us)", "latency_us", amount),
        Column("GOP/s", "gops", amount),
        Column("normalised GOP/s", "normalised_gops", amount),
        Column("published GOP/s", "published_gops", amount),
        Column("multipliers in use", "utilization", percent),
        Column("energy (uJ)", "energy_uj", amount),
        Column("GOP/J", "gop_per_j", amount),
        Column("DRAM (B)", "dram_bytes", amount),
        Column("rms error", "rms_rel_error", percent),
    ]
    units, lengths = (dict.fromkeys(row[key] for row in rows) for key in ("unit", "sequence"))
    return charts, columns, [Card("Units", str(len(units))), Card("Sequences", ", ".join(map(str, lengths)))]


def _pruned(row: Row) -> str:
    return f"{percent(row['kept_pairs'])} of the pairs kept" if row.get("kept_pairs") is not None else ""


_KINDS = {"tradeoff": _tradeoff, "serve": _serve, "study": _study, "tune": _tune, "attention": _attention}
