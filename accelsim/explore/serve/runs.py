"""Service times from simulated runs: each size of batch and bucket once, and more often where time depends on inputs.

Inputs are executed together once. A batch of some of them is then timed by what those inputs keep, so that a machine
that prunes by what it reads has a distribution of times, and not one time.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from accelsim.config.imagined import with_imagined_unit
from accelsim.costing import Costing
from accelsim.errors import ConfigError
from accelsim.execution import HeadMasks, execute, parameters_of
from accelsim.explore.serve.batching import Batching
from accelsim.explore.serve.population import check_batch, check_fits, population
from accelsim.explore.serve.request import DRAWN_INPUTS, ServeRequest
from accelsim.explore.serve.services import PS_PER_US, ServiceTimes
from accelsim.guard import guard
from accelsim.machine.simulate import NetworkRun
from accelsim.mapping.network import NetworkPlan, check_scheme, plan_network, uses_unit
from accelsim.model.operands import OperandSet, prepare_operands
from accelsim.model.subset import take_items
from accelsim.per_input import SomeInputs, heads_of

BATCHES_OF_A_SIZE = 100
"""Batches of different inputs that are timed of each size above 1; of size 1, each input is."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Prepared:
    """A scheme's inputs of one length, planned, executed where that matters, and judged by its guard."""

    costing: Costing
    plan: NetworkPlan
    operands: OperandSet | None
    heads: dict[str, HeadMasks]
    """Empty where no time depends on the inputs."""
    again: frozenset[int]
    """Inputs that go through the network a second time."""

    def batch(self, size: int) -> SomeInputs:
        """Batches of a size."""
        return SomeInputs.of(self.costing, self.plan.network, self.operands, size)


def simulate_services(
    request: ServeRequest, scheme: str, batching: Batching, progress: Progress | None = None
) -> ServiceTimes:
    """Service times of a scheme at every size and bucket.

    Parameters
    ----------
    request : ServeRequest
    scheme : str
    batching : Batching
    progress : callable, optional
        Called with the sizes done and their number.

    Raises
    ------
    UserError
        When the scheme cannot run, or a batch is larger than the inputs there are or than main memory.
    """
    buckets: tuple[int | None, ...] = batching.buckets or (None,)
    times: dict[tuple[int, int], NDArray[np.float64]] = {}
    energies: dict[tuple[int, int], NDArray[np.float64]] = {}
    idle_w = 0.0
    for index, bucket in enumerate(buckets):
        prepared = _prepare(request, scheme, batching.batch, bucket)
        idle_w = _idle_w(prepared.costing)
        for place, size in enumerate(batching.run_sizes):
            if progress is not None:
                progress(index * len(batching.run_sizes) + place, len(buckets) * len(batching.run_sizes))
            found = _outcomes(prepared, size, request.seed)
            times[size, index] = np.asarray([ps / PS_PER_US for ps, _ in found])
            energies[size, index] = np.asarray([microjoule for _, microjoule in found])
    return ServiceTimes.from_arrays(times, energies, idle_w)


def _prepare(request: ServeRequest, scheme: str, batch: int, bucket: int | None) -> _Prepared:
    pruning = scheme.endswith("hdp")
    inputs, taken = (request.inputs or DRAWN_INPUTS, request.inputs) if pruning else (batch, None)
    if inputs < batch:
        raise ConfigError(f"inputs {inputs}: a batch of {batch} needs at least as many; see --inputs")
    found = population(request, scheme, bucket, inputs, taken)
    network = found.network
    check_batch(network, batch, request.workload.name or request.workload.kind)
    config = with_imagined_unit(found.config, network.dtype)
    check_scheme(network, config)
    fused = config.mapping.attention == "fused" or uses_unit(config.scheme)
    check_fits(take_items(network, range(batch)), config.hardware.gpu.dram.capacity, batch, fused)
    costing = Costing.of(config)
    operands = prepare_operands(network, config)
    plan = plan_network(network, config, costing.library, parameters_of(operands), costing.sparse_library)
    if not pruning:
        return _Prepared(costing, plan, operands, {}, frozenset())
    execution = execute(plan, config, operands)
    guarded = guard(plan, execution, operands, costing)
    return _Prepared(costing, plan, operands, execution.heads, frozenset(guarded.items.tolist()))


def _idle_w(costing: Costing) -> float:
    """Power that flows whether or not anything runs."""
    tables = (costing.gpu_table, costing.unit_table)
    return sum(sum(table.static_power.values()) for table in tables if table is not None)


def _outcomes(prepared: _Prepared, size: int, seed: int) -> list[tuple[int, float]]:
    """Picoseconds and microjoules of batches of a size: one where no input matters."""
    batch = prepared.batch(size)
    if not prepared.heads:
        return [_cost(batch.run(), prepared.costing)]
    items = prepared.plan.network.items
    seconds: dict[int, tuple[int, float]] = {}
    found = []
    for chosen in groups(items, size, seed):
        latency, energy = _cost(batch.run(heads_of(prepared.heads, chosen, items)), prepared.costing)
        again = sum(int(item) in prepared.again for item in chosen)
        if again:
            if again not in seconds:
                seconds[again] = _second_pass(prepared, again)
            latency, energy = latency + seconds[again][0], energy + seconds[again][1]
        found.append((latency, energy))
    return found


def _cost(run: NetworkRun, costing: Costing) -> tuple[int, float]:
    return run.latency_ps, costing.total_uj(run)


def groups(items: int, size: int, seed: int) -> NDArray[np.int64]:
    """Batches of inputs, [batches, size]: every input once for a size of 1, else `BATCHES_OF_A_SIZE` random ones.

    They are cut from shuffles of all inputs, so that none is in many more batches than another.
    """
    if size == 1:
        return np.arange(items, dtype=np.int64)[:, None]
    random = np.random.default_rng((seed, 3, size))
    shuffles = -(-BATCHES_OF_A_SIZE * size // items)
    chosen = np.concatenate([random.permutation(items) for _ in range(shuffles)])
    return chosen[: BATCHES_OF_A_SIZE * size].reshape(-1, size)


def _second_pass(prepared: _Prepared, size: int) -> tuple[int, float]:
    """Time and energy of some inputs that attention does not prune."""
    heads = heads_of(prepared.heads, range(size), prepared.plan.network.items)
    unpruned = {name: replace(masks, dense=True) for name, masks in heads.items()}
    return _cost(prepared.batch(size).run(unpruned), prepared.costing)
