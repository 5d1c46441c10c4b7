"""Menus of kernels for the libraries that measured tables name."""

from functools import cache

from accelsim.config.hardware import Gpu, Library
from accelsim.config.loader import available, load_library


def menu_of(gpu: Gpu, library: str | None) -> str:
    """Name of the menu for a library: that of the very GPU before that of its family, and else the GPU's own.

    Parameters
    ----------
    gpu : Gpu
        Its own menu names the family by its last word: ampere in cublas_ampere.
    library : str or None
        As notes name it (cublas, cutlass, cusparselt, ...); cublas and None are the GPU's own menu.
    """
    if library in (None, "cublas"):
        return gpu.library
    family = gpu.library.rpartition("_")[2]
    own = (f"{library}_{gpu.name}", f"{library}_{family}")
    return next((name for name in own if name in _menus()), gpu.library)


@cache
def menu(name: str) -> Library:
    """The menu of a name, read once."""
    return load_library(name)


@cache
def _menus() -> frozenset[str]:
    return frozenset(available("hwconfigs/libraries"))
