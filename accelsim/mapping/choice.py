"""Which kernel computes a GEMM: the cheapest by the closed-form estimate, as a vendor's library would choose."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from accelsim.config.hardware import Gpu, Library
from accelsim.config.scheme import Mapping
from accelsim.config.workload import Caches
from accelsim.errors import MappingError
from accelsim.estimate.gemm import Candidates, GemmMachine, Product, estimate_gemm
from accelsim.mapping.blocks import IntArray, ceil_div, tile_wise_columns
from accelsim.mapping.candidates import candidate_tiles, vector_tiles, with_depth
from accelsim.mapping.layout import dram_costs
from accelsim.mapping.plan import PlannedWeights, SparseExecution, TileShape
from accelsim.mapping.tiles import (
    ELEMENT_BYTES,
    OUTPUT_BYTES,
    mac_rate,
    occupancy,
    step_macs,
    step_traffic,
)
from accelsim.model.graph import Gemm, Layout

NARROW = 128
"""Tiles with fewer columns, for blocks and single weights, follow each other along the rows of the output."""

Candidate = tuple[TileShape, tuple[int, int], int]
"""A kernel, n and k of the dense product that is estimated, and split-K."""


@dataclass(frozen=True)
class Choice:
    """A kernel, how many thread blocks share an output tile, and what that is estimated to take."""

    tile: TileShape
    split_k: int
    cycles: float


def choose(
    gemm: Gemm,
    gpu: Gpu,
    library: Library,
    mapping: Mapping,
    caches: Caches,
    weights: PlannedWeights | None = None,
    execution: SparseExecution | None = None,
) -> Choice:
    """The cheapest of `rank`."""
    return rank(gemm, gpu, library, mapping, caches, weights, execution)[0]


def rank(
    gemm: Gemm,
    gpu: Gpu,
    library: Library,
    mapping: Mapping,
    caches: Caches,
    weights: PlannedWeights | None = None,
    execution: SparseExecution | None = None,
) -> list[Choice]:
    """Every kernel and split-K that may compute a GEMM, cheapest first; equals stay in the menu's order.

    Matrix-vector kernels join, at the end of the menu, for dense products of one row.

    A product with packed weights is estimated as a dense one of the same number of output tiles, and of a k that is the
    mean of its thread blocks' (under padded_batch the longest tile's), at the rate of its unit.

    Parameters
    ----------
    gemm, gpu, library, mapping, caches
        As of `accelsim.mapping.gemm.plan_gemm`.
    weights, execution
        Packed weights and how they are multiplied; both or neither.

    Raises
    ------
    MappingError
        If no kernel fits, or split-K is asked of the stream strategy, whose launches have no common end to reduce at.
    """
    candidates = _candidates(gemm, gpu, library, mapping, weights, execution)
    strips = [raster_strip(with_raster(mapping, tile, execution)) for tile, _, _ in candidates]
    cycles = _estimates(gemm, gpu, library, caches, candidates, strips, execution)
    order = np.argsort(cycles, kind="stable")
    return [Choice(candidates[i][0], candidates[i][2], float(cycles[i])) for i in order]


def choose_each(
    gemm: Gemm, gpu: Gpu, library: Library, mappings: Sequence[Mapping], caches: Caches
) -> list[Choice | MappingError]:
    """`choose` of a dense product for many mappings, estimated all at once.

    Parameters
    ----------
    gemm, gpu, library, caches
        As of `rank`.
    mappings : sequence of Mapping

    Returns
    -------
    list of Choice or MappingError
        For each mapping its kernel, or why there is none.
    """
    known: dict[tuple[int | None, ...], list[Candidate] | MappingError] = {}
    found: list[list[Candidate] | MappingError] = []
    for mapping in mappings:
        key = (mapping.tile_m, mapping.tile_n, mapping.tile_k, mapping.stages, mapping.split_k)
        if key not in known:
            try:
                known[key] = _candidates(gemm, gpu, library, mapping)
            except MappingError as error:
                known[key] = error
        found.append(known[key])
    able = [(index, own) for index, own in enumerate(found) if not isinstance(own, MappingError)]
    if not able:
        return [own for own in found if isinstance(own, MappingError)]
    strips = [raster_strip(mappings[index]) for index, own in able for _ in own]
    cycles = _estimates(gemm, gpu, library, caches, [one for _, own in able for one in own], strips)
    shares = iter(np.split(cycles, np.cumsum([len(own) for _, own in able])[:-1]))
    return [own if isinstance(own, MappingError) else _cheapest(own, next(shares)) for own in found]


def _cheapest(candidates: list[Candidate], cycles: NDArray[np.float64]) -> Choice:
    best = int(np.argmin(cycles))
    tile, _, split = candidates[best]
    return Choice(tile, split, float(cycles[best]))


def _candidates(
    gemm: Gemm,
    gpu: Gpu,
    library: Library,
    mapping: Mapping,
    weights: PlannedWeights | None = None,
    execution: SparseExecution | None = None,
) -> list[Candidate]:
    """Kernels and split-K that may compute a product, in the menu's order."""
    tiles = _tiles(gemm, gpu, library, mapping, execution)
    if weights is None and gemm.m == 1:
        tiles = tiles + vector_tiles(gemm.dtype, gpu, library, mapping)
    splits = _splits(library, mapping, execution)
    sizes = [_size(gemm, tile.tile_n, weights, execution) for tile in tiles]
    return [
        (tile, size, split)
        for tile, size in zip(tiles, sizes, strict=True)
        for split in splits
        if split == splits[0] or split_applies(split, size[1], tile.tile_k, library)
    ]


