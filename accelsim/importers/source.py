"""From a source that a user names to an imported model, with data where there is any."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelsim.config.workload import TextWorkload, VisionWorkload
from accelsim.errors import OperandError
from accelsim.importers.huggingface import PICKLED, REFUSED, import_folder
from accelsim.importers.imported import Array, Imported, sha256, with_fields
from accelsim.importers.onnx_file import import_onnx
from accelsim.importers.text_files import SUFFIXES, load_tokenizer, read_text_file, tokenise
from accelsim.model.build import build_network
from accelsim.model.graph import Attention
from accelsim.model.operand_files import array_names, read_arrays
from accelsim.model.vision import check_images


def import_model(
    source: Path,
    *,
    name: str | None = None,
    data: Mapping[str, Path] | None = None,
    tokenizer: Path | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Imported:
    """A model of someone else as a workload.

    Parameters
    ----------
    source : Path
        A Hugging Face folder, or an ONNX file.
    name : str, optional
        Of the workload; left out, that of the source.
    data : mapping of str to Path, optional
        Files by split: texts (.tsv, .csv) for a text model, arrays ``images`` and ``labels`` (.npz) for a vision model,
        arrays by the names of its inputs and ``labels`` (.npz, .safetensors) for an ONNX file.
    tokenizer : Path, optional
        In place of the tokenizer.json of the folder.
    changes : mapping, optional
        Fields of the workload that are asked for: sequence, dtype, pooling, normalise, metric.

    Returns
    -------
    Imported

    Raises
    ------
    ConfigError, OperandError
        When the source is of no kind that is read, or model and data do not go together.
    """
    asked = {key: value for key, value in (changes or {}).items() if value is not None}
    called = re.sub(r"[^\w.-]+", "_", name or source.resolve().stem).strip("._-") or "model"
    if source.suffix in PICKLED:
        raise OperandError(f"{source}: {REFUSED}")
    if not source.exists():
        raise OperandError(f"{source}: no such file or folder")
    if source.is_file():
        if source.suffix != ".onnx":
            raise OperandError(f"{source}: models are read from a Hugging Face folder or an .onnx file")
        texts = [path for path in (data or {}).values() if path.suffix in SUFFIXES]
        if texts or tokenizer is not None:
            raise OperandError(
                f"{texts[0] if texts else tokenizer}: an ONNX file takes arrays by the names of its inputs (.npz, "
                ".safetensors), such as token numbers; texts and tokenizers are for Hugging Face folders"
            )
        return _with_reading(import_onnx(source, called, asked, data or {}))
    found = import_folder(source, called, asked)
    if isinstance(found.workload, VisionWorkload):
        return _with_reading(_with_images(found, data or {}, asked))
    return _with_reading(_with_texts(found, data or {}, asked, tokenizer))


def _with_reading(found: Imported) -> Imported:
    """HDP's robust preset as the workload's own, since the literal reading loses more than chance on trained models."""
    spec: Any = found.workload
    if not any(isinstance(operation, Attention) for operation in build_network(spec).operations):
        return found
    return replace(found, workload=with_fields(spec, {"defaults": {"hdp": {"preset": "robust"}}}))


def _with_texts(found: Imported, data: Mapping[str, Path], asked: dict[str, Any], tokenizer: Path | None) -> Imported:
    """Texts of all splits, padded to the longest of them unless a sequence is asked for."""
    spec = found.workload
    assert isinstance(spec, TextWorkload)
    if not data:
        return found
    reader = load_tokenizer(tokenizer or found.tokenizer, spec.vocabulary)
    allowed = min(found.sequence_limit or spec.positions or spec.sequence, spec.positions or spec.sequence)
    limit = asked.get("sequence", allowed)
    arrays: dict[str, Array] = {}
    notes, longest = list(found.notes), 1
    for split, path in data.items():
        file = read_text_file(path)
        texts = tokenise(file, reader, limit, spec.classes, found.class_names)
        longest = max(longest, int(texts.arrays["lengths"].max()))
        arrays |= {f"{split}_{kind}": array for kind, array in texts.arrays.items()}
        if file.second is not None and not {"labels", "scores"} & set(texts.arrays):
            notes.append(f"{path}: has no label or score to judge pairs of texts by")
        elif file.labels is not None and "labels" not in texts.arrays:
            notes.append(f"{path}: its labels are left out, since the model has no classifier of classes to be right")
        if texts.cut:
            notes.append(f"{path}: {texts.cut} of {len(texts.arrays['lengths'])} texts were cut to {limit} tokens")
    tokenizer_file = tokenizer or found.tokenizer
    assert tokenizer_file is not None
    hashes = {path.name: f"sha256 {sha256(path)}" for path in (tokenizer_file, *data.values())}
    changed = {"sequence": asked.get("sequence", longest), "split": next(iter(data)), "sources": spec.sources | hashes}
    return replace(found, workload=with_fields(spec, changed), data=arrays, notes=tuple(notes))


def _with_images(found: Imported, data: Mapping[str, Path], asked: dict[str, Any]) -> Imported:
    spec = found.workload
    assert isinstance(spec, VisionWorkload)
    if not data:
        return found
    arrays: dict[str, Array] = {}
    hashes: dict[str, str] = {}
    for split, path in data.items():
        known = array_names(path)
        names = {kind: f"{split}_{kind}" if f"{split}_{kind}" in known else kind for kind in ("images", "labels")}
        if names["labels"] not in known and spec.metric is None:
            del names["labels"]  # outputs are then compared with the dense ones alone
        stored = read_arrays(path, tuple(names.values()))
        found_here = {kind: stored[given] for kind, given in names.items()}
        taken = spec.model_copy(update={"split": split})
        check_images(taken, str(path), found_here["images"], found_here.get("labels"))
        arrays |= {f"{split}_{kind}": array for kind, array in found_here.items()}
        hashes[path.name] = f"sha256 {sha256(path)}"
    changed = {"split": next(iter(data)), "sources": spec.sources | hashes}
    return replace(found, workload=with_fields(spec, changed), data=arrays)
