"""How the program that measures GPUs times them: batches, CUDA graphs and events, on devices that are pretended."""

from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

from benchmarks.measure.board import NoBoard, Reading
from benchmarks.measure.timing import Cpu, Cuda, Settings, measure, rounds_in_batch, summarise

SHORT = Settings(warm_up_s=0.0, repeats=3, power_s=0.0)


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
