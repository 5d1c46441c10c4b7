"""Fit a GPU's energy table to measured board power.

    python benchmarks/fit_power.py POWER.csv --hw h200_sxm

Rows are split in halves by a hash of their shape, before the fit. Three numbers are fitted to one half, within bounds:
energy of an L2 byte, of a DRAM byte, and static power. Energy of a multiply-accumulate follows from a fourth, board
energy of a FLOP where the power limit binds. The rest of the table is as it was. Prints the values, and the errors on
both halves, with those of long kernels apart: a meter that samples every 100 ms sees them best.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from accelsim.config.hardware import EnergyTable, Gpu
from accelsim.config.loader import load_energy, load_hardware, load_library
from accelsim.config.options import Mapping
from accelsim.config.workload import Caches
from accelsim.model.graph import Gemm
from accelsim.validate.calibrate import is_held_out
from accelsim.validate.errors import ErrorSummary, summarise
from accelsim.validate.estimates import estimate_dense
from accelsim.validate.predict import predict
from accelsim.validate.rows import MeasuredRow, read_rows

PEAK_PJ_PER_FLOP = 0.967
"""Board energy of large bf16 products on an H200 at its limit (median of 2,174 shapes of the public table)."""

BOUNDS = {"l2_byte": (4.0, 16.0), "dram_byte": (31.2, 120.0), "static": (100.0, 200.0)}
"""pJ, pJ, W. A DRAM byte costs no less than the 3.9 pJ/bit of HBM2 (O'Connor et al., MICRO 2017)."""

LONG_US = 50

LARGE = Gemm("large", 16384, 16384, 16384, dtype="bf16", weight="weight")
"""So long a product that the clock has settled where the power limit holds it."""


def table_of(base: EnergyTable, gpu: Gpu, values: np.ndarray) -> EnergyTable:
    """The base with fitted values [l2_byte, dram_byte, static] and the multiply-accumulate that follows from them."""
    l2_byte, dram_byte, static = (float(f"{value:.4g}") for value in values)
    assert gpu.power is not None
    idle = base.static_power["board_idle"]
    others = base.actions | {"l2_byte": l2_byte, "dram_byte": dram_byte}
    large = estimate_dense([LARGE], [Caches()], gpu, load_library(gpu.library), Mapping())[0]
    flops = 2 * LARGE.m * LARGE.n * LARGE.k
    dynamic = PEAK_PJ_PER_FLOP * flops * (gpu.power.limit - static) / gpu.power.limit
    rest = dynamic - sum(count * others[action] for action, count in large.actions.items() if "_mac_" not in action)
    mac = float(f"{rest / large.actions['tensor_mac_bf16']:.4g}")
    macs = {"tensor_mac_bf16": mac, "tensor_mac_fp16": mac, "tensor_mac_tf32": 2 * mac, "tensor_mac_int8": mac / 2}
    return base.model_copy(
        update={"actions": others | macs, "static_power": {"board_idle": idle, "leakage": round(static - idle, 4)}}
    )


def powers(rows: list[MeasuredRow], gpu: Gpu, table: EnergyTable) -> np.ndarray:
    """Predicted board power of rows in watts."""
    return np.array([found.power_w for found in predict(rows, gpu, energy=table)])


def fit(rows: list[MeasuredRow], gpu: Gpu, base: EnergyTable) -> EnergyTable:
    """The table that predicts the rows best, by the mean of |log(predicted / measured)|."""
    measured = np.array([row.power_w for row in rows])
    low, high = np.array(list(BOUNDS.values())).T

    def loss(values: np.ndarray) -> float:
        table = table_of(base, gpu, np.clip(values, low, high))
        return float(np.abs(np.log(powers(rows, gpu, table) / measured)).mean())

    starts = [low + share * (high - low) for share in (0.2, 0.5)]
    found = [minimize(loss, at, method="Nelder-Mead", options={"maxfev": 150, "xatol": 0.05}) for at in starts]
    best = min(found, key=lambda one: float(one.fun))
    return table_of(base, gpu, np.clip(best.x, low, high))


def errors(rows: list[MeasuredRow], gpu: Gpu, table: EnergyTable, longer_than_us: float = 0.0) -> ErrorSummary:
    """Errors of board power, of kernels that are predicted to last longer than a time."""
    found = predict(rows, gpu, energy=table)
    long = [(row.power_w or 0.0, one.power_w) for row, one in zip(rows, found, strict=True)
            if (one.latency_us or 0.0) > longer_than_us]  # fmt: skip
    return summarise([measured for measured, _ in long], [predicted for _, predicted in long])


def main() -> None:
    """Read the table, fit, and print."""
    parser = argparse.ArgumentParser(description="Fit a GPU's energy table to measured board power.")
    parser.add_argument("measured", type=Path, help="CSV with gpu, dtype, m, n, k and power_w")
    parser.add_argument("--hw", default="h200_sxm", help="GPU that the rows were measured on")
    parser.add_argument("--base", default="gpu_4nm", help="table of energies to start from")
    parser.add_argument("--holdout", type=float, default=0.5, help="share of shapes left out of the fit")
    parser.add_argument("--no-fit", action="store_true", help="only print the errors of the GPU's own table")
    options = parser.parse_args()
    gpu = load_hardware(options.hw).gpu
    rows = [row for row in read_rows(options.measured) if row.power_w is not None]
    train = [row for row in rows if not is_held_out(row, options.holdout, 0)]
    held = [row for row in rows if is_held_out(row, options.holdout, 0)]
    base = load_energy(options.base)
    tables = {options.base: base, gpu.energy: load_energy(gpu.energy)}
    if not options.no_fit:
        tables["fitted"] = fit(train, gpu, base)
        print({name: round(value, 4) for name, value in tables["fitted"].actions.items()})
        print(dict(tables["fitted"].static_power))
    for name, table in tables.items():
        for half, some, least in (("calibrated", train, 0), ("held out", held, 0), ("held out", held, LONG_US)):
            found = errors(some, gpu, table, least)
            which = f"{half}, above {least} us" if least else half
            print(
                f"{name:14} {which:24} n={found.n} mape={found.mape_percent:.1f}% "
                f"median={found.median_ape_percent:.1f}%"
                f" p90={found.p90_ape_percent:.1f}% bias={found.bias_percent:+.1f}%"
            )


if __name__ == "__main__":
    main()
