"""Sections that the pages of runs and comparisons share: each of one or several results."""

from collections.abc import Sequence

from accelsim.errors import ResultError
from accelsim.numerals import amount, count, percent
from accelsim.results.explain import Explanation, explain
from accelsim.results.losses import Waterfall
from accelsim.results.result import Result
from accelsim.results.stack import MEANINGS, ordered
from accelsim.show.explain import TIME_COLOURS, TIME_HATCHES
from accelsim.show.figures import ENERGY_COLOURS, energy_groups
from accelsim.show.report.bars import Stack, stacked, timeline, told_losses, waterfall
from accelsim.show.report.blocks import Bars, Folded, Heading, Note, Section
from accelsim.show.report.heat import attention_maps, cells_of, product_maps
from accelsim.show.report.scatter import roofline
from accelsim.show.report.tables import Column, Table, label, table
from accelsim.show.style import DARK, label_of

_UNIT = "attention_unit"
_PRODUCTS = 12
"""Products whose maps a page draws, over all results."""


def interval_text(row: dict[str, object] | Result) -> str:
    """Interval of a latency, as ``60.1 to 74.4``; empty where it is unknown."""
    summary = row.summary if isinstance(row, Result) else row
    low, high = summary.get("latency_low_us"), summary.get("latency_high_us")
    return "" if low is None or high is None else f"{amount(low)} to {amount(high)}"


def time_section(results: Sequence[Result]) -> Section:
    """Where the latency went: stacks, causes, losses against the dense run, and what ran when."""
    found = explain(results)
    blocks: list[object] = [_time_bars(found), _causes(found)]
    sparse = [one for one in found if one.baseline is not None]
    losses = [block for one in sparse for block in _lost(one, one is sparse[0])]
    if losses:
        blocks.append(Heading("Why saved work is not saved time"))
        blocks += losses
    lines = [(result.scheme, timeline(result)) for result in results]
    drawn = [(scheme, line) for scheme, line in lines if line is not None]
    if drawn:
        blocks.append(Heading("What ran when"))
        for index, (scheme, line) in enumerate(drawn):
            blocks.append(line if index == 0 else Folded(f"Under {label_of(scheme)}", [line]))
    blocks += [_resources(one) for one in found[:1]] if len(found) == 1 else []
    lead = "Every moment of the latency belongs to one kernel and one cause; parts add up exactly."
    return Section("time", "Where the time went", blocks, lead)


def _time_bars(found: Sequence[Explanation]) -> Bars:
    stacks = []
    causes = ordered(cause for one in found for cause in one.stack)
    for one in found:
        parts: dict[str, float] = {}
        for cause in causes:
            name = _UNIT if cause.startswith(f"{_UNIT}.") else cause
            parts[name] = parts.get(name, 0.0) + one.stack.get(cause, 0) / 1e6
        result = one.result
        ends = (result.value("latency_low_us"), result.value("latency_high_us"))
        known = all(end == end for end in ends)
        total = f"{amount(result.value('latency_us'))} us"
        stacks.append(Stack(label_of(result.scheme), parts, total, ends if known else None))
    axis = "latency (us)" + ("; lines are 80 % intervals" if any(stack.ends for stack in stacks) else "")
    return stacked(
        stacks, TIME_COLOURS | {_UNIT: DARK}, axis=axis, unit="us", label="Latency by cause", hatches=TIME_HATCHES,
        meanings=MEANINGS,
    )  # fmt: skip


def _causes(found: Sequence[Explanation]) -> Table:
    """Time and share by cause."""
    stacks = [{str(row["cause"]): row for row in one.stack_rows()} for one in found]
    causes = ordered(cause for stack in stacks for cause in stack)
    columns, many = [Column("cause", "cause", number=False)], len(found) > 1
    for one in found:
        prefix = f"{label_of(one.result.scheme)} " if many else "time "
        columns.append(Column(f"{prefix}(us)", f"{one.result.scheme}.time", amount))
        columns += [] if many else [Column("share (%)", f"{one.result.scheme}.share", _two)]
    columns.append(Column("what it is", "meaning", number=False))
    rows = []
    for cause in causes:
        row: dict[str, object] = {"cause": _cause_label(cause)}
        for one, stack in zip(found, stacks, strict=True):
            if cause in stack:
                row["meaning"] = stack[cause]["meaning"]
                row[f"{one.result.scheme}.time"] = stack[cause]["time_us"]
                row[f"{one.result.scheme}.share"] = stack[cause]["share_percent"]
        rows.append(row)
    return table("By cause", columns, rows)


def _cause_label(cause: str) -> str:
    return ": ".join(label_of(part) for part in cause.split("."))


def _two(value: object) -> str:
    return f"{value:.2f}"


def _signed(value: object) -> str:
    return f"{value:+.4g}"


def _lost(one: Explanation, is_open: bool) -> list[object]:
    """From saved work to saved time; a note where the result does not tell, nothing without a dense run."""
    try:
        fall = one.losses
    except ResultError as error:
        return [Note([f"No losses of {label_of(one.result.scheme)}: {error}."])]
    if fall is None:
        return []
    return [Folded(_losses_title(one, fall), [waterfall(fall), _losses(fall)], is_open)]


def _losses_title(one: Explanation, found: Waterfall) -> str:
    saved, gained = f"{found.macs_saved:.3g}x", f"{found.speedup:.3g}x"
    return f"{label_of(one.result.scheme)}: {saved} fewer multiply-accumulates, {gained} the speed of dense"