def _tiles(
    gemm: Gemm, gpu: Gpu, library: Library, mapping: Mapping, execution: SparseExecution | None
) -> list[TileShape]:
    """Kernels that may compute the product, whatever split-K."""
    if execution is None:
        return candidate_tiles(gemm.dtype, gpu, library, mapping)
    tiles = candidate_tiles(gemm.dtype, gpu, library, mapping, execution.granularity, execution.unit)
    return with_depth(tiles, mapping, gpu, gemm.dtype, execution.depth_unit, execution.depth_limit)


def split_applies(
    split: IntArray | int, k: IntArray | int, tile_k: IntArray | int, library: Library
) -> NDArray[np.bool_]:
    """Whether a library cuts a main loop over k in so many shares: each has a k-step, and the loop is long enough."""
    return (np.asarray(split) <= ceil_div(k, tile_k)) & (np.asarray(k) >= library.split_k_from)


def _splits(library: Library, mapping: Mapping, execution: SparseExecution | None) -> list[int]:
    """Values of split-K to try, least first."""
    if execution is None or execution.strategy != "stream":
        if mapping.split_k is not None:
            return [mapping.split_k]
        return sorted(set(library.split_k)) if execution is None or execution.splits_by_itself else [1]
    if mapping.split_k not in (None, 1):
        raise MappingError(
            f"mapping.split_k is {mapping.split_k}, but strategy stream launches every weight tile by itself "
            "and could not add up shares; split_k of 1, or strategy merged or padded_batch"
        )
    return [1]


def _size(
    gemm: Gemm, tile_n: int, weights: PlannedWeights | None, execution: SparseExecution | None
) -> tuple[int, int]:
    """Columns and k of the dense product that stands for a GEMM in the estimate."""
    if weights is None:
        return gemm.n, gemm.k
    columns = tile_wise_columns(weights, tile_n)
    if not len(columns):
        return 1, 1
    padded = execution is not None and execution.strategy == "padded_batch"
    depth = int(columns.depth.max()) if padded else int(np.ceil(columns.depth.mean()))
    last = int(columns.n1[-1] - columns.n0[-1])
    return (len(columns) - 1) * tile_n + last, depth


