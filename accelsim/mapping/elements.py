"""Plan of a product with element-wise weights on CUDA cores: columns of C, each of which gathers its own rows of A.

A thread block has tile_n columns and tile_m rows of C and goes through the elements of its columns side by side,
tile_k of each in a k-step; columns with fewer elements than its longest wait for that one.
"""

import numpy as np

from accelsim.config.hardware import Gpu, KernelTile, Library
from accelsim.config.scheme import Mapping
from accelsim.errors import MappingError
from accelsim.mapping.blocks import ColumnTiles, build_blocks, ceil_div, one_launch, tile_wise_columns
from accelsim.mapping.choice import with_raster
from accelsim.mapping.plan import BlockTable, GemmPlan, IntArray, SparseExecution, TileShape, steps_per_chunk
from accelsim.mapping.tiles import describe, misfit
from accelsim.model.graph import Gemm
from accelsim.pruning.packed.elements import ElementWeights

DEFAULT_KERNEL = KernelTile(tile_m=64, tile_n=4, tile_k=32, stages=2, threads=128, registers_per_thread=64)
"""A warp for 64 outputs of a column, 32 elements in a k-step, four warps in a thread block: Gale et al., Sparse GPU
Kernels for Deep Learning, SC 2020 (one-dimensional tiles, with rows and columns exchanged)."""


def element_steps(weights: ElementWeights, blocks: BlockTable, tile_k: int) -> IntArray:
    """K-steps of each thread block: those of the column that has the most elements."""
    count = np.diff(weights.element_start)
    _, first, index = np.unique(blocks.n0, return_index=True, return_inverse=True)
    ranges = zip(blocks.n0[first].tolist(), blocks.n1[first].tolist(), strict=True)
    longest = np.asarray([count[n0:n1].max(initial=0) for n0, n1 in ranges], np.int64)
    return ceil_div(longest, tile_k)[index]


def require_cuda_cores(gpu: Gpu, dtype: str) -> None:
    """Raise `MappingError` when a machine has no rate for a format without tensor cores."""
    if dtype not in gpu.cuda_core:
        raise MappingError(
            f"single weights and vectors are multiplied on CUDA cores, and {gpu.name} has no rate for {dtype} on "
            f"those; it takes {', '.join(sorted(gpu.cuda_core))}"
        )


def plan_elements(
    gemm: Gemm, gpu: Gpu, library: Library, mapping: Mapping, weights: ElementWeights, execution: SparseExecution,
    onto: bool = False,
) -> GemmPlan:  # fmt: skip
    """Cut a product with element-wise weights into thread blocks.

    Parameters
    ----------
    gemm, gpu, library, mapping
        As of `accelsim.mapping.gemm.plan_gemm`.
    weights : ElementWeights
    execution : SparseExecution
    onto : bool
        Whether it adds to outputs that exist; then only columns that have an element get thread blocks.

    Raises
    ------
    MappingError
        If the machine has no rate for the format without tensor cores, the kernel does not fit, or split-K is asked.
    """
    require_cuda_cores(gpu, gemm.dtype)
    if mapping.split_k not in (None, 1):
        raise MappingError(f"mapping.split_k is {mapping.split_k}, but kernels for single weights do not share out k")
    tile = _tile(library, mapping, gpu)
    columns = tile_wise_columns(weights, tile.tile_n)
    if onto:
        columns = _occupied(weights, columns)
    order = with_raster(mapping, tile, execution)
    raster = (order.raster, order.swizzle_width)
    blocks = build_blocks(gemm, columns, (tile.tile_m, max(1, gemm.k)), 1, raster)
    return GemmPlan(
        gemm=gemm,
        tile=tile,
        blocks=blocks,
        launches=one_launch(gemm.name, blocks),
        split_k=1,
        steps_per_chunk=steps_per_chunk(element_steps(weights, blocks, tile.tile_k), tile, mapping.max_events),
        activations=execution.activations,
        shared_layout=mapping.shared_layout,
        efficiency=library.efficiency_of(execution.family),
        weights=weights,
        execution=execution,
        onto=onto,
    )


def _occupied(weights: ElementWeights, columns: ColumnTiles) -> ColumnTiles:
    """Columns of output tiles that have an element."""
    has = weights.element_start[columns.n1] > weights.element_start[columns.n0]
    return ColumnTiles(columns.n0[has], columns.n1[has], columns.depth[has], columns.weight_tile[has])


def _tile(library: Library, mapping: Mapping, gpu: Gpu) -> TileShape:
    """The library's first kernel that fits, with what the mapping fixes. Operands go straight to registers."""
    tiles = []
    for kernel in library.element_wise or [DEFAULT_KERNEL]:
        rows, columns = mapping.tile_m or kernel.tile_m, mapping.tile_n or kernel.tile_n
        tiles.append(
            TileShape(
                tile_m=rows,
                tile_n=columns,
                tile_k=mapping.tile_k or kernel.tile_k,
                stages=mapping.stages or kernel.stages,
                threads=kernel.threads,
                registers=max(kernel.threads * kernel.registers_per_thread, 2 * rows * columns),
                shared_bytes=0,
                unit="cuda_core",
            )
        )
    fitting = [tile for tile in tiles if not misfit(tile, gpu)]
    if not fitting:
        raise MappingError(f"tile {describe(tiles[0])} does not fit {gpu.name}: {misfit(tiles[0], gpu)}")
    return fitting[0]
