"""What an importer hands over, and how it is written as a folder that `accelsim run` takes."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from accelsim.config.workload import GraphWorkload, TextWorkload, VisionWorkload
from accelsim.errors import ConfigError
from accelsim.results.store import write_folder

Array = NDArray[Any]
ModelWorkload = TextWorkload | VisionWorkload | GraphWorkload
SpecT = TypeVar("SpecT", TextWorkload, VisionWorkload, GraphWorkload)


@dataclass(frozen=True)
class Imported:
    """A model of someone else as a workload."""

    workload: ModelWorkload
    """Without the files, which `save` names."""
    weights: dict[str, Array]
    """By the names of the workload's network."""
    data: dict[str, Array] = field(default_factory=dict)
    """Arrays of the data's .npz; none without data."""
    unused: tuple[str, ...] = ()
    """Tensors of the model that the workload has no use for."""
    sequence_limit: int | None = None
    """Most tokens of a text that the model's folder asks for."""
    tokenizer: Path | None = None
    """File of the model's tokenizer."""
    class_names: tuple[str, ...] = ()
    """Of the classifier's outputs, where the model names them."""
    notes: tuple[str, ...] = ()
    """What a user should know, a sentence each."""


def sha256(path: Path) -> str:
    """Hash of a file's content, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def with_fields(spec: SpecT, changes: Mapping[str, Any]) -> SpecT:
    """A workload with other fields, checked again.

    Raises
    ------
    ConfigError
        When they do not go together.
    """
    try:
        return type(spec).model_validate(spec.model_dump(mode="json", exclude_unset=True) | dict(changes))
    except ValueError as error:
        raise ConfigError(f"{spec.name}: {error}") from None


def save(imported: Imported, folder: Path) -> Path:
    """Write NAME.yaml, NAME_weights.npz and, with data, NAME_data.npz; an earlier import there is replaced.

    Returns
    -------
    Path
        Of the YAML.

    Raises
    ------
    ResultError
        When the folder holds something else or cannot be written.
    """
    name = imported.workload.name
    files = {f"{name}_weights.npz": _stored(imported.weights)}
    document = imported.workload.model_dump(mode="json", exclude_unset=True) | {"weights": f"{name}_weights.npz"}
    if imported.data:
        files[f"{name}_data.npz"] = _stored(imported.data)
        document["data"] = f"{name}_data.npz"
    write_folder(folder, {f"{name}.yaml": _yaml(document).encode(), **files})
    return folder / f"{name}.yaml"


def _stored(arrays: Mapping[str, Array]) -> bytes:
    """As .npz, not compressed: trained weights hardly shrink."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _yaml(document: Mapping[str, Any]) -> str:
    sources = document.get("sources", {})
    mapping = CommentedMap({**{key: value for key, value in document.items() if key != "sources"}, "sources": sources})
    mapping.yaml_set_start_comment("Written by accelsim import; sources are the files that it was made from.")
    yaml = YAML()
    yaml.width = 4096
    text = io.StringIO()
    yaml.dump(mapping, text)
    return text.getvalue()
