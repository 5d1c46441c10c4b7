"""Latencies of single products under patterns of weights, each run once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from accelsim.config.accuracy import Accuracy
from accelsim.config.hardware import EnergyTable, Library, System
from accelsim.config.imagined import imagined_unit, with_imagined_unit
from accelsim.config.loader import load_accuracy, load_config, load_energy, load_library
from accelsim.config.scheme import RunConfig
from accelsim.config.workload import Workload
from accelsim.explore.products import Product, workload_of
from accelsim.machine.simulate import NetworkRun, simulate
from accelsim.mapping.network import NetworkPlan, check_scheme, plan_network
from accelsim.model.build import build_network
from accelsim.results.intervals import Interval, Timed, speedup
from accelsim.tabulate.intervals import run_intervals, timed

_PS_PER_US = 1e6
DENSE = "dense"


@dataclass(frozen=True)
class Timing:
    """A product, or several after one another."""

    latency_us: float
    parts: tuple[Timed, ...]
    """Kernels with their intervals."""
    sparsity: float
    """Share of the weights that was pruned, which may differ from what was asked."""
    imagined: str | None
    """What the run imagines of its machine."""


@dataclass(frozen=True)
class Speedup:
    """Of pruned weights over dense ones."""

    value: float
    low: float | None
    """Where a measured one is expected; None for both where no errors are known."""
    high: float | None


def speedup_of(base: Timing, other: Timing) -> Speedup:
    """Speed-up of `other` over `base`, with its interval where errors of both are known."""
    found: Interval | None = speedup((base.latency_us, base.parts), (other.latency_us, other.parts))
    value = base.latency_us / other.latency_us
    return Speedup(value, None, None) if found is None else Speedup(value, found.low, found.high)


class Bench:
    """Runs products of one workload without values: masks are drawn from the seed.

    Parameters
    ----------
    workload : Workload
        Whose format, caches and options the products take.
    sets : sequence of str
        Settings of machine, mapping and patterns, as of `accelsim.pipeline.run`.
    seed : int
        Of the masks.
    force : bool
        Whether sparse tensor cores are imagined on a machine without them.
    """

    def __init__(self, workload: Workload, *, sets: Sequence[str] = (), seed: int = 0, force: bool = False) -> None:
        self._workload = workload
        self._sets = tuple(sets)
        self._seed = seed
        self._force = force
        self._known: dict[tuple[str, Product, str, float | None, str], Timing] = {}
        self._tables: dict[str, _Tables] = {}

    def config(self, machine: System, product: Product, scheme: str, sparsity: float | None, engine: str) -> RunConfig:
        """Config of a run; a sparsity of None leaves the pattern's own."""
        return load_config(
            machine,
            workload_of(product, self._workload),
            scheme=scheme,
            sets=self._sets,
            engine=engine,
            values=False,
            seed=self._seed,
            force=self._force,
            sparsity=None if scheme in (DENSE, "n_m") else sparsity,
        )

    def check(self, machine: System, product: Product, scheme: str) -> None:
        """Raise MappingError where the machine lacks what a pattern runs on."""
        config = self.config(machine, product, scheme, None, "estimate")
        network = build_network(config.workload)
        check_scheme(network, with_imagined_unit(config, network.dtype))

    def time(
        self, machine: System, products: Sequence[Product], scheme: str, sparsity: float | None, engine: str
    ) -> Timing:
        """Time of products after one another, each as often as it is counted.

        Raises
        ------
        UserError
            When one cannot run.
        """
        timings = [self._one(machine, product, scheme, sparsity, engine) for product in products]
        if len(timings) == 1:  # its count would not change a speed-up
            return timings[0]
        weights = [product.count * product.k * product.n for product in products]
        pruned = sum(size * timing.sparsity for size, timing in zip(weights, timings, strict=True))
        return Timing(
            sum(product.count * timing.latency_us for product, timing in zip(products, timings, strict=True)),
            tuple(part for pair in zip(products, timings, strict=True) for part in _repeated(*pair)),
            pruned / sum(weights),
            timings[0].imagined,
        )

    def _one(self, machine: System, product: Product, scheme: str, sparsity: float | None, engine: str) -> Timing:
        key = (machine.name, replace(product, count=1), scheme, sparsity, engine)
        if key not in self._known:
            self._known[key] = self._run(self.config(machine, product, scheme, sparsity, engine))
        return self._known[key]

    def _run(self, config: RunConfig) -> Timing:
        """Time of a run, without the energy and the tables that `accelsim.pipeline.run_config` makes of it."""
        config = with_imagined_unit(config, config.workload.dtype)
        plan, run = self._simulated(config)
        parts = timed(run, self._of(config).accuracy, config.engine).values()
        return Timing(run.latency_ps / _PS_PER_US, tuple(parts), plan.weight_sparsity, imagined_unit(config))

    def _simulated(self, config: RunConfig) -> tuple[NetworkPlan, NetworkRun]:
        from accelsim.execution import execute  # compiles kernels; what is refused before need not wait for it

        tables = self._of(config)
        plan = plan_network(build_network(config.workload), config, tables.library, None, tables.sparse_library)
        return plan, simulate(plan, execute(plan, config, None), config, tables.energy)

    def basis(self, machine: System, product: Product, engine: str) -> str:
        """What intervals of a machine rest on, or why there are none."""
        config = self.config(machine, product, DENSE, None, engine)
        return run_intervals(config, self._simulated(config)[1]).basis

    def _of(self, config: RunConfig) -> "_Tables":
        gpu = config.hardware.gpu
        if gpu.name not in self._tables:
            accuracy = None if gpu.accuracy is None else load_accuracy(gpu.accuracy)
            sparse_library = None if gpu.sparse_library is None else load_library(gpu.sparse_library)
            self._tables[gpu.name] = _Tables(
                load_library(gpu.library), sparse_library, load_energy(gpu.energy), accuracy
            )
        return self._tables[gpu.name]


@dataclass(frozen=True)
class _Tables:
    """What a machine's file names besides itself."""

    library: Library
    sparse_library: Library | None
    energy: EnergyTable
    accuracy: Accuracy | None


def _repeated(product: Product, timing: Timing) -> list[Timed]:
    """The kernels of a product that stands several times, under names of its own; their errors are one and the same."""
    times = product.count

    def scaled(value: float | None) -> float | None:
        return None if value is None else times * value

    return [
        Timed(f"{product.name} {part.name}", times * part.value, scaled(part.low), scaled(part.high))
        for part in timing.parts
    ]
