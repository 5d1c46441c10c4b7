"""YAML into plain Python values that remember where they came from.

ruamel.yaml's round-trip loader keeps line numbers; beyond plain mappings, lists and scalars nothing is let in: a tag
(``!!python/object`` or any other), a date, a key given twice, a second document or a self-reference is an error.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar
from ruamel.yaml.constructor import ConstructorError, DuplicateKeyError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import Node
from ruamel.yaml.scalarbool import ScalarBoolean

from accelsim.errors import ConfigError

KeyPath = tuple[str | int, ...]

MAX_NODES = 50_000
"""Aliases can make a short file unfold without end; more values than this are refused."""


MAX_DEPTH = 50


@dataclass(frozen=True)
class Place:
    """Where a value was written: a line of a file, or the text of an option."""

    file: Path | None = None
    line: int = 0
    option: str = ""

    def __str__(self) -> str:
        if self.file is None:
            return self.option
        return f"{shown(self.file)}:{self.line}"


@dataclass
class Document:
    """Plain data, and for its paths the places that they came from."""

    data: dict[str, Any]
    places: dict[KeyPath, Place] = field(default_factory=dict)

    def place(self, path: KeyPath) -> Place:
        """Where `path`, or the nearest thing around it, was written."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return Place(option="input")

    def sub(self, key: str) -> "Document":
        """The mapping under `key` as a document of its own."""
        places = {path[1:]: place for path, place in self.places.items() if path[:1] == (key,)}
        return Document(self.data[key], places)

    def put(self, key: str, other: "Document") -> None:
        """Replace what is under `key` by another document."""
        self.places = {path: place for path, place in self.places.items() if path[:1] != (key,)}
        self.places |= {(key, *path): place for path, place in other.places.items()}
        self.data[key] = other.data


def shown(path: Path) -> str:
    """A path as messages print it: relative when it lies below the working directory."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


class _PlainConstructor(RoundTripConstructor):
    """Round-trip constructor that refuses every tag but those of JSON's values."""

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        if node in self.recursive_objects:
            raise ConstructorError(None, None, "an alias refers to what it stands in", node.start_mark)
        return super().construct_object(node, deep=deep)

    def refuse(self, node: Node) -> None:
        tag = str(node.tag).removeprefix("tag:yaml.org,2002:")
        hint = "a date: put it in quotes" if tag == "timestamp" else f"the tag {str(node.tag)!r}"
        raise ConstructorError(None, None, f"only plain values are allowed, not {hint}", node.start_mark)


for _tag in ("binary", "timestamp", "omap", "pairs", "set"):
    _PlainConstructor.add_constructor(f"tag:yaml.org,2002:{_tag}", _PlainConstructor.refuse)
_PlainConstructor.add_constructor(None, _PlainConstructor.refuse)


def _parse(text: str) -> Any:
    yaml = YAML(typ="rt", pure=True)
    yaml.Constructor = _PlainConstructor
    yaml.allow_duplicate_keys = False
    return yaml.load(StringIO(text))


def _problem(error: YAMLError) -> tuple[int, str]:
    """Line (from 1) and text of a parser's complaint."""
    if isinstance(error, DuplicateKeyError):
        problem = str(error.problem).split(" with value")[0].replace("found duplicate key", "key given twice:")
        return (error.problem_mark.line + 1 if error.problem_mark else 1), problem
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        return (mark.line + 1 if mark else 1), str(error.problem or error.context)
    return 1, str(error).splitlines()[0]


class _Converter:
    """Turns ruamel's containers into plain ones and notes the line of every path."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.places: dict[KeyPath, Place] = {}
        self.count = 0

    def fail(self, line: int, what: str) -> ConfigError:
        return ConfigError(f"{Place(self.file, line)}: {what}")

    def convert(self, value: Any, path: KeyPath, line: int) -> Any:
        self.count += 1
        if len(path) > MAX_DEPTH:
            raise self.fail(line, f"nested more than {MAX_DEPTH} deep, or an alias refers to what it stands in")
        if self.count > MAX_NODES:
            raise self.fail(line, f"aliases unfold into more than {MAX_NODES} values")
        self.places[path] = Place(self.file, line)
        if isinstance(value, CommentedMap):
            return {key: self.convert(item, (*path, key), at) for key, item, at in self.entries(value, line)}
        if isinstance(value, CommentedSeq):
            return [self.convert(item, (*path, index), value.lc.item(index)[0] + 1) for index, item in enumerate(value)]
        if isinstance(value, TaggedScalar):
            raise self.fail(line, f"only plain values are allowed, not the tag {value.tag.value!r}")
        return plain(value)

    def entries(self, mapping: CommentedMap, line: int) -> Iterator[tuple[str, Any, int]]:
        for key, item in mapping.items():
            # Keys that a merge (<<) brought in have no line of their own.
            at = mapping.lc.data[key][0] + 1 if mapping.lc.data and key in mapping.lc.data else line
            if not isinstance(key, str):
                raise self.fail(at, f"keys are text, not {key!r}; put it in quotes")
            yield str(key), item, at


def plain(value: Any) -> Any:
    """A scalar of the loader as bool, int, float, str or None."""
    if isinstance(value, ScalarBoolean):
        return bool(value)
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(f"the loader let {type(value).__name__} through")


def read_document(path: Path) -> Document:
    """Read a YAML file that holds one mapping.

    Parameters
    ----------
    path : Path
        The file, UTF-8.

    Raises
    ------
    ConfigError
        With file and line: unreadable, no YAML, a tag, a key given twice, several documents, empty, or no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown(path)}: is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise ConfigError(f"{shown(path)}: cannot be read ({os.strerror(error.errno or 0)})") from None
    try:
        loaded = _parse(text)
    except YAMLError as error:
        line, problem = _problem(error)
        raise ConfigError(f"{Place(path, line)}: {problem}") from None
    except (RecursionError, ValueError) as error:
        raise ConfigError(f"{shown(path)}: cannot be read as YAML ({error})") from None
    if not isinstance(loaded, CommentedMap):
        what = "is empty" if loaded is None else f"holds {describe(loaded)}"
        raise ConfigError(f"{shown(path)}:1: {what}; a mapping of keys is needed")
    converter = _Converter(path)
    data = converter.convert(loaded, (), loaded.lc.line + 1)
    return Document(data, converter.places)


def read_value(text: str, option: str) -> Any:
    """The value of an option (``128``, ``[1, 2]``, ``1.2 GHz``), read as YAML is.

    Raises
    ------
    ConfigError
        When the text is empty or no plain YAML value; the message names the option.
    """
    if not text.strip():
        raise ConfigError(f"{option}: needs a value after '='; null leaves an option out")
    try:
        loaded = _parse(text)
    except YAMLError as error:
        raise ConfigError(f"{option}: {_problem(error)[1]}") from None
    except (RecursionError, ValueError) as error:
        raise ConfigError(f"{option}: cannot be read as YAML ({error})") from None
    try:
        return _Converter(Path()).convert(loaded, (), 1)
    except ConfigError as error:
        raise ConfigError(f"{option}: {str(error).split(': ', 1)[1]}") from None


def describe(value: Any) -> str:
    """What kind of YAML value something is, in a word."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return repr(plain(value))
