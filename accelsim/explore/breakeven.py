"""From which sparsity each pattern beats dense weights, on one or more GPUs, product by product."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from accelsim.config.hardware import System
from accelsim.config.loader import load_hardware, load_workload
from accelsim.config.names import near
from accelsim.config.pattern_options import PATTERN_OPTIONS
from accelsim.config.scheme import Engine
from accelsim.config.workload import Workload
from accelsim.errors import ConfigError, MappingError
from accelsim.explore.bench import DENSE, Bench, Speedup, speedup_of
from accelsim.explore.breakeven_table import BreakEven, Cell, Point
from accelsim.explore.crossing import brackets, evenly, holds_from, settle
from accelsim.explore.products import Product, ladder, products_of

ALL = "all"
"""Name of the row of all products after one another."""

EVENTS: Engine = "events"
Progress = Callable[[int, int], None]

_PROPERTIES: tuple[Callable[[Point], bool], ...] = (
    lambda point: point.speedup.high is None or point.speedup.high > 1,
    lambda point: point.speedup.value > 1,
    lambda point: point.speedup.low is not None and point.speedup.low > 1,
)
"""May be faster, is predicted faster, is faster beyond the errors; each follows from the next."""


@dataclass(frozen=True)
class Search:
    """How break-even is looked for.

    Raises
    ------
    ConfigError
        Unless 0 < resolution <= step <= limit < 1.
    """

    engine: Engine = "estimate"
    """Of the search."""
    confirm: bool = True
    """Whether events have the last word where the search is by the closed form."""
    limit: float = 0.98
    """Highest sparsity looked at."""
    step: float = 0.05
    """Of the sparsities that are always run."""
    resolution: float = 0.005
    """Of the answers."""

    def __post_init__(self) -> None:
        if self.engine not in ("estimate", EVENTS):
            raise ConfigError(f"engine {self.engine!r} is not for searches; allowed: estimate, {EVENTS}")
        if not 0.001 <= self.resolution <= self.step <= self.limit < 1:
            raise ConfigError(
                f"resolution {self.resolution:g}, step {self.step:g} and limit {self.limit:g}: "
                "need 0.001 <= resolution <= step <= limit < 1"
            )


def break_even(
    hardware: Sequence[str | Path | System],
    workload: str | Path | Workload = "bert_base_layer",
    *,
    batch: int = 1,
    patterns: Sequence[str] = tuple(PATTERN_OPTIONS),
    sets: Sequence[str] = (),
    search: Search | None = None,
    seed: int = 0,
    force: bool = False,
    progress: Progress | None = None,
) -> BreakEven:
    """From which sparsity on each pattern is faster than dense weights.

    Every distinct product of the workload runs alone, without values, on masks from the seed; a row of all of them
    after one another, each as often as the workload has it, comes last. The closed form searches, by bisection between
    sparsities of a grid; events then settle the answer from every other one and from where it was found.

    Parameters
    ----------
    hardware : sequence
        Names or paths of GPUs, or specs.
    workload : str, path or spec
        Whose products with prunable weights are taken.
    batch : int
        So many times the workload's own inputs at once.
    patterns : sequence of str
        Schemes that prune weights.
    sets : sequence of str
        Settings as of `accelsim.pipeline.run`.
    search : Search, optional
        Engine, grid and resolution.
    seed, force
        As of `accelsim.pipeline.run`.
    progress : callable, optional
        Called with the answers done and their number.

    Returns
    -------
    BreakEven

    Raises
    ------
    UserError
        For unknown names, settings that do not hold, or dense products that cannot run.

    Examples
    --------
    >>> from accelsim.config.workload import GemmWorkload
    >>> shape = GemmWorkload(kind="gemm", m=4096, n=1024, k=1024)
    >>> found = break_even(["a100_sxm4_80gb"], shape, patterns=["n_m"])
    >>> found.cells[0].status, found.cells[0].beats_from
    ('beats', 0.5)
    """
    search = search or Search()
    _check(hardware, patterns, batch)
    own = [text for text in sets if text.partition("=")[0].strip().startswith("workload.")]
    origin = load_workload(workload, own)
    machines = [load_hardware(name) for name in hardware]
    twice = sorted({machine.name for machine in machines if [each.name for each in machines].count(machine.name) > 1})
    if twice:
        raise ConfigError(f"hardware names {', '.join(twice)} more than once")
    products = products_of(origin, batch)
    rows: list[tuple[str, tuple[Product, ...]]] = [(product.name, (product,)) for product in products]
    rows += [(ALL, products)] if len(products) > 1 else []
    bench = Bench(origin, sets=[text for text in sets if text not in own], seed=seed, force=force)
    finder = _Finder(bench, search)
    wanted = [(machine, row, pattern) for machine in machines for row in rows for pattern in patterns]
    cells = []
    for done, (machine, (name, some), pattern) in enumerate(wanted):
        if progress is not None:
            progress(done, len(wanted))
        cells.append(finder.cell(machine, name, some, pattern))
    if progress is not None:
        progress(len(wanted), len(wanted))
    return BreakEven(
        workload=origin.name or origin.kind,
        batch=batch,
        dtype=origin.dtype,
        products=products,
        cells=tuple(cells),
        engine=search.engine,
        confirmed_by=EVENTS if finder.confirms else None,
        resolution=search.resolution,
        seed=seed,
    )


def _check(hardware: Sequence[object], patterns: Sequence[str], batch: int) -> None:
    if not hardware or not patterns:
        raise ConfigError(f"break-even needs at least one {'GPU' if not hardware else 'pattern'}")
    if batch < 1:
        raise ConfigError(f"batch {batch}: needs at least 1")
    for pattern in patterns:
        if pattern not in PATTERN_OPTIONS:
            raise ConfigError(f"unknown pattern {pattern!r}; {near(pattern, PATTERN_OPTIONS)}")
    twice = sorted({pattern for pattern in patterns if list(patterns).count(pattern) > 1})
    if twice:
        raise ConfigError(f"patterns names {', '.join(twice)} more than once")


class _Finder:
    """Answers for one machine, row and pattern at a time."""

    def __init__(self, bench: Bench, search: Search) -> None:
        self.bench = bench
        self.search = search
        self.confirms = search.confirm and search.engine != EVENTS
        self.bases: dict[str, str] = {}

    def cell(self, machine: System, row: str, products: Sequence[Product], pattern: str) -> Cell:
        """The answer; a pattern that cannot run has the reason."""
        search = self.search
        last = EVENTS if self.confirms else search.engine
        if machine.name not in self.bases:
            self.bases[machine.name] = self.bench.basis(machine, products[0], last)
        cell = Cell(machine.name, row, pattern, basis=self.bases[machine.name])
        options = self.bench.config(machine, products[0], pattern, None, search.engine).pattern_options
        assert options is not None
        levels = ladder(options, search.limit, search.resolution)
        spacing = (levels[-1] - levels[0]) / max(1, len(levels) - 1)
        stride = max(1, round(search.step / spacing)) if spacing else 1
        try:
            for product in products:
                self.bench.check(machine, product, pattern)
            found = self._settled(evenly(len(levels), stride), levels, machine, products, pattern, search.engine)
            first = found
            if self.confirms:
                seeds = brackets(found, _PROPERTIES) | set(evenly(len(levels), 2 * stride))
                found = self._settled(seeds, levels, machine, products, pattern, EVENTS)
        except MappingError as error:
            return replace(cell, reason=str(error))
        points = (*first.values(), *(found.values() if self.confirms else ()))
        return _answered(replace(cell, points=points), levels, found, first)

    def _settled(
        self,
        seeds: Sequence[int] | set[int],
        levels: Sequence[float],
        machine: System,
        products: Sequence[Product],
        pattern: str,
        engine: Engine,
    ) -> dict[int, Point]:
        dense = self.bench.time(machine, products, DENSE, None, engine)

        def evaluate(index: int) -> Point:
            timing = self.bench.time(machine, products, pattern, levels[index], engine)
            speedup = speedup_of(dense, timing)
            return Point(engine, levels[index], timing.sparsity, timing.latency_us, speedup, timing.imagined)

        return settle(seeds, evaluate, _PROPERTIES)


def _answered(cell: Cell, levels: Sequence[float], found: dict[int, Point], first: dict[int, Point]) -> Cell:
    """The cell with what the settled points say."""

    def begin(known: dict[int, Point], which: int) -> float | None:
        index = holds_from(known, _PROPERTIES[which])[1]
        return None if index is None else levels[index]

    has_interval = all(_has_interval(point.speedup) for point in found.values())
    return replace(
        cell,
        lowest=levels[0],
        highest=levels[-1],
        beats_from=begin(found, 1),
        search_from=begin(first, 1),
        has_interval=has_interval,
        maybe_from=begin(found, 0) if has_interval else None,
        surely_from=begin(found, 2) if has_interval else None,
    )


def _has_interval(speedup: Speedup) -> bool:
    return speedup.low is not None and speedup.high is not None
