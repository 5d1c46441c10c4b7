"""Plan of one GEMM: the kernel, its thread blocks and launches."""

from accelsim.config.hardware import Gpu, Library
from accelsim.config.scheme import Mapping, TileWise
from accelsim.config.workload import Caches
from accelsim.errors import MappingError
from accelsim.mapping.blocks import (
    build_blocks,
    ceil_div,
    dense_columns,
    launch_per_tile,
    one_launch,
    run_lengths,
    tile_wise_columns,
)
from accelsim.mapping.choice import choose, with_raster
from accelsim.mapping.elements import plan_elements
from accelsim.mapping.plan import (
    BLOCK_WISE_EVENTS,
    BlockTable,
    GemmPlan,
    IntArray,
    PlannedWeights,
    SparseExecution,
    TileShape,
    steps_per_chunk,
)
from accelsim.model.graph import Gemm
from accelsim.pruning.packed.blocks import BlockWeights
from accelsim.pruning.packed.elements import ElementWeights


def plan_gemm(
    gemm: Gemm,
    gpu: Gpu,
    library: Library,
    mapping: Mapping,
    caches: Caches,
    *,
    weights: PlannedWeights | None = None,
    tile_wise: TileWise | None = None,
    execution: SparseExecution | None = None,
) -> GemmPlan:
    """Choose a kernel for a GEMM and cut it into thread blocks.

    Parameters
    ----------
    gemm : Gemm
        Dense shape and format.
    gpu, library : Gpu, Library
        The machine, and the menu that kernels are chosen from.
    mapping : Mapping
        What is fixed, raster order, layout of shared memory, and how many events are wanted.
    caches : Caches
        Which operands lie in L2 at the start; the choice of kernel depends on it.
    weights : PlannedWeights, optional
        Packed weights, of the GEMM's k and n.
    tile_wise : TileWise, optional
        Granularity, strategy and layout of activations of a tile-wise product; defaults when left out.
    execution : SparseExecution, optional
        How other packed weights are multiplied; needed for those.

    Returns
    -------
    GemmPlan
        Its split_k is the number of shares there really are. Where nothing is kept it has one launch and no block.

    Raises
    ------
    MappingError
        If no kernel fits the machine, options contradict each other, or the weights have another shape.
    """
    if weights is None:
        return _plan_dense(gemm, gpu, library, mapping, caches)
    how = execution or SparseExecution.of_tile_wise(tile_wise or TileWise())
    if (weights.k, weights.n) != (gemm.k, gemm.n):
        raise MappingError(f"{gemm.name}: weights are [{weights.k}, {weights.n}], the GEMM has [{gemm.k}, {gemm.n}]")
    if isinstance(weights, ElementWeights):
        return plan_elements(gemm, gpu, library, mapping, weights, how)
    choice = choose(gemm, gpu, library, mapping, caches, weights, how)
    tile = choice.tile
    order = with_raster(mapping, tile, how)
    longest = int(weights.row_count.max(initial=0))
    padded_k = longest if how.strategy == "padded_batch" else None
    blocks = build_blocks(
        gemm,
        tile_wise_columns(weights, tile.tile_n),
        (tile.tile_m, tile.tile_k),
        choice.split_k,
        (order.raster, order.swizzle_width),
        padded_k,
    )
    events = mapping.max_events * (BLOCK_WISE_EVENTS if isinstance(weights, BlockWeights) else 1)
    launches = one_launch(gemm.name, blocks)
    if how.strategy == "stream":
        blocks, launches = launch_per_tile(gemm.name, blocks, how.streams)
    return GemmPlan(
        gemm=gemm,
        tile=tile,
        blocks=blocks,
        launches=launches,
        split_k=_shares(blocks),
        steps_per_chunk=steps_per_chunk(_steps(blocks, tile, padded_k), tile, events),
        activations=how.activations,
        shared_layout=mapping.shared_layout,
        efficiency=library.efficiency_of(how.family),
        epilogue=library.epilogue or 1.0,
        weights=weights,
        padded_k=padded_k,
        execution=how,
    )


def _plan_dense(gemm: Gemm, gpu: Gpu, library: Library, mapping: Mapping, caches: Caches) -> GemmPlan:
    choice = choose(gemm, gpu, library, mapping, caches)
    tile = choice.tile
    blocks = build_blocks(
        gemm,
        dense_columns(gemm.n, gemm.k, tile.tile_n),
        (tile.tile_m, tile.tile_k),
        choice.split_k,
        (mapping.raster, mapping.swizzle_width),
    )
    return GemmPlan(
        gemm=gemm,
        tile=tile,
        blocks=blocks,
        launches=one_launch(gemm.name, blocks),
        split_k=_shares(blocks),
        steps_per_chunk=steps_per_chunk(_steps(blocks, tile, None), tile, mapping.max_events),
        activations=gemm.a_layout,
        shared_layout=mapping.shared_layout,
        efficiency=library.efficiency,
        epilogue=library.epilogue or 1.0,
        start_delay=_start_delay(gemm, len(blocks), library),
    )


def _start_delay(gemm: Gemm, blocks: int, library: Library) -> float:
    few = library.few_blocks
    return few.delay if few is not None and blocks <= few.most and gemm.m > few.rows_over else 0.0


def _shares(blocks: BlockTable) -> int:
    """Most thread blocks that share an output tile."""
    return 1 + int(blocks.split.max(initial=0))


def _steps(blocks: BlockTable, tile: TileShape, padded_k: int | None) -> IntArray:
    """K-steps of each thread block."""
    return ceil_div(run_lengths(blocks, tile.tile_k, _shares(blocks), padded_k), tile.tile_k)
