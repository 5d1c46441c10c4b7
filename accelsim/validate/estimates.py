"""The closed form for many dense products at once: what `accelsim.mapping.choice.rank` puts first for each.

One call of the estimate takes every candidate kernel of several products, so that a product costs well under a
millisecond where `rank`, product by product, takes several.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.config.hardware import Gpu, Library
from accelsim.config.options import Mapping
from accelsim.config.workload import Caches
from accelsim.estimate.actions import gemm_actions
from accelsim.estimate.gemm import Candidates, GemmMachine, GemmTime, Product, estimate_gemm
from accelsim.mapping.blocks import ceil_div
from accelsim.mapping.candidates import candidate_tiles, vector_tiles
from accelsim.mapping.choice import machine_numbers, macs_per_cycle, raster_strip, split_applies
from accelsim.mapping.layout import dram_costs
from accelsim.mapping.plan import TileShape
from accelsim.mapping.tiles import ELEMENT_BYTES, OUTPUT_BYTES, occupancy, shared_traffic
from accelsim.model.graph import Gemm

_AT_ONCE = 32
"""Products estimated together: few enough that the arrays stay in the processor's caches."""


@dataclass(frozen=True)
class Estimate:
    """The kernel that is estimated to be the fastest for a product."""

    tile: TileShape
    split_k: int
    """Shares of k that there really are."""
    waves: float
    """Thread blocks over those that the device holds at once."""
    seconds: float
    """Without what precedes the first thread block, and at full clock."""
    actions: dict[str, int]
    """By the names of `accelsim.config.actions`."""


def estimate_dense(
    gemms: Sequence[Gemm],
    caches: Sequence[Caches],
    gpu: Gpu,
    library: Library,
    mapping: Mapping,
    changes: dict[str, Any] | None = None,
) -> list[Estimate]:
    """The fastest kernel of a library for each of several dense products of one format.

    Parameters
    ----------
    gemms : sequence of Gemm
        Of one dtype; with weights, or all without.
    caches : sequence of Caches
        What lies in L2 when each begins.
    gpu, library, mapping
        The machine, its menu, and what is fixed.
    changes : dict, optional
        Of the closed form's numbers, by name (`accelsim.estimate.gemm.GemmMachine`).

    Raises
    ------
    MappingError
        If no kernel fits the machine.
    """
    dtype = gemms[0].dtype
    tiles, vector = candidate_tiles(dtype, gpu, library, mapping), vector_tiles(dtype, gpu, library, mapping)
    splits = sorted(set(library.split_k)) if mapping.split_k is None else [mapping.split_k]
    every = tiles + vector
    numbers = replace(machine_numbers(gpu, library), **(changes or {}))
    candidates = _Candidates(
        tiles=[tile for tile in every for _ in splits],
        splits=splits * len(every),
        gpu=gpu,
        library=library,
        dtype=dtype,
        strip=raster_strip(mapping),
    )
    found = []
    for begin in range(0, len(gemms), _AT_ONCE):
        some = gemms[begin : begin + _AT_ONCE]
        times = candidates.times(some, caches[begin : begin + _AT_ONCE], numbers)
        best = np.argmin(times.cycles, axis=1)
        each = np.arange(len(some))
        seconds, reads = (times.cycles[each, best] - numbers.launch) / gpu.clock, times.dram_read[each, best]
        found += [
            candidates.estimate(gemm, int(at), float(time), int(read))
            for gemm, at, time, read in zip(some, best, seconds, reads, strict=True)
        ]
    return found


