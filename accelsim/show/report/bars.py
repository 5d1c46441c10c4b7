"""Stacks of time and energy as horizontal bars, and what ran when."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accelsim.numerals import amount
from accelsim.results.losses import Waterfall
from accelsim.results.result import Result
from accelsim.results.stack import PS_PER_US
from accelsim.show.figures import PARTS
from accelsim.show.report.blocks import Bar, Bars, Key, Piece
from accelsim.show.report.colours import HATCHES, colour_class
from accelsim.show.report.scales import Scale
from accelsim.show.style import BLUE, GREEN, MIDDLE, VERMILLION, colour_of, label_of
from accelsim.show.style import HATCHES as IN_TURN

_NAMED = 9.0
"""Percent of the axis from which a part has room for its share."""
_LEAST = 1e-5
"""Share of the latency below which a loss is not told."""
_MOST = 3000
"""Kernels that a timeline draws; more would be narrower than a pixel."""


@dataclass(frozen=True)
class Stack:
    """A bar's name, its parts in one unit, what stands behind it, and the ends of its interval."""

    label: str
    parts: Mapping[str, float]
    total: str
    ends: tuple[float, float] | None = None


def stacked(
    stacks: Sequence[Stack],
    colours: Mapping[str, str],
    *,
    axis: str,
    unit: str,
    label: str,
    hatches: Mapping[str, str] | None = None,
    meanings: Mapping[str, str] | None = None,
    named: Callable[[str], str] = label_of,
) -> Bars:
    """Bars that are stacked from parts; those that are zero everywhere are left out.

    Parameters
    ----------
    stacks : sequence of Stack
        At least one, of the same unit.
    colours, hatches, meanings : mapping of str to str
        By part; parts stand in the order of the first bar that has them.
    axis, unit, label : str
        What the axis is, the unit of a part, and what the figure shows.
    named : callable
        A part's name as a reader sees it.
    """
    filled = {name for stack in stacks for name, value in stack.parts.items() if value > 0}
    names = [name for name in dict.fromkeys(name for stack in stacks for name in stack.parts) if name in filled]
    found = colour_of(names, dict(colours))
    looks = _looks(names, found, hatches or {})
    ends = [stack.ends[1] for stack in stacks if stack.ends]
    scale = Scale(0.0, 1.02 * max([*(sum(stack.parts.values()) for stack in stacks), *ends]) or 1.0)
    tell = meanings or {}
    bars = [
        Bar(stack.label, stack.total, _pieces(stack, scale, looks, unit, tell, named), _whisker(stack, scale))
        for stack in stacks
    ]
    keys = [Key(named(name), *looks[name]) for name in names]
    return Bars(bars, keys, scale.ticks(), axis, label)


def _looks(names: Sequence[str], colours: Mapping[str, str], hatches: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Colour's class and hatch of each part; of parts of one colour the later are hatched."""
    seen: list[str] = []
    looks = {}
    for name in names:
        colour = colours[name]
        hatch = hatches.get(name) or IN_TURN[seen.count(colour) % len(IN_TURN)]
        seen.append(colour)
        looks[name] = (colour_class(colour), HATCHES.get(hatch, ""))
    return looks


def _pieces(
    stack: Stack,
    scale: Scale,
    looks: Mapping[str, tuple[str, str]],
    unit: str,
    meanings: Mapping[str, str],
    named: Callable[[str], str],
) -> list[Piece]:
    whole, reached, pieces = sum(stack.parts.values()), 0.0, []
    for name in looks:
        value = stack.parts.get(name, 0.0)
        if value <= 0:
            continue
        start, end = scale.place(reached), scale.place(reached + value)
        share = 100 * value / whole
        tip = f"{stack.label}\n{named(name)}: {amount(value)} {unit}, {share:.1f} %"
        tip += f"\n{meanings[name]}" if name in meanings else ""
        text = f"{share:.0f} %" if end - start >= _NAMED else ""
        pieces.append(Piece(start, round(end - start, 2), *looks[name], tip, text))
        reached += value
    return pieces


def _whisker(stack: Stack, scale: Scale) -> tuple[float, float] | None:
    return None if stack.ends is None else (scale.place(stack.ends[0]), scale.place(stack.ends[1]))


def waterfall(found: Waterfall) -> Bars:
    """From the dense latency over the ideal one, loss by loss, to the actual one; gains have another colour."""
    rows = told_losses(found)
    ends = [found.dense_ps / PS_PER_US, found.actual_ps / PS_PER_US, *(row["reached_us"] for row in rows)]
    scale = Scale(0.0, 1.02 * max(ends))
    bars = [_whole("dense", found.dense_ps, scale, MIDDLE, "the run that losses refer to")]
    bars.append(_whole("ideal", found.ideal_ps, scale, BLUE, "dense time of what is left"))
    for row in rows:
        time, reached = row["time_us"], row["reached_us"]
        colour, ends = VERMILLION if time > 0 else GREEN, sorted((reached - time, reached))
        bars.append(_step(row["loss"], f"{time:+.3g} us", ends, scale, colour, row["meaning"]))
    bars.append(_whole("actual", found.actual_ps, scale, BLUE, "the run itself"))
    keys = [Key("loss", colour_class(VERMILLION)), Key("gain", colour_class(GREEN))]
    return Bars(bars, keys, scale.ticks(), "latency (us)", "From saved work to saved time")


def told_losses(found: Waterfall) -> list[dict[str, Any]]:
    """Losses that are more than what rounding leaves."""
    return [row for row in found.rows() if abs(row["time_ps"]) >= _LEAST * found.actual_ps]


def _whole(name: str, time_ps: int, scale: Scale, colour: str, meaning: str) -> Bar:
    time = time_ps / PS_PER_US
    return _step(name, f"{amount(time)} us", [0.0, time], scale, colour, meaning)


def _step(name: str, text: str, ends: Sequence[float], scale: Scale, colour: str, meaning: str) -> Bar:
    left, right = map(scale.place, ends)
    tip = f"{label_of(name)}: {text}\n{meaning}"
    return Bar(label_of(name), text, [Piece(left, round(right - left, 2), colour_class(colour), "", tip)])


def timeline(result: Result) -> Bars | None:
    """When each kernel, transfer and attention ran, a bar for each device; None without any, or with too many."""
    kernels = result.kernels
    if not 0 < len(kernels) <= _MOST:
        return None
    scale = Scale(0.0, max(result.value("latency_us"), float(kernels["end_us"].max())))
    parts = list(dict.fromkeys(str(part) for part in kernels["part"]))
    colours = {name: colour_class(colour) for name, colour in colour_of(parts, PARTS).items()}
    bars = []
    for device, rows in kernels.groupby("device", sort=False):
        pieces = []
        columns = (rows["name"], rows["part"], rows["begin_us"].astype(float), rows["end_us"].astype(float))
        for name, part, begin, end in zip(*columns, strict=True):
            tip = f"{name}\n{amount(end - begin)} us, from {amount(begin)} to {amount(end)} us"
            start, width = scale.place(begin), round(scale.place(end) - scale.place(begin), 2)
            pieces.append(Piece(start, width, colours[str(part)], "", tip))
        busy = float((rows["end_us"] - rows["begin_us"]).sum())
        bars.append(Bar(label_of(str(device)), f"{amount(busy)} us", pieces))
    keys = [Key(label_of(name), colour) for name, colour in colours.items()]
    label = f"What ran when under {result.scheme}"
    return Bars(bars, keys, scale.ticks(), "time since the start of the run (us)", label)
