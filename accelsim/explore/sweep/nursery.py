"""The process that workers are forked from: it loads what points need once, for all of them.

It has no thread of Python beside its own, which the sweep's process may have, so that to fork it is safe. Loading takes
it longer than anything else at the start of a sweep, so it may be told to begin before the sweep is read. Nothing heavy
is imported here.
"""

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import BaseContext

_ONE_THREAD = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_LOADED = ("accelsim.explore.sweep.warm",)


def context() -> BaseContext:
    """How workers start: forked where the system can, else afresh."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(list(_LOADED))
    return found


def begin() -> None:
    """Let loading begin; it goes on while the caller does other things, and ends with it."""
    if context().get_start_method() == "forkserver":
        with one_thread():
            forkserver.ensure_running()


@contextmanager
def one_thread() -> Iterator[None]:
    """Processes that start meanwhile run one thread of Numba and of BLAS."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
