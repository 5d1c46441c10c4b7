"""From a measured row to a simulated latency and power: the one place that decides how a measurement is simulated.

Under ``estimate`` the closed form that chooses among a library's kernels gives the time of the one it chooses, for many
rows at once; under ``events`` that kernel is planned and simulated as a run does it.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal

from accelsim.config.hardware import EnergyTable, Gpu, Library
from accelsim.config.loader import load_energy
from accelsim.config.options import Mapping, TileWise
from accelsim.config.workload import Caches
from accelsim.errors import MappingError, UserError
from accelsim.machine.gemm.actions import dynamic_joule, kernel_actions
from accelsim.machine.gemm.lower import gemm_program
from accelsim.machine.gemm.power import throttled_seconds
from accelsim.machine.simulate import ENGINES, throttle_ps, ticks_to_ps
from accelsim.mapping.counts import count_blocks
from accelsim.mapping.gemm import plan_gemm
from accelsim.mapping.plan import GemmPlan, TileShape
from accelsim.mapping.sparse import plan_sparse
from accelsim.mapping.tiles import ELEMENT_BYTES, OUTPUT_BYTES, describe, occupancy
from accelsim.model.graph import Gemm, Layout
from accelsim.pruning.pack import pack
from accelsim.pruning.seeded import seeded_mask
from accelsim.validate.attention_rows import predict_attention
from accelsim.validate.estimates import estimate_dense
from accelsim.validate.mechanisms import Switches
from accelsim.validate.menus import menu, menu_of
from accelsim.validate.meter import as_metered
from accelsim.validate.notes import Conditions, Launch
from accelsim.validate.power import board_watt
from accelsim.validate.rows import MeasuredRow
from accelsim.validate.sparse_rows import (
    SPARSE_OPS,
    SparseOperand,
    not_sparse,
    sparse_operand,
    transposed_gemm,
    transposed_kernel,
)

ValidationEngine = Literal["estimate", "events"]


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
    power_w: float = math.nan
    """Average of the board while the kernel is replayed over and over."""


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
    sparse: SparseOperand | None = None
    """Of 2:4 and V:N:M products."""


def predict(
    rows: Sequence[MeasuredRow],
    gpu: Gpu,
    engine: ValidationEngine = "estimate",
    library: Library | None = None,
    defaults: Defaults | None = None,
    energy: EnergyTable | None = None,
    switches: Switches | None = None,
    as_run: bool = False,
) -> list[Prediction]:
    """Latencies and board power of measured operations on a simulated GPU.

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
    energy : EnergyTable, optional
        Energy per action; left out, the GPU's own table.
    switches : Switches, optional
        Mechanisms that are off, whatever rows tell.
    as_run : bool
        Under estimate, take the closed form of `accelsim run --engine estimate`, which looks at every thread block, in
        place of the quick one that chooses kernels.

    Returns
    -------
    list of Prediction
        In the order of the rows.

    Raises
    ------
    UserError
        Naming the row whose format the GPU cannot multiply.
    """
    base, without = defaults or Defaults(), switches or Switches()
    if without.estimate and (engine != "estimate" or as_run):
        raise UserError(
            f"{' and '.join(without.estimate)} can be switched off in the closed form only: engine estimate"
        )
    gpu = without.gpu(gpu)
    found: list[Prediction | None] = [None] * len(rows)
    cases: dict[_Case, list[int]] = defaultdict(list)
    table = energy or _energy(gpu.energy)
    for index, row in enumerate(rows):
        reason = _not_modelled(row, gpu)
        if reason:
            found[index] = Prediction(None, reason)
        elif row.is_attention:
            menu_for_all = library or menu(gpu.library)
            found[index] = Prediction(**vars(predict_attention(row, gpu, menu_for_all, table, engine == "events")))
        else:
            _check_dtype(row, gpu)
            case = _case(row, gpu, base, library)
            mapping, caches = without.mapping(case.mapping), without.caches(case.caches)
            cases[replace(case, mapping=mapping, caches=caches)].append(index)
    for case, prediction in _simulate(list(cases), gpu, engine, library, table, without, as_run).items():
        for index in cases[case]:
            found[index] = prediction
    predictions = [prediction for prediction in found if prediction is not None]
    if table.meter is None:
        return predictions
    settled = table.model_copy(update={"meter": None})
    return as_metered(
        rows,
        predictions,
        table.meter,
        sum(table.static_power.values()),
        gpu.sm_count,
        lambda others: predict(others, gpu, library=library, defaults=base, energy=settled, switches=switches),
    )


def _not_modelled(row: MeasuredRow, gpu: Gpu) -> str:
    """Why a row is outside what is simulated; an empty text when it is inside."""
    if row.conditions.flaw:
        return f"its notes call it {row.conditions.flaw!r}, which no menu of kernels tells"
    if row.conditions.launch == "sync" and gpu.launch.sync is None:
        return f"launched and waited for, and {gpu.name} does not say what that takes (launch.sync)"
    if row.op in SPARSE_OPS:
        return not_sparse(row, gpu)
    if row.is_attention:
        return ""
    if row.op not in ("gemm", "tilewise"):
        return f"operation {row.op} is unknown"
    if row.op == "gemm" and row.sparsity:
        return "a dense product with a sparsity"
    return ""


def _check_dtype(row: MeasuredRow, gpu: Gpu) -> None:
    taken = [*gpu.tensor_core, *gpu.cuda_core]
    if row.dtype not in taken:
        allowed = ", ".join(sorted(set(map(str, taken))))
        raise UserError(f"row {row.row} (line {row.line}): {gpu.name} cannot multiply {row.dtype}; it takes {allowed}")


def _case(row: MeasuredRow, gpu: Gpu, defaults: Defaults, library: Library | None) -> _Case:
    """How a row is simulated."""
    told = row.conditions
    if row.op in SPARSE_OPS:
        return _sparse_case(row, gpu, defaults, library)
    # Column-major C = A B is row-major C' = B' A'.
    m, n = (row.n, row.m) if told.order == "column" else (row.m, row.n)
    a_layout, b_layout = _layouts(told)
    # Items of a batch have operands of their own, none of which is a weight that they share.
    gemm = Gemm(
        "gemm",
        m,
        n,
        row.k,
        batch=row.batch,
        dtype=row.dtype,
        weight="weight" if row.batch == 1 else None,
        a_layout=a_layout,
        b_layout=b_layout,
    )
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
        library=menu_of(gpu, told.library) if library is None else None,
        mapping=mapping,
        sparsity=row.sparsity if row.op == "tilewise" else 0.0,
        tile_wise=_tile_wise(row) if row.op == "tilewise" else None,
    )


def _sparse_case(row: MeasuredRow, gpu: Gpu, defaults: Defaults, library: Library | None) -> _Case:
    """How a row with a sparse A is simulated: as the transposed product."""
    gemm, told, operand = transposed_gemm(row), row.conditions, sparse_operand(row)
    return _Case(
        gemm=gemm,
        caches=_caches(row, gemm, gpu, defaults.caches, operand.held_share(ELEMENT_BYTES[gemm.dtype])),
        launch=told.launch or defaults.launch,
        library=menu_of(gpu, told.library, sparse=True) if library is None else None,
        mapping=transposed_kernel(row, defaults.mapping),
        sparse=operand,
    )


def _layouts(told: Conditions) -> tuple[Layout, Layout]:
    """How A and B lie in memory, as the row-major product reads them."""
    stored: tuple[Layout, Layout] = (
        "transposed" if told.op_a == "T" else "row_major",
        "transposed" if told.op_b == "T" else "row_major",
    )
    # Row-major A' is column-major B, transposed once by the order of memory and once by the product: as B is stored.
    return stored[::-1] if told.order == "column" else stored


def _tile_wise(row: MeasuredRow) -> TileWise:
    told = row.conditions
    given = {"strategy": told.strategy, "granularity": told.granularity, "sparsity": row.sparsity}
    return TileWise(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def _caches(row: MeasuredRow, gemm: Gemm, gpu: Gpu, default: Caches, share: float = 1.0) -> Caches:
    """What lies in L2 when the kernel starts. Weights that are used in turn are warm if all their copies fit; packed
    ones take a share of dense ones' bytes."""
    told = row.conditions
    if told.warm is not None:
        return Caches(
            activations="warm" if told.warm in ("activations", "both") else "cold",
            weights="warm" if told.warm in ("weights", "both") else "cold",
        )
    if told.copies is None:
        return default
    weights = gemm.k * gemm.n * ELEMENT_BYTES[gemm.dtype]
    held = told.copies * share * weights + _footprint(gemm) - weights
    return default.model_copy(update={"weights": "warm" if held <= (gpu.l2.retained or gpu.l2.capacity) else "cold"})


