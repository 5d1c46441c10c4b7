"""Settings under a limit of accuracy: judged on one split of the data, and what was found checked on another."""

from dataclasses import dataclass

from accelsim.config.scheme import SchemeName
from accelsim.errors import UserError
from accelsim.explore.budget.evaluate import DENSE, Evaluation, Inputs
from accelsim.explore.budget.settings import Setting
from accelsim.explore.sweep import Point, Record
from accelsim.explore.sweep.points import INTERNAL
from accelsim.explore.tune.spec import Tune
from accelsim.results.bootstrap import paired_bootstrap


@dataclass
class OnData:
    """Runs settings on a split of a workload's data.

    Parameters
    ----------
    tune : Tune
        With a limit of accuracy.
    split : str
    """

    tune: Tune
    split: str

    def __post_init__(self) -> None:
        spec, sweep = self.tune.spec, self.tune.sweep
        self.inputs = Inputs(
            sweep.located(spec.hardware),
            sweep.located(spec.workload),
            self.split,
            count=spec.inputs,
            engine=spec.engine,
            seed=spec.seed,
        )

    def setting(self, point: Point) -> Setting:
        """A point as what `Inputs` evaluates."""
        scheme: SchemeName = point.names["scheme"]  # type: ignore[assignment]
        return Setting(scheme, tuple((path, value) for path, value in point.settings.items() if path != "scheme"))

    def evaluate(self, point: Point) -> Record:
        """Record of a setting: time, energy, `quality`, and `accuracy_points`, which it loses."""
        try:
            found = self.inputs.evaluate(self.setting(point), costs=True)
        except UserError as error:
            return {**point.settings, "error": str(error), "config_hash": None}
        except Exception as error:  # one setting's failure is recorded and must not lose the others
            return {**point.settings, "error": f"{INTERNAL}: {type(error).__name__}: {error}", "config_hash": None}
        return {**point.settings, "error": None, "config_hash": None, **_numbers(found)}

    def check(self, point: Point) -> dict[str, object]:
        """How a setting that was chosen elsewhere does on this split: accuracy, dense accuracy, and their difference
        with its interval where inputs have an answer each."""
        found, dense = self.inputs.evaluate(self.setting(point), costs=True), self.inputs.evaluate(DENSE)
        interval = None
        if found.verdict.right is not None and dense.verdict.right is not None:
            interval = paired_bootstrap(found.verdict.right, dense.verdict.right)
        return {
            "split": self.split,
            "inputs": self.inputs.inputs,
            "metric": self.inputs.judge.metric,
            "dense_quality": dense.verdict.quality,
            **_numbers(found),
            "change": found.verdict.quality - dense.verdict.quality,
            "change_low": None if interval is None else interval.low,
            "change_high": None if interval is None else interval.high,
        }


def _numbers(found: Evaluation) -> dict[str, bool | int | float | str | None]:
    return {
        "latency_us": found.latency_us,
        "energy_uj": found.energy_uj,
        "quality": found.verdict.quality,
        "accuracy_points": 100 * found.verdict.loss,
        "kept": found.kept,
        "weight_sparsity": found.weight_sparsity,
        "block_ratio": found.block_ratio,
        "head_ratio": found.head_ratio,
    }
