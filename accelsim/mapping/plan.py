"""What a GEMM becomes: a kernel tile, thread blocks in launch order, launches. Values of planning; no logic."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.model.graph import Gemm
from accelsim.pruning.packing import TileWiseWeights

IntArray = NDArray[np.int64]


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
    """stages x (tile_m + tile_n) x tile_k x operand bytes."""
    unit: str = "tensor_core"
    """tensor_core or cuda_core."""


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
    """Tile of `TileWiseWeights` that the block multiplies; 0 for dense."""
    split: IntArray
    """Index of the block's share of k under split-K."""

    def __len__(self) -> int:
        return len(self.m0)

    @property
    def macs(self) -> IntArray:
        """Multiply-accumulates of each block: the elements that it covers, padding not counted."""
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
    weights: TileWiseWeights | None = None
    """Packed weights of a tile-wise product; None when it is dense."""
    padded_k: int | None = None
    """Under the padded-batch strategy, the k that every block runs through (zeros after its own)."""
