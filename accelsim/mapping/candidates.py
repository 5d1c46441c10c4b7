"""Kernels that may compute a GEMM: a library's menu, narrowed by what the mapping fixes, or built to measure."""

import math
from dataclasses import replace

from accelsim.config.hardware import Gpu, Library
from accelsim.config.scheme import Mapping
from accelsim.errors import MappingError
from accelsim.mapping.plan import TileShape
from accelsim.mapping.tiles import (
    ELEMENT_BYTES,
    built_tile,
    compute_unit,
    describe,
    misfit,
    shared_bytes,
    tile_shape,
)

_FIXABLE = ("tile_m", "tile_n", "tile_k", "stages")

_N_UNIT = 8
"""Columns of a tensor-core instruction: a tile's width is a multiple of it, but for kernels on CUDA cores."""

_MAX_BUILT_N = 256
"""Widest tile that is built for a granularity which the menu lacks."""


def candidate_tiles(
    dtype: str,
    gpu: Gpu,
    library: Library,
    mapping: Mapping,
    granularity: int | None = None,
    unit: str | None = None,
) -> list[TileShape]:
    """Kernels that may compute a product of operands of a format.

    Kernels of the menu that agree with everything the mapping fixes and fit the machine. If none agrees, the fixed
    values replace those of the nearest kernels of the menu (by the ratios of what is fixed); what is not fixed stays,
    but stages are taken away until the tile fits. tile_k of the mapping counts elements of the format at hand, that of
    the menu is scaled to it (`accelsim.mapping.tiles.tile_shape`).

    Parameters
    ----------
    dtype : str
        Operand format.
    gpu, library, mapping
        The machine, its menu, and what is fixed.
    granularity : int, optional
        Columns per tile of packed weights. Its kernels are no wider; where the menu has none of just this
        width (on tensor cores rounded up to a multiple of 8; up to 256), one is built.
    unit : str, optional
        ``sparse_tensor_core`` or ``cuda_core`` where the product is not to run on what multiplies the format otherwise.

    Raises
    ------
    MappingError
        If nothing fits, the menu is empty, or the mapping fixes a tile wider than the granularity.
    """
    unit = unit or compute_unit(dtype, gpu)
    kernels = getattr(library, unit) or (library.tensor_core if unit == "sparse_tensor_core" else [])
    menu = [tile_shape(kernel, dtype, unit) for kernel in kernels]
    fixed = {name: getattr(mapping, name) for name in _FIXABLE if getattr(mapping, name) is not None}
    if not menu:
        raise MappingError(f"library {library.name} has no {unit} kernel, and {dtype} on {gpu.name} needs one")
    tiles = _agreeing(menu, fixed, gpu, dtype) if granularity is None else _narrow(menu, fixed, gpu, dtype, granularity)
    fitting = [tile for tile in dict.fromkeys(tiles) if not misfit(tile, gpu)]
    if not fitting:
        smallest = min(tiles, key=lambda tile: tile.shared_bytes)
        raise MappingError(f"tile {describe(smallest)} does not fit {gpu.name}: {misfit(smallest, gpu)}")
    return fitting


def vector_tiles(dtype: str, gpu: Gpu, library: Library, mapping: Mapping) -> list[TileShape]:
    """Matrix-vector kernels that may compute a dense product of one row, beside those of `candidate_tiles`.

    They run on CUDA cores, so there is none where the mapping fixes a tile, or where the machine has no rate for the
    format without tensor cores.

    Parameters
    ----------
    dtype : str
        Operand format.
    gpu, library, mapping
        The machine, its menu, and what is fixed.
    """
    if any(getattr(mapping, name) is not None for name in _FIXABLE) or dtype not in gpu.cuda_core:
        return []
    tiles = dict.fromkeys(tile_shape(kernel, dtype, "gemv") for kernel in library.gemv)
    return [tile for tile in tiles if not misfit(tile, gpu)]


