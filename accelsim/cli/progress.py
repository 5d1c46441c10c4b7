"""A bar of progress for commands that may take long."""

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from accelsim.cli import output

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

_PATIENCE_S = 2.0
"""A command that takes longer shows its progress."""

_LINE_S = 60.0
"""Where there is no terminal, as in the log of a batch job, a line tells it this often."""


class Progress:
    """A bar on standard error once a command takes long, on a terminal; elsewhere a line now and then.

    The bar appears by itself, whether or not anything was counted by then: until then, and for commands that count
    nothing, it moves and tells the time that has passed.

    Parameters
    ----------
    quiet : bool
        Whether there is never one.
    what : str
        What is counted, or what is done.
    """

    def __init__(self, quiet: bool, what: str) -> None:
        self._quiet = quiet
        self._what = what
        self._begin = self._told = time.monotonic()
        self._first: int | None = None
        self._note = ""
        self._bar: Any = None
        self._task: Any = None
        self._over = False
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def __enter__(self) -> "Progress":
        if not self._quiet and sys.stderr.isatty():
            self._timer = threading.Timer(max(_PATIENCE_S, 0), self._start, (0, None))
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._over = True
            if self._bar is not None:
                self._bar.stop()

    def note(self, text: str) -> None:
        """What stands at the end of the bar from now on."""
        self._note = text
        if self._task is not None:
            self._bar.update(self._task, note=text)

    def show(self, done: int, total: int) -> None:
        """Note that so many of so many are done."""
        if self._first is None:
            self._first = done
        now = time.monotonic()
        if self._bar is None and not self._quiet and now - self._begin > _PATIENCE_S:
            self._start(done, total)
        if self._task is not None:
            self._bar.update(self._task, completed=done, total=total)
        elif self._bar is not None and now - self._told > _LINE_S:
            self._told = now
            rate = (done - self._first) / (now - self._begin)
            left = f", {_clock((total - done) / rate)} left" if rate else ""
            output.message(f"{done} of {total} {self._what}, {rate:.3g}/s{left}{self._note and '; ' + self._note}")

    def _start(self, done: int, total: int | None) -> None:
        """Show the bar, unless it is shown or the command has ended; called by the timer's thread too."""
        from rich.console import Console
        from rich.progress import Progress as Bar

        with self._lock:
            if self._bar is not None or self._over:
                return
            console = Console(stderr=True)
            bar = Bar(*_columns(self._begin), console=console, transient=True)
            if console.is_terminal:
                self._task = bar.add_task(self._what, total=total, completed=done, note=self._note)
                bar.start()
            self._bar = bar


def _columns(begin: float) -> "list[ProgressColumn]":
    """Of the bar: numbers stay whole in a narrow terminal, where the note is cut short."""
    from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
    from rich.table import Column
    from rich.text import Text

    class Done(ProgressColumn):
        """So many of so many, where something is counted."""

        def render(self, task: Task) -> Text:
            return Text("" if task.total is None else f"{task.completed:.0f}/{task.total:.0f}")

    class Rate(ProgressColumn):
        """Of what ended lately, and the time that the rest takes at it; else the time since the command began."""

        def render(self, task: Task) -> Text:
            if task.total is None or task.speed is None:
                return Text(f"{_clock(time.monotonic() - begin)} so far")
            left = task.time_remaining
            rate = f"{task.speed:.3g}/s"
            return Text(rate if left is None else f"{rate}, {_clock(left)} left")

    class Note(ProgressColumn):
        """On one line."""

        def render(self, task: Task) -> Text:
            return Text(str(task.fields["note"]), no_wrap=True, overflow="ellipsis")

    def whole() -> Column:
        return Column(no_wrap=True)

    what = TextColumn("{task.description}", table_column=whole())
    bar = BarColumn(20, table_column=whole())
    return [what, bar, Done(table_column=whole()), Rate(table_column=whole()), Note()]


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
