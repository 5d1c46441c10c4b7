"""The page of one run."""

from accelsim.numerals import amount, count, percent
from accelsim.results.result import Result
from accelsim.results.tables import unit_of
from accelsim.show.report.blocks import Card, Cards, Folded, Note, Page, Section
from accelsim.show.report.sections import energy_section, interval_text, kernel_section, tile_section, time_section
from accelsim.show.report.settings import config_section, facts
from accelsim.show.report.tables import Column, table
from accelsim.show.style import label_of


def run_page(result: Result, title: str | None = None) -> Page:
    """All that a run says of itself.

    Parameters
    ----------
    result : Result
    title : str, optional
        Left out, workload, machine and scheme.
    """
    summary = result.summary
    named = f"{summary['workload']} on {summary['hardware']}, {label_of(result.scheme)}"
    parts = [
        _summary(result),
        time_section([result]),
        kernel_section([result]),
        energy_section([result]),
        tile_section([result]),
        config_section([result]),
    ]
    return Page(title or named, "Simulated run", facts([result]), [part for part in parts if part is not None])


def _summary(result: Result) -> Section:
    notes = result_notes(result)
    rows = [
        {"key": key, "value": value, "unit": unit_of(key)}
        for key, value in result.summary.items()
        if value is not None and not isinstance(value, (list, dict))
    ]
    columns = [Column(name, name, number=False) for name in ("key", "unit")]
    columns.insert(1, Column("value", "value", lambda value: amount(value, 6)))
    every = Folded(f"All figures of the summary ({len(rows)})", [table("", columns, rows)])
    return Section("summary", "Summary", [Cards(_cards(result)), *([Note(notes)] if notes else []), every])


def _cards(result: Result) -> list[Card]:
    summary = result.summary
    interval = interval_text(result)
    macs, done = result.value("macs"), result.value("effectual_macs")
    skipped = 1 - done / macs if macs else None
    cards = [
        Card("Latency", amount(result.value("latency_us")), "us", interval and f"80 % of measurements: {interval}"),
        Card("Energy", amount(result.value("energy_uj")), "uJ", _power(result)),
        Card("MACs skipped", percent(skipped), "", f"{count(done)} of {count(macs)} done"),
        *_quality(result),
        Card("DRAM traffic", count(summary["dram_bytes"]), "B", f"{amount(summary['launches'])} kernel launches"),
        Card("Throughput", amount(summary["items_per_s"]), "items/s", _batch(summary["items"])),
    ]  # fmt: skip
    pruned = [
        (name, summary.get(key))
        for name, key in (("Weights", "weight_sparsity"), ("Blocks", "block_ratio"), ("Heads", "head_ratio"))
    ]
    cards += [Card(f"{name} pruned", percent(value)) for name, value in pruned if value]
    if summary.get("latency_p95_us") is not None:
        p50, p95 = (amount(summary[f"latency_{key}_us"]) for key in ("p50", "p95"))
        cards.append(Card("One input alone", p50, "us", f"median; 95th percentile {p95} us"))
    return cards


def _batch(items: object) -> str:
    return "one item at a time" if items == 1 else f"{amount(items)} items at once"


def _power(result: Result) -> str:
    latency, energy = result.value("latency_us"), result.value("energy_uj")
    return f"{amount(energy / latency, 3)} W on average" if latency else ""


def _quality(result: Result) -> list[Card]:
    summary = result.summary
    cards = []
    if summary["accuracy"] is not None:
        cards.append(Card("Accuracy", percent(summary["accuracy"])))
    if summary["max_rel_error"] is not None:
        cards.append(Card("Largest error", percent(summary["max_rel_error"]), "", "of the largest output"))
    return cards or [Card("Output", "none", "", "time from shapes and masks alone")]


def result_notes(result: Result) -> list[str]:
    """What a reader of a run's figures should know, a sentence each."""
    summary = result.summary
    notes = [f"Interval: {summary['interval_basis']}."] if summary["interval_basis"] else []
    if interval_text(result) and summary["interval_left_out"]:
        notes.append(f"Taken as exact, since not measured: {summary['interval_left_out']}.")
    if summary.get("imagined"):
        notes.append(f"Imagined: {summary['imagined']}.")
    if summary.get("saturated_operands"):
        number = amount(summary["saturated_operands"])
        notes.append(f"{number} numbers of Q, K and V lay outside the attention unit's fixed point and were cut to it.")
    return notes
