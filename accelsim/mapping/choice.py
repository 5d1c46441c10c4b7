"""Which kernel computes a GEMM: the cheapest by the closed-form estimate, as a vendor's library would choose."""

import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.config.hardware import Gpu, Library
from accelsim.config.scheme import Mapping, TileWise
from accelsim.config.workload import Caches
from accelsim.errors import MappingError
from accelsim.estimate.gemm import GemmMachine, estimate_gemm
from accelsim.mapping.blocks import ceil_div, tile_wise_columns
from accelsim.mapping.candidates import candidate_tiles, vector_tiles
from accelsim.mapping.plan import TileShape
from accelsim.mapping.tiles import ELEMENT_BYTES, OUTPUT_BYTES, compute_unit, mac_rate, occupancy, shared_traffic
from accelsim.model.graph import Gemm
from accelsim.pruning.packing import TileWiseWeights

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
    weights: TileWiseWeights | None = None,
    tile_wise: TileWise | None = None,
) -> Choice:
    """The cheapest of `rank`."""
    return rank(gemm, gpu, library, mapping, caches, weights, tile_wise)[0]


def rank(
    gemm: Gemm,
    gpu: Gpu,
    library: Library,
    mapping: Mapping,
    caches: Caches,
    weights: TileWiseWeights | None = None,
    tile_wise: TileWise | None = None,
) -> list[Choice]:
    """Every kernel and split-K that may compute a GEMM, cheapest first; equals stay in the menu's order.

    Matrix-vector kernels join, at the end of the menu, for dense products of one row.

    A tile-wise product is estimated as a dense one of the same number of output tiles, and of a k that is the mean of
    its thread blocks' (under padded_batch the longest tile's).

    Parameters
    ----------
    gemm, gpu, library, mapping, caches, weights, tile_wise
        As of `accelsim.mapping.gemm.plan_gemm`.

    Raises
    ------
    MappingError
        If no kernel fits, or split-K is asked of the stream strategy, whose launches have no common end to reduce at.
    """
    granularity = tile_wise.granularity if weights is not None and tile_wise is not None else None
    tiles = candidate_tiles(gemm.dtype, gpu, library, mapping, granularity)
    streams = weights is not None and tile_wise is not None and tile_wise.strategy == "stream"
    splits = _splits(library, mapping, streams)
    sizes = [_size(gemm, tile.tile_n, weights, tile_wise) for tile in tiles]
    pairs = [
        (index, split)
        for index, tile in enumerate(tiles)
        for split in splits
        if split == splits[0] or split <= int(ceil_div(sizes[index][1], tile.tile_k))
    ]
    if weights is None and gemm.m == 1:
        vector = vector_tiles(gemm.dtype, gpu, library, mapping)
        pairs += [(len(tiles) + index, 1) for index in range(len(vector))]
        tiles, sizes = tiles + vector, sizes + [(gemm.n, gemm.k)] * len(vector)
    cycles = _estimates(gemm, gpu, library, mapping, caches, [(tiles[i], sizes[i], split) for i, split in pairs])
    order = np.argsort(cycles, kind="stable")
    return [Choice(tiles[pairs[i][0]], pairs[i][1], float(cycles[i])) for i in order]


def _splits(library: Library, mapping: Mapping, streams: bool) -> list[int]:
    """Values of split-K to try, least first."""
    if not streams:
        return sorted(set(library.split_k)) if mapping.split_k is None else [mapping.split_k]
    if mapping.split_k not in (None, 1):
        raise MappingError(
            f"mapping.split_k is {mapping.split_k}, but tile_wise.strategy stream launches every weight tile by itself "
            "and could not add up shares; split_k of 1, or strategy merged or padded_batch"
        )
    return [1]


def _size(gemm: Gemm, tile_n: int, weights: TileWiseWeights | None, tile_wise: TileWise | None) -> tuple[int, int]:
    """Columns and k of the dense product that stands for a GEMM in the estimate."""
    if weights is None:
        return gemm.n, gemm.k
    columns = tile_wise_columns(weights, tile_n)
    if not len(columns):
        return 1, 1
    padded = tile_wise is not None and tile_wise.strategy == "padded_batch"
    depth = int(columns.depth.max()) if padded else int(np.ceil(columns.depth.mean()))
    last = int(columns.n1[-1] - columns.n0[-1])
    return (len(columns) - 1) * tile_n + last, depth


def _estimates(
    gemm: Gemm, gpu: Gpu, library: Library, mapping: Mapping, caches: Caches, candidates: list[Candidate]
) -> NDArray[np.float64]:
    """Cycles that each candidate is estimated to take."""
    element = ELEMENT_BYTES[gemm.dtype]
    rows = [
        (n, k, tile.tile_m, tile.tile_n, tile.tile_k, tile.stages, occupancy(tile, gpu), split)
        for tile, (n, k), split in candidates
    ]
    n, k, tile_m, tile_n, tile_k, stages, resident, split_k = np.array(rows, dtype=np.int64).T
    return estimate_gemm(
        gemm.m,
        n,
        k,
        gemm.batch,
        element,
        tile_m,
        tile_n,
        tile_k,
        stages,
        resident,
        split_k,
        machine_numbers(gpu, library, gemm.dtype),
        weights_warm=(caches.weights if gemm.weight is not None else caches.activations) == "warm",
        activations_warm=caches.activations == "warm",
        output_bytes=OUTPUT_BYTES[gemm.dtype],
        shared_bytes=[sum(shared_traffic(tile, gpu, element)) for tile, _, _ in candidates],
        strip=raster_strip(mapping),
        macs_per_cycle=[macs_per_cycle(tile, gpu, library, gemm.dtype) for tile, _, _ in candidates],
    )


def raster_strip(mapping: Mapping) -> int:
    """Columns of output tiles that the raster order walks down together."""
    return {"along_m": 1, "along_n": sys.maxsize, "swizzle": mapping.swizzle_width}[mapping.raster]


def macs_per_cycle(tile: TileShape, gpu: Gpu, library: Library, dtype: str) -> float:
    """Multiply-accumulates a cycle of one SM in the main loop of a library's kernel."""
    return mac_rate(gpu, dtype, tile.unit) * library.efficiency


def machine_numbers(gpu: Gpu, library: Library, dtype: str) -> GemmMachine:
    """The estimate's plain numbers of a GPU for a library's kernels on operands of a format, replayed from a graph.

    Raises
    ------
    MappingError
        If the machine cannot multiply this format.
    """
    launch = gpu.clock * (gpu.launch.graph + gpu.launch.start_drain)
    return GemmMachine(
        sm_count=gpu.sm_count,
        macs_per_cycle=mac_rate(gpu, dtype, compute_unit(dtype, gpu)) * library.efficiency,
        port=gpu.l2.port,
        l2_rate=gpu.l2.bandwidth,
        load_latency=gpu.load_latency,
        dram_rate=gpu.dram.bandwidth * gpu.dram.efficiency / gpu.clock,
        miss_latency=gpu.miss_latency,
        l2_capacity=gpu.l2.capacity,
        block_setup=gpu.block_setup,
        epilogue_rate=gpu.epilogue,
        shared_rate=gpu.shared_memory.bandwidth,
        launch=launch,
        reduce_gap=gpu.clock * gpu.launch.reduce,
        adds_per_cycle=2.0 * gpu.cuda_core["fp32"],
    )
