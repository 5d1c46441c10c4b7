"""Timelines of what studies run: requests of a served machine, and heads on attention accelerators."""

from collections.abc import Sequence

import numpy as np

from accelsim.config.trace import Sampling
from accelsim.explore.attention.comparison import AttentionComparison
from accelsim.explore.serve.queue import Served
from accelsim.results.timeline import Slice, Timeline, TimelineBuilder, join, lanes
from accelsim.tabulate.timeline import add_attention

MOST_LINES = 64
"""Requests that are shown beside each other; more of them are in the counters alone."""
_SLICES = 4
"""Of a request at most: itself, waiting, service, and a batch of its own."""


def serving_timeline(runs: Sequence[tuple[str, Served]], sampling: Sampling) -> Timeline:
    """Batches and requests of runs of the queue, each a group of tracks that begins at 0.

    Parameters
    ----------
    runs : sequence of (name, Served)
        Named as in ``dense at 1,000/s``; `accelsim.explore.serve.serve` shows them to its `watch`.
    sampling : Sampling
        Whose slices the runs share out evenly; a run's later requests are left out.
    """
    room = sampling.limit // max(1, len(runs))
    return join(_served_timeline(name, served, room) for name, served in runs)


def _served_timeline(name: str, served: Served, room: int) -> Timeline:
    builder = TimelineBuilder(name)
    shown = min(len(served.batch_of), max(1, room // _SLICES))
    batches = int(served.batch_of[:shown].max()) + 1
    spans = list(zip(served.batch_starts_ps[:batches].tolist(), served.batch_ends_ps[:batches].tolist(), strict=True))
    names = [("machine",)] if served.servers == 1 else [("machines", f"{index}") for index in range(served.servers)]
    machines = [builder.track(*name) for name in names]
    for (begin, end), line, size, energy in zip(
        spans,
        lanes(spans),  # machines are alike: one that is idle took it
        served.batch_sizes[:batches].tolist(),
        served.batch_energies_uj[:batches].tolist(),
        strict=True,
    ):
        machines[line].append(Slice(begin, end, f"batch of {size}", (("energy_uj", energy),)))
    begins, starts = served.arrivals_ps[:shown].tolist(), served.starts_ps[:shown].tolist()
    ends = served.ends_ps[:shown].tolist()
    beyond = 0
    for number, line in enumerate(lanes(list(zip(begins, ends, strict=True)))):
        if line >= MOST_LINES:
            beyond += 1
            continue
        track = builder.track("requests", f"line {line}")
        batch = int(served.batch_of[number])
        track.append(Slice(begins[number], ends[number], f"request {number}", (("batch", batch),)))
        if starts[number] > begins[number]:
            track.append(Slice(begins[number], starts[number], "wait"))
        track.append(Slice(starts[number], ends[number], "service"))
    _count(builder, served, shown)
    if shown < len(served.batch_of):
        builder.notes.append(f"of {len(served.batch_of):,} requests the first {shown:,} are shown")
    if beyond:
        builder.notes.append(f"{name}: {beyond:,} requests found no line, since {MOST_LINES} were in the queue")
    builder.left_out = len(served.batch_of) - shown + beyond
    return builder.built(max(1, room))


def _count(builder: TimelineBuilder, served: Served, shown: int) -> None:
    """How many requests wait, until the last one that is shown arrives."""
    until = int(served.arrivals_ps[shown - 1])
    moments = np.concatenate([served.arrivals_ps, served.starts_ps])
    change = np.repeat(np.array([1, -1]), len(served.arrivals_ps))
    change, moments = change[moments <= until], moments[moments <= until]
    order = np.argsort(moments, kind="stable")
    last = np.append(np.diff(moments[order]) > 0, True)  # one value for each moment
    waiting = np.cumsum(change[order])
    for moment, value in zip(moments[order][last].tolist(), waiting[last].tolist(), strict=True):
        builder.sample("waiting requests", unit="requests", at_ps=moment, value=float(value))


def attention_timeline(found: AttentionComparison, sampling: Sampling) -> Timeline:
    """Stages of every head on each accelerator, layer after layer; one group of tracks for each unit and length.

    Parameters
    ----------
    found : AttentionComparison
    sampling : Sampling
        Whose slices the units share out evenly.
    """
    room = max(1, sampling.limit // max(1, len(found.units)))
    timelines = []
    for unit in found.units:
        builder, begin = TimelineBuilder(f"{unit.unit}, sequence {unit.sequence}"), 0
        for layer, run in enumerate(unit.runs):
            builder.track("layers").append(Slice(begin, begin + run.end_ps, f"layer {layer}"))
            add_attention(builder, run, begin)
            begin += run.end_ps
        if not unit.runs:
            builder.notes.append(f"{unit.unit} is a GPU, whose heads are not told apart here; see accelsim run --trace")
        timelines.append(builder.built(room))
    return join(timelines)
