"""A search as its YAML describes it: what stays, the space of settings, what is made small, and what must hold."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, field_validator

from accelsim.config.base import Spec
from accelsim.config.scheme import Engine, SchemeName
from accelsim.explore.sweep import Sweep, SweepSpec

Objective = Literal["latency_us", "energy_uj", "edp"]
OBJECTIVES: tuple[str, ...] = get_args(Objective)
"""What may be made small: time, energy, or their product (uJ us, which is 1e-12 J s)."""

LOOKS = 50_000
"""Points that the closed form of kernels looks at, at most."""
LOOKED_RUNS = 256
"""Points that whole runs by the closed form look at, at most; each takes about as long as a small run by events."""


class Limits(Spec):
    """What a setting must not exceed. A limit that is left out does not hold."""

    latency_us: float | None = Field(default=None, gt=0)
    """Time of the run."""
    energy_uj: float | None = Field(default=None, gt=0)
    """Its energy."""
    edp: float | None = Field(default=None, gt=0)
    """Their product in uJ us."""
    dram_mib: float | None = Field(default=None, gt=0)
    """Traffic of DRAM in MiB, of the attention unit and over the link as well."""
    memory_mib: float | None = Field(default=None, gt=0)
    """Memory that the workload needs on the GPU in MiB: parameters as they are packed, the activations that are alive
    at once, and parts of split-K (`accelsim.explore.tune.memory`)."""
    max_rel_error: float | None = Field(default=None, gt=0)
    """Largest error of the output over its largest magnitude; needs values."""
    accuracy_points: float | None = Field(default=None, ge=0, lt=100)
    """Loss on `split` in percentage points, as `accelsim calibrate` counts it; for workloads with data."""

    def given(self) -> dict[str, float]:
        """Those that hold."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class TuneSpec(Spec):
    """A search for the best settings of a run. The values of an axis of `space` are a list or a range, as in a
    sweep."""

    kind: Literal["tune"]
    name: str = ""
    description: str = ""
    hardware: str
    """Name or path, as for `accelsim run`."""
    workload: str
    """Name or path, as for `accelsim run`."""
    scheme: SchemeName = "dense"
    """As for `accelsim run`."""
    values: bool = False
    """Whether products are computed; a limit of accuracy computes them in any case."""
    engine: Engine = "events"
    """What judges a setting."""
    seed: int = Field(default=0, ge=0)
    """Of runs, and of what the search draws."""
    sparsity: float | None = None
    """Of the scheme's pattern, as for `accelsim run`."""
    force: bool = False
    """As for `accelsim run`."""
    objectives: list[Objective] = Field(default=["latency_us"], min_length=1)
    """What is made small: latency_us, energy_uj, edp. With several, all settings that none beats in each are found."""
    space: dict[str, Any] = {}
    """For each path (as in ``--set``, or scheme, sparsity, hardware, ...) the values that it may take."""
    limits: Limits = Limits()
    """What must hold."""
    evaluations: int = Field(default=100, ge=1)
    """Settings that `engine` judges, at most."""
    first: int = Field(default=32, ge=1)
    """Of those, how many are the best by the closed form, before the sampler begins."""
    estimates: int | None = Field(default=None, ge=1)
    """Settings that the closed form looks at before, at most; left out, 50000 where it need only look at kernels, and
    256 whole runs elsewhere. Of larger spaces it sees a random sample."""
    split: str = "calibration"
    """Of the data, on which a limit of accuracy must hold."""
    test_split: str | None = "test"
    """Of the data, on which what was found is checked."""
    inputs: int | None = Field(default=None, ge=1)
    """Only so many inputs of each split."""

    @field_validator("objectives")
    @classmethod
    def _once(cls, objectives: list[str]) -> list[str]:
        twice = sorted({name for name in objectives if objectives.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} stands twice")
        return objectives


_OF_SWEEP = ("hardware", "workload", "scheme", "values", "engine", "seed", "sparsity", "force")


@dataclass(frozen=True)
class Tune:
    """A checked search."""

    spec: TuneSpec
    folder: Path | None
    """Where its file lies; paths in it are relative to that."""

    @cached_property
    def sweep(self) -> Sweep:
        """The space as a sweep, whose points are all settings there are."""
        taken = {name: getattr(self.spec, name) for name in _OF_SWEEP}
        grid = SweepSpec(kind="sweep", name=self.spec.name, grid=self.spec.space, **taken)
        return Sweep(grid, self.folder, "space")

    @property
    def axes(self) -> tuple[str, ...]:
        """Paths that vary."""
        return self.sweep.axes

    @property
    def reference(self) -> int:
        """Position that stands for the run without any setting of the space."""
        return len(self.sweep)

    @property
    def judged_by_accuracy(self) -> bool:
        """Whether every setting runs on data."""
        return self.spec.limits.accuracy_points is not None

    @property
    def name(self) -> str:
        """Its own, else that of the workload."""
        return self.spec.name or Path(self.spec.workload).stem
