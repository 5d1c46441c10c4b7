"""What a search found: the best settings, how it came to them, and what it cost, as tables and as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from accelsim.explore.sweep import Record
from accelsim.explore.sweep.tables import frame_of, write_file
from accelsim.explore.tune.measures import measure
from accelsim.explore.tune.search import REFERENCE, REST, Trial
from accelsim.explore.tune.spec import Tune
from accelsim.results.schema import SCHEMA_VERSION
from accelsim.results.store import json_text
from accelsim.results.tables import csv_text

FILES = ("tune.json", "history.csv", "best.yaml", "tune.png", "tune.svg")
"""What a study's folder gets beside its records."""


@dataclass(frozen=True)
class Exhausted:
    """All settings that can run, as a check of a search."""

    legal: int
    """Settings that can run."""
    best: tuple[Trial, ...]
    """Of all of them."""
    gap_percent: float | None
    """By how much the search's best is above that, with one objective."""
    found: int
    """Of these best, how many have values that the search found too."""


@dataclass(frozen=True)
class Tuned:
    """Outcome of a search."""

    tune: Tune
    machine: str
    """Its name."""
    workload: str
    reference: Trial
    """The run without any setting of the space."""
    trials: tuple[Trial, ...]
    """Settings that were judged, in order, the reference left out; those of a search through all come last."""
    best: tuple[Trial, ...]
    """Those that keep all limits and that none of the search's beats, by the first objective."""
    looks: int
    """Calls of the closed form of kernels, each for one setting."""
    estimate_runs: int
    """Runs by the closed form."""
    hopeless: int
    """Proposals that were left alone, since their bound or guess says that they are beaten."""
    impossible: int
    """Proposals that cannot run, as the closed form tells."""
    command: str
    """Runs the best setting."""
    exhausted: Exhausted | None = None
    checked: tuple[dict[str, object], ...] = ()
    """Of each best setting, how it does on the split it was not chosen on."""
    notes: tuple[str, ...] = field(default=())

    @property
    def objectives(self) -> list[str]:
        """What was made small."""
        return list(self.tune.spec.objectives)

    @property
    def searched(self) -> tuple[Trial, ...]:
        """Trials of the search itself."""
        return tuple(trial for trial in self.trials if trial.by != REST)

    @property
    def evaluations(self) -> int:
        """Runs that the search took, that of the reference included."""
        return sum(trial.values is not None for trial in (self.reference, *self.searched))

    def gain(self, trial: Trial) -> dict[str, float] | None:
        """How many times less of each objective a setting takes than the reference; None where that did not run."""
        if trial.values is None or self.reference.values is None:
            return None
        pairs = zip(self.objectives, trial.values, self.reference.values, strict=True)
        return {name: before / max(after, 1e-300) for name, after, before in pairs}

    def to_frame(self) -> pd.DataFrame:
        """A row for each trial of the search in order: its number, who proposed it, objectives, best so far (with one
        objective), settings, and why it failed."""
        rows, lowest = [], None
        for number, trial in enumerate((self.reference, *self.searched)):
            if trial.holds and trial.values is not None:
                lowest = trial.values[0] if lowest is None else min(lowest, trial.values[0])
            row: Record = {"evaluation": number, "by": trial.by, "holds": trial.holds}
            row |= {name: measure(trial.record, name) for name in self.objectives}
            if len(self.objectives) == 1:
                row[f"best_{self.objectives[0]}"] = lowest
            row |= {f"limit_{name}": measure(trial.record, name) for name in self.tune.spec.limits.given()}
            rows.append(row | self.settings(trial) | {"error": trial.record["error"]})
        return frame_of(rows, ())

    def settings(self, trial: Trial) -> Record:
        """Values of the axes of a trial; none of the reference's."""
        return {} if trial.by == REFERENCE else {axis: trial.record[axis] for axis in self.tune.axes}

    def document(self) -> dict[str, object]:
        """As a JSON document (`accelsim.results.schema.TUNE_SCHEMA`)."""
        spec = self.tune.spec
        history = json.loads(self.to_frame().to_json(orient="records"))
        return {
            "schema_version": SCHEMA_VERSION,
            "tune": self.tune.name,
            "hardware": self.machine,
            "workload": self.workload,
            "scheme": spec.scheme,
            "engine": spec.engine,
            "seed": spec.seed,
            "objectives": self.objectives,
            "limits": spec.limits.given(),
            "axes": list(self.tune.axes),
            "space_points": len(self.tune.sweep),
            "evaluations": self.evaluations,
            "estimate_calls": self.looks,
            "estimate_runs": self.estimate_runs,
            "hopeless": self.hopeless,
            "impossible": self.impossible,
            "reference": self._told(self.reference),
            "best": [self._told(trial) for trial in self.best],
            "command": self.command,
            "checked": list(self.checked),
            "exhaustive": self._exhausted(),
            "history": history,
            "notes": list(self.notes),
        }

    def _told(self, trial: Trial) -> dict[str, object]:
        names = dict.fromkeys([*self.objectives, "latency_us", "energy_uj", *self.tune.spec.limits.given()])
        return {
            "settings": self.settings(trial),
            **{name: measure(trial.record, name) for name in names},
            "gain": self.gain(trial),
            "error": trial.record["error"],
        }

    def _exhausted(self) -> dict[str, object] | None:
        if self.exhausted is None:
            return None
        own = self.exhausted
        return {
            "legal": own.legal,
            "best": [self._told(trial) for trial in own.best],
            "gap_percent": own.gap_percent,
            "found": own.found,
            "evaluations_percent": 100 * self.evaluations / own.legal if own.legal else None,
        }

    def to_json(self) -> str:
        """`document` as text."""
        return json_text(self.document())

    def save(self, folder: str | Path, best: str, drawn: Mapping[str, bytes]) -> None:
        """Write tune.json, history.csv, best.yaml and figures into a study's folder.

        Parameters
        ----------
        folder : str or Path
        best : str
            Text of best.yaml.
        drawn : mapping
            From file name to content.
        """
        files = {
            "tune.json": self.to_json().encode(),
            "history.csv": csv_text(self.to_frame()).encode(),
            "best.yaml": best.encode(),
            **drawn,
        }
        for name, content in files.items():
            write_file(Path(folder) / name, content)


def judge_of_all(found: Sequence[Trial], trials: Sequence[Trial], best: Sequence[Trial]) -> Exhausted:
    """A search's best beside that of all settings.

    Parameters
    ----------
    found : sequence of Trial
        The search's best.
    trials : sequence of Trial
        All that were judged.
    best : sequence of Trial
        The best of those.
    """
    legal = sum(trial.values is not None and trial.by != REFERENCE for trial in trials)
    gap = None
    if best and found and best[0].values is not None and found[0].values is not None and len(best[0].values) == 1:
        gap = 100 * (found[0].values[0] / best[0].values[0] - 1)
    values = {trial.values for trial in found}
    return Exhausted(legal, tuple(best), gap, sum(trial.values in values for trial in best))
