"""Calibration: fit a GPU's few free parameters to measured rows, and say how far off others are that took no part."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from accelsim.config.hardware import Gpu
from accelsim.config.loader import load_hardware
from accelsim.errors import UserError
from accelsim.validate.errors import ErrorSummary, summarise
from accelsim.validate.mechanisms import Switches
from accelsim.validate.parameters import Parameter, fitted_parameters, with_values
from accelsim.validate.predict import predict
from accelsim.validate.rows import MeasuredRow, read_rows
from accelsim.validate.run import rows_of

Progress = Callable[[int, int], None]

POPULATION = 12
SPREAD = 0.3
"""First standard deviation of the search, in units of each parameter's range."""


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


def is_held_out(row: MeasuredRow, holdout: float, seed: int) -> bool:
    """Whether a row takes no part in the fit: by a hash of its shape, so before any fit, and equal shapes together."""
    text = f"{seed}/{row.op}/{row.dtype}/{row.batch}/{row.m}/{row.n}/{row.k}"
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return number / 2**64 < holdout


def calibrate(
    measured: str | Path,
    hardware: str,
    *,
    gpu: str | None = None,
    holdout: float = 0.5,
    evaluations: int = 480,
    seed: int = 0,
    progress: Progress | None = None,
    switches: Switches | None = None,
) -> Calibration:
    """Fit a GPU to a measured table by the closed form.

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
    if evaluations < POPULATION:
        raise UserError(f"evaluations is {evaluations}; at least {POPULATION} are needed")
    without = switches or Switches()
    base = without.gpu(load_hardware(hardware).gpu)
    rows = _modelled(rows_of(read_rows(measured), base, gpu, True, measured), base)
    train = [row for row in rows if not is_held_out(row, holdout, seed)]
    held = [row for row in rows if is_held_out(row, holdout, seed)]
    possible = fitted_parameters(base, {row.conditions.launch or "graph" for row in rows})
    parameters = tuple(parameter for parameter in possible if parameter.path not in without.paths)
    if len(train) <= len(parameters) or not held:
        raise UserError(
            f"{measured}: {len(rows)} rows can be modelled, {len(train)} of them for the fit; "
            f"{len(parameters)} parameters need more rows than that, and some held out"
        )
    values = _search(base, parameters, train, evaluations, seed, progress or (lambda done, total: None), without)
    fitted = with_values(base, values)
    return Calibration(
        base=hardware,
        measured=Path(measured).name,
        digest=hashlib.sha256(Path(measured).read_bytes()).hexdigest(),
        gpu=fitted,
        fitted=tuple((parameter, parameter.value(base), values[parameter.path]) for parameter in parameters),
        errors={
            name: {"calibrated": _error(machine, train, without), "held_out": _error(machine, held, without)}
            for name, machine in (("base", base), ("fitted", fitted))
        },
        evaluations=evaluations,
        seed=seed,
        holdout=holdout,
    )


def _modelled(rows: Sequence[MeasuredRow], gpu: Gpu) -> list[MeasuredRow]:
    """Dense rows with a latency that the closed form predicts."""
    predictions = predict(rows, gpu)
    return [
        row
        for row, prediction in zip(rows, predictions, strict=True)
        if prediction.latency_us is not None and row.latency_us is not None and row.op == "gemm"
    ]


def _log_ratios(gpu: Gpu, rows: Sequence[MeasuredRow], without: Switches) -> np.ndarray:
    predictions = predict(rows, gpu, switches=without)
    predicted = np.asarray([prediction.latency_us for prediction in predictions], dtype=float)
    ratios: np.ndarray = np.log(predicted / np.asarray([row.latency_us for row in rows], dtype=float))
    return ratios


def _error(gpu: Gpu, rows: Sequence[MeasuredRow], without: Switches) -> ErrorSummary:
    measured = np.asarray([row.latency_us for row in rows], dtype=float)
    return summarise(measured, measured * np.exp(_log_ratios(gpu, rows, without)))


def _search(
    base: Gpu,
    parameters: Sequence[Parameter],
    rows: Sequence[MeasuredRow],
    evaluations: int,
    seed: int,
    progress: Progress,
    without: Switches,
) -> dict[str, float]:
    """Values of the parameters that predict the rows best, each within its bounds and to four digits."""
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
        return float(np.abs(_log_ratios(with_values(base, values(point)), rows, without)).mean())

    start = np.clip([(p.value(base) - lo) / w for p, lo, w in zip(parameters, low, width, strict=True)], 0, 1)
    options = {"seed": seed + 1, "popsize": POPULATION, "bounds": [0, 1], "verbose": -9, "maxfevals": evaluations}
    best, least = start, loss(start)
    search = cma.CMAEvolutionStrategy(start, SPREAD, options)
    while not search.stop():
        points = search.ask()
        losses = [loss(point) for point in points]
        search.tell(points, losses)
        if min(losses) < least:
            best, least = points[int(np.argmin(losses))], min(losses)
        progress(min(search.countevals, evaluations), evaluations)
    return values(best)
