"""The bar of progress on terminals of any width, and the lines where there is none."""

import contextlib
import io
import re
import sys
import threading
import time

import pytest
from rich.console import Console

from accelsim.cli import progress

NOTE = "best 88.46 us (tile_m 64, stages 3)"


def shown(monkeypatch: pytest.MonkeyPatch, width: int, terminal: bool = True) -> str:
    """What a command's progress writes, half-way through and at once."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=width, color_system=None)
    monkeypatch.setattr("rich.console.Console", lambda stderr: console)
    monkeypatch.setattr(progress, "_PATIENCE_S", -1.0)
    with progress.Progress(False, "points") as bar:
        bar.show(0, 6000)
        bar.note(NOTE)
        for done in (1000, 2000, 3000):
            bar.show(done, 6000)
    return stream.getvalue()


def test_a_wide_terminal_shows_all(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, 140)
    assert "3000/6000" in text
    assert NOTE in text
    assert re.search(r"[\d.e+]+/s, \d:\d\d:\d\d left", text)


def test_a_narrow_terminal_cuts_the_note_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, 76)
    assert "3000/6000" in text
    assert " left" in text
    assert NOTE not in text
    assert "…" in text


def test_where_there_is_no_terminal_lines_tell_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(monkeypatch, 80, terminal=False).strip() == ""
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "_LINE_S", -1.0)
    assert shown(monkeypatch, 80, terminal=False).strip() == ""
    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"3000 of 6000 points, \S+/s, 0:00:00 left; best 88.46 us \(tile_m 64, stages 3\)", lines[-1])


def test_quiet_commands_show_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "_PATIENCE_S", -1.0)
    with progress.Progress(True, "points") as bar:
        bar.show(0, 2)
        bar.show(1, 2)
    assert capsys.readouterr().err == ""


def test_a_command_that_counts_nothing_tells_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr("rich.console.Console", lambda stderr: console)
    monkeypatch.setattr(progress, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress.Progress(False, "simulating") as bar:
        for _ in range(300):
            time.sleep(0.01)
            if "so far" in stream.getvalue():
                break
        assert re.search(r"simulating .* 0:00:0\d so far", stream.getvalue())
        bar.show(1, 5)
    assert "1/5" in stream.getvalue()


@pytest.mark.parametrize(("quiet", "terminal"), [(True, True), (False, False)])
def test_no_bar_begins_by_itself_when_quiet_or_piped(
    monkeypatch: pytest.MonkeyPatch, quiet: bool, terminal: bool
) -> None:
    started = threading.active_count()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with progress.Progress(quiet, "simulating"):
        assert threading.active_count() == started


def test_a_bar_does_not_outlive_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    started = threading.active_count()
    bar = progress.Progress(False, "simulating")
    with contextlib.suppress(KeyboardInterrupt), bar:
        assert threading.active_count() == started + 1
        raise KeyboardInterrupt
    bar._start(0, None)  # as the timer would that went off just then
    assert bar._bar is None