def _losses(found: Waterfall) -> Table:
    columns = [
        Column("step", "loss", label, False),
        Column("time (us)", "time_us", _signed),
        Column("reached (us)", "reached_us", amount),
        Column("speed-up without it", "speedup_without", lambda value: f"{amount(value, 3)}x"),
        Column("what it is", "meaning", number=False),
    ]
    ideal = {"loss": "ideal", "reached_us": found.ideal_ps / 1e6, "meaning": "dense time of what is left"}
    return table("", columns, [ideal, *told_losses(found)])


def _resources(one: Explanation) -> object:
    columns = [Column("unit", "unit", label, False), Column("device", "device", label, False)]
    columns += [Column("busy (us)", "busy_us", amount), Column("of the latency (%)", "utilisation_percent", _two)]
    return table("How busy units were", columns, _records(one.result.units))


def _records(frame: object) -> list[dict[str, object]]:
    rows = frame.to_dict("records")  # type: ignore[attr-defined]
    return [{str(key): value for key, value in row.items()} for row in rows]


def kernel_section(results: Sequence[Result]) -> Section:
    """Every kernel, transfer and attention, and the roofline of those whose place is known."""
    found = explain(results)
    many = len(found) > 1
    rows = [
        {
            **row,
            "scheme": one.result.scheme,
            "name": row["name"] or "(nothing)",
            "intensity_flop_per_byte": row["intensity_flop_per_byte"] or None,
        }
        for one in found
        for row in one.kernel_rows()
    ]
    columns = [Column("kernel", "name", number=False)]
    columns += [Column("scheme", "scheme", label, False)] if many else []
    columns += [
        Column("device", "device", label, False),
        Column("part", "part", label, False),
        Column("time (us)", "time_us", amount),
        Column("share (%)", "share_percent", _two),
        Column("mostly", "largest_cause", lambda cause: _cause_label(str(cause)), False),
        Column("roof", "bound", label, False),
        Column("of the roof (%)", "attained_percent", lambda value: amount(value, 3)),
        Column("FLOP/B", "intensity_flop_per_byte", lambda value: amount(value, 3)),
    ]
    chart = roofline(results)
    blocks: list[object] = [] if chart is None else [chart, Note(_roof_notes(found))]
    blocks.append(table("Kernels, transfers and attentions", columns, rows))
    lead = "Time is what a row takes of the latency, less what another row already accounts for."
    return Section("kernels", "Kernels and roofline", blocks, lead)


def _roof_notes(found: Sequence[Explanation]) -> list[str]:
    notes = []
    for one in found:
        at = one.position
        if at is None or at.attained_percent is None:
            continue
        where = "" if at.intensity_flop_per_byte is None else f" at {amount(at.intensity_flop_per_byte, 3)} FLOP/B"
        notes.append(
            f"{label_of(one.result.scheme)}: the GPU's kernels together{where} reach {amount(at.attained_percent, 3)} "
            f"% of their roof, {amount(max(at.compute_us, at.dram_us))} us, which {label_of(at.bound)} sets."
        )
    return notes


def energy_section(results: Sequence[Result]) -> Section:
    """Where the energy went: by group as bars, by action as a table."""
    groups = [energy_groups(result.energy) for result in results]
    order = list(dict.fromkeys([*ENERGY_COLOURS, *(name for group in groups for name in group)]))
    largest = max(sum(group.values()) for group in groups)
    unit, size = next(((unit, size) for unit, size in (("J", 1e6), ("mJ", 1e3)) if largest >= size), ("uJ", 1.0))
    stacks = [
        Stack(
            label_of(result.scheme),
            {name: group.get(name, 0.0) / size for name in order},
            f"{amount(sum(group.values()) / size)} {unit}",
        )
        for result, group in zip(results, groups, strict=True)
    ]
    blocks: list[object] = [_actions(results)]
    if largest > 0:
        shown = "Energy by what it went to"
        blocks.insert(0, stacked(stacks, ENERGY_COLOURS, axis=f"energy ({unit})", unit=unit, label=shown, named=str))
    return Section("energy", "Energy", blocks, "Counts of actions times the energy of each; leakage times time.")


def _actions(results: Sequence[Result]) -> Table:
    many = len(results) > 1
    columns = [Column("component", "component", label, False), Column("action", "action", label, False)]
    for result in results:
        columns += [] if many else [Column("count", "count", count)]
        title = f"{label_of(result.scheme)} (uJ)" if many else "energy (uJ)"
        columns.append(Column(title, f"{result.scheme}.energy", amount))
        columns += [] if many else [Column("share", f"{result.scheme}.share", percent)]
    columns.append(Column("source of the energy of one", "source", number=False))
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for result in results:
        total = result.value("energy_uj")
        for row in _records(result.energy):
            at = rows.setdefault((str(row["component"]), str(row["action"])), {**row})
            energy = float(str(row["energy_uj"]))
            at[f"{result.scheme}.energy"] = energy
            at[f"{result.scheme}.share"] = energy / total if total else 0.0
    return table("By action", columns, list(rows.values()))


def tile_section(results: Sequence[Result]) -> Section | None:
    """Maps of tiles; None where no result has any."""
    each = max(1, _PRODUCTS // len(results))
    blocks: list[object] = []
    cells = 0
    for result in results:
        maps, number = product_maps(result, each)
        maps += attention_maps(result)[:each]
        if not maps:
            continue
        cells += cells_of(maps)
        left = f"The longest {each} of {number} products." if number > each else ""
        inner = [*([Note([left])] if left else []), *maps]
        blocks += inner if len(results) == 1 else [Folded(f"Under {label_of(result.scheme)}", inner)]
    if not blocks:
        return None
    lead = (
        f"The stronger the colour, the more: {cells:,} cells, each an output tile of a product or several neighbours, "
        "a rectangle of its weights, or blocks of attention. Columns of tile-wise products are the kept ones."
    )
    return Section("tiles", "Tiles", blocks, lead)
