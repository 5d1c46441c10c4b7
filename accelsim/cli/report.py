"""Tables of results on the terminal."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from accelsim.cli.output import Column, amount, count, lines, percent, table

if TYPE_CHECKING:
    import pandas as pd

    from accelsim.results import Comparison, Result

_ROWS: tuple[tuple[str, str, Callable[[object], str]], ...] = (
    ("latency (us)", "latency_us", amount),
    ("80 % interval (us)", "latency_interval", str),
    ("of it attention (us)", "attention_latency_us", amount),
    ("cycles of the GEMM device", "cycles", lambda value: f"{value:,}"),
    ("one input alone, median (us)", "latency_p50_us", amount),
    ("one input alone, 95th percentile (us)", "latency_p95_us", amount),
    ("energy (uJ)", "energy_uj", amount),
    ("items per second", "items_per_s", amount),
    ("MACs, dense", "macs", count),
    ("MACs done", "effectual_macs", count),
    ("MACs skipped", "skipped_macs", count),
    ("weights pruned", "weight_sparsity", percent),
    ("blocks pruned", "block_ratio", percent),
    ("with those of padding", "padded_block_ratio", percent),
    ("heads pruned", "head_ratio", percent),
    ("heads kept by the guard", "guarded_heads", percent),
    ("inputs run again by the guard", "guarded_inputs", percent),
    ("what the guard adds (us)", "guard_latency_us", amount),
    ("what the guard adds (uJ)", "guard_energy_uj", amount),
    ("integer products", "integer_products", count),
    ("cross products", "cross_products", count),
    ("PxV products", "value_products", count),
    ("bit products/256", "bit_macs", count),
    ("largest error of the output", "max_rel_error", percent),
    ("accuracy", "accuracy", percent),
    ("F1", "f1", amount),
    ("Spearman's correlation", "spearman", amount),
    ("DRAM traffic (B)", "dram_bytes", count),
    ("kernel launches", "launches", count),
    ("area (mm2)", "area_mm2", amount),
)


def run(result: "Result") -> None:
    """Print a run: summary, where the time went, where the energy went, and what rests on defaults."""
    from accelsim.results.parts import defaults

    summary = {**_judged(result.summary), "latency_interval": interval_of(result.summary)}
    title = f"{summary['workload']} on {summary['hardware']}, {summary['scheme']}"
    rows = [(label, show(summary[key])) for label, key, show in _ROWS if summary.get(key) not in (None, "")]
    table(title, [Column("quantity"), Column("value", number=True)], rows)
    for device, rows_of in result.account.groupby("device", sort=False):
        shares = [
            (str(cause), f"{share:.2f}")
            for cause, share in zip(rows_of["cause"], rows_of["share_percent"], strict=True)
            if share
        ]
        table(f"Where the time of {device} went", [Column("cause"), Column("share (%)", number=True)], shares)
    _energy(result)
    lines([f"Operands: {summary['operands']}."] if summary["operands"] else [])
    lines([f"Interval: {summary['interval_basis']}."] if summary["interval_basis"] else [])
    if summary["latency_interval"] and summary["interval_left_out"]:
        lines([f"Taken as exact, since not measured: {summary['interval_left_out']}."])
    lines([f"Imagined: {summary['imagined']}."] if summary.get("imagined") else [])
    lines(_saturated(summary))
    rest = defaults(result)
    if rest:
        lines([f"Defaults, not measurements or published figures ({len(rest)}): {', '.join(rest)}."])


def compare(comparison: "Comparison") -> None:
    """Print a comparison: a row for each scheme, the attention unit's products, and what a reader should know."""
    frame = comparison.to_frame()
    entries = [
        {**_judged(row), "speedup": _speedup(row), "latency_interval": interval_of(row)} for row in _records(frame)
    ]
    shown = [entry for entry in _COMPARED if entry[1] != "latency_interval" or any(map(interval_of, entries))]
    if not any(row.get("metric_name") == "accuracy" for row in entries):
        shown += [entry for entry in _WHERE_KNOWN if any(row.get(entry[1]) is not None for row in entries)]
    columns = [Column("scheme"), *(Column(title, number=True) for title, _, _ in shown)]
    rows = [[str(row["scheme"]), *(show(row[key]) for _, key, show in shown)] for row in entries]
    table(f"{frame['workload'][0]} on {frame['hardware'][0]}", columns, rows)
    unit = [row for row in entries if row["value_products"] is not None]
    if unit:
        columns = [Column("scheme"), *(Column(title, number=True) for title, _, _ in _PRODUCTS)]
        rows = [[str(row["scheme"]), *(show(row[key]) for _, key, show in _PRODUCTS)] for row in unit]
        table("Products on the attention unit, and as bit products over 256 (1 for whole ones)", columns, rows)
    lines([*comparison.notes(), *(line for result in comparison.results for line in _saturated(result.summary))])


