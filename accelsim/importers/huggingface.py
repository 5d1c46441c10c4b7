"""A Hugging Face folder (config.json, model.safetensors) as a workload: text encoders of BERT's form, and ViT."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from accelsim.config.check import build
from accelsim.config.names import near
from accelsim.config.workload import TextWorkload, VisionWorkload
from accelsim.config.yaml import Document, Place
from accelsim.errors import ConfigError, OperandError
from accelsim.importers.families import (
    ACTIVATIONS,
    FAMILIES,
    POSITION_OFFSET,
    Array,
    Wanted,
    encoder_tensors,
    linear,
    text_embedding,
    vision_embedding,
)
from accelsim.importers.imported import Imported, sha256
from accelsim.model.build import build_network
from accelsim.pruning.weight_files import read_tensors

SpecT = TypeVar("SpecT", TextWorkload, VisionWorkload)

PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
DEFAULT_SEQUENCE = 128
"""Tokens of a text when neither data nor an option says."""
PIXEL_MAX = 255.0
"""What images of 8 bits are divided by."""

_OLD_NORMS = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
"""Names that the first BERT checkpoints have."""


@dataclass(frozen=True)
class _Folder:
    """What lies in a Hugging Face folder."""

    path: Path
    family: str
    config: dict[str, Any]
    tensors: dict[str, Array]
    prefix: str
    sources: dict[str, str]
    used: set[str] = field(default_factory=set)

    def has(self, *names: str) -> bool:
        """Whether the model has all of these tensors, prefix and all."""
        return all(name in self.tensors for name in names)

    def take(self, wanted: Wanted) -> Array:
        """A tensor as a workload has it.

        Raises
        ------
        OperandError
            When the model has none of the name, or one with another number of extents.
        """
        stem = "" if wanted.source.startswith(("classifier", "pre_classifier")) else self.prefix
        name = f"{stem}{wanted.source}"
        for new, old in _OLD_NORMS.items():
            if name not in self.tensors and name.endswith(new):
                name = f"{name.removesuffix(new)}{old}"
        if name not in self.tensors:
            raise OperandError(f"{self.path}: no tensor {stem}{wanted.source}; {near(name, list(self.tensors))}")
        self.used.add(name)
        try:
            return np.asarray(wanted.convert(self.tensors[name]), np.float32)
        except (ValueError, IndexError):
            found = list(self.tensors[name].shape)
            raise OperandError(
                f"{self.path}: tensor {name} has shape {found}, which {wanted.name} cannot have"
            ) from None


def import_folder(path: Path, name: str, changes: dict[str, Any]) -> Imported:
    """Workload and weights of a Hugging Face folder.

    Parameters
    ----------
    path : Path
        Folder with config.json and model.safetensors (or the shards that model.safetensors.index.json lists).
    name : str
        Of the workload.
    changes : dict
        Fields of the workload that are asked for: sequence, dtype, pooling, normalise.

    Returns
    -------
    Imported

    Raises
    ------
    ConfigError
        When config.json lacks a size, or is of another kind of model.
    OperandError
        When weights are pickled, or a tensor is missing or of another shape; the message names it.
    """
    folder = _open(path)
    spec = _vision(folder, name, changes) if folder.family == "vit" else _text(folder, name, changes)
    wanted = _wanted(folder, spec)
    arrays = {each.name: folder.take(each) for each in wanted}
    origin = {each.name: each.source for each in wanted}
    for needed, shape in build_network(spec).parameters.items():
        if arrays[needed].shape != shape:
            raise OperandError(
                f"{path}: tensor {origin[needed]} makes {needed} of shape {list(arrays[needed].shape)}, and "
                f"config.json asks for {list(shape)}"
            )
        if not np.isfinite(arrays[needed]).all():
            raise OperandError(f"{path}: tensor {origin[needed]} holds numbers that are infinite or none at all")
    unused = tuple(sorted(set(folder.tensors) - folder.used))
    return Imported(
        spec,
        arrays,
        unused=unused,
        sequence_limit=_limit(folder),
        tokenizer=_tokenizer(path),
        class_names=_class_names(folder),
    )


def _open(path: Path) -> _Folder:
    config = _json(path, "config.json")
    family = str(config.get("model_type"))
    if family not in FAMILIES:
        raise ConfigError(f"{path / 'config.json'}: model_type {family!r}; {near(family, list(FAMILIES))}")
    files = _weight_files(path)
    tensors: dict[str, Array] = {}
    for file in files:
        tensors |= read_tensors(file)[0]
    table = FAMILIES[family].table
    prefix = next((each for each in FAMILIES[family].prefixes if f"{each}{table}" in tensors), None)
    if prefix is None:
        raise OperandError(f"{path}: no tensor {table}, which every {family} model has; {near(table, list(tensors))}")
    sources = {file.name: f"sha256 {sha256(file)}" for file in [path / "config.json", *files]}
    return _Folder(path, family, config, tensors, prefix, sources)


def _json(path: Path, name: str, holds: type = dict) -> Any:
    """A file of JSON that holds a mapping, or else a list."""
    file = path / name
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no {name}; a Hugging Face folder has config.json and model.safetensors") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: cannot be read as JSON ({error})") from None
    if not isinstance(document, holds):
        wanted = "mapping" if holds is dict else "list"
        raise ConfigError(f"{file}: holds a {type(document).__name__}, not a {wanted}")
    return document


def _weight_files(path: Path) -> list[Path]:
    whole, index = path / "model.safetensors", path / "model.safetensors.index.json"
    if whole.is_file():
        return [whole]
    if index.is_file():
        shards = _json(path, index.name).get("weight_map")
        if not isinstance(shards, dict) or not all(isinstance(shard, str) for shard in shards.values()):
            raise ConfigError(f"{index}: no weight_map from tensors to files")
        files = sorted(set(shards.values()))
        outside = [file for file in files if Path(file).name != file]
        if outside:
            raise ConfigError(f"{index}: {outside[0]!r} lies outside the folder")
        return [path / file for file in files]
    pickled = sorted(file.name for file in path.iterdir() if file.suffix in PICKLED)
    if pickled:
        raise OperandError(f"{path}: {pickled[0]} {REFUSED}")
    raise OperandError(f"{path}: no model.safetensors")


REFUSED = (
    "is a pickle, which may run any code when it is opened, and is not read; save the model as model.safetensors "
    "(save_pretrained of transformers does)"
)


def _sizes(folder: _Folder) -> dict[str, Any]:
    """Sizes of a workload from config.json; what a family leaves to a default is left out."""
    family, found = FAMILIES[folder.family], {}
    for ours, theirs in family.sizes.items():
        value = folder.config.get(theirs)
        if value is None:
            if ours in ("epsilon", "token_types", "channels"):
                continue
            raise ConfigError(f"{folder.path / 'config.json'}: no {theirs}, which is {ours} of the workload")
        found[ours] = float(value) if ours == "epsilon" and isinstance(value, int | float) else value
    named = folder.config.get(family.activation, "gelu")
    if named not in ACTIVATIONS:
        raise ConfigError(f"{folder.path / 'config.json'}: {family.activation} {named!r}; {near(named, ACTIVATIONS)}")
    return {**found, "activation": ACTIVATIONS[named]}


def _text(folder: _Folder, name: str, changes: dict[str, Any]) -> TextWorkload:
    kind = folder.config.get("position_embedding_type", "absolute")
    if kind != "absolute":
        raise ConfigError(f"{folder.path / 'config.json'}: position_embedding_type {kind!r}; allowed: absolute")
    sizes = _sizes(folder)
    if folder.family == "distilbert":
        sizes["token_types"] = 0
    if not isinstance(sizes["positions"], int):
        raise ConfigError(f"{folder.path / 'config.json'}: max_position_embeddings {sizes['positions']!r} is no number")
    sizes["positions"] -= POSITION_OFFSET.get(folder.family, 0)
    sizes |= {"sequence": min(DEFAULT_SEQUENCE, sizes["positions"])} | _head(folder) | changes
    return _build(TextWorkload, {"kind": "text", "name": name, **sizes, "sources": folder.sources}, folder.path)


def _head(folder: _Folder) -> dict[str, Any]:
    """Pooling and classifier: those of the model's tensors, else those of a sentence-transformers folder."""
    final = "classifier.out_proj" if folder.family == "roberta" else "classifier"
    if folder.has(f"{final}.weight"):
        activation = "relu" if folder.family == "distilbert" else "tanh"
        classes = len(folder.tensors[f"{final}.weight"])
        return {"pooling": "pooler", "pooler_activation": activation, "classes": classes}
    modules = folder.path / "modules.json"
    if not modules.is_file():
        return {}
    listed = _json(folder.path, modules.name, list)
    if not all(isinstance(stage, dict) for stage in listed):
        raise ConfigError(f"{modules}: must list stages, each with type and path")
    stages = {str(stage.get("type", "")).rpartition(".")[2]: str(stage.get("path", "")) for stage in listed}
    unknown = sorted(set(stages) - {"Transformer", "Pooling", "Normalize"})
    if unknown:  # Dense layers, for one: embeddings without them would be others
        raise ConfigError(f"{modules}: stage {unknown[0]!r}; allowed: Transformer, Pooling, Normalize")
    found: dict[str, Any] = {"normalise": "Normalize" in stages}
    if "Pooling" in stages:
        modes = _json(folder.path / stages["Pooling"], "config.json")
        wanted = [key for key, value in modes.items() if key.startswith("pooling_mode_") and value is True]
        known = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
        if len(wanted) != 1 or wanted[0] not in known:
            raise ConfigError(f"{folder.path / stages['Pooling']}: pools by {', '.join(wanted)}; allowed: mean or cls")
        found["pooling"] = known[wanted[0]]
    return found


