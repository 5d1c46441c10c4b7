"""The space that is searched where none is named: how products are cut into thread blocks."""

from typing import Any

from accelsim.config.hardware import Gpu, Library
from accelsim.config.pattern_options import PATTERN_OPTIONS
from accelsim.config.workload import GemmWorkload, Workload

TILES = (16, 32, 64, 128, 256)
DEPTHS = (16, 32, 64, 128)
STAGES = (2, 3, 4, 5, 6)
SPLITS = (1, 2, 4, 8, 16)
RASTERS = ("along_m", "along_n", "swizzle")


def default_space(workload: Workload, scheme: str, gpu: Gpu, library: Library) -> dict[str, Any]:
    """Values of tile, stages, split-K and raster order that a GPU's kernels may have.

    Parameters
    ----------
    workload : workload spec
        Of several products: each axis may be left to the library as well (null), since one tile seldom suits all.
    scheme : str
        Whose pattern sets the width of tiles where it prunes weights, so that `mapping.tile_n` is no axis.
    gpu : Gpu
        Depths and stages of which not even the least tile fits are left out.
    library : Library
        Sizes of its own kernels for tensor cores are in the space beside powers of two, so that they are found too.
    """
    least = min(gpu.shared_memory.per_block, gpu.shared_memory.per_sm) // (2 * 2 * TILES[0])
    menu = library.tensor_core
    axes: dict[str, list[Any]] = {
        "mapping.tile_m": sorted({*TILES, *(kernel.tile_m for kernel in menu)}),
        "mapping.tile_n": sorted({*TILES, *(kernel.tile_n for kernel in menu)}),
        "mapping.tile_k": [depth for depth in DEPTHS if STAGES[0] * depth <= least],
        "mapping.stages": [
            stages for stages in sorted({*STAGES, *(one.stages for one in menu)}) if stages * DEPTHS[0] <= least
        ],
        "mapping.split_k": list(SPLITS),
    }
    if scheme.partition("+")[0] in PATTERN_OPTIONS:
        del axes["mapping.tile_n"]
    if not isinstance(workload, GemmWorkload):
        axes = {axis: [None, *values] for axis, values in axes.items()}
    return axes | {"mapping.raster": list(RASTERS)}
