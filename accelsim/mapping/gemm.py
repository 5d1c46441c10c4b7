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
from accelsim.mapping.choice import choose
from accelsim.mapping.plan import BlockTable, GemmPlan, TileShape
from accelsim.model.graph import Gemm
from accelsim.pruning.packing import TileWiseWeights

MAX_CHUNK = 16
"""K-steps that one event stands for at most."""


def plan_gemm(
    gemm: Gemm,
    gpu: Gpu,
    library: Library,
    mapping: Mapping,
    caches: Caches,
    *,
    weights: TileWiseWeights | None = None,
    tile_wise: TileWise | None = None,
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
    weights : TileWiseWeights, optional
        Packed weights, of the GEMM's k and n, for a tile-wise product.
    tile_wise : TileWise, optional
        Granularity, strategy and layout of activations of a tile-wise product; defaults when left out.

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
    options = tile_wise or TileWise()
    if (weights.k, weights.n) != (gemm.k, gemm.n):
        raise MappingError(f"{gemm.name}: weights are [{weights.k}, {weights.n}], the GEMM has [{gemm.k}, {gemm.n}]")
    choice = choose(gemm, gpu, library, mapping, caches, weights, options)
    tile = choice.tile
    longest = int(weights.row_count.max(initial=0))
    padded_k = longest if options.strategy == "padded_batch" else None
    blocks = build_blocks(
        gemm,
        tile_wise_columns(weights, tile.tile_n),
        (tile.tile_m, tile.tile_k),
        choice.split_k,
        (mapping.raster, mapping.swizzle_width),
        padded_k,
    )
    launches = one_launch(gemm.name, blocks)
    if options.strategy == "stream":
        blocks, launches = launch_per_tile(gemm.name, blocks, options.streams)
    return GemmPlan(
        gemm=gemm,
        tile=tile,
        blocks=blocks,
        launches=launches,
        split_k=_shares(blocks),
        steps_per_chunk=_steps_per_chunk(blocks, tile, mapping.max_events, padded_k),
        activations=options.activations,
        shared_layout=mapping.shared_layout,
        efficiency=library.efficiency,
        weights=weights,
        padded_k=padded_k,
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
        steps_per_chunk=_steps_per_chunk(blocks, tile, mapping.max_events, None),
        activations="row_major",
        shared_layout=mapping.shared_layout,
        efficiency=library.efficiency,
    )


def _shares(blocks: BlockTable) -> int:
    """Most thread blocks that share an output tile."""
    return 1 + int(blocks.split.max(initial=0))


def _steps_per_chunk(blocks: BlockTable, tile: TileShape, max_events: int, padded_k: int | None) -> int:
    """K-steps for one simulated event, so that the plan has about `max_events`: one, or at least those in flight.

    Never more than `MAX_CHUNK` (unless more are in flight): chunks of a wave that outgrow L2 together would evict each
    other before they are shared, and DRAM traffic would be that of the chunks and not of the kernel.
    """
    total = int(ceil_div(run_lengths(blocks, tile.tile_k, _shares(blocks), padded_k), tile.tile_k).sum())
    if total <= max_events:
        return 1
    return max(min(-(-total // max_events), MAX_CHUNK), tile.stages - 1)
