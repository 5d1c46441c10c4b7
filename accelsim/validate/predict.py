"""From a measured row to a simulated latency: the one place that decides how a measurement is simulated.

Under ``estimate`` the closed form that chooses among a library's kernels gives the time of the one it chooses, for many
rows at once; under ``events`` that kernel is planned and simulated as a run does it.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.config.hardware import Gpu, Library
from accelsim.config.loader import available, load_library
from accelsim.config.options import Mapping, TileWise
from accelsim.config.workload import Caches
from accelsim.errors import MappingError, UserError
from accelsim.estimate.gemm import GemmMachine, estimate_gemm
from accelsim.machine.gemm.lower import gemm_program
from accelsim.machine.simulate import ENGINES, ticks_to_ps
from accelsim.mapping.blocks import ceil_div
from accelsim.mapping.candidates import candidate_tiles
from accelsim.mapping.choice import machine_numbers
from accelsim.mapping.counts import count_blocks
from accelsim.mapping.gemm import plan_gemm
from accelsim.mapping.plan import GemmPlan, TileShape
from accelsim.mapping.tiles import ELEMENT_BYTES, OUTPUT_BYTES, describe, occupancy, shared_traffic
from accelsim.model.graph import Gemm
from accelsim.pruning.pack import pack
from accelsim.pruning.seeded import seeded_mask
from accelsim.validate.notes import Launch
from accelsim.validate.rows import MeasuredRow

ValidationEngine = Literal["estimate", "events"]

_ROWS_AT_ONCE = 32
"""Rows that the closed form takes together: few enough that its arrays stay in the processor's caches."""


@dataclass(frozen=True)
class Defaults:
    """What holds for rows that do not tell otherwise."""

    mapping: Mapping = field(default_factory=Mapping)
    caches: Caches = field(default_factory=Caches)
    launch: Launch = "graph"


@dataclass(frozen=True)
class Prediction:
    """What the simulator says of a row."""

    latency_us: float | None
    """None where it does not model the row."""
    reason: str = ""
    """Why it does not."""
    kernel: str = ""
    waves: float = math.nan
    """Thread blocks over those that the device holds at once."""
    library: str = ""
    """Menu that the kernel is from."""
    within_l2: bool = False
    """Whether A, B and C together are no larger than L2."""


@dataclass(frozen=True)
class _Case:
    """A product as it is simulated; rows of one case are simulated once."""

    gemm: Gemm
    caches: Caches
    launch: Launch
    library: str | None
    """Name of a menu; None for the one that is given for all rows."""
    mapping: Mapping
    sparsity: float = 0.0
    tile_wise: TileWise | None = None


