"""Specs by name, path or document: the one door through which YAML enters.

>>> from accelsim.config.loader import load_config
>>> config = load_config("v100_pcie", "gemm_1024", sets=["mapping.tile_m=128"])
>>> config.mapping.tile_m
128
"""

import os
from collections.abc import Sequence
from typing import TypeVar, get_args

from pydantic import BaseModel

from accelsim.config.accuracy import Accuracy
from accelsim.config.attention_unit import AttentionUnit, accelerator_of
from accelsim.config.check import build, kind_of
from accelsim.config.documents import Assignment, assign, extended, open_document, parse_assignments
from accelsim.config.files import arrays_of, existing, find_key_means
from accelsim.config.hardware import EnergyTable, Gpu, Library, System
from accelsim.config.names import available, built_in, find, near
from accelsim.config.options import HDP_PRESETS, Hdp, Mapping
from accelsim.config.pattern_options import NM, PATTERN_OPTIONS
from accelsim.config.remembered import remembered
from accelsim.config.scheme import Engine, RunConfig, SchemeName
from accelsim.config.workload import (
    AttentionWorkload,
    EncoderWorkload,
    GemmWorkload,
    GraphWorkload,
    NetworkWorkload,
    TextWorkload,
    VisionWorkload,
    Workload,
)
from accelsim.config.yaml import Document, Place
from accelsim.errors import ConfigError

__all__ = [
    "available",
    "load_accuracy",
    "load_attention_unit",
    "load_config",
    "load_energy",
    "load_hardware",
    "load_library",
    "load_spec",
    "load_workload",
]

HardwareSpec = System | Gpu | AttentionUnit | Library | EnergyTable | Accuracy
NameOrPath = str | os.PathLike[str]

_HARDWARE: dict[str, type[BaseModel]] = {
    "system": System,
    "gpu": Gpu,
    "attention_unit": AttentionUnit,
    "library": Library,
    "energy": EnergyTable,
    "accuracy": Accuracy,
}
_WORKLOADS: dict[str, type[BaseModel]] = {
    "gemm": GemmWorkload,
    "attention": AttentionWorkload,
    "encoder": EncoderWorkload,
    "vision": VisionWorkload,
    "text": TextWorkload,
    "network": NetworkWorkload,
    "graph": GraphWorkload,
}
_WORKLOAD_SPECS = tuple(_WORKLOADS.values())
_MACHINE_FOLDERS, _WORKLOAD_FOLDERS = ("gpus", "systems"), ("gemm", "models")
"""Folders whose names a mistyped machine or workload can have meant."""

_PARTS = {"gpu": "gpu", "attention_unit": "attention_unit"}
"""Keys of a system that may be a name or a path, and the kind that they refer to."""

_SpecT = TypeVar("_SpecT", bound=BaseModel)


def load_hardware(hardware: NameOrPath | System | Gpu, overrides: Sequence[str] = ()) -> System:
    """A machine by name or path; a GPU is wrapped into a system that holds it alone and bears its name.

    Parameters
    ----------
    hardware : str, path-like, System or Gpu
        Name below ``hwconfigs``, path of a YAML file of kind gpu or system, or a spec.
    overrides : sequence of str
        ``hardware.PATH=VALUE`` texts; for a GPU alone, ``hardware.clock`` and ``hardware.gpu.clock`` mean the same.

    Raises
    ------
    ConfigError
        One line for each problem, with file and line or the option's text.
    """
    return _hardware(hardware, _of_root("hardware", overrides))


def load_workload(workload: "NameOrPath | Workload", overrides: Sequence[str] = ()) -> "Workload":
    """A workload by name or path; files that it names (weights, data) become absolute paths.

    Parameters
    ----------
    workload : str, path-like or workload spec
        Name below ``workloads``, path of a YAML file, or a spec.
    overrides : sequence of str
        ``workload.PATH=VALUE`` texts.

    Raises
    ------
    ConfigError
        One line for each problem, with file and line or the option's text.
    """
    return _workload(workload, _of_root("workload", overrides))


