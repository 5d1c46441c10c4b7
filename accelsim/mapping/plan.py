"""What a GEMM becomes: a kernel tile, thread blocks in launch order, launches. Values of planning; no logic."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.config.hardware import KernelFamily
from accelsim.config.pattern_options import TileWise
from accelsim.model.graph import Gemm
from accelsim.pruning.packed.blocks import BlockWeights
from accelsim.pruning.packed.elements import ElementWeights
from accelsim.pruning.packed.groups import GroupedWeights, place_bits
from accelsim.pruning.packing import TileWiseWeights

PlannedWeights = TileWiseWeights | GroupedWeights | BlockWeights | ElementWeights
"""Packed weights that one kernel multiplies; tile-element-wise ones are two kernels."""

IntArray = NDArray[np.int64]

MAX_CHUNK = 16
"""K-steps that one event stands for at most."""

BLOCK_WISE_EVENTS = 50
"""So many times the events wanted are spent on block-wise weights before their k-steps are joined. Blocks of a column
lie apart, and a chunk of several would touch, at once, all of A that lies between them."""


@dataclass(frozen=True)
class TileShape:
    """A kernel's thread-block tile and what one thread block occupies."""

    tile_m: int
    tile_n: int
    tile_k: int
    stages: int
    threads: int
    registers: int
    """32-bit registers of the thread block."""
    shared_bytes: int
    """stages x (tile_m + tile_n) x tile_k x operand bytes; 2:4 weights take less."""
    unit: str = "tensor_core"
    """tensor_core, sparse_tensor_core or cuda_core."""
    multicast: int = 1
    """Neighbouring thread blocks that L2 delivers a shared operand tile to at once."""


@dataclass(frozen=True)
class BlockTable:
    """Thread blocks in launch order, one row each. Every array is int64 [blocks].

    Columns of a tile-wise product are compact: n0 and n1 count kept columns, k0 and k1 kept rows of `weight_tile`.
    """

    batch: IntArray
    m0: IntArray
    m1: IntArray
    n0: IntArray
    n1: IntArray
    k0: IntArray
    k1: IntArray
    weight_tile: IntArray
    """Tile of the packed weights that the block multiplies; 0 for dense."""
    split: IntArray
    """Index of the block's share of k under split-K."""

    def __len__(self) -> int:
        return len(self.m0)

    @property
    def macs(self) -> IntArray:
        """Multiply-accumulates of each block if all weights within its ranges are kept: padding not counted."""
        result: IntArray = (self.m1 - self.m0) * (self.n1 - self.n0) * (self.k1 - self.k0)
        return result


@dataclass(frozen=True)
class LaunchPlan:
    """A kernel launch: a run of thread blocks that the scheduler deals out in order."""

    name: str
    first_block: int
    block_count: int
    stream: int = 0


@dataclass(frozen=True)
class SparseExecution:
    """How a kernel executes a product with packed weights."""

    family: KernelFamily
    unit: str | None = None
    """Left out, whatever multiplies the format on the machine."""
    granularity: int | None = None
    """Columns of a weight tile, which none of its kernels is wider than."""
    strategy: str = "merged"
    streams: int = 1
    activations: str = "transposed"
    depth_unit: int = 1
    """K-steps are whole multiples of so many rows (a group)."""
    depth_limit: int | None = None
    """Rows of a k-step at most, unless the mapping fixes them."""
    packing: tuple[int, int] | None = None
    """Values that a group holds and rows that it stands for, of weights that the unit reads packed; None when they are
    dense tiles once they are loaded."""

    @classmethod
    def of_tile_wise(cls, options: TileWise) -> "SparseExecution":
        """That of tile-wise weights."""
        return cls("tile_wise", None, options.granularity, options.strategy, options.streams, options.activations)

    @property
    def splits_by_itself(self) -> bool:
        """Whether split-K is tried without being asked for: libraries for other weights do not share out k."""
        return self.family == "tile_wise"

    def packed_bytes(self, rows: int, columns: int, element_bytes: int) -> int:
        """Bytes of a tile of weights as the unit reads it, with the places of values in their groups."""
        if self.packing is None:
            return rows * columns * element_bytes
        values = self.kept_rows(rows) * columns
        return values * element_bytes + -(-values * place_bits(self.packing[1]) // 8)

    def kept_rows(self, rows: int) -> int:
        """Values that a column has of so many rows of weights."""
        if self.packing is None:
            return rows
        slots, group = self.packing
        return -(-rows // group) * slots


@dataclass(frozen=True)
class GemmPlan:
    """A GEMM cut into thread blocks."""

    gemm: Gemm
    tile: TileShape
    blocks: BlockTable
    launches: tuple[LaunchPlan, ...]
    split_k: int
    steps_per_chunk: int
    """K-steps that one simulated event stands for: 1, or at least stages - 1."""
    activations: str = "transposed"
    shared_layout: str = "swizzled"
    efficiency: float = 1.0
    """Of the library that the kernel is from: its main loop's rate over the machine's."""
    epilogue: float = 1.0
    """Likewise of its epilogue."""
    weights: PlannedWeights | None = None
    """Packed weights; None when the product is dense."""
    padded_k: int | None = None
    """Under the padded-batch strategy, the k that every block runs through (zeros after its own)."""
    execution: SparseExecution | None = None
    """How packed weights are multiplied; None when the product is dense."""
    start_delay: float = 0.0
    """Seconds by which its kernels start later than others."""
    onto: bool = False
    """Whether it adds to outputs that another kernel has written."""


def steps_per_chunk(steps: IntArray, tile: TileShape, max_events: int) -> int:
    """K-steps for one simulated event, so that thread blocks of so many k-steps have about `max_events`: one, or at
    least those in flight.

    Never more than `MAX_CHUNK` (unless more are in flight): chunks of a wave that outgrow L2 together would evict each
    other before they are shared, and DRAM traffic would be that of the chunks and not of the kernel.
    """
    total = int(steps.sum())
    if total <= max_events:
        return 1
    return max(min(-(-total // max_events), MAX_CHUNK), tile.stages - 1)