@dataclass(frozen=True)
class _Candidates:
    """Every tile with every split-K, tile by tile; matrix-vector kernels last."""

    tiles: list[TileShape]
    """[candidates]"""
    splits: list[int]
    """[candidates]"""
    gpu: Gpu
    library: Library
    dtype: str
    strip: int

    def estimate(self, gemm: Gemm, index: int, seconds: float, dram_read: int) -> Estimate:
        """A product under the candidate of an index."""
        tile = self.tiles[index]
        steps = int(ceil_div(gemm.k, tile.tile_k))
        shares = int(ceil_div(steps, ceil_div(steps, self.splits[index])))
        blocks = gemm.batch * int(ceil_div(gemm.m, tile.tile_m) * ceil_div(gemm.n, tile.tile_n)) * shares
        element = ELEMENT_BYTES[self.dtype]
        moved = sum(shared_traffic(tile, self.gpu, element))
        shape = (tile.tile_m, tile.tile_n, tile.tile_k)
        sizes = (gemm.m, gemm.n, gemm.k, gemm.batch)
        output = OUTPUT_BYTES[self.dtype]
        actions = gemm_actions(*sizes, shape, shares, element, output, moved, dram_read, tile.multicast)
        actions[f"{tile.unit.removesuffix('_core')}_mac_{self.dtype}"] = actions.pop("mac")
        return Estimate(tile, shares, blocks / (self.gpu.sm_count * occupancy(tile, self.gpu)), seconds, actions)

    @cached_property
    def kernels(self) -> Candidates:
        """As the closed form takes them."""
        element = ELEMENT_BYTES[self.dtype]
        shapes = [
            (tile.tile_m, tile.tile_n, tile.tile_k, tile.stages, occupancy(tile, self.gpu), tile.multicast)
            for tile in self.tiles
        ]
        tile_m, tile_n, tile_k, stages, resident, multicast = np.array(shapes, np.int64).T
        return Candidates(
            tile_m=tile_m,
            tile_n=tile_n,
            tile_k=tile_k,
            stages=stages,
            occupancy=resident,
            split_k=np.array(self.splits, np.int64),
            macs_per_cycle=[macs_per_cycle(tile, self.gpu, self.library, self.dtype) for tile in self.tiles],
            shared_bytes=[sum(shared_traffic(tile, self.gpu, element)) for tile in self.tiles],
            multicast=multicast,
        )

    def costs(self, gemms: Sequence[Gemm]) -> NDArray[np.float64]:
        """[operand, products, candidates] DRAM time of a byte over that of a long stream."""
        depth = np.array([tile.tile_k for tile in self.tiles], np.int64)
        rows = [dram_costs(gemm.k, depth, self.dtype, self.gpu, gemm.a_layout, gemm.b_layout) for gemm in gemms]
        return np.array(rows).transpose(1, 0, 2)

    def times(self, gemms: Sequence[Gemm], caches: Sequence[Caches], numbers: GemmMachine) -> GemmTime:
        """[products, candidates] cycles, infinite for those that do not compute it, and reads."""
        sizes = [(gemm.m, gemm.n, gemm.k, gemm.batch) for gemm in gemms]
        m, n, k, batch = np.array(sizes, np.int64).T[:, :, None]
        warm = np.array([_warm(gemm, state) for gemm, state in zip(gemms, caches, strict=True)])
        weights_warm, activations_warm = warm.T[:, :, None]
        a_cost, b_cost = self.costs(gemms)
        product = Product(
            m=m,
            n=n,
            k=k,
            batch=batch,
            element_bytes=ELEMENT_BYTES[self.dtype],
            output_bytes=OUTPUT_BYTES[self.dtype],
            weights_warm=weights_warm,
            activations_warm=activations_warm,
            dram_costs=(a_cost, b_cost),
        )
        found = estimate_gemm(product, self.kernels, numbers, self.strip)
        split, tile_k = np.asarray(self.kernels.split_k), np.asarray(self.kernels.tile_k)
        allowed = (split == self.splits[0]) | split_applies(split, k, tile_k, self.library)
        one_row_only = np.array([tile.unit == "cuda_core" and tile.tile_m == 1 for tile in self.tiles])
        return GemmTime(np.where(allowed & ((m == 1) | ~one_row_only), found.cycles, np.inf), found.dram_read)


def _warm(gemm: Gemm, caches: Caches) -> tuple[bool, bool]:
    """Whether weights and activations lie in L2; second operands that are no weights are activations."""
    second = caches.activations if gemm.weight is None else caches.weights
    return second == "warm", caches.activations == "warm"
