"""The few numbers of a GPU that datasheets do not give: what calibration fits, and within which bounds."""

from dataclasses import dataclass
from typing import Any

from accelsim.config.hardware import Gpu
from accelsim.config.quantity import format_quantity


@dataclass(frozen=True)
class Parameter:
    """One fitted number."""

    path: str
    """Of the field in the GPU's spec."""
    low: float
    high: float
    """Bounds in the field's canonical unit, or relative to the base where `relative`."""
    meaning: str
    dimension: str = ""
    """Of the quantity; empty for a plain number."""
    relative: bool = False

    def bounds(self, gpu: Gpu) -> tuple[float, float]:
        """Least and largest value that is tried."""
        scale = self.value(gpu) if self.relative else 1.0
        return self.low * scale, self.high * scale

    def value(self, gpu: Gpu) -> float:
        """What the GPU has."""
        node: Any = gpu
        for key in self.path.split("."):
            node = getattr(node, key)
        return float(node)

    def text(self, value: float) -> str | float:
        """The value as YAML holds it, to four digits."""
        rounded = float(f"{value:.4g}")
        return format_quantity(rounded, self.dimension) if self.dimension else rounded


PARAMETERS: tuple[Parameter, ...] = (
    Parameter("tensor_efficiency", 0.5, 1.0, "share of the tensor cores' peak in a main loop"),
    Parameter("load_latency", 300, 1600, "load latency under load", "cycles"),
    Parameter("miss_latency", 0, 800, "what a tile from DRAM waits beyond it", "cycles"),
    Parameter("block_setup", 20, 800, "from a thread block's dispatch to its first load", "cycles"),
    Parameter("epilogue", 3, 64, "accumulators to L2", "rate"),
    Parameter("dram.efficiency", 0.5, 0.97, "share of DRAM's peak that streams reach"),
    Parameter("dram.strided_efficiency", 0.3, 1.0, "share of that in strided rows"),
    Parameter("launch.graph", 0.3e-6, 6e-6, "from one kernel of a graph to the next", "time"),
    Parameter("launch.reduce", 0.0, 4e-6, "from a split-K kernel to the one that adds up its parts", "time"),
    Parameter("launch.stream", 0.5e-6, 12e-6, "from one kernel to the next in a stream", "time"),
    Parameter("power.limit", 0.75, 1.15, "board power that is sustained", "power", relative=True),
    Parameter("power.time_constant", 0.05e-3, 8e-3, "how fast the clock follows the limit", "time"),
)
"""At most about 15 for a GPU, each with a physical meaning; nothing for a shape, nothing for a residual. The clock is
not among them: where it does not answer to a power limit, `tensor_efficiency` and the latencies say the same."""


def fitted_parameters(gpu: Gpu, launches: set[str]) -> tuple[Parameter, ...]:
    """Those that measurements can tell: of the launches that occur, of power where the GPU has a limit, and of strided
    rows where they cost the GPU anything."""
    return tuple(
        parameter
        for parameter in PARAMETERS
        if not (parameter.path.startswith("power.") and gpu.power is None)
        and not (parameter.path == "dram.strided_efficiency" and gpu.dram.strided_efficiency is None)
        and parameter.path.removeprefix("launch.") not in {"graph", "stream"} - launches
    )


def with_values(gpu: Gpu, values: dict[str, float]) -> Gpu:
    """The GPU with other values at these paths."""
    changed: dict[str, Any] = {}
    for path, value in values.items():
        head, _, rest = path.partition(".")
        if rest:
            part = changed.get(head, getattr(gpu, head))
            changed[head] = part.model_copy(update={rest: value})
        else:
            changed[head] = value
    return gpu.model_copy(update=changed)
