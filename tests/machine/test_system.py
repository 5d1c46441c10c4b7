"""The system level: units take activities in order, and a wait without end is an error."""

import pytest

from accelsim.machine.system import Activity, DeadlockError, idle_ps, simulate_system


def times(activities: list[Activity]) -> list[tuple[str, int, int]]:
    return [(span.name, span.begin_ps, span.end_ps) for span in simulate_system(activities)]


def test_a_transfer_overlaps_with_the_next_kernel() -> None:
    story = [
        Activity("query", "gpu", 10, ()),
        Activity("key", "gpu", 10, ()),
        Activity("send_query", "link", 4, ("query",)),
        Activity("send_key", "link", 4, ("key",)),
        Activity("attention", "attention_unit", 7, ("send_query", "send_key")),
        Activity("return", "link", 2, ("attention",)),
        Activity("output", "gpu", 5, ("return",)),
    ]
    assert times(story) == [
        ("query", 0, 10),
        ("key", 10, 20),
        ("send_query", 10, 14),
        ("send_key", 20, 24),
        ("attention", 24, 31),
        ("return", 31, 33),
        ("output", 33, 38),
    ]
    spans = simulate_system(story)
    assert idle_ps(spans, "gpu", 38) == 13
    assert idle_ps(spans, "link", 38) == 38 - 10
    assert idle_ps(spans, "attention_unit", 38) == 31


def test_activities_that_wait_for_one_another_are_an_error() -> None:
    with pytest.raises(DeadlockError, match="first, second"):
        simulate_system([Activity("first", "gpu", 1, ("second",)), Activity("second", "link", 1, ("first",))])


def test_an_unknown_predecessor_is_an_error() -> None:
    with pytest.raises(DeadlockError, match="nobody, which is no activity"):
        simulate_system([Activity("first", "gpu", 1, ("nobody",))])
