"""A bar of progress for commands that may take long."""

import time
from types import TracebackType
from typing import Any

_PATIENCE_S = 2.0
"""A command that takes longer shows its progress."""


class Progress:
    """A bar on standard error once a command takes long, on a terminal only.

    Parameters
    ----------
    quiet : bool
        Whether there is never one.
    what : str
        What is counted.
    """

    def __init__(self, quiet: bool, what: str) -> None:
        self._quiet = quiet
        self._what = what
        self._begin = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, done: int, total: int) -> None:
        """Note that so many of so many are done."""
        if self._bar is None and not self._quiet and time.monotonic() - self._begin > _PATIENCE_S:
            self._start(total)
        if self._bar is not None:
            self._bar.update(self._task, completed=done)

    def _start(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import MofNCompleteColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        console = Console(stderr=True)
        if console.is_terminal:
            self._bar = Bar(
                *Bar.get_default_columns()[:2],
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task(self._what, total=total)
            self._bar.start()
