"""The tile-wise kernel in Triton. One kernel serves the three launch strategies, so that only these differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import triton
import triton.language as tl

from .cases import Case
from .errors import NotMeasurableError
from .tile_wise import Layout, fork_and_join


@triton.jit(do_not_specialize=["first_tile"])  # one compilation for all tiles
def tile_product(
    a, weights, output, rows, columns, row_start, column_start, first_tile, m,
    stride_a, stride_output, BLOCK_M: tl.constexpr, G: tl.constexpr, BLOCK_K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Output rows of program 0, of tile `first_tile` plus program 1: gathered rows of A' times packed weights."""
    at_m = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    tile = first_tile + tl.program_id(1)
    begin = tl.load(row_start + tile)
    count = tl.load(row_start + tile + 1) - begin
    at_n = tl.arange(0, G)
    in_m = at_m < m
    total = tl.zeros((BLOCK_M, G), dtype=tl.float32)
    for k0 in range(0, count, BLOCK_K):
        at_k = k0 + tl.arange(0, BLOCK_K)
        in_k = at_k < count
        row = tl.load(rows + begin + at_k, mask=in_k, other=0).to(tl.int64)
        left = tl.load(a + row[None, :] * stride_a + at_m[:, None], mask=in_m[:, None] & in_k[None, :], other=0.0)
        packed = (begin + at_k).to(tl.int64)
        right = tl.load(weights + packed[:, None] * G + at_n[None, :], mask=in_k[:, None], other=0.0)
        total = tl.dot(left, right, total, input_precision=PRECISION)
    first_column = tl.load(column_start + tile)
    in_n = at_n < tl.load(column_start + tile + 1) - first_column
    column = tl.load(columns + first_column + at_n, mask=in_n, other=0)
    place = output + at_m[:, None].to(tl.int64) * stride_output + column[None, :]
    tl.store(place, total.to(output.dtype.element_ty), mask=in_m[:, None] & in_n[None, :])


@dataclass(frozen=True)
class Kernel:
    """What a launch can choose."""

    block_m: int
    block_k: int
    stages: int
    warps: int


_KERNELS = (
    Kernel(128, 32, 3, 8),
    Kernel(128, 64, 3, 8),
    Kernel(128, 32, 4, 4),
    Kernel(64, 64, 3, 4),
    Kernel(64, 32, 4, 4),
    Kernel(32, 64, 4, 4),
    Kernel(16, 64, 4, 4),
)


def triton_product(
    torch: Any, case: Case, layout: Layout, a_transposed: Any, first: Any, output: Any
) -> tuple[Callable[[Any], object], dict[str, int]]:
    """What multiplies A' by packed weights in the case's strategy, by the fastest of a few kernels, and its tile.

    Raises
    ------
    NotMeasurableError
        When none of the kernels fits the device.
    """
    device, m = a_transposed.device, a_transposed.shape[1]
    tables = [
        torch.from_numpy(table).to(device)
        for table in (layout.rows, layout.columns, layout.row_start, layout.column_start)
    ]
    precision = "ieee" if case.dtype == "fp32" else "tf32"
    apart = fork_and_join(torch, device, layout.tiles)

    def product(kernel: Kernel) -> Callable[[Any], object]:
        def launch(weights: Any, first_tile: int, tiles: int) -> None:
            tile_product[(triton.cdiv(m, kernel.block_m), tiles)](
                a_transposed, weights, output, *tables, first_tile, m, a_transposed.stride(0), output.stride(0),
                BLOCK_M=kernel.block_m, G=layout.granularity, BLOCK_K=kernel.block_k, PRECISION=precision,
                num_stages=kernel.stages, num_warps=kernel.warps,
            )  # fmt: skip

        if case.strategy == "stream":
            return lambda weights: apart(lambda tile: launch(weights, tile, 1))
        return lambda weights: launch(weights, 0, layout.tiles)

    kernel = _fastest(torch, product, first, m, device)
    tile = {"tile_m": kernel.block_m, "tile_n": layout.granularity, "tile_k": kernel.block_k, "stages": kernel.stages}
    return product(kernel), tile


def _fastest(
    torch: Any, product: Callable[[Kernel], Callable[[Any], object]], weights: Any, m: int, device: Any
) -> Kernel:
    """The kernel of least time among those whose tile is no more than twice as high as the output."""
    fitting = [kernel for kernel in _KERNELS if kernel.block_m < 2 * m or kernel.block_m == 16]
    if device.type != "cuda":
        return fitting[-1]  # interpreted: times tell nothing
    found: dict[Kernel, float] = {}
    for kernel in fitting:
        run = product(kernel)
        try:
            found[kernel] = triton.testing.do_bench(lambda run=run: run(weights), warmup=5, rep=10)
        except (triton.runtime.errors.OutOfResources, triton.compiler.errors.CompilationError):
            continue
    if not found:
        raise NotMeasurableError("no kernel's tile fits into shared memory")
    return min(found, key=lambda kernel: found[kernel])
