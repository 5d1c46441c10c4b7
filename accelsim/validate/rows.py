"""Measured tables: CSV to rows, with every problem named by its place in the file."""

import csv
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from accelsim.config.hardware import Dtype
from accelsim.config.names import near
from accelsim.errors import UserError
from accelsim.validate.notes import LAUNCHES, STRATEGIES, WARM, Conditions, parse_notes

GEMM_COLUMNS = ("m", "n", "k")
ATTENTION_COLUMNS = ("q_heads", "kv_heads", "head_dim", "q_len", "kv_len", "causal")
ATTENTION_OPS = ("context", "encoder", "generation", "attention")

_DTYPES = {
    **{str(name): str(name) for name in get_args(Dtype)},
    **{"half": "fp16", "float16": "fp16", "bfloat16": "bf16", "float32": "fp32", "float": "fp32"},
}
"""Formats by the names that tables give them."""

_LARGEST = 2**31 - 1
"""Libraries count rows and columns in 32 bits."""

_Record = Mapping[str, str]


@dataclass(frozen=True)
class MeasuredRow:
    """One measurement. Sizes that the operation does not have are 0."""

    row: int
    """Its number among the rows of data, from 1."""
    line: int
    """The line of the file that it stands on; the header is line 1."""
    gpu: str
    dtype: str
    op: str
    """gemm, tilewise, spmm_2to4, spmm_vnm, context, encoder, ..."""
    batch: int
    m: int
    n: int
    k: int
    sparsity: float
    latency_us: float | None
    """None in a table of power alone."""
    power_w: float | None
    conditions: Conditions
    attention: Mapping[str, int] = field(default_factory=dict)
    """q_heads, kv_heads, head_dim, q_len, kv_len and causal of an attention."""
    dataset: str = ""
    """Who measured it, in the table's words; a meter's readings are known by it."""

    @property
    def is_attention(self) -> bool:
        """Whether the operation is an attention, whose sizes are its own."""
        return bool(self.attention)


