"""A GPU that nobody measured: its datasheet, with what was fitted to a GPU that somebody did.

What calibration fits says how a kernel and its launch behave, in units that do not grow with the chip: shares of a
peak, cycles of the SM's own clock, bytes a cycle of one SM, time of the driver. So it is carried over as it is. Two
figures are shares of something that the board has: the tensor cores' efficiency, of the datasheet's peak rate (which
may belong to a lower clock than short kernels run at), and the power limit, of the board's power. Everything else,
rates, sizes, bandwidths, the menu of kernels and energies per action (which belong to a process node), is the target's
own.
"""

from dataclasses import dataclass
from typing import Any

from accelsim.config.hardware import Gpu
from accelsim.config.sources import source_of
from accelsim.errors import UserError
from accelsim.validate.parameters import PARAMETERS, Parameter, with_values

CARRIED: tuple[Parameter, ...] = (
    *(parameter for parameter in PARAMETERS if parameter.path != "dram.strided_efficiency"),
    Parameter("launch.start_drain", 0.0, 4e-6, "first instruction and last write of a kernel", "time"),
)
"""What calibration fits, but for strided rows, whose cost follows from how a board's channels are addressed; and the
part of a launch that it leaves alone because `launch.graph` tells the same."""

_LIMIT = "power.limit"


@dataclass(frozen=True)
class Carried:
    """One number of the source, on the target."""

    parameter: Parameter
    base: float
    """What the target had."""
    value: float
    source: str
    """Where it comes from, as the YAML says it."""


@dataclass(frozen=True)
class Transfer:
    """A GPU with numbers of another."""

    gpu: Gpu
    carried: tuple[Carried, ...]
    left: tuple[str, ...]
    """Paths that could not be carried over, since one of the two GPUs has no such figure."""
    assumed: tuple[str, ...]
    """GPUs without `power.rated`, whose `power.limit` was taken for the board's power."""


def carry_over(source: Gpu, target: Gpu, keep: tuple[str, ...] = ()) -> Transfer:
    """The target with what was calibrated on the source.

    Parameters
    ----------
    source : Gpu
        A calibrated GPU.
    target : Gpu
        The GPU to predict; `power.rated` is its board power, or `power.limit` where that is left out.
    keep : tuple of str
        Paths at which the target keeps its own value.

    Returns
    -------
    Transfer

    Raises
    ------
    UserError
        For a path in `keep` that is none of `CARRIED`.
    """
    known = [parameter.path for parameter in CARRIED]
    for path in keep:
        if path not in known:
            raise UserError(f"{path} is not carried over; allowed: {', '.join(known)}")
    wanted = [parameter for parameter in CARRIED if parameter.path not in keep]
    possible = [parameter for parameter in wanted if _has(source, parameter.path) and _has(target, parameter.path)]
    carried = tuple(_carried(parameter, source, target) for parameter in possible)
    return Transfer(
        gpu=with_values(target, {one.parameter.path: one.value for one in carried}),
        carried=carried,
        left=tuple(parameter.path for parameter in wanted if parameter not in possible),
        assumed=tuple(
            gpu.name
            for gpu in (source, target)
            if any(one.parameter.path == _LIMIT for one in carried) and gpu.power and gpu.power.rated is None
        ),
    )


def _carried(parameter: Parameter, source: Gpu, target: Gpu) -> Carried:
    """A number of the source as the target has it."""
    value, how = parameter.value(source), ""
    if parameter.path == _LIMIT:
        share = value / _rated(source)
        value, how = share * _rated(target), f", {100 * share:.1f} % of the board's power"
    if parameter.path == "tensor_efficiency":
        share = value * _over_rated(source)
        value = min(share / _over_rated(target), 1.0)
        how = f", {100 * share:.1f} % of the datasheet's peak" if _over_rated(source) != _over_rated(target) else ""
    origin = source_of(source.sources, parameter.path)
    text = f"carried over from {source.name}{how}" + (f": {origin}" if origin else "")
    # As the YAML holds it, so that file and prediction agree.
    return Carried(parameter, parameter.value(target), float(f"{value:.4g}"), text)


def _over_rated(gpu: Gpu) -> float:
    """Clock over that of the datasheet's peak rates."""
    return 1.0 if gpu.rated_clock is None else gpu.clock / gpu.rated_clock


def _has(gpu: Gpu, path: str) -> bool:
    """Whether a GPU has the field of a path."""
    node: Any = gpu
    for key in path.split("."):
        node = getattr(node, key, None)
    return node is not None


def _rated(gpu: Gpu) -> float:
    """Board power of the datasheet."""
    if gpu.power is None:
        raise ValueError(f"{gpu.name} has no power limit")
    return gpu.power.limit if gpu.power.rated is None else gpu.power.rated
