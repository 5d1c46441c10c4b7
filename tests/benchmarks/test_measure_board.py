"""Power and clocks as NVML and nvidia-smi tell them, from stand-ins of both."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.measure.board import NvmlBoard, Reading, SmiBoard, open_board, parse_smi


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
