"""Sweeps: many runs over axes, recorded as each ends.

Names are imported when they are first used, so that processes which run points can start before the rest is loaded.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accelsim.explore.sweep.check import read_sweep
    from accelsim.explore.sweep.points import Point, Record, evaluate_point, make_point
    from accelsim.explore.sweep.results import SweepRun, read_results
    from accelsim.explore.sweep.run import run_sweep
    from accelsim.explore.sweep.spec import Sweep, SweepSpec

_HOME = {
    "Point": "points",
    "Record": "points",
    "Sweep": "spec",
    "SweepRun": "results",
    "SweepSpec": "spec",
    "evaluate_point": "points",
    "make_point": "points",
    "read_results": "results",
    "read_sweep": "check",
    "run_sweep": "run",
}

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


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'accelsim.explore.sweep' has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
