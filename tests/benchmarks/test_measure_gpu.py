"""The program that measures GPUs, as its users start it; its CPU mode with PyTorch, where that is installed."""

import csv
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.measure.board import NoBoard
from benchmarks.measure.cases import Case
from benchmarks.measure.errors import DeviceLostError, NotMeasurableError
from benchmarks.measure.session import Bench, run_cases
from benchmarks.measure.shapes import Product
from benchmarks.measure.table import Table
from benchmarks.measure.tile_wise import tile_wise
from benchmarks.measure.timing import Settings

ROOT = Path(__file__).resolve().parents[2]
SHORT = Settings(warm_up_s=0.0, repeats=3, power_s=0.0)


def program(*arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    command = [python, str(ROOT / "benchmarks" / "measure_gpu.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class TestProgram:
    def test_list_needs_no_torch(self) -> None:
        done = program("--list", "--quick", "--ops", "gemm,tilewise", "--device", "cpu")
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 4 + 3 * 2 * 3

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            (["--ops", "gem"], "gem"),
            (["--granularities", "48"], "48"),
            (["--sparsities", "1"], "below 1"),
            (["--copies", "0"], "whole number"),
            (["--device", "tpu"], "cuda:N"),
            (["--list", "--shapes", "nowhere.csv"], "nowhere.csv"),
        ],
    )
    def test_mistakes_end_with_status_2(self, arguments: list[str], problem: str) -> None:
        done = program(*arguments)
        assert done.returncode == 2
        assert problem in done.stderr
        assert "Traceback" not in done.stderr

    def test_without_torch_it_says_so(self, tmp_path: Path) -> None:
        hidden = (
            "import sys; sys.modules['torch'] = None; sys.path.insert(0, sys.argv.pop(1)); "
            "import measure_gpu; sys.exit(measure_gpu.main())"
        )
        command = [
            sys.executable,
            "-c",
            hidden,
            str(ROOT / "benchmarks"),
            "--device",
            "cpu",
            "-o",
            str(tmp_path / "t.csv"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (2, "")
        assert "PyTorch cannot be imported" in done.stderr
        assert not (tmp_path / "t.csv").exists()


class TestWithTorch:
    @pytest.fixture
    def bench(self) -> Bench:
        torch = pytest.importorskip("torch", reason="torch is not installed")
        return Bench(torch, torch.device("cpu"), NoBoard(), "a processor", None, None)

    def test_cpu_mode_writes_rows_and_goes_on_where_it_stopped(self, tmp_path: Path, bench: Bench) -> None:
        file = tmp_path / "cpu.csv"
        arguments = [
            "--device",
            "cpu",
            "--quick",
            "--copies",
            "2",
            "--sparsities",
            "0.5",
            "-o",
            str(file),
            "--gpu",
            "cpu",
        ]
        done = program(*arguments)
        assert done.returncode == 0, done.stderr
        rows = rows_of(file)
        assert {row["op"] for row in rows} == {"gemm", "tilewise", "context", "generation"}
        assert all(float(row["latency_us"]) > 0 and row["torch"] and row["notes"] for row in rows)
        text = file.read_text()
        file.write_text("".join(text.splitlines(keepends=True)[:-3]))
        assert "3 measured" in program(*arguments).stdout
        assert len(rows_of(file)) == len(rows)

    def test_cuda_that_is_absent_is_an_error(self, bench: Bench) -> None:
        if bench.torch.cuda.is_available():
            pytest.skip("CUDA is there")
        done = program("--device", "cuda")
        assert done.returncode == 2
        assert "no CUDA device" in done.stderr

    @pytest.mark.parametrize("strategy", ["padded_batch", "stream"])
    @pytest.mark.parametrize("uneven", [0.0, 0.7])
    def test_strategies_compute_the_masked_product(self, bench: Bench, strategy: str, uneven: float) -> None:
        case = Case(
            "tilewise", "fp32", Product(33, 150, 70), "torch", "stream", 2, "T", "N", "row", 0.6, strategy, 16, uneven
        )
        operation = tile_wise(bench.torch, case, bench.device)
        assert operation.relative_error is not None
        assert operation.relative_error() < 1e-5

    def test_triton_computes_the_masked_product(
        self, tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if find_spec("triton") is None:
            pytest.skip("triton is not installed")
        monkeypatch.setenv("TRITON_INTERPRET", "1")
        shapes = tmp_path / "shapes.csv"
        shapes.write_text("m,n,k\n17,70,33\n")
        options = ["--device", "cpu", "--quick", "--ops", "tilewise", "--shapes", str(shapes), "--sparsities", "0.5"]
        done = program(
            *options, "--uneven", "0.5", "--granularities", "16", "--copies", "1", "-o", str(tmp_path / "t.csv")
        )
        rows = rows_of(tmp_path / "t.csv")
        # A kernel whose result is off by more than rounding is not timed.
        assert len(rows) == 3, done.stdout
        assert {(row["library"], row["tile_n"]) for row in rows} == {("triton", "16")}

    def test_two_of_four_keeps_the_larger(self, bench: Bench) -> None:
        from benchmarks.measure.products import prune_two_of_four

        weights = bench.torch.tensor([[1.0, -3.0, 2.0, 0.5, 4.0, 4.0, 4.0, -5.0]])
        pruned = prune_two_of_four(bench.torch, weights)
        assert pruned[0, :4].tolist() == [0.0, -3.0, 2.0, 0.0]
        assert int((pruned[0, 4:] != 0).sum()) == 2
        assert pruned[0, 7] == -5.0

    @pytest.mark.parametrize("layout", ["NN", "NT", "TN", "TT"])
    @pytest.mark.parametrize("batch", [1, 3])
    def test_layouts_multiply_the_same_shape(self, bench: Bench, layout: str, batch: int) -> None:
        from benchmarks.measure.products import dense

        case = Case("gemm", "fp32", Product(5, 6, 7, batch), "cublas", "stream", 2, layout[0], layout[1], "row")
        calls = dense(bench.torch, case, bench.device).calls
        results = [call().clone() for call in calls]  # type: ignore[attr-defined]
        assert len(results) == 2
        assert results[0].shape == ((5, 6) if batch == 1 else (3, 5, 6))
        assert not bench.torch.equal(*results)

    def test_a_wrong_kernel_is_not_timed(self, tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        from benchmarks.measure import session
        from benchmarks.measure.products import Operation

        wrong = Operation([lambda: None], lambda: float("nan"))
        monkeypatch.setattr(session, "tile_wise", lambda *_: wrong)
        said: list[str] = []
        case = Case("tilewise", "fp32", Product(8, 8, 8), "torch", "stream", 1, granularity=8)
        table = Table(tmp_path / "t.csv")
        counts = run_cases([case], bench, table, SHORT, "test", said.append)
        assert (counts["measured"], counts["failed"], len(table)) == (0, 1, 0)
        assert "wrong result" in said[0]

    def test_what_fails_is_named_and_the_rest_goes_on(self, tmp_path: Path, bench: Bench) -> None:
        def of(op: str, library: str) -> Case:
            order = "column" if op == "spmm_2to4" else "row"
            return Case(op, "fp16", Product(64, 64, 64), library, "stream", 1, "N", "N", order)

        said: list[str] = []
        cases = [of("spmm_2to4", "cutlass"), of("gemm", "cublas")]
        counts = run_cases(cases, bench, Table(tmp_path / "t.csv"), SHORT, "test", said.append)
        assert (counts["measured"], counts["failed"]) == (1, 1)
        assert "CUDA alone" in said[0]

    def test_a_device_that_stops_ends_the_session(
        self, tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from benchmarks.measure import session

        def lost(*_: object) -> None:
            raise RuntimeError("CUDA error: an illegal memory access")

        monkeypatch.setattr(session.products, "dense", lost)
        monkeypatch.setattr(session, "_free", lost)
        case = Case("gemm", "fp32", Product(8, 8, 8), "cublas", "stream", 1)
        with pytest.raises(DeviceLostError, match="illegal memory access"):
            run_cases([case], bench, Table(tmp_path / "t.csv"), SHORT, "test", print)

    def test_one_launch_of_all_tiles_needs_triton(self, bench: Bench) -> None:
        case = Case("tilewise", "fp32", Product(8, 32, 8), "torch", "stream", 1, "T", "N", "row", 0.5, "merged", 16)
        with pytest.raises(NotMeasurableError, match="Triton"):
            tile_wise(bench.torch, case, bench.device)
