"""Layouts and packing of the tile-wise products that the program for GPUs measures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.measure.tile_wise import draw_layout, masked, multiply, pack, pad


@st.composite
def layouts(draw: st.DrawFn) -> tuple[int, int, float, int, float, int]:
    n = draw(st.integers(1, 90))
    size = draw(st.integers(1, 60)), n, draw(st.floats(0, 0.98)), draw(st.integers(1, n))
    return *size, draw(st.floats(0, 1)), draw(st.integers(0, 99))


class TestTileWise:
    @given(layouts())
    @settings(deadline=None, max_examples=60)
    def test_packed_product_is_the_masked_dense_one(self, drawn: tuple[int, int, float, int, float, int]) -> None:
        layout = draw_layout(*drawn)
        random = np.random.default_rng(drawn[-1])
        weights = random.standard_normal((layout.k, layout.n)).astype(np.float32)
        a = random.standard_normal((7, layout.k)).astype(np.float32)
        expected = a @ masked(weights, layout)
        packed = pack(weights, layout)
        np.testing.assert_allclose(multiply(a, layout, packed), expected, atol=1e-4)
        wide, padded = pad(layout, packed)
        assert len(set(np.diff(wide.row_start))) == 1
        np.testing.assert_allclose(multiply(a, wide, padded), expected, atol=1e-4)

    @given(layouts())
    @settings(deadline=None, max_examples=60)
    def test_a_layout_keeps_what_it_was_asked_to(self, drawn: tuple[int, int, float, int, float, int]) -> None:
        k, n, sparsity, granularity, uneven, _ = drawn
        layout = draw_layout(*drawn)
        density = (1 - sparsity) ** 0.5
        mean = max(1, round(density * k))
        counts = np.diff(layout.row_start)
        assert len(layout.columns) == max(1, round(density * n))
        assert counts.mean() == pytest.approx(mean, abs=1 / layout.tiles)
        assert np.abs(counts - mean).max() <= uneven * min(mean, k - mean) + 0.5
        assert layout.rows.dtype == layout.columns.dtype == np.int32
        for tile in range(layout.tiles):
            for kept in (layout.rows_of(tile), layout.columns_of(tile)):
                assert np.all(np.diff(kept) > 0)
            last = tile == layout.tiles - 1
            assert len(layout.columns_of(tile)) == granularity or (
                last and 0 < len(layout.columns_of(tile)) < granularity
            )

    def test_padding_adds_rows_only_where_tiles_differ(self) -> None:
        even, uneven = (draw_layout(256, 128, 0.5, 16, spread, seed=3) for spread in (0.0, 0.6))
        weights = np.ones((256, 128), np.float32)
        assert len(pad(even, pack(weights, even))[0].rows) == len(even.rows)
        assert len(pad(uneven, pack(weights, uneven))[0].rows) > len(uneven.rows)