def _footprint(gemm: Gemm) -> int:
    """Bytes of A, B and C."""
    operands = (gemm.m + gemm.n) * gemm.k * ELEMENT_BYTES[gemm.dtype]
    return gemm.batch * (operands + gemm.m * gemm.n * OUTPUT_BYTES[gemm.dtype])


@cache
def _energy(name: str) -> EnergyTable:
    return load_energy(name)


def _simulate(
    cases: list[_Case],
    gpu: Gpu,
    engine: ValidationEngine,
    library: Library | None,
    energy: EnergyTable,
    without: Switches,
    as_run: bool,
) -> dict[_Case, Prediction]:
    """Predictions of distinct cases: dense estimates together, unless they are wanted as a run has them, and others one
    by one."""
    menus = {name: without.library(library or menu(name or gpu.library)) for name in {case.library for case in cases}}
    found: dict[_Case, Prediction] = {}
    together: dict[tuple[str | None, str, Mapping, bool], list[_Case]] = defaultdict(list)
    for case in cases:
        dense = case.tile_wise is None and case.sparse is None
        if engine == "estimate" and dense and not as_run:
            together[case.library, case.gemm.dtype, case.mapping, case.gemm.weight is None].append(case)
        else:
            found[case] = _simulate_one(case, gpu, engine, menus[case.library], energy)
    for (name, *_), alike in together.items():
        try:
            found |= zip(alike, _estimate(alike, gpu, menus[name], energy, without), strict=True)
        except MappingError as error:
            found |= {case: Prediction(None, str(error)) for case in alike}
    return found


