"""Accuracy against time and energy: a point for each scheme and setting, and which points no other one beats."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from accelsim.config.pattern_options import PATTERN_OPTIONS
from accelsim.config.scheme import Engine, SchemeName
from accelsim.errors import UserError
from accelsim.explore.budget.calibrate import change
from accelsim.explore.budget.evaluate import DENSE, Evaluation, Inputs
from accelsim.explore.budget.search import GROUPS
from accelsim.explore.budget.settings import Setting
from accelsim.results.front import unbeaten
from accelsim.results.schema import SCHEMA_VERSION
from accelsim.results.store import json_text, write_folder
from accelsim.results.tables import csv_text, plain

SPARSITIES = (0.05, 0.9)
"""Lowest and highest sparsity of weights, unless told."""
ROW_THRESHOLDS = (-0.5, 0.8)
"""Likewise of HDP's row thresholds."""
DEFAULT_SCHEMES: tuple[SchemeName, ...] = ("tile_wise", "hdp", "tile_wise+hdp")


@dataclass(frozen=True)
class TradeOff:
    """Points by workload, then scheme, then setting; the dense network of each workload comes first."""

    hardware: str
    workloads: tuple[str, ...]
    split: str
    judge: str
    metric: str
    engine: str
    seed: int
    points: pd.DataFrame
    """Columns as `accelsim.results.budget_schema.TRADEOFF_POINT` has them."""

    def notes(self) -> list[str]:
        """What a reader of the points should know, one sentence a line."""
        inputs = int(self.points["inputs"].iloc[0])
        notes = [
            f"{inputs} inputs of split {self.split} in one batch. Whoever chooses by these points has chosen on this "
            "split; accelsim calibrate chooses on another one."
        ]
        if len(self.workloads) > 1:
            notes.append("One front over all workloads: they should answer the same inputs.")
        return notes

    def document(self) -> dict[str, object]:
        """As a JSON document (`accelsim.results.budget_schema.TRADEOFF_SCHEMA`)."""
        rows = self.points.to_dict("records")
        return {
            "schema_version": SCHEMA_VERSION,
            "hardware": self.hardware,
            "workloads": list(self.workloads),
            "split": self.split,
            "judge": self.judge,
            "metric": self.metric,
            "engine": self.engine,
            "seed": self.seed,
            "points": [{str(key): plain(value) for key, value in row.items()} for row in rows],
            "notes": self.notes(),
        }

    def to_json(self) -> str:
        """`document` as text."""
        return json_text(self.document())

    def save(self, folder: str | Path, figures: Mapping[str, bytes] | None = None) -> Path:
        """Write tradeoff.json, points.csv and figures by file name, whole or not at all.

        Raises
        ------
        ResultError
            When the folder holds something else or cannot be written.
        """
        files = {"tradeoff.json": self.to_json().encode(), "points.csv": csv_text(self.points).encode()}
        write_folder(Path(folder), files | dict(figures or {}))
        return Path(folder)


def pareto(quality: ArrayLike, cost: ArrayLike) -> NDArray[np.bool_]:
    """Points that no other one beats: none is at least as good and at most as costly, and one of both strictly.

    Parameters
    ----------
    quality, cost : float [points]
        More of the one is better, less of the other.

    Returns
    -------
    bool [points]
        Of points that are equal in both, all or none.
    """
    return unbeaten(cost, quality, more_is_better=True)


def grid(
    scheme: SchemeName,
    settings: int,
    sparsities: Sequence[float] | None = None,
    row_thresholds: Sequence[float] | None = None,
) -> list[Setting]:
    """Settings of a scheme: evenly spaced, and of a combination about so many pairs, spaced alike on both axes.

    Parameters
    ----------
    scheme : str
    settings : int
        At least 1; N:M has a group for each, as many as there are.
    sparsities, row_thresholds : sequence of float, optional
        In place of the spaced ones.
    """
    weights, _, attention = scheme.partition("+")
    if scheme in ("dense", "dense_on_unit"):
        return [Setting(scheme)]
    each = math.ceil(math.sqrt(settings)) if attention else settings
    of_weights: list[dict[str, float]] = [{}]
    if weights == "n_m":
        of_weights = [{"n_m__n": n, "n_m__m": m} for n, m in GROUPS[:each]]
    elif weights in PATTERN_OPTIONS:
        chosen = _spaced(SPARSITIES, each) if sparsities is None else sparsities
        of_weights = [{f"{weights}__sparsity": float(value)} for value in chosen]
    of_attention: list[dict[str, float]] = [{}]
    if "hdp" in scheme:
        chosen = _spaced(ROW_THRESHOLDS, each) if row_thresholds is None else row_thresholds
        of_attention = [{"hdp__rho_b": float(value)} for value in chosen]
    return [Setting(scheme).changed(**one, **other) for one in of_weights for other in of_attention]


