"""Documents before validation: reading by name, inheriting with ``extends``, and changing with ``--set``."""

import copy
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from accelsim.config.check import dotted
from accelsim.config.names import find, near
from accelsim.config.pattern_options import PATTERN_OPTIONS
from accelsim.config.sources import WORDS, covers
from accelsim.config.yaml import Document, KeyPath, Place, describe, read_document, read_value, shown
from accelsim.errors import ConfigError

ROOTS = ("hardware", "workload", "mapping", *PATTERN_OPTIONS, "hdp")
"""What the first word of a ``--set`` path may be."""

SET_SOURCE = "set for this run"
"""Source of a value that ``--set`` gave."""


@dataclass(frozen=True)
class Assignment:
    """One ``path=value``."""

    root: str
    path: KeyPath
    value: Any
    option: str


def parse_assignments(sets: Sequence[str]) -> list[Assignment]:
    """``--set`` texts such as ``mapping.tile_m=128``, in order.

    Raises
    ------
    ConfigError
        For a text without ``=``, an empty path, an unknown root or a value that is no plain YAML.
    """
    if isinstance(sets, str):
        raise ConfigError(f"sets is a list of path=value texts, not the text {sets!r}")
    return [_parse_assignment(text) for text in sets]


def _parse_assignment(text: str) -> Assignment:
    option = f"--set {text}"
    left, equals, right = text.partition("=")
    segments = left.strip().split(".")
    if not equals or len(segments) < 2 or not all(segments):
        raise ConfigError(f"{option}: is not of the form path=value, as in mapping.tile_m=128")
    if segments[0] not in ROOTS:
        raise ConfigError(f"{option}: unknown part {segments[0]!r}; {near(segments[0], ROOTS)}")
    return Assignment(segments[0], tuple(segments[1:]), _read_value(right, option), option)


# The points of a sweep give the same options again and again; `assign` copies what it puts into a document.
_read_value = lru_cache(maxsize=4096)(read_value)


def assign(document: Document, assignment: Assignment) -> None:
    """Change one value of a document in place; a figure with a source is marked as set for this run.

    Raises
    ------
    ConfigError
        When the path leads through something that has no keys, or to a missing entry of a list.
    """
    place = Place(option=assignment.option)
    path: KeyPath = ()
    node: Any = document.data
    sources: tuple[dict[str, str], int] | None = None
    for segment in assignment.path[:-1]:
        if isinstance(node, dict) and isinstance(node.get("sources"), dict):
            sources = node["sources"], len(path)
        key = _key(node, segment, path, assignment)
        path = (*path, key)
        if isinstance(node, dict) and node.get(key) is None:
            node[key] = {}
            document.places[path] = place
        node = node[key]
    if isinstance(node, dict) and isinstance(node.get("sources"), dict):
        sources = node["sources"], len(path)
    key = _key(node, assignment.path[-1], path, assignment)
    node[key] = copy.deepcopy(assignment.value)
    path = (*path, key)
    document.places = {at: where for at, where in document.places.items() if at[: len(path)] != path}
    document.places[path] = place
    if sources is not None and path[sources[1]] not in WORDS:
        sources[0][dotted(path[sources[1] :])] = SET_SOURCE


def _key(node: Any, segment: str | int, path: KeyPath, assignment: Assignment) -> str | int:
    """The key or index that a segment of an option's path means in `node`."""
    if isinstance(node, dict):
        return str(segment)
    name = dotted((assignment.root, *path))
    if not isinstance(node, list):
        raise ConfigError(f"{assignment.option}: {name} holds {describe(node)} and has no key {segment!r}")
    if not str(segment).isdigit() or int(segment) >= len(node):
        raise ConfigError(f"{assignment.option}: {name} is a list; use an index from 0 to {len(node) - 1}")
    return int(segment)


@lru_cache(maxsize=256)
def _read(path: Path, modified: int, size: int) -> Document:
    """A file's document; time and size in the key drop it once the file has changed."""
    return read_document(path)