def _vision(folder: _Folder, name: str, changes: dict[str, Any]) -> VisionWorkload:
    sizes, side = _sizes(folder), folder.config.get("image_size")
    patch = sizes["patch"]
    if not isinstance(side, int) or not isinstance(patch, int) or patch < 1 or side % patch:
        raise ConfigError(
            f"{folder.path / 'config.json'}: image_size {side!r} and patch_size {patch!r} must be whole numbers, the "
            "first a multiple of the second"
        )
    if folder.config.get("qkv_bias", True) is not True:
        raise ConfigError(f"{folder.path / 'config.json'}: qkv_bias false; allowed: true")
    classified = folder.has("classifier.weight")
    sizes |= {
        "sequence": (side // patch) ** 2 + 1,
        **({"classes": len(folder.tensors["classifier.weight"])} if classified else {}),
        "pre_norm": True,
        "class_token": True,
        "pooling": "cls" if classified else "none",
        **_pixels(folder),
        **changes,
    }
    return _build(VisionWorkload, {"kind": "vision", "name": name, **sizes, "sources": folder.sources}, folder.path)


def _pixels(folder: _Folder) -> dict[str, Any]:
    """How pixels become numbers; without a file that says so, as ViT's own models have it."""
    plain = {"image_mean": [0.5], "image_std": [0.5]}
    if (folder.path / "preprocessor_config.json").is_file():
        plain |= _json(folder.path, "preprocessor_config.json")
    try:
        mean, deviation = ([float(number) for number in plain[key]] for key in ("image_mean", "image_std"))
    except (TypeError, ValueError):
        raise ConfigError(
            f"{folder.path / 'preprocessor_config.json'}: image_mean and image_std must be lists of numbers"
        ) from None
    return {"pixel_max": PIXEL_MAX, "pixel_mean": mean, "pixel_std": deviation}


def _build(spec: type[SpecT], data: dict[str, Any], path: Path) -> SpecT:
    return build(spec, Document(data, {(): Place(option=str(path / "config.json"))}), "workload")


def _wanted(folder: _Folder, spec: TextWorkload | VisionWorkload) -> list[Wanted]:
    tensors = encoder_tensors(folder.family, spec.layers)
    if isinstance(spec, VisionWorkload):
        return [*vision_embedding(), *tensors, *(linear("classifier", "classifier") if spec.classes else [])]
    tensors = [*text_embedding(folder.family, spec.token_types), *tensors]
    if spec.pooling == "pooler":
        classified = {"roberta": "classifier.dense", "distilbert": "pre_classifier"}
        pooler = classified.get(folder.family, "pooler.dense") if spec.classes else "pooler.dense"
        tensors += linear("pooler", pooler)
    if spec.classes:
        tensors += linear("classifier", "classifier.out_proj" if folder.family == "roberta" else "classifier")
    return tensors


def _limit(folder: _Folder) -> int | None:
    """Most tokens of a text that the folder asks for, beside what the table of positions allows."""
    file = folder.path / "sentence_bert_config.json"
    limit = _json(folder.path, file.name).get("max_seq_length") if file.is_file() else None
    return limit if isinstance(limit, int) and limit > 0 else None


def _class_names(folder: _Folder) -> tuple[str, ...]:
    names = folder.config.get("id2label")
    if not isinstance(names, dict) or not all(str(key).isdigit() for key in names):
        return ()
    return tuple(str(names[key]) for key in sorted(names, key=int))


def _tokenizer(path: Path) -> Path | None:
    file = path / "tokenizer.json"
    return file if file.is_file() else None
