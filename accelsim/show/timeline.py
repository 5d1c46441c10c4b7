"""Pictures of timelines: thread blocks of SMs, how busy servers are, and stages of heads on an attention unit."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from accelsim.results.timeline import PS_PER_US, Slice, Timeline, Track, depths
from accelsim.show.bars import legend_beside
from accelsim.show.explain import TIME_COLOURS
from accelsim.show.style import (
    BLACK,
    BLUE,
    DARK,
    LIGHT,
    ORANGE,
    PALETTE,
    PURPLE,
    SKY,
    VERMILLION,
    label_of,
    new_figure,
    style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Window = tuple[float, float]
"""Microseconds from and to."""

_CORE, _SLOT = "tensor core", "slot"
_PHASES = {"prologue": SKY, "main loop": "#A9CCE6", "wait for data": "#F3C3A4", "epilogue": PURPLE}
_BUSY = {"tensor cores busy": BLUE, "L2 busy": ORANGE, "DRAM busy": VERMILLION}
_HEIGHT = 0.8
_NAMED = 0.035
"""Share of the width from which a thread block bears its number."""


def kernel_window(timeline: Timeline, kernel: str) -> Window:
    """From begin to end of a kernel.

    Raises
    ------
    ValueError
        When there is none of that name; those there are, are told.
    """
    found = {one.name: one for track in timeline.find("kernels").tracks for one in track.slices}
    if kernel not in found:
        raise ValueError(f"no kernel {kernel!r} in the timeline; there are {', '.join(found) or 'none'}")
    return found[kernel].begin_ps / PS_PER_US, found[kernel].end_ps / PS_PER_US


def sm_axes(timeline: Timeline, axes: "Axes | None" = None, *, window: Window | None = None) -> "Axes":
    """Thread blocks of every SM that is shown, and below them what its tensor core spends time on.

    Parameters
    ----------
    timeline : Timeline
        Of one run.
    axes : matplotlib.axes.Axes, optional
        Drawn on, and returned; new ones when left out.
    window : (float, float), optional
        Microseconds to show; see `kernel_window`.

    Raises
    ------
    ValueError
        When the timeline shows no SM.
    """
    tracks = [track for track in timeline.tracks if track.path[-1] == _CORE or track.path[-1].startswith(_SLOT)]
    if not tracks:
        raise ValueError("the timeline shows no SM; record some of them under engine events or simpy")
    tracks.sort(key=lambda track: (_number(track.path[-2]), track.path[-1] == _CORE, track.path[-1]))
    begin, end = window or _reach(tracks)
    with style():
        axes = axes or new_figure(7.5, 1.1 + 0.3 * len(tracks)).subplots()
        for row, track in enumerate(tracks):
            shown = _within(track, begin, end)
            if track.path[-1] == _CORE:
                colours = [TIME_COLOURS.get(one.name, DARK) for one, _ in shown]
                _bars(axes, row, [one for one, _ in shown], colours, begin, end)
            else:
                _thread_blocks(axes, row, shown, begin, end)
        names = {one.name for track in tracks for one, _ in _within(track, begin, end)}
        legend = {**_PHASES, **{name: colour for name, colour in TIME_COLOURS.items() if name not in _PHASES}}
        _finish(axes, [f"{track.path[-2]}, {track.path[-1]}" for track in tracks], (begin, end))
        _legend(axes, {name: colour for name, colour in legend.items() if name in names})
    return axes


def use_axes(timeline: Timeline, axes: "Axes | None" = None, *, window: Window | None = None) -> "Axes":
    """Share of their time in which all tensor cores, L2 and DRAM are busy.

    Parameters
    ----------
    timeline, axes, window
        As of `sm_axes`.

    Raises
    ------
    ValueError
        When the timeline holds no such counters.
    """
    counters = {one.path[-1]: one for one in timeline.counters if one.path[-1] in _BUSY}
    if not counters:
        raise ValueError("the timeline tells no use of servers; run under engine events or simpy")
    last = max(at for counter in counters.values() for at, _ in counter.samples) / PS_PER_US
    with style():
        axes = axes or new_figure(7.5, 2.2).subplots()
        for name, counter in counters.items():
            times, values = zip(*counter.samples, strict=True)
            axes.step([at / PS_PER_US for at in times], values, where="post", color=_BUSY[name], linewidth=1.1)
        axes.set_ylim(0, 105)
        axes.set_ylabel("busy (%)")
        axes.set_xlabel("time (us)")
        axes.set_xlim(*(window or (0.0, last)))
        axes.grid(True, axis="y")
        _legend(axes, {name: _BUSY[name] for name in counters})
    return axes


def stage_axes(
    timeline: Timeline,
    axes: "Axes | None" = None,
    *,
    core: int = 0,
    heads: Sequence[int] | None = None,
    window: Window | None = None,
) -> "Axes":
    """Stages of heads on a core of an attention unit, with their row blocks where these are told.

    Parameters
    ----------
    timeline : Timeline
        Of one run (`accelsim.run` or `accelsim.explore.timelines.attention_timeline`).
    axes : matplotlib.axes.Axes, optional
        Drawn on, and returned; new ones when left out.
    core : int
    heads : sequence of int, optional
        Shown; the first three of the window when left out.
    window : (float, float), optional
        Microseconds; that of the unit's first operation when left out.

    Raises
    ------
    ValueError
        When nothing is told of the core or the heads.
    """
    tracks = [track for track in timeline.tracks if len(track.path) > 2 and track.path[-2] == f"core {core}"]
    operations = [track for track in timeline.tracks if track.path[-1] in ("operations", "layers")]
    if not tracks or not operations:
        raise ValueError(f"the timeline tells nothing of core {core} of an attention unit")
    begin, end = window or _reach([Track(operations[0].path, operations[0].slices[:1])])
    wanted = _heads(tracks, begin, end, heads)
    colours = dict(zip((f"head {head}" for head in wanted), PALETTE, strict=False))
    rows = [(track, _of_heads(_within(track, begin, end), colours)) for track in tracks]
    rows = [(track, shown) for track, shown in rows if shown]
    if not rows:
        raise ValueError(f"heads {', '.join(map(str, wanted)) or '-'} have no stage on core {core}")
    with style():
        axes = axes or new_figure(7.5, 1.1 + 0.28 * len(rows)).subplots()
        _draw_stages(axes, rows, colours)
    return axes


def timeline_figure(timeline: Timeline, kernel: str | None = None) -> "Figure":
    """SMs and use of servers during a kernel, and stages of the first heads, as far as the timeline tells them.

    Parameters
    ----------
    timeline : Timeline
        Of one run.
    kernel : str, optional
        Left out, the longest.

    Raises
    ------
    ValueError
        When nothing of it is told.
    """
    kernels = [one for track in timeline.find("kernels").tracks for one in track.slices]
    longest = max(kernels, key=lambda one: one.end_ps - one.begin_ps, default=None)
    rows = sum(track.path[-1] == _CORE or track.path[-1].startswith(_SLOT) for track in timeline.tracks)
    stages = sum(len(track.path) > 2 and track.path[-2] == "core 0" for track in timeline.tracks)
    if longest is None or not rows + stages:
        raise ValueError("the timeline tells neither SMs nor stages of an attention unit")
    heights = [*([0.5 + 0.26 * rows, 1.5] if rows else []), *([0.5 + 0.24 * stages] if stages else [])]
    with style():
        figure = new_figure(8.4, 0.4 + sum(heights))
        panels = iter(figure.subplots(len(heights), squeeze=False, height_ratios=heights)[:, 0])
        if rows:
            name = kernel or longest.name
            window = kernel_window(timeline, name)
            sm_axes(timeline, panel := next(panels), window=window)
            panel.set_title(f"Thread blocks of {name}")
            panel.set_xlabel("")
            use_axes(timeline, next(panels), window=window)
        if stages:
            stage_axes(timeline, panel := next(panels))
            panel.set_title("Stages of the first heads on core 0")
    return figure


def _reach(tracks: Iterable[Track]) -> Window:
    """From the first begin to the last end."""
    slices = [one for track in tracks for one in track.slices]
    return min(one.begin_ps for one in slices) / PS_PER_US, max(one.end_ps for one in slices) / PS_PER_US


def _within(track: Track, begin: float, end: float) -> list[tuple[Slice, int]]:
    """Slices that have a part in a window, with their depths."""
    return [
        (one, depth)
        for one, depth in zip(track.slices, depths(track.slices), strict=True)
        if one.end_ps > begin * PS_PER_US and one.begin_ps < end * PS_PER_US
    ]


def _number(name: str) -> int:
    return int(name.rsplit(" ", 1)[-1])


def _heads(tracks: list[Track], begin: float, end: float, heads: Sequence[int] | None) -> list[int]:
    if heads is not None:
        return list(heads)
    begun = sorted(
        (one.begin_ps, _number(one.name)) for t in tracks for one, depth in _within(t, begin, end) if not depth
    )
    return list(dict.fromkeys(head for _, head in begun))[:3]


def _of_heads(shown: list[tuple[Slice, int]], wanted: dict[str, str]) -> list[tuple[Slice, str]]:
    """Slices of some heads, those within them included, each with its head."""
    found, head = [], ""
    for one, depth in shown:
        head = head if depth else one.name
        if head in wanted:
            found.append((one, head))
    return found


def _draw_stages(axes: "Axes", rows: list[tuple[Track, list[tuple[Slice, str]]]], colours: dict[str, str]) -> None:
    """Stages pale, and the row blocks within them in full colour."""
    edges = [edge for _, shown in rows for one, _ in shown for edge in (one.begin_ps, one.end_ps)]
    seen = (min(edges) / PS_PER_US, max(edges) / PS_PER_US)
    for row, (_, shown) in enumerate(rows):
        whole = [(one, head) for one, head in shown if one.name == head]
        _bars(
            axes, row, [one for one, _ in whole], [colours[head] for _, head in whole], *seen, edge="face", alpha=0.45
        )
        parts = [(one, head) for one, head in shown if one.name != head]
        own = [colours[head] for _, head in parts]
        _bars(axes, row, [one for one, _ in parts], own, *seen, edge="white", height=0.5)
    _finish(axes, [label_of(track.path[-1].replace(" ", "_")) for track, _ in rows], seen)
    _legend(axes, colours)


def _thread_blocks(axes: "Axes", row: int, shown: list[tuple[Slice, int]], begin: float, end: float) -> None:
    inner = [one for one, depth in shown if depth]
    _bars(axes, row, inner, [_PHASES.get(one.name, LIGHT) for one in inner], begin, end)
    outer = [one for one, depth in shown if not depth]
    _bars(axes, row, outer, ["none"] * len(outer), begin, end, edge=BLACK)
    for one in outer:
        low, high = max(begin, one.begin_ps / PS_PER_US), min(end, one.end_ps / PS_PER_US)
        if high - low > _NAMED * (end - begin):
            number = one.name.removeprefix("block ")
            axes.text((low + high) / 2, row, number, ha="center", va="center", fontsize=6.5, color=BLACK)


def _bars(
    axes: "Axes",
    row: int,
    slices: list[Slice],
    colours: list[str],
    begin: float,
    end: float,
    *,
    edge: str = "none",
    height: float = _HEIGHT,
    alpha: float = 1.0,
) -> None:
    """Slices as bars of a row, cut to a window."""
    spans = [(max(begin, one.begin_ps / PS_PER_US), min(end, one.end_ps / PS_PER_US)) for one in slices]
    axes.broken_barh(
        [(low, high - low) for low, high in spans], (row - height / 2, height),
        facecolors=colours, edgecolor=edge, linewidth=0.4 if edge != "none" else 0, alpha=alpha,
    )  # fmt: skip


def _finish(axes: "Axes", labels: list[str], window: Window) -> None:
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlim(*window)
    axes.set_xlabel("time (us)")
    axes.tick_params(axis="y", length=0)
    axes.grid(True, axis="x")


def _legend(axes: "Axes", colours: dict[str, str]) -> None:
    for name, colour in reversed(colours.items()):  # which stands beside bars with the last one on top
        axes.bar(0, 0, color=colour, label=name if " " in name else label_of(name))
    legend_beside(axes)
