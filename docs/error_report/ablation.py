"""What each mechanism buys: errors without it, as fitted and after a short fit of what is left."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from accelsim.config.hardware import Gpu
from accelsim.config.loader import load_hardware
from accelsim.validate import read_rows, validate
from accelsim.validate.calibrate import is_held_out
from accelsim.validate.errors import ErrorSummary, summarise
from accelsim.validate.mechanisms import MECHANISMS, Mechanism, Switches
from accelsim.validate.regimes import REGIMES
from accelsim.validate.run import rows_of
from error_report.markdown import short, signed, table
from error_report.measured import HOLDOUT, SEED
from error_report.refit import log_ratios, refit

GPUS = {"a100_sxm4_80gb": "A100", "h100_sxm5": "H100"}
TABLE = "gemm_dense.csv"
WORTH = 0.5
"""Mechanisms that move a mean by less, in percentage points, are not refitted."""
_FEWEST = 20
"""Rows of a regime that is named."""


@cache
def _frames(folder: Path, without: str = "") -> dict[str, pd.DataFrame]:
    """Predictions of all rows by the closed form, by machine."""
    off = (without,) if without else ()
    frame = validate(folder / TABLE, list(GPUS), without=off).timed
    return {gpu: frame[frame["hardware"] == gpu] for gpu in GPUS}


def _errors(frame: pd.DataFrame) -> ErrorSummary:
    return summarise(frame["measured_us"], frame["predicted_us"])


def _mean(frame: pd.DataFrame) -> float:
    return float(np.abs(frame["predicted_us"] / frame["measured_us"] - 1).mean() * 100)


def switches(folder: Path) -> str:
    """What can be switched off, and how a run does the same; measurements have no part in it."""
    gpu = load_hardware(next(iter(GPUS))).gpu
    return table(
        ["`--without`", "what the model does", "without it", "`--set` in a run"],
        [
            [f"`{name}`", mechanism.meaning, mechanism.instead, _sets(mechanism, gpu)]
            for name, mechanism in MECHANISMS.items()
        ],
        texts=4,
    )


def _sets(mechanism: Mechanism, gpu: Gpu) -> str:
    if mechanism.library:
        return f"`hardware.library`: a menu without {', '.join(f'`{key}`' for key in mechanism.library)}"
    return ", ".join(f"`{text}`" for text in mechanism.sets(gpu)) or "none"


def mechanisms(folder: Path) -> str:
    """Mean and median error without each mechanism, all else as fitted."""
    full = _frames(folder)
    head = ["without", *(f"{name}, mean / median (%)" for name in GPUS.values())]
    rows: list[list[Any]] = [whole_model(folder)]
    for name in MECHANISMS:
        off = _frames(folder, name)
        cells = [_pair(_errors(off[gpu]), _errors(full[gpu])) for gpu in GPUS]
        rows.append([f"`{name}`", *cells, _most_moved(full, off)])
    return table([*head, "regime that moves most, mean (%)"], rows, texts=1)


def whole_model(folder: Path) -> list[Any]:
    """The first row of that table."""
    return ["(nothing)", *map(_pair, map(_errors, _frames(folder).values())), ""]


def _pair(found: ErrorSummary, full: ErrorSummary | None = None) -> str:
    text = f"{short(found.mape_percent)} / {short(found.median_ape_percent)}"
    if full is None or None in (found.mape_percent, full.mape_percent, found.median_ape_percent):
        return text
    changes = (getattr(found, key) - getattr(full, key) for key in ("mape_percent", "median_ape_percent"))
    return f"{text} ({' / '.join(map(signed, changes))})"


def _most_moved(full: dict[str, pd.DataFrame], off: dict[str, pd.DataFrame]) -> str:
    """The regime whose mean error changes most. Rows are in the regimes that the whole model puts them in."""
    moved: list[tuple[float, str]] = []
    for gpu, title in GPUS.items():
        for key, (text, _) in REGIMES.items():
            inside = full[gpu][key].to_numpy(bool)
            if inside.sum() >= _FEWEST:
                before, after = _mean(full[gpu][inside]), _mean(off[gpu][inside])
                moved.append((abs(after - before), f"{title}, {text}: {short(before)} to {short(after)}"))
    change, text = max(moved, default=(0.0, ""))
    return text if change >= 0.05 else "none"


def refitted(folder: Path) -> str:
    """Errors on held-out rows without a mechanism, before and after a fit of what is left to the other rows."""
    full = _frames(folder)
    head = ["without", *(f"{name}, {when}" for name in GPUS.values() for when in ("as fitted", "refitted"))]
    rows = [["(nothing)", *_fits(folder, None)]]
    for name, mechanism in MECHANISMS.items():
        off = _frames(folder, name)
        if max(abs(_mean(off[gpu]) - _mean(full[gpu])) for gpu in GPUS) >= WORTH:
            rows.append([f"`{name}`", *_fits(folder, mechanism)])
    return table(head, rows, texts=1)


def _fits(folder: Path, mechanism: Mechanism | None) -> list[str]:
    """Held-out errors on each GPU before and after a fit."""
    cells = []
    switches = Switches((mechanism,) if mechanism else ())
    for name in GPUS:
        gpu = load_hardware(name).gpu
        rows = rows_of(read_rows(folder / TABLE), gpu, None, False, TABLE)
        train = [row for row in rows if not is_held_out(row, HOLDOUT, SEED)]
        held = [row for row in rows if is_held_out(row, HOLDOUT, SEED)]
        for machine in (gpu, refit(gpu, train, switches)):
            ratios = np.exp(log_ratios(machine, held, switches))
            cells.append(_pair(summarise(np.ones_like(ratios), ratios)))
    return cells
