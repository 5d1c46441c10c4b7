"""Menus of kernels for the libraries that measured tables name."""

from functools import cache

from accelsim.config.hardware import Gpu, Library
from accelsim.config.loader import available, load_library


def menu_of(gpu: Gpu, library: str | None, sparse: bool = False) -> str:
    """Name of the menu for a library: that of the very GPU before that of its family, and else the GPU's own.

    Parameters
    ----------
    gpu : Gpu
        Its own menu names the family by its last word: ampere in cublas_ampere.
    library : str or None
        As notes name it (cublas, cutlass, cusparselt, ...); cublas and None are the GPU's own menu.
    sparse : bool
        Whether an operand is 2:4, for which the GPU may name a menu of its own.
    """
    default = gpu.sparse_library or gpu.library if sparse else gpu.library
    if library in (None, "cublas"):
        return default
    family = gpu.library.rpartition("_")[2]
    own = (f"{library}_{gpu.name}", f"{library}_{family}")
    return next((name for name in own if name in _menus()), default)


@cache
def menu(name: str) -> Library:
    """The menu of a name, read once."""
    return load_library(name)


@cache
def _menus() -> frozenset[str]:
    return frozenset(available("hwconfigs/libraries"))