def load_library(name_or_path: NameOrPath) -> Library:
    """Menu of a library's kernels, by name or path."""
    return _expect(Library, name_or_path)


def load_energy(name_or_path: NameOrPath) -> EnergyTable:
    """Table of energy per action, by name or path."""
    return _expect(EnergyTable, name_or_path)


def load_accuracy(name_or_path: NameOrPath) -> Accuracy:
    """Held-out errors of a GPU's latencies, by name or path."""
    return _expect(Accuracy, name_or_path)


def load_spec(name_or_path: NameOrPath) -> HardwareSpec:
    """Whatever lies under a name or path of ``hwconfigs``: system, GPU, attention unit, or a table that one names."""
    document = open_document("hwconfigs", name_or_path)
    kind = kind_of(document, tuple(_HARDWARE), "hardware")
    if kind == "system":
        return _hardware(name_or_path, [])
    _link_files(document)
    spec = build(_unit_spec(document) if kind == "attention_unit" else _HARDWARE[kind], document, kind)
    assert isinstance(spec, HardwareSpec)
    return spec


def _unit_spec(document: Document) -> type[BaseModel]:
    """Spec of the algorithm that an attention unit names; the common one says what is missing when it names none."""
    if not isinstance(document.data.get("algorithm"), str):
        return AttentionUnit
    try:
        spec: type[BaseModel] = accelerator_of(document.data["algorithm"]).spec
    except ConfigError as error:
        raise ConfigError(f"{document.place(('algorithm',))}: attention_unit.algorithm: {error}") from None
    return spec


def load_attention_unit(unit: NameOrPath | AttentionUnit, overrides: Sequence[str] = ()) -> AttentionUnit:
    """An attention unit by name or path, of the spec that its algorithm brings.

    Parameters
    ----------
    unit : str, path-like or AttentionUnit
        Name below ``hwconfigs/attention``, path of a YAML file of kind attention_unit, or a spec.
    overrides : sequence of str
        ``hardware.PATH=VALUE`` texts.

    Raises
    ------
    ConfigError
        One line for each problem, with file and line or the option's text.
    """
    if isinstance(unit, AttentionUnit):
        document = _as_document(unit, f"attention_unit given as {type(unit).__name__}")
    else:
        document = open_document("hwconfigs", unit)
    kind_of(document, ("attention_unit",), "attention_unit")
    for assignment in _of_root("hardware", overrides):
        assign(document, assignment)
    _link_files(document)
    spec = build(_unit_spec(document), document, "attention_unit")
    assert isinstance(spec, AttentionUnit)
    return spec


