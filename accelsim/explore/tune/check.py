"""Reading a search: a mistake is told with its line before anything runs."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from accelsim.config.check import build
from accelsim.config.documents import open_document
from accelsim.config.loader import load_hardware, load_library, load_workload
from accelsim.config.workload import GraphWorkload, TextWorkload, VisionWorkload
from accelsim.config.yaml import Document, KeyPath, Place, read_value
from accelsim.errors import ConfigError
from accelsim.explore.sweep.check import check_axes
from accelsim.explore.sweep.spec import NAMES
from accelsim.explore.tune.defaults import default_space
from accelsim.explore.tune.spec import Tune, TuneSpec

MAX_SPACE = 10**15
"""Settings that a space may have."""


def read_tune(name_or_path: str | os.PathLike[str], **changes: Any) -> Tune:
    """The search of a YAML file (``kind: tune``), by path or by name below ``workloads/tunes``.

    Parameters
    ----------
    name_or_path : str or path-like
    **changes
        Keys of `TuneSpec` that replace what the file says; None leaves it.

    Raises
    ------
    ConfigError
        With file and line: an unknown key, an axis that does not exist, stands twice or is empty, an unknown machine,
        workload, scheme or objective, limits and axes that do not go together.
    """
    document = open_document("workloads/tunes", name_or_path)
    file = document.place(("kind",)).file
    return _checked(document, changes, None if file is None else file.parent)


def make_tune(hardware: str, workload: str, space: Mapping[str, Any] | Sequence[str] = (), **settings: Any) -> Tune:
    """A search without a file.

    Parameters
    ----------
    hardware, workload : str
        Name or path.
    space : mapping, or sequence of str
        For each path its values, or texts such as ``mapping.tile_m=[64, 128]``. Left out, the mapping of kernels:
        tile, stages, split-K and raster order (`accelsim.explore.tune.defaults`).
    **settings
        Further keys of `TuneSpec`; None leaves the default.

    Raises
    ------
    ConfigError
        As `read_tune`.
    """
    place = Place(option="tune")
    data: dict[str, Any] = {"kind": "tune", "hardware": hardware, "workload": workload}
    given, places = _space_of(space)
    if not given:
        scheme, gpu = str(settings.get("scheme") or "dense"), load_hardware(hardware).gpu
        given = default_space(load_workload(workload), scheme, gpu, load_library(gpu.library))
    return _checked(Document(data | {"space": given}, {(): place, **places}), settings, None)


def _space_of(space: Mapping[str, Any] | Sequence[str]) -> tuple[dict[str, Any], dict[KeyPath, Place]]:
    """Axes with their values, and the options that named them."""
    if isinstance(space, Mapping):
        return dict(space), {}
    found: dict[str, Any] = {}
    places: dict[KeyPath, Place] = {}
    for text in space:
        axis, equals, values = text.partition("=")
        option = f"--vary {text}"
        if not equals or not axis.strip():
            raise ConfigError(f"{option}: is not of the form PATH=[VALUE, ...], as in mapping.tile_m=[64, 128]")
        if axis.strip() in found:
            raise ConfigError(f"{option}: axis {axis.strip()} is given twice")
        found[axis.strip()] = read_value(values, option)
        places["space", axis.strip()] = Place(option=option)
    return found, places


_OPTIONS = {"objectives": "objective", "limits": "limit"}
"""Options of the command whose names are not those of their keys."""


def _checked(document: Document, changes: Mapping[str, Any], folder: Any) -> Tune:
    for key, value in changes.items():
        if value is not None:
            document.data[key] = value
            document.places[key,] = Place(option=f"--{_OPTIONS.get(key, key)}")
    spec = build(TuneSpec, document, "tune")
    if not spec.space:
        raise ConfigError(f"{document.place(('space',))}: space: has no axis; give one, as mapping.tile_m: [64, 128]")
    tune = Tune(spec, folder)
    check_axes(tune.sweep, document)
    size = math.prod(len(values) for values in tune.sweep.values.values())
    if size > MAX_SPACE:
        raise ConfigError(
            f"{document.place(('space',))}: space: {size:.3g} points; at most {MAX_SPACE:.0e} are allowed"
        )
    _check_limits(tune, document)
    return tune


def _check_limits(tune: Tune, document: Document) -> None:
    limits, spec = tune.spec.limits, tune.spec
    place = document.place(("limits", "accuracy_points"))
    if limits.max_rel_error is not None and not (spec.values or tune.judged_by_accuracy or "values" in tune.axes):
        at = document.place(("limits", "max_rel_error"))
        raise ConfigError(f"{at}: limits.max_rel_error: errors are known with values alone; set values: true")
    if not tune.judged_by_accuracy:
        return
    if spec.split == spec.test_split:
        at = document.place(("test_split",))
        raise ConfigError(f"{at}: test_split: is {spec.split}, which settings are chosen on; take another")
    for key in ("memory_mib", "max_rel_error", "dram_mib"):
        if getattr(limits, key) is not None:
            at = document.place(("limits", key))
            raise ConfigError(f"{at}: limits.{key}: does not go with a limit of accuracy; leave one of them out")
    for axis in tune.axes:
        if axis != "scheme" and (axis in NAMES or axis.startswith(("hardware.", "workload."))):
            raise ConfigError(
                f"{document.place(('space', axis))}: space.{axis}: under a limit of accuracy the scheme and options "
                "below mapping, hdp and the patterns of weights may vary; give machine and workload once"
            )
    if spec.force or spec.sparsity is not None:
        key = "force" if spec.force else "sparsity"
        raise ConfigError(f"{document.place((key,))}: {key}: does not go with a limit of accuracy; make it an axis")
    load = load_workload(tune.sweep.located(spec.workload))
    if not isinstance(load, VisionWorkload | TextWorkload | GraphWorkload):
        raise ConfigError(
            f"{place}: limits.accuracy_points: workload {load.name} is of kind {load.kind} and has no data to be right "
            "or wrong on; take one of kind vision, text or graph"
        )
