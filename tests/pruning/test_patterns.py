"""What holds for the masks of every pattern."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from accelsim.pruning.masks import GroupMask, TileElementWiseMask, TileVectorWiseMask
from accelsim.pruning.patterns import BUILDERS, as_mask, check_mask, prune, prune_in_stages, tile_part
from accelsim.pruning.ranking import highest, kept_count
from accelsim.pruning.report import tiles_of
from accelsim.pruning.scores import taylor
from tests.pruning.layers import LAYERS, dense_of, weights_of

shapes = st.tuples(st.integers(1, 70), st.integers(1, 70))
sparsities = st.floats(0.0, 0.9)
seeds = st.integers(0, 99)
thresholds = st.sampled_from(["global", "per_layer"])


def patterns(sparsity: float, granularity: int, threshold: str) -> list[Pattern]:
    """One of each, and each variant whose rules differ."""
    ranked = {"sparsity": sparsity, "threshold": threshold}
    tiled = {**ranked, "granularity": granularity}
    return [
        ElementWisePattern(**ranked),
        VectorWisePattern(sparsity=sparsity),
        BlockWisePattern(**ranked, block_rows=8, block_columns=4),
        NMPattern(),
        NMPattern(n=3, m=5),
        *(TileWisePattern(**tiled, stages=stages) for stages in (1, 2)),
        *(TileElementWisePattern(**tiled, stages=stages) for stages in (1, 2)),
        *(TileVectorWisePattern(**tiled, vector=vector, stages=s) for vector in (4, 16) for s in (1, 2)),
    ]


@settings(deadline=None, max_examples=40)
@given(shapes, shapes, sparsities, thresholds, seeds, st.booleans(), st.data())
def test_every_mask_is_of_its_pattern(
    one: tuple[int, int], other: tuple[int, int], sparsity: float, threshold: str, seed: int, tied: bool,
    data: st.DataObject,
) -> None:  # fmt: skip
    """Ragged sizes and ties among them; a dense mask leads back to an equal mask, and equal calls to equal masks."""
    layers = {"one": weights_of(seed, *one), "other": weights_of(seed + 1, *other)}
    if tied:
        layers = {name: np.round(2 * w) / 2 for name, w in layers.items()}
    granularity = data.draw(st.integers(1, min(one[1], other[1])))
    for pattern in patterns(sparsity, granularity, threshold):
        masks, again = prune(layers, pattern), prune(layers, pattern)
        assert list(masks) == list(layers)
        for name, mask in masks.items():
            dense = mask.to_dense()
            assert dense.shape == layers[name].shape == (mask.k, mask.n)
            assert dense.dtype == np.bool_
            assert mask.kept == dense.sum()
            assert mask.sparsity == pytest.approx(1 - dense.mean())
            np.testing.assert_array_equal(dense, again[name].to_dense())
            back = as_mask(pattern, dense, name, tile_part(mask))
            assert type(back) is type(mask)
            np.testing.assert_array_equal(back.to_dense(), dense)


@settings(deadline=None, max_examples=40)
@given(shapes, st.floats(0.01, 0.9), seeds)
def test_element_wise_sparsity_is_the_asked_one_to_a_weight(shape: tuple[int, int], sparsity: float, seed: int) -> None:
    for weights in (weights_of(seed, *shape), np.ones(shape)):
        (mask,) = dense_of(ElementWisePattern(sparsity=sparsity), {"w": weights})
        assert abs((~mask).sum() - sparsity * mask.size) <= 1


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 6), st.integers(1, 40), sparsities, seeds)
def test_vectors_keep_alike(vectors: int, n: int, sparsity: float, seed: int) -> None:
    """Where vectors divide k, none is an exception, and sparsity is less than a weight of each above the asked one."""
    pattern = VectorWisePattern(sparsity=sparsity)
    (mask,) = dense_of(pattern, {"w": weights_of(seed, 16 * vectors, n)})
    assert (mask.reshape(vectors, 16, n).sum(axis=1) == pattern.keep).all()
    assert sparsity - 1e-9 <= 1 - mask.mean() < sparsity + 1 / 16
    assert 1 - mask.mean() == pytest.approx(pattern.total_sparsity)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 8), st.integers(1, 8), st.floats(0.01, 0.9), seeds)
def test_block_wise_sparsity_is_the_asked_one_to_a_block(rows: int, columns: int, sparsity: float, seed: int) -> None:
    pattern = BlockWisePattern(sparsity=sparsity, block_rows=4, block_columns=8)
    (mask,) = dense_of(pattern, {"w": weights_of(seed, 4 * rows, 8 * columns)})
    assert abs((~mask).sum() / 32 - sparsity * rows * columns) <= 1


@settings(deadline=None, max_examples=40)
@given(shapes, st.floats(0.0, 0.9), st.floats(0.01, 0.09), st.sampled_from([1, 2]), thresholds, seeds)
def test_tiles_and_restored_weights(
    shape: tuple[int, int], sparsity: float, delta: float, stages: int, threshold: str, seed: int
) -> None:
    """Tile-element-wise holds the tile-wise mask at s + delta, and the best of the rest: delta of all, to a weight."""
    weights = weights_of(seed, *shape)
    pattern = TileElementWisePattern(
        sparsity=sparsity, delta=delta, granularity=1 + seed % shape[1], stages=stages, threshold=threshold
    )
    mask = prune({"w": weights}, pattern)["w"]
    assert isinstance(mask, TileElementWiseMask)
    tiles = TileWisePattern(
        sparsity=sparsity + delta, granularity=pattern.granularity, stages=stages, threshold=threshold
    )
    np.testing.assert_array_equal(mask.tiles.to_dense(), dense_of(tiles, {"w": weights})[0])
    assert not (mask.restored & mask.tiles.to_dense()).any()
    back, lost = np.abs(weights[mask.restored]), np.abs(weights[~mask.to_dense()])
    assert not len(back) or not len(lost) or back.min() >= lost.max()
    assert len(back) <= delta * weights.size + 1
    assert len(back) >= delta * weights.size - 1 or not len(lost)


def test_what_is_restored_may_score_above_one() -> None:
    """The published code lowers kept scores by 1; where weights are larger than that, kept ones would win."""
    pattern = TileElementWisePattern(sparsity=0.5, delta=0.1, granularity=16)
    small, large = (prune({"w": scale * LAYERS["first"]}, pattern)["w"] for scale in (1.0, 1000.0))
    np.testing.assert_array_equal(small.to_dense(), large.to_dense())


@settings(deadline=None, max_examples=40)
@given(shapes, st.floats(0.5, 0.95), st.sampled_from([1, 2]), seeds)
def test_two_of_four_holds_along_the_compacted_k(
    shape: tuple[int, int], sparsity: float, stages: int, seed: int
) -> None:
    pattern = TileVectorWisePattern(sparsity=sparsity, granularity=1 + seed % shape[1], stages=stages)
    mask = prune({"w": weights_of(seed, *shape)}, pattern)["w"]
    assert isinstance(mask, TileVectorWiseMask)
    for rows, columns in zip(mask.tiles.rows, mask.tiles.columns, strict=True):
        packed = mask.to_dense()[np.ix_(rows, columns)]
        for first in range(0, len(rows), 4):
            kept = packed[first : first + 4].sum(axis=0)
            assert (kept == min(2, len(rows) - first)).all()


def test_two_of_four_need_not_hold_along_the_original_k() -> None:
    mask = dense_of(TileVectorWisePattern(sparsity=0.75, granularity=8), LAYERS)[0]
    check_mask(TileVectorWisePattern(sparsity=0.75, granularity=8), mask)
    with pytest.raises(OperandError, match="not 2:4"):
        check_mask(NMPattern(), mask)


@settings(deadline=None, max_examples=40)
@given(shapes, st.lists(st.floats(0.0, 0.9), min_size=2, max_size=3), thresholds, seeds)
def test_more_sparsity_keeps_less_of_the_same(
    shape: tuple[int, int], levels: list[float], threshold: str, seed: int
) -> None:
    """Nested where units are ranked once: single weights, vectors, blocks, and rows of fixed tiles."""
    layers = {"one": weights_of(seed, *shape), "other": weights_of(seed + 1, *shape)}
    low, high = min(levels), max(levels)

    def nested(kind: type, **options: object) -> None:
        loose, tight = (prune(layers, kind(sparsity=level, **options)) for level in (low, high))
        for name in layers:
            assert not (tight[name].to_dense() & ~loose[name].to_dense()).any()

    nested(ElementWisePattern, threshold=threshold)
    nested(VectorWisePattern)
    nested(BlockWisePattern, threshold=threshold, block_rows=8, block_columns=4)
    nested(TileWisePattern, threshold=threshold, granularity=shape[1], stages=1)


def test_columns_of_tiles_are_nested_and_rows_need_not_be() -> None:
    loose, tight = (dense_of(TileWisePattern(sparsity=level, granularity=16), LAYERS)[0] for level in (0.5, 0.8))
    assert not (tight.any(axis=0) & ~loose.any(axis=0)).any()
    assert (tight & ~loose).any()


@settings(deadline=None, max_examples=30)
@given(st.floats(0.05, 0.9), st.sampled_from([16, 32, 64]), seeds)
def test_tile_wise_sparsity_in_the_mean_of_its_units(sparsity: float, granularity: int, seed: int) -> None:
    """Where one stage's tiles are equally wide, rows are equal units: the asked share to within one of them."""
    pattern = TileWisePattern(sparsity=sparsity, granularity=granularity, stages=1)
    (mask,) = dense_of(pattern, {"w": weights_of(seed, 50, 128)})
    assert abs((~mask).sum() / granularity - sparsity * 50 * 128 / granularity) <= 1


