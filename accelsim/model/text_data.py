"""Tokenised texts with their labels or scores, and the weights of a text workload."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.config.workload import TextWorkload
from accelsim.errors import OperandError
from accelsim.model.drawing import describe_operands, draw_operands
from accelsim.model.graph import Network
from accelsim.model.operand_files import array_names, read_arrays
from accelsim.model.operand_set import OperandSet
from accelsim.model.vision import load_weights

IntArray = NDArray[np.int64]

_KINDS = ("tokens", "lengths", "types", "labels", "scores", "pairs")
"""Arrays of a split."""


@dataclass(frozen=True)
class Texts:
    """Texts of one split as token numbers."""

    tokens: IntArray
    """[items, sequence], padded behind."""
    lengths: IntArray
    """[items] real tokens of each."""
    types: IntArray | None
    """[items, sequence] or None when all are of type 0."""
    labels: IntArray | None
    """[items] right class."""
    scores: NDArray[np.float64] | None
    """[items], or [pairs]."""
    pairs: IntArray | None
    """[pairs, 2] texts that each score compares; None for 0 and 1, 2 and 3, and so on."""


def read_texts(workload: TextWorkload) -> Texts:
    """Texts of the workload's split, checked against its sizes.

    The file holds ``<split>_tokens`` [items, width] and ``<split>_lengths`` [items], and where there are any
    ``<split>_types`` [items, width], ``<split>_labels`` [items] and ``<split>_scores`` ([items] for a classifier of one
    output, else [pairs]). Pairs are texts 0 and 1, 2 and 3, and so on, or those that ``<split>_pairs`` [pairs, 2]
    names, of which only those stay whose texts do (`workload.items`). Numbers beyond a text's length are not looked at.

    Raises
    ------
    OperandError
        Naming the array, and the row where one row is at fault.
    """
    path, split = str(workload.data), workload.split
    stored = _arrays(path, split)
    tokens, lengths = stored["tokens"], stored["lengths"]
    if tokens.ndim != 2 or lengths.shape != tokens.shape[:1] or tokens.size == 0:
        raise OperandError(
            f"{path}: {split}_tokens must be [items, width] and {split}_lengths [items], neither empty; found "
            f"{list(tokens.shape)} and {list(lengths.shape)}"
        )
    items = _count(workload, len(tokens), "scores" in stored and "pairs" not in stored)
    whole = {name: _integers(path, f"{split}_{name}", stored[name]) for name in ("tokens", "lengths")}
    lengths = whole["lengths"][:items]
    _in_range(path, f"{split}_lengths", lengths, 1, min(workload.sequence, tokens.shape[1]), "workload.sequence")
    padded = _padded(path, f"{split}_tokens", whole["tokens"][:items], lengths, workload.sequence, workload.vocabulary)
    types = None
    if "types" in stored and workload.token_types:
        name = f"{split}_types"
        numbers = _integers(path, name, _like(path, name, stored["types"], tokens.shape))[:items]
        types = _padded(path, name, numbers, lengths, workload.sequence, workload.token_types)
    labels = _labels(workload, stored, len(tokens))
    pairs = _pairs(workload, stored, len(tokens))
    scores, pairs = _scores(workload, stored, len(tokens), items, pairs)
    return Texts(padded, lengths, types, None if labels is None else labels[:items], scores, pairs)


def load_text(workload: TextWorkload, network: Network, seed: int) -> OperandSet:
    """Weights and token numbers of a text workload; what it names no file for is drawn from the seed.

    Raises
    ------
    OperandError
        For a file that cannot be read, an array that is missing, unknown or of another shape, numbers out of range, NaN
        or infinity.
    """
    if workload.weights is None:
        drawn = draw_operands(network, workload.operands, seed, network.dtype)
        parameters, words = drawn.parameters, describe_operands(workload.operands, seed, network.dtype)
    else:
        drawn = draw_operands(replace(network, parameters={}), workload.operands, seed, network.dtype)
        parameters, words = load_weights(workload.weights, network), "weights from a file"
    if workload.data is None:
        return OperandSet(drawn.inputs, parameters, f"{words}, token numbers drawn from seed {seed}")
    texts = read_texts(workload)
    inputs: dict[str, NDArray[Any]] = {"tokens": texts.tokens.reshape(-1, 1), "lengths": texts.lengths[:, None]}
    if texts.types is not None:
        inputs["types"] = texts.types.reshape(-1, 1)
    return OperandSet(
        inputs={name: inputs[name] for name in network.inputs},
        parameters=parameters,
        description=f"{words} on the first {len(texts.lengths)} texts of split {workload.split}",
        labels=texts.labels,
        scores=texts.scores,
        pairs=texts.pairs,
    )


def _arrays(path: str, split: str) -> dict[str, NDArray[Any]]:
    names = array_names(path)
    wanted = [name for name in _KINDS if f"{split}_{name}" in names]
    for name in ("tokens", "lengths"):
        if name not in wanted:
            splits = sorted({other.rpartition("_")[0] for other in names if other.endswith("_tokens")})
            raise OperandError(
                f"{path}: no array {split}_{name}; splits in the file: {', '.join(splits) or 'none'} (workload.split)"
            )
    found = read_arrays(path, tuple(f"{split}_{name}" for name in wanted))
    return {name: found[f"{split}_{name}"] for name in wanted}


def _count(workload: TextWorkload, stored: int, scored: bool) -> int:
    items = stored if workload.items is None else workload.items
    if items > stored:
        raise OperandError(
            f"{workload.data}: split {workload.split} has {stored} texts, workload.items asks for {items}"
        )
    if scored and workload.classes is None and items % 2:
        raise OperandError(f"{workload.data}: texts are scored in pairs, and {items} is odd (workload.items)")
    return items


def _integers(path: str, name: str, array: NDArray[Any]) -> IntArray:
    if array.dtype.kind not in "iu":
        raise OperandError(f"{path}: {name} must hold whole numbers, not {array.dtype}")
    return array.astype(np.int64)


def _like(path: str, name: str, array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if array.shape != shape:
        raise OperandError(f"{path}: {name} has shape {list(array.shape)}, the texts need {list(shape)}")
    return array


def _in_range(path: str, name: str, numbers: IntArray, low: int, high: int, key: str) -> None:
    wrong = np.argwhere((numbers < low) | (numbers > high))
    if len(wrong):
        at = tuple(int(i) for i in wrong[0])
        raise OperandError(f"{path}: {name}{list(at)} is {numbers[at]}; allowed: {low} to {high} ({key})")


def _padded(path: str, name: str, numbers: IntArray, lengths: IntArray, sequence: int, bound: int) -> IntArray:
    """[items, sequence] with 0 beyond each text's length."""
    width = min(sequence, numbers.shape[1])
    real = np.arange(width) < lengths[:, None]
    kept = np.where(real, numbers[:, :width], 0)
    _in_range(path, name, kept, 0, bound - 1, "workload.token_types" if name.endswith("types") else "vocabulary")
    return np.pad(kept, ((0, 0), (0, sequence - width)))


