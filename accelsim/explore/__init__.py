"""Many runs: sweeps over the fields of a config."""

from accelsim.explore.spec import Sweep, read_sweep
from accelsim.explore.sweep import SweepRun, run_sweep

__all__ = ["Sweep", "SweepRun", "read_sweep", "run_sweep"]
