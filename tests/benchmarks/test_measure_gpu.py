"""The program that measures GPUs: shapes, cases, packing, table and timing without PyTorch; its CPU mode with it."""

import csv
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.measure.board import NoBoard, NvmlBoard, Reading, SmiBoard, open_board, parse_smi
from benchmarks.measure.cases import OPS, Case, Options, build_cases, warm_state
from benchmarks.measure.errors import DeviceLostError, NotMeasurableError, UsageError
from benchmarks.measure.session import Bench, run_cases
from benchmarks.measure.shapes import Attention, Product, Shapes, default_shapes, quick_shapes, read_shapes
from benchmarks.measure.table import COLUMNS, KEY, Table, notes_of
from benchmarks.measure.tile_wise import draw_layout, masked, multiply, pack, pad, tile_wise
from benchmarks.measure.timing import Cpu, Cuda, Settings, measure, rounds_in_batch, summarise

ROOT = Path(__file__).resolve().parents[2]
SHORT = Settings(warm_up_s=0.0, repeats=3, power_s=0.0)


def program(*arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    command = [python, str(ROOT / "benchmarks" / "measure_gpu.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class TestShapes:
    def test_built_in_lists_hold_what_is_promised(self) -> None:
        shapes = default_shapes()
        assert {Product(512, n, k) for n, k in ((768, 768), (2304, 768), (3072, 768), (768, 3072))} <= set(
            shapes.products
        )
        assert {shape.m for shape in shapes.products} >= {1, 2, 4, 8, 16}
        assert Product(2048, 2048, 2048) in shapes.products
        assert any(shape.m % 2 and shape.n % 2 and shape.k % 2 for shape in shapes.products)
        assert {shape.op for shape in shapes.attentions} == {"context", "encoder", "generation"}
        assert set(shapes.sparse) <= set(shapes.products)
        for found in (shapes, quick_shapes()):
            for some in (found.products, found.attentions, found.sparse):
                assert len(set(some)) == len(some) > 0

    def test_a_file_may_mix_products_and_attentions(self, tmp_path: Path) -> None:
        file = tmp_path / "shapes.csv"
        file.write_text(
            "gpu,m,n,k,batch,q_heads,kv_heads,head_dim,q_len,kv_len,causal\n"
            "a,8,16,32,,,,,,,\nb,8,16,32,1,,,,,,\nc,,,,2,8,4,64,128,128,1\n\nd,5,6.0,7,3,,,,,,\n"
        )
        found = read_shapes(file)
        assert found.products == (Product(8, 16, 32), Product(5, 6, 7, 3)) == found.sparse
        assert found.attentions == (Attention(2, 8, 4, 64, 128, 128, 1),)

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("m,n\n1,2\n", "line 2: missing column k"),
            ("m,n,k\n1,2,0\n", "line 2: k is '0'"),
            ("m,n,k\n1,2,3\n1,x,3\n", "line 3: n is 'x'"),
            ("m,n,k\n1,2.5,3\n", "n is '2.5'"),
            ("m,n,k\n1,nan,3\n", "n is 'nan'"),
            ("m,n,k\n", "no shapes"),
            ("", "no shapes"),
            ("q_heads,kv_heads,head_dim,q_len,kv_len,causal\n6,4,64,8,8,0\n", "no multiple"),
            ("q_heads,kv_heads,head_dim,q_len,kv_len,causal\n4,4,64,1,8,1\n", "causal needs"),
            ("q_heads,kv_heads,head_dim,q_len,kv_len,causal\n4,4,64,8,8,2\n", "causal is 2"),
        ],
    )
    def test_mistakes_are_named_with_their_line(self, tmp_path: Path, text: str, problem: str) -> None:
        file = tmp_path / "shapes.csv"
        file.write_text(text)
        with pytest.raises(UsageError, match=problem) as raised:
            read_shapes(file)
        assert "shapes.csv" in str(raised.value)

    def test_a_missing_file_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="nowhere"):
            read_shapes(tmp_path / "nowhere.csv")


