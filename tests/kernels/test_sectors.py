"""Sectors against sets of addresses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from accelsim.kernels.reference import rectangle_sectors
from accelsim.kernels.sectors import ActivationLayout, gather_sectors, matrix_sectors, tile_sectors

LAYOUTS: tuple[ActivationLayout, ...] = ("transposed", "row_major")
LEADING = st.one_of(st.integers(1, 48), st.sampled_from([32, 64, 65]))
BYTES = st.sampled_from([1, 2, 4])
BLOCKS = 10


def runs(generator: np.random.Generator, size: int) -> NDArray[np.int64]:
    """[2, BLOCKS] runs within range(size), among them empty ones and the whole."""
    edges = np.sort(generator.integers(0, size + 1, (2, BLOCKS)), axis=0)
    edges[:, generator.random(BLOCKS) < 0.4] = [[0], [size]]
    return edges


def steps(first: int, last: int, step: int) -> list[range]:
    """K-steps of a run; a step of 0 takes it whole."""
    starts = range(first, last, step) if step else [first]
    return [range(start, min(start + step, last) if step else last) for start in starts]


@settings(deadline=None, max_examples=40)
@given(shape=st.tuples(LEADING, LEADING, LEADING), size=BYTES, tile_k=st.integers(0, 20), seed=st.integers(0, 9999))
def test_dense_tiles(shape: tuple[int, int, int], size: int, tile_k: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    m, n, k = (runs(generator, extent) for extent in shape)
    for layout in LAYOUTS:
        a, b = tile_sectors(m[0], m[1], n[0], n[1], k[0], k[1], *shape, size, tile_k, layout)
        _, across = tile_sectors(m[0], m[1], n[0], n[1], k[0], k[1], *shape, size, tile_k, layout, "transposed")
        for block in range(BLOCKS):
            rows, columns, depths = range(*m[:, block]), range(*n[:, block]), steps(k[0, block], k[1, block], tile_k)
            if layout == "row_major":
                assert a[block] == sum(rectangle_sectors(rows, depth, shape[2], size) for depth in depths)
            else:
                assert a[block] == sum(rectangle_sectors(depth, rows, shape[0], size) for depth in depths)
            assert b[block] == sum(rectangle_sectors(depth, columns, shape[1], size) for depth in depths)
            assert across[block] == sum(rectangle_sectors(columns, depth, shape[2], size) for depth in depths)


@settings(deadline=None, max_examples=40)
@given(m=LEADING, k=LEADING, size=BYTES, tile_k=st.integers(0, 12), density=st.floats(0, 1), seed=st.integers(0, 9999))
def test_gathered_rows(m: int, k: int, size: int, tile_k: int, density: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    kept = [np.flatnonzero(generator.random(k) < density) for _ in range(BLOCKS)]
    row_start = np.cumsum([0, *map(len, kept)])
    offsets = np.concatenate([rows - np.arange(len(rows)) for rows in kept]).astype(np.int32)
    k0, k1 = np.transpose([runs(generator, len(rows))[:, 0] for rows in kept])
    m0, m1 = runs(generator, m)
    for layout in LAYOUTS:
        result = gather_sectors(offsets, row_start, range(BLOCKS), k0, k1, m0, m1, k, m, size, layout, tile_k)
        for block in range(BLOCKS):
            rows = range(m0[block], m1[block])
            depths = [kept[block][step.start : step.stop] for step in steps(k0[block], k1[block], tile_k)]
            if layout == "transposed":
                expected = sum(rectangle_sectors(depth, rows, m, size) for depth in depths)
            else:
                expected = sum(rectangle_sectors(rows, depth, k, size) for depth in depths)
            assert result[block] == expected


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
    with pytest.raises(ValueError, match="unknown layout 'column'; allowed: transposed, row_major"):
        tile_sectors([0], [1], [0], [1], [0], [1], 1, 1, 1, 2, b_layout="column")  # type: ignore[arg-type]
