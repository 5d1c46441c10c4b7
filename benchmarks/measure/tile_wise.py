"""Tile-wise sparse products: masks, packing and a plain reference in NumPy, and the launch strategies in PyTorch.

Weights B[k, n] keep some columns; each `granularity` kept columns make a tile, and each tile keeps rows of its own.
Packed, tile t is a dense [rows of t, granularity] block, the last one padded with zeros; the rows of A' that it meets
are found by int32 indices.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cases import Case
from .errors import NotMeasurableError
from .products import Operation, draw, relative_error, torch_dtype

_STREAMS = 32
"""That the strategy ``stream`` deals its launches to."""


@dataclass(frozen=True)
class Layout:
    """Which weights are kept, tile after tile."""

    k: int
    n: int
    granularity: int
    rows: NDArray[np.int32]
    """Original rows, those of tile t from ``row_start[t]`` on."""
    columns: NDArray[np.int32]
    """Original columns likewise."""
    row_start: NDArray[np.int32]
    """[tiles + 1]."""
    column_start: NDArray[np.int32]
    """[tiles + 1]."""

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return len(self.row_start) - 1

    def rows_of(self, tile: int) -> NDArray[np.int32]:
        """Original rows of a tile."""
        return self.rows[self.row_start[tile] : self.row_start[tile + 1]]

    def columns_of(self, tile: int) -> NDArray[np.int32]:
        """Original columns of a tile."""
        return self.columns[self.column_start[tile] : self.column_start[tile + 1]]


def draw_layout(k: int, n: int, sparsity: float, granularity: int, uneven: float, seed: int) -> Layout:
    """Random columns and rows of which sqrt(1 - sparsity) are kept, at least one of each.

    `uneven` in [0, 1] spreads the tiles' row counts evenly around their mean, as a share of the room below and above
    it, in random order; 0 gives all tiles equally many rows.
    """
    random = np.random.default_rng(seed)
    density = (1.0 - sparsity) ** 0.5
    columns = _choose(random, n, max(1, round(density * n)))
    mean = max(1, round(density * k))
    tiles = -(-len(columns) // granularity)
    spread = np.linspace(-1.0, 1.0, tiles) if tiles > 1 else np.zeros(1)
    counts = random.permutation(mean + np.rint(spread * uneven * min(mean, k - mean)).astype(int))
    column_start = np.minimum(np.arange(tiles + 1) * granularity, len(columns))
    return Layout(
        k,
        n,
        granularity,
        rows=np.concatenate([_choose(random, k, count) for count in counts]),
        columns=columns,
        row_start=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        column_start=column_start.astype(np.int32),
    )


def _choose(random: np.random.Generator, size: int, count: int) -> NDArray[np.int32]:
    return np.sort(random.choice(size, count, replace=False)).astype(np.int32)


def pack(weights: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """[rows of all tiles, granularity] kept weights; columns that the last tile lacks are 0."""
    packed = np.zeros((len(layout.rows), layout.granularity), np.float32)
    for tile in range(layout.tiles):
        columns = layout.columns_of(tile)
        block = packed[layout.row_start[tile] : layout.row_start[tile + 1]]
        block[:, : len(columns)] = weights[np.ix_(layout.rows_of(tile), columns)]
    return packed


def pad(layout: Layout, packed: NDArray[np.float32]) -> tuple[Layout, NDArray[np.float32]]:
    """The same with as many rows in every tile as the longest has: row 0 under weights of 0."""
    longest = int(np.diff(layout.row_start).max())
    rows = np.zeros((layout.tiles, longest), np.int32)
    padded = np.zeros((layout.tiles, longest, layout.granularity), np.float32)
    for tile in range(layout.tiles):
        begin, end = layout.row_start[tile], layout.row_start[tile + 1]
        rows[tile, : end - begin] = layout.rows[begin:end]
        padded[tile, : end - begin] = packed[begin:end]
    row_start = (np.arange(layout.tiles + 1) * longest).astype(np.int32)
    same = (layout.k, layout.n, layout.granularity)
    wide = Layout(*same, rows.ravel(), layout.columns, row_start, layout.column_start)
    return wide, padded.reshape(-1, layout.granularity)


def multiply(a: NDArray[np.float32], layout: Layout, packed: NDArray[np.float32]) -> NDArray[np.float32]:
    """A[m, k] times the packed weights, tile by tile: C[m, n], zero in pruned columns."""
    product = np.zeros((len(a), layout.n), np.float32)
    for tile in range(layout.tiles):
        columns = layout.columns_of(tile)
        block = packed[layout.row_start[tile] : layout.row_start[tile + 1], : len(columns)]
        product[:, columns] = a[:, layout.rows_of(tile)] @ block
    return product


def masked(weights: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """The weights with zeros where they are pruned."""
    kept = np.zeros_like(weights)
    for tile in range(layout.tiles):
        at = np.ix_(layout.rows_of(tile), layout.columns_of(tile))
        kept[at] = weights[at]
    return kept


def triton_runs_on(device: Any) -> bool:
    """Whether Triton is installed and compiles for `device`, or interprets on the processor (TRITON_INTERPRET=1)."""
    installed = find_spec("triton") is not None
    return installed and (device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1")


def tile_wise(torch: Any, case: Case, device: Any) -> Operation:
    """A tile-wise product in the case's strategy; the first copy can be checked against the masked dense product.

    Raises
    ------
    NotMeasurableError
        For one launch of all tiles without Triton, which has no counterpart in PyTorch.
    """
    shape = case.product
    layout = draw_layout(shape.k, shape.n, case.sparsity, case.granularity, case.uneven, seed=0)
    weights = np.random.default_rng(1).standard_normal((shape.k, shape.n), dtype=np.float32)
    run_layout, packed = layout, pack(weights, layout)
    if case.strategy == "padded_batch":
        run_layout, packed = pad(layout, packed)
    held = torch_dtype(torch, case.dtype)
    first = torch.from_numpy(packed).to(device, held)
    copies = [first] + [draw(torch, packed.shape, case, device) for _ in range(case.copies - 1)]
    a_transposed = draw(torch, (shape.k, shape.m), case, device)
    output = torch.zeros((shape.m, shape.n), dtype=held, device=device)
    product, tile = _product(torch, case, run_layout, a_transposed, copies[0], output)

    def error() -> float:
        output.fill_(float("nan"))  # kept columns that nobody writes shall be seen
        kept = torch.from_numpy(layout.columns).to(device, torch.int64)
        product(first)
        reference = torch.from_numpy(masked(weights, layout)[:, layout.columns]).to(device, held)
        found = relative_error(torch, output[:, kept], a_transposed.t() @ reference)
        output.zero_()
        return found

    return Operation([partial(product, copy) for copy in copies], error, tile)


def _product(
    torch: Any, case: Case, layout: Layout, a_transposed: Any, first: Any, output: Any
) -> tuple[Callable[[Any], object], dict[str, int] | None]:
    """What multiplies A' by packed weights into `output`, and its tile."""
    if case.library == "triton":
        from .tile_wise_triton import triton_product

        return triton_product(torch, case, layout, a_transposed, first, output)
    if case.strategy == "stream":
        return _one_by_one(torch, layout, a_transposed, output), None
    if case.strategy == "padded_batch":
        return _batched(torch, layout, a_transposed, output), None
    raise NotMeasurableError("one launch of all tiles needs Triton")


