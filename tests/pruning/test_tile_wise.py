"""Tile-wise masks: the published procedure, and the cases that it leaves open."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from accelsim.errors import OperandError
from accelsim.pruning.ranking import kept_units, per_dimension
from accelsim.pruning.scores import magnitude
from accelsim.pruning.seeded import seeded_mask
from accelsim.pruning.tile_wise import TileWiseMask, tile_widths, tile_wise_masks
from tests.pruning import published

shapes = st.tuples(st.integers(1, 60), st.integers(1, 60))
large_shapes = st.tuples(st.integers(8, 60), st.integers(8, 60))
sparsities = st.floats(0.0, 0.95)
granularities = st.sampled_from([1, 3, 8, 16, 100])


def weights_of(seed: int, *shape: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("granularity", [4, 16, 128])
@pytest.mark.parametrize("sparsity", [0.3, 0.75, 0.9])
@pytest.mark.parametrize("together", [False, True])
def test_published_procedure(sparsity: float, granularity: int, together: bool) -> None:
    layers = {"first": weights_of(1, 40, 50), "second": 0.7 * weights_of(2, 60, 33)}
    masks = tile_wise_masks(layers, sparsity, granularity, "global" if together else "per_layer")
    if together:
        expected = published.tile_wise(list(layers.values()), sparsity, granularity)
    else:
        expected = [published.tile_wise([layer], sparsity, granularity)[0] for layer in layers.values()]
    for mask, dense in zip(masks.values(), expected, strict=True):
        np.testing.assert_array_equal(mask.to_dense(), dense)


@settings(deadline=None, max_examples=60)
@given(shapes, sparsities, granularities, st.integers(0, 99))
def test_structure_and_realised_sparsity(shape: tuple[int, int], sparsity: float, granularity: int, seed: int) -> None:
    k, n = shape
    mask = tile_wise_masks({"w": weights_of(seed, k, n)}, sparsity, granularity)["w"]
    check_structure(mask)
    assert mask.kept == mask.to_dense().sum() > 0
    rows = sum(len(rows) for rows in mask.rows)
    columns = sum(len(columns) for columns in mask.columns)
    density = 1 - per_dimension(sparsity)
    assert columns == pytest.approx(density * n, abs=1)
    assert rows == pytest.approx(density * k * len(mask.rows), abs=1)


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.75, 0.9])
def test_realised_sparsity_is_near_the_asked_one(sparsity: float) -> None:
    mask = tile_wise_masks({"w": weights_of(3, 256, 256)}, sparsity, 32)["w"]
    assert mask.sparsity == pytest.approx(sparsity, abs=0.02)
    assert seeded_mask(256, 256, sparsity, 32, seed=3).sparsity == pytest.approx(sparsity, abs=0.01)


def check_structure(mask: TileWiseMask) -> None:
    """Tiles of G ascending columns from left to right, the last a remainder; ascending rows."""
    sizes = [len(columns) for columns in mask.columns]
    assert all(size == mask.granularity for size in sizes[:-1])
    assert not sizes or 1 <= sizes[-1] <= mask.granularity
    columns = np.concatenate([np.zeros(0, int), *mask.columns])
    assert np.all(np.diff(columns) > 0)
    assert np.all((columns >= 0) & (columns < mask.n))
    for rows in mask.rows:
        assert np.all(np.diff(rows) > 0)
        assert np.all((rows >= 0) & (rows < mask.k))


@settings(deadline=None, max_examples=30)
@given(shapes, granularities)
def test_sparsity_zero_keeps_everything(shape: tuple[int, int], granularity: int) -> None:
    for mask in (
        tile_wise_masks({"w": weights_of(0, *shape)}, 0.0, granularity)["w"],
        seeded_mask(*shape, 0.0, granularity, seed=1),
    ):
        assert mask.to_dense().all()
        assert mask.sparsity == 0.0
        assert len(mask.columns) == -(-shape[1] // granularity)


@settings(deadline=None, max_examples=60)
@given(large_shapes, sparsities, granularities, st.sampled_from(["global", "per_layer"]))
def test_a_tie_costs_its_share_and_no_more(
    shape: tuple[int, int], sparsity: float, granularity: int, threshold: str
) -> None:
    layers = {"first": np.full(shape, 0.5), "second": np.full(shape, -0.5)}
    density = 1 - per_dimension(sparsity)
    for mask in tile_wise_masks(layers, sparsity, granularity, threshold).values():  # type: ignore[arg-type]
        check_structure(mask)
        assert sum(len(columns) for columns in mask.columns) == pytest.approx(density * shape[1], abs=2)
        assert mask.kept > 0 or threshold == "global"  # unequal tile widths rank equal weights of two layers


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 5), st.integers(1, 40), sparsities)
def test_equal_units_of_equal_layers_go_alike(layers: int, units: int, share: float) -> None:
    kept = kept_units(np.full(layers * units, 0.25), share).reshape(layers, units).sum(axis=1)
    assert kept.max() - kept.min() <= 1
    assert kept.min() >= 1 or kept.sum() < layers


def test_tied_rows_are_spread_over_tiles() -> None:
    mask = tile_wise_masks({"w": np.ones((64, 64))}, 0.75, 8)["w"]
    assert [len(rows) for rows in mask.rows] == pytest.approx([32] * 4, abs=1)


def test_a_global_threshold_may_empty_a_layer() -> None:
    layers = {"large": weights_of(1, 32, 32), "tiny": 1e-6 * weights_of(2, 32, 32)}
    masks = tile_wise_masks(layers, 0.9, 8, "global")
    assert masks["tiny"].kept == 0
    assert masks["tiny"].sparsity == 1.0
    assert masks["tiny"].columns == ()
    assert masks["large"].kept > 0


def test_a_whole_tile_may_be_pruned() -> None:
    weights = np.ones((16, 16))
    weights[:, :8] *= 0.01 * (1 + np.arange(16)[:, None] / 100)
    weights[:, 8:] += np.arange(16)[:, None]
    scores = [len(rows) for rows in tile_wise_masks({"w": weights}, 0.25, 4)["w"].rows]
    assert scores[0] < scores[-1]
    emptied = TileWiseMask(4, 8, 4, (np.arange(4), np.arange(4, 8)), (np.zeros(0, np.int64), np.arange(2)))
    assert emptied.kept == 8
    assert not emptied.to_dense()[:, :4].any()


def test_widths_include_pruned_columns() -> None:
    tiles = (np.array([1, 4]), np.array([5, 9]), np.array([11]))
    assert tile_widths(tiles, 20, 2) == [5, 5, 10]
    assert tile_widths(tiles[:2], 20, 2) == [5, 5]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.floats(0, 0.99))
def test_ranking_prunes_the_lowest(values: list[int], share: float) -> None:
    scores = np.array(values, dtype=np.float64)
    keep = kept_units(scores, share)
    assert keep.any()
    if not keep.all():
        assert scores[keep].min() >= scores[~keep].max()
    if share > 0 and len(values) > 1:
        assert keep.sum() == max(1, len(values) - int(share * (len(values) - 1)) - 1)


def test_weights_that_no_ranking_can_place() -> None:
    weights = weights_of(1, 4, 4)
    weights[2, 3] = np.nan
    with pytest.raises(OperandError, match=r"ffn\[2, 3\] is nan"):
        tile_wise_masks({"ffn": weights}, 0.5, 2)
    with pytest.raises(OperandError, match="matrix"):
        magnitude(np.ones(3))


@settings(deadline=None, max_examples=60)
@given(shapes, sparsities, granularities, st.integers(0, 99), st.floats(0, 1))
def test_seeded_masks(shape: tuple[int, int], sparsity: float, granularity: int, seed: int, uneven: float) -> None:
    mask = seeded_mask(*shape, sparsity, granularity, seed)
    check_structure(mask)
    assert len({len(rows) for rows in mask.rows}) == 1
    again = seeded_mask(*shape, sparsity, granularity, seed)
    np.testing.assert_array_equal(mask.to_dense(), again.to_dense())
    spread = seeded_mask(*shape, sparsity, granularity, seed, uneven)
    check_structure(spread)
    assert sum(len(rows) for rows in spread.rows) == sum(len(rows) for rows in mask.rows)


def test_uneven_masks_keep_the_macs_of_full_tiles() -> None:
    even, uneven = (seeded_mask(256, 512, 0.75, 32, 1, spread) for spread in (0.0, 1.0))
    assert even.kept == uneven.kept
    counts = [len(rows) for rows in uneven.rows]
    assert min(counts) == 0
    assert max(counts) == 256
    with pytest.raises(ValueError, match="uneven"):
        seeded_mask(4, 4, 0.5, 2, 0, 1.5)