def open_document(
    kind: str, name_or_path: str | os.PathLike[str], base: Path | None = None, offered: Sequence[str] = ()
) -> Document:
    """Read a file by name or path, with what it extends.

    Parameters
    ----------
    kind : str
        Folder of built-in files, ``hwconfigs`` or ``workloads``.
    name_or_path : str or path-like
        See `accelsim.config.names.find`.
    base : Path, optional
        Folder to which a path is relative.
    offered : sequence of str
        Folders whose names are offered where there is no such file; all below `kind` when left out.

    Raises
    ------
    ConfigError
        No such file, no YAML, or a circle of ``extends``.
    """
    return _open_file(kind, find(kind, name_or_path, base, offered), ())


def _open_file(kind: str, path: Path, chain: tuple[Path, ...]) -> Document:
    if path in chain:
        circle = " -> ".join(shown(file) for file in (*chain[chain.index(path) :], path))
        raise ConfigError(f"{shown(path)}: extends itself ({circle})")
    state = path.stat()
    document = copy.deepcopy(_read(path, state.st_mtime_ns, state.st_size))
    document.data.setdefault("name", path.stem)
    return extended(kind, document, (*chain, path))


def extended(kind: str, document: Document, chain: tuple[Path, ...] = ()) -> Document:
    """A document laid over the one that its ``extends`` names; itself when it has none."""
    if "extends" not in document.data:
        return document
    place = document.place(("extends",))
    reference = document.data["extends"]
    if not isinstance(reference, str):
        raise ConfigError(f"{place}: extends: needs a name or a path, not {describe(reference)}")
    base = place.file.parent if place.file else None
    try:
        parent_path = find(kind, reference, base)
    except ConfigError as error:
        raise ConfigError(f"{place}: extends: {error}") from None
    parent = _open_file(kind, parent_path, chain)
    # What describes the parent does not describe its heir.
    parent.data.pop("description", None)
    heir = Document({key: value for key, value in document.data.items() if key != "extends"}, document.places)
    return merged(parent, heir)


def merged(parent: Document, heir: Document) -> Document:
    """`heir` over `parent`: mappings key by key, everything else replaced; new figures without a source say so."""
    before = copy.deepcopy(parent.data)
    result = Document(parent.data, dict(parent.places))
    _lay_over(result, heir, result.data, heir.data, ())
    _mark(heir.data, before, result.data, str(heir.data.get("name", "a file")))
    result.places[()] = heir.place(())
    return result


def _lay_over(result: Document, heir: Document, under: dict[str, Any], over: dict[str, Any], path: KeyPath) -> None:
    for key, value in over.items():
        here = (*path, key)
        if isinstance(value, dict) and isinstance(under.get(key), dict):
            _lay_over(result, heir, under[key], value, here)
            continue
        under[key] = copy.deepcopy(value)
        keep = {at: place for at, place in result.places.items() if at[: len(here)] != here}
        result.places = keep | {at: place for at, place in heir.places.items() if at[: len(here)] == here}


def _mark(over: dict[str, Any], under: dict[str, Any], result: dict[str, Any], name: str) -> None:
    """The parent's source must not stand for a figure that the heir changed without giving one."""
    own = over.get("sources") or {}
    if isinstance(result.get("sources"), dict) and isinstance(own, dict):
        for leaf, value in _leaves(over):
            if _at(under, leaf) not in (None, value) and not any(covers(source, dotted(leaf)) for source in own):
                result["sources"][dotted(leaf)] = f"default: set in {name} without a source"
    for key, value in over.items():
        if key != "sources" and isinstance(value, dict) and isinstance(under.get(key), dict):
            _mark(value, under[key], result[key], name)


def _leaves(data: dict[str, Any], path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    for key, value in data.items():
        if key in WORDS:
            continue
        if isinstance(value, dict):
            if "sources" not in value:
                yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _at(data: Any, path: KeyPath) -> Any:
    for key in path:
        if not isinstance(data, dict):
            return None
        data = data.get(key)
    return data
