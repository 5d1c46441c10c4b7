"""Messages of a Perfetto trace as bytes: the few kinds that slices, counters and their tracks need.

The wire format of protocol buffers is a few lines, and the numbers below are public and fixed for good, whereas
bindings demand a certain release of their runtime. Tests read what this writes through the official bindings.
(https://protobuf.dev/programming-guides/encoding, https://perfetto.dev/docs/reference/trace-packet-proto)
"""

import struct
from collections.abc import Mapping

Value = int | float | str | bytes

# Fields by message
TRACE_PACKET = 1
PACKET_TIMESTAMP, PACKET_SEQUENCE, PACKET_EVENT, PACKET_INTERNED, PACKET_FLAGS, PACKET_TRACK = 8, 10, 11, 12, 13, 60
EVENT_ANNOTATION, EVENT_TYPE, EVENT_NAME, EVENT_TRACK, EVENT_COUNT = 4, 9, 10, 11, 44
ANNOTATION_NAME, ANNOTATION_INT, ANNOTATION_DOUBLE, ANNOTATION_STRING = 1, 4, 5, 6
TRACK_UUID, TRACK_NAME, TRACK_PROCESS, TRACK_PARENT, TRACK_COUNTER, TRACK_ORDERING, TRACK_RANK = 1, 2, 3, 5, 8, 11, 12
PROCESS_PID, PROCESS_NAME = 1, 6
COUNTER_UNIT = 6
INTERNED_NAMES, INTERNED_ANNOTATIONS, INTERNED_ID, INTERNED_TEXT = 2, 3, 1, 2

# Values of enumerations
SLICE_BEGIN, SLICE_END, INSTANT, COUNTER = 1, 2, 3, 4
STATE_CLEARED, NEEDS_STATE = 1, 2
EXPLICIT_ORDER = 3

_VARINT, _DOUBLE, _BYTES = 0, 1, 2
_SEQUENCE = 1


def varint(number: int) -> bytes:
    """A whole number from 0 on, seven bits a byte, lowest first."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def field(number: int, value: Value) -> bytes:
    """A field of a message: numbers from 0 on, doubles, texts, or messages as bytes."""
    if isinstance(value, float):
        return varint(number << 3 | _DOUBLE) + struct.pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3 | _VARINT) + varint(value & 0xFFFFFFFFFFFFFFFF)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | _BYTES) + varint(len(content)) + content


class Packets:
    """Packets of one sequence, in order; texts are told once and then referred to."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._known: dict[tuple[int, str], bytes] = {}
        self._new: list[bytes] = []

    def track(self, uuid: int, content: Mapping[int, Value]) -> None:
        """Describe a track."""
        described = field(TRACK_UUID, uuid) + b"".join(field(number, value) for number, value in content.items())
        self._add(field(PACKET_TRACK, described))

    def event(self, time_ns: int, kind: int, track: int, name: str | None = None, rest: bytes = b"") -> None:
        """Something on a track at a moment."""
        content = field(EVENT_TYPE, kind) + field(EVENT_TRACK, track)
        if name is not None:
            content += self._reference(EVENT_NAME, INTERNED_NAMES, name)
        self._add(field(PACKET_TIMESTAMP, time_ns) + field(PACKET_EVENT, content + rest))

    def annotation(self, name: str, value: Value) -> bytes:
        """What else is known of an event, to be given as its `rest`."""
        kind = {str: ANNOTATION_STRING, float: ANNOTATION_DOUBLE}.get(type(value), ANNOTATION_INT)
        told = self._reference(ANNOTATION_NAME, INTERNED_ANNOTATIONS, name) + field(kind, value)
        return field(EVENT_ANNOTATION, told)

    def joined(self) -> bytes:
        """The trace."""
        return b"".join(self._parts)

    def _reference(self, number: int, kind: int, text: str) -> bytes:
        """A field that refers to a text, which the next packet tells if none has yet."""
        if (kind, text) not in self._known:
            identity = len(self._known) + 1
            self._known[kind, text] = varint(identity)
            self._new.append(field(kind, field(INTERNED_ID, identity) + field(INTERNED_TEXT, text)))
        return varint(number << 3 | _VARINT) + self._known[kind, text]

    def _add(self, content: bytes) -> None:
        if self._new:
            content = field(PACKET_INTERNED, b"".join(self._new)) + content
            self._new = []
        flags = NEEDS_STATE if self._parts else STATE_CLEARED
        self._parts.append(
            field(TRACE_PACKET, field(PACKET_SEQUENCE, _SEQUENCE) + field(PACKET_FLAGS, flags) + content)
        )
