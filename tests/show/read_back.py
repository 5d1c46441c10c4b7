"""A trace read with Perfetto's own bindings and put together from its packets, as the trace processor does."""

from collections import defaultdict

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

Read = tuple[int, int, str, dict[str, object]]


class ReadBack:
    """Slices, counters and names of a trace, put together from its packets as the trace processor does."""

    def __init__(self, content: bytes) -> None:
        self.paths: dict[int, tuple[str, ...]] = {}
        self.slices: dict[tuple[str, ...], list[Read]] = defaultdict(list)
        self.counters: dict[tuple[str, ...], list[tuple[int, float]]] = defaultdict(list)
        self.notes: list[str] = []
        self.names: dict[int, str] = {}
        self.annotations: dict[int, str] = {}
        self.open: dict[int, list[tuple[int, str, dict[str, object]]]] = defaultdict(list)
        for packet in Trace.FromString(content).packet:
            assert packet.trusted_packet_sequence_id == 1
            self.names |= {one.iid: one.name for one in packet.interned_data.event_names}
            self.annotations |= {one.iid: one.name for one in packet.interned_data.debug_annotation_names}
            if packet.HasField("track_descriptor"):
                self.describe(packet.track_descriptor)
            if packet.HasField("track_event"):
                self.event(packet.timestamp, packet.track_event)
        assert not any(self.open.values())

    def describe(self, track) -> None:  # type: ignore[no-untyped-def]
        parent = self.paths[track.parent_uuid] if track.HasField("parent_uuid") else ()
        self.paths[track.uuid] = (*parent, track.name or track.process.process_name)

    def event(self, time: int, event) -> None:  # type: ignore[no-untyped-def]
        path, waiting = self.paths[event.track_uuid], self.open[event.track_uuid]
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            about = {
                self.annotations[one.name_iid]: getattr(one, one.WhichOneof("value")) for one in event.debug_annotations
            }
            waiting.append((time, self.names[event.name_iid], about))
        elif event.type == TrackEvent.TYPE_SLICE_END:
            begin, name, about = waiting.pop()
            self.slices[path].append((begin, time, name, about))
        elif event.type == TrackEvent.TYPE_COUNTER:
            self.counters[path].append((time, event.double_counter_value))
        else:
            self.notes.append(self.names[event.name_iid])
