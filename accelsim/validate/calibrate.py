"""Calibration: fit a GPU's few free parameters to measured rows, and say how far off others are that took no part."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from accelsim.config.hardware import Gpu
from accelsim.config.loader import load_hardware
from accelsim.errors import UserError
from accelsim.validate.errors import ErrorSummary, summarise
from accelsim.validate.halves import is_held_out
from accelsim.validate.mechanisms import Switches
from accelsim.validate.parameters import Parameter, fitted_parameters, with_values
from accelsim.validate.predict import ValidationEngine, predict
from accelsim.validate.rows import MeasuredRow, read_rows
from accelsim.validate.run import rows_of

Progress = Callable[[int, int], None]

FitEngine = Literal["estimate", "events", "both"]

FIT_ENGINES: dict[str, tuple[ValidationEngine, ...]] = {
    "estimate": ("estimate",),
    "events": ("events",),
    "both": ("estimate", "events"),
}

POPULATION = 12
SPREADS = (0.3, 0.12, 0.12)
"""First standard deviation of each round of the search, in units of each parameter's range. Later rounds begin at the
best point so far: the loss has many shallow valleys, since kernels change with the parameters."""


@dataclass(frozen=True)
class Calibration:
    """A fitted GPU and how well it predicts."""

    base: str
    measured: str
    """Name of the table."""
    digest: str
    """SHA-256 of the table."""
    gpu: Gpu
    fitted: tuple[tuple[Parameter, float, float], ...]
    """Parameter, value of the base, value fitted."""
    errors: dict[str, dict[str, ErrorSummary]]
    """Of the base and of the fitted GPU, on the rows of the fit (calibrated) and on those left out (held_out)."""
    evaluations: int
    seed: int
    holdout: float
    engine: FitEngine = "estimate"


def calibrate(
    measured: str | Path,
    hardware: str,
    *,
    gpu: str | None = None,
    holdout: float = 0.5,
    evaluations: int = 1200,
    seed: int = 0,
    progress: Progress | None = None,
    switches: Switches | None = None,
    engine: FitEngine = "estimate",
) -> Calibration:
    """Fit a GPU to a measured table.

    CMA-ES (Hansen, arXiv 1604.00772) minimises the mean of |log(predicted / measured)| over the rows of the fit.

    Parameters
    ----------
    measured : str or path-like
        CSV, as for `accelsim.validate.validate`.
    hardware : str
        Name or path of the GPU to start from.
    gpu : str, optional
        Which GPU of the table; left out, the one that the base is known as.
    holdout : float
        Share of shapes that take no part in the fit, between 0.1 and 0.9.
    evaluations : int
        Predictions of all rows that the search may make.
    seed : int
        Of the split and of the search.
    progress : callable, optional
        Called with evaluations done and their number.
    switches : Switches, optional
        Mechanisms that are off, in the fit and in the errors; their own numbers are not fitted.
    engine : str
        estimate, events (a hundred times slower), or both, whose losses are added up: a last round of a few dozen
        evaluations after a fit by the estimate. Errors are those of the estimate under both.

    Returns
    -------
    Calibration

    Raises
    ------
    UserError
        When the table is unfit or has too few rows, or an option is out of range.
    """
    if not 0.1 <= holdout <= 0.9:
        raise UserError(f"holdout is {holdout}; allowed: 0.1 to 0.9")
    if evaluations < POPULATION * len(SPREADS):
        raise UserError(f"evaluations is {evaluations}; at least {POPULATION * len(SPREADS)} are needed")
    if engine not in FIT_ENGINES:
        raise UserError(f"engine is {engine}; allowed: {', '.join(FIT_ENGINES)}")
    engines = FIT_ENGINES[engine]
    without = switches or Switches()
    base = without.gpu(load_hardware(hardware).gpu)
    rows = _modelled(rows_of(read_rows(measured), base, gpu, True, measured), base)
    possible = fitted_parameters(base, {row.conditions.launch or "graph" for row in rows})
    parameters = tuple(parameter for parameter in possible if parameter.path not in without.paths)
    train, held = _halves(rows, len(parameters), measured, holdout, seed)

    def loss(machine: Gpu) -> float:
        return sum(float(np.abs(_log_ratios(machine, train, without, one)).mean()) for one in engines)

    values = _search(base, parameters, loss, evaluations, seed, progress or (lambda done, total: None))
    fitted = with_values(base, values)
    return Calibration(
        base=hardware,
        measured=Path(measured).name,
        digest=hashlib.sha256(Path(measured).read_bytes()).hexdigest(),
        gpu=fitted,
        fitted=tuple((parameter, parameter.value(base), values[parameter.path]) for parameter in parameters),
        errors={
            name: {
                "calibrated": _error(machine, train, without, engines[0]),
                "held_out": _error(machine, held, without, engines[0]),
            }
            for name, machine in (("base", base), ("fitted", fitted))
        },
        engine=engine,
        evaluations=evaluations,
        seed=seed,
        holdout=holdout,
    )


def _halves(
    rows: Sequence[MeasuredRow], parameters: int, measured: str | Path, holdout: float, seed: int
) -> tuple[list[MeasuredRow], list[MeasuredRow]]:
    """Rows for the fit, and those that are left out."""
    train = [row for row in rows if not is_held_out(row, holdout, seed)]
    held = [row for row in rows if is_held_out(row, holdout, seed)]
    if len(train) <= parameters or not held:
        raise UserError(
            f"{measured}: {len(rows)} rows can be modelled, {len(train)} of them for the fit; "
            f"{parameters} parameters need more rows than that, and some held out"
        )
    return train, held


def _modelled(rows: Sequence[MeasuredRow], gpu: Gpu) -> list[MeasuredRow]:
    """Dense rows with a latency that the closed form predicts."""
    predictions = predict(rows, gpu)
    return [
        row
        for row, prediction in zip(rows, predictions, strict=True)
        if prediction.latency_us is not None and row.latency_us is not None and row.op == "gemm"
    ]


def _log_ratios(gpu: Gpu, rows: Sequence[MeasuredRow], without: Switches, engine: ValidationEngine) -> np.ndarray:
    predictions = predict(rows, gpu, engine, switches=without)
    predicted = np.asarray([prediction.latency_us for prediction in predictions], dtype=float)
    ratios: np.ndarray = np.log(predicted / np.asarray([row.latency_us for row in rows], dtype=float))
    return ratios


def _error(gpu: Gpu, rows: Sequence[MeasuredRow], without: Switches, engine: ValidationEngine) -> ErrorSummary:
    measured = np.asarray([row.latency_us for row in rows], dtype=float)
    return summarise(measured, measured * np.exp(_log_ratios(gpu, rows, without, engine)))


def _search(
    base: Gpu,
    parameters: Sequence[Parameter],
    loss_of: Callable[[Gpu], float],
    evaluations: int,
    seed: int,
    progress: Progress,
) -> dict[str, float]:
    """Values of the parameters of least loss, each within its bounds and to four digits."""
    try:
        import cma
    except ImportError:
        raise UserError("calibration needs the package cma: pip install 'accelsim[calibrate]'") from None
    bounds = np.asarray([parameter.bounds(base) for parameter in parameters])
    low, width = bounds[:, 0], bounds[:, 1] - bounds[:, 0]

    def values(point: np.ndarray) -> dict[str, float]:
        scaled = low + width * np.clip(point, 0, 1)
        return {p.path: float(f"{value:.4g}") for p, value in zip(parameters, scaled, strict=True)}

    def loss(point: np.ndarray) -> float:
        return loss_of(with_values(base, values(point)))

    start = np.clip([(p.value(base) - lo) / w for p, lo, w in zip(parameters, low, width, strict=True)], 0, 1)
    options = {"popsize": POPULATION, "bounds": [0, 1], "verbose": -9}
    best, least, done = start, loss(start), 0
    for number, spread in enumerate(SPREADS):
        share = (evaluations - done) // (len(SPREADS) - number)
        own = {"seed": seed + number + 1, "maxfevals": share}
        search = cma.CMAEvolutionStrategy(best, spread, options | own)
        while not search.stop():
            points = search.ask()
            losses = [loss(point) for point in points]
            search.tell(points, losses)
            if min(losses) < least:
                best, least = points[int(np.argmin(losses))], min(losses)
            progress(min(done + search.countevals, evaluations), evaluations)
        done += search.countevals
    progress(evaluations, evaluations)
    return values(best)