def read_rows(path: str | Path) -> list[MeasuredRow]:
    """Rows of a measured table.

    Columns: gpu, dtype, op (empty, or left out beside power_w, gemm) and latency_us or power_w; for products m, n, k;
    for attentions (op context, encoder, generation) q_heads, kv_heads, head_dim, q_len, kv_len, causal. Optional:
    batch, sparsity, notes
    (see `accelsim.validate.notes`) and, overriding the notes where they are not empty, library, op_a, op_b, order,
    launch, copies, warm, strategy, granularity, pattern (V:N:M), tile_m, tile_n, tile_k, stages, split_k. Others are
    ignored.

    Parameters
    ----------
    path : str or path-like
        CSV with a header, in UTF-8.

    Raises
    ------
    UserError
        With file, row and column: missing columns, values that are no numbers or out of range, unknown words.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or error}; give a CSV of measurements") from None
    except UnicodeDecodeError:
        raise UserError(f"{file}: not UTF-8 text; give a CSV of measurements") from None
    reader = csv.reader(text.splitlines(keepends=True))
    header = [name.strip() for name in next(reader, [])]
    _check_header(file, header)
    rows: list[MeasuredRow] = []
    for cells in reader:
        if any(cell.strip() for cell in cells):
            place = f"{file}, row {len(rows) + 1} (line {reader.line_num})"
            if len(cells) != len(header):
                raise UserError(f"{place}: {len(cells)} cells, but the header names {len(header)} columns")
            record = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
            rows.append(_Parser(record, place).row(len(rows) + 1, reader.line_num))
    if not rows:
        raise UserError(f"{file}: no rows below the header; a table of measurements has at least one")
    return rows


def _check_header(file: Path, header: list[str]) -> None:
    """Columns that every row needs; those of its operation are asked for row by row."""
    if not header:
        raise UserError(f"{file}: empty; its first line must name the columns")
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise UserError(f"{file}: column {', '.join(twice)} stands there more than once")
    needed = ["gpu", "dtype"]
    if "power_w" not in header:
        needed += ["op", "latency_us"]
    if "op" not in header:
        needed += GEMM_COLUMNS
    missing = [name for name in needed if name not in header]
    if missing:
        raise UserError(f"{file}: missing column {', '.join(missing)}; it has {', '.join(header)}")


@dataclass(frozen=True)
class _Parser:
    """One record of a table, and where it stands."""

    record: _Record
    place: str

    def row(self, number: int, line: int) -> MeasuredRow:
        op = self.record.get("op", "").lower() or "gemm"
        attention = op in ATTENTION_OPS
        sizes = ATTENTION_COLUMNS if attention else GEMM_COLUMNS
        missing = [name for name in sizes if name not in self.record]
        if missing:
            raise UserError(f"{self.place}: op {op} needs column {', '.join(missing)}")
        values = {name: self.whole(name, least=0 if name == "causal" else 1) for name in sizes}
        latency, power = self.optional("latency_us", self.positive), self.optional("power_w", self.positive)
        if latency is None and power is None:
            raise UserError(f"{self.place}: latency_us is empty; it must be a number of microseconds above 0")
        return MeasuredRow(
            row=number,
            line=line,
            gpu=self.record["gpu"],
            dtype=self.dtype(),
            op=op,
            batch=self.optional("batch", self.whole) or 1,
            sparsity=self.optional("sparsity", self.share) or 0.0,
            latency_us=latency,
            power_w=power,
            conditions=self.conditions(),
            dataset=self.record.get("dataset", ""),
            **({"m": 0, "n": 0, "k": 0, "attention": values} if attention else values),
        )

    def optional(self, column: str, convert: Callable[[str], Any]) -> Any:
        """Value of a column, None where it is not there or empty."""
        return convert(column) if self.record.get(column) else None

    def dtype(self) -> str:
        word = self.record["dtype"]
        found = _DTYPES.get(word.lower())
        if found is None:
            raise UserError(f"{self.place}: unknown dtype {word!r}; {near(word, get_args(Dtype))}")
        return found

    def number(self, column: str) -> float:
        text = self.record[column]
        try:
            value = float(text)
        except ValueError:
            raise UserError(f"{self.place}: {column} is {text!r}, which is no number") from None
        if not math.isfinite(value):
            raise UserError(f"{self.place}: {column} is {text}; it must be finite")
        return value

    def positive(self, column: str) -> float:
        value = self.number(column)
        if value <= 0:
            raise UserError(f"{self.place}: {column} is {self.record[column]}; it must be above 0")
        return value

    def share(self, column: str) -> float:
        value = self.number(column)
        if not 0 <= value < 1:
            raise UserError(f"{self.place}: {column} is {self.record[column]}; it must be at least 0 and below 1")
        return value

    def whole(self, column: str, least: int = 1) -> int:
        value = self.number(column)
        if value != int(value) or value < least:
            text = self.record[column]
            raise UserError(f"{self.place}: {column} is {text}; it must be a whole number of at least {least}")
        if value > _LARGEST:
            raise UserError(f"{self.place}: {column} is {self.record[column]}; it must be at most {_LARGEST}")
        return int(value)

    def pattern(self, column: str) -> str:
        text = self.record[column]
        if re.fullmatch(r"[1-9]\d*(:[1-9]\d*){2}", text) is None:
            raise UserError(f"{self.place}: {column} is {text!r}; it must be V:N:M, such as 128:2:10")
        return text

    def word(self, column: str, allowed: tuple[str, ...]) -> str:
        word = self.record[column]
        for known in allowed:
            if word.lower() == known.lower():
                return known
        raise UserError(f"{self.place}: unknown {column} {word!r}; {near(word, allowed)}")

    def conditions(self) -> Conditions:
        """What the notes tell, overridden by the columns that are not empty."""
        given: dict[str, Any] = {}
        for column, allowed in _WORDS.items():
            given[column] = self.word(column, allowed) if self.record.get(column) else None
        for column in ("copies", "granularity", "stages", "split_k"):
            given[column] = self.optional(column, self.whole)
        library = self.record.get("library", "")
        given["library"] = library.lower() or None
        given["pattern"] = self.optional("pattern", self.pattern)
        tile = [self.optional(f"tile_{axis}", self.whole) for axis in "mnk"]
        if any(tile) and not all(tile):
            raise UserError(f"{self.place}: give all of tile_m, tile_n and tile_k, or none")
        given["tile"] = tuple(tile) if all(tile) else None
        told = parse_notes(self.record.get("notes", ""))
        return replace(told, **{name: value for name, value in given.items() if value is not None})


_WORDS: dict[str, tuple[str, ...]] = {
    "op_a": ("N", "T"),
    "op_b": ("N", "T"),
    "order": ("row", "column"),
    "launch": LAUNCHES,
    "warm": WARM,
    "strategy": STRATEGIES,
}
