"""Fit the rates of a library's main loops and epilogues to the dense rows of a table, and print all rows' errors.

    python benchmarks/fit_epilogue.py SPARSE.csv --hw v100_pcie --library cutlass_volta

Both are shares of what the GPU's own figures give. The fit takes every dense row and minimises the squares of predicted
over measured, less one, in the closed form. Sparse rows take no part.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from scipy.optimize import least_squares

from accelsim.config.hardware import Gpu, Library
from accelsim.config.loader import load_hardware, load_library
from accelsim.validate.predict import ValidationEngine, predict
from accelsim.validate.rows import MeasuredRow, read_rows
from accelsim.validate.run import rows_of

START = (0.75, 0.6)
LEAST = (0.5, 0.1)


def errors(rows: Sequence[MeasuredRow], gpu: Gpu, library: Library, engine: ValidationEngine) -> np.ndarray:
    """Predicted over measured latency, less one."""
    found = predict(rows, gpu, engine, library=library)
    pairs = [(one.latency_us or np.nan, row.latency_us or np.nan) for row, one in zip(rows, found, strict=True)]
    predicted, measured = np.array(pairs).T
    shares: np.ndarray = predicted / measured - 1
    return shares


def with_shares(library: Library, shares: Sequence[float]) -> Library:
    """The library with these rates of main loops and epilogues."""
    efficiency, epilogue = (float(share) for share in shares)
    return library.model_copy(update={"efficiency": efficiency, "epilogue": epilogue})


def main() -> None:
    """Fit, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--hw", required=True)
    parser.add_argument("--library", required=True)
    given = parser.parse_args()
    gpu, library = load_hardware(given.hw).gpu, load_library(given.library)
    rows = rows_of(read_rows(given.table), gpu, None, True, given.table)
    dense = [row for row in rows if row.op == "gemm"]
    found = least_squares(
        lambda shares: errors(dense, gpu, with_shares(library, shares), "estimate"),
        START,
        bounds=(LEAST, (1.0, 1.0)),
        diff_step=0.02,
    )
    fitted = with_shares(library, found.x)
    print(f"{library.name}: efficiency {fitted.efficiency:.3f}, epilogue {fitted.epilogue:.3f}")
    for engine in get_args(ValidationEngine):
        for row, error in zip(rows, errors(rows, gpu, fitted, engine), strict=True):
            print(f"  {engine:8} {row.op:8} {row.m} x {row.n} x {row.k}: {100 * error:+.1f} %")


if __name__ == "__main__":
    main()