class TestCases:
    def test_each_operation_has_its_conditions(self) -> None:
        shapes = Shapes((Product(64, 96, 128),), (Attention(1, 4, 4, 64, 32, 32, 1),), (Product(64, 96, 128),))
        found = build_cases(shapes, Options(OPS, ["bf16"], granularities=[32]))
        assert len(found) == len(set(found)) == 1 + 3 + 4 + 2 * 3
        sparse = [case for case in found if case.op == "spmm_2to4"]
        dense = [case for case in found if case.order == "column" and case.op == "gemm"]
        # The weights of a 2:4 product come first, beside a dense product of the same operands.
        assert {case.shape for case in [*sparse, *dense]} == {Product(96, 64, 128)}
        assert {case.library for case in sparse} == {"cusparselt", "cutlass"}
        assert {case.strategy for case in found if case.op == "tilewise"} == {"merged", "padded_batch", "stream"}

    @pytest.mark.parametrize("dtype", ["int8", "tf32", "fp32"])
    def test_no_cases_that_nothing_computes(self, dtype: str) -> None:
        found = build_cases(quick_shapes(), Options(OPS, [dtype], granularities=[32]))
        assert "spmm_2to4" not in {case.op for case in found}
        assert ("tilewise" in {case.op for case in found}) == (dtype != "int8")
        assert any(case.op == "context" for case in found) == (dtype == "fp32")

    def test_bytes_count_what_is_held(self) -> None:
        dense = Case("gemm", "fp16", Product(4, 8, 16), "cublas", "graph", 6, "N", "T", "row")
        assert (dense.weight_bytes, dense.other_bytes) == (8 * 16 * 2, 4 * 16 * 2 + 4 * 8 * 2)
        first = replace(dense, order="column")
        assert (first.weight_bytes, first.other_bytes) == (4 * 16 * 2, 8 * 16 * 2 + 4 * 8 * 2)
        # fp16 2:4: a half of the elements, and 2 bits of position for each that is kept.
        assert replace(first, op="spmm_2to4", sparsity=0.5).weight_bytes == 4 * 16 * 2 * 9 // 16
        assert replace(dense, dtype="int8").other_bytes == 4 * 16 + 4 * 8 * 4

    @pytest.mark.parametrize(
        ("l2", "warm"), [(2**40, "both"), (3_000_000, "activations"), (1000, "none"), (10_000_000, ""), (None, "")]
    )
    def test_state_of_l2_is_told_where_it_is_certain(self, l2: int | None, warm: str) -> None:
        case = Case("gemm", "fp16", Product(64, 1024, 1024), "cublas", "graph", 6, "N", "T", "row")
        assert case.weight_bytes * 6 == 12_582_912
        assert case.other_bytes == 262_144
        assert warm_state(case, l2) == warm

    @pytest.mark.parametrize(
        ("case", "reason"),
        [
            (Case("gemm", "int8", Product(16, 64, 64), "cublas", "graph", 1), "m above 16"),
            (Case("spmm_2to4", "fp16", Product(48, 64, 64), "cutlass", "graph", 1), "32 x 64"),
            (Case("tilewise", "fp16", Product(8, 64, 64), "triton", "graph", 1, granularity=128), "wider"),
            (Case("tilewise", "fp16", Product(65536, 65536, 64), "triton", "graph", 1, granularity=64), r"2\*\*31"),
            (Case("context", "int8", Attention(1, 1, 1, 64, 8, 8, 1), "math", "graph", 1), "no int8"),
        ],
    )
    def test_impossible_cases_say_why(self, case: Case, reason: str) -> None:
        assert reason.replace("\\", "") in case.reason_against()


