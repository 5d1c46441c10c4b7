"""Writes the tables of docs/validation.md and of the README: ``python docs/error_tables.py``.

Measured tables are found through ACCELSIM_DATA (default ``../shared`` beside the project), in its folder ``measured``.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from accelsim.config.loader import load_hardware  # noqa: E402
from accelsim.validate import predict, read_rows, validate  # noqa: E402
from accelsim.validate.calibrate import is_held_out  # noqa: E402
from accelsim.validate.errors import summarise  # noqa: E402
from accelsim.validate.regimes import REGIMES  # noqa: E402
from accelsim.validate.run import rows_of  # noqa: E402

PAGE = ROOT / "docs" / "validation.md"
README = ROOT / "README.md"
BEGIN, END = "<!-- errors -->\n", "<!-- end of errors -->\n"
TABLES = {
    "gemm_dense.csv": ["a100_sxm4_80gb", "h100_sxm5", "v100_sxm2", "t4"],
    "gemm_sparse.csv": ["v100_pcie"],
}
CALIBRATED = ("a100_sxm4_80gb", "h100_sxm5")
"""Machines whose YAML holds what `accelsim calibrate-hw` fitted, with its defaults of split and seed."""
ENGINES = ("estimate", "events")
_KEYS = ("mape_percent", "median_ape_percent", "p90_ape_percent", "bias_percent")


def tables(folder: Path) -> str:
    """Errors by machine, by regime and of decisions, under both engines, as Markdown."""
    summaries = [
        validate(folder / name, hardware, engine=engine).summary()
        for name, hardware in TABLES.items()
        for engine in ENGINES
    ]
    head = ["MAPE (%)", "median (%)", "p90 (%)", "bias (%)"]
    machines = [
        [name, summary["engine"], found["n"], *_errors(found), *_errors(summary["roofline"]["gpus"].get(name))[:2]]
        for summary in summaries
        for name, found in summary["gpus"].items()
    ]
    regimes = [
        [text, summary["engine"], summary["regimes"][key]["n"], *_errors(summary["regimes"][key])]
        for key, (text, _) in REGIMES.items()
        for summary in summaries[: len(ENGINES)]
    ]
    decided = [
        [kind.replace("_", " "), summary["engine"], found["n"], *map(_short, list(found.values())[1:])]
        for summary in summaries
        for kind, found in summary["decisions"].items()
    ]
    return "\n".join([
        _table(["calibrated machine", "engine", "rows", "n", *head], _halves(folder / "gemm_dense.csv")),
        _table(["machine", "engine", "rows", *head, "roofline MAPE (%)", "roofline median (%)"], sorted(machines)),
        _table(["regime, dense rows of all machines", "engine", "rows", *head], regimes),
        _table(["speed-ups", "engine", "pairs", "MAPE (%)", "median (%)", "faster side right (%)"], decided),
    ])  # fmt: skip


def _halves(measured: Path) -> list[list[Any]]:
    """Errors of the machines that were fitted to half of their rows, on that half and on the other."""
    rows = read_rows(measured)
    found: list[list[Any]] = []
    for name in CALIBRATED:
        gpu = load_hardware(name).gpu
        for engine in ENGINES:
            own = rows_of(rows, gpu, None, False, measured)
            predicted = [prediction.latency_us or float("nan") for prediction in predict(own, gpu, engine)]
            for half in (False, True):
                taken = [i for i, row in enumerate(own) if is_held_out(row, 0.5, 0) == half]
                errors = summarise([own[i].latency_us or 0.0 for i in taken], [predicted[i] for i in taken])
                kind = "held out" if half else "calibrated"
                found.append([name, engine, kind, errors.n, *_errors(errors.as_dict())])
    return found


def _errors(found: dict[str, Any] | None) -> list[str]:
    return [_short(found[key]) if found else "" for key in _KEYS]


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _table(head: list[str], rows: Iterable[list[Any]]) -> str:
    rule = ["---", "---", *["---:"] * (len(head) - 2)]
    return "".join(f"| {' | '.join(map(str, cells))} |\n" for cells in [head, rule, *rows])


def main() -> None:
    """Put the tables where the page marks their place."""
    folder = Path(os.environ.get("ACCELSIM_DATA", ROOT.parent / "shared")) / "measured"
    if not folder.is_dir():
        sys.exit(f"no measured tables in {folder}; set ACCELSIM_DATA to the folder that holds them")
    _put(PAGE, tables(folder))
    _put(README, summary(folder))


def summary(folder: Path) -> str:
    """Held-out errors of the calibrated machines, for the README."""
    held_out = [row[:2] + row[3:] for row in _halves(folder / "gemm_dense.csv") if row[2] == "held out"]
    return _table(["held out", "engine", "rows", "MAPE (%)", "median (%)", "p90 (%)", "bias (%)"], held_out)


def _put(page: Path, text: str) -> None:
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
