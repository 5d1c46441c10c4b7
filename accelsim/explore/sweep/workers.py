"""Who runs the points of a sweep: this process, others on this machine, or a cluster; all are executors."""

import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from accelsim.config.loader import load_workload
from accelsim.errors import ConfigError, ResultError
from accelsim.explore.sweep.nursery import context, one_thread
from accelsim.explore.sweep.spec import Sweep

_T = TypeVar("_T")

WORKER_BYTES = 500 * 2**20
"""Memory that is set aside for a worker without values; measured at 330 MiB, kernels included."""

_GROUP_FILES = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""Limit and use of a control group, of the second version and of the first."""

_FLOAT = 4
"""Bytes of an operand while points run, whatever its format."""

_ANSWER_S = 10
"""Seconds that a scheduler may take to answer."""


class InProcess(Executor):
    """Runs what is submitted at once, in this thread."""

    def submit(self, function: Callable[..., _T], /, *args: Any, **kwargs: Any) -> "Future[_T]":
        """The result, or the error, as a future that is done; an interrupt goes through."""
        future: Future[_T] = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Workers:
    """An executor, with what a sweep has to know of it.

    Parameters
    ----------
    executor : Executor
    count : int
        Points that it runs at once.
    """

    def __init__(self, executor: Executor, count: int) -> None:
        self.executor = executor
        self._count = count

    @property
    def alone(self) -> bool:
        """Whether points run in this process, so that each is recorded before the next begins."""
        return isinstance(self.executor, InProcess)

    def count(self) -> int:
        """Points that run at once."""
        return self._count

    def restart(self) -> None:
        """Begin again after a worker has died.

        Raises
        ------
        ResultError
            When that is not ours to do.
        """
        raise ResultError("the executor's workers have died; points that were recorded are kept")

    def check(self) -> None:
        """Raise ResultError when nobody is there any more to run points."""

    def close(self, now: bool) -> None:
        """End workers that were started for the sweep; `now` does not wait for what they are at."""


class LocalProcesses(Workers):
    """Processes on this machine. Each runs one thread of Numba and of BLAS, and ends when its parent does."""

    def __init__(self, count: int) -> None:
        self._children: list[Any] = []
        super().__init__(self._started(count), count)

    def _started(self, count: int) -> Executor:
        before = set(multiprocessing.active_children())
        executor = ProcessPoolExecutor(count, context(), initializer=begin_worker)
        with one_thread():  # children take their environment when they start, which is when there is work for them
            for _ in range(count):
                executor.submit(load_kernels)
        self._children = [child for child in multiprocessing.active_children() if child not in before]
        return executor

    def restart(self) -> None:
        self.close(now=True)
        self.executor = self._started(self._count)

    def close(self, now: bool) -> None:
        self.executor.shutdown(wait=not now, cancel_futures=True)
        if now:
            for child in self._children:
                child.terminate()


class Cluster(Workers):
    """The workers of a Dask scheduler, which may come and go; a lost one's points run elsewhere.

    Parameters
    ----------
    address : str
        Of the scheduler, as ``tcp://host:8786``.

    Raises
    ------
    ConfigError
        When Dask is not installed, or nothing answers there.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
            from distributed.comm import resolve_address
        except ImportError:
            raise ConfigError("--scheduler needs Dask: pip install accelsim[cluster]") from None
        try:
            resolve_address(address)  # a client that was given no address does not end cleanly
        except (OSError, ValueError) as error:
            raise ConfigError(f"scheduler {address!r}: {error}; needs an address as in tcp://host:8786") from None
        try:
            self._client: Any = Client(address, timeout=_ANSWER_S, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ConfigError(f"no scheduler answers at {address} within {_ANSWER_S} s ({reason})") from None
        self._address = address
        super().__init__(self._client.get_executor(), 1)

    def count(self) -> int:
        threads: dict[str, int] = self._client.nthreads()
        return max(1, sum(threads.values()))

    def check(self) -> None:
        if self._client.status != "running":
            raise ResultError(
                f"the scheduler at {self._address} is gone; points that were recorded are kept, and the same command "
                "goes on from them"
            )

    def close(self, now: bool) -> None:
        with suppress(OSError, TimeoutError, CancelledError):  # of a scheduler that is gone
            if now:
                self.executor.shutdown(wait=False)
            self._client.close(timeout=_ANSWER_S)


def workers_of(executor: Executor | None, workers: int, scheduler: str | None) -> Workers:
    """Workers as a caller names them: an executor, an address, or a number of processes (1: this one)."""
    if executor is not None and scheduler is not None:
        raise ConfigError("executor and scheduler are both given; give one of them")
    if executor is not None:
        return Workers(executor, getattr(executor, "_max_workers", None) or os.cpu_count() or 1)
    if scheduler is not None:
        return Cluster(scheduler)
    if workers < 1:
        raise ConfigError(f"workers is {workers}; a sweep needs at least 1")
    return Workers(InProcess(), 1) if workers == 1 else LocalProcesses(workers)


def default_workers(operand_bytes: int = 0) -> int:
    """Processes that this machine has cores and memory for.

    Parameters
    ----------
    operand_bytes : int
        Of a point's inputs and parameters; what is computed on the way takes some times that.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    free = available_memory()
    if free is None:
        return cores
    return max(1, min(cores, int(0.8 * free) // (WORKER_BYTES + 8 * operand_bytes)))


def operand_bytes(sweep: Sweep) -> int:
    """Bytes of inputs and parameters of the largest workload that a sweep names, as axes leave it; 0 without values.

    Raises
    ------
    UserError
        When a workload cannot be built.
    """
    if not any(sweep.values.get("values", [sweep.spec.values])):
        return 0
    from accelsim.model.build import build_network

    names = sweep.values.get("workload", [sweep.spec.workload])
    networks = [build_network(load_workload(sweep.located(str(name)))) for name in names]
    shapes = [[*network.inputs.values(), *network.parameters.values()] for network in networks]
    return max(_FLOAT * sum(math.prod(shape) for shape in own) for own in shapes)


def available_memory(root: Path = Path("/")) -> int | None:
    """Bytes that new processes may take: of the machine, or of the group that the process is confined to; None where
    the system does not tell."""
    found = []
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        found += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    except (OSError, ValueError, IndexError):
        pass
    group = root / "sys/fs/cgroup"
    for limit, used in _GROUP_FILES:
        try:
            found.append(int((group / limit).read_text()) - int((group / used).read_text()))
        except (OSError, ValueError):
            continue
    return max(0, min(found)) if found else None


def begin_worker() -> None:
    """Leave interrupts to the parent, and end with it: a parent that is killed cannot tell its children to."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def end_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def load_kernels() -> None:
    """Load what points need, while the first of them runs elsewhere; processes that were forked have it already."""
    import accelsim.explore.sweep.warm  # noqa: F401