def _labels(workload: TextWorkload, stored: dict[str, NDArray[Any]], rows: int) -> IntArray | None:
    name = f"{workload.split}_labels"
    if "labels" not in stored:
        if workload.metric in ("accuracy", "f1"):
            raise OperandError(f"{workload.data}: no array {name}, which metric {workload.metric} needs")
        return None
    if workload.classes is None:
        raise OperandError(f"{workload.data}: {name} needs a classifier; set workload.classes, or leave labels out")
    labels = _integers(str(workload.data), name, _like(str(workload.data), name, stored["labels"], (rows,)))
    _in_range(str(workload.data), name, labels, 0, workload.classes - 1, "workload.classes")
    return labels


def _pairs(workload: TextWorkload, stored: dict[str, NDArray[Any]], rows: int) -> IntArray | None:
    """Texts of each pair, where the file names them."""
    if "pairs" not in stored:
        return None
    path, name = str(workload.data), f"{workload.split}_pairs"
    if "scores" not in stored:
        raise OperandError(f"{path}: {name} needs {workload.split}_scores, which say how alike the texts of a pair are")
    if workload.classes is not None:
        raise OperandError(f"{path}: {name} compares vectors of texts; leave workload.classes out, or pairs")
    pairs = _integers(path, name, _like(path, name, stored["pairs"], (len(stored["scores"]), 2)))
    _in_range(path, name, pairs, 0, rows - 1, f"texts of split {workload.split}")
    return pairs


def _scores(
    workload: TextWorkload, stored: dict[str, NDArray[Any]], rows: int, items: int, pairs: IntArray | None
) -> tuple[NDArray[np.float64] | None, IntArray | None]:
    """Scores of the texts that are run, and their pairs."""
    path, name = str(workload.data), f"{workload.split}_scores"
    if "scores" not in stored:
        if workload.metric == "spearman":
            raise OperandError(f"{path}: no array {name}, which metric spearman needs")
        return None, None
    if workload.classes not in (None, 1):
        raise OperandError(f"{path}: {name} needs a classifier of one output, or none; found {workload.classes}")
    if workload.pooling == "none":
        raise OperandError(f"{path}: {name} compares one vector for each text; choose workload.pooling")
    each = 1 if workload.classes is not None else 2
    count = rows // each if pairs is None else len(pairs)
    scores = _like(path, name, stored["scores"], (count,)).astype(np.float64)
    kept = np.arange(count) < items // each if pairs is None else (pairs < items).all(axis=1)
    scores = scores[kept]
    if not np.isfinite(scores).all():
        raise OperandError(f"{path}: {name}[{int(np.argmin(np.isfinite(scores)))}] is not finite")
    if len(np.unique(scores)) < 2:
        found = f"all {len(scores)} are equal" if len(scores) > 1 else f"there is {len(scores) or 'none'}"
        raise OperandError(
            f"{path}: {name} of {items} texts: {found}, and a correlation of ranks needs at least two that differ"
        )
    return scores, None if pairs is None else pairs[kept]
