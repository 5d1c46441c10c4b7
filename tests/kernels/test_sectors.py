"""Sectors against sets of addresses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.kernels.reference import rectangle_sectors
from accelsim.kernels.sectors import ActivationLayout, gather_sectors, matrix_sectors, tile_sectors

RUN = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted)
LEADING = st.one_of(st.integers(40, 60), st.sampled_from([64, 96]))
LAYOUTS: tuple[ActivationLayout, ...] = ("transposed", "row_major")
BYTES = st.sampled_from([1, 2, 4])


def steps(run: list[int], step: int) -> list[range]:
    """K-steps of a run; a step of 0 takes it whole."""
    first, last = run
    starts = range(first, last, step) if step else [first]
    return [range(start, min(start + step, last) if step else last) for start in starts]


@settings(deadline=None, max_examples=60)
@given(m=RUN, n=RUN, k=RUN, shape=st.tuples(LEADING, LEADING, LEADING), size=BYTES, tile_k=st.integers(0, 20))
def test_dense_tiles(
    m: list[int], n: list[int], k: list[int], shape: tuple[int, int, int], size: int, tile_k: int
) -> None:
    for layout in LAYOUTS:
        a, b = tile_sectors([m[0]], [m[1]], [n[0]], [n[1]], [k[0]], [k[1]], *shape, size, tile_k, layout)
        depths = steps(k, tile_k)
        if layout == "row_major":
            assert a == sum(rectangle_sectors(range(*m), depth, shape[2], size) for depth in depths)
        else:
            assert a == sum(rectangle_sectors(depth, range(*m), shape[0], size) for depth in depths)
        assert b == sum(rectangle_sectors(depth, range(*n), shape[1], size) for depth in depths)


@settings(deadline=None, max_examples=60)
@given(
    kept=st.lists(st.lists(st.integers(0, 63), unique=True, max_size=30).map(sorted), min_size=1, max_size=3),
    m=RUN,
    shape=st.tuples(LEADING, st.sampled_from([64, 65, 77])),
    size=BYTES,
    tile_k=st.integers(0, 12),
    data=st.data(),
)
def test_gathered_rows(
    kept: list[list[int]], m: list[int], shape: tuple[int, int], size: int, tile_k: int, data: st.DataObject
) -> None:
    row_start = np.cumsum([0, *map(len, kept)])
    offsets = np.concatenate([np.array(rows, int) - np.arange(len(rows)) for rows in kept]).astype(np.int32)
    shares = [sorted(data.draw(st.tuples(*[st.integers(0, len(rows))] * 2))) for rows in kept]
    k0, k1 = np.transpose(shares)
    tiles = range(len(kept))
    for layout in LAYOUTS:
        result = gather_sectors(offsets, row_start, tiles, k0, k1, m[0], m[1], shape[1], shape[0], size, layout, tile_k)
        for tile in tiles:
            depths = [[kept[tile][row] for row in step] for step in steps(shares[tile], tile_k)]
            if layout == "transposed":
                expected = sum(rectangle_sectors(depth, range(*m), shape[0], size) for depth in depths)
            else:
                expected = sum(rectangle_sectors(range(*m), depth, shape[1], size) for depth in depths)
            assert result[tile] == expected


def test_an_odd_leading_dimension_costs_sectors() -> None:
    """A step of 32 fp16 columns is two sectors in a row that begins on one, and mostly three in one that does not."""
    aligned, _ = tile_sectors([0], [128], [0], [128], [0], [3840], 128, 128, 3840, 2, tile_k=32)
    odd, _ = tile_sectors([0], [128], [0], [128], [0], [3840], 128, 128, 3841, 2, tile_k=32)
    assert aligned == 128 * 120 * 2
    assert odd == 120 * (8 * 2 + 120 * 3)


def test_transposed_activations_gather_in_whole_sectors() -> None:
    rows = np.arange(0, 256, 2)
    offsets, start = (rows - np.arange(128)).astype(np.int32), np.array([0, 128])
    one_block = [0], [0], [128], [0], [128], 256, 128
    transposed, row_major = (gather_sectors(offsets, start, *one_block, 2, layout)[0] for layout in LAYOUTS)
    assert transposed == 128 * 128 * 2 / 32
    assert row_major == 128 * 256 * 2 / 32


def test_blocks_and_scalars_mix() -> None:
    result = matrix_sectors(0, [1, 2, 0], 0, 16, 16, 4)
    np.testing.assert_array_equal(result, [2, 4, 0])
    with pytest.raises(ValueError, match="unknown layout 'column'; allowed: transposed, row_major"):
        tile_sectors([0], [1], [0], [1], [0], [1], 1, 1, 1, 2, layout="column")  # type: ignore[arg-type]
