"""Timelines as values: lines for what overlaps, depths of what lies within, and what is left out first."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.results.timeline import Slice, TimelineBuilder, depths, join, lanes

INTERVALS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 20)), max_size=30).map(
    lambda pairs: sorted((begin, begin + length) for begin, length in pairs)
)


def example() -> TimelineBuilder:
    """One kernel of 30 ps with two thread blocks, and another kernel."""
    builder = TimelineBuilder("run")
    builder.track("kernels").extend([Slice(0, 30, "first"), Slice(30, 40, "second")])
    builder.track("slot").extend([Slice(20, 30, "b", detail=True), Slice(0, 20, "a", detail=True)])
    builder.track("slot").append(Slice(0, 5, "prologue", detail=True))
    builder.sample("busy", unit="%", at_ps=0, value=50.0)
    builder.sample("busy", unit="%", at_ps=10, value=50.0)
    builder.sample("busy", unit="%", at_ps=20, value=0.0)
    return builder


@given(INTERVALS)
def test_nothing_overlaps_on_a_line_and_no_line_is_too_many(intervals: list[tuple[int, int]]) -> None:
    chosen = lanes(intervals)
    for line in set(chosen):
        own = [interval for interval, lane in zip(intervals, chosen, strict=True) if lane == line]
        assert all(before[1] <= after[0] for before, after in pairwise(own))
    at_once = max((sum(b <= begin < e for b, e in intervals) for begin, _ in intervals), default=0)
    instants = sum(begin == end for begin, end in intervals)
    assert max(chosen, default=-1) + 1 <= at_once + instants


def test_depths_count_what_a_slice_lies_within() -> None:
    slices = [
        Slice(0, 10, "outer"),
        Slice(0, 4, "first"),
        Slice(4, 10, "second"),
        Slice(5, 6, "in it"),
        Slice(10, 12, ""),
    ]
    assert depths(slices) == [0, 1, 1, 2, 0]


@pytest.mark.parametrize(
    "late", [Slice(5, 12, "over the edge"), Slice(-1, 0, "out of order"), Slice(3, 2, "backwards")]
)
def test_slices_that_overlap_in_part_are_refused(late: Slice) -> None:
    with pytest.raises(ValueError, match="overlaps another, or is late"):
        depths([Slice(0, 10, "outer"), late])


def test_tracks_are_sorted_and_counters_hold_changes_alone() -> None:
    timeline = example().built(limit=100)
    assert [track.path for track in timeline.tracks] == [("run", "kernels"), ("run", "slot")]
    assert [one.name for one in timeline.tracks[1].slices] == ["a", "prologue", "b"]
    assert timeline.counters[0].samples == ((0, 50.0), (20, 0.0))
    assert (timeline.left_out, timeline.notes) == (0, ())
    frame = timeline.to_frame()
    assert frame["depth"].tolist() == [0, 0, 0, 1, 0]
    assert frame["end_us"].max() == 40e-6
    assert timeline.find("slot").slices == 3
    assert timeline.find("slot", "elsewhere").slices == 0


def test_details_go_first_and_from_a_moment_on() -> None:
    timeline = example().built(limit=4)
    assert [one.name for track in timeline.tracks for one in track.slices] == ["first", "second", "a", "prologue"]
    assert timeline.left_out == 1
    assert timeline.notes == ("run: no details from 0.000 us on, for want of room",)
    tiny = example().built(limit=1)
    assert [one.name for track in tiny.tracks for one in track.slices] == ["first"]
    assert tiny.left_out == 4


def test_joined_timelines_stand_beside_each_other() -> None:
    one = example().built(limit=4)
    both = join([one, one])
    assert (both.slices, both.left_out, len(both.notes), len(both.counters)) == (8, 2, 1, 2)