def _estimates(
    gemm: Gemm,
    gpu: Gpu,
    library: Library,
    caches: Caches,
    candidates: list[Candidate],
    strips: list[int],
    execution: SparseExecution | None = None,
) -> NDArray[np.float64]:
    """Cycles that each candidate is estimated to take, walked in strips of so many columns of output tiles."""
    element = ELEMENT_BYTES[gemm.dtype]
    rows = [
        (n, k, tile.tile_m, tile.tile_n, tile.tile_k, tile.stages, occupancy(tile, gpu), split)
        for tile, (n, k), split in candidates
    ]
    n, k, tile_m, tile_n, tile_k, stages, resident, split_k = np.array(rows, dtype=np.int64).T
    activations = gemm.a_layout if execution is None else execution.activations
    a_layout: Layout = "transposed" if activations == "transposed" else "row_major"
    numbers = machine_numbers(gpu, library)
    second = caches.weights if gemm.weight is not None else caches.activations
    found = estimate_gemm(
        Product(
            m=gemm.m,
            n=n,
            k=k,
            batch=gemm.batch,
            element_bytes=element,
            output_bytes=OUTPUT_BYTES[gemm.dtype],
            weights_warm=second == "warm",
            activations_warm=caches.activations == "warm",
            dram_costs=dram_costs(gemm.k, tile_k, gemm.dtype, gpu, a_layout, gemm.b_layout),
        ),
        Candidates(
            tile_m=tile_m,
            tile_n=tile_n,
            tile_k=tile_k,
            stages=stages,
            occupancy=resident,
            split_k=split_k,
            macs_per_cycle=[macs_per_cycle(tile, gpu, library, gemm.dtype, execution) for tile, _, _ in candidates],
            shared_bytes=[sum(step_traffic(tile, gpu, element, execution)) for tile, _, _ in candidates],
            multicast=[tile.multicast if execution is None else 1 for tile, _, _ in candidates],
        ),
        numbers if execution is None else replace(numbers, few_blocks=0),
        np.array(strips),
    )
    return found.cycles


def with_raster(mapping: Mapping, tile: TileShape, execution: SparseExecution | None = None) -> Mapping:
    """The mapping with the raster order of a kernel.

    A square of eight tiles is as wide as many a product for dense kernels. Those for blocks and for single weights have
    tiles of down to four columns, of which squares would read A again for every few columns; they go along the rows.
    """
    if execution is None or execution.family not in ("block_wise", "element_wise"):
        return mapping
    if tile.tile_n >= NARROW or mapping.raster != "swizzle":
        return mapping
    return mapping.model_copy(update={"raster": "along_n"})


def raster_strip(mapping: Mapping) -> int:
    """Columns of output tiles that the raster order walks down together."""
    return {"along_m": 1, "along_n": sys.maxsize, "swizzle": mapping.swizzle_width}[mapping.raster]


def macs_per_cycle(
    tile: TileShape, gpu: Gpu, library: Library, dtype: str, execution: SparseExecution | None = None
) -> float:
    """Multiply-accumulates a cycle of one SM in the main loop of a library's kernel, pruned weights counted."""
    efficiency = library.efficiency_of(None if execution is None else execution.family)
    _, counted = step_macs(tile, execution)
    whole = tile.tile_m * tile.tile_n * tile.tile_k
    return mac_rate(gpu, dtype, tile.unit) * efficiency * whole / counted


def machine_numbers(gpu: Gpu, library: Library) -> GemmMachine:
    """The estimate's plain numbers of a GPU for a library's kernels, replayed from a graph."""
    launch = gpu.clock * (gpu.launch.graph + gpu.launch.start_drain)
    few = library.few_blocks
    return GemmMachine(
        sm_count=gpu.sm_count,
        port=gpu.l2.port,
        l2_rate=gpu.l2.bandwidth,
        load_latency=gpu.load_latency,
        dram_rate=gpu.dram.bandwidth * gpu.dram.efficiency / gpu.clock,
        miss_latency=gpu.miss_latency,
        l2_capacity=gpu.l2.capacity,
        block_setup=gpu.block_setup,
        epilogue_rate=gpu.epilogue * (library.epilogue or 1.0),
        shared_rate=gpu.shared_memory.bandwidth,
        launch=launch,
        reduce_gap=gpu.clock * gpu.launch.reduce,
        adds_per_cycle=2.0 * gpu.cuda_core["fp32"],
        few_blocks=0 if few is None else few.most,
        few_rows=0 if few is None else few.rows_over,
        few_delay=0.0 if few is None else few.delay * gpu.clock,
    )
