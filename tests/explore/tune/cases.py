"""Searches that tests run, and a stand-in for a run."""

import math
from collections.abc import Callable
from typing import Any

from accelsim.explore.sweep import Point, Record
from accelsim.explore.tune import Tune, make_tune

SPACE = {
    "mapping.tile_m": [64, 128, 256],
    "mapping.tile_n": [64, 128],
    "mapping.stages": [2, 6],
    "mapping.split_k": [1, 2],
}
"""Of 24 settings, 20 fit a V100."""


def small(space: Any = None, **settings: Any) -> Tune:
    return make_tune("v100_pcie", "gemm_1024", SPACE if space is None else space, **settings)


def made_up(point: Point) -> Record:
    """Stands in for a run: time falls with tile_m, energy rises with it; 256 x 128 breaks in two stages."""
    record: Record = {**point.settings, "error": None, "config_hash": None}
    m, n = point.settings.get("mapping.tile_m", 64), point.settings.get("mapping.tile_n", 64)
    stages, split = point.settings.get("mapping.stages", 2), point.settings.get("mapping.split_k", 1)
    assert isinstance(m, int)
    assert isinstance(n, int)
    assert isinstance(stages, int)
    assert isinstance(split, int)
    if (m, n, stages) == (256, 128, 2):
        return record | {"error": "does not fit"}
    return record | {"latency_us": 1e4 / m + n / 8 + stages + 0.1 * split, "energy_uj": float(m + n) * math.sqrt(split)}


class Counted:
    """Counts how often each setting is run."""

    def __init__(self, evaluate: Callable[[Point], Record] = made_up, stop_after: int | None = None) -> None:
        self.evaluate = evaluate
        self.stop_after = stop_after
        self.seen: list[tuple[object, ...]] = []

    def __call__(self, point: Point) -> Record:
        if self.stop_after is not None and len(self.seen) == self.stop_after:
            raise KeyboardInterrupt
        self.seen.append(tuple(point.settings.values()))
        return self.evaluate(point)
