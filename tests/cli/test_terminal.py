"""Tables and notes on terminals of several widths: nothing is lost and nothing runs over."""

import re
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.cli import output
from accelsim.cli.terminal import panels

COLUMNS = [
    output.Column("scheme"),
    *(
        output.Column(title, True)
        for title in ("latency (us)", "80 % interval (us)", "attention speed-up", "energy (uJ)")
    ),
    output.Column("source"),
]
ROWS = [
    ["dense", "63.56", "57.64 to 73.26", "1.00x", "10,650", "whitepaper, page 3, and a long remark about it"],
    ["tile_wise+hdp", "54.45", "50.11 to 61.84", "1.16x", "7,395", "default"],
]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes standard output a terminal of so many columns."""

    def begin(width: int) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("COLUMNS", str(width))

    return begin


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_line_runs_over_and_no_cell_is_lost(
    terminal: Callable[[int], None], width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal(width)
    output.table("Schemes", COLUMNS, ROWS)
    text = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    assert max(map(len, text.splitlines())) <= width
    words = text.split()
    for row in ROWS:
        assert all(word in words for cell in row for word in cell.split())


def test_every_panel_begins_with_the_name_of_its_row(
    terminal: Callable[[int], None], capsys: pytest.CaptureFixture[str]
) -> None:
    terminal(40)
    output.table("Schemes", COLUMNS, ROWS)
    out = capsys.readouterr().out
    assert out.count("tile_wise+hdp") == out.count("─ ") + out.count("─\n") >= 2


def test_notes_are_folded_at_spaces(terminal: Callable[[int], None], capsys: pytest.CaptureFixture[str]) -> None:
    terminal(30)
    output.lines(["Defaults: hardware.gpu.dram.interleave, hardware.link.bandwidth.", "Operands: seed 0."])
    assert capsys.readouterr().out.splitlines() == [
        "Defaults:",
        "  hardware.gpu.dram.interleave,",
        "  hardware.link.bandwidth.",
        "Operands: seed 0.",
    ]


def test_messages_are_folded_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "error: unknown machine 'v100'; did you mean 'v100_pcie'?\nerror: another one"
    output.message(text)
    assert capsys.readouterr().err == text + "\n"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    output.message(text)
    lines = capsys.readouterr().err.splitlines()
    assert max(map(len, lines)) <= 40
    assert [line.startswith("  ") for line in lines] == [False, True, False]
    assert " ".join(" ".join(lines).split()) == " ".join(text.split())


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colour_means_no_escape_codes(
    terminal: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
) -> None:
    terminal(80)
    monkeypatch.setenv(name, value)
    output.table("Schemes", COLUMNS, ROWS)
    assert "\x1b" not in capsys.readouterr().out


@given(st.lists(st.integers(1, 40), max_size=12), st.integers(20, 160))
def test_panels_hold_every_column_once_in_order(widths: list[int], room: int) -> None:
    found = panels(widths, room)
    assert [index for panel in found for index in panel if index] == list(range(1, len(widths)))
    for panel in found:
        assert panel[0] == 0
        needed = sum(widths[index] + 2 for index in panel) - 2
        assert needed <= room or len(panel) == 2 or len(widths) == 1
