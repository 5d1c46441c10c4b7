"""A user's texts, with labels or scores, as token numbers."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import OperandError, UserError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

TEXT = ("text", "sentence", "sentence1", "text1", "text_a", "question", "premise")
SECOND = ("text2", "sentence2", "text_b", "answer", "hypothesis")
LABEL = ("label", "labels", "class")
SCORE = ("score", "similarity")
SUFFIXES = (".tsv", ".csv", ".txt")
_COLUMNS = f"columns are text ({', '.join(TEXT)}), second text ({', '.join(SECOND)}), label or score"


@dataclass(frozen=True)
class TextFile:
    """Rows of a file of texts."""

    path: Path
    first: list[str]
    second: list[str] | None
    labels: list[str] | None
    scores: NDArray[np.float64] | None
    lines: list[int]
    """Line of each row in the file, for messages."""


@dataclass(frozen=True)
class Tokenised:
    """Arrays of a split, and how they came about."""

    arrays: dict[str, NDArray[Any]]
    """tokens, lengths and, where there are any, types, labels or scores, and pairs where texts recur."""
    cut: int
    """Texts that were longer than allowed, and lost their ends."""


def read_text_file(path: Path) -> TextFile:
    """Rows of a .csv file, or of a .tsv or .txt file without quoting, whose first line names the columns.

    Raises
    ------
    OperandError
        For a file that cannot be read, has no rows or no column of texts, or a row with a cell missing, an empty text
        or a score that is no number; the line is named.
    """
    if path.suffix not in SUFFIXES:
        raise OperandError(f"{path}: texts are read from {', '.join(SUFFIXES)} files")
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:  # spreadsheets begin a file with a mark
            if path.suffix == ".csv":
                reader = csv.reader(stream)
            else:
                reader = csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
            header = [cell.strip().lower() for cell in next(reader, [])]
            rows = [(reader.line_num, row) for row in reader if row]
    except OSError as error:
        raise OperandError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise OperandError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except csv.Error as error:
        raise OperandError(f"{path}: cannot be read as a table ({error})") from None
    text, second, label, score = (_column(header, names) for names in (TEXT, SECOND, LABEL, SCORE))
    if text is None:
        raise OperandError(f"{path}: no column of texts in {', '.join(header) or 'an empty first line'}; {_COLUMNS}")
    if not rows:
        raise OperandError(f"{path}: has no rows below its first line")
    for line, row in rows:
        if len(row) != len(header):
            raise OperandError(f"{path}:{line}: has {len(row)} cells, and the first line {len(header)}")
        if not row[text].strip() or (second is not None and not row[second].strip()):
            raise OperandError(f"{path}:{line}: a text is empty")
    return TextFile(
        path=path,
        first=[row[text] for _, row in rows],
        second=None if second is None else [row[second] for _, row in rows],
        labels=None if label is None else [row[label].strip() for _, row in rows],
        scores=None if score is None else np.asarray([_number(path, line, row[score]) for line, row in rows]),
        lines=[line for line, _ in rows],
    )


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _number(path: Path, line: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise OperandError(f"{path}:{line}: score {text!r} is not a number")
    return value


def load_tokenizer(file: Path | None, vocabulary: int) -> "Tokenizer":
    """The tokenizer of a model.

    Raises
    ------
    UserError
        When the package tokenizers is not installed.
    OperandError
        When there is no file, it cannot be read, or it has numbers that the table of words has no row for.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise UserError("texts need the package tokenizers: pip install 'accelsim[import]'") from None
    if file is None:
        raise OperandError("no tokenizer.json beside the model, which texts need (--tokenizer names one)")
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the package raises plain exceptions
        raise OperandError(f"{file}: cannot be read as a tokenizer ({error})") from None
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if largest >= vocabulary:
        raise OperandError(
            f"{file}: does not fit the model: its largest token number is {largest}, and the table of words has "
            f"{vocabulary} rows"
        )
    return tokenizer


def tokenise(
    file: TextFile, tokenizer: "Tokenizer", limit: int, classes: int | None, names: Sequence[str]
) -> Tokenised:
    """Texts as token numbers.

    Pairs are read together by a model with a classifier, and one after the other by a model without, whose vectors are
    compared; a text that recurs in several pairs is run once.

    Parameters
    ----------
    file : TextFile
    tokenizer : Tokenizer
    limit : int
        Most tokens of a text (or of a pair that is read together); longer ones are cut.
    classes : int or None
        Outputs of the model's classifier.
    names : sequence of str
        Of the classes, for labels that are words.

    Raises
    ------
    OperandError
        For labels or scores that do not suit the model, of which the line is named, and for a limit that leaves no room
        for a text.
    """
    apart = file.second is not None and classes is None
    texts, pairs = _inputs(file, apart)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    whole = tokenizer.encode_batch(texts)
    tokenizer.enable_truncation(max_length=limit)
    kept = tokenizer.encode_batch(texts)
    longest = max(len(each.ids) for each in kept)
    if longest > limit:  # too short for the marks that the tokenizer adds, it cuts nothing
        added = tokenizer.num_special_tokens_to_add(file.second is not None and not apart)
        raise OperandError(
            f"{file.path}: texts cannot be cut to {limit} tokens, since the tokenizer adds {added} of its own to each; "
            f"one has {longest}"
        )
    cut = sum(len(before.ids) > len(after.ids) for before, after in zip(whole, kept, strict=True))
    arrays = _padded(kept)
    if file.labels is not None and classes is not None and classes > 1:
        arrays["labels"] = _labels(file, classes, names)
    elif file.scores is not None:
        if not apart and classes != 1:
            raise OperandError(
                f"{file.path}: scores need a classifier of one output, or pairs of texts for a model without one (the "
                f"second text in a column {' or '.join(SECOND)})"
            )
        arrays["scores"] = file.scores
        if pairs is not None:
            arrays["pairs"] = pairs
    return Tokenised(arrays, cut)


def _inputs(file: TextFile, apart: bool) -> tuple[list[Any], NDArray[np.int64] | None]:
    """What is encoded, and which of it each row compares when texts recur in rows whose texts are apart."""
    if file.second is None:
        return list(file.first), None
    pairs = list(zip(file.first, file.second, strict=True))
    if not apart:
        return list(pairs), None
    texts = [text for pair in pairs for text in pair]
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    if len(places) == len(texts) or file.scores is None:
        return texts, None
    return list(places), np.asarray([[places[text] for text in pair] for pair in pairs], np.int64)


def _padded(encoded: "Sequence[Encoding]") -> dict[str, NDArray[Any]]:
    lengths = np.asarray([len(each.ids) for each in encoded], np.int32)
    tokens = np.zeros((len(encoded), int(lengths.max())), np.int32)
    types = np.zeros(tokens.shape, np.int32)
    for row, each in enumerate(encoded):
        tokens[row, : len(each.ids)] = each.ids
        types[row, : len(each.ids)] = each.type_ids
    return {"tokens": tokens, "lengths": lengths} | ({"types": types} if types.any() else {})


def _labels(file: TextFile, classes: int, names: Sequence[str]) -> NDArray[np.int64]:
    numbers = {name: index for index, name in enumerate(names)} | {str(index): index for index in range(classes)}
    found = []
    for line, label in zip(file.lines, file.labels or (), strict=True):
        if label not in numbers:
            raise OperandError(f"{file.path}:{line}: label {label!r}; allowed: {', '.join(numbers)}")
        found.append(numbers[label])
    return np.asarray(found, np.int64)
