"""Importing this loads what points need: modules, and kernels from Numba's cache, compiled if they are not there.

It is for the process that workers are forked from, so that all of them have it without doing it again.
"""

import gc
from contextlib import suppress

from accelsim.config.loader import load_config
from accelsim.explore.sweep.reuse import Reuse

_SMALL = ("workload.m=128", "workload.n=128", "workload.k=128")
"""A product that takes no time beside that of loading what runs it."""


def warm_up() -> None:
    """Run the small product once, and keep what it loaded out of garbage collection, which would copy shared pages."""
    with suppress(Exception):  # whatever is wrong, the points themselves tell it
        Reuse().summary(load_config("v100_pcie", "gemm_1024", sets=_SMALL, values=False))
    gc.collect()
    gc.freeze()


warm_up()