def load_config(
    hardware: NameOrPath | System | Gpu,
    workload: "NameOrPath | Workload",
    *,
    scheme: str = "dense",
    sets: Sequence[str] = (),
    engine: str = "events",
    values: bool = True,
    seed: int = 0,
    operands: NameOrPath | None = None,
    masks: NameOrPath | None = None,
    force: bool = False,
    sparsity: float | None = None,
) -> RunConfig:
    """Everything that a run depends on.

    Options come from the specs' defaults, then from the workload's ``defaults``, then from `sets`.

    Parameters
    ----------
    hardware, workload : str, path-like or spec
        See `load_hardware` and `load_workload`.
    scheme : str
        One of `accelsim.config.scheme.SchemeName`.
    sets : sequence of str
        ``path=value`` texts; paths begin with hardware, workload, mapping, hdp or a pattern's name.
    engine : str
        events, simpy or estimate.
    values : bool
        Whether products are computed.
    seed : int
        Seed of everything that is drawn.
    operands : str or path-like, optional
        .npz of the user's matrices, relative to the working directory.
    masks : str or path-like, optional
        Folder of a saved result, or its arrays.npz: recorded masks, for a run without values.
    force : bool
        Whether sparse tensor cores are imagined on a machine without them.
    sparsity : float, optional
        Short for ``sparsity`` of the scheme's pattern (of tile_wise where the scheme has none).

    Raises
    ------
    ConfigError
        One line for each problem, with file and line or the option's text.
    """
    for what, word, allowed in (("scheme", scheme, get_args(SchemeName)), ("engine", engine, get_args(Engine))):
        if word not in allowed:
            raise ConfigError(f"unknown {what} {word!r}; {near(str(word), allowed)}")
    assignments = parse_assignments(_with_sparsity(sets, scheme, sparsity))
    machine = _hardware(hardware, [item for item in assignments if item.root == "hardware"])
    work = _workload(workload, [item for item in assignments if item.root == "workload"])
    data = {
        "hardware": machine,
        "workload": work,
        "scheme": scheme,
        "mapping": _options(Mapping, "mapping", work, assignments),
        **{key: _options(spec, key, work, assignments) for key, spec in PATTERN_OPTIONS.items()},
        "hdp": _options(Hdp, "hdp", work, assignments),
        "engine": engine,
        "values": values,
        "seed": seed,
        "operands": None if operands is None else existing(os.fspath(operands), Place(option="operands")),
        "masks": None if masks is None else existing(arrays_of(masks), Place(option="masks")),
        "force": force,
    }
    config = build(RunConfig, Document(data, {(): Place(option="run")}), "run")
    if sparsity is not None and scheme.partition("+")[0] == "n_m":
        _check_groups(config.n_m, sparsity)
    return config


def _check_groups(groups: NM, sparsity: float) -> None:
    """N:M prunes a share of its own; a sparsity that is given must be that one."""
    if abs(groups.total_sparsity - sparsity) > 1e-6:
        raise ConfigError(
            f"sparsity {sparsity}: {groups.n}:{groups.m} prunes {groups.total_sparsity:.4g} of the weights; "
            "set n_m.n and n_m.m instead"
        )


def _with_sparsity(sets: Sequence[str], scheme: str, sparsity: float | None) -> Sequence[str]:
    if sparsity is None:
        return sets
    key = scheme.partition("+")[0]
    if key == "n_m":
        return sets
    option = f"{key if key in PATTERN_OPTIONS else 'tile_wise'}.sparsity"
    twice = [text for text in sets if text.partition("=")[0].strip() == option]
    if twice:
        raise ConfigError(f"--set {twice[-1]}: sparsity {sparsity} is given too, and is short for it; give one of them")
    return [*sets, f"{option}={sparsity}"]


def _of_root(root: str, overrides: Sequence[str]) -> list[Assignment]:
    assignments = parse_assignments(overrides)
    for assignment in assignments:
        if assignment.root != root:
            raise ConfigError(f"{assignment.option}: only {root}.* can be set here")
    return assignments


def _options(spec: type[_SpecT], root: str, workload: "Workload", assignments: list[Assignment]) -> _SpecT:
    """A section of options: the workload's defaults, changed by the options of its root."""
    document = _as_document(getattr(workload.defaults, root), f"options of {root}")
    own = [assignment for assignment in assignments if assignment.root == root]
    if spec is Hdp and any(assignment.path == ("preset",) for assignment in own):
        # A preset that is asked for replaces what the workload chose; single switches beside it still hold.
        for key in HDP_PRESETS["paper"]:
            document.data.pop(key)
    for assignment in own:
        assign(document, assignment)
    find_key_means(document, ())
    return build(spec, document, root)


def _as_document(spec: BaseModel, called: str) -> Document:
    return Document(spec.model_dump(mode="json"), {(): Place(option=called)})


