"""Schedules of gradual pruning by name, and patterns from options: what reaches pruning from outside."""

import os
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from accelsim.config.base import Spec
from accelsim.config.check import build
from accelsim.config.documents import open_document
from accelsim.config.names import near
from accelsim.config.patterns import PATTERNS, Pattern
from accelsim.config.yaml import Document, KeyPath, Place, describe
from accelsim.errors import ConfigError


class Schedule(Spec):
    """Stages of gradual pruning. Each starts from the weights that the one before left, and trains them further."""

    kind: Literal["schedule"]
    name: str = ""
    description: str = ""
    model: str = ""
    """What was pruned by it."""
    stages: list[float] = Field(min_length=1)
    """Sparsity of each stage, ascending, as shares in [0, 1)."""
    sparsity_of: Literal["total", "per_dimension"] = "total"
    """Whether `stages` are shares of all weights, or of columns and again of rows (0.5 is 0.75 in total)."""
    scoring_steps: int | None = Field(default=None, gt=0)
    """Batches whose scores are summed before a stage's masks are made."""
    tuning_steps: int | None = Field(default=None, gt=0)
    """Steps of training after a stage's masks."""
    tuning_epochs: int | None = Field(default=None, gt=0)
    """Epochs of training after a stage's masks."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Of that training."""
    batch: int | None = Field(default=None, gt=0)
    """Items of a batch."""
    groups: list[list[int]] = []
    """Layers, by their place in the model, that share a threshold; none means all of them."""
    tolerated_drop_percent: list[float] = []
    """Points of accuracy that each of the first stages may lose; later ones are not held to any."""
    sources: dict[str, str] = {}
    """Where the figures are from."""

    @property
    def total(self) -> list[float]:
        """Share of all weights that each stage prunes."""
        return [1.0 - (1.0 - share) ** 2 if self.sparsity_of == "per_dimension" else share for share in self.stages]

    @model_validator(mode="after")
    def _ascends(self) -> "Schedule":
        for share in self.stages:
            if not 0.0 <= share < 1.0:
                raise ValueError(f"stages are shares from 0 to below 1, not {share:g} (75 % is 0.75)")
        if sorted(set(self.stages)) != self.stages:
            raise ValueError("stages must ascend, each above the one before")
        return self


def load_schedule(name_or_path: str | os.PathLike[str]) -> Schedule:
    """A schedule by name below ``workloads/schedules``, or by path.

    Raises
    ------
    ConfigError
        One line for each problem, with file and line.
    """
    document = open_document("workloads/schedules", name_or_path)
    kind = document.data.get("kind")
    if kind != "schedule":
        raise ConfigError(f"{document.place(('kind',))}: schedule.kind: needs 'schedule', not {describe(kind)}")
    return build(Schedule, document, "schedule")


def pattern_of(kind: str, options: Mapping[str, Any], places: Mapping[str, str] | None = None) -> Pattern:
    """A pattern from its kind and the fields that are not to have their defaults.

    Parameters
    ----------
    kind : str
        Key of `accelsim.config.patterns.PATTERNS`.
    options : mapping of str to value
        Fields of the pattern's spec. For N:M, `sparsity` is accepted where it is 1 - n/m.
    places : mapping of str to str, optional
        What messages call the place of a field, as in ``--block``.

    Raises
    ------
    ConfigError
        For an unknown kind, a field that the pattern does not have, or a value that it does not allow.
    """
    if kind not in PATTERNS:
        raise ConfigError(f"unknown pattern {kind!r}; {near(kind, PATTERNS)}")
    data = {key: value for key, value in options.items() if not (kind == "n_m" and key == "sparsity")}
    where: dict[KeyPath, Place] = {(): Place(option=f"pattern {kind}")}
    where |= {(key,): Place(option=place) for key, place in (places or {}).items() if key in options}
    spec = build(PATTERNS[kind], Document({"kind": kind, **data}, where), "pattern")
    wanted = options.get("sparsity")
    if kind == "n_m" and wanted is not None and abs(wanted - spec.total_sparsity) > 1e-6:
        place = where.get(("sparsity",), where[()])
        ratio = f"{data.get('n', 2)}:{data.get('m', 4)}"
        raise ConfigError(f"{place}: {ratio} has sparsity {spec.total_sparsity:g}, not {wanted:g}; leave it out")
    return spec
