"""Simulate: counts of a planned network to time, on every unit of the machine.

Each kernel runs on the GEMM device by itself, through the chosen engine; attention runs on the attention unit; then the
system plays the operations in order, with transfers over the link between the units.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from accelsim.config.hardware import EnergyTable, Gpu, Link, System
from accelsim.config.scheme import RunConfig
from accelsim.config.trace import Sampling
from accelsim.estimate.program import estimate_program
from accelsim.execution import Execution
from accelsim.machine.attention.hdp_pipeline import simulate_hdp
from accelsim.machine.attention.run import AttentionRun
from accelsim.machine.attention.work import dense_work, hdp_work
from accelsim.machine.gemm.actions import dynamic_joule, kernel_actions
from accelsim.machine.gemm.elementwise import elementwise_program
from accelsim.machine.gemm.events import record_events, run_events
from accelsim.machine.gemm.fused_attention import fused_attention_program
from accelsim.machine.gemm.lower import gemm_program
from accelsim.machine.gemm.power import throttled_seconds
from accelsim.machine.gemm.program import TICKS_PER_CYCLE, Cause, DeviceProgram, DeviceRun
from accelsim.machine.gemm.record import DeviceRecord
from accelsim.machine.gemm.twin import record_simpy, run_simpy
from accelsim.machine.system import Activity, Span, simulate_system
from accelsim.mapping.counts import BlockCounts
from accelsim.mapping.fused_attention import FusedAttentionPlan
from accelsim.mapping.network import Kernel, NetworkPlan, PlannedOperation
from accelsim.mapping.plan import GemmPlan
from accelsim.mapping.tiles import ELEMENT_BYTES, OUTPUT_BYTES
from accelsim.model.graph import Attention, Gemm

ENGINES: dict[str, Callable[[DeviceProgram], DeviceRun]] = {
    "events": run_events,
    "simpy": run_simpy,
    "estimate": estimate_program,
}

RECORDERS = {"events": record_events, "simpy": record_simpy}
"""Engines that can tell what happened when; the closed form cannot."""

PS_PER_SECOND = 10**12
PS_PER_US = 1e6


@dataclass(frozen=True)
class KernelRun:
    """One kernel on the GEMM device."""

    name: str
    operation: str
    part: str
    """gemm, attention or elementwise."""
    kernel: Kernel
    counts: BlockCounts | None
    run: DeviceRun
    duration_ps: int
    throttled_ps: int
    """What the power limit adds to the engine's time; part of the duration."""
    record: DeviceRecord | None = None
    """What happened when, if that was asked for."""

    @property
    def free_ps(self) -> int:
        """The engine's time, which a power limit adds to."""
        return self.duration_ps - self.throttled_ps

    @property
    def stretch(self) -> float:
        """By how much a power limit makes it longer; 1 without one."""
        return self.duration_ps / max(1, self.free_ps)


@dataclass(frozen=True)
class UnitRun:
    """One attention operation on the attention unit, and what crosses the link for it."""

    operation: str
    run: AttentionRun
    link_bytes: int
    """Bytes of Q, K, V and the output over the link; each goes into the unit's DRAM, or comes from it, once more."""


@dataclass(frozen=True)
class NetworkRun:
    """A network on a system."""

    kernels: tuple[KernelRun, ...]
    units: tuple[UnitRun, ...]
    spans: tuple[Span, ...]
    latency_ps: int
    attention_ps: int | None
    """From the last of an attention's operands being ready to its output being ready on the GPU, summed over all."""


