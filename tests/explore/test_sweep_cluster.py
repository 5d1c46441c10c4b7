"""Sweeps on the workers of a Dask scheduler, one of which is killed in the middle."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from accelsim.cli import main
from accelsim.errors import ConfigError
from accelsim.explore.sweep import evaluate_point, read_sweep, run_sweep
from tests.explore.sweep_cases import HEAD, numbers, written

pytest.importorskip("distributed", reason="Dask (the extra [cluster]) is not installed")
ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class LoopbackCluster:
    """A scheduler and workers of one thread, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.processes = [self._start("scheduler", "--host", self.address, "--no-dashboard")]

    def _start(self, *words: str) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        log = (self.folder / f"{words[0]}.log").open("ab")
        command = [sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:]]
        return subprocess.Popen(command, env=environment, cwd=self.folder, stdout=log, stderr=log)

    def add_worker(self) -> "subprocess.Popen[bytes]":
        words = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0", "--death-timeout", "60")
        worker = self._start("worker", self.address, *words)
        self.processes.append(worker)
        return worker

    def wait_for(self, workers: int) -> None:
        from distributed import Client

        with Client(self.address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=120)

    def close(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LoopbackCluster]:
    found = LoopbackCluster(tmp_path)
    try:
        yield found
    finally:
        found.close()


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_no_point(tmp_path: Path, cluster: LoopbackCluster) -> None:
    victim = cluster.add_worker()
    cluster.add_worker()
    cluster.wait_for(2)
    text = HEAD + "grid:\n  seed: {linear: [0, 999], points: 1000}\n"
    sweep = read_sweep(written(tmp_path, text))
    killed_at: list[int] = []

    def kill(done: int, total: int) -> None:
        if done > total // 3 and not killed_at:
            victim.kill()
            killed_at.append(done)

    run = run_sweep(sweep, tmp_path / "out", scheduler=cluster.address, evaluate=numbers, progress=kill)
    assert killed_at
    assert victim.wait(10) != 0
    assert run.failed == ()
    assert run.records == run_sweep(sweep, evaluate=numbers).records


@pytest.mark.slow
def test_a_cluster_runs_points_as_this_process_does(tmp_path: Path, cluster: LoopbackCluster) -> None:
    cluster.add_worker()
    cluster.wait_for(1)
    sweep = read_sweep(written(tmp_path, HEAD + "grid:\n  mapping.tile_m: [64, 128, 4096]\n  mapping.stages: [2, 3]\n"))
    run = run_sweep(sweep, tmp_path / "out", scheduler=cluster.address)
    assert run.records == run_sweep(sweep, evaluate=evaluate_point).records
    assert len(run.failed) == 2


@pytest.mark.slow
def test_a_scheduler_that_is_gone_is_told(tmp_path: Path, cluster: LoopbackCluster) -> None:
    cluster.add_worker()
    cluster.wait_for(1)
    file = written(tmp_path, HEAD + "grid:\n  seed: {linear: [0, 99999], points: 100000}\n")
    words = ["sweep", str(file), "--out", str(tmp_path / "out"), "--scheduler", cluster.address]
    process = subprocess.Popen(
        [sys.executable, "-m", "accelsim", *words], stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (tmp_path / "out/points.sqlite-wal").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(5)
    cluster.close()
    _, told = process.communicate(timeout=120)
    assert process.returncode == 2, told
    assert "is gone; points that were recorded are kept" in told


def test_no_scheduler_at_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("accelsim.explore.sweep.workers._ANSWER_S", 1)
    sweep = read_sweep(written(tmp_path, HEAD + "grid:\n  seed: [0, 1]\n"))
    address = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(ConfigError, match=f"no scheduler answers at {address} within 1 s"):
        run_sweep(sweep, tmp_path / "out", scheduler=address)
    assert main(["sweep", str(tmp_path / "tiles.yaml"), "--scheduler", "nowhere", "--quiet"]) == 2
    told = capsys.readouterr().err
    assert "scheduler 'nowhere'" in told
    assert "needs an address as in tcp://host:8786" in told
