"""A first guess at what a setting takes, and a bound that it cannot stay below, without planning or running it.

Kernels of a dense network depend on the mapping alone, so for axes of the mapping a setting is looked at by the closed
form of each product (`accelsim.estimate.gemm`): about a hundredth of a run. Beside it stands a lower bound of latency:

    launch + max(ceil(blocks / SMs) x k-steps of the shortest share x time of a k-step, cold operands / DRAM rate)

of each product, one after another. Every SM's tensor cores take their k-steps one at a time, some SM has at least the
mean number of thread blocks, and what is cold has to be read once; nothing else is counted, so events take longer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydantic import ValidationError

from accelsim.config.loader import load_library
from accelsim.config.options import Mapping as Options
from accelsim.config.scheme import RunConfig
from accelsim.errors import MappingError
from accelsim.explore.sweep import make_point
from accelsim.explore.sweep.axes import Scalar
from accelsim.explore.tune.spec import Tune
from accelsim.mapping.blocks import ceil_div
from accelsim.mapping.choice import Choice, choose_each, machine_numbers, macs_per_cycle
from accelsim.mapping.tiles import ELEMENT_BYTES
from accelsim.model.attention import attention_as_gemms
from accelsim.model.build import build_network
from accelsim.model.graph import Attention, Gemm, Network

MAPPING_AXES = frozenset(
    f"mapping.{key}" for key in ("tile_m", "tile_n", "tile_k", "stages", "split_k", "raster", "swizzle_width")
)
"""Axes whose settings the closed form of kernels tells apart."""


@dataclass(frozen=True)
class Guess:
    """What a setting is thought to take."""

    values: tuple[float, ...] | None
    """Of each objective; None where nothing is known."""
    bound_us: float = 0.0
    """Latency that it certainly does not stay below."""
    error: str | None = None
    """Why it cannot run."""


@dataclass
class ClosedForm:
    """Looks at settings of a network's mapping by the closed form of its products.

    Parameters
    ----------
    config : RunConfig
        Of the run, whatever its mapping.
    network : Network
    """

    config: RunConfig
    network: Network

    def __post_init__(self) -> None:
        self._library = load_library(self.config.hardware.gpu.library)
        self._numbers = machine_numbers(self.config.hardware.gpu, self._library)
        self._products = products(self.network)
        self.calls = 0
        """Settings that were looked at."""

    @classmethod
    def of(cls, tune: Tune) -> "ClosedForm | None":
        """For a search over the mapping of a dense network; None for others."""
        spec = tune.spec
        if spec.scheme != "dense" or not MAPPING_AXES.issuperset(tune.axes) or spec.limits.accuracy_points is not None:
            return None
        config = make_point(tune.sweep, {}).config()
        if config.mapping.attention == "fused":
            return None
        return cls(config, build_network(config.workload))

    def look(self, settings: Sequence[Mapping[str, Scalar]]) -> list[Guess]:
        """Guess at the latency of settings, each given by path."""
        self.calls += len(settings)
        gpu, caches = self.config.hardware.gpu, self.config.workload.caches
        given = [self._options(one) for one in settings]
        options = [one for one in given if isinstance(one, Options)]
        cycles, bound = np.zeros(len(options)), np.zeros(len(options))
        errors: dict[int, str] = {}
        for product, times in self._products.items():
            for index, choice in enumerate(choose_each(product, gpu, self._library, options, caches)):
                if isinstance(choice, MappingError):
                    errors[index] = str(choice)
                    continue
                cycles[index] += times * choice.cycles
                bound[index] += times * self._bound(product, choice)
        scale = 1e6 / gpu.clock
        found = iter(
            Guess(None, error=errors[index])
            if index in errors
            else Guess((float(cycles[index]) * scale,), float(bound[index]) * scale)
            for index in range(len(options))
        )
        return [next(found) if isinstance(one, Options) else Guess(None, error=one) for one in given]

    def _options(self, settings: Mapping[str, Scalar]) -> "Options | str":
        """The mapping of a setting, or why there is none such."""
        changed = {path.partition(".")[2]: value for path, value in settings.items()}
        try:
            return Options.model_validate(self.config.mapping.model_dump() | changed)
        except ValidationError as error:
            return f"{error.errors()[0]['msg']}"

    def _bound(self, gemm: Gemm, choice: Choice) -> float:
        """Cycles of a product on a kernel, at least."""
        gpu, caches, tile, numbers = self.config.hardware.gpu, self.config.workload.caches, choice.tile, self._numbers
        steps = ceil_div(gemm.k, tile.tile_k)
        share = ceil_div(steps, choice.split_k)
        parts = ceil_div(steps, share)
        blocks = ceil_div(gemm.m, tile.tile_m) * ceil_div(gemm.n, tile.tile_n) * parts * gemm.batch
        step = tile.tile_m * tile.tile_n * tile.tile_k / macs_per_cycle(tile, gpu, self._library, gemm.dtype)
        # The last share of k may be short; a mean over SMs holds for all shares together.
        whole = ceil_div(blocks, gpu.sm_count) * share if parts == 1 else blocks // parts * steps / gpu.sm_count
        element = ELEMENT_BYTES[gemm.dtype]
        cold = gemm.m * gemm.k * (caches.activations == "cold")
        cold += gemm.n * gemm.k * ((caches.weights if gemm.weight is not None else caches.activations) == "cold")
        read = gemm.batch * cold * element / numbers.dram_rate
        return float(numbers.launch + max(max(whole, share) * step, read))


def products(network: Network) -> dict[Gemm, int]:
    """Products of a dense network on a GPU, without their names, and how often each runs."""
    found: dict[Gemm, int] = {}
    for operation in network.operations:
        if isinstance(operation, Gemm):
            own = [operation]
        elif isinstance(operation, Attention):
            scores, _, context = attention_as_gemms(operation)
            own = [scores, context]
        else:
            continue
        for gemm in own:
            weight = None if gemm.weight is None else "weight"
            shape = replace(gemm, name="", a="", b=None, bias=None, output="", weight=weight, activation=None)
            found[shape] = found.get(shape, 0) + 1
    return found