def test_a_share_per_dimension_is_more_in_total() -> None:
    total, per_dimension = (
        TileWisePattern(sparsity=sparsity, sparsity_of=of, granularity=16)
        for sparsity, of in ((0.75, "total"), (0.5, "per_dimension"))
    )
    assert per_dimension.total_sparsity == total.total_sparsity == 0.75
    for one, other in zip(dense_of(total, LAYERS), dense_of(per_dimension, LAYERS), strict=True):
        np.testing.assert_array_equal(one, other)
    rows_alone = TileWisePattern(sparsity=0.5, sparsity_of="per_dimension", stages=1)
    assert rows_alone.total_sparsity == 0.5


@pytest.mark.parametrize(
    ("sparsity", "vector", "tiles", "keep", "total"),
    [(0.75, 4, 0.5, 2, 0.75), (0.5, 4, 0.0, 2, 0.5), (0.4, 4, 0.0, 3, 0.25), (0.75, 16, 0.5, 8, 0.75)],
)
def test_what_vectors_and_tiles_take_each(sparsity: float, vector: int, tiles: float, keep: int, total: float) -> None:
    pattern = TileVectorWisePattern(sparsity=sparsity, vector=vector)
    assert (pattern.tile_sparsity, pattern.keep) == (pytest.approx(tiles), keep)
    assert pattern.total_sparsity == pytest.approx(total)
    assert pattern.is_hardware == (vector == 4 and sparsity >= 0.5)