def ticks_to_ps(ticks: int, gpu: Gpu) -> int:
    """Device time in picoseconds, rounded to the nearest."""
    per_second = round(gpu.clock) * TICKS_PER_CYCLE
    return (ticks * PS_PER_SECOND + per_second // 2) // per_second


def ps_to_cycles(ps: int, gpu: Gpu) -> int:
    """Picoseconds in cycles of the GEMM device, rounded to the nearest."""
    return (ps * round(gpu.clock) + PS_PER_SECOND // 2) // PS_PER_SECOND


class _Device:
    """Runs kernels through one engine; kernels of equal shape are simulated once."""

    def __init__(self, config: RunConfig, sampling: Sampling | None) -> None:
        self.config, self.sampling = config, sampling
        self.engine, self.recorder = ENGINES[config.engine], RECORDERS.get(config.engine)
        self.known: dict[object, tuple[DeviceRun, DeviceRecord | None]] = {}

    def run(self, kernel: Kernel, counts: BlockCounts | None) -> tuple[DeviceRun, DeviceRecord | None]:
        """Simulate one kernel, launches included."""
        gpu, workload = self.config.hardware.gpu, self.config.workload
        if isinstance(kernel, GemmPlan):
            key: object = (id(kernel.blocks), kernel.gemm.weight is None)
        elif isinstance(kernel, FusedAttentionPlan):
            key = replace(kernel, name="")
        else:
            sizes = (kernel.elements, kernel.bytes_read, kernel.bytes_written, kernel.flops_per_element)
            key = (*sizes, kernel.cold_bytes)
        if key not in self.known:
            if isinstance(kernel, GemmPlan):
                assert counts is not None
                element, output = ELEMENT_BYTES[kernel.gemm.dtype], OUTPUT_BYTES[kernel.gemm.dtype]
                program = gemm_program(kernel, counts, gpu, workload.caches, workload.launch, element, output)
            elif isinstance(kernel, FusedAttentionPlan):
                program = fused_attention_program(kernel, gpu, workload.caches, workload.launch)
            else:
                program = elementwise_program(kernel, gpu, workload.caches, workload.launch)
            if self.sampling is not None and self.recorder is not None:
                self.known[key] = self.recorder(program, self.sampling)
            else:
                self.known[key] = self.engine(program), None
        return self.known[key]


def _part(planned: PlannedOperation) -> str:
    if isinstance(planned.operation, Attention):
        return "attention"
    return "gemm" if isinstance(planned.operation, Gemm) else "elementwise"


def _kernel_name(operation: str, kernel: Kernel, alone: bool) -> str:
    own = kernel.gemm.name if isinstance(kernel, GemmPlan) else kernel.name
    return operation if alone else own


def _transfer_ps(size: int, link: Link) -> int:
    return round((link.latency + size / link.bandwidth) * PS_PER_SECOND)


def _inputs(planned: PlannedOperation) -> tuple[str, ...]:
    operation = planned.operation
    if isinstance(operation, Gemm):
        return (operation.a,) if operation.b is None else (operation.a, operation.b)
    if isinstance(operation, Attention):
        return operation.query, operation.key, operation.value
    return operation.inputs


class _Schedule:
    """Activities of a network in program order, and who makes each tensor."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.activities: list[Activity] = []
        self.makers_of: dict[str, tuple[str, ...]] = {}
        """Activities that must have ended before a tensor is there; none for an input."""
        self.attention: list[tuple[tuple[str, ...], str]] = []
        """For each attention: activities that make its operands, and the one that ends it."""

    def add(self, name: str, unit: str, duration_ps: int, after: tuple[str, ...]) -> str:
        self.activities.append(Activity(name, unit, duration_ps, after))
        return name

    def makers(self, planned: PlannedOperation) -> tuple[str, ...]:
        return tuple(maker for tensor in _inputs(planned) for maker in self.makers_of.get(tensor, ()))

    def on_gpu(self, planned: PlannedOperation, runs: list[KernelRun]) -> None:
        """Kernels one after another; an operation without any (a view) is there when its inputs are."""
        after = needed = self.makers(planned)
        for run in runs:
            after = (self.add(run.name, "gpu", run.duration_ps, after),)
        self.makers_of[planned.operation.output] = after
        if isinstance(planned.operation, Attention):
            self.attention.append((needed, after[0]))

    def on_unit(self, planned: PlannedOperation, unit_run: UnitRun) -> None:
        """Q, K and V over the link as each is ready, the unit, and the output back."""
        attention, link = planned.operation, self.system.link
        assert isinstance(attention, Attention)
        assert link is not None
        each = unit_run.link_bytes // 4
        arrived = []
        for tensor in _inputs(planned):
            after = self.makers_of.get(tensor, ())
            arrived.append(self.add(f"{tensor}.send", "link", _transfer_ps(each, link), after))
        done = self.add(attention.name, "attention_unit", unit_run.run.end_ps, tuple(arrived))
        back = self.add(f"{attention.name}.return", "link", _transfer_ps(each, link), (done,))
        self.makers_of[attention.output] = (back,)
        self.attention.append((self.makers(planned), back))


def link_bytes(attention: Attention) -> int:
    """Bytes of Q, K, V and the output over the link, in the operands' format."""
    each = attention.batch * attention.sequence * attention.heads * attention.head_dim
    return 4 * each * ELEMENT_BYTES[attention.dtype]


def unit_run(attention: Attention, execution: Execution, config: RunConfig, *, record: bool = False) -> UnitRun:
    """One attention on the attention unit, by the counts of its heads; recorded in detail if asked."""
    unit, options = config.hardware.attention_unit, config.hdp
    assert unit is not None
    heads, shape = execution.heads[attention.name], (attention.sequence, attention.head_dim)
    bits = {"integer_bits": options.integer_bits, "fraction_bits": options.fraction_bits}
    if heads.dense:
        work = dense_work(attention.batch * attention.heads, *shape, **bits)
    else:
        work = hdp_work(heads.counts, *shape, **bits)
    return UnitRun(attention.name, simulate_hdp(unit, work, record=record), link_bytes(attention))


def throttle_ps(
    kernel: Kernel, counts: BlockCounts | None, run: DeviceRun, free_ps: int, gpu: Gpu, table: EnergyTable
) -> int:
    """Time that the board's power limit adds to a kernel."""
    if gpu.power is None:
        return 0
    joule = dynamic_joule(kernel_actions(kernel, counts, run), table)
    free, static = free_ps / PS_PER_SECOND, sum(table.static_power.values())
    slowed = throttled_seconds(free, joule, static, gpu.power.limit, gpu.power.time_constant)
    return round((slowed - free) * PS_PER_SECOND)


def simulate(
    plan: NetworkPlan,
    execution: Execution,
    config: RunConfig,
    table: EnergyTable,
    sampling: Sampling | None = None,
) -> NetworkRun:
    """Time of a planned and counted network.

    Parameters
    ----------
    plan, execution
        What runs where, and what it does.
    config : RunConfig
        Machine and engine.
    table : EnergyTable
        Energy per action of the GEMM device: under a power limit its clock follows from it.
    sampling : Sampling, optional
        What to record for a timeline; nothing when left out.

    Returns
    -------
    NetworkRun
    """
    gpu = config.hardware.gpu
    device = _Device(config, sampling)
    kernels: list[KernelRun] = []
    units: list[UnitRun] = []
    attended: dict[object, UnitRun] = {}
    for planned in plan.operations:
        operation = planned.operation
        if isinstance(operation, Attention) and planned.place == "attention_unit":
            alike: object = operation.name
            if execution.heads[operation.name].dense:  # takes the same time wherever it has the same shape
                alike = replace(operation, name="", query="", key="", value="", output="")
            if alike not in attended:
                attended[alike] = unit_run(operation, execution, config, record=sampling is not None)
            units.append(replace(attended[alike], operation=operation.name))
            continue
        for kernel, counts in zip(planned.kernels, execution.counts[operation.name], strict=True):
            run, record = device.run(kernel, counts)
            name = _kernel_name(operation.name, kernel, len(planned.kernels) == 1)
            free = ticks_to_ps(run.end, gpu)
            slowed = throttle_ps(kernel, counts, run, free, gpu, table)
            about = (name, operation.name, _part(planned), kernel, counts)
            kernels.append(KernelRun(*about, run, free + slowed, slowed, record))
    return play(plan, kernels, units, config.hardware)


def play(plan: NetworkPlan, kernels: Sequence[KernelRun], units: Sequence[UnitRun], system: System) -> NetworkRun:
    """Play the operations of a network in order, each of which has been simulated alone.

    Parameters
    ----------
    plan : NetworkPlan
    kernels, units
        Of its operations, in their order.
    system : System
        Whose link carries what goes between GPU and attention unit; another link is another play of the same parts.
    """
    schedule = _Schedule(system)
    of_gpu: dict[str, list[KernelRun]] = {}
    for run in kernels:
        of_gpu.setdefault(run.operation, []).append(run)
    of_unit = {run.operation: run for run in units}
    for planned in plan.operations:
        name = planned.operation.name
        if name in of_unit:
            schedule.on_unit(planned, of_unit[name])
        else:
            schedule.on_gpu(planned, of_gpu.get(name, []))
    spans = simulate_system(schedule.activities)
    ended = {span.name: span.end_ps for span in spans}
    attention = [ended[done] - max((ended[name] for name in needed), default=0) for needed, done in schedule.attention]
    latency = max(ended.values(), default=0)
    return NetworkRun(tuple(kernels), tuple(units), spans, latency, sum(attention) if attention else None)


def sm_time_ps(run: DeviceRun, duration_ps: int, sm_count: int) -> NDArray[np.object_]:
    """Time of all SMs by cause in whole picoseconds, which add up to `sm_count` x `duration_ps`.

    Each cause has its own timer in ticks; the running sum over causes is converted, so that rounding leaves no gap.
    """
    total_ticks, total_ps = run.end * sm_count, duration_ps * sm_count
    reached = [0]
    for cause in Cause:
        reached.append(reached[-1] + int(run.sm_time[:, cause].sum()))
    return np.diff(np.asarray([ticks * total_ps // max(1, total_ticks) for ticks in reached], dtype=object))
