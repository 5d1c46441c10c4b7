"""A sweep as its YAML describes it: what stays, and the axes along which fields of the config vary."""

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from accelsim.config.base import Spec
from accelsim.config.check import build
from accelsim.config.documents import ROOTS, open_document
from accelsim.config.loader import load_config, load_hardware, load_workload
from accelsim.config.names import looks_like_path, near
from accelsim.config.scheme import Engine, SchemeName
from accelsim.config.yaml import Document, Place
from accelsim.errors import ConfigError, UserError

Scalar = bool | int | float | str | None

NAMES = ("hardware", "workload", "scheme", "engine", "values", "seed", "sparsity", "force")
"""Axes that are no path: they replace what the sweep says once."""

MAX_POINTS = 1_000_000


class SweepSpec(Spec):
    """Axes over a run. `grid` takes every combination, `zip` goes through its lists in step."""

    kind: Literal["sweep"]
    name: str = ""
    description: str = ""
    hardware: str
    """Name or path, as for `accelsim run`."""
    workload: str
    """Name or path, as for `accelsim run`."""
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
    grid: dict[str, list[Any]] = {}
    """For each path (as in ``--set``, or one of `NAMES`) the values that it takes."""
    zip: dict[str, list[Any]] = {}
    """Likewise; all lists are of one length."""


@dataclass(frozen=True)
class Sweep:
    """A checked sweep."""

    spec: SweepSpec
    folder: Path | None
    """Where its file lies; paths in it are relative to that."""

    @property
    def axes(self) -> tuple[str, ...]:
        """What varies: the grid's axes, then those in step."""
        return (*self.spec.grid, *self.spec.zip)

    def __len__(self) -> int:
        lengths = [len(values) for values in self.spec.grid.values()]
        steps = len(next(iter(self.spec.zip.values()))) if self.spec.zip else 1
        total = steps
        for length in lengths:
            total *= length
        return total

    def settings(self) -> Iterator[dict[str, Scalar]]:
        """Value of every axis, point by point; the grid's last axis varies fastest, steps of `zip` faster still."""
        steps = list(zip(*self.spec.zip.values(), strict=True)) if self.spec.zip else [()]
        for combination in itertools.product(*self.spec.grid.values()):
            for step in steps:
                yield dict(zip(self.axes, (*combination, *step), strict=True))

    def located(self, reference: str) -> str:
        """A name as it is; a path relative to the sweep's file where it exists there."""
        if self.folder is not None and looks_like_path(reference) and (self.folder / reference).is_file():
            return str(self.folder / reference)
        return reference


def read_sweep(name_or_path: str | os.PathLike[str]) -> Sweep:
    """The sweep of a YAML file (``kind: sweep``), by path or by name below ``workloads/sweeps``.

    Raises
    ------
    ConfigError
        With file and line: an unknown key, an axis that does not exist, an empty one, lists of `zip` that differ in
        length, an unknown machine, workload, scheme or engine.
    """
    document = open_document("workloads/sweeps", name_or_path)
    file = document.place(("kind",)).file
    sweep = Sweep(build(SweepSpec, document, "sweep"), None if file is None else file.parent)
    for part in ("grid", "zip"):
        for axis, values in getattr(sweep.spec, part).items():
            _check_values(document, part, axis, values)
    _check_shape(sweep, document)
    _check_axes(sweep, document)
    return sweep


def _check_values(document: Document, part: str, axis: str, values: Sequence[object]) -> None:
    place = document.place((part, axis))
    if not values:
        raise ConfigError(f"{place}: {part}.{axis}: is empty; an axis needs at least one value")
    for index, value in enumerate(values):
        if isinstance(value, (dict, list)):
            at = document.place((part, axis, index))
            raise ConfigError(f"{at}: {part}.{axis}.{index}: values of an axis are numbers, texts, true, false or null")
        if part == "grid" and any(value == other and type(value) is type(other) for other in values[:index]):
            raise ConfigError(f"{document.place((part, axis, index))}: {part}.{axis}: {value!r} stands twice")


