"""Fit launch time and efficiency of each attention stack, and print the errors on both halves.

    python benchmarks/fit_attention.py ATTENTION.csv --hw a100_sxm4_80gb
    python benchmarks/fit_attention.py ATTENTION.csv --hw h100_sxm5

Rows are split in halves by a hash of their shape, as `accelsim calibrate-hw` splits them. For each serving stack that
the rows' notes name, two numbers of the machine's library are fitted to the calibrated half: its launch time and its
efficiency. The fit minimises the mean of |log(predicted / measured)| on ever finer grids.
"""

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np

from accelsim.config.hardware import Gpu, Library
from accelsim.config.loader import load_hardware, load_library
from accelsim.validate.errors import summarise
from accelsim.validate.halves import is_held_out
from accelsim.validate.predict import predict
from accelsim.validate.rows import MeasuredRow, read_rows
from accelsim.validate.run import rows_of

LONGEST_US, BEST = 20.0, 1.0
"""Ranges of the search: launch times from 0, efficiencies up to it."""
STEPS = ((1.0, 0.05), (0.25, 0.01), (0.05, 0.002))
"""Of ever finer grids, of microseconds and of efficiency, each around the best point of the one before."""


def with_stack(library: Library, name: str, launch_us: float, efficiency: float) -> Library:
    """The library with other figures of one stack."""
    fused = library.fused_attention
    if fused is None or name not in fused.stacks:
        raise SystemExit(f"{library.name} has no attention stack {name}")
    stack = fused.stacks[name].model_copy(update={"launch": 1e-6 * launch_us, "efficiency": efficiency})
    changed = fused.model_copy(update={"stacks": {**fused.stacks, name: stack}})
    return library.model_copy(update={"fused_attention": changed})


def ratios(rows: Sequence[MeasuredRow], gpu: Gpu, library: Library) -> np.ndarray:
    """Predicted over measured latency, of the rows that are predicted."""
    found = predict(rows, gpu, library=library)
    pairs = [(one.latency_us, row.latency_us) for row, one in zip(rows, found, strict=True)]
    return np.array([predicted / measured for predicted, measured in pairs if predicted and measured])


def fit(rows: Sequence[MeasuredRow], gpu: Gpu, library: Library, name: str) -> tuple[float, float]:
    """Launch time in microseconds and efficiency of least loss."""

    def loss(point: tuple[float, float]) -> float:
        return float(np.abs(np.log(ratios(rows, gpu, with_stack(library, name, *point)))).mean())

    low, high = (0.0, 0.2), (LONGEST_US, BEST)
    best = high
    for step in STEPS:
        axes = [np.arange(lo, hi + size / 2, size) for lo, hi, size in zip(low, high, step, strict=True)]
        best = min(((round(float(us), 3), round(float(share), 4)) for us, share in product(*axes)), key=loss)
        low = (max(0.0, best[0] - step[0]), max(0.01, best[1] - step[1]))
        high = (best[0] + step[0], min(BEST, best[1] + step[1]))
    return best


def main() -> None:
    """Read the table, fit, and print."""
    parser = argparse.ArgumentParser(description="Fit launch time and efficiency of each attention stack.")
    parser.add_argument("measured", type=Path, help="CSV as for accelsim validate")
    parser.add_argument("--hw", default="a100_sxm4_80gb", help="GPU that rows were measured on")
    options = parser.parse_args()
    gpu = load_hardware(options.hw).gpu
    library = load_library(gpu.library)
    every = rows_of(read_rows(options.measured), gpu, None, False, options.measured)
    for name in sorted({row.conditions.stack for row in every if row.is_attention and row.conditions.stack}):
        rows = [row for row in every if row.conditions.stack == name]
        launch, efficiency = fit([row for row in rows if not is_held_out(row)], gpu, library, name)
        print(f"{gpu.name} {name}: launch {launch:g} us, efficiency {efficiency:g}")
        fitted = with_stack(library, name, launch, efficiency)
        for half, held in (("calibrated", False), ("held out", True)):
            own = ratios([row for row in rows if is_held_out(row) == held], gpu, fitted)
            found = summarise(np.ones_like(own), own)
            print(f"  {half:10} n={found.n} mean {found.mape_percent:.1f} % median {found.median_ape_percent:.1f} % "
                  f"bias {found.bias_percent:+.1f} %")  # fmt: skip


if __name__ == "__main__":
    main()
