"""Sweeps: many runs over axes, recorded as each ends."""

from accelsim.explore.sweep.check import read_sweep
from accelsim.explore.sweep.points import Point, Record, evaluate_point, make_point
from accelsim.explore.sweep.results import SweepRun, read_results
from accelsim.explore.sweep.run import run_sweep
from accelsim.explore.sweep.spec import Sweep, SweepSpec

__all__ = [
    "Point",
    "Record",
    "Sweep",
    "SweepRun",
    "SweepSpec",
    "evaluate_point",
    "make_point",
    "read_results",
    "read_sweep",
    "run_sweep",
]
