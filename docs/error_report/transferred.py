"""A GPU predicted with what was calibrated on one of another generation."""

from functools import cache
from pathlib import Path

from accelsim.config.hardware import Gpu
from accelsim.config.loader import load_hardware
from accelsim.validate import MeasuredRow, predict, read_rows
from accelsim.validate.errors import ErrorSummary, summarise
from accelsim.validate.predict import ValidationEngine
from accelsim.validate.run import rows_of
from accelsim.validate.transfer import CARRIED, carry_over
from error_report.markdown import short, signed, table
from error_report.measured import ENGINES, HEAD, KEYS

BOARD = {"a100_sxm4_80gb": "400 W", "h100_sxm5": "700 W"}
"""Board power of the datasheets, of which the fitted limits are shares."""
WAYS = (("h100_sxm5", "a100_sxm4_80gb"), ("a100_sxm4_80gb", "h100_sxm5"))
"""Target and source."""
TABLE = "gemm_dense.csv"


def _gpu(name: str) -> Gpu:
    return load_hardware(name, [f"hardware.power.rated={BOARD[name]}"]).gpu


@cache
def _rows(folder: Path, name: str) -> list[MeasuredRow]:
    return rows_of(read_rows(folder / TABLE), _gpu(name), None, False, TABLE)


def _errors(folder: Path, gpu: Gpu, name: str, engine: ValidationEngine = "estimate") -> ErrorSummary:
    rows = _rows(folder, name)
    predicted = [prediction.latency_us or float("nan") for prediction in predict(rows, gpu, engine)]
    return summarise([row.latency_us or float("nan") for row in rows], predicted)


def transfer(folder: Path) -> str:
    """Errors of each GPU on all its rows with the other's values, and with its own."""
    rows = []
    for target, source in WAYS:
        carried = carry_over(_gpu(source), _gpu(target)).gpu
        for values, gpu in ((source, carried), (target, _gpu(target))):
            for engine in ENGINES:
                found = _errors(folder, gpu, target, engine)
                rows.append([target, values, engine, found.n, *(short(getattr(found, key)) for key in KEYS)])
    return table(["predicted", "values of", "engine", "n", *HEAD], rows, texts=3)


def by_parameter(folder: Path) -> str:
    """What it does to the mean error to leave the target its own value of one parameter."""
    whole = {way: _errors(folder, carry_over(_gpu(way[1]), _gpu(way[0])).gpu, way[0]) for way in WAYS}
    head = ["kept by the target", *(f"{target}, mean (%)" for target, _ in WAYS)]
    rows = [["(nothing)", *(short(found.mape_percent) for found in whole.values())]]
    for parameter in CARRIED:
        cells = []
        for target, source in WAYS:
            gpu = carry_over(_gpu(source), _gpu(target), keep=(parameter.path,)).gpu
            found, before = _errors(folder, gpu, target).mape_percent, whole[target, source].mape_percent
            cells.append(f"{short(found)} ({signed((found or 0.0) - (before or 0.0))})")
        rows.append([f"`{parameter.path}`", *cells])
    return table(head, rows, texts=1)
