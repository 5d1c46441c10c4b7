"""Whatever the pattern: pack its mask, cut its tiles into thread blocks, multiply, count."""

import numpy as np
import pytest

from accelsim.errors import OperandError
from accelsim.mapping.blocks import build_blocks, tile_wise_columns
from accelsim.mapping.counts import count_blocks
from accelsim.mapping.plan import BlockTable, GemmPlan, TileShape
from accelsim.model.graph import Gemm
from accelsim.pruning.masks import BlockWiseMask, ElementWiseMask, GroupMask, Mask, TileElementWiseMask
from accelsim.pruning.packed import TileElementWeights, pack_mask
from accelsim.pruning.packed.products import packed_counts, packed_product
from accelsim.pruning.packing import TileWiseWeights
from accelsim.pruning.seeded import seeded_mask
from tests.kernels.sparse_cases import group_mask, operand, tile_vector_mask
from tests.mapping.machines import gpu

K, N, M = 96, 80, 50
GEMM = Gemm("product", M, N, K)
DENSE = group_mask(K, N, 2, 4, 0)
TILES = seeded_mask(K, N, 0.5, 32, 0)
MASKS: dict[str, Mask] = {
    "element_wise": ElementWiseMask(np.random.default_rng(0).random((K, N)) < 0.2),
    "n_m": GroupMask(DENSE, 4, 2),
    "vector_wise": GroupMask(group_mask(K, N, 4, 16, 0), 16, 4),
    "block_wise": BlockWiseMask(K, N, 32, 32, np.eye(3, dtype=bool)),
    "tile_wise": TILES,
    "tile_element_wise": TileElementWiseMask(TILES, np.random.default_rng(1).random((K, N)) < 0.05),
    "tile_vector_wise": tile_vector_mask(K, N, 32, 2, 4, 0),
}


def blocks_of(weights: TileWiseWeights) -> BlockTable:
    """As a plan cuts tile-wise weights; every packed form can be cut so."""
    return build_blocks(GEMM, tile_wise_columns(weights, 32), (16, 32), 1, ("along_m", 1))


@pytest.mark.parametrize("name", MASKS)
def test_product_and_counts(name: str) -> None:
    mask = MASKS[name]
    a, weights = operand((1, M, K), "fp16", 1), operand((K, N), "fp16", 2)
    packed = pack_mask(weights, mask)
    overlay = None
    if isinstance(packed, TileElementWeights):
        blocks, overlay = blocks_of(packed.tile_wise), blocks_of(packed.overlay)  # type: ignore[arg-type]
    else:
        blocks = blocks_of(packed)  # type: ignore[arg-type]
    kept = mask.to_dense()
    np.testing.assert_allclose(
        packed_product(a, packed, blocks, overlay), a @ np.where(kept, weights, 0), rtol=0, atol=1e-4
    )
    counts = packed_counts(packed, blocks, M, 2, 2, overlay, tile_k=32)
    assert len(counts) == 1 + (overlay is not None)
    assert sum(part.effectual_macs.sum() for part in counts) == M * kept.sum()


def test_an_overlay_needs_thread_blocks() -> None:
    packed = pack_mask(np.ones((K, N)), MASKS["tile_element_wise"])
    assert isinstance(packed, TileElementWeights)
    blocks = blocks_of(packed.tile_wise)
    with pytest.raises(OperandError, match="need overlay_blocks"):
        packed_product(np.ones((1, M, K), np.float32), packed, blocks)
    with pytest.raises(OperandError, match="need overlay_blocks"):
        packed_counts(packed, blocks, M, 2, 2)


@pytest.mark.parametrize("activations", ["transposed", "row_major"])
def test_tiles_are_counted_as_their_plan_counts_them(activations: str) -> None:
    packed = pack_mask(None, TILES)
    assert isinstance(packed, TileWiseWeights)
    blocks = blocks_of(packed)
    tile = TileShape(16, 32, 32, 2, 128, 8192, 6144)
    plan = GemmPlan(GEMM, tile, blocks, (), 1, 1, activations=activations, weights=packed)
    expected = count_blocks(plan, gpu())
    (counts,) = packed_counts(packed, blocks, M, 2, 2, tile_k=32, layout=activations)  # type: ignore[arg-type]
    for name, other in (
        ("effectual_macs", "macs"),
        ("load_a_bytes", "load_a_bytes"),
        ("load_a_sectors", "load_a_sectors"),
        ("load_value_bytes", "load_b_bytes"),
        ("load_value_sectors", "load_b_sectors"),
        ("load_index_bytes", "index_bytes"),
        ("output_bytes", "output_bytes"),
    ):
        np.testing.assert_array_equal(getattr(counts, name), getattr(expected, other), err_msg=name)
