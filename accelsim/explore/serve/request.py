"""What is served: machine, workload and how their runs are made."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from accelsim.config.hardware import System
from accelsim.config.loader import load_hardware, load_workload
from accelsim.config.scheme import Engine
from accelsim.config.workload import Workload

DRAWN_INPUTS = 32
"""Inputs that are drawn where a workload has no data and time depends on the inputs."""


@dataclass(frozen=True)
class ServeRequest:
    """Settings that runs of all schemes share."""

    hardware: System
    workload: Workload
    sets: tuple[str, ...] = ()
    """``path=value`` texts that are neither of the hardware nor of the workload."""
    engine: Engine = "events"
    values: bool = True
    seed: int = 0
    sparsity: float | None = None
    force: bool = False
    inputs: int | None = None
    """Inputs whose time is taken; None for all of the workload's data, or `DRAWN_INPUTS`."""

    @classmethod
    def of(
        cls,
        hardware: str | Path | System,
        workload: str | Path | Workload,
        sets: Sequence[str] = (),
        *,
        engine: Engine = "events",
        values: bool = True,
        seed: int = 0,
        sparsity: float | None = None,
        force: bool = False,
        inputs: int | None = None,
    ) -> "ServeRequest":
        """Load machine and workload, each with the settings that concern it.

        Raises
        ------
        ConfigError
            When one cannot be read.
        """

        def root(text: str) -> str:
            return text.partition("=")[0].strip().partition(".")[0]

        machine = load_hardware(hardware, [text for text in sets if root(text) == "hardware"])
        work = load_workload(workload, [text for text in sets if root(text) == "workload"])
        others = tuple(text for text in sets if root(text) not in ("hardware", "workload"))
        return cls(machine, work, others, engine, values, seed, sparsity, force, inputs)
