"""A sweep as its YAML describes it: what stays, and the axes along which fields of the config vary."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from accelsim.config.base import Spec
from accelsim.config.names import looks_like_path
from accelsim.config.scheme import Engine, SchemeName
from accelsim.explore.sweep.axes import Scalar, axis_values

NAMES = ("hardware", "workload", "scheme", "engine", "values", "seed", "sparsity", "force")
"""Axes that are no path: they replace what the sweep says once."""

_TIMING = ("hardware.", "workload.launch", "workload.caches", "engine")
"""Beginnings of axes that leave values as they are: points that differ in them alone run one after another."""
_NO_TIMING = ("hardware.gpu.shared_memory", "hardware.gpu.tensor_operands", "hardware.attention_unit.hdp")


class SweepSpec(Spec):
    """Axes over a run. `grid` takes every combination, `zip` goes through its lists in step. The values of an axis are
    a list, or a range: ``{log: [64, 4096], points: 7}`` or ``{linear: [1 GHz, 2 GHz], points: 5}``, of whole numbers
    (with ``multiple_of: 8``, if wanted) between whole ends."""

    kind: Literal["sweep"]
    name: str = ""
    description: str = ""
    hardware: str
    """Name or path, as for `accelsim run`; may be left out where it is an axis."""
    workload: str
    """Likewise."""
    scheme: SchemeName = "dense"
    """As for `accelsim run`."""
    values: bool = True
    """Whether products are computed."""
    engine: Engine = "events"
    """As for `accelsim run`."""
    seed: int = Field(default=0, ge=0)
    """As for `accelsim run`."""
    sparsity: float | None = None
    """Of the scheme's pattern, as for `accelsim run`."""
    force: bool = False
    """As for `accelsim run`."""
    grid: dict[str, Any] = {}
    """For each path (as in ``--set``, or one of `NAMES`) the values that it takes."""
    zip: dict[str, Any] = {}
    """Likewise; all are of one length."""

    @model_validator(mode="before")
    @classmethod
    def _named_by_axes(cls, given: Any) -> Any:
        """An axis over machines or workloads need not be said a second time: its first value stands for it."""
        if not isinstance(given, dict):
            return given
        taken = dict(given)
        for part in (given.get("grid"), given.get("zip")):
            for name in ("hardware", "workload"):
                values = part.get(name) if isinstance(part, dict) else None
                if isinstance(values, list) and values:
                    taken.setdefault(name, values[0])
        return taken


@dataclass(frozen=True)
class Sweep:
    """A checked sweep."""

    spec: SweepSpec
    folder: Path | None
    """Where its file lies; paths in it are relative to that."""
    grid_key: str = "grid"
    """Under what its file has the grid."""

    @property
    def axes(self) -> tuple[str, ...]:
        """What varies: the grid's axes, then those in step."""
        return (*self.spec.grid, *self.spec.zip)

    @cached_property
    def values(self) -> dict[str, list[Scalar]]:
        """For each axis the values that it takes."""
        return {axis: axis_values(given) for axis, given in [*self.spec.grid.items(), *self.spec.zip.items()]}

    @cached_property
    def _lengths(self) -> tuple[int, ...]:
        """Values of each axis of the grid, and the number of steps of `zip`, if there are any."""
        steps = [len(self.values[next(iter(self.spec.zip))])] if self.spec.zip else []
        return (*(len(self.values[axis]) for axis in self.spec.grid), *steps)

    def part(self, axis: str) -> str:
        """Under what its file has an axis."""
        return self.grid_key if axis in self.spec.grid else "zip"

    def __len__(self) -> int:
        return math.prod(self._lengths)

    def at(self, position: int) -> dict[str, Scalar]:
        """Value of every axis at a point; the grid's last axis varies fastest, steps of `zip` faster still.

        Raises
        ------
        IndexError
            When there is no such point.
        """
        if not 0 <= position < len(self):
            raise IndexError(f"point {position} of {len(self)}")
        indices: list[int] = []
        for length in reversed(self._lengths):
            position, index = divmod(position, length)
            indices.insert(0, index)
        settings = {axis: self.values[axis][index] for axis, index in zip(self.spec.grid, indices, strict=False)}
        return settings | {axis: self.values[axis][indices[-1]] for axis in self.spec.zip}

    def settings(self) -> Iterator[dict[str, Scalar]]:
        """Value of every axis, point by point."""
        return (self.at(position) for position in range(len(self)))

    def run_order(self) -> Iterator[int]:
        """Every position once, such that points which can share values follow each other: axes of timing vary
        fastest."""
        timing = [is_timing(axis) for axis in self.spec.grid]
        timing += [all(is_timing(axis) for axis in self.spec.zip)] if self.spec.zip else []
        digits = sorted(range(len(self._lengths)), key=lambda digit: timing[digit])
        strides = [math.prod(self._lengths[digit + 1 :]) for digit in range(len(self._lengths))]
        for count in range(len(self)):
            position = 0
            for digit in reversed(digits):
                count, index = divmod(count, self._lengths[digit])
                position += index * strides[digit]
            yield position

    def located(self, reference: str) -> str:
        """A name as it is; a path as an absolute one, relative to the sweep's file where it exists there."""
        if looks_like_path(reference):
            for folder in (self.folder, Path.cwd()):
                if folder is not None and (folder / reference).is_file():
                    return str((folder / reference).resolve())
        return reference


def is_timing(axis: str) -> bool:
    """Whether an axis is taken to change time and energy alone. Only the order of points rests on it."""
    return axis.startswith(_TIMING) and not axis.startswith(_NO_TIMING)
