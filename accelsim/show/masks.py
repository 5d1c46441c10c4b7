"""Pictures of masks, and of how many rows tiles keep."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from accelsim.show.style import BLUE, MARKERS, PALETTE, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = 12
"""Masks that a figure shows; of more, the first."""

_CELLS = 256
"""Cells of a picture along each side; a larger mask is shown by the density of its cells."""


def mask_figure(masks: Mapping[str, NDArray[np.bool_]]) -> "Figure":
    """One picture for each mask (the first `PANELS`), rows k downwards and columns n to the right; kept is dark.

    Parameters
    ----------
    masks : mapping of title to bool array [k, n]

    Raises
    ------
    ValueError
        When there is no mask.
    """
    if not masks:
        raise ValueError("there is no mask to show")
    shown = list(masks.items())[:PANELS]
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    with style():
        from matplotlib.colors import LinearSegmentedColormap
        from matplotlib.ticker import MaxNLocator

        colours = LinearSegmentedColormap.from_list("kept", ["#FFFFFF", BLUE])
        figure = new_figure(2.3 * columns + 0.3, 2.55 * rows + 0.3)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, (title, mask) in zip(grid, shown, strict=False):
            k, n = mask.shape
            # A pixel of the picture is a cell of the mask; the axes count weights.
            axes.imshow(
                cell_density(mask, _CELLS), cmap=colours, vmin=0, vmax=1, extent=(0, n, k, 0), aspect="auto",
                interpolation="nearest",
            )  # fmt: skip
            axes.set_title(f"{title}\n{100 * (1 - mask.mean()):.1f} % pruned", fontsize=8)
            axes.tick_params(labelsize=7)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(MaxNLocator(nbins=6, integer=True))
            axes.spines[["top", "right"]].set_visible(True)
        for axes in grid[len(shown) :]:
            axes.set_visible(False)
        figure.supxlabel("columns (n)", fontsize=8)
        figure.supylabel("rows (k)", fontsize=8)
        if len(masks) > len(shown):
            figure.suptitle(f"the first {len(shown)} of {len(masks)} layers", fontsize=8)
    return figure


def cell_density(mask: NDArray[np.bool_], cells: int) -> NDArray[np.float64]:
    """Share kept in each cell of a grid of at most `cells` by `cells` over a mask [k, n]."""
    density = mask.astype(np.float64)
    for axis, length in enumerate(mask.shape):
        step = -(-length // cells)
        starts = np.arange(0, length, step)
        sizes = np.diff(np.append(starts, length))
        density = np.add.reduceat(density, starts, axis=axis) / np.expand_dims(sizes, 1 - axis)
    return density


def rows_figure(counts: Sequence[int] | NDArray[np.int64]) -> "Figure":
    """Tiles by the share of rows that they keep: bars of equal width from 0 to 100 %."""
    width = 100 / len(counts)
    with style():
        from matplotlib.ticker import MaxNLocator

        figure = new_figure(4.2, 2.6)
        axes = figure.subplots()
        axes.bar(width * (np.arange(len(counts)) + 0.5), counts, width=0.92 * width, color=BLUE)
        axes.set_xlabel("rows kept by a tile (% of k)")
        axes.set_ylabel("tiles")
        axes.set_xlim(0, 100)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(True, axis="y")
    return figure


def norm_figure(norms: Mapping[str, Sequence[tuple[float, float]]]) -> "Figure":
    """Share of the norm that is kept over sparsity, a line for each pattern.

    Parameters
    ----------
    norms : mapping of title to sequence of (sparsity, norm)
        Share of weights that are pruned, and Frobenius norm of the kept ones over that of all.
    """
    with style():
        figure = new_figure(4.6, 2.9)
        axes = figure.subplots()
        for index, (title, points) in enumerate(norms.items()):
            sparsities, values = 100 * np.array(points).T
            axes.plot(
                sparsities, values, color=PALETTE[index % len(PALETTE)], marker=MARKERS[index % len(MARKERS)],
                markersize=4, linewidth=1.3, label=title,
            )  # fmt: skip
        axes.set_xlabel("weights pruned (%)")
        axes.set_ylabel("norm kept (%)")
        axes.grid(True, axis="y")
        figure.legend(loc="outside right upper")
    return figure


def mask_files(masks: Mapping[str, NDArray[np.bool_]], rows: NDArray[np.int64] | None) -> dict[str, bytes]:
    """Pictures as files: masks.png and .svg, and rows_per_tile.png and .svg where there are tiles."""
    from accelsim.show.style import figure_bytes

    figures = {"masks": mask_figure(masks)}
    if rows is not None:
        figures["rows_per_tile"] = rows_figure(rows)
    return {f"{name}.{kind}": figure_bytes(figure, kind) for name, figure in figures.items() for kind in ("png", "svg")}
