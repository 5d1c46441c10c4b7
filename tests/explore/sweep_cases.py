"""Sweeps that tests run: a file, and a stand-in for a run."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from accelsim.explore.sweep import Point, Record

HEAD = "kind: sweep\nhardware: v100_pcie\nworkload: gemm_1024\nvalues: false\n"
GRID = "grid:\n  mapping.tile_m: [64, 128]\n  mapping.tile_n: [64, 128, 256]\n"


def written(folder: Path, text: str, name: str = "tiles.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def made_up(point: Point) -> Record:
    """Stands in for a run: latency from the settings alone; a tile of 256 does not fit, one of 128 x 64 breaks us."""
    record: Record = {**point.settings, "error": None, "config_hash": point.key}
    m, n = point.settings["mapping.tile_m"], point.settings["mapping.tile_n"]
    assert isinstance(m, int)
    assert isinstance(n, int)
    if n == 256:
        return record | {"error": "does not fit"}
    if (m, n) == (128, 64):
        return record | {"error": "internal error: KeyError: 3"}
    return record | {"latency_us": 1e4 / m + n, "cycles": m * n}


class Counted:
    """Counts how often each point is run."""

    def __init__(self, evaluate: Callable[[Point], Record] = made_up, stop_after: int | None = None) -> None:
        self.evaluate = evaluate
        self.stop_after = stop_after
        self.seen: list[tuple[object, ...]] = []

    def __call__(self, point: Point) -> Record:
        if self.stop_after is not None and len(self.seen) == self.stop_after:
            raise KeyboardInterrupt
        self.seen.append(tuple(point.settings.values()))
        return self.evaluate(point)


def numbers(point: Point) -> Record:
    """A run of any point: numbers that follow from its settings, after a moment."""
    time.sleep(0.002)
    digest = hashlib.sha256(repr(sorted(point.settings.items())).encode()).digest()
    return {**point.settings, "error": None, "config_hash": None, "latency_us": digest[0] + 0.5, "cycles": digest[1]}


def deadly(point: Point) -> Record:
    """Like `numbers`, but one point takes its process along."""
    if point.settings["seed"] == 7:
        os._exit(9)
    return numbers(point)
