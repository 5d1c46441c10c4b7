"""Measured products of 2:4 and V:N:M operands: which product with packed weights stands for a row.

In such tables the sparse operand is A [m, k], while plans hold sparse weights as B. So the transposed product
C' = B' A' is simulated: its rows are the table's columns, and its weights A'.

V:N:M (Castro et al., VENOM, SC 2023) chooses, for every V rows of A, four columns of each M, and of these four each row
keeps N = 2. The chosen columns are therefore a 2:4 operand of k = 4 K / M for the sparse tensor core, and every V rows
gather their own rows of B: tile-vector-wise weights with tiles of V.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from accelsim.config.hardware import Gpu
from accelsim.config.options import Mapping
from accelsim.config.pattern_options import NM, TileVectorWise
from accelsim.model.graph import Gemm
from accelsim.pruning.masks import TileVectorWiseMask
from accelsim.pruning.packed.groups import GroupedWeights, pack_groups, pack_tile_vector_wise
from accelsim.pruning.tile_wise import TileWiseMask
from accelsim.validate.rows import MeasuredRow

SPARSE_OPS = {"spmm_2to4": "2:4", "spmm_vnm": "V:N:M"}
"""Operations with a sparse A, and what they are called."""

CHOSEN = 4
"""Columns that V:N:M chooses of each M."""

_KEPT = 2
"""Values that a group of a sparse tensor core's weights holds."""

_PLACE_BYTES = 0.25
"""Of a kept value's place in its group."""

_ROUNDED = 0.005
"""By how much a table's sparsity may differ from that of the pattern: tables round it."""


@dataclass(frozen=True)
class SparseOperand:
    """Pattern of a sparse A, and how B lies in memory."""

    rows: int | None
    """V, the rows of A that share chosen columns; None for 2:4, which keeps all columns."""
    group: int
    """M: of so many columns four are chosen."""
    activations: str
    """Layout of the transposed product's first operand, B'."""

    @property
    def options(self) -> NM | TileVectorWise:
        """Options of the scheme that executes it."""
        layout = {"activations": self.activations}
        if self.rows is None:
            return NM.model_validate(layout)
        sparsity = 1 - _KEPT / self.group
        return TileVectorWise.model_validate({"sparsity": sparsity, "granularity": self.rows, **layout})

    def held_share(self, element_bytes: int) -> float:
        """Bytes of the packed operand, 2-bit places among them, over those of a dense one."""
        share = _KEPT / CHOSEN * (1 + _PLACE_BYTES / element_bytes)
        return share if self.rows is None else share * CHOSEN / self.group

    def pack(self, k: int, n: int) -> GroupedWeights:
        """The transposed operand [k, n] without values; counts and time do not depend on which weights are kept."""
        return _packed(self.rows, self.group, k, n)


def not_sparse(row: MeasuredRow, gpu: Gpu) -> str:
    """Why a row with a sparse A is outside what is simulated; an empty text when it is inside."""
    name = SPARSE_OPS[row.op]
    if row.batch > 1:
        return f"batched {name} products are not modelled"
    if row.dtype not in gpu.sparse_tensor_core:
        formats = ", ".join(gpu.sparse_tensor_core) or "no format"
        return f"{name} products run on sparse tensor cores, and those of {gpu.name} take {formats}"
    if row.op == "spmm_2to4":
        return _other_sparsity(row, "2:4", 0.5)
    pattern = row.conditions.pattern
    if pattern is None:
        return "a V:N:M product of unknown V, N and M"
    v, n, m = _numbers(pattern)
    if n != _KEPT or m < CHOSEN:
        return f"{pattern} has no 2:4 operand: V:N:M keeps {_KEPT} of at least {CHOSEN}"
    if v > row.m:
        return f"{pattern} shares columns among {v} rows, and A has {row.m}"
    return _other_sparsity(row, pattern, 1 - n / m)


def _other_sparsity(row: MeasuredRow, name: str, expected: float) -> str:
    agrees = row.sparsity == 0 or abs(row.sparsity - expected) <= _ROUNDED
    return "" if agrees else f"{name} has a sparsity of {expected:.3g}, the row {row.sparsity:.3g}"


