"""Write the tables of board power in validation.md from runs.

    python docs/power_tables.py [POWER.csv]

Without a table of measurements only that of the V100 is made anew.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from accelsim.config.loader import load_energy, load_hardware, load_library
from accelsim.validate.calibrate import is_held_out
from accelsim.validate.errors import summarise
from accelsim.validate.notes import Conditions
from accelsim.validate.predict import predict
from accelsim.validate.rows import MeasuredRow, read_rows

PAGE = Path(__file__).parent / "validation.md"
LONG_US = 50
V100_SIZES = (256, 512, 1024, 2048, 4096, 8192)


@dataclass(frozen=True)
class Half:
    """Rows of which the errors are given."""

    name: str
    held_out: bool
    least_us: float = 0.0


HALVES = (
    Half("calibrated", False),
    Half("held out", True),
    Half(f"held out, predicted to last over {LONG_US} us", True, LONG_US),
)


def h200_table(path: Path) -> str:
    """Errors of the H200's board power, by the table of energies and by rows."""
    gpu = load_hardware("h200_sxm").gpu
    own = load_energy(gpu.energy)
    tables = {
        "gpu_4nm (not fitted), no meter": load_energy("gpu_4nm"),
        f"{gpu.energy}, no meter": own.model_copy(update={"meter": None}),
        gpu.energy: own,
    }
    rows = [row for row in read_rows(path) if row.power_w is not None]
    lines = [
        "| table | rows | n | MAPE (%) | median (%) | p90 (%) | bias (%) |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, table in tables.items():
        found = predict(rows, gpu, energy=table)
        for half in HALVES:
            pairs = [
                (row.power_w or 0.0, one.power_w)
                for row, one in zip(rows, found, strict=True)
                if is_held_out(row, 0.5, 0) == half.held_out and (one.latency_us or 0.0) > half.least_us
            ]
            errors = summarise(*map(list, zip(*pairs, strict=True)))
            figures = (errors.mape_percent, errors.median_ape_percent, errors.p90_ape_percent, errors.bias_percent)
            lines.append(f"| {name} | {half.name} | {errors.n} | " + " | ".join(f"{x:.1f}" for x in figures) + " |")
    return "\n".join(lines)


def v100_table() -> str:
    """Board power of fp16 products on a V100, by kernel library."""
    gpu = load_hardware("v100_sxm2").gpu
    libraries = ("cublas_volta", "cutlass_volta")
    lines = [
        "| m = n = k | " + " | ".join(f"{name}, latency (us) | power (W)" for name in libraries) + " |",
        "| ---: |" + " ---: | ---: |" * len(libraries),
    ]
    rows = [
        MeasuredRow(1, 2, gpu.name, "fp16", "gemm", 1, size, size, size, 0.0, None, None, Conditions())
        for size in V100_SIZES
    ]
    found = [predict(rows, gpu, library=load_library(name)) for name in libraries]
    for size, *ones in zip(V100_SIZES, *found, strict=True):
        cells = " | ".join(f"{one.latency_us:.0f} | {one.power_w:.0f}" for one in ones)
        lines.append(f"| {size} | {cells} |")
    return "\n".join(lines)


def replaced(text: str, name: str, table: str) -> str:
    """The page with another table between its marks."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    head, _, rest = text.partition(begin)
    _, mark, tail = rest.partition(end)
    if not mark:
        raise SystemExit(f"{PAGE} has no marks {begin} and {end}")
    return f"{head}{begin}\n\n{table}\n\n{end}{tail}"


def main() -> None:
    """Make the tables."""
    page = PAGE.read_text()
    if sys.argv[1:]:
        page = replaced(page, "h200 power", h200_table(Path(sys.argv[1])))
    PAGE.write_text(replaced(page, "v100 power", v100_table()))


if __name__ == "__main__":
    main()