def _judged(row: Mapping[str, object]) -> dict[str, object]:
    """A summary with its metric under the metric's own name."""
    found = {"f1": None, "spearman": None, **row}
    return {**found, str(row["metric_name"]): row["metric"]} if row.get("metric_name") in ("f1", "spearman") else found


def _saturated(summary: Mapping[str, object]) -> list[str]:
    """A warning when the attention unit's number format was too narrow for its operands."""
    number = summary.get("saturated_operands")
    if not isinstance(number, int) or number == 0:
        return []
    return [
        f"Warning, {summary['scheme']}: {number:,} numbers of Q, K and V lay outside the attention unit's fixed point "
        "and were set to its nearer end; hdp.integer_bits widens it, a smaller hdp.scale narrows Q and K."
    ]


def _times(value: object) -> str:
    return "-" if value is None else f"{amount(value, 3)}x"


_COMPARED: tuple[tuple[str, str, Callable[[object], str]], ...] = (
    ("latency (us)", "latency_us", amount),
    ("80 % interval (us)", "latency_interval", lambda text: str(text or "-")),
    ("speed-up", "speedup", str),
    ("attention speed-up", "attention_speedup", _times),
    ("energy (uJ)", "energy_uj", amount),
    ("MACs done", "effectual_macs", count),
    ("skipped", "skipped_macs", count),
    ("error", "max_rel_error", percent),
    ("accuracy", "accuracy", percent),
)
_WHERE_KNOWN: tuple[tuple[str, str, Callable[[object], str]], ...] = (
    ("F1", "f1", amount),
    ("Spearman", "spearman", amount),
    ("cosine to dense", "cosine_to_dense", amount),
    ("rank to dense", "rank_to_dense", amount),
    ("top-1 as dense", "top1_to_dense", percent),
)
"""Columns that a comparison has where some scheme has the number and accuracy does not say it."""
_PRODUCTS: tuple[tuple[str, str, Callable[[object], str]], ...] = (
    ("integer", "integer_products", count),
    ("bits/256", "integer_bit_macs", count),
    ("cross", "cross_products", count),
    ("bits/256", "cross_bit_macs", count),
    ("whole QxK", "score_products", count),
    ("PxV", "value_products", count),
    ("blocks pruned", "block_ratio", percent),
    ("heads pruned", "head_ratio", percent),
)


def interval_of(row: Mapping[str, object]) -> str:
    """Interval of a latency, as ``60.1 to 74.4``; an empty text where it is unknown."""
    low, high = row.get("latency_low_us"), row.get("latency_high_us")
    return "" if low is None or high is None else f"{amount(low)} to {amount(high)}"


def _speedup(row: Mapping[str, object]) -> str:
    """A speed-up with its interval; one whose interval holds 1 is undecided."""
    text = _times(row["speedup"])
    if row["verdict"] is None:
        return text
    ends = f"({amount(row['speedup_low'], 3)} to {amount(row['speedup_high'], 3)})"
    return f"undecided, {text} {ends}" if row["verdict"] == "undecided" else f"{text} {ends}"


def _records(frame: "pd.DataFrame") -> list[dict[str, object]]:
    """Rows of a table with None for NaN, which is what a table makes of None."""
    return [
        {str(key): None if value != value else value for key, value in row.items()} for row in frame.to_dict("records")
    ]


def _energy(result: "Result") -> None:
    total = result.value("energy_uj")
    columns = [Column("component"), Column("action"), Column("count", True), Column("energy (uJ)", True)]
    rows = [
        [
            str(row.component),
            str(row.action),
            count(row.count_),
            amount(row.energy_uj),
            percent(row.share),
            str(row.source),
        ]
        for row in result.energy.rename(columns={"count": "count_"})
        .assign(share=lambda frame: frame["energy_uj"] / total if total else 0.0)
        .itertuples()
    ]
    table("Where the energy went", [*columns, Column("share", True), Column("source")], rows)
