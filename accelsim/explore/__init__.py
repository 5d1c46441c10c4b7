"""Many runs: sweeps over the fields of a config, and the sparsity from which patterns beat dense weights.

Names are imported when they are first used, so that a sweep's parent process need not load kernels.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accelsim.explore.breakeven import Search, break_even
    from accelsim.explore.breakeven_table import BreakEven
    from accelsim.explore.sweep import Sweep, SweepRun, read_sweep, run_sweep

_HOME = {
    "BreakEven": "accelsim.explore.breakeven_table",
    "Search": "accelsim.explore.breakeven",
    "Sweep": "accelsim.explore.sweep",
    "SweepRun": "accelsim.explore.sweep",
    "break_even": "accelsim.explore.breakeven",
    "read_sweep": "accelsim.explore.sweep",
    "run_sweep": "accelsim.explore.sweep",
}

__all__ = ["BreakEven", "Search", "Sweep", "SweepRun", "break_even", "read_sweep", "run_sweep"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'accelsim.explore' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
