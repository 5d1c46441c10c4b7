"""Timelines as files that Perfetto opens (https://ui.perfetto.dev), and that its trace processor queries by SQL.

Perfetto counts whole nanoseconds: every moment is rounded to the nearest, so that slices that touched still touch and
none overlap; a slice that has no length left is not written.
"""

from pathlib import Path

from accelsim.errors import ResultError
from accelsim.results.timeline import Counter, Slice, Timeline, Track
from accelsim.show import trace_messages as message
from accelsim.show.trace_messages import Packets

_PS_PER_NS = 1000


def write_trace(timeline: Timeline, path: str | Path) -> Path:
    """Write a timeline for Perfetto.

    Parameters
    ----------
    timeline : Timeline
        `Result.timeline`, or several of them through `accelsim.results.timeline.join`.
    path : str or Path
        Usually named .pftrace.

    Raises
    ------
    ResultError
        When the file cannot be written.
    """
    path = Path(path)
    try:
        path.write_bytes(trace_bytes(timeline))
    except OSError as error:
        raise ResultError(f"{path}: cannot be written: {error.strerror}") from None
    return path


def trace_bytes(timeline: Timeline) -> bytes:
    """A timeline as a Perfetto trace; equal timelines are equal bytes."""
    packets = Packets()
    places = _describe(packets, timeline)
    for index, note in enumerate(timeline.notes):
        packets.event(0, message.INSTANT, places[_NOTES], note, packets.annotation("note", index + 1))
    for track in timeline.tracks:
        _write_slices(packets, track.slices, places[track.path])
    for counter in timeline.counters:
        for at, value in counter.samples:
            count = message.field(message.EVENT_COUNT, float(value))
            packets.event(_ns(at), message.COUNTER, places[counter.path], rest=count)
    return packets.joined()


def nanoseconds(slices: tuple[Slice, ...]) -> list[tuple[int, int, Slice]]:
    """Begin and end of slices in whole nanoseconds; without those that have no length left."""
    rounded = [(_ns(one.begin_ps), _ns(one.end_ps), one) for one in slices]
    return [one for one in rounded if one[1] > one[0]]


_NOTES = ("notes",)


def _ns(ps: int) -> int:
    return (ps + _PS_PER_NS // 2) // _PS_PER_NS


def _describe(packets: Packets, timeline: Timeline) -> dict[tuple[str, ...], int]:
    """Describe every track below its groups; the number of each by its path."""
    places: dict[tuple[str, ...], int] = {}
    items: list[Track | Counter] = [*timeline.tracks, *timeline.counters]
    paths = {item.path: item for item in items}
    if timeline.notes:
        _describe_one(packets, places, _NOTES, None)
    for path in paths:
        for length in range(1, len(path) + 1):
            part = path[:length]
            if part not in places:
                _describe_one(packets, places, part, paths.get(part))
    return places


def _describe_one(
    packets: Packets, places: dict[tuple[str, ...], int], path: tuple[str, ...], item: Track | Counter | None
) -> None:
    uuid = places[path] = len(places) + 1
    content: dict[int, message.Value] = {}
    if len(path) == 1:
        process = message.field(message.PROCESS_PID, uuid) + message.field(message.PROCESS_NAME, path[0])
        content |= {message.TRACK_PROCESS: process}
    else:
        content |= {message.TRACK_NAME: path[-1], message.TRACK_PARENT: places[path[:-1]]}
        if isinstance(item, Counter):
            content[message.TRACK_COUNTER] = message.field(message.COUNTER_UNIT, item.unit)
    content |= {message.TRACK_ORDERING: message.EXPLICIT_ORDER, message.TRACK_RANK: uuid}
    packets.track(uuid, content)


def _write_slices(packets: Packets, slices: tuple[Slice, ...], track: int) -> None:
    """Begins and ends in order; at one moment what is over ends before the next begins."""
    open_until: list[int] = []
    for begin, end, one in nanoseconds(slices):
        while open_until and open_until[-1] <= begin:
            packets.event(open_until.pop(), message.SLICE_END, track)
        about = b"".join(packets.annotation(name, value) for name, value in one.about)
        packets.event(begin, message.SLICE_BEGIN, track, one.name, about)
        open_until.append(end)
    while open_until:
        packets.event(open_until.pop(), message.SLICE_END, track)