def predict(
    rows: Sequence[MeasuredRow],
    gpu: Gpu,
    engine: ValidationEngine = "estimate",
    library: Library | None = None,
    defaults: Defaults | None = None,
) -> list[Prediction]:
    """Latencies of measured operations on a simulated GPU.

    Parameters
    ----------
    rows : sequence of MeasuredRow
        Whatever GPU they name.
    gpu : Gpu
        The machine to simulate.
    engine : str
        estimate or events.
    library : Library, optional
        Menu of kernels for all rows. Left out, rows that name another library than the machine's default are given
        the menu of that name and of the machine's family (cutlass on a machine with cublas_volta: cutlass_volta),
        where there is one.
    defaults : Defaults, optional
        Mapping, state of L2 and launch for what rows do not tell.

    Returns
    -------
    list of Prediction
        In the order of the rows.

    Raises
    ------
    UserError
        Naming the row whose format the GPU cannot multiply.
    """
    base = defaults or Defaults()
    found: list[Prediction | None] = [None] * len(rows)
    cases: dict[_Case, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        reason = _not_modelled(row)
        if reason:
            found[index] = Prediction(None, reason)
        else:
            _check_dtype(row, gpu)
            cases[_case(row, gpu, base, library)].append(index)
    for case, prediction in _simulate(list(cases), gpu, engine, library).items():
        for index in cases[case]:
            found[index] = prediction
    return [prediction for prediction in found if prediction is not None]


def _not_modelled(row: MeasuredRow) -> str:
    """Why a row is outside what is simulated; an empty text when it is inside."""
    if row.is_attention:
        return "fused attention is not modelled"
    if row.op in ("spmm_2to4", "spmm_vnm"):
        return f"{'2:4' if row.op == 'spmm_2to4' else 'V:N:M'} sparsity is not modelled"
    if row.op not in ("gemm", "tilewise"):
        return f"operation {row.op} is unknown"
    if row.op == "gemm" and row.sparsity:
        return "a dense product with a sparsity"
    if row.latency_us is None:
        return "board power is not predicted here"
    return ""


def _check_dtype(row: MeasuredRow, gpu: Gpu) -> None:
    taken = [*gpu.tensor_core, *gpu.cuda_core]
    if row.dtype not in taken:
        allowed = ", ".join(sorted(set(map(str, taken))))
        raise UserError(f"row {row.row} (line {row.line}): {gpu.name} cannot multiply {row.dtype}; it takes {allowed}")


def _case(row: MeasuredRow, gpu: Gpu, defaults: Defaults, library: Library | None) -> _Case:
    """How a row is simulated."""
    told = row.conditions
    # Column-major C = A B is row-major C' = B' A'.
    m, n = (row.n, row.m) if told.order == "column" else (row.m, row.n)
    # Items of a batch have operands of their own, none of which is a weight that they share.
    gemm = Gemm("gemm", m, n, row.k, batch=row.batch, dtype=row.dtype, weight="weight" if row.batch == 1 else None)
    mapping = defaults.mapping
    fixed = {"stages": told.stages, "split_k": told.split_k}
    if told.tile is not None:
        fixed |= dict(zip(("tile_m", "tile_n", "tile_k"), told.tile, strict=True))
    if any(value is not None for value in fixed.values()):
        mapping = mapping.model_copy(update={name: value for name, value in fixed.items() if value is not None})
    return _Case(
        gemm=gemm,
        caches=_caches(row, gemm, gpu, defaults.caches),
        launch=told.launch or defaults.launch,
        library=_menu(gpu, told.library) if library is None else None,
        mapping=mapping,
        sparsity=row.sparsity if row.op == "tilewise" else 0.0,
        tile_wise=_tile_wise(row) if row.op == "tilewise" else None,
    )


def _tile_wise(row: MeasuredRow) -> TileWise:
    told = row.conditions
    given = {"strategy": told.strategy, "granularity": told.granularity, "sparsity": row.sparsity}
    return TileWise(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def _caches(row: MeasuredRow, gemm: Gemm, gpu: Gpu, default: Caches) -> Caches:
    """What lies in L2 when the kernel starts. Weights that are used in turn are warm if all their copies fit."""
    told = row.conditions
    if told.warm is not None:
        return Caches(
            activations="warm" if told.warm in ("activations", "both") else "cold",
            weights="warm" if told.warm in ("weights", "both") else "cold",
        )
    if told.copies is None:
        return default
    weights = gemm.k * gemm.n * ELEMENT_BYTES[gemm.dtype]
    held = told.copies * weights + _footprint(gemm) - weights
    return default.model_copy(update={"weights": "warm" if held <= gpu.l2.capacity else "cold"})


def _footprint(gemm: Gemm) -> int:
    """Bytes of A, B and C."""
    operands = (gemm.m + gemm.n) * gemm.k * ELEMENT_BYTES[gemm.dtype]
    return gemm.batch * (operands + gemm.m * gemm.n * OUTPUT_BYTES[gemm.dtype])


def _menu(gpu: Gpu, library: str | None) -> str:
    """Menu of kernels for the library that a row names."""
    family = gpu.library.rpartition("_")[2]
    own = f"{library}_{family}"
    return own if library != "cublas" and own in _menus() else gpu.library


@cache
def _menus() -> frozenset[str]:
    return frozenset(available("hwconfigs/libraries"))


@cache
def _load(name: str) -> Library:
    return load_library(name)


def _simulate(
    cases: list[_Case], gpu: Gpu, engine: ValidationEngine, library: Library | None
) -> dict[_Case, Prediction]:
    """Predictions of distinct cases: dense estimates together, others one by one."""
    found: dict[_Case, Prediction] = {}
    together: dict[tuple[str | None, str, Mapping, bool], list[_Case]] = defaultdict(list)
    for case in cases:
        if engine == "estimate" and case.tile_wise is None:
            together[case.library, case.gemm.dtype, case.mapping, case.gemm.weight is None].append(case)
        else:
            found[case] = _simulate_one(case, gpu, engine, library or _load(case.library or gpu.library))
    for (name, *_), alike in together.items():
        menu = library or _load(name or gpu.library)
        try:
            found |= zip(alike, _estimate(alike, gpu, menu), strict=True)
        except MappingError as error:
            found |= {case: Prediction(None, str(error)) for case in alike}
    return found


def _simulate_one(case: _Case, gpu: Gpu, engine: ValidationEngine, library: Library) -> Prediction:
    """Plan, count and simulate a product as a run does."""
    gemm = case.gemm
    try:
        plan = _plan(case, gpu, library)
    except MappingError as error:
        return Prediction(None, str(error))
    program = gemm_program(
        plan,
        count_blocks(plan, gpu),
        gpu,
        case.caches,
        "stream" if case.launch == "stream" else "graph",
        ELEMENT_BYTES[gemm.dtype],
        OUTPUT_BYTES[gemm.dtype],
    )
    latency = ticks_to_ps(ENGINES[engine](program).end, gpu) / 1e6
    if case.launch == "kernel":
        latency -= gpu.launch.graph * 1e6
    waves = len(plan.blocks) / (gpu.sm_count * occupancy(plan.tile, gpu))
    return _prediction(latency, plan.tile, plan.split_k, waves, library, gpu, gemm)


def _plan(case: _Case, gpu: Gpu, library: Library) -> GemmPlan:
    gemm, options = case.gemm, case.tile_wise
    weights = None
    if options is not None:
        if options.granularity > gemm.n:
            raise MappingError(f"tiles of {options.granularity} columns are wider than the {gemm.n} of the weights")
        weights = pack(None, seeded_mask(gemm.k, gemm.n, case.sparsity, options.granularity, 0))
    return plan_gemm(gemm, gpu, library, case.mapping, case.caches, weights=weights, tile_wise=options)


def _prediction(
    latency: float, tile: TileShape, split_k: int, waves: float, library: Library, gpu: Gpu, gemm: Gemm
) -> Prediction:
    kernel = describe(tile) + (f", split-K {split_k}" if split_k > 1 else "")
    return Prediction(latency, "", kernel, waves, library.name, _footprint(gemm) <= gpu.l2.capacity)


def _estimate(cases: list[_Case], gpu: Gpu, library: Library) -> list[Prediction]:
    """The kernel that `accelsim.mapping.choice.rank` puts first, for dense products of one format and mapping.

    All candidates of several products are estimated together, which takes microseconds for each.
    """
    dtype, mapping = cases[0].gemm.dtype, cases[0].mapping
    tiles = candidate_tiles(dtype, gpu, library, mapping)
    splits = sorted(set(library.split_k)) if mapping.split_k is None else [mapping.split_k]
    numbers = machine_numbers(gpu, library, dtype)
    resident = [occupancy(tile, gpu) for tile in tiles]
    candidates = _Candidates(tiles, resident, splits, gpu, dtype, _strip(mapping))
    found = []
    for begin in range(0, len(cases), _ROWS_AT_ONCE):
        some = cases[begin : begin + _ROWS_AT_ONCE]
        cycles = candidates.cycles(some, numbers)
        best = np.argmin(cycles, axis=1)
        for case, at, time in zip(some, best, cycles[np.arange(len(some)), best], strict=True):
            tile, occupied, split = candidates.at(int(at))
            steps = -(-case.gemm.k // tile.tile_k)
            shares = -(-steps // -(-steps // split))
            blocks = case.gemm.batch * -(-case.gemm.m // tile.tile_m) * -(-case.gemm.n // tile.tile_n) * shares
            latency = (float(time) - numbers.launch) / gpu.clock + _overhead(case.launch, gpu)
            waves = blocks / (gpu.sm_count * occupied)
            found.append(_prediction(latency * 1e6, tile, shares, waves, library, gpu, case.gemm))
    return found


def _strip(mapping: Mapping) -> int:
    """Columns of output tiles that the raster order walks down together."""
    return {"along_m": 1, "along_n": 2**62, "swizzle": mapping.swizzle_width}[mapping.raster]


def _overhead(launch: Launch, gpu: Gpu) -> float:
    """Seconds from the kernel before it to the first thread block; without a launch, the kernel's own part of it."""
    gap = {"graph": gpu.launch.graph, "stream": gpu.launch.stream, "kernel": 0.0}[launch]
    return gap + gpu.launch.start_drain


@dataclass(frozen=True)
class _Candidates:
    """Every tile with every split-K, tile by tile."""

    tiles: list[TileShape]
    resident: list[int]
    splits: list[int]
    gpu: Gpu
    dtype: str
    strip: int

    def at(self, index: int) -> tuple[TileShape, int, int]:
        """Tile, thread blocks of it on an SM, and split-K of a candidate."""
        tile, split = divmod(index, len(self.splits))
        return self.tiles[tile], self.resident[tile], self.splits[split]

    def cycles(self, cases: list[_Case], numbers: GemmMachine) -> NDArray[np.float64]:
        """[cases, candidates] cycles; infinite where a share of k would be less than a k-step."""
        element = ELEMENT_BYTES[self.dtype]
        count = len(self.splits)
        shapes = [(tile.tile_m, tile.tile_n, tile.tile_k, tile.stages) for tile in self.tiles]
        tile_m, tile_n, tile_k, stages = np.repeat(np.array(shapes, np.int64).T, count, axis=1)
        traffic = np.repeat([sum(shared_traffic(tile, self.gpu, element)) for tile in self.tiles], count)
        split = np.tile(np.array(self.splits, np.int64), len(self.tiles))
        sizes = [(case.gemm.m, case.gemm.n, case.gemm.k, case.gemm.batch) for case in cases]
        m, n, k, batch = np.array(sizes, np.int64).T[:, :, None]
        cycles = np.empty((len(cases), len(split)))
        for weights_warm in (False, True):
            for activations_warm in (False, True):
                alike = np.flatnonzero([_warm(case) == (weights_warm, activations_warm) for case in cases])
                if not len(alike):
                    continue
                cycles[alike] = estimate_gemm(
                    m[alike],
                    n[alike],
                    k[alike],
                    batch[alike],
                    element,
                    tile_m,
                    tile_n,
                    tile_k,
                    stages,
                    np.repeat(self.resident, count),
                    split,
                    numbers,
                    weights_warm=weights_warm,
                    activations_warm=activations_warm,
                    output_bytes=OUTPUT_BYTES[self.dtype],
                    shared_bytes=traffic,
                    strip=self.strip,
                )
        result: NDArray[np.float64] = np.where(
            (split == self.splits[0]) | (split <= ceil_div(k, tile_k)), cycles, np.inf
        )
        return result


def _warm(case: _Case) -> tuple[bool, bool]:
    """Whether weights and activations lie in L2; a batch's second operands are activations."""
    second = case.caches.activations if case.gemm.weight is None else case.caches.weights
    return second == "warm", case.caches.activations == "warm"
