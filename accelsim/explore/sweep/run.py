"""Running a sweep: point by point, recorded as each ends, resumed where it was left."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from accelsim.config.loader import load_config
from accelsim.config.record import config_hash
from accelsim.config.scheme import RunConfig
from accelsim.errors import ConfigError, UserError
from accelsim.explore.sweep.records import Record, SweepFolder, frame_of
from accelsim.explore.sweep.spec import NAMES, Scalar, Sweep
from accelsim.results.schema import SCHEMA_VERSION
from accelsim.results.store import json_text

INTERNAL = "internal error"
"""How the error of a point begins that is our mistake; such a point is tried again when the sweep is resumed."""


@dataclass(frozen=True)
class Point:
    """One run of a sweep. It can be sent to another process."""

    settings: dict[str, Scalar]
    key: str
    """Hash of its config, by which a resumed sweep knows it."""
    config: RunConfig | None
    problem: str | None
    """Why there is no config."""


@dataclass(frozen=True)
class SweepRun:
    """A sweep's outcome."""

    name: str
    axes: tuple[str, ...]
    records: tuple[Record, ...]
    """For each point the value of every axis, `error` (None if it went well), `config_hash`, and the summary."""

    @property
    def failed(self) -> tuple[Record, ...]:
        """Points that have an error."""
        return tuple(record for record in self.records if record["error"] is not None)

    def to_frame(self) -> pd.DataFrame:
        """A row for each point, axes first."""
        return frame_of(self.records, self.axes)

    def document(self) -> dict[str, object]:
        """The sweep as a JSON document (`accelsim.results.schema.SWEEP_SCHEMA`)."""
        axes = list(self.axes)
        return {"schema_version": SCHEMA_VERSION, "sweep": self.name, "axes": axes, "points": list(self.records)}

    def to_json(self) -> str:
        """`document` as text."""
        return json_text(self.document())


def run_sweep(
    sweep: Sweep,
    out: str | Path | None = None,
    *,
    executor: Executor | None = None,
    evaluate: "Callable[[Point], Record] | None" = None,
    progress: Callable[[int, int], None] | None = None,
    draw: "Callable[[SweepRun], Mapping[str, bytes]] | None" = None,
) -> SweepRun:
    """Run every point of a sweep.

    Parameters
    ----------
    sweep : Sweep
    out : str or Path, optional
        Folder to which each finished point is appended at once, and the tables written at the end. Points that an
        earlier call recorded there are not run again.
    executor : concurrent.futures.Executor, optional
        Where points run; one after another in this process when left out.
    evaluate : callable, optional
        From a `Point` to its record; `evaluate_point` when left out.
    progress : callable, optional
        Called with the points done and their number, at the start and after each.
    draw : callable, optional
        From the whole sweep to figures by file name, to be kept in `out`.

    Returns
    -------
    SweepRun
        Points in the sweep's order, whatever order they ended in. A point that failed has its error as a record.

    Raises
    ------
    ResultError
        When the folder holds another sweep or something else, or is damaged.
    """
    points = [make_point(sweep, settings) for settings in sweep.settings()]
    folder = None if out is None else SweepFolder.open(Path(out), identity(sweep))
    known = {} if folder is None else folder.read()
    done = {point.key: known[point.key] for point in points if _is_final(known.get(point.key))}
    todo = list({point.key: point for point in points if point.key not in done}.values())
    report = progress or (lambda finished, total: None)
    report(len(points) - len(todo), len(points))
    for index, (point, record) in enumerate(_evaluated(todo, evaluate or evaluate_point, executor), start=1):
        done[point.key] = record
        if folder is not None:
            folder.append(point.key, record)
        report(len(points) - len(todo) + index, len(points))
    run = SweepRun(sweep.spec.name, sweep.axes, tuple({**done[point.key], **point.settings} for point in points))
    if folder is not None:
        folder.finish(run.to_frame(), draw(run) if draw is not None else None)
    return run


def make_point(sweep: Sweep, settings: dict[str, Scalar]) -> Point:
    """The point of a sweep at which its axes have the values `settings`."""
    spec = sweep.spec
    chosen = {name: settings.get(name, getattr(spec, name)) for name in NAMES}
    sets = [f"{path}={json.dumps(value)}" for path, value in settings.items() if path not in NAMES]
    try:
        config = load_config(
            sweep.located(str(chosen.pop("hardware"))), sweep.located(str(chosen.pop("workload"))), sets=sets, **chosen
        )
        return Point(settings, config_hash(config), config, None)
    except ConfigError as error:
        request = json.dumps([spec.model_dump(mode="json", exclude={"grid", "zip"}), settings], sort_keys=True)
        return Point(settings, hashlib.sha256(request.encode()).hexdigest(), None, str(error))


def evaluate_point(point: Point) -> Record:
    """Record of a point: its settings and the summary of its run, or the error that it ended with."""
    record: Record = {**point.settings, "error": point.problem, "config_hash": point.key}
    if point.config is None:
        return record
    from accelsim.pipeline import run_config  # compiles kernels, which a sweep that only resumes does not need

    try:
        summary = run_config(point.config).summary
    except UserError as error:
        return record | {"error": str(error)}
    except Exception as error:  # one point's failure is recorded and must not lose the others
        return record | {"error": f"{INTERNAL}: {type(error).__name__}: {error}"}
    return {key: value for key, value in summary.items() if not isinstance(value, (list, dict))} | record  # type: ignore[return-value]


def identity(sweep: Sweep) -> dict[str, object]:
    """What makes a sweep this one and no other: all but its name and description, and the version that runs it."""
    from importlib.metadata import version

    return {"accelsim": version("accelsim"), **sweep.spec.model_dump(mode="json", exclude={"name", "description"})}


def _is_final(record: Record | None) -> bool:
    return record is not None and not str(record["error"]).startswith(INTERNAL)


def _evaluated(
    points: Sequence[Point], evaluate: Callable[[Point], Record], executor: Executor | None
) -> Iterator[tuple[Point, Record]]:
    """Points with their records as they end."""
    if executor is None:
        for point in points:
            yield point, evaluate(point)
        return
    futures = {executor.submit(evaluate, point): point for point in points}
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        for future in futures:
            future.cancel()
