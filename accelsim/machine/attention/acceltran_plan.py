"""What AccelTran's buffers hold of a layer's attention, and what moves between them, lanes and DRAM: arithmetic."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import MappingError
from accelsim.machine.attention.pe_array import ceil_div

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Shape:
    """Sizes of a layer's attention, of its tiles and of the buffers."""

    unit: str
    heads: int
    sequence: int
    head_dim: int
    tile: int
    bits: int
    """Of an activation."""
    lanes: int
    activation_buffer: int
    mask_buffer: int

    @property
    def row_tiles(self) -> int:
        """Row tiles of a head; as many key tiles."""
        return ceil_div(self.sequence, self.tile)

    @property
    def depth_tiles(self) -> int:
        """Tiles along head_dim."""
        return ceil_div(self.head_dim, self.tile)

    @property
    def row_bytes(self) -> int:
        """Of one row of Q, K, V or the output."""
        return ceil_div(self.head_dim * self.bits, 8)

    def held(self, operand_rows: int, score_rows: int) -> tuple[int, int]:
        """Bytes in the buffers of activations and of masks for rows of operands and rows of scores, none of them 0."""
        masks = ceil_div(operand_rows * self.head_dim + score_rows * self.sequence, 8)
        return operand_rows * self.row_bytes + ceil_div(score_rows * self.sequence * self.bits, 8), masks

    def fits(self, operand_rows: int, score_rows: int) -> bool:
        """Whether the buffers hold so much, even if nothing of it is pruned."""
        activations, masks = self.held(operand_rows, score_rows)
        return activations <= self.activation_buffer and masks <= self.mask_buffer


@dataclass(frozen=True)
class Plan:
    """Batches of row tiles that share operands in the buffer."""

    head: IntArray
    """[batches]"""
    row_tiles: IntArray
    """[batches]"""
    key_bytes: IntArray
    """[batches] of Q and K from DRAM."""
    value_bytes: IntArray
    """[batches] of V."""
    output_bytes: IntArray
    """[batches] to DRAM."""
    resident: int
    """Batches whose operands the buffers hold together."""
    in_flight: int
    """Row tiles whose scores or probabilities they hold beside."""


def _most(fits: list[bool]) -> int:
    """How many of the first entries hold."""
    return fits.index(False) if False in fits else len(fits)


def plan_buffers(shape: Shape) -> Plan:
    """How many heads, or how much of one, the buffers hold together.

    Room is first for one head, then for the scores of so many row tiles that lanes need not wait for softmax, then for
    more heads, then for more scores. The output takes the place of Q. A head that does not fit is worked on in groups
    of row tiles, for each of which K and V pass through the buffer once more, tile by tile.

    Raises
    ------
    MappingError
        When one row tile's scores do not fit.
    """
    n, tile, tiles = shape.sequence, shape.tile, shape.row_tiles
    wanted = 1 + 2 * ceil_div(shape.lanes, tiles * shape.depth_tiles)
    wanted = min(wanted, shape.heads * tiles)
    resident = max(1, _most([shape.fits(3 * n * (h + 1), wanted * tile) for h in range(shape.heads)]))
    in_flight = _most([shape.fits(3 * n * resident, (r + 1) * tile) for r in range(shape.heads * tiles)])
    if in_flight:
        return _plan(shape, tiles, resident, in_flight)
    group = _most([shape.fits((2 + r + 1) * tile, (r + 1) * tile) for r in range(tiles)])
    if not group:
        activations, masks = shape.held(3 * tile, tile)
        raise MappingError(
            f"sequence {n} does not fit {shape.unit}: scores of {tile} queries with a tile of Q, K and V take "
            f"{activations} B and {masks} B of masks; allowed: {shape.activation_buffer} B (activation_buffer) and "
            f"{shape.mask_buffer} B (mask_buffer)"
        )
    return _plan(shape, group, 1, group)


def _plan(shape: Shape, group: int, resident: int, in_flight: int) -> Plan:
    """Heads in groups of so many row tiles."""
    tiles, n = shape.row_tiles, shape.sequence
    sizes = np.array([min(group, tiles - first) for first in range(0, tiles, group)], dtype=np.int64)
    rows = np.array([min(n, first + group * shape.tile) - first for first in range(0, n, group * shape.tile)])
    matrix = n * shape.row_bytes
    queries = rows * shape.row_bytes
    repeat = shape.heads
    return Plan(
        np.repeat(np.arange(repeat), len(sizes)),
        np.tile(sizes, repeat),
        np.tile(queries + matrix, repeat),
        np.full(repeat * len(sizes), matrix, dtype=np.int64),
        np.tile(queries, repeat),
        resident,
        in_flight,
    )


def buffer_traffic(shape: Shape, plan: Plan, nonzero: IntArray) -> tuple[int, int]:
    """Bytes that the buffers of activations and of masks take in and give out.

    Activations move without their zeros, each with a bit of its mask, whether zero or not. A tile of products reads
    both of its operands' tiles; partial sums stay at the lanes (slices of a dot product are innermost in the loop
    order), and outputs of every step are written once. Softmax reads scores and writes probabilities.

    Parameters
    ----------
    nonzero : int64 [heads, 6]
        Kept activations by kind (`accelsim.kernels.dynatran.ACTIVATIONS`).
    """
    tiles, depth = shape.row_tiles, shape.depth_tiles
    n, head_dim = shape.sequence, shape.head_dim
    passes = len(plan.head) // shape.heads
    moved = np.array(
        [
            1 + tiles,  # Q: written once, read for every key tile
            tiles + passes,  # K, V: read for every row tile
            tiles + passes,
            2,  # scores: written and read
            1 + depth,  # probabilities: written, read for every tile of head_dim
            2,  # output: written, read for DRAM
        ],
        dtype=np.int64,
    )
    sizes = np.array([n * head_dim] * 3 + [n * n] * 2 + [n * head_dim], dtype=np.int64)
    activations = int((nonzero * moved).sum()) * shape.bits
    masks = int((sizes * moved).sum()) * shape.heads
    return ceil_div(activations, 8), ceil_div(masks, 8)
