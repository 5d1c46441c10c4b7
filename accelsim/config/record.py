"""A resolved config as a document, back again, and its hash."""

import hashlib
import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from accelsim.config.check import build
from accelsim.config.hardware import Gpu
from accelsim.config.loader import load_accuracy, load_energy, load_library
from accelsim.config.names import FOLDERS, folder
from accelsim.config.scheme import RunConfig
from accelsim.config.yaml import Document, Place
from accelsim.errors import ConfigError

_BUILT_IN = "built-in:"
"""Marks a file of the project in a document, so that the document holds on another machine."""

_FILES = (
    ("operands",),
    ("masks",),
    ("workload", "weights"),
    ("workload", "data"),
    ("hardware", "gpu", "library"),
    ("hardware", "gpu", "sparse_library"),
    ("hardware", "gpu", "energy"),
    ("hardware", "gpu", "accuracy"),
    ("hardware", "attention_unit", "energy"),
    ("hardware", "attention_unit", "hdp", "key_means"),
    ("hdp", "key_means"),
)
_TEXTS = {"sources", "description"}
_TABLES: dict[str, Callable[[str], BaseModel]] = {
    "library": load_library,
    "sparse_library": load_library,
    "energy": load_energy,
    "accuracy": load_accuracy,
}
_NO_TIME = {"name", "measured_as", "area", "accuracy", "rated_clock"}
"""Keys of a GPU that change no time."""
_SPARSE = {"sparse_tensor_core", "sparse_library", "element_wise", "efficiencies", "fused_attention"}
"""Keys of a GPU and of a library that dense products, whose errors are measured, do not depend on."""


def to_document(config: RunConfig) -> dict[str, Any]:
    """The config as plain values that JSON can hold; quantities keep their units.

    Files of the project are written relative to its folders, the user's own as absolute paths.
    """
    document = config.model_dump(mode="json")
    for holder, key in _holders(document):
        holder[key] = _shorten(holder[key])
    return document


def from_document(document: dict[str, Any]) -> RunConfig:
    """Inverse of `to_document`.

    Raises
    ------
    ConfigError
        One line for each key that is wrong.
    """
    if not isinstance(document, dict):
        raise ConfigError(f"a config document is a mapping, not {type(document).__name__}")
    data = json.loads(json.dumps(document))
    for holder, key in _holders(data):
        holder[key] = _lengthen(holder[key])
    return build(RunConfig, Document(data, {(): Place(option="config document")}), "run")


def fingerprint(config: RunConfig) -> dict[str, Any]:
    """What the numbers of a run depend on, without paths: files by name and hash, tables spelled out.

    Texts that change no number (descriptions, sources) and a workload's defaults, which the options already hold, are
    left out.
    """
    document = config.model_dump(mode="json")
    for holder, key in _holders(document):
        if key in _TABLES:
            holder[key] = _table(key, holder[key])
        else:
            holder[key] = {"file": Path(holder[key]).name, "sha256": _file_hash(Path(holder[key]))}
    document["workload"].pop("defaults")
    stripped: dict[str, Any] = _strip(document)
    return stripped


def _table(key: str, name: str) -> dict[str, Any]:
    """Figures of a library or a table of energies; how others metered what it was fitted to changes no run."""
    table = _TABLES[key](name).model_dump(mode="json")
    return {field: value for field, value in table.items() if field != "meter"}


def config_hash(config: RunConfig) -> str:
    """SHA-256 (64 hexadecimal digits) of the config's `fingerprint` as canonical JSON."""
    text = json.dumps(fingerprint(config), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def gpu_digest(gpu: Gpu) -> str:
    """SHA-256 (64 hexadecimal digits) of the figures of a GPU, its menu of kernels and its energies, which together
    give its latencies of dense products. Names, texts and the GPU's accuracy are left out."""
    document = {key: value for key, value in gpu.model_dump(mode="json").items() if key not in _NO_TIME | _SPARSE}
    for key in ("library", "energy"):
        table = _table(key, document[key])
        document[key] = {name: value for name, value in table.items() if name not in {"name"} | _SPARSE}
    # Waiting for the host belongs to how products are launched; a menu without epilogue has the machine's.
    del document["launch"]["sync"]
    if document["library"]["epilogue"] is None:
        del document["library"]["epilogue"]
    actions = document["energy"]["actions"]
    document["energy"]["actions"] = {name: value for name, value in actions.items() if not name.startswith("sparse_")}
    text = json.dumps(_strip(document), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _holders(document: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Mapping and key of every reference to a file that the document has."""
    found = []
    for path in _FILES:
        node: Any = document
        for key in path[:-1]:
            node = node.get(key) if isinstance(node, dict) else None
        if isinstance(node, dict) and isinstance(node.get(path[-1]), str):
            found.append((node, path[-1]))
    return found


def _shorten(text: str) -> str:
    path = Path(text)
    for kind in FOLDERS:
        root = folder(kind).resolve()
        if path.is_absolute() and path.is_relative_to(root):
            return f"{_BUILT_IN}{kind}/{path.relative_to(root).as_posix()}"
    return text


def _lengthen(text: str) -> str:
    if not text.startswith(_BUILT_IN):
        return text
    kind, _, below = text.removeprefix(_BUILT_IN).partition("/")
    if kind not in FOLDERS:
        raise ConfigError(f"config document: {text!r} names no folder of the project ({', '.join(FOLDERS)})")
    return str(folder(kind).resolve() / below)


def _strip(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _strip(value) for key, value in node.items() if key not in _TEXTS}
    if isinstance(node, list):
        return [_strip(value) for value in node]
    return node


def _file_hash(path: Path) -> str:
    try:
        state = path.stat()
        return _hash_of(path, state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None


@lru_cache(maxsize=64)
def _hash_of(path: Path, modified: int, size: int) -> str:
    """Hash of a file's content; time and size in the key drop it once the file has changed."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
