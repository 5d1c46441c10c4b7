"""Many runs: sweeps over the fields of a config, and the sparsity from which patterns beat dense weights."""

from accelsim.explore.breakeven import Search, break_even
from accelsim.explore.breakeven_table import BreakEven
from accelsim.explore.sweep import Sweep, SweepRun, read_sweep, run_sweep

__all__ = ["BreakEven", "Search", "Sweep", "SweepRun", "break_even", "read_sweep", "run_sweep"]
