"""Fit a GPU's energy table to measured board power.

    python benchmarks/fit_power.py POWER.csv --hw h200_sxm

Rows are split in halves by a hash of their shape, before the fit. Five numbers are fitted to one half, within bounds:
energy of an L2 byte, of a DRAM byte, static power, and of the collector whose meter read them (`meter` in the table to
start from) the gap between its runs and the time between its launches. Energy of a multiply-accumulate follows from a
sixth, board energy of a FLOP where the power limit binds. The rest of the table is as it was. Prints the values, and
the errors on both halves, with those of long kernels apart, and of `--folds` parts of the fit's half, each predicted
from the others: what variants of the model are chosen by.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from accelsim.config.hardware import EnergyTable, Gpu
from accelsim.config.loader import load_energy, load_hardware, load_library
from accelsim.config.options import Mapping
from accelsim.config.workload import Caches
from accelsim.machine.gemm.actions import dynamic_joule
from accelsim.machine.gemm.power import throttled_seconds
from accelsim.model.graph import Gemm
from accelsim.validate.calibrate import is_held_out
from accelsim.validate.errors import ErrorSummary, summarise
from accelsim.validate.estimates import Estimate, estimate_dense
from accelsim.validate.meter import Replayed, Shape, reading, shapes_before
from accelsim.validate.power import board_watt
from accelsim.validate.predict import predict
from accelsim.validate.rows import MeasuredRow, read_rows

PEAK_PJ_PER_FLOP = 0.967
"""Board energy of large bf16 products on an H200 at its limit (median of 2,174 shapes of the public table)."""

BOUNDS = {
    "l2_byte": (4.0, 16.0),
    "dram_byte": (31.2, 120.0),
    "static": (100.0, 200.0),
    "gap": (0.002, 0.3),
    "host": (5e-6, 200e-6),
}
"""pJ, pJ, W, s, s. A DRAM byte costs no less than the 3.9 pJ/bit of HBM2 (O'Connor et al., MICRO 2017)."""

LONG_US = 50

LARGE = Gemm("large", 16384, 16384, 16384, dtype="bf16", weight="weight")
"""So long a product that the clock has settled where the power limit holds it."""

Estimates = dict[Shape, Estimate]


def table_of(base: EnergyTable, gpu: Gpu, values: np.ndarray) -> EnergyTable:
    """The base with fitted values, in the order of `BOUNDS`, and the multiply-accumulate that follows from them."""
    l2_byte, dram_byte, static, gap, host = (float(f"{value:.4g}") for value in values)
    assert gpu.power is not None
    idle = base.static_power["board_idle"]
    others = base.actions | {"l2_byte": l2_byte, "dram_byte": dram_byte}
    large = estimate_dense([LARGE], [Caches()], gpu, load_library(gpu.library), Mapping())[0]
    flops = 2 * LARGE.m * LARGE.n * LARGE.k
    dynamic = PEAK_PJ_PER_FLOP * flops * (gpu.power.limit - static) / gpu.power.limit
    rest = dynamic - sum(count * others[action] for action, count in large.actions.items() if "_mac_" not in action)
    mac = float(f"{rest / large.actions['tensor_mac_bf16']:.4g}")
    macs = {"tensor_mac_bf16": mac, "tensor_mac_fp16": mac, "tensor_mac_tf32": 2 * mac, "tensor_mac_int8": mac / 2}
    meter = None if base.meter is None else base.meter.model_copy(update={"gap": gap, "host": host})
    leakage = {"board_idle": idle, "leakage": round(static - idle, 4)}
    return base.model_copy(update={"actions": others | macs, "static_power": leakage, "meter": meter})


def estimates(rows: list[MeasuredRow], gpu: Gpu, table: EnergyTable) -> Estimates:
    """What the closed form says of the rows' shapes and of those that the sweep took before them."""
    shapes = {(row.m, row.n, row.k) for row in rows}
    if table.meter is not None:
        shapes |= {before for shape in shapes for before in shapes_before(shape, table.meter)}
    ordered = sorted(shapes)
    gemms = [Gemm("gemm", m, n, k, dtype="bf16", weight="weight") for m, n, k in ordered]
    found = estimate_dense(gemms, [Caches()] * len(gemms), gpu, load_library(gpu.library), Mapping())
    return dict(zip(ordered, found, strict=True))


def powers(rows: list[MeasuredRow], gpu: Gpu, table: EnergyTable, known: Estimates) -> np.ndarray:
    """Predicted readings of rows in watts: what `predict` gives, from estimates that are made once."""
    assert gpu.power is not None
    static, overhead = sum(table.static_power.values()), gpu.launch.graph + gpu.launch.start_drain
    runs = {}
    for shape, one in known.items():
        joule, free = dynamic_joule(one.actions, table), one.seconds + overhead
        seconds = throttled_seconds(free, joule, static, gpu.power.limit, gpu.power.time_constant)
        runs[shape] = Replayed(seconds, board_watt(joule, seconds, gpu, table))
    shapes = [(row.m, row.n, row.k) for row in rows]
    if table.meter is None:
        return np.array([runs[shape].watt for shape in shapes])
    return np.array([reading(shape, runs, static, table.meter, gpu.sm_count) for shape in shapes])


def fit(rows: list[MeasuredRow], gpu: Gpu, base: EnergyTable, known: Estimates, steps: int = 200) -> EnergyTable:
    """The table that predicts the rows best, by their mean absolute percentage error."""
    measured = np.array([row.power_w for row in rows])
    low, high = np.array(list(BOUNDS.values())).T

    def table(shares: np.ndarray) -> EnergyTable:
        return table_of(base, gpu, low + np.clip(shares, 0, 1) * (high - low))

    def loss(shares: np.ndarray) -> float:
        outside = float(np.square(shares - np.clip(shares, 0, 1)).sum())
        return float(np.abs(powers(rows, gpu, table(shares), known) / measured - 1).mean()) + outside

    ours = [base.actions["l2_byte"], base.actions["dram_byte"], sum(base.static_power.values())]
    ours += [0.01, 80e-6] if base.meter is None else [base.meter.gap, base.meter.host]
    starts = [np.array([0.5, 0.3, 0.35, 0.1, 0.15]), (np.array(ours) - low) / (high - low)]
    found = [minimize(loss, at, method="Nelder-Mead", options={"maxfev": steps}) for at in starts]
    return table(min(found, key=lambda one: float(one.fun)).x)


def fold_errors(rows: list[MeasuredRow], gpu: Gpu, base: EnergyTable, known: Estimates, folds: int) -> ErrorSummary:
    """Errors of rows, each predicted by a table that was fitted to the other parts of them."""
    predicted = np.empty(len(rows))
    order = np.random.default_rng(0).permutation(len(rows))
    for part in (order[fold::folds] for fold in range(folds)):
        others = [row for index, row in enumerate(rows) if index not in set(part)]
        table = fit(others, gpu, base, known)
        predicted[part] = powers([rows[index] for index in part], gpu, table, known)
    return summarise([row.power_w or 0.0 for row in rows], predicted)


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
    parser.add_argument("--base", default="gpu_4nm_h200", help="table of energies, and of the meter, to start from")
    parser.add_argument("--holdout", type=float, default=0.5, help="share of shapes left out of the fit")
    parser.add_argument("--folds", type=int, default=0, help="parts for errors within the half of the fit; 0: none")
    parser.add_argument("--no-fit", action="store_true", help="only print the errors of the GPU's own table")
    options = parser.parse_args()
    gpu = load_hardware(options.hw).gpu
    rows = [row for row in read_rows(options.measured) if row.power_w is not None]
    train = [row for row in rows if not is_held_out(row, options.holdout, 0)]
    held = [row for row in rows if is_held_out(row, options.holdout, 0)]
    base = load_energy(options.base)
    unfitted = load_energy("gpu_4nm")
    tables = {
        "gpu_4nm": unfitted,
        "settled": base.model_copy(update={"meter": None}),
        gpu.energy: load_energy(gpu.energy),
    }
    if not options.no_fit:
        known = estimates(train, gpu, base)
        tables["fitted"] = fit(train, gpu, base, known)
        print({name: round(value, 4) for name, value in tables["fitted"].actions.items()})
        print(dict(tables["fitted"].static_power), tables["fitted"].meter)
        if options.folds:
            print(f"{options.folds} parts of the calibrated half:", fold_errors(train, gpu, base, known, options.folds))
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
