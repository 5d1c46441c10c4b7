"""Reading a sweep: a mistake in its file is told with its line before any point runs."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from accelsim.config.check import build
from accelsim.config.documents import ROOTS, open_document
from accelsim.config.hardware import System
from accelsim.config.loader import load_config, load_hardware, load_workload
from accelsim.config.names import near
from accelsim.config.pattern_options import PATTERN_OPTIONS
from accelsim.config.scheme import Engine, SchemeName
from accelsim.config.yaml import Document, Place
from accelsim.errors import ConfigError, UserError
from accelsim.explore.sweep.axes import axis_values
from accelsim.explore.sweep.spec import NAMES, Sweep, SweepSpec

MAX_POINTS = 1_000_000
"""Points that a sweep has at most unless it is said that more are meant."""


def read_sweep(name_or_path: str | os.PathLike[str], *, many: bool = False) -> Sweep:
    """The sweep of a YAML file (``kind: sweep``), by path or by name below ``workloads/sweeps``.

    Parameters
    ----------
    name_or_path : str or path-like
    many : bool
        Whether it may have more than `MAX_POINTS` points.

    Raises
    ------
    ConfigError
        With file and line: an unknown key, an axis that does not exist, stands twice or is empty, a point that stands
        twice, lists of `zip` that differ in length, an unknown machine, workload, scheme or engine, too many points.
    """
    document = open_document("workloads/sweeps", name_or_path)
    file = document.place(("kind",)).file
    sweep = Sweep(build(SweepSpec, document, "sweep"), None if file is None else file.parent)
    check_axes(sweep, document)
    _check_size(sweep, document, many)
    return sweep


def check_axes(sweep: Sweep, document: Document) -> None:
    """Refuse axes that a sweep cannot have: all that `read_sweep` says of them but how many points they may make.

    Parameters
    ----------
    sweep : Sweep
    document : Document
        Whose places are told; it has the grid under `sweep.grid_key`.
    """
    for axis, given in [*sweep.spec.grid.items(), *sweep.spec.zip.items()]:
        _check_values(document, sweep.part(axis), axis, given)
    _check_shape(sweep, document)
    _check_paths(sweep, document)


def _check_values(document: Document, part: str, axis: str, given: object) -> None:
    place = document.place((part, axis))
    try:
        values = axis_values(given)
    except ConfigError as error:
        raise ConfigError(f"{place}: {part}.{axis}: {error}") from None
    if not values:
        raise ConfigError(f"{place}: {part}.{axis}: is empty; an axis needs at least one value")
    seen: set[tuple[type, object]] = set()
    for index, value in enumerate(values):
        at = document.place((part, axis, index))
        if isinstance(value, (dict, list)):
            raise ConfigError(f"{at}: {part}.{axis}.{index}: values of an axis are numbers, texts, true, false or null")
        if part != "zip" and (type(value), value) in seen:
            raise ConfigError(f"{at}: {part}.{axis}: {value!r} stands twice")
        seen.add((type(value), value))


def _check_shape(sweep: Sweep, document: Document) -> None:
    spec = sweep.spec
    if not sweep.axes:
        raise ConfigError(f"{document.place(())}: sweep: has no axis; give {sweep.grid_key} or zip")
    for axis in spec.zip:
        if axis in spec.grid:
            raise ConfigError(f"{document.place(('zip', axis))}: zip.{axis}: stands in {sweep.grid_key} too")
    lengths = {axis: len(sweep.values[axis]) for axis in spec.zip}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{axis} has {length}" for axis, length in lengths.items())
        raise ConfigError(f"{document.place(('zip',))}: zip: lists must be of one length; {found}")
    _check_steps(sweep, document)


def _check_size(sweep: Sweep, document: Document, many: bool) -> None:
    if len(sweep) > MAX_POINTS and not many:
        raise ConfigError(
            f"{document.place((sweep.part(sweep.axes[0]),))}: sweep: {len(sweep)} points; at most {MAX_POINTS} "
            "are allowed unless --yes says that so many are meant"
        )


def _check_steps(sweep: Sweep, document: Document) -> None:
    """No two steps of `zip` are the same point."""
    seen: set[tuple[tuple[type, object], ...]] = set()
    for index, step in enumerate(zip(*(sweep.values[axis] for axis in sweep.spec.zip), strict=True)):
        typed = tuple((type(value), value) for value in step)
        if typed in seen:
            place = document.place(("zip", next(iter(sweep.spec.zip)), index))
            raise ConfigError(f"{place}: zip: step {index} ({', '.join(map(str, step))}) stands twice")
        seen.add(typed)


def _check_paths(sweep: Sweep, document: Document) -> None:
    """Load what every point stands on once."""
    machines = [_loaded(load_hardware, sweep, at, name) for at, name in _taken(sweep, document, "hardware")]
    loads = [_loaded(load_workload, sweep, at, name) for at, name in _taken(sweep, document, "workload")]
    config = load_config(machines[0], loads[0])
    roots: dict[str, list[BaseModel]] = {
        "hardware": [*machines, *(machine.gpu for machine in machines)],
        "workload": loads,
        **{root: [getattr(config, root)] for root in ROOTS if root not in ("hardware", "workload")},
    }
    meant: dict[str, str] = {}
    for axis in sweep.axes:
        part = sweep.part(axis)
        place = document.place((part, axis))
        problem = _problem(axis, roots)
        if problem:
            raise ConfigError(f"{place}: {part}.{axis}: {problem}")
        if (first := meant.setdefault(_meaning(axis), axis)) != axis:
            raise ConfigError(f"{place}: {part}.{axis}: is the same as axis {first}")
    _check_sparsity(sweep, document)
    for name, allowed in (("scheme", SchemeName), ("engine", Engine)):
        for at, word in _taken(sweep, document, name):
            known = allowed.__args__  # type: ignore[attr-defined]
            if word not in known:
                raise ConfigError(f"{at}: unknown {name} {word!r}; {near(str(word), known)}")


def _meaning(axis: str) -> str:
    """One path for the two that a key of a GPU has where it stands alone."""
    root, _, rest = axis.partition(".")
    if root == "hardware" and rest and rest.partition(".")[0] not in System.model_fields:
        return f"hardware.gpu.{rest}"
    return axis


def _check_sparsity(sweep: Sweep, document: Document) -> None:
    """`sparsity` is short for the scheme's own; a sweep names one of them."""
    own = [axis for axis in sweep.axes if axis in {f"{pattern}.sparsity" for pattern in PATTERN_OPTIONS}]
    if own and "sparsity" in sweep.axes:
        part = sweep.part(own[0])
        raise ConfigError(
            f"{document.place((part, own[0]))}: {part}.{own[0]}: is what axis sparsity is short for; keep one of them"
        )


def _taken(sweep: Sweep, document: Document, name: str) -> list[tuple[Place, Any]]:
    """What one of `NAMES` is over the sweep, each with its place."""
    if name in sweep.values:
        return [(document.place((sweep.part(name), name, index)), one) for index, one in enumerate(sweep.values[name])]
    return [(document.place((name,)), getattr(sweep.spec, name))]


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
