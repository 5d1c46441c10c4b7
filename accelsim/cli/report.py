"""Tables of results on the terminal."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from accelsim.cli.output import Column, amount, count, lines, percent, table

if TYPE_CHECKING:
    from accelsim.results import Comparison, Result

_ROWS: tuple[tuple[str, str, Callable[[object], str]], ...] = (
    ("latency (us)", "latency_us", amount),
    ("of it attention (us)", "attention_latency_us", amount),
    ("cycles of the GEMM device", "cycles", lambda value: f"{value:,}"),
    ("energy (uJ)", "energy_uj", amount),
    ("items per second", "items_per_s", amount),
    ("MACs, dense", "macs", count),
    ("MACs done", "effectual_macs", count),
    ("MACs skipped", "skipped_macs", count),
    ("weights pruned", "weight_sparsity", percent),
    ("blocks pruned", "block_ratio", percent),
    ("heads pruned", "head_ratio", percent),
    ("integer products", "integer_products", count),
    ("cross products", "cross_products", count),
    ("PxV products", "value_products", count),
    ("bit products/256", "bit_macs", count),
    ("largest error of the output", "max_rel_error", percent),
    ("accuracy", "accuracy", percent),
    ("DRAM traffic (B)", "dram_bytes", count),
    ("kernel launches", "launches", count),
    ("area (mm2)", "area_mm2", amount),
    ("operands", "operands", str),
)


def run(result: "Result") -> None:
    """Print a run: summary, where the time went, where the energy went, and what rests on defaults."""
    from accelsim.results.parts import defaults

    summary = result.summary
    title = f"{summary['workload']} on {summary['hardware']}, {summary['scheme']}"
    rows = [(label, show(summary[key])) for label, key, show in _ROWS if summary[key] is not None]
    table(title, [Column("quantity"), Column("value", number=True)], rows)
    for device, rows_of in result.account.groupby("device", sort=False):
        shares = [
            (str(cause), f"{share:.2f}")
            for cause, share in zip(rows_of["cause"], rows_of["share_percent"], strict=True)
            if share
        ]
        table(f"Where the time of {device} went", [Column("cause"), Column("share (%)", number=True)], shares)
    _energy(result)
    rest = defaults(result)
    if rest:
        lines([f"Defaults, not measurements or published figures ({len(rest)}): {', '.join(rest)}."])


def compare(comparison: "Comparison") -> None:
    """Print a comparison: a row for each scheme, the attention unit's products, and what a reader should know."""
    frame = comparison.to_frame()
    columns = [Column("scheme"), *(Column(title, number=True) for title, _, _ in _COMPARED)]
    rows = [
        [str(row["scheme"]), *(show(_null(row[key])) for _, key, show in _COMPARED)] for row in frame.to_dict("records")
    ]
    table(f"{frame['workload'][0]} on {frame['hardware'][0]}", columns, rows)
    unit = [row for row in frame.to_dict("records") if _null(row["value_products"]) is not None]
    if unit:
        columns = [Column("scheme"), *(Column(title, number=True) for title, _, _ in _PRODUCTS)]
        rows = [[str(row["scheme"]), *(show(_null(row[key])) for _, key, show in _PRODUCTS)] for row in unit]
        table("Products on the attention unit, and as bit products over 256 (1 for whole ones)", columns, rows)
    lines(comparison.notes())


def _times(value: object) -> str:
    return "-" if value is None else f"{amount(value, 3)}x"


_COMPARED: tuple[tuple[str, str, Callable[[object], str]], ...] = (
    ("latency (us)", "latency_us", amount),
    ("speed-up", "speedup", _times),
    ("attention speed-up", "attention_speedup", _times),
    ("energy (uJ)", "energy_uj", amount),
    ("MACs done", "effectual_macs", count),
    ("skipped", "skipped_macs", count),
    ("error", "max_rel_error", percent),
    ("accuracy", "accuracy", percent),
)
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


def _null(value: object) -> object:
    """None for NaN, which is what a table makes of None."""
    return None if value != value else value


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
