"""Budgeted calibration: a setting that is chosen on one split, and checked on another that took no part in it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from accelsim.config.scheme import Engine, SchemeName
from accelsim.errors import UserError
from accelsim.explore.budget.evaluate import DENSE, Evaluation, Inputs
from accelsim.explore.budget.search import Objective, Search, choose
from accelsim.results.bootstrap import PairedInterval, paired_bootstrap
from accelsim.results.schema import SCHEMA_VERSION
from accelsim.results.store import json_text
from accelsim.results.tables import plain

_ROWS = (
    *("setting", "inputs", "quality", "loss", "kept", "block_ratio", "head_ratio", "weight_sparsity"),
    *("latency_us", "energy_uj", "items_per_s"),
)


@dataclass(frozen=True)
class Calibrated:
    """A setting within a budget, and how it does on inputs that took no part in choosing it."""

    hardware: str
    workload: str
    budget: float
    objective: Objective
    judge: str
    metric: str
    keep_margin: float
    engine: str
    seed: int
    calibration: Inputs
    test: Inputs | None
    chosen: Evaluation
    """On the calibration split."""
    checked: Evaluation | None
    """On the test split; None without one."""
    interval: PairedInterval | None
    """Of the change of accuracy on the test split, chosen less dense, over its inputs; None where inputs are not right
    or wrong one by one."""
    tried: tuple[Evaluation, ...]
    """Every setting that was evaluated on the calibration split."""

    @property
    def held(self) -> bool | None:
        """Whether the quality on the test split fell by no more than the budget; None without one."""
        if self.checked is None or self.test is None:
            return None
        return self.test.evaluate(DENSE).verdict.quality - self.checked.verdict.quality <= self.budget + 1e-9

    def to_frame(self) -> pd.DataFrame:
        """A row for the dense and the chosen setting on each split, with time and energy."""
        rows = []
        for split in (self.calibration, self.test):
            if split is not None:
                for name, setting in (("dense", DENSE), ("chosen", self.chosen.setting)):
                    rows.append({"split": split.split, "which": name, **_record(split, split.evaluate(setting, True))})
        return pd.DataFrame(rows)

    def tried_frame(self) -> pd.DataFrame:
        """A row for each setting that was tried, and whether it is within the budget."""
        rows = [_record(self.calibration, one) | {"within": one.verdict.loss <= self.budget} for one in self.tried]
        return pd.DataFrame(rows, columns=[*_ROWS, "within"])

    def document(self) -> dict[str, object]:
        """As a JSON document (`accelsim.results.budget_schema.CALIBRATE_SCHEMA`)."""
        return {
            "schema_version": SCHEMA_VERSION,
            "hardware": self.hardware,
            "workload": self.workload,
            "budget": self.budget,
            "minimise": self.objective,
            "judge": self.judge,
            "metric": self.metric,
            "keep_margin": self.keep_margin,
            "engine": self.engine,
            "seed": self.seed,
            "scheme": self.chosen.setting.scheme,
            "options": {path: plain(value) for path, value in self.chosen.setting.options},
            "held": self.held,
            "change": None if self.interval is None else self.interval.difference,
            "change_low": None if self.interval is None else self.interval.low,
            "change_high": None if self.interval is None else self.interval.high,
            "splits": _plain_rows(self.to_frame()),
            "tried": _plain_rows(self.tried_frame()),
        }

    def to_json(self) -> str:
        """`document` as text."""
        return json_text(self.document())


def _plain_rows(frame: pd.DataFrame) -> list[dict[str, object]]:
    return [{str(key): plain(value) for key, value in row.items()} for row in frame.to_dict("records")]


def _record(split: Inputs, found: Evaluation) -> dict[str, object]:
    return {
        "setting": found.setting.words(),
        "inputs": split.inputs,
        "quality": found.verdict.quality,
        "loss": found.verdict.loss,
        "kept": found.kept,
        "block_ratio": found.block_ratio,
        "head_ratio": found.head_ratio,
        "weight_sparsity": found.weight_sparsity,
        "latency_us": found.latency_us,
        "energy_uj": found.energy_uj,
        "items_per_s": found.items_per_s,
    }


def calibrate(
    workload: str | Path,
    *,
    budget: float,
    hardware: str | Path = "edge_hdp",
    schemes: Sequence[SchemeName] = ("hdp",),
    data: str | Path | None = None,
    split: str = "calibration",
    test_split: str | None = "test",
    count: int | None = None,
    objective: Objective = "kept",
    judge: str = "auto",
    keep_margin: float = 0.5,
    evaluations: int = 200,
    sets: Sequence[str] = (),
    engine: Engine = "estimate",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Calibrated:
    """Find the setting that keeps least, or takes least time or energy, and loses no more than a budget.

    Parameters
    ----------
    workload
        Name or path, of kind vision, text or graph, with data.
    budget : float
        Share, 0 <= budget < 1: what may be lost on the calibration split, as `accelsim.explore.budget.judge` counts.
    hardware
        Name or path of a machine that can run the schemes.
    schemes : sequence of str
        The best of them is chosen.
    data : path, optional
        .npz in place of the workload's.
    split, test_split : str
        What is chosen on, and what the choice is checked on; no test split, no check.
    count : int, optional
        Only so many inputs of each split.
    objective : {"kept", "latency", "energy"}
    judge, keep_margin
        See `accelsim.explore.budget.judge.Judge`.
    evaluations : int
        Settings that may be tried, at least 1.
    sets : sequence of str
        Settings that hold throughout, as ``hdp.guard=input``.
    engine : str
        Of time and energy.
    seed : int
    progress : callable, optional
        See `accelsim.explore.budget.search.Search`.

    Raises
    ------
    UserError
        For a budget that is no share, equal or missing splits, a workload without data or labels that are needed, or a
        scheme that cannot run.
    """
    if not 0 <= budget < 1:
        raise UserError(f"budget is {budget:g}; allowed: a share from 0 up to but without 1, such as 0.01 or 1%")
    if evaluations < 1:
        raise UserError(f"evaluations is {evaluations}; allowed: at least 1")
    if test_split == split:
        raise UserError(f"split {split} cannot be both what settings are chosen on and what they are checked on")

    def inputs(name: str, judged: str) -> Inputs:
        return Inputs(hardware, workload, name, data, count, tuple(sets), engine, judged, keep_margin, seed)

    calibration = inputs(split, judge)
    # Judged alike, also where one split has labels and the other has none: the two are set side by side.
    test = None if test_split is None else inputs(test_split, calibration.judge.name)
    search = Search(calibration, budget, objective, evaluations, progress)
    chosen = choose(search, schemes)
    checked = None if test is None else test.evaluate(chosen.setting, costs=True)
    config = calibration.config(chosen.setting)
    return Calibrated(
        config.hardware.name,
        calibration.network.name,
        budget,
        objective,
        calibration.judge.name,
        calibration.judge.metric,
        keep_margin,
        engine,
        seed,
        calibration,
        test,
        chosen,
        checked,
        change(test, checked),
        tuple(search.tried),
    )


def change(inputs: Inputs | None, found: Evaluation | None) -> PairedInterval | None:
    """Change of accuracy against the dense network, paired by input; None where inputs have no answer each."""
    if inputs is None or found is None or found.verdict.right is None:
        return None
    dense = inputs.evaluate(DENSE).verdict.right
    assert dense is not None
    return paired_bootstrap(found.verdict.right, dense)
