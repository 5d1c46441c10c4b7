"""What a study found: points with intervals, as a table, a document and a folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from accelsim.explore.accuracy.methods import CASCADES, CONTROLS, METHODS, Axis, Settings
from accelsim.explore.accuracy.quality import Measure, Wanted
from accelsim.results.bootstrap import PairedInterval, paired_bootstrap, rank_bootstrap
from accelsim.results.schema import SCHEMA_VERSION
from accelsim.results.store import json_text, npz_bytes, write_folder
from accelsim.results.tables import csv_text

Scores = NDArray[np.float64]

_AGAINST_CASCADE = ("heads_hdp", "heads_top_k", "heads_top_k_late", "heads_random_late")
"""Methods that notes set beside the cascade of heads."""

REPLICATES = 4000
"""Draws of each interval."""
RANK_REPLICATES = 1000
"""Draws of each interval of a correlation of ranks."""


@dataclass(frozen=True)
class Unreachable:
    """A point that a method cannot have."""

    method: str
    asked: float
    reason: str


@dataclass(frozen=True)
class Point:
    """One method at one ratio, over all models. Shares are means over models."""

    method: str
    axis: Axis
    asked: float
    """Share that was to be pruned, of pairs (axis blocks) or heads."""
    scores: Scores
    """[models, items] 1 for a right answer and 0 for a wrong one; without labels, similarity of the texts of each pair
    that has a score, or else agreement with the dense output."""
    pairs_pruned: float
    """Of pairs of real tokens, in all layers and heads."""
    pairs_pruned_padded: float
    """Of all pairs; those of padding count as pruned."""
    heads_pruned: float
    margin_change: float | None
    """Mean absolute change of the margin (logit of the right class less the largest other) over the mean dense one;
    None without labels."""
    settings: tuple[Settings, ...]
    """What the method was set to for each model."""
    wanted: Wanted | None = None
    """What similarities are to be ranked like, where that is the measure."""

    @property
    def score(self) -> float:
        """Mean over models and items, or over models of the correlation of ranks."""
        return float(of_models(self.scores, self.wanted).mean())

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the score over models; None for one."""
        return deviation(self.scores, self.wanted)


def of_models(scores: Scores, wanted: Wanted | None = None) -> Scores:
    """[models] score of each: the mean of scores [models, items], or their correlation with what is wanted."""
    found: Scores = scores.mean(axis=1) if wanted is None else wanted.correlation(scores)
    return found


def deviation(scores: Scores, wanted: Wanted | None = None) -> float | None:
    """Standard deviation over models of `of_models`; None for one model."""
    return float(of_models(scores, wanted).std(ddof=1)) if len(scores) > 1 else None


