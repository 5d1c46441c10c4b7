"""Errors by machine, by regime and of decisions, on all tables of measurements."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from accelsim.config.hardware import Gpu
from accelsim.config.loader import load_hardware
from accelsim.validate import Validation, read_rows, validate
from accelsim.validate.calibrate import is_held_out
from accelsim.validate.predict import ValidationEngine
from accelsim.validate.regimes import REGIMES
from accelsim.validate.sparse_rows import SPARSE_OPS
from error_report.markdown import short, table

TABLES = {
    "gemm_dense.csv": ("a100_sxm4_80gb", "h100_sxm5", "v100_sxm2", "t4"),
    "gemm_sparse.csv": ("v100_pcie", "rtx3090", "a100_sxm4_80gb"),
}
ENGINES: tuple[ValidationEngine, ...] = ("estimate", "events")
KEYS = ("mape_percent", "median_ape_percent", "p90_ape_percent", "bias_percent")
HEAD = ("MAPE (%)", "median (%)", "p90 (%)", "bias (%)")
_OPERATIONS = {"gemm": "dense", "tilewise": "tile-wise"}
HOLDOUT, SEED = 0.5, 0
"""Of `accelsim calibrate-hw`, with which the shipped machines were fitted."""


@cache
def validations(folder: Path) -> dict[tuple[str, ValidationEngine], Validation]:
    """Every table that is there, under both engines."""
    present = {name: hardware for name, hardware in TABLES.items() if (folder / name).is_file()}
    return {
        (name, engine): validate(folder / name, hardware, engine=engine)
        for name, hardware in present.items()
        for engine in ENGINES
    }


def is_calibrated(gpu: Gpu) -> bool:
    """Whether a GPU holds what was fitted to half of the measured shapes."""
    return "held out" in gpu.sources.get("load_latency", "")


def is_fitted(gpu: Gpu, name: str) -> bool:
    """Whether a GPU holds what was fitted to half of the dense shapes of a table."""
    if name == "gemm_dense.csv":
        return is_calibrated(gpu)
    # One number of a GPU of the sparse table may be fitted to its dense rows.
    return not is_calibrated(gpu) and "held out" in gpu.sources.get("tensor_efficiency", "")


MENU_FITTED = {("gemm_sparse.csv", "v100_pcie")}
"""Tables to whose dense rows two rates of a library's menu were fitted (benchmarks/fit_epilogue.py)."""


@cache
def parts(folder: Path) -> list[tuple[str, str, str, ValidationEngine, Validation]]:
    """Rows of every table by machine: those of its fit and those left out, or all where it was not fitted to it."""
    return list(_parts(folder))


def _parts(folder: Path) -> Iterator[tuple[str, str, str, ValidationEngine, Validation]]:
    for name, hardware in TABLES.items():
        if not (folder / name).is_file():
            continue
        held = {row.row for row in read_rows(folder / name) if is_held_out(row, HOLDOUT, SEED)}
        for machine in hardware:
            fitted, menu_fitted = is_fitted(load_hardware(machine).gpu, name), (name, machine) in MENU_FITTED
            kinds = ("calibrated", "held out") if fitted else ("calibrated", "not fitted")[not menu_fitted :]
            for kind in kinds:
                for engine in ENGINES:
                    whole = validations(folder)[name, engine]
                    frame = whole.frame[whole.frame["hardware"] == machine]
                    # 2:4 and V:N:M have a table of their own, with the dense rows that one number was fitted to.
                    frame = frame[~frame["op"].isin(list(SPARSE_OPS))]
                    if fitted:
                        frame = frame[frame["row"].isin(held) == (kind == "held out")]
                    elif menu_fitted:
                        frame = frame[(frame["op"] == "gemm") == (kind == "calibrated")]
                    if len(part := replace(whole, frame=frame).timed):
                        yield name, machine, kind, engine, replace(whole, frame=part)


def machines(folder: Path) -> str:
    """Errors by machine, calibrated and held-out rows apart, beside a roofline fitted to the very same rows."""
    return table(
        ["machine", "table", "rows", "engine", "n", *HEAD, "roofline MAPE (%)", "roofline median (%)"],
        [
            [machine, name.removesuffix(".csv"), kind, engine, found["n"], *errors(found), *_roofline(found, machine)]
            for name, machine, kind, engine, part in parts(folder)
            for found in [part.summary()]
        ],
        texts=4,
    )


def held_out(folder: Path) -> list[list[Any]]:
    """Held-out errors of the calibrated machines and errors of those that were not fitted, a row for each."""
    by_rows: dict[tuple[str, str, str], dict[str, Validation]] = {}
    for name, machine, kind, engine, part in parts(folder):
        if kind != "calibrated":
            by_rows.setdefault((machine, name, kind), {})[engine] = part
    rows = []
    for (machine, _, kind), found in sorted(by_rows.items(), key=lambda item: (item[0][2], item[0][1], item[0][0])):
        line = _roofline(found["estimate"].summary(), machine)
        pairs = [" / ".join(errors(found[engine].summary())[:2]) for engine in ("events", "estimate")]
        what = " and ".join(_OPERATIONS.get(op, op) for op in found["estimate"].frame["op"].unique())
        rows.append([machine, f"{what}, {kind}", len(found["estimate"].frame), *pairs, " / ".join(filter(None, line))])
    return rows


def regimes(folder: Path) -> str:
    """Errors of dense rows by regime."""
    found = {engine: validations(folder)["gemm_dense.csv", engine].summary()["regimes"] for engine in ENGINES}
    return table(
        ["regime, dense rows of all machines", "engine", "n", *HEAD],
        [
            [text, engine, found[engine][key]["n"], *errors(found[engine][key])]
            for key, (text, _) in REGIMES.items()
            for engine in ENGINES
        ],
    )


def decisions(folder: Path) -> str:
    """Errors of speed-ups of one option over another."""
    rows: list[list[Any]] = []
    for (name, engine), validation in validations(folder).items():
        for kind, found in validation.summary()["decisions"].items():
            keys = ("mape_percent", "median_ape_percent", "right_percent")
            told = [kind.replace("_", " "), name.removesuffix(".csv"), engine, found["n"]]
            rows.append([*told, *(short(found[key]) for key in keys)])
    head = ["speed-ups", "table", "engine", "pairs", "MAPE (%)", "median (%)", "faster side right (%)"]
    return table(head, rows, texts=3)


def errors(found: dict[str, Any]) -> list[str]:
    """MAPE, median, 90th percentile and bias of a summary."""
    return [short(found[key]) for key in KEYS]


def _roofline(found: dict[str, Any], machine: str) -> list[str]:
    line = found["roofline"]["gpus"].get(machine)
    return errors(line)[:2] if line else ["", ""]
