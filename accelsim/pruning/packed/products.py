"""Product and counts of packed weights, whatever their form."""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from accelsim.errors import OperandError
from accelsim.kernels.gemm import tile_wise_product
from accelsim.kernels.output_tiles import Blocks
from accelsim.kernels.sectors import ActivationLayout
from accelsim.kernels.sparse_blocks import block_sparse_product
from accelsim.kernels.sparse_counts import (
    SparseCounts,
    count_block_sparse,
    count_elements,
    count_groups,
    count_tile_wise,
)
from accelsim.kernels.sparse_elements import element_product, tile_element_product
from accelsim.kernels.sparse_groups import grouped_product
from accelsim.pruning.packed import Packed
from accelsim.pruning.packed.blocks import BlockWeights
from accelsim.pruning.packed.elements import ElementWeights, TileElementWeights
from accelsim.pruning.packed.groups import GroupedWeights
from accelsim.pruning.packing import TileWiseWeights

_PRODUCTS: dict[type, Callable[..., NDArray[Any]]] = {
    BlockWeights: block_sparse_product,
    ElementWeights: element_product,
    GroupedWeights: grouped_product,
    TileWiseWeights: tile_wise_product,
}

_COUNTS: dict[type, Callable[..., SparseCounts]] = {
    BlockWeights: count_block_sparse,
    ElementWeights: count_elements,
    GroupedWeights: count_groups,
    TileWiseWeights: count_tile_wise,
}


def _overlay_blocks(blocks: Blocks | None) -> Blocks:
    if blocks is None:
        raise OperandError("weights with an overlay need overlay_blocks, the thread blocks of the overlay's product")
    return blocks


def packed_product(
    a: NDArray[Any],
    weights: Packed,
    blocks: Blocks,
    overlay_blocks: Blocks | None = None,
    *,
    threads: int | None = None,
) -> NDArray[Any]:
    """Output of a plan with packed weights, computed from their packed form.

    Parameters
    ----------
    a : array of float32 or int8, [batch, m, k]
    weights : Packed
        With values.
    blocks : Blocks
        Thread blocks, each within a tile of the weights (`weights.column_start`, `weights.row_count`): of a
        tile-element-wise matrix, thread blocks of its tiles.
    overlay_blocks : Blocks, optional
        Those of the overlay, for tile-element-wise weights alone.
    threads : int, optional
        Default: Numba's number of threads.

    Returns
    -------
    array of float32 or int32, [batch, m, n]

    Raises
    ------
    OperandError
        When tile-element-wise weights come without `overlay_blocks`.
    ValueError
        When shapes or types do not match, or something leads outside the operands.
    """
    if isinstance(weights, TileElementWeights):
        over = _overlay_blocks(overlay_blocks)
        return tile_element_product(a, weights.tile_wise, blocks, weights.overlay, over, threads=threads)
    return _PRODUCTS[type(weights)](a, weights, blocks, threads=threads)


def count_packed(
    weights: Packed, blocks: Blocks, m: int, element_bytes: int, output_bytes: int, *, tile_k: int = 0,
    layout: ActivationLayout = "transposed", onto: bool = False,
) -> SparseCounts:  # fmt: skip
    """Counts of one kernel: parameters and errors are those of `packed_counts`, but for weights without an overlay.

    With `onto`, element-wise weights are an overlay themselves.
    """
    shape = m, element_bytes, output_bytes
    if isinstance(weights, ElementWeights):
        return count_elements(weights, blocks, *shape, tile_k=tile_k, layout=layout, onto=onto)
    return _COUNTS[type(weights)](weights, blocks, *shape, tile_k=tile_k, layout=layout)


def packed_counts(
    weights: Packed, blocks: Blocks, m: int, element_bytes: int, output_bytes: int,
    overlay_blocks: Blocks | None = None, *, tile_k: int = 0, layout: ActivationLayout = "transposed",
) -> tuple[SparseCounts, ...]:  # fmt: skip
    """What each thread block of a plan with packed weights does.

    Parameters
    ----------
    weights : Packed
        Values are not needed.
    blocks, overlay_blocks : Blocks
        As of `packed_product`.
    m : int
        Output rows.
    element_bytes, output_bytes : int
        Of an operand's element (1, 2, 4 or 8) and of an output.
    tile_k : int
        Rows of a k-step; 0 takes all rows of a thread block as one. An overlay's k-steps are of so many elements.
    layout : str
        A as ``transposed`` [k, m] or ``row_major`` [m, k].

    Returns
    -------
    tuple of SparseCounts
        One for each kernel: two for tile-element-wise weights, tiles first.

    Raises
    ------
    OperandError, ValueError
        As `packed_product`.
    """
    shape = m, element_bytes, output_bytes
    if isinstance(weights, TileElementWeights):
        over = _overlay_blocks(overlay_blocks)
        return (
            count_tile_wise(weights.tile_wise, blocks, *shape, tile_k=tile_k, layout=layout),
            count_elements(weights.overlay, over, *shape, tile_k=tile_k, layout=layout, onto=True),
        )
    return (_COUNTS[type(weights)](weights, blocks, *shape, tile_k=tile_k, layout=layout),)
