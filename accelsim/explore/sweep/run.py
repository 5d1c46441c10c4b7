"""Running a sweep: points in flight, recorded as they come back, resumed where it was left."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from accelsim.config.loader import load_config
from accelsim.config.record import config_hash
from accelsim.errors import ConfigError, ResultError, UserError
from accelsim.explore.sweep.points import (
    Chunk,
    Point,
    Record,
    chunk_size,
    evaluate_chunk,
    evaluate_point,
    make_point,
    records_of_lost,
)
from accelsim.explore.sweep.results import SweepRun
from accelsim.explore.sweep.spec import NAMES, Sweep
from accelsim.explore.sweep.store import Store, read_store
from accelsim.explore.sweep.tables import write_file, write_tables
from accelsim.explore.sweep.workers import Workers, workers_of

_MOST_DRAWN = 20_000
"""Points above which a sweep has no figure: it would need all of them in memory, and nobody could tell them apart."""

_LOOK_S = 5.0
"""Seconds after which it is looked whether anybody is there to run points."""

_BATCH = 500

_HOPELESS = 3
"""Deaths of workers before any point has been run that end a sweep."""

_PARTS = ("gpu", "attention_unit", "library", "sparse_library", "energy", "accuracy")
_NAMED_FILES = (*_PARTS, "key_means", "weights", "data")
"""Keys whose values are names or paths of files."""

Done = tuple[Sequence[Point], Sequence[Record]]


def run_sweep(
    sweep: Sweep,
    out: str | Path | None = None,
    *,
    executor: Executor | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    evaluate: Callable[[Point], Record] = evaluate_point,
    progress: Callable[[int, int], None] | None = None,
    watch: Callable[[Record], None] | None = None,
    draw: Callable[[SweepRun], Mapping[str, bytes]] | None = None,
) -> SweepRun:
    """Run every point of a sweep.

    Parameters
    ----------
    sweep : Sweep
    out : str or Path, optional
        Folder in which each finished point is recorded at once, and the tables written at the end. Points that an
        earlier call recorded there are not run again. One process at a time.
    executor : concurrent.futures.Executor, optional
        Where points run; it is left open.
    workers : int
        Processes to start on this machine instead; 1 runs points in this one.
    scheduler : str, optional
        Address of a Dask scheduler instead.
    evaluate : callable
        From a `Point` to its record.
    progress : callable, optional
        Called with the points done and their number, at the start and as points end.
    watch : callable, optional
        Called with the record of the fastest point so far, whenever it is another.
    draw : callable, optional
        From the whole sweep to figures by file name, to be kept in `out`; sweeps of very many points are not drawn.

    Returns
    -------
    SweepRun
        Points in the sweep's order, whatever order they ended in. A point that failed has its error as a record.

    Raises
    ------
    ResultError
        When the folder holds another sweep or something else, is in use, is damaged or cannot be written.
    ConfigError
        When no scheduler answers.
    """
    folder = None if out is None else Path(out)
    store = Store.open(folder, identity(sweep), sweep.axes)
    try:
        finished = store.finished()
        (progress or _ignore)(finished, len(sweep))
        if finished < len(sweep):
            team = workers_of(executor, workers, scheduler)
            _run_rest(sweep, store, finished, team, evaluate, progress, watch)
        run = SweepRun(sweep.spec.name, sweep.axes, store.records())
        if folder is not None:
            _export(run, folder, draw if len(sweep) <= _MOST_DRAWN else None)
    except BaseException:
        store.close()
        raise
    if folder is None:
        return run
    store.close()
    return SweepRun(sweep.spec.name, sweep.axes, read_store(folder).records())


def _export(run: SweepRun, folder: Path, draw: Callable[[SweepRun], Mapping[str, bytes]] | None) -> None:
    """Write tables and figures."""
    write_tables(folder, run.records, run.axes)
    for name, content in (draw(run) if draw is not None else {}).items():
        write_file(folder / name, content)


def _ignore(done: int, total: int) -> None:
    """Nobody asked for progress."""


def _run_rest(
    sweep: Sweep,
    store: Store,
    finished: int,
    workers: Workers,
    evaluate: Callable[[Point], Record],
    progress: Callable[[int, int], None] | None,
    watch: Callable[[Record], None] | None,
) -> None:
    """Run and record the points that are not done."""
    best = _latency(store.best())
    now = True
    flight = Flight(_to_do(sweep, store), len(sweep) - finished, workers, evaluate)
    try:
        for points, records in flight.results():
            store.add(points, records)
            finished += len(points)
            (progress or _ignore)(finished, len(sweep))
            fastest = min(records, key=_latency)
            if watch is not None and _latency(fastest) < best:
                best = _latency(fastest)
                watch(fastest)
        now = False
    except Exception:
        workers.check()  # that nobody is there any more says more than how that was noticed
        raise
    finally:
        workers.close(now)


def _latency(record: Record | None) -> float:
    value = None if record is None else record.get("latency_us")
    return float(value) if isinstance(value, (int, float)) else float("inf")


def _to_do(sweep: Sweep, store: Store) -> Iterator[Point]:
    """Points that are not done, in the order in which they can share most."""
    order = sweep.run_order()
    while batch := [make_point(sweep, sweep.at(position), position) for position in islice(order, _BATCH)]:
        done = store.done([point.key for point in batch])
        yield from (point for point in batch if point.key not in done)


class Flight:
    """Points on their way through workers.

    Parameters
    ----------
    points : iterator of Point
        Taken as workers are free, so that a million of them need no memory.
    remaining : int
        Their number.
    workers : Workers
    evaluate : callable
        From a point to its record.
    seconds : float, optional
        That a point takes, where it is known from others.
    """

    def __init__(
        self,
        points: Iterator[Point],
        remaining: int,
        workers: Workers,
        evaluate: Callable[[Point], Record],
        seconds: float | None = None,
    ) -> None:
        self._points = points
        self._remaining = remaining
        self._workers = workers
        self._evaluate = evaluate
        self._pending: dict[Future[tuple[list[Record], float]], Chunk] = {}
        self._suspects: deque[Point] = deque()
        """Points that were in flight when a worker died; each runs by itself, so that the one to blame is known."""
        self.seconds = seconds
        """That a point takes; None before the first."""
        self._deaths = 0
        """How often workers had to be started again."""

    def results(self) -> Iterator[Done]:
        """Points with their records, as chunks of them come back.

        Raises
        ------
        UserError
            When a worker refuses to work, or nobody is left to.
        """
        try:
            while self._fill():
                done, _ = wait(self._pending, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
                if not done:
                    self._workers.check()
                for future in done:
                    yield from self._landed(future)
        finally:
            for future in self._pending:
                future.cancel()

    def _fill(self) -> bool:
        """Hand out points while workers are free; False when nothing is under way any more."""
        if self._suspects:
            if not self._pending:
                self._submit((self._suspects.popleft(),))
            return True
        # The first point goes alone: it compiles kernels that are not in Numba's cache, once for all workers.
        free = 1 if self._workers.alone or self.seconds is None else 2 * self._workers.count()
        while len(self._pending) < free and self._remaining:
            size = 1
            if not self._workers.alone:
                size = chunk_size(self.seconds, self._remaining, self._workers.count())
            chunk = tuple(islice(self._points, size))
            if not chunk:
                self._remaining = 0
                break
            self._remaining -= len(chunk)
            if not self._submit(chunk):
                break
        return bool(self._pending or self._suspects)

    def _submit(self, points: tuple[Point, ...]) -> bool:
        """Hand out a chunk; False when workers had died, and its points wait to run again."""
        chunk = Chunk(points, self._evaluate)
        try:
            self._pending[self._workers.executor.submit(evaluate_chunk, chunk)] = chunk
        except BrokenExecutor:
            self._suspects.extend(points)
            if not self._pending:
                self._begin_again()
            return False
        return True

    def _begin_again(self) -> None:
        """Start workers in place of dead ones."""
        self._deaths += 1
        if self.seconds is None and self._deaths >= _HOPELESS:
            raise ResultError(
                f"workers ended {self._deaths} times before one had run a point; take --workers 1 to see why (a script "
                "that starts workers has to do so below if __name__ == '__main__')"
            )
        self._workers.restart()

    def _landed(self, future: "Future[tuple[list[Record], float]]") -> Iterator[Done]:
        chunk = self._pending.pop(future, None)
        if chunk is None:  # it was among those that a dead worker took along
            return
        try:
            records, seconds = future.result()
        except UserError:
            raise
        except BrokenExecutor:
            good = {other: its for other, its in self._pending.items() if _is_good(other)}
            lost = [chunk, *(its for other, its in self._pending.items() if other not in good)]
            self._pending.clear()
            yield from ((its.points, other.result()[0]) for other, its in good.items())
            self._begin_again()
            yield from self._lose(lost, "its worker process ended, perhaps for lack of memory")
        except CancelledError:
            self._workers.check()
            yield from self._lose([chunk], "its worker dropped it")
        except Exception as error:
            if type(error).__name__ != "KilledWorker":  # Dask's word for a task whose workers died again and again
                raise
            yield from self._lose([chunk], "its workers ended, perhaps for lack of memory")
        else:
            each = seconds / len(chunk)
            self.seconds = each if self.seconds is None else 0.7 * self.seconds + 0.3 * each
            yield chunk.points, records

    def _lose(self, chunks: Sequence[Chunk], why: str) -> Iterator[Done]:
        """Points that ended with their worker: one that was alone is to blame, of several each runs again alone."""
        if len(chunks) == 1 and len(chunks[0]) == 1:
            yield chunks[0].points, records_of_lost(chunks[0].points, why)
            return
        for chunk in chunks:
            self._suspects.extend(chunk.points)


def _is_good(future: "Future[Any]") -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def identity(sweep: Sweep) -> dict[str, object]:
    """What makes a sweep this one and no other: all but its name and description, the content of the machines,
    workloads and tables that it names, and the version that runs it."""
    spec = sweep.spec.model_dump(mode="json", exclude={"name", "description"})
    return {"accelsim": version("accelsim"), **spec, "content": _content(sweep)}


def _content(sweep: Sweep) -> dict[str, str]:
    """Hashes of configs that between them name every file of the sweep."""
    machines = [sweep.located(str(name)) for name in sweep.values.get("hardware", [sweep.spec.hardware])]
    loads = [sweep.located(str(name)) for name in sweep.values.get("workload", [sweep.spec.workload])]
    found = {f"hardware {index}": _hash(name, loads[0]) for index, name in enumerate(machines)}
    found |= {f"workload {index}": _hash(machines[0], name) for index, name in enumerate(loads)}
    for axis, values in sweep.values.items():
        if axis not in NAMES and axis.rpartition(".")[2] in _NAMED_FILES:
            found |= {f"{axis}={value}": _hash(machines[0], loads[0], f"{axis}={value}") for value in values}
    return found


def _hash(hardware: str, workload: str, *sets: str) -> str:
    try:
        return config_hash(load_config(hardware, workload, sets=sets))
    except ConfigError as error:  # the point has it as its error
        return f"error: {error}"