class TestTable:
    CELLS = {"gpu": "A100", "op": "gemm", "dtype": "bf16", "m": "8", "n": "16", "k": "32", "latency_us": "1.5"}

    def test_rows_are_there_at_once_and_after_opening_again(self, tmp_path: Path) -> None:
        table = Table(tmp_path / "new" / "table.csv")
        assert self.CELLS not in table
        table.append(self.CELLS)
        assert rows_of(table.path) == [{name: self.CELLS.get(name, "") for name in COLUMNS}]
        again = Table(table.path)
        assert self.CELLS in again
        assert self.CELLS | {"latency_us": "9"} in again
        for name in KEY:
            assert self.CELLS | {name: "other"} not in again, name

    def test_a_torn_last_line_is_cut_off(self, tmp_path: Path) -> None:
        file = tmp_path / "table.csv"
        table = Table(file)
        table.append(self.CELLS | {"gpu": "a board, revised"})
        whole = file.read_text()
        file.write_text(whole + "x,A100,bf16,ge")
        again = Table(file)
        assert file.read_text() == whole
        assert len(again) == 1
        file.write_text(whole[:10])
        assert len(Table(file)) == 0
        assert file.read_text() == ",".join(COLUMNS) + "\n"

    @pytest.mark.parametrize("text", ["a,b,c\n1,2,3\n", "no table"])
    def test_another_file_is_not_written_to(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "notes.csv"
        file.write_text(text)
        with pytest.raises(UsageError, match=r"notes\.csv"):
            Table(file)
        assert file.read_text() == text

    def test_a_folder_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="give another -o"):
            Table(tmp_path)

    def test_unknown_columns_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="speed"):
            Table(tmp_path / "table.csv").append(self.CELLS | {"speed": "1"})

    def test_notes_repeat_the_conditions(self) -> None:
        cells = {"library": "cublas", "op_a": "N", "op_b": "T", "order": "row", "launch": "graph", "copies": "6"}
        assert notes_of(cells | {"repeats": "20", "warm": ""}) == (
            "library=cublas;opA=N;opB=T;row-major;launch=graph;copies=6;median of 20"
        )

    def test_accelsim_reads_columns_and_notes_alike(self, tmp_path: Path) -> None:
        reader = pytest.importorskip("accelsim.validate.rows", reason="without the reader of measured tables")
        from accelsim.validate.notes import parse_notes

        table = Table(tmp_path / "table.csv")
        cases = build_cases(quick_shapes(), Options(OPS, ["bf16"], granularities=[32]))
        for case in cases:
            cells = {"gpu": "a board", **case.cells(), "latency_us": "2.5", "repeats": "20"}
            table.append(cells | {"notes": notes_of(cells)})
        rows = reader.read_rows(table.path)
        assert len(rows) == len(cases)
        for row, case, record in zip(rows, cases, rows_of(table.path), strict=True):
            assert (row.op, row.is_attention) == (case.op, isinstance(case.shape, Attention))
            assert (row.conditions.launch, row.conditions.copies) == (case.launch, case.copies)
            assert (row.conditions.strategy or "", row.conditions.order or "") == (case.strategy, case.order)
            assert row.conditions.unknown == ()
            assert parse_notes(record["notes"]) == row.conditions


@st.composite
def layouts(draw: st.DrawFn) -> tuple[int, int, float, int, float, int]:
    n = draw(st.integers(1, 90))
    size = draw(st.integers(1, 60)), n, draw(st.floats(0, 0.98)), draw(st.integers(1, n))
    return *size, draw(st.floats(0, 1)), draw(st.integers(0, 99))


class TestTileWise:
    @given(layouts())
    @settings(deadline=None, max_examples=60)
    def test_packed_product_is_the_masked_dense_one(self, drawn: tuple[int, int, float, int, float, int]) -> None:
        layout = draw_layout(*drawn)
        random = np.random.default_rng(drawn[-1])
        weights = random.standard_normal((layout.k, layout.n)).astype(np.float32)
        a = random.standard_normal((7, layout.k)).astype(np.float32)
        expected = a @ masked(weights, layout)
        packed = pack(weights, layout)
        np.testing.assert_allclose(multiply(a, layout, packed), expected, atol=1e-4)
        wide, padded = pad(layout, packed)
        assert len(set(np.diff(wide.row_start))) == 1
        np.testing.assert_allclose(multiply(a, wide, padded), expected, atol=1e-4)

    @given(layouts())
    @settings(deadline=None, max_examples=60)
    def test_a_layout_keeps_what_it_was_asked_to(self, drawn: tuple[int, int, float, int, float, int]) -> None:
        k, n, sparsity, granularity, uneven, _ = drawn
        layout = draw_layout(*drawn)
        density = (1 - sparsity) ** 0.5
        mean = max(1, round(density * k))
        counts = np.diff(layout.row_start)
        assert len(layout.columns) == max(1, round(density * n))
        assert counts.mean() == pytest.approx(mean, abs=1 / layout.tiles)
        assert np.abs(counts - mean).max() <= uneven * min(mean, k - mean) + 0.5
        assert layout.rows.dtype == layout.columns.dtype == np.int32
        for tile in range(layout.tiles):
            for kept in (layout.rows_of(tile), layout.columns_of(tile)):
                assert np.all(np.diff(kept) > 0)
            last = tile == layout.tiles - 1
            assert len(layout.columns_of(tile)) == granularity or (
                last and 0 < len(layout.columns_of(tile)) < granularity
            )

    def test_padding_adds_rows_only_where_tiles_differ(self) -> None:
        even, uneven = (draw_layout(256, 128, 0.5, 16, spread, seed=3) for spread in (0.0, 0.6))
        weights = np.ones((256, 128), np.float32)
        assert len(pad(even, pack(weights, even))[0].rows) == len(even.rows)
        assert len(pad(uneven, pack(weights, uneven))[0].rows) > len(uneven.rows)