def _spaced(ends: tuple[float, float], count: int) -> list[float]:
    return [round(float(value), 4) for value in np.linspace(*ends, count)]


def trade_off(
    hardware: str | Path,
    workloads: Sequence[str | Path],
    *,
    schemes: Sequence[SchemeName] = DEFAULT_SCHEMES,
    settings: int = 6,
    sparsities: Sequence[float] | None = None,
    row_thresholds: Sequence[float] | None = None,
    split: str | None = None,
    data: str | Path | None = None,
    count: int | None = None,
    judge: str = "auto",
    each: bool = False,
    sets: Sequence[str] = (),
    engine: Engine = "estimate",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> TradeOff:
    """Run schemes at several settings on labelled inputs and set their quality against latency and energy.

    Parameters
    ----------
    hardware
        Name or path.
    workloads : sequence of str or path
        Of kind vision, text or graph, with data; those that answer the same inputs belong together.
    schemes : sequence of str
    settings, sparsities, row_thresholds
        See `grid`.
    split, data, count, judge
        See `accelsim.explore.budget.calibrate.calibrate`; no split takes each workload's own.
    each : bool
        Whether inputs are timed one by one too.
    sets, engine, seed
        As for `accelsim.pipeline.run`.
    progress : callable, optional
        Told how many of how many points are done.

    Raises
    ------
    UserError
        Without workloads, schemes or settings, and as `accelsim.explore.budget.calibrate.calibrate`.
    """
    if not workloads or not schemes or settings < 1:
        raise UserError("a trade-off needs at least one workload, one scheme and one setting of each")
    loaded = [Inputs(hardware, one, split, data, count, tuple(sets), engine, judge, 0.0, seed) for one in workloads]
    wanted = [DENSE]
    for scheme in schemes:
        settings_of = grid(scheme, settings, sparsities, row_thresholds)
        for inputs in loaded:
            settings_of = inputs.runnable(settings_of)
        wanted += [one for one in settings_of if one not in wanted]
    rows: list[dict[str, object]] = []
    for inputs in loaded:
        for setting in wanted:
            rows.append(_row(inputs, inputs.evaluate(setting, costs=True, each=each)))
            if progress is not None:
                progress(len(rows), len(loaded) * len(wanted))
    points = pd.DataFrame(rows)
    for key in ("latency", "energy"):
        cost = points["latency_us" if key == "latency" else "energy_uj"]
        points[f"front_{key}"] = pareto(points["quality"].to_numpy(), cost.to_numpy())
    first = loaded[0]
    return TradeOff(
        first.config(DENSE).hardware.name,
        tuple(inputs.network.name for inputs in loaded),
        str(first.split),
        first.judge.name,
        first.judge.metric,
        engine,
        seed,
        points,
    )


def _row(inputs: Inputs, found: Evaluation) -> dict[str, object]:
    interval = change(inputs, found)
    return {
        "workload": inputs.network.name,
        "scheme": found.setting.scheme,
        "setting": " ".join(found.setting.sets()),
        "inputs": inputs.inputs,
        "quality": found.verdict.quality,
        "change": found.verdict.quality - inputs.evaluate(DENSE).verdict.quality,
        "change_low": math.nan if interval is None else interval.low,
        "change_high": math.nan if interval is None else interval.high,
        "latency_us": found.latency_us,
        "energy_uj": found.energy_uj,
        "items_per_s": found.items_per_s,
        "latency_p50_us": found.latency_p50_us,
        "latency_p95_us": found.latency_p95_us,
        "kept": found.kept,
        "block_ratio": found.block_ratio,
        "head_ratio": found.head_ratio,
        "weight_sparsity": found.weight_sparsity,
    }