def _check_shape(sweep: Sweep, document: Document) -> None:
    spec = sweep.spec
    if not sweep.axes:
        raise ConfigError(f"{document.place(())}: sweep: has no axis; give grid or zip")
    for axis in spec.zip:
        if axis in spec.grid:
            raise ConfigError(f"{document.place(('zip', axis))}: zip.{axis}: stands in grid too")
    lengths = {axis: len(values) for axis, values in spec.zip.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{axis} has {length}" for axis, length in lengths.items())
        raise ConfigError(f"{document.place(('zip',))}: zip: lists must be of one length; {found}")
    if len(sweep) > MAX_POINTS:
        raise ConfigError(f"{document.place(('grid',))}: sweep: {len(sweep)} points; at most {MAX_POINTS} are allowed")


def _check_axes(sweep: Sweep, document: Document) -> None:
    """Load what every point stands on once, so that a mistake in the file is told with its line before any run."""
    machines = [_loaded(load_hardware, sweep, at, name) for at, name in _taken(sweep.spec, document, "hardware")]
    loads = [_loaded(load_workload, sweep, at, name) for at, name in _taken(sweep.spec, document, "workload")]
    config = load_config(machines[0], loads[0])
    roots: dict[str, list[BaseModel]] = {
        "hardware": [*machines, *(machine.gpu for machine in machines)],
        "workload": loads,
        **{root: [getattr(config, root)] for root in ROOTS if root not in ("hardware", "workload")},
    }
    for axis in sweep.axes:
        part = "grid" if axis in sweep.spec.grid else "zip"
        problem = _problem(axis, roots)
        if problem:
            raise ConfigError(f"{document.place((part, axis))}: {part}.{axis}: {problem}")
    for name, allowed in (("scheme", SchemeName), ("engine", Engine)):
        for at, word in _taken(sweep.spec, document, name):
            known = allowed.__args__  # type: ignore[attr-defined]
            if word not in known:
                raise ConfigError(f"{at}: unknown {name} {word!r}; {near(str(word), known)}")


def _taken(spec: SweepSpec, document: Document, name: str) -> list[tuple[Place, Any]]:
    """What one of `NAMES` is over the sweep, each with its place."""
    for part, axes in (("grid", spec.grid), ("zip", spec.zip)):
        if name in axes:
            return [(document.place((part, name, index)), value) for index, value in enumerate(axes[name])]
    return [(document.place((name,)), getattr(spec, name))]


def _loaded(load: Any, sweep: Sweep, place: Place, name: object) -> Any:
    try:
        return load(sweep.located(name) if isinstance(name, str) else name)
    except UserError as error:
        raise ConfigError(f"{place}: {error}") from None


def _problem(axis: str, roots: Mapping[str, Sequence[BaseModel]]) -> str:
    """What is wrong with an axis's path; empty when it exists in one of the specs that its root stands for."""
    root, *keys = axis.split(".")
    if axis in NAMES:
        return ""
    if root not in roots or not keys:
        return f"unknown axis {axis!r}; allowed: {', '.join(NAMES)}, and paths below {', '.join(ROOTS)}"
    problems = [_missing(spec, keys) for spec in roots[root]]
    return "" if "" in problems else problems[0]


def _missing(node: object, keys: Sequence[str]) -> str:
    for key in keys:
        if isinstance(node, BaseModel):
            fields = type(node).model_fields
            if key not in fields:
                return f"unknown key {key!r}; {near(key, fields)}"
            node = getattr(node, key)
        elif isinstance(node, dict):
            node = node.get(key)
        elif isinstance(node, (list, tuple)):
            if not key.isdigit() or int(key) >= len(node):
                return f"is a list; use an index from 0 to {len(node) - 1}"
            node = node[int(key)]
        else:
            return f"{key!r} stands below a single value"
    return ""
