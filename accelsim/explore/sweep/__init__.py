"""Sweeps: many runs over axes, recorded as each ends."""

from accelsim.explore.sweep.run import Point, SweepRun, evaluate_point, make_point, run_sweep
from accelsim.explore.sweep.spec import Sweep, SweepSpec, read_sweep

__all__ = ["Point", "Sweep", "SweepRun", "SweepSpec", "evaluate_point", "make_point", "read_sweep", "run_sweep"]