class FakeDevice:
    """A device whose calls take a set time, and time passes only with them."""

    def __init__(self, seconds: float, batched: float) -> None:
        self.board = NoBoard()
        self.seconds, self.batched = seconds, batched
        self.batches: list[int] = []

    def batch(self, calls: object, rounds: int) -> object:
        self.batches.append(rounds)
        return _Batch(self.batched * rounds)

    def times(self, batch: object, repeats: int) -> tuple[list[float], Reading]:
        return [getattr(batch, "seconds", self.seconds)] * repeats, Reading(None, 1410.0, 1593.0)

    def wait(self) -> None:
        pass


class _Batch:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self) -> None:
        pass


class TestTiming:
    def test_batches_are_a_few_milliseconds_within_the_queue(self) -> None:
        assert rounds_in_batch(1e-3, 6) == 2
        assert rounds_in_batch(1.0, 6) == 1
        assert rounds_in_batch(1e-9, 6) == 1000 // 6
        assert rounds_in_batch(0.0, 2000) == 1

    def test_median_and_percentiles_are_of_one_call(self) -> None:
        found = summarise([6e-6 * value for value in (1, 2, 3, 4, 100)], 6, Reading(None, 1200.0, None))
        assert (found.median_us, found.p10_us, found.p90_us) == pytest.approx((3.0, 1.0, 100.0))
        assert (found.repeats, found.clock_mhz, found.memory_clock_mhz) == (5, 1200.0, None)

    def test_a_graph_that_is_faster_than_its_launches_is_made_longer(self) -> None:
        device = FakeDevice(seconds=60e-6, batched=12e-6)  # of a round: by the host, and in a graph
        found = measure([lambda: None] * 6, device, SHORT)
        assert device.batches == [34, 166]
        assert found.median_us == pytest.approx(2.0)
        assert (found.sustained_us, found.power_w) == (None, None)

    def test_every_copy_is_called_equally_often(self) -> None:
        counts = [0, 0, 0]

        def call(index: int) -> None:
            counts[index] += 1

        measure([lambda index=index: call(index) for index in range(3)], Cpu(NoBoard()), SHORT)
        assert counts[0] > 0
        assert len(set(counts)) == 1

    def test_power_is_the_mean_of_the_second_half(self) -> None:
        class Rising(NoBoard):
            interval = 0.002
            taken = 0

            def read(self) -> Reading:
                self.taken += 1
                return Reading(100.0 * self.taken, 1000.0, None)

        board = Rising()
        found = measure([lambda: None], Cpu(board), replace(SHORT, power_s=0.05))
        assert found.power_w is not None
        assert 100.0 * board.taken / 2 < found.power_w <= 100.0 * board.taken
        assert found.sustained_clock_mhz == 1000.0
        assert found.sustained_us is not None
        assert found.sustained_us > 0


