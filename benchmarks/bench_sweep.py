"""A sweep of 1,000 points with one worker and with two: wall time, CPU time, memory of the parent.

Tiles and stages of all products of an encoder layer of BERT-Base on an A100, timing only, by events, as the command
runs them from its start to its end. One and two workers take turns, so that other work on the machine meets both; where
it is busy, CPU time says more than wall time. Linux only: CPU time is that of every process that the command leaves.
"""

import ctypes
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from accelsim.explore.sweep import read_results

POINTS = 1_000
SWEEP = """\
kind: sweep
hardware: a100_sxm4_80gb
workload: bert_base_layer
values: false
grid:
  mapping.tile_m: [32, 48, 64, 80, 96, 112, 128, 160, 192, 256]
  mapping.tile_n: [32, 48, 64, 80, 96, 112, 128, 144, 160, 192]
  mapping.tile_k: [16, 32]
  mapping.stages: [2, 3, 4, 5, 6]
"""
TURNS = 3

_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of Linux: processes that lose their parent become ours."""


@dataclass(frozen=True)
class Cost:
    """What one run of the command took."""

    wall_s: float
    cpu_s: float
    """Of all processes."""
    parent_cpu_s: float
    """Of the command's own."""
    parent_mib: float

    def __str__(self) -> str:
        return (
            f"{self.wall_s:6.2f} s, CPU {self.cpu_s:6.2f} s, of it the parent {self.parent_cpu_s:5.2f} s, "
            f"{self.parent_mib:.0f} MiB"
        )


def sweep(folder: Path, workers: int) -> Cost:
    """Run the command into a new folder, and wait for every process that it started."""
    command = [sys.executable, "-m", "accelsim", "sweep", str(folder / "sweep.yaml"), "--quiet"]
    command += ["--out", str(folder / f"out{time.monotonic_ns()}"), "--workers", str(workers)]
    begin = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, own = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    parent = own.ru_utime + own.ru_stime
    others = 0.0
    while True:  # processes that were forked for it end after it
        try:
            _, _, usage = os.wait4(-1, 0)
        except ChildProcessError:
            break
        others += usage.ru_utime + usage.ru_stime
    run = read_results(command[command.index("--out") + 1])
    if len(run.records) != POINTS:
        raise SystemExit(f"{len(run.records)} points of {POINTS}")
    return Cost(wall, parent + others, parent, own.ru_maxrss / 1024)


def main() -> None:
    """Print every run, then what two workers gain, from the fastest of each."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    found: dict[int, list[Cost]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "sweep.yaml").write_text(SWEEP)
        for _ in range(TURNS):
            for workers, costs in found.items():
                costs.append(sweep(Path(name), workers))
                print(f"{workers} worker{'s' if workers > 1 else ' '} {costs[-1]}", flush=True)
    one, two = (min(costs, key=lambda cost: cost.wall_s) for costs in found.values())
    print(f"{POINTS} points: {one.wall_s:.1f} s, with two workers {two.wall_s:.1f} s: {one.wall_s / two.wall_s:.2f}x")
    shared = two.parent_cpu_s + (two.cpu_s - two.parent_cpu_s) / 2
    print(f"by CPU time, were workers alone on two cores and the parent beside them: {one.cpu_s / shared:.2f}x")


if __name__ == "__main__":
    main()
