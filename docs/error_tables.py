"""Writes the tables of docs/validation.md and of the README from runs: ``python docs/error_tables.py``.

Measured tables are found through ACCELSIM_DATA (default ``../shared`` beside the project), in its folder ``measured``.
``--only NAME`` (any number of times) writes one of them. Without it all are written, ``intervals`` first, which
measures hwconfigs/accuracy anew. Two keep what they hold unless they are asked for: ``refitted``, since its fits take
minutes, and ``speed``, which depends on the machine.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # before Numba is imported; speed is that of one core

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import interval_tables  # noqa: E402
import power_tables  # noqa: E402
from error_report import ablation, attention, measured, published, sparse, speed, transferred  # noqa: E402
from error_report.markdown import places, put  # noqa: E402

_T = TypeVar("_T")

PAGES = (ROOT / "docs" / "validation.md", ROOT / "README.md")

TABLES: dict[str, Callable[[Path], str]] = {
    "machines": measured.machines,
    "regimes": measured.regimes,
    "decisions": measured.decisions,
    "held_out": sparse.held_out,
    "sparse": sparse.sparse,
    "sparse_speedups": sparse.sparse_speedups,
    "attention": attention.attention,
    "switches": ablation.switches,
    "mechanisms": ablation.mechanisms,
    "refitted": ablation.refitted,
    "transfer": transferred.transfer,
    "by_parameter": transferred.by_parameter,
    "published": published.others,
    "speed": speed.speed,
}
"""By the name of the place where a page has it."""
ON_REQUEST = ("refitted", "speed")


def _power(folder: Path) -> None:
    page, table = power_tables.PAGE, folder / "power.csv"
    text = page.read_text(encoding="utf-8")
    if table.is_file():
        text = power_tables.replaced(text, "h200 power", power_tables.h200_table(table))
    page.write_text(power_tables.replaced(text, "v100 power", power_tables.v100_table()), encoding="utf-8")


OTHERS: dict[str, Callable[[Path], None]] = {"intervals": lambda folder: interval_tables.main(), "power": _power}
"""Tables that have scripts and places of their own. Intervals come first, since accuracies are measured anew."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Put the tables where pages mark their places."""
    names = [*OTHERS, *TABLES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=", ".join(names))
    given = parser.parse_args(arguments)
    folder = Path(os.environ.get("ACCELSIM_DATA", ROOT.parent / "shared")) / "measured"
    if not folder.is_dir():
        sys.exit(f"no measured tables in {folder}; set ACCELSIM_DATA to the folder that holds them")
    wanted = given.only or [name for name in names if name not in ON_REQUEST]
    for name in (name for name in OTHERS if name in wanted):
        _timed(name, partial(OTHERS[name], folder))
    texts = {name: _timed(name, partial(TABLES[name], folder)) for name in TABLES if name in wanted}
    for page in PAGES:
        put(page, texts)
    homeless = sorted(texts.keys() - {name for page in PAGES for name in places(page)})
    if homeless:
        sys.exit(f"no page has a place for {', '.join(homeless)}")


def _timed(name: str, made: Callable[[], _T]) -> _T:
    begin = time.monotonic()
    text = made()
    print(f"{name}: {time.monotonic() - begin:.0f} s", flush=True)
    return text


if __name__ == "__main__":
    main()
