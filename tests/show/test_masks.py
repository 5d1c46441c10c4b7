"""Pictures of masks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.show.masks import PANELS, cell_density, mask_figure, mask_files, rows_figure


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.integers(0, 9))
def test_density_of_cells(k: int, n: int, cells: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((k, n)) < 0.5
    density = cell_density(mask, cells)
    rows, columns = (-(-length // cells) for length in (k, n))
    assert density.shape == (-(-k // rows), -(-n // columns))
    assert max(density.shape) <= cells
    for i, j in np.ndindex(density.shape):
        cell = mask[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns]
        assert density[i, j] == pytest.approx(cell.mean())


def test_a_panel_for_each_mask() -> None:
    mask = np.eye(8, dtype=np.bool_)
    figure = mask_figure({"one": mask, "other": mask.T})
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == ["one\n87.5 % pruned", "other\n87.5 % pruned"]
    np.testing.assert_array_equal(np.asarray(shown[0].images[0].get_array()), mask)
    assert shown[0].images[0].get_extent() == [0, 8, 8, 0]


def test_many_masks_show_the_first() -> None:
    masks = {str(index): np.ones((2, 2), dtype=np.bool_) for index in range(PANELS + 1)}
    figure = mask_figure(masks)
    assert sum(axes.get_visible() for axes in figure.axes) == PANELS
    assert f"the first {PANELS} of {PANELS + 1}" in figure.get_suptitle()
    with pytest.raises(ValueError, match="no mask"):
        mask_figure({})


def test_bars_of_rows() -> None:
    figure = rows_figure([0, 3, 1, 0])
    bars = figure.axes[0].patches
    assert [bar.get_height() for bar in bars] == [0, 3, 1, 0]
    assert [bar.get_x() + bar.get_width() / 2 for bar in bars] == pytest.approx([12.5, 37.5, 62.5, 87.5])


def test_files() -> None:
    masks = {"w": np.eye(4, dtype=np.bool_)}
    assert set(mask_files(masks, None)) == {"masks.png", "masks.svg"}
    files = mask_files(masks, np.array([1, 2]))
    assert set(files) == {"masks.png", "masks.svg", "rows_per_tile.png", "rows_per_tile.svg"}
    assert files["masks.png"].startswith(b"\x89PNG")
    assert b"<svg" in files["rows_per_tile.svg"]