def _simulate_one(case: _Case, gpu: Gpu, engine: ValidationEngine, library: Library, energy: EnergyTable) -> Prediction:
    """Plan, count and simulate a product as a run does."""
    gemm = case.gemm
    try:
        plan = _plan(case, gpu, library)
    except MappingError as error:
        return Prediction(None, str(error))
    counts = count_blocks(plan, gpu)
    program = gemm_program(
        plan,
        counts,
        gpu,
        case.caches,
        case.launch if case.launch in ("stream", "sync") else "graph",
        ELEMENT_BYTES[gemm.dtype],
        OUTPUT_BYTES[gemm.dtype],
    )
    run = ENGINES[engine](program)
    free = ticks_to_ps(run.end, gpu)
    latency = (free + throttle_ps(plan, counts, run, free, gpu, energy)) / 1e6
    joule = dynamic_joule(kernel_actions(plan, counts, run), energy)
    power = board_watt(joule, 1e-6 * latency, gpu, energy)
    if case.launch == "kernel":
        latency -= gpu.launch.graph * 1e6
    waves = len(plan.blocks) / (gpu.sm_count * occupancy(plan.tile, gpu))
    return _prediction(latency, power, plan.tile, plan.split_k, waves, library, gpu, gemm)


def _plan(case: _Case, gpu: Gpu, library: Library) -> GemmPlan:
    gemm, options = case.gemm, case.tile_wise
    if case.sparse is not None:
        packed = case.sparse.pack(gemm.k, gemm.n)
        (plan,) = plan_sparse(gemm, gpu, library, case.mapping, case.caches, packed, case.sparse.options)
        assert isinstance(plan, GemmPlan)
        return plan
    weights = None
    if options is not None:
        if options.granularity > gemm.n:
            raise MappingError(f"tiles of {options.granularity} columns are wider than the {gemm.n} of the weights")
        weights = pack(None, seeded_mask(gemm.k, gemm.n, case.sparsity, options.granularity, 0))
    return plan_gemm(gemm, gpu, library, case.mapping, case.caches, weights=weights, tile_wise=options)


def _prediction(
    latency: float, power: float, tile: TileShape, split_k: int, waves: float, library: Library, gpu: Gpu, gemm: Gemm
) -> Prediction:
    kernel = describe(tile) + (f", split-K {split_k}" if split_k > 1 else "")
    return Prediction(latency, "", kernel, waves, library.name, _footprint(gemm) <= gpu.l2.capacity, power)


def _estimate(
    cases: list[_Case], gpu: Gpu, library: Library, energy: EnergyTable, without: Switches
) -> list[Prediction]:
    """Predictions of dense products of one format and mapping, by the closed form."""
    gemms, caches = [case.gemm for case in cases], [case.caches for case in cases]
    found = estimate_dense(gemms, caches, gpu, library, cases[0].mapping, without.estimate)
    predictions = []
    for case, one in zip(cases, found, strict=True):
        seconds = one.seconds + _overhead(case.launch, gpu)
        joule = dynamic_joule(one.actions, energy)
        if gpu.power is not None:
            static = sum(energy.static_power.values())
            seconds = throttled_seconds(seconds, joule, static, gpu.power.limit, gpu.power.time_constant)
        # A kernel timed alone was launched all the same.
        period = seconds + (gpu.launch.graph if case.launch == "kernel" else 0.0)
        power = board_watt(joule, period, gpu, energy)
        predictions.append(_prediction(1e6 * seconds, power, one.tile, one.split_k, one.waves, library, gpu, case.gemm))
    return predictions


def _overhead(launch: Launch, gpu: Gpu) -> float:
    """Seconds from the kernel before it to the first thread block, and to the host if it waits; without a launch, the
    kernel's own part of it."""
    if launch == "sync":
        assert gpu.launch.sync is not None
        return gpu.launch.sync
    gap = {"graph": gpu.launch.graph, "stream": gpu.launch.stream, "kernel": 0.0}[launch]
    return gap + gpu.launch.start_drain
