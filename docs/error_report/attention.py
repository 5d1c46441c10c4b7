"""Errors of fused attention, by GPU and serving stack."""

from pathlib import Path
from typing import Any

from accelsim.validate import validate
from accelsim.validate.attention_rows import HALVES, REGIMES
from error_report.markdown import short, table
from error_report.measured import ENGINES, HEAD, KEYS

TABLE = "attention.csv"
GPUS = ("a100_sxm4_80gb", "h100_sxm5")
NAMES = dict(zip(HALVES, ("calibrated", "left out"), strict=True))
"""Rows of both halves were read while the model was made: left out of fits and choices, but not unseen."""


def attention(folder: Path) -> str:
    """Errors by GPU and stack, and by regime, of rows that gave a fit and of those left out of it."""
    if not (folder / TABLE).is_file():
        return table(["rows", "half", "engine", "n", *HEAD], [], texts=3)
    found = {engine: validate(folder / TABLE, GPUS, engine=engine).summary()["attention"] for engine in ENGINES}
    rows: list[list[Any]] = []
    for engine, summary in found.items():
        parts = [(f"{one['hardware']}, {one['stack']}", one) for one in summary["stacks"]]
        parts += [(f"{name}, all", one) for name, one in summary["gpus"].items()]
        parts += [(REGIMES[name][0], one) for name, one in summary["regimes"].items()]
        parts.append(("all", summary["halves"]))
        rows += [_row(name, half, engine, one[half]) for name, one in parts for half in HALVES if one[half]["n"]]
    return table(["rows", "half", "engine", "n", *HEAD], sorted(rows, key=lambda row: _order(row, rows)), texts=3)


def _row(name: str, half: str, engine: str, found: dict[str, Any]) -> list[Any]:
    return [name, NAMES[half], engine, found["n"], *(short(found[key]) for key in KEYS)]


def _order(row: list[Any], rows: list[list[Any]]) -> tuple[int, int]:
    """Rows of one name together, both halves and engines beside each other."""
    names = [other[0] for other in rows]
    return names.index(row[0]), list(NAMES.values()).index(row[1])
