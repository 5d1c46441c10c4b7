"""Plan of a GEMM with packed weights: which kernels it becomes, and what each runs on.

| weights | kernels |
|---|---|
| tile-wise | one on tensor cores, or a launch for each tile |
| 2:4, tile-vector-wise of 2:4 | the same on sparse tensor cores |
| other n:m | on tensor cores, decompressed while they are loaded |
| block-wise | on tensor cores; thread blocks go through the blocks that their block column keeps |
| vector-wise | on CUDA cores, which choose activations in shared memory |
| element-wise | on CUDA cores, which gather activations from L2 |
| tile-element-wise | tile-wise, then element-wise onto its outputs |
"""

from dataclasses import replace

from accelsim.config.hardware import Gpu, Library
from accelsim.config.pattern_options import (
    NM,
    BlockWise,
    ElementWise,
    PatternOptions,
    TileElementWise,
    TileVectorWise,
    TileWise,
    VectorWise,
)
from accelsim.config.scheme import Mapping
from accelsim.config.workload import Caches
from accelsim.errors import MappingError
from accelsim.mapping.elements import plan_elements, require_cuda_cores
from accelsim.mapping.gemm import plan_gemm
from accelsim.mapping.plan import GemmPlan, SparseExecution
from accelsim.mapping.tiles import OUTPUT_BYTES
from accelsim.model.graph import Elementwise, Gemm
from accelsim.pruning.packed import Packed
from accelsim.pruning.packed.elements import ElementWeights, TileElementWeights

INDEX_BYTES = 4
"""Of a column that outputs are moved to."""


def execution_of(options: PatternOptions) -> SparseExecution:
    """How a scheme's weights are multiplied; of tile-element-wise ones, how their tiles are."""
    if isinstance(options, TileWise):
        return SparseExecution.of_tile_wise(options)
    if isinstance(options, TileElementWise):
        return SparseExecution(
            "tile_wise", None, options.granularity, options.strategy, options.streams, options.activations
        )
    how = SparseExecution("element_wise", "cuda_core", activations=options.activations)
    if isinstance(options, ElementWise):
        return how
    if isinstance(options, VectorWise):
        packing = (options.keep, options.vector)
        return replace(how, family="vector_wise", depth_unit=options.vector, packing=packing)
    if isinstance(options, BlockWise):
        how = replace(how, granularity=options.block_columns, depth_limit=options.block_rows)
        return replace(how, family="block_wise", unit=None)
    group = options.m if isinstance(options, NM) else options.vector
    keep = options.n if isinstance(options, NM) else options.keep
    if options.on_sparse_tensor_core:
        how = replace(how, family="sparse_tensor_core", unit="sparse_tensor_core", packing=(keep, group))
    else:
        how = replace(how, family="decompressed", unit=None)
    how = replace(how, depth_unit=group)
    if isinstance(options, TileVectorWise):
        return replace(how, granularity=options.granularity, strategy=options.strategy, streams=options.streams)
    return how


def runs_on_sparse_tensor_cores(options: PatternOptions) -> bool:
    """Whether a scheme's weights are multiplied there, by kernels of the machine's library for 2:4."""
    return execution_of(options).unit == "sparse_tensor_core"


def require_unit(options: PatternOptions, gpu: Gpu, dtype: str) -> None:
    """Refuse a machine that lacks the unit on which a scheme's weights are multiplied.

    Raises
    ------
    MappingError
        Naming the unit, and what may be done instead.
    """
    how = execution_of(options)
    if how.unit == "cuda_core" or isinstance(options, TileElementWise):
        require_cuda_cores(gpu, dtype)
    if how.unit != "sparse_tensor_core" or dtype in gpu.sparse_tensor_core:
        return
    key = "n_m" if isinstance(options, NM) else "tile_vector_wise"
    instead = f"--set {key}.execution=decompressed multiplies them as dense tiles"
    if dtype not in gpu.tensor_core:
        raise MappingError(f"2:4 weights run on sparse tensor cores, and {gpu.name} has none for {dtype}; {instead}")
    formats = ", ".join(gpu.sparse_tensor_core)
    has = f"those of {gpu.name} take {formats} alone, not {dtype}" if formats else f"{gpu.name} has none"
    imagine = (
        "" if dtype == "tf32" else "GPUs from Ampere on have them, --force imagines them at twice the dense rate, "
    )
    raise MappingError(f"2:4 weights run on sparse tensor cores, and {has}; {imagine}{instead}")


def plan_sparse(
    gemm: Gemm,
    gpu: Gpu,
    library: Library,
    mapping: Mapping,
    caches: Caches,
    weights: Packed,
    options: PatternOptions,
) -> tuple[GemmPlan | Elementwise, ...]:
    """Kernels of a GEMM with packed weights, in order.

    Parameters
    ----------
    gemm, gpu, library, mapping, caches
        As of `accelsim.mapping.gemm.plan_gemm`.
    weights : Packed
        Of the pattern that the options name.
    options : PatternOptions
        Of the scheme.

    Raises
    ------
    MappingError
        As `plan_gemm`, and where the machine lacks the unit.
    """
    require_unit(options, gpu, gemm.dtype)
    how = execution_of(options)
    first = weights.tile_wise if isinstance(weights, TileElementWeights) else weights
    kernels: list[GemmPlan | Elementwise] = [
        plan_gemm(gemm, gpu, library, mapping, caches, weights=first, execution=how)
    ]
    if getattr(options, "scatter", "fused") == "separate" and not isinstance(first, ElementWeights):
        kernels += _scatter(gemm, int(first.column_count[first.row_count > 0].sum()))
    if isinstance(weights, TileElementWeights) and weights.overlay.kept:
        overlay = SparseExecution("element_wise", "cuda_core", activations=how.activations)
        own, free = replace(gemm, name=f"{gemm.name}.overlay"), mapping.model_copy(update=_NOTHING_FIXED)
        kernels.append(plan_elements(own, gpu, library, free, weights.overlay, overlay, onto=True))
    return tuple(kernels)


_NOTHING_FIXED = dict.fromkeys(("tile_m", "tile_n", "tile_k", "stages", "split_k"))
"""What a mapping fixes is meant for the kernel of the tiles."""


def _scatter(gemm: Gemm, columns: int) -> list[Elementwise]:
    """The kernel that moves compact columns of the output to where they belong."""
    elements = gemm.batch * gemm.m * columns
    if not elements:
        return []
    size = elements * OUTPUT_BYTES[gemm.dtype]
    name, read = f"{gemm.name}.scatter", size + INDEX_BYTES * columns
    return [Elementwise(name, "scatter", (), name, elements, read, size, 0)]
