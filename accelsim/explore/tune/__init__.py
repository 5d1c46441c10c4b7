"""Tune: the settings of a run that take least time or energy, within limits, by search."""

from accelsim.explore.tune.check import make_tune, read_tune
from accelsim.explore.tune.result import Tuned
from accelsim.explore.tune.run import Told, tune
from accelsim.explore.tune.search import Trial
from accelsim.explore.tune.spec import Limits, Tune, TuneSpec

__all__ = ["Limits", "Told", "Trial", "Tune", "TuneSpec", "Tuned", "make_tune", "read_tune", "tune"]