def fork_and_join(torch: Any, device: Any, count: int) -> Callable[[Callable[[int], object]], None]:
    """What runs a function of 0 ... count - 1, each in a stream in turn, between the current stream's work."""
    if device.type != "cuda":

        def in_turn(work: Callable[[int], object]) -> None:
            for index in range(count):
                work(index)

        return in_turn
    streams = [torch.cuda.Stream(device) for _ in range(min(count, _STREAMS))]

    def run(work: Callable[[int], object]) -> None:
        current = torch.cuda.current_stream(device)
        for stream in streams:
            stream.wait_stream(current)
        for index in range(count):
            with torch.cuda.stream(streams[index % len(streams)]):
                work(index)
        for stream in streams:
            current.wait_stream(stream)

    return run


def _one_by_one(torch: Any, layout: Layout, a_transposed: Any, output: Any) -> Callable[[Any], object]:
    """Tile by tile: gather, multiply, scatter, each tile in a stream of its own."""
    device = a_transposed.device
    rows = [torch.from_numpy(layout.rows_of(tile)).to(device) for tile in range(layout.tiles)]
    columns = [torch.from_numpy(layout.columns_of(tile)).to(device) for tile in range(layout.tiles)]
    apart = fork_and_join(torch, device, layout.tiles)

    def run(weights: Any) -> None:
        def work(tile: int) -> None:
            gathered = a_transposed.index_select(0, rows[tile])
            block = weights[layout.row_start[tile] : layout.row_start[tile + 1], : len(columns[tile])]
            output.index_copy_(1, columns[tile].long(), gathered.t() @ block)

        apart(work)

    return run


def _batched(torch: Any, layout: Layout, a_transposed: Any, output: Any) -> Callable[[Any], object]:
    """All tiles as one batch of equal products, between one gather and one scatter."""
    device = a_transposed.device
    rows = torch.from_numpy(layout.rows).to(device)
    columns = torch.from_numpy(layout.columns).to(device, torch.int64)
    tiles, m = layout.tiles, a_transposed.shape[1]

    def run(weights: Any) -> None:
        gathered = a_transposed.index_select(0, rows).view(tiles, -1, m)
        found = torch.bmm(gathered.transpose(1, 2), weights.view(tiles, -1, layout.granularity))
        output.index_copy_(1, columns, found.transpose(0, 1).reshape(m, -1)[:, : len(columns)])

    return run
