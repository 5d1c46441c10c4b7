"""A sweep that is killed at any moment loses no point that was recorded, and ends as one that was left alone."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from accelsim.errors import ResultError
from accelsim.explore.sweep import Record, Sweep, read_results, read_sweep, run_sweep
from tests.explore.sweep_cases import HEAD, deadly, numbers, written

ROOT = Path(__file__).parents[2]
CODE = (
    "import sys\n"
    "from accelsim.explore.sweep import read_sweep, run_sweep\n"
    "from tests.explore.sweep_cases import numbers\n"
    "if __name__ == '__main__':\n"
    "    run_sweep(read_sweep(sys.argv[1]), sys.argv[2], workers=int(sys.argv[3]), evaluate=numbers)\n"
)


def sweep_of(folder: Path, points: int) -> Path:
    return written(folder, HEAD + f"grid:\n  seed: {{linear: [0, {points - 1}], points: {points}}}\n")


def started(folder: Path, file: Path, workers: int) -> "subprocess.Popen[bytes]":
    script = folder / "sweep.py"
    script.write_text(CODE)
    words = [sys.executable, str(script), str(file), str(folder / "out"), str(workers)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, start_new_session=True)


def recorded(folder: Path) -> dict[object, Record]:
    """What is there now, by seed; no point stands twice, and every record is whole."""
    try:
        records = list(read_results(folder / "out").records)
    except ResultError:  # killed before there was a store
        return {}
    found = {record["seed"]: record for record in records}
    assert len(found) == len(records)
    assert all(record.keys() == {"seed", "error", "config_hash", "latency_us", "cycles"} for record in records)
    return found


def killed_often(folder: Path, points: int, kills: int, workers: int, seed: int) -> int:
    """Kill a sweep so many times, each time after another moment; the number of times that points were added."""
    rng, file = random.Random(seed), sweep_of(folder, points)
    before: dict[object, Record] = {}
    grown = 0
    for _ in range(kills):
        process = started(folder, file, workers)
        # Some die while they begin, some once they have recorded a few points more.
        wanted = len(before) + rng.randrange(1, max(2, points // kills))
        deadline = time.monotonic() + (rng.uniform(0.0, 3.0) if rng.random() < 0.2 else 60.0)
        while time.monotonic() < deadline and process.poll() is None and len(recorded(folder)) < wanted:
            time.sleep(rng.uniform(0.0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        after = recorded(folder)
        assert after.items() >= before.items()
        grown += len(after) > len(before)
        before = after
    process = started(folder, file, workers)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    assert recorded(folder).items() >= before.items()
    return grown


def assert_undisturbed(folder: Path, points: int) -> None:
    run_sweep(read_sweep(sweep_of(folder, points)), folder / "undisturbed", evaluate=numbers)
    for name in ("points.csv", "points.parquet"):
        assert (folder / "out" / name).read_bytes() == (folder / "undisturbed" / name).read_bytes()
    with sqlite3.connect(folder / "out/points.sqlite") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        positions = [position for (position,) in database.execute("SELECT position FROM points ORDER BY position")]
    database.close()
    assert positions == list(range(points))


def test_a_sweep_survives_three_kills(tmp_path: Path) -> None:
    assert killed_often(tmp_path, 400, 3, workers=1, seed=1) >= 1
    assert_undisturbed(tmp_path, 400)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "kills"), [(1, 25), (2, 25)])
def test_a_sweep_survives_fifty_kills(tmp_path: Path, workers: int, kills: int) -> None:
    assert killed_often(tmp_path, 3000, kills, workers, seed=workers) >= kills // 2
    assert_undisturbed(tmp_path, 3000)


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    process = started(tmp_path, sweep_of(tmp_path, 100_000), workers=2)
    while len(recorded(tmp_path)) < 1 and process.poll() is None:
        time.sleep(0.05)
    pids = below(process.pid)
    process.kill()
    process.communicate()
    if pids is None:
        pytest.skip("this system does not list the children of a process")
    assert len(pids) > 2
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(map(alive, pids)):
        time.sleep(0.1)
    assert not any(map(alive, pids))


def below(pid: int) -> list[int] | None:
    """Processes that descend from one; None where the system does not list them."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    if not children.exists():
        return None
    found = [int(child) for child in children.read_text().split()]
    return [*found, *(other for child in found for other in below(child) or ())]


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_point_that_takes_its_worker_along_is_recorded_and_stops_no_other(tmp_path: Path) -> None:
    sweep: Sweep = read_sweep(sweep_of(tmp_path, 24))
    run = run_sweep(sweep, tmp_path / "out", workers=2, evaluate=deadly)
    assert [record["seed"] for record in run.failed] == [7]
    assert str(run.failed[0]["error"]).startswith("internal error: its worker process ended")
    assert [record["seed"] for record in run.records] == list(range(24))
    again = run_sweep(sweep, tmp_path / "out", evaluate=numbers)
    assert again.failed == ()
    assert json.loads(again.to_json())["points"] == list(run_sweep(sweep, evaluate=numbers).records)
