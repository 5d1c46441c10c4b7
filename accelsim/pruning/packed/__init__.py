"""Packed forms of sparse weights, one for each shape of mask."""

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from accelsim.errors import OperandError
from accelsim.pruning.masks import (
    BlockWiseMask,
    ElementWiseMask,
    GroupMask,
    Mask,
    TileElementWiseMask,
    TileVectorWiseMask,
)
from accelsim.pruning.pack import pack
from accelsim.pruning.packed.blocks import BlockWeights, pack_block_wise
from accelsim.pruning.packed.elements import (
    ElementWeights,
    TileElementWeights,
    pack_elements,
    pack_tile_element_wise,
)
from accelsim.pruning.packed.groups import (
    GroupedWeights,
    pack_group_mask,
    pack_groups,
    pack_tile_vector_wise,
)
from accelsim.pruning.packing import TileWiseWeights
from accelsim.pruning.tile_wise import TileWiseMask

__all__ = [
    "BlockWeights",
    "ElementWeights",
    "GroupedWeights",
    "Packed",
    "TileElementWeights",
    "pack_block_wise",
    "pack_elements",
    "pack_groups",
    "pack_mask",
    "pack_tile_element_wise",
    "pack_tile_vector_wise",
]

Packed = BlockWeights | ElementWeights | GroupedWeights | TileElementWeights | TileWiseWeights

_PACKERS: dict[type, Callable[[NDArray[Any] | None, Any], Packed]] = {
    BlockWiseMask: pack_block_wise,
    ElementWiseMask: lambda weights, mask: pack_elements(weights, mask.dense),
    GroupMask: pack_group_mask,
    TileElementWiseMask: pack_tile_element_wise,
    TileVectorWiseMask: pack_tile_vector_wise,
    TileWiseMask: pack,
}


def pack_mask(weights: NDArray[Any] | None, mask: Mask) -> Packed:
    """Weights in the packed form that their mask calls for.

    Parameters
    ----------
    weights : array [k, n] or None
        None packs the mask alone. Nothing is read of a pruned weight.
    mask : Mask

    Raises
    ------
    OperandError
        For weights of another shape, a mask that is not of its pattern, or an unknown kind of mask.
    """
    packer = _PACKERS.get(type(mask))
    if packer is None:
        names = ", ".join(kind.__name__ for kind in _PACKERS)
        raise OperandError(f"{type(mask).__name__} has no packed form; allowed: {names}")
    return packer(weights, mask)
