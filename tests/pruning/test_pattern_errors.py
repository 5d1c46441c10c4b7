"""Patterns that cannot be, weights that none can rank, and masks that are not of their pattern."""

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from accelsim.config.patterns import (
    PATTERNS,
    BlockWisePattern,
    ElementWisePattern,
    NMPattern,
    Pattern,
    TileElementWisePattern,
    TileVectorWisePattern,
    TileWisePattern,
    VectorWisePattern,
)
from accelsim.errors import OperandError
from accelsim.pruning.patterns import check_mask, prune, prune_in_stages, tile_part
from tests.pruning.layers import LAYERS, weights_of


class TestErrors:
    """What is wrong, where, and what is allowed."""

    @pytest.mark.parametrize("kind", PATTERNS)
    def test_weights_that_no_ranking_can_place(self, kind: str) -> None:
        weights = weights_of(0, 8, 200)
        weights[3, 5] = np.nan
        with pytest.raises(OperandError, match=r"ffn\[3, 5\] is nan"):
            prune({"good": weights_of(1, 8, 200), "ffn": weights}, PATTERNS[kind]())

    @pytest.mark.parametrize("weights", [np.zeros((0, 4)), np.zeros((4, 0)), np.ones(4), np.ones((2, 2, 2))])
    def test_no_matrix(self, weights: NDArray[np.float64]) -> None:
        with pytest.raises(OperandError, match="matrix"):
            prune({"w": weights}, ElementWisePattern())

    @pytest.mark.parametrize("kind", ["tile_wise", "tile_element_wise", "tile_vector_wise"])
    def test_tiles_wider_than_a_layer(self, kind: str) -> None:
        with pytest.raises(OperandError, match=r"second: granularity 64 exceeds its 40 columns"):
            prune(LAYERS, PATTERNS[kind].model_validate({"granularity": 64}))

    @pytest.mark.parametrize("sparsity", [-0.1, 1.0, 75.0, float("nan")])
    @pytest.mark.parametrize("kind", [kind for kind in PATTERNS if kind != "n_m"])
    def test_sparsity_out_of_range(self, kind: str, sparsity: float) -> None:
        with pytest.raises(ValidationError):
            PATTERNS[kind].model_validate({"sparsity": sparsity})

    @pytest.mark.parametrize(
        ("kind", "options", "message"),
        [
            ("n_m", {"n": 5, "m": 4}, "n is at most m"),
            ("vector_wise", {"sparsity": 0.95}, "keep nothing at sparsity 0.95; at most 0.9375"),
            ("tile_element_wise", {"sparsity": 0.97}, "below 1"),
            ("tile_wise", {"stages": 1, "apriori_blocks": 2}, "no column is pruned"),
            ("tile_vector_wise", {"vector": 8}, "allowed: 4, 16"),
            ("tile_vector_wise", {"vector": 16, "sparsity": 0.999}, "keep nothing"),
        ],
    )
    def test_impossible_patterns(self, kind: str, options: dict[str, object], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            PATTERNS[kind].model_validate(options)

    def test_gradients(self) -> None:
        taylor_pattern = ElementWisePattern(score="taylor")
        with pytest.raises(OperandError, match="needs gradients"):
            prune(LAYERS, taylor_pattern)
        with pytest.raises(OperandError, match="score is magnitude"):
            prune(LAYERS, ElementWisePattern(), LAYERS)
        with pytest.raises(OperandError, match="no gradients of second; there are first"):
            prune(LAYERS, taylor_pattern, {"first": LAYERS["first"]})
        with pytest.raises(OperandError, match=r"gradients of second have shape \[2, 2\]"):
            prune(LAYERS, taylor_pattern, LAYERS | {"second": np.ones((2, 2))})
        bad = LAYERS["second"].copy()
        bad[1, 2] = np.inf
        with pytest.raises(OperandError, match=r"gradients of second\[1, 2\] is inf"):
            prune(LAYERS, taylor_pattern, LAYERS | {"second": bad})

    def test_stages(self) -> None:
        with pytest.raises(OperandError, match="cannot be pruned in stages"):
            list(prune_in_stages(LAYERS, NMPattern(), [0.5]))
        with pytest.raises(OperandError, match=r"stage of sparsity 0.99: vectors of 16 keep nothing"):
            list(prune_in_stages(LAYERS, VectorWisePattern(), [0.5, 0.99]))

    @pytest.mark.parametrize(
        ("pattern", "row", "column", "message"),
        [
            (VectorWisePattern(), 20, 3, r"layer: not vector-wise: column 3 keeps 5 of rows 16 to 31; at most 4 of 16"),
            (NMPattern(), 47, 3, r"layer: not 2:4: column 3 keeps 3 of rows 44 to 47; at most 2 of 4"),
            (BlockWisePattern(block_rows=16, block_columns=16), 20, 3, "around row 16, column 0 is kept in part"),
            (TileWisePattern(granularity=16), 20, 3, "layer: not tile-wise at granularity 16.*Row 20"),
            (TileVectorWisePattern(granularity=16), 20, 3, "layer: tile 0, counted along its kept rows: column 3"),
        ],
    )
    def test_a_weight_too_many(self, pattern: Pattern, row: int, column: int, message: str) -> None:
        dense = np.zeros((48, 64), dtype=np.bool_)
        if isinstance(pattern, VectorWisePattern):
            dense[16:20] = True
        elif isinstance(pattern, NMPattern):
            dense[44:46] = True
        elif isinstance(pattern, TileVectorWisePattern):
            dense[18:20, :16] = True
        elif isinstance(pattern, TileWisePattern):
            dense[0, :16] = True
        check_mask(pattern, dense, "layer")
        dense[row, column] = True
        with pytest.raises(OperandError, match=message):
            check_mask(pattern, dense, "layer")

    def test_masks_that_are_none(self) -> None:
        for mask in (np.ones((2, 2)), np.ones(2, dtype=np.bool_), np.ones((0, 2), dtype=np.bool_)):
            with pytest.raises(OperandError, match="layer: a mask is a bool matrix"):
                check_mask(ElementWisePattern(), mask, "layer")  # type: ignore[arg-type]

    def test_tiles_that_do_not_belong_to_the_mask(self) -> None:
        whole, none = np.ones((8, 8), dtype=np.bool_), np.zeros((8, 8), dtype=np.bool_)
        pattern = TileElementWisePattern(granularity=4)
        with pytest.raises(OperandError, match="tiles, which are missing"):
            check_mask(pattern, whole)
        with pytest.raises(OperandError, match="tiles keep row 0, column 0, which the mask prunes"):
            check_mask(pattern, none, tiles=whole)
        with pytest.raises(OperandError, match="keeps row 0, column 0, which its tiles prune"):
            check_mask(TileVectorWisePattern(granularity=4), whole, tiles=none)
        broken = whole.copy()
        broken[3, 2] = False
        with pytest.raises(OperandError, match=r"tiles: not tile-wise.*Row 3"):
            check_mask(pattern, whole, tiles=broken)


def test_hidden_rows_of_narrow_tiles_need_their_tiles() -> None:
    """In tiles of one column 2:4 leaves half of the rows without a trace; the tiles tell how vectors were counted."""
    pattern = TileVectorWisePattern(sparsity=0.5, granularity=1)
    mask = prune({"w": weights_of(3, 32, 4)}, pattern)["w"]
    check_mask(pattern, mask.to_dense(), tiles=tile_part(mask))
    with pytest.raises(OperandError, match="tile 0, counted along its kept rows"):
        check_mask(pattern, mask.to_dense())