@dataclass(frozen=True)
class Study:
    """Points in the order of methods and ratios, and what they refer to."""

    workloads: tuple[str, ...]
    split: str
    calibration: str
    calibration_items: int
    measure: Measure
    """What a score is."""
    dense: Scores
    """[models, items] of dense attention."""
    points: tuple[Point, ...]
    unreachable: tuple[Unreachable, ...]
    seed: int
    items: int
    """Inputs of the split."""
    wanted: Wanted | None = None
    """What similarities are to be ranked like, where that is the measure."""

    @property
    def dense_score(self) -> float:
        """Mean over models of the score of dense attention."""
        return float(of_models(self.dense, self.wanted).mean())

    def at(self, method: str, asked: float) -> Point:
        """One point.

        Raises
        ------
        KeyError
            When it was not run, or could not be.
        """
        for point in self.points:
            if (point.method, point.asked) == (method, asked):
                return point
        raise KeyError(f"{method} at {asked:g} was not run")

    def loss(self, point: Point) -> PairedInterval:
        """Score lost to dense attention, with its interval of 95 %."""
        return self._interval(self.dense, point.scores)

    def gain(self, point: Point, other: str) -> PairedInterval | None:
        """Score beyond that of another method at the same asked ratio; None where there is no such point."""
        try:
            against = self.at(other, point.asked)
        except KeyError:
            return None
        return self._interval(point.scores, against.scores)

    def _interval(self, first: Scores, second: Scores) -> PairedInterval:
        if self.wanted is None:
            return paired_bootstrap(first, second, replicates=REPLICATES, seed=self.seed)
        of = self.wanted
        return rank_bootstrap(first, second, of.scores, of.pairs, replicates=RANK_REPLICATES, seed=self.seed)

    @cached_property
    def records(self) -> tuple[dict[str, object], ...]:
        """A record for each point: shares and scores are numbers from 0 to 1."""
        return tuple(self._record(point) for point in self.points)

    def _record(self, point: Point) -> dict[str, object]:
        record: dict[str, object] = {
            "axis": point.axis,
            "method": point.method,
            "asked": point.asked,
            "pairs_pruned": point.pairs_pruned,
            "pairs_pruned_padded": point.pairs_pruned_padded,
            "heads_pruned": point.heads_pruned,
            "score": point.score,
            "score_deviation": point.deviation,
            "margin_change": point.margin_change,
        }
        record |= _interval("loss", self.loss(point))
        for name, others in (("gain_over_random", CONTROLS), ("gain_over_cascade", CASCADES)):
            other = others[point.axis]
            record |= _interval(name, None if other == point.method else self.gain(point, other))
        return record

    def to_frame(self) -> pd.DataFrame:
        """`records` as a table."""
        return pd.DataFrame(list(self.records))

    def notes(self) -> list[str]:
        """What a reader of the table should know, and what the cascade comes to beside HDP's head thresholds."""
        models = len(self.workloads)
        over = "inputs" if self.wanted is None else "pairs" if self.wanted.pairs is None else "texts that pairs share"
        drawn = f"{models} seeds and all {over}" if models > 1 else f"{over}, of one seed"
        notes = [
            f"Thresholds were solved on {self.calibration_items} inputs of split {self.calibration}. Points lost: to "
            f"dense attention; intervals of 95 % by a paired bootstrap over {drawn}. Beyond random and beyond cascade: "
            "points more than that method at the ratio asked."
        ]
        if self.wanted is not None:
            notes.append(
                "Scores are hundredths of the correlation of ranks (Spearman's) between the similarities of "
                f"{len(self.wanted.scores)} pairs of texts and what the data says of them."
            )
        for point in self.points:
            gain = self.gain(point, CASCADES["heads"]) if point.method in _AGAINST_CASCADE else None
            if gain is not None:
                verdict = "undecided" if not gain.excludes_zero else "yes" if gain.low > 0 else "no"
                cascade = self.at(CASCADES["heads"], point.asked)
                notes.append(
                    f"Does {point.method} at {100 * point.heads_pruned:.3g} % of heads lose less than a cascade at "
                    f"{100 * cascade.heads_pruned:.3g} %? {verdict}, by {100 * gain.difference:.1f} points "
                    f"({100 * gain.low:.1f} to {100 * gain.high:.1f})."
                )
        return notes

    def to_json(self) -> str:
        """Everything but the answers themselves, as one document."""
        points = [
            record | {"settings": list(point.settings)} for record, point in zip(self.records, self.points, strict=True)
        ]
        return json_text(
            {
                "schema_version": SCHEMA_VERSION,
                "workloads": list(self.workloads),
                "split": self.split,
                "items": self.items,
                "calibration": self.calibration,
                "calibration_items": self.calibration_items,
                "seed": self.seed,
                "measure": self.measure,
                "dense_score": self.dense_score,
                "dense_score_deviation": deviation(self.dense, self.wanted),
                "methods": {name: METHODS[name].title for name in dict.fromkeys(each.method for each in self.points)},
                "points": points,
                "unreachable": [vars(each) for each in self.unreachable],
            }
        )

    def save(self, folder: str | Path, others: Mapping[str, bytes] | None = None) -> Path:
        """Write ``study.json``, ``points.csv``, ``scores.npz`` (of each input: dense, and by point) and other files,
        as a folder of results.

        Raises
        ------
        ResultError
            When the folder holds something else or cannot be written.
        """
        folder = Path(folder)
        wanted = {} if self.wanted is None else {"wanted": self.wanted.scores}
        scores = {"dense": self.dense} | wanted | {f"{each.method}@{each.asked:g}": each.scores for each in self.points}
        files = {
            "study.json": self.to_json().encode(),
            "points.csv": csv_text(self.to_frame()).encode(),
            "scores.npz": npz_bytes(scores),
        }
        write_folder(folder, files | dict(others or {}))
        return folder


def _interval(name: str, found: PairedInterval | None) -> dict[str, object]:
    if found is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: found.difference, f"{name}_low": found.low, f"{name}_high": found.high}