def test_a_global_threshold_takes_more_from_a_deep_layer() -> None:
    """A column's norm is divided by k, not by its root: of equal weights, those of the larger k score lower."""
    layers = {"wide": weights_of(1, 64, 64), "deep": weights_of(2, 1024, 64)}
    shared = prune(layers, TileWisePattern(sparsity=0.75, granularity=16, threshold="global"))
    assert shared["deep"].sparsity == 1.0
    own = prune(layers, TileWisePattern(sparsity=0.75, granularity=16))
    assert own["deep"].sparsity == pytest.approx(0.75, abs=0.05)


def test_gradients_rank_in_place_of_magnitudes() -> None:
    gradients = {name: weights_of(7, *w.shape) for name, w in LAYERS.items()}
    masks = prune(LAYERS, ElementWisePattern(sparsity=0.5, score="taylor"), gradients)
    for name, mask in masks.items():
        scores = (LAYERS[name] * gradients[name]) ** 2
        np.testing.assert_array_equal(taylor(LAYERS[name], gradients[name]), scores)
        assert scores[mask.to_dense()].min() > scores[~mask.to_dense()].max()


def test_stages_prune_on_from_what_is_left() -> None:
    stages = [0.25, 0.5, 0.75]
    seen = []

    def tune(weights: object, masks: object) -> object:
        seen.append({name: float(np.count_nonzero(w)) / w.size for name, w in weights.items()})  # type: ignore[attr-defined]
        return weights

    pattern = ElementWisePattern()
    runs = list(prune_in_stages(LAYERS, pattern, stages, tune=tune))  # type: ignore[arg-type]
    assert [sparsity for sparsity, _ in runs] == stages
    assert [entry["first"] for entry in seen] == pytest.approx([0.75, 0.5, 0.25], abs=0.001)
    for name in LAYERS:
        np.testing.assert_array_equal(runs[-1][1][name].to_dense(), prune(LAYERS, pattern)[name].to_dense())
    slopes = list(prune_in_stages(LAYERS, ElementWisePattern(score="taylor"), [0.5], gradients=lambda w: w))
    np.testing.assert_array_equal(
        slopes[0][1]["first"].to_dense(), prune(LAYERS, ElementWisePattern(sparsity=0.5))["first"].to_dense()
    )


def test_a_tuned_weight_can_come_back() -> None:
    pattern = ElementWisePattern()
    runs = list(prune_in_stages(LAYERS, pattern, [0.5, 0.75], tune=lambda weights, masks: LAYERS))
    np.testing.assert_array_equal(runs[1][1]["first"].to_dense(), prune(LAYERS, pattern)["first"].to_dense())


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.data())
def test_highest(values: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(0, len(values)))
    scores = np.array(values, dtype=np.float64)
    keep = highest(scores, count)
    assert keep.sum() == count
    if 0 < count < len(values):
        assert scores[keep].min() >= scores[~keep].max()


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 200), st.floats(0.01, 1.0))
def test_kept_count_is_the_percentile_s(units: int, share: float) -> None:
    scores = np.arange(units, dtype=np.float64)
    above = int((scores > np.percentile(scores, 100 * share)).sum())
    assert abs(kept_count(units, share) - above) <= (1 if abs(share * (units - 1) % 1 - 0.5) > 0.499 else 0)


def test_every_pattern_has_a_builder_and_a_kind() -> None:
    assert set(BUILDERS) == set(PATTERNS)
    for kind, spec in PATTERNS.items():
        assert spec().kind == kind


def test_tiles_of() -> None:
    for pattern in patterns(0.75, 8, "global"):
        mask = prune(LAYERS, pattern)["first"]
        assert (tiles_of(mask) is None) == (not hasattr(pattern, "granularity"))
        assert isinstance(mask, GroupMask) == isinstance(pattern, VectorWisePattern | NMPattern)