def _narrow(menu: list[TileShape], fixed: dict[str, int], gpu: Gpu, dtype: str, granularity: int) -> list[TileShape]:
    """Kernels no wider than a weight tile, one of just its width among them."""
    unit = 1 if menu and menu[0].unit == "cuda_core" else _N_UNIT
    widest = unit * math.ceil(granularity / unit)
    if "tile_n" in fixed:
        if fixed["tile_n"] > widest:
            raise MappingError(
                f"mapping.tile_n is {fixed['tile_n']}, but weight tiles of granularity {granularity} (or blocks of so "
                f"many columns) have no more columns than that; tile_n of at most {widest}, or wider tiles"
            )
        return _agreeing(menu, fixed, gpu, dtype)
    width = min(widest, _MAX_BUILT_N)
    narrow = [tile for tile in menu if tile.tile_n <= width]
    tiles = _agreeing(narrow, fixed, gpu, dtype) if narrow else []
    if all(tile.tile_n != width for tile in narrow):
        tiles += _agreeing(menu, fixed | {"tile_n": width}, gpu, dtype)
    return tiles


def _agreeing(menu: list[TileShape], fixed: dict[str, int], gpu: Gpu, dtype: str) -> list[TileShape]:
    """Kernels of the menu that have the fixed values, else the nearest ones changed to have them."""
    exact = [tile for tile in menu if all(getattr(tile, name) == value for name, value in fixed.items())]
    if exact:
        return exact

    def distance(tile: TileShape) -> float:
        return round(sum(abs(math.log2(getattr(tile, name) / value)) for name, value in fixed.items()), 9)

    least = min(distance(tile) for tile in menu)
    return [_changed(tile, fixed, gpu, dtype) for tile in menu if distance(tile) == least]


def _changed(tile: TileShape, fixed: dict[str, int], gpu: Gpu, dtype: str) -> TileShape:
    """A kernel with some values replaced; one of its own threads and registers if its outputs change."""
    tile_m, tile_n = fixed.get("tile_m", tile.tile_m), fixed.get("tile_n", tile.tile_n)
    tile_k, stages = fixed.get("tile_k", tile.tile_k), fixed.get("stages", tile.stages)
    if (tile_m, tile_n) == (tile.tile_m, tile.tile_n):
        memory = shared_bytes(tile_m, tile_n, tile_k, stages, ELEMENT_BYTES[dtype], tile.unit)
        changed = replace(tile, tile_k=tile_k, stages=stages, shared_bytes=memory)
    else:
        built = built_tile(tile_m, tile_n, tile_k, stages, dtype, tile.unit)
        changed = replace(built, multicast=tile.multicast)
    if "stages" not in fixed and changed.stages > 2 and misfit(changed, gpu):
        return _changed(replace(tile, stages=tile.stages - 1), fixed, gpu, dtype)
    return changed


def with_depth(
    tiles: list[TileShape], mapping: Mapping, gpu: Gpu, dtype: str, depth_unit: int, depth_limit: int | None
) -> list[TileShape]:
    """Kernels whose k-steps suit packed weights.

    Parameters
    ----------
    tiles : list of TileShape
    mapping : Mapping
        What it fixes stays.
    gpu, dtype
        As of `candidate_tiles`.
    depth_unit : int
        Rows of a group; a k-step holds whole groups.
    depth_limit : int or None
        Rows of a block; a k-step holds no more.

    Raises
    ------
    MappingError
        If the mapping fixes a tile_k that cuts groups.
    """
    if mapping.tile_k is not None:
        if mapping.tile_k % depth_unit:
            raise MappingError(
                f"mapping.tile_k is {mapping.tile_k}, which cuts groups of {depth_unit} rows; take a multiple of "
                f"{depth_unit}"
            )
        return tiles
    found = []
    for tile in tiles:
        depth = tile.tile_k if depth_limit is None else min(tile.tile_k, depth_limit)
        depth = depth_unit * -(-depth // depth_unit)
        fixed = {"tile_k": depth} | ({} if mapping.stages is None else {"stages": mapping.stages})
        found.append(tile if depth == tile.tile_k else _changed(tile, fixed, gpu, dtype))
    fitting = [tile for tile in dict.fromkeys(found) if not misfit(tile, gpu)]
    if not fitting:
        raise MappingError(f"tile {describe(found[0])} does not fit {gpu.name}: {misfit(found[0], gpu)}")
    return fitting