def _numbers(pattern: str) -> tuple[int, int, int]:
    v, n, m = (int(number) for number in pattern.split(":"))
    return v, n, m


def sparse_operand(row: MeasuredRow) -> SparseOperand:
    """The sparse A of a row that `not_sparse` finds nothing against."""
    told = row.conditions
    # Row-major B has rows of k contiguous in n: B' is transposed.
    b_rows = (told.order != "column") != (told.op_b == "T")
    layout = "transposed" if b_rows else "row_major"
    if row.op == "spmm_2to4":
        return SparseOperand(None, CHOSEN, layout)
    v, _, m = _numbers(str(told.pattern))
    return SparseOperand(v, m, layout)


def transposed_gemm(row: MeasuredRow) -> Gemm:
    """The product that is simulated."""
    return Gemm("gemm", row.n, row.m, row.k, dtype=row.dtype, weight="weight")


def transposed_kernel(row: MeasuredRow, mapping: Mapping) -> Mapping:
    """How the kernel of a row is mapped: tiles of C' are those of C on their side.

    Spatha, the library of V:N:M, launches all row tiles of A for one column tile of B before those for the next
    (`GridMappingXYToMN` of its kernels), so that B is gathered by all of them while it lies in L2.
    """
    told = row.conditions
    fixed: dict[str, Any] = {"stages": told.stages, "split_k": told.split_k}
    if told.tile is not None:
        fixed |= dict(zip(("tile_n", "tile_m", "tile_k"), told.tile, strict=True))
    if row.op == "spmm_vnm" and mapping.raster == Mapping().raster:
        fixed["raster"] = "along_n"
    known = {name: value for name, value in fixed.items() if value is not None}
    return mapping.model_copy(update=known) if known else mapping


@lru_cache(maxsize=4)
def _packed(rows: int | None, group: int, k: int, n: int) -> GroupedWeights:
    if rows is None:
        return _widened(pack_groups(None, _first_of_four(k), _KEPT, CHOSEN), np.array([n]))
    widths = np.diff(np.append(np.arange(0, n, rows), n))
    random = np.random.default_rng(0)
    chosen = tuple(_chosen(k, group, random) for _ in widths)
    columns = tuple(np.array([tile]) for tile in range(len(widths)))
    tiles = TileWiseMask(k, len(widths), 1, columns, chosen)
    inner = tuple(_first_of_four(len(own)) for own in chosen)
    return _widened(pack_tile_vector_wise(None, TileVectorWiseMask(tiles, CHOSEN, _KEPT, inner)), widths)


def _widened(one: GroupedWeights, widths: np.ndarray) -> GroupedWeights:
    """Weights whose tiles have so many columns, all alike, from those with a single column in each tile."""

    def repeated(values: np.ndarray, start: np.ndarray) -> np.ndarray:
        return np.repeat(values, np.repeat(widths, np.diff(start)))

    def starts(start: np.ndarray) -> np.ndarray:
        return np.append(0, np.cumsum(np.diff(start) * widths))

    n = int(widths.sum())
    return replace(
        one,
        n=n,
        column_start=np.append(0, np.cumsum(widths)),
        column_offset=None if one.column_offset is None else np.zeros(n, np.int32),
        value_start=starts(one.value_start),
        metadata=repeated(one.metadata, one.metadata_start),
        metadata_start=starts(one.metadata_start),
        group_kept=repeated(one.group_kept, one.group_start),
        group_start=starts(one.group_start),
    )


def _chosen(k: int, group: int, random: np.random.Generator) -> np.ndarray:
    """Rows of k, ascending: four of each group, of a short last one as many as it has."""
    ranks = random.random((-(-k // group), group)).argsort(axis=1)[:, : min(CHOSEN, group)]
    rows = np.sort(np.arange(len(ranks))[:, None] * group + ranks, axis=None)
    return rows[rows < k]


def _first_of_four(k: int) -> np.ndarray:
    """Mask [k, 1] of the first two of every four rows."""
    kept: np.ndarray = (np.arange(k) % CHOSEN < _KEPT)[:, None]
    return kept
