"""Fit what sparse products need beyond a GPU's dense calibration, and print the errors on both halves.

    python benchmarks/fit_sparse.py SPARSE.csv --hw rtx3090 --tensor-efficiency
    python benchmarks/fit_sparse.py SPARSE.csv --hw a100_sxm4_80gb

Rows are split in halves by a hash of their shape, as `accelsim calibrate-hw` splits them. Under --tensor-efficiency one
number of the GPU, the share of the tensor cores' peak that main loops reach, is fitted to the calibrated half of the
table's dense rows. Then one efficiency for each library is fitted to the calibrated half of its sparse rows. Each fit
minimises the mean of |log(predicted / measured)| over both engines.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from accelsim.config.hardware import Gpu, Library
from accelsim.config.loader import load_hardware, load_library
from accelsim.validate.calibrate import is_held_out
from accelsim.validate.errors import summarise
from accelsim.validate.menus import menu_of
from accelsim.validate.parameters import with_values
from accelsim.validate.predict import ValidationEngine, predict
from accelsim.validate.rows import MeasuredRow, read_rows
from accelsim.validate.run import rows_of
from accelsim.validate.sparse_rows import SPARSE_OPS

ENGINES: tuple[ValidationEngine, ...] = get_args(ValidationEngine)
LOWEST = 0.5
STEPS = (0.05, 0.01, 0.002)
"""Of ever finer grids, each around the best value of the one before."""


def best_share(loss: Callable[[float], float]) -> float:
    """The share, from `LOWEST` to 1, that has the least loss."""
    low, high, best = LOWEST, 1.0, 1.0
    for step in STEPS:
        shares = [round(share, 4) for share in np.arange(low, high + step / 2, step)]
        best = min(shares, key=loss)
        low, high = max(LOWEST, best - step), min(1.0, best + step)
    return best


def logs(rows: Sequence[MeasuredRow], gpu: Gpu, engine: ValidationEngine, library: Library | None) -> np.ndarray:
    """Logarithms of predicted over measured latency."""
    found = predict(rows, gpu, engine, library=library)
    pairs = [(one.latency_us or np.nan, row.latency_us or np.nan) for row, one in zip(rows, found, strict=True)]
    ratios: np.ndarray = np.log(np.array(pairs) @ [1, 0]) - np.log(np.array(pairs) @ [0, 1])
    return ratios


def halves(rows: Sequence[MeasuredRow]) -> dict[str, list[MeasuredRow]]:
    """Calibrated and held-out rows, those of the default split."""
    return {name: [row for row in rows if is_held_out(row, 0.5, 0) == held]
            for name, held in (("calibrated", False), ("held out", True))}  # fmt: skip


def fit(rows: list[MeasuredRow], gpu: Gpu, changed: Callable[[float], tuple[Gpu, Library | None]], name: str) -> float:
    """The best share for the calibrated rows, printed with the errors of both halves."""
    parts = halves(rows)

    def loss(share: float) -> float:
        machine, library = changed(share)
        return float(np.mean([np.abs(logs(parts["calibrated"], machine, one, library)).mean() for one in ENGINES]))

    share = best_share(loss)
    print(f"{gpu.name}: {name} {share:g}")
    machine, library = changed(share)
    for part, some in parts.items():
        for engine in ENGINES:
            ratios = np.exp(logs(some, machine, engine, library))
            found = summarise(np.ones_like(ratios), ratios)
            print(f"  {part:10} {engine:8} n={found.n} mean {found.mape_percent:.1f} % median "
                  f"{found.median_ape_percent:.1f} % bias {found.bias_percent:+.1f} %")  # fmt: skip
    return share


def with_efficiency(library: Library, share: float) -> Library:
    """The library with another efficiency of its kernels for 2:4 operands."""
    return library.model_copy(update={"efficiencies": {**library.efficiencies, "sparse_tensor_core": share}})


def main() -> None:
    """Read the table, fit, and print."""
    parser = argparse.ArgumentParser(description="Fit what sparse products need beyond a GPU's dense calibration.")
    parser.add_argument("measured", type=Path, help="CSV as for accelsim validate")
    parser.add_argument("--hw", default="rtx3090", help="GPU that rows were measured on")
    parser.add_argument("--tensor-efficiency", action="store_true", help="fit the GPU's to its dense rows first")
    options = parser.parse_args()
    gpu = load_hardware(options.hw).gpu
    rows = rows_of(read_rows(options.measured), gpu, None, False, options.measured)
    if options.tensor_efficiency:
        dense, base = [row for row in rows if row.op == "gemm"], gpu
        share = fit(dense, gpu, lambda value: (with_values(base, {"tensor_efficiency": value}), None), "dense")
        gpu = with_values(base, {"tensor_efficiency": share})
    sparse = [row for row in rows if row.op in SPARSE_OPS]
    for name in sorted({menu_of(gpu, row.conditions.library) for row in sparse}):
        library = load_library(name)
        own = [row for row in sparse if menu_of(gpu, row.conditions.library) == name]
        fit(own, gpu, lambda value, library=library: (gpu, with_efficiency(library, value)), name)  # type: ignore[misc]


if __name__ == "__main__":
    main()
