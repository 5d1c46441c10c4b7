"""Judging settings: each by a run, recorded as it ends, never twice."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

from accelsim.config.scheme import Engine, RunConfig
from accelsim.costing import Costing
from accelsim.errors import ResultError, UserError
from accelsim.execution import parameters_of
from accelsim.explore.sweep import Point, Record, evaluate_point, make_point
from accelsim.explore.sweep.points import INTERNAL
from accelsim.explore.sweep.run import Flight, identity
from accelsim.explore.sweep.store import Store
from accelsim.explore.sweep.workers import InProcess, Workers
from accelsim.explore.tune.memory import memory_bytes
from accelsim.explore.tune.spec import Tune
from accelsim.mapping.network import plan_network, prune_weights
from accelsim.model.build import build_network
from accelsim.model.operands import prepare_operands

Evaluate = Callable[[Point], Record]

EVALUATIONS, ESTIMATES = "evaluations", "estimates"
"""Folders of a study: settings that were judged, and runs of the closed form."""

_FREE = ("name", "description", "evaluations", "hardware", "workload")
"""Keys that a study may differ in and go on: names, and how long it goes; a sweep's identity has the rest."""


def judge_in_memory(point: Point, limit_mib: float | None) -> Record:
    """Record of a run, with the memory that it needs; one that needs more than there is does not run."""
    if limit_mib is None:
        return evaluate_point(point)
    try:
        needed = _memory_mib(point.config())
    except UserError as error:
        return {**point.settings, "error": str(error), "config_hash": None}
    except Exception as error:  # as in evaluate_point: it must not take the others along
        return {**point.settings, "error": f"{INTERNAL}: {type(error).__name__}: {error}", "config_hash": None}
    if needed > limit_mib:
        problem = f"needs {needed:.4g} MiB of memory; limits.memory_mib is {limit_mib:g}"
        return {**point.settings, "error": problem, "config_hash": None, "memory_mib": needed}
    return evaluate_point(point) | {"memory_mib": needed}


def _memory_mib(config: RunConfig) -> float:
    network = build_network(config.workload)
    costing = Costing.of(config)
    parameters = parameters_of(prepare_operands(network, config))
    pruned = prune_weights(network, config, parameters)
    plan = plan_network(network, config, costing.library, parameters, costing.sparse_library, pruned)
    return memory_bytes(plan, pruned) / 2**20


@dataclass
class Judge:
    """Runs settings of a space through an engine.

    Parameters
    ----------
    tune : Tune
    folder : Path or None
        Where records are kept.
    engine : str
        Of the runs.
    workers : Workers
        Who runs them; left open.
    evaluate : callable, optional
        From a point to its record, in place of a run.
    """

    tune: Tune
    folder: Path | None
    engine: Engine
    workers: Workers
    evaluate: Evaluate | None = None
    records: dict[int, Record] = field(default_factory=dict, init=False)
    """Of the settings that were asked for, by position in the space, in the order of asking."""
    runs: int = field(default=0, init=False)
    """Settings that this process ran, and did not find recorded."""

    def __post_init__(self) -> None:
        own = replace(self.tune, spec=self.tune.spec.model_copy(update={"engine": self.engine}))
        self._sweep = own.sweep
        self._store = Store.open(self.folder, study_identity(own), own.axes, "study")
        self._seconds: float | None = None
        limit = self.tune.spec.limits.memory_mib
        self._evaluate = self.evaluate or partial(judge_in_memory, limit_mib=limit)

    def close(self) -> None:
        """Give up the folder."""
        self._store.close()

    def point(self, position: int) -> Point:
        """What runs at a position of the space."""
        settings = {} if position == self.tune.reference else self._sweep.at(position)
        return make_point(self._sweep, settings, position)

    def judge(self, positions: Sequence[int], ended: Callable[[int], None] | None = None) -> None:
        """Have the records of positions in `records`; what is not recorded yet is run.

        Parameters
        ----------
        positions : sequence of int
        ended : callable, optional
            Told after each how many of them there are.
        """
        points = {position: self.point(position) for position in positions if position not in self.records}
        known = self._store.found([point.key for point in points.values()])
        found = {point.position: known[point.key] for point in points.values() if point.key in known}
        if ended is not None and found:
            ended(len(found))
        for ran, records in self._results([point for point in points.values() if point.key not in known]):
            self._store.add(ran, records)
            found |= {point.position: record for point, record in zip(ran, records, strict=True)}
            self.runs += len(ran)
            if ended is not None:
                ended(len(found))
        self.records |= {position: found[position] for position in points}

    def _results(self, points: list[Point]) -> Iterator[tuple[Sequence[Point], Sequence[Record]]]:
        if not points:
            return
        flight = Flight(iter(points), len(points), self.workers, self._evaluate, self._seconds)
        try:
            yield from flight.results()
        finally:
            self._seconds = flight.seconds


def study_identity(tune: Tune) -> dict[str, object]:
    """What makes a study this one and no other; how many settings it may try is not part of it."""
    own = tune.spec.model_dump(mode="json", exclude=set(_FREE))
    return {**identity(tune.sweep), **own, "kind": "tune", "accelsim": version("accelsim")}


def refuse_others(folder: Path, ours: Sequence[str]) -> None:
    """Raise `ResultError` unless a folder is missing, or holds nothing but what a study leaves there."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ResultError(f"{folder} is a file; a study needs a folder")
    foreign = sorted({entry.name for entry in folder.iterdir()} - {EVALUATIONS, ESTIMATES, *ours})
    if foreign:
        raise ResultError(f"{folder} holds something else ({foreign[0]}); name another folder or empty this one")


def in_process() -> Workers:
    """Runs in this process, one after another."""
    return Workers(InProcess(), 1)
