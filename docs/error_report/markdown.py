"""Markdown tables and the places that pages mark for them."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

MARKED = re.compile(r"(<!-- errors: (\w+) -->\n)(.*?)(<!-- end of errors -->\n)", re.S)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], texts: int = 2) -> str:
    """A table whose first `texts` columns hold text and whose others hold numbers."""
    rule = ["---"] * texts + ["---:"] * (len(head) - texts)
    return "".join(f"| {' | '.join(map(str, cells))} |\n" for cells in [head, rule, *rows])


def short(value: float | None) -> str:
    """A number with one digit behind the point; nothing for none."""
    return "" if value is None else f"{value + 0.0:.1f}"


def signed(value: float) -> str:
    """A change: with its sign, and none where it rounds to nothing."""
    return "0.0" if abs(value) < 0.05 else f"{value:+.1f}"


def places(page: Path) -> dict[str, str]:
    """What a page holds at each of its places, by name."""
    return {match[2]: match[3].strip() for match in MARKED.finditer(page.read_text(encoding="utf-8"))}


def put(page: Path, texts: dict[str, str]) -> None:
    """Put texts where a page marks their places; places without a text keep what they hold."""

    def replaced(match: re.Match[str]) -> str:
        return f"{match[1]}\n{texts[match[2]]}\n{match[4]}" if match[2] in texts else match[0]

    page.write_text(MARKED.sub(replaced, page.read_text(encoding="utf-8")), encoding="utf-8")
