"""HDP's guard in a run: inputs with two largest outputs too near each other go through the network again, unpruned.

Both passes are one network to what comes after: its operations are those of the first pass, then those of the second
on the chosen inputs alone, so that time, energy and every table hold both. Choosing the inputs and gathering them costs
nothing here.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from accelsim.costing import Costing
from accelsim.execution import Execution, execute, parameters_of
from accelsim.machine.simulate import PS_PER_US, NetworkRun
from accelsim.mapping.network import Kernel, NetworkPlan, PlannedOperation, plan_network
from accelsim.mapping.plan import GemmPlan
from accelsim.model.graph import Attention, Elementwise, Gemm, Network, Operation
from accelsim.model.operands import OperandSet
from accelsim.model.subset import take_items, take_rows

SECOND = "second."
"""Before the names of what belongs to the second pass."""


GUARD_KEYS = ("guard", "guarded_heads", "guarded_inputs", "guard_latency_us", "guard_energy_uj")


class _TwoPasses(Network):
    """A network whose results are those of its first pass."""

    @property
    def results(self) -> tuple[str, ...]:
        return tuple(name for name in super().results if not name.startswith(SECOND))


@dataclass(frozen=True)
class Guarded:
    """A run with what its guard added."""

    plan: NetworkPlan
    operands: OperandSet | None
    execution: Execution
    items: NDArray[np.int64]
    """Inputs that went through the network again."""
    first: Execution
    """What the first pass did."""
    without: tuple[NetworkPlan, Execution] | None = None
    """The same decisions without the guard, whose time and energy tell what it costs; None where it changed nothing."""


def margins(outputs: NDArray[np.generic]) -> NDArray[np.float64]:
    """Largest output of each input less the second largest, [items].

    Parameters
    ----------
    outputs : array [items, classes]
        Of at least two classes.
    """
    ordered = np.sort(outputs.astype(np.float64), axis=1)
    difference: NDArray[np.float64] = ordered[:, -1] - ordered[:, -2]
    return difference


def guard(
    plan: NetworkPlan,
    execution: Execution,
    operands: OperandSet | None,
    costing: Costing,
) -> Guarded:
    """What a run becomes by its guard; nothing without one.

    Parameters
    ----------
    plan, execution, operands
        Of the first pass.
    costing : Costing
        Whose libraries a second pass is planned with.
    """
    config = costing.config
    nothing = np.empty(0, dtype=np.int64)
    if not config.scheme.endswith("hdp") or config.hdp.guard == "none" or execution.output is None or operands is None:
        return Guarded(plan, operands, execution, nothing, execution)
    if config.hdp.guard == "head":
        return Guarded(plan, operands, execution, nothing, execution, (plan, _unguarded(execution)))
    chosen = np.flatnonzero(margins(execution.output) < config.hdp.guard_margin)
    if not len(chosen):
        return Guarded(plan, operands, execution, nothing, execution)
    items = chosen.tolist()
    rows = take_rows(operands, plan.network, items)
    again = plan_network(
        take_items(plan.network, items), config, costing.library, parameters_of(operands), costing.sparse_library
    )
    unpruned = config.model_copy(update={"scheme": "dense_on_unit"})
    second = execute(again, unpruned, rows)
    merged = _joined(plan, execution, again, second, chosen)
    inputs = operands.inputs | {f"{SECOND}{name}": array for name, array in rows.inputs.items()}
    return Guarded(merged[0], replace(operands, inputs=inputs), merged[1], chosen, execution, (plan, execution))


def guard_summary(guarded: Guarded, run: NetworkRun, costing: Costing) -> dict[str, object]:
    """How often a run's guard spoke and what it costs, by the keys of a result's summary.

    Parameters
    ----------
    guarded : Guarded
    run : NetworkRun
        Of the guarded plan and execution.
    costing : Costing
        For the same decisions without the guard.

    Returns
    -------
    dict
        ``guard``; ``guarded_heads`` and ``guarded_inputs``, shares of all (None where it is not that guard);
        ``guard_latency_us`` and ``guard_energy_uj``, what the run takes more than without it. All None without a guard.
    """
    config = costing.config
    kind = config.hdp.guard if config.scheme.endswith("hdp") else "none"
    if kind == "none":
        return dict.fromkeys(GUARD_KEYS)
    heads = [masks.guarded for masks in guarded.execution.heads.values() if masks.guarded is not None]
    latency = energy = 0.0
    if guarded.without is not None:
        plain = costing.simulate(*guarded.without)
        latency = (run.latency_ps - plain.latency_ps) / PS_PER_US
        energy = costing.total_uj(run) - costing.total_uj(plain)
    shares = (
        float(np.concatenate(heads).mean()) if kind == "head" and heads else None,
        len(guarded.items) / guarded.plan.network.items if kind == "input" else None,
    )
    return dict(zip(GUARD_KEYS, (kind, *shares, latency, energy), strict=True))


def _unguarded(execution: Execution) -> Execution:
    heads = {
        name: masks if masks.unguarded is None else replace(masks, counts=masks.unguarded)
        for name, masks in execution.heads.items()
    }
    return replace(execution, heads=heads)


def _joined(
    first: NetworkPlan, done: Execution, second: NetworkPlan, again: Execution, chosen: NDArray[np.int64]
) -> tuple[NetworkPlan, Execution]:
    """Both passes as one, the outputs of the second in their places among those of the first."""
    renamed = tuple(_renamed(planned) for planned in second.operations)
    network = _TwoPasses(
        **vars(first.network)
        | {
            "operations": first.network.operations + tuple(planned.operation for planned in renamed),
            "inputs": first.network.inputs
            | {f"{SECOND}{name}": shape for name, shape in second.network.inputs.items()},
        }
    )
    assert done.output is not None
    assert again.output is not None
    output = done.output.copy()
    output[chosen] = again.output
    execution = Execution(
        output,
        done.counts | {f"{SECOND}{name}": counts for name, counts in again.counts.items()},
        done.heads | {f"{SECOND}{name}": masks for name, masks in again.heads.items()},
        done.saturated + again.saturated,
        done.results | {first.network.output: output},
    )
    return NetworkPlan(network, first.operations + renamed, first.masks), execution


def _renamed(planned: PlannedOperation) -> PlannedOperation:
    return PlannedOperation(
        _operation(planned.operation), planned.place, tuple(_kernel(kernel) for kernel in planned.kernels)
    )


def _kernel(kernel: Kernel) -> Kernel:
    if isinstance(kernel, GemmPlan):
        return replace(kernel, gemm=replace(kernel.gemm, name=f"{SECOND}{kernel.gemm.name}"))
    return replace(kernel, name=f"{SECOND}{kernel.name}")


def _operation(operation: Operation) -> Operation:
    name, output = f"{SECOND}{operation.name}", f"{SECOND}{operation.output}"
    if isinstance(operation, Gemm):
        return replace(
            operation,
            name=name,
            output=output,
            a=f"{SECOND}{operation.a}",
            b=None if operation.b is None else f"{SECOND}{operation.b}",
        )
    if isinstance(operation, Attention):
        query, key, value = (f"{SECOND}{tensor}" for tensor in (operation.query, operation.key, operation.value))
        return replace(operation, name=name, output=output, query=query, key=key, value=value)
    assert isinstance(operation, Elementwise)
    return replace(operation, name=name, output=output, inputs=tuple(f"{SECOND}{name}" for name in operation.inputs))