class FakeTorch:
    """What `Cuda` asks of PyTorch, with a log of what happens in which order and a clock of its own."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.now = 0.0
        self.capturing = False
        self.cuda = SimpleNamespace(
            Event=lambda enable_timing: self._event(),
            Stream=lambda: SimpleNamespace(wait_stream=lambda other: self.log.append("fork")),
            current_stream=lambda: SimpleNamespace(wait_stream=lambda other: self.log.append("join")),
            stream=self._within("side"),
            CUDAGraph=lambda: SimpleNamespace(replay=self._replay),
            graph=self._capture,
            synchronize=lambda: self.log.append("wait"),
        )
        self.captured = 0

    def call(self) -> None:
        self.log.append("captured" if self.capturing else "launched")
        if self.capturing:
            self.captured += 1
        else:
            self.now += 10.0

    def _replay(self) -> None:
        self.log.append("replay")
        self.now += 2.0 * self.captured

    def _event(self) -> SimpleNamespace:
        event = SimpleNamespace(at=0.0)
        event.record = lambda: setattr(event, "at", self.now)
        event.elapsed_time = lambda other: other.at - event.at
        return event

    def _within(self, name: str) -> object:
        @contextmanager
        def inside(stream: object) -> object:
            self.log.append(name)
            yield

        return inside

    @contextmanager
    def _capture(self, graph: object) -> object:
        self.capturing, self.captured = True, 0
        yield
        self.capturing = False


class TestCuda:
    def test_a_graph_is_captured_once_and_replayed(self) -> None:
        torch = FakeTorch()
        batch = Cuda(torch, NoBoard(), graph=True).batch([torch.call, torch.call], rounds=3)
        assert torch.log == ["fork", "side", "launched", "launched", "join", "wait", *["captured"] * 6]
        batch()
        assert torch.log[-1] == "replay"

    def test_events_are_between_batches_and_the_reading_before_they_end(self) -> None:
        torch = FakeTorch()
        board = NoBoard()
        board.read = lambda: torch.log.append("reading") or Reading(None, 1980.0, None)  # type: ignore[method-assign]
        device = Cuda(torch, board, graph=False)
        seconds, reading = device.times(device.batch([torch.call], rounds=2), repeats=3)
        assert seconds == pytest.approx([0.02] * 3)
        assert reading.clock_mhz == 1980.0
        assert torch.log[-2:] == ["reading", "wait"]


class FakeNvml:
    NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2

    class NVMLError(Exception):
        pass

    def __init__(self, instant: int = 250_000, working: bool = True) -> None:
        self.instant, self.working = instant, working
        self.asked: list[object] = []

    def nvmlInit(self) -> None:
        if not self.working:
            raise self.NVMLError

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        self.asked.append(uuid)
        return uuid

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        self.asked.append(index)
        return index

    def nvmlSystemGetDriverVersion(self) -> bytes:
        return b"580.65"

    def nvmlDeviceGetClockInfo(self, handle: object, kind: int) -> int:
        if kind == self.NVML_CLOCK_MEM:
            raise self.NVMLError
        return 1410

    def nvmlDeviceGetFieldValues(self, handle: object, fields: list[int]) -> list[SimpleNamespace]:
        return [SimpleNamespace(nvmlReturn=0 if self.instant else 3, value=SimpleNamespace(uiVal=self.instant))]

    def nvmlDeviceGetPowerUsage(self, handle: object) -> int:
        return 300_500


class TestBoard:
    @pytest.mark.parametrize(
        ("line", "reading"),
        [
            ("312.40, 1410, 1593\n", Reading(312.4, 1410.0, 1593.0)),
            ("[N/A], 1410, 1593\n", Reading(None, 1410.0, 1593.0)),
            ("\n", Reading()),
        ],
    )
    def test_lines_of_nvidia_smi(self, line: str, reading: Reading) -> None:
        assert parse_smi(line) == reading

    def test_nvml_prefers_the_power_of_the_moment(self) -> None:
        nvml = FakeNvml()
        board = NvmlBoard("GPU-12", nvml)
        assert board.read() == Reading(250.0, 1410, None)
        assert (board.driver, nvml.asked) == ("580.65", ["GPU-12"])
        assert NvmlBoard("1", FakeNvml(instant=0)).read().power_w == 300.5

    def test_nvidia_smi_is_asked_when_nvml_fails(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        smi = tmp_path / "nvidia-smi"
        # An old driver: it does not know the power of the moment.
        smi.write_text(
            "#!/bin/sh\n"
            'case "$*" in *instant*) exit 2;; *driver_version*) echo 470.1;; *) echo "99, 1000, 800";; esac\n'
        )
        smi.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
        monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(working=False))
        board = open_board("0")
        assert isinstance(board, SmiBoard)
        assert (board.driver, board.read()) == ("470.1", Reading(99.0, 1000.0, 800.0))

    def test_without_either_nothing_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setitem(sys.modules, "pynvml", None)
        assert open_board("0").read() == Reading()


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
