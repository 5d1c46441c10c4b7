"""Shapes to measure: the built-in lists, and lists from a CSV."""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields
from pathlib import Path

from .errors import UsageError


@dataclass(frozen=True)
class Product:
    """C[m, n] = A[m, k] B[k, n], `batch` times with operands of their own; B holds the weights."""

    m: int
    n: int
    k: int
    batch: int = 1

    def __str__(self) -> str:
        batch = f"{self.batch} x " if self.batch > 1 else ""
        return f"{batch}m={self.m} n={self.n} k={self.k}"


@dataclass(frozen=True)
class Attention:
    """Fused softmax(Q K') V; several query heads may share a head of keys and values."""

    batch: int
    q_heads: int
    kv_heads: int
    head_dim: int
    q_len: int
    kv_len: int
    causal: int

    @property
    def op(self) -> str:
        """generation for a query that is shorter than the keys, else context (causal) or encoder."""
        if self.q_len < self.kv_len:
            return "generation"
        return "context" if self.causal else "encoder"

    def __str__(self) -> str:
        heads = f"{self.q_heads}/{self.kv_heads} heads of {self.head_dim}"
        return f"batch={self.batch} {heads} q={self.q_len} kv={self.kv_len}" + (" causal" if self.causal else "")


@dataclass(frozen=True)
class Shapes:
    """What to measure, without repeats and in order."""

    products: tuple[Product, ...]
    attentions: tuple[Attention, ...]
    sparse: tuple[Product, ...]
    """Products to measure with sparse weights."""


_BERT_LAYER = ((768, 768), (2304, 768), (3072, 768), (768, 3072))
_LANGUAGE_MODEL = ((6144, 4096), (4096, 4096), (28672, 4096), (4096, 14336))
"""(n, k) of a layer's products: projections of Q, K and V (shared K and V), output, gate with up, and down."""


def default_shapes() -> Shapes:
    """Layers of BERT-Base and of a language model of 8 billion weights, powers of two, odd sizes, and extremes of k."""
    bert = [Product(m, n, k) for m in (128, 512, 4096, 12800) for n, k in _BERT_LAYER]
    squares = [Product(size, size, size) for size in (256, 512, 1024, 2048, 4096, 8192)]
    sparse = bert + [Product(m, n, k) for m in (16, 256, 2048) for n, k in _LANGUAGE_MODEL] + squares[2:]
    products = bert + [Product(m, n, k) for m in (1, 2, 4, 8, 16, 64, 256, 2048, 8192) for n, k in _LANGUAGE_MODEL]
    products += squares
    products += [
        Product(1000, 1000, 1000),
        Product(1023, 1025, 1027),
        Product(3841, 2305, 769),
        Product(127, 4097, 4095),
        Product(4096, 4096, 64),
        Product(4096, 4096, 256),
        Product(256, 256, 65536),
        Product(512, 512, 64, batch=96),
        Product(512, 64, 512, batch=96),
    ]
    attentions = [Attention(batch, 12, 12, 64, 512, 512, 0) for batch in (1, 8, 32)]
    attentions += [Attention(1, 32, 8, 128, length, length, 1) for length in (512, 2048, 8192)]
    attentions += [Attention(8, 32, 8, 128, 2048, 2048, 1), Attention(4, 40, 40, 128, 4096, 4096, 1)]
    attentions += [Attention(batch, 32, 8, 128, 1, 4096, 0) for batch in (1, 16, 64)]
    return _unique(products, attentions, sparse)


def quick_shapes() -> Shapes:
    """A handful, small enough for a processor."""
    products = [Product(1, 256, 128), Product(128, 192, 256), Product(65, 127, 129), Product(64, 64, 32, batch=2)]
    return _unique(products, [Attention(1, 4, 4, 32, 64, 64, 1), Attention(2, 4, 2, 32, 1, 96, 0)])


def read_shapes(path: str | Path) -> Shapes:
    """Shapes of a CSV: columns m, n, k (and batch), or those of `Attention`; measured tables serve as well.

    A row in which q_heads is filled is an attention. Other columns are ignored, and repeats are measured once.

    Raises
    ------
    UsageError
        Naming the file, line and column: no file, columns missing, sizes that are no whole numbers above 0.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: {getattr(error, 'strerror', None) or error}; give a CSV of shapes") from None
    reader = csv.DictReader(text.splitlines())
    products: list[Product] = []
    attentions: list[Attention] = []
    for record in reader:
        cells = {name: (value or "").strip() for name, value in record.items() if isinstance(name, str)}
        if not any(cells.values()):
            continue
        place = f"{file}, line {reader.line_num}"
        if cells.get("q_heads"):
            attentions.append(_attention(cells, place))
        else:
            m, n, k = (_size(cells, name, place) for name in "mnk")
            products.append(Product(m, n, k, _batch(cells, place)))
    if not products and not attentions:
        raise UsageError(f"{file}: no shapes; give columns m, n, k, or {', '.join(f.name for f in fields(Attention))}")
    return _unique(products, attentions)


def _attention(cells: dict[str, str], place: str) -> Attention:
    names = [field.name for field in fields(Attention) if field.name not in ("batch", "causal")]
    found = {name: _size(cells, name, place) for name in names}
    causal = _size(cells, "causal", place, least=0)
    if causal > 1:
        raise UsageError(f"{place}: causal is {causal}; it must be 0 or 1")
    if found["q_heads"] % found["kv_heads"]:
        raise UsageError(f"{place}: q_heads {found['q_heads']} is no multiple of kv_heads {found['kv_heads']}")
    if causal and found["q_len"] != found["kv_len"]:
        raise UsageError(f"{place}: causal needs q_len equal to kv_len; give 0, since a last query sees every key")
    return Attention(batch=_batch(cells, place), causal=causal, **found)


def _batch(cells: dict[str, str], place: str) -> int:
    return _size(cells, "batch", place) if cells.get("batch") else 1


def _size(cells: dict[str, str], name: str, place: str, least: int = 1) -> int:
    if name not in cells:
        raise UsageError(f"{place}: missing column {name}; it has {', '.join(cells)}")
    try:
        value = float(cells[name])
    except ValueError:
        value = -1.0
    if not value.is_integer() or value < least:
        raise UsageError(f"{place}: {name} is {cells[name]!r}; it must be a whole number of at least {least}")
    return int(value)


def _unique(products: list[Product], attentions: list[Attention], sparse: list[Product] | None = None) -> Shapes:
    """Without repeats; without a list of their own, all products are measured with sparse weights too."""
    lists = (products, attentions, products if sparse is None else sparse)
    return Shapes(*(tuple(dict.fromkeys(some)) for some in lists))  # type: ignore[arg-type]
