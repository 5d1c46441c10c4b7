"""The system in SimPy: GPU, link and attention unit as resources that operations of a network take in order.

Time is integer picoseconds. What a unit does inside one operation was simulated before, by the device's own engine: an
operation's launches are a closed program that nothing outside the device can change while it runs, so its duration is
known when it starts (docs/design.md says why the two are not stepped together).
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import simpy


@dataclass(frozen=True)
class Activity:
    """One thing that one unit does."""

    name: str
    unit: str
    duration_ps: int
    after: tuple[str, ...]
    """Activities that must have ended."""


@dataclass(frozen=True)
class Span:
    """When an activity ran."""

    name: str
    unit: str
    begin_ps: int
    end_ps: int


class DeadlockError(RuntimeError):
    """Activities wait for one another, or for one that does not exist."""


def simulate_system(activities: Sequence[Activity]) -> tuple[Span, ...]:
    """Run activities on their units; every unit takes one at a time, in the order given.

    Parameters
    ----------
    activities : sequence of Activity
        In program order, which is also the order in which a unit serves them.

    Returns
    -------
    tuple of Span
        In the order given.

    Raises
    ------
    DeadlockError
        When an activity can never start; its message names those that wait.
    """
    environment = simpy.Environment()
    done = {activity.name: environment.event() for activity in activities}
    spans: dict[str, Span] = {}

    def unit(queue: Sequence[Activity]) -> Generator[simpy.Event, object, None]:
        for activity in queue:
            for name in activity.after:
                if name not in done:
                    raise DeadlockError(f"{activity.name} waits for {name}, which is no activity")
                yield done[name]
            begin = int(environment.now)
            yield environment.timeout(activity.duration_ps)
            spans[activity.name] = Span(activity.name, activity.unit, begin, int(environment.now))
            done[activity.name].succeed()

    queues: dict[str, list[Activity]] = {}
    for activity in activities:
        queues.setdefault(activity.unit, []).append(activity)
    for queue in queues.values():
        environment.process(unit(queue))
    environment.run()
    waiting = [activity.name for activity in activities if activity.name not in spans]
    if waiting:
        raise DeadlockError(f"nothing moves while these wait: {', '.join(waiting)}")
    return tuple(spans[activity.name] for activity in activities)


def idle_ps(spans: Sequence[Span], unit: str, end_ps: int) -> int:
    """Time between 0 and `end_ps` in which a unit has nothing to do, summed gap by gap."""
    idle, at = 0, 0
    for span in spans:
        if span.unit == unit:
            idle += span.begin_ps - at
            at = span.end_ps
    return idle + end_ps - at