def _hardware(hardware: NameOrPath | System | Gpu, assignments: list[Assignment]) -> System:
    if isinstance(hardware, System) and not assignments:
        return hardware
    if isinstance(hardware, System | Gpu):
        document = _as_document(hardware, f"hardware given as {type(hardware).__name__}")
    elif isinstance(hardware, str | os.PathLike):
        document = open_document("hwconfigs", hardware, offered=_MACHINE_FOLDERS)
    else:
        raise ConfigError(f"hardware: needs a name, a path, a System or a Gpu, not {type(hardware).__name__}")
    alone = kind_of(document, ("system", "gpu"), "hardware") == "gpu"
    if alone:
        name = document.data.get("name")
        place = document.place(())
        document = Document(
            {"kind": "system", "name": name, "gpu": document.data},
            {(): place} | {("gpu", *path): at for path, at in document.places.items()},
        )
    _join_parts(document)
    for assignment in assignments:
        if alone and assignment.path[0] not in System.model_fields:
            assignment = Assignment(assignment.root, ("gpu", *assignment.path), assignment.value, assignment.option)
        assign(document, assignment)
        _join_parts(document)
    for key in _PARTS:
        if isinstance(document.data.get(key), dict):
            part = document.sub(key)
            _link_files(part)
            document.put(key, part)
    return build(System, document, "hardware")


def _join_parts(document: Document) -> None:
    """Replace references (``gpu: NAME``) and inline mappings with ``extends`` by what they mean."""
    for key, kind in _PARTS.items():
        value = document.data.get(key)
        place = document.place((key,))
        if isinstance(value, str):
            base = place.file.parent if place.file else None
            try:
                part = open_document("hwconfigs", value, base)
                kind_of(part, (kind,), key)
            except ConfigError as error:
                raise ConfigError(f"{place}: hardware.{key}: {error}") from None
            document.put(key, part)
        elif isinstance(value, dict) and "extends" in value:
            document.put(key, extended("hwconfigs", document.sub(key)))


def _link_files(document: Document) -> None:
    """Check that the tables that a unit names exist, and make paths absolute; names stay names."""
    for key in ("library", "sparse_library", "energy", "accuracy"):
        value = document.data.get(key)
        if not isinstance(value, str):
            continue
        place = document.place((key,))
        try:
            path = find("hwconfigs", value, place.file.parent if place.file else None)
        except ConfigError as error:
            raise ConfigError(f"{place}: {key}: {error}") from None
        if built_in("hwconfigs").get(value) != path:
            document.data[key] = str(path)
    find_key_means(document, ("hdp",))


def _workload(workload: "NameOrPath | Workload", assignments: list[Assignment]) -> "Workload":
    if isinstance(workload, _WORKLOAD_SPECS):
        if not assignments:
            return workload
        document = _as_document(workload, f"workload given as {type(workload).__name__}")
    elif isinstance(workload, str | os.PathLike):
        document = open_document("workloads", workload, offered=_WORKLOAD_FOLDERS)
    else:
        raise ConfigError(f"workload: needs a name, a path or a workload spec, not {type(workload).__name__}")
    for assignment in assignments:
        assign(document, assignment)
    kind = kind_of(document, tuple(_WORKLOADS), "workload")
    for key in ("weights", "data"):
        if kind in ("vision", "text", "graph") and isinstance(document.data.get(key), str):
            document.data[key] = existing(document.data[key], document.place((key,)), f": workload.{key}")
    find_key_means(document, ("defaults", "hdp"))
    spec: Workload = build(_WORKLOADS[kind], document, "workload")  # type: ignore[assignment]
    return spec


def _expect(spec: type[_SpecT], name_or_path: NameOrPath) -> _SpecT:
    kind = next(kind for kind, candidate in _HARDWARE.items() if candidate is spec)

    def checked(document: Document) -> _SpecT:
        kind_of(document, (kind,), kind)
        return build(spec, document, kind)

    return remembered(spec, find("hwconfigs", name_or_path), lambda path: open_document("hwconfigs", path), checked)
