"""What a board says of itself: clocks and power, from NVML, from nvidia-smi, or not at all."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import Any, Protocol

_POWER_INSTANT = 186
"""NVML's field of the power at this moment; the plain query is a mean over a second on some boards."""
_QUERIES = ("power.draw.instant,clocks.sm,clocks.mem", "power.draw,clocks.sm,clocks.mem")


@dataclass(frozen=True)
class Reading:
    """Clocks and power at one moment; None where the board does not tell."""

    power_w: float | None = None
    clock_mhz: float | None = None
    memory_clock_mhz: float | None = None


class Board(Protocol):
    """Where readings come from."""

    driver: str
    interval: float
    """Seconds of work to queue before a reading, so that the device is busy while it is taken."""

    def read(self) -> Reading:
        """Clocks and power now."""


class NoBoard:
    """A device that tells nothing."""

    driver = ""
    interval = 0.05

    def read(self) -> Reading:
        return Reading()


class NvmlBoard:
    """Readings through pynvml (package nvidia-ml-py).

    Parameters
    ----------
    identity : str
        UUID (``GPU-...``) or index of the board.
    nvml : module
        pynvml.
    """

    interval = 0.05

    def __init__(self, identity: str, nvml: Any) -> None:
        nvml.nvmlInit()
        self._nvml = nvml
        by_uuid = identity.startswith(("GPU-", "MIG-"))
        self._handle = (
            nvml.nvmlDeviceGetHandleByUUID(identity) if by_uuid else nvml.nvmlDeviceGetHandleByIndex(int(identity))
        )
        driver = nvml.nvmlSystemGetDriverVersion()
        self.driver = driver.decode() if isinstance(driver, bytes) else str(driver)

    def read(self) -> Reading:
        nvml, handle = self._nvml, self._handle
        return Reading(
            power_w=self._power(),
            clock_mhz=self._ask(nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_SM),
            memory_clock_mhz=self._ask(nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_MEM),
        )

    def _power(self) -> float | None:
        field = self._ask(self._nvml.nvmlDeviceGetFieldValues, self._handle, [_POWER_INSTANT])
        if field is not None and field[0].nvmlReturn == 0 and field[0].value.uiVal:
            return float(field[0].value.uiVal) / 1000
        milliwatts = self._ask(self._nvml.nvmlDeviceGetPowerUsage, self._handle)
        return None if milliwatts is None else milliwatts / 1000

    def _ask(self, query: Any, *arguments: Any) -> Any:
        try:
            return query(*arguments)
        except self._nvml.NVMLError:
            return None


class SmiBoard:
    """Readings through nvidia-smi, which takes tens of milliseconds for one."""

    interval = 0.5

    def __init__(self, identity: str) -> None:
        self._identity = identity
        self._query = next((query for query in _QUERIES if self._ask(query)), "")
        self.driver = self._ask("driver_version").strip()

    def read(self) -> Reading:
        return parse_smi(self._ask(self._query)) if self._query else Reading()

    def _ask(self, query: str) -> str:
        command = ["nvidia-smi", "-i", self._identity, f"--query-gpu={query}", "--format=csv,noheader,nounits"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout if done.returncode == 0 else ""


def parse_smi(line: str) -> Reading:
    """Power, SM clock and memory clock of a line of nvidia-smi; what is no number (``[N/A]``) is None."""
    values: list[float | None] = []
    for word in line.strip().split(","):
        try:
            values.append(float(word))
        except ValueError:
            values.append(None)
    return Reading(*values) if len(values) == 3 else Reading()


def open_board(identity: str) -> Board:
    """The best source of readings for a board."""
    try:
        import pynvml
    except ImportError:
        pass
    else:
        try:
            return NvmlBoard(identity, pynvml)
        except pynvml.NVMLError:
            pass  # no access to NVML, as in some containers; nvidia-smi may still be wrapped there
    return SmiBoard(identity) if shutil.which("nvidia-smi") else NoBoard()
