"""Values and counts that points of a sweep share.

What a network computes, and what every thread block of it does, follows from operands, weights that are left and the
plan; clocks, bandwidths, latencies, power limits and everything of an attention unit beside its options come in later.
So a point whose plan came out equal takes the execution of an earlier one. A plan is made for every point, since the
kernels that it chooses may depend on a bandwidth; its content is part of the key.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from accelsim.config.imagined import with_imagined_unit
from accelsim.config.scheme import RunConfig
from accelsim.costing import Costing
from accelsim.execution import Execution, execute, parameters_of
from accelsim.guard import guard, guard_summary
from accelsim.mapping.network import NetworkPlan, PrunedWeights, check_scheme, plan_network, prune_weights
from accelsim.model.build import build_network
from accelsim.model.graph import Network
from accelsim.model.operands import OperandSet, prepare_operands
from accelsim.per_input import latency_summary
from accelsim.results.schema import INTERVAL
from accelsim.results.tables import plain
from accelsim.tabulate import output_error, summarise
from accelsim.tabulate.intervals import run_intervals

COUNTED = ("tensor_operands", "shared_memory")
"""Keys of a GPU that counts of thread blocks depend on beyond the plan."""

_AFTER_VALUES = ("caches", "launch", "defaults", "description")
"""Keys of a workload that neither its network nor its operands depend on; options hold its defaults already."""

_EXECUTION_BYTES = 256 * 2**20
_OPERAND_BYTES = 1024 * 2**20
"""What a process keeps of each at most; one entry stays however large."""

_T = TypeVar("_T")


class Recent(Generic[_T]):
    """The values used last, as many as fit into a number of bytes, but at least one.

    Parameters
    ----------
    limit : int
        Bytes of arrays.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[Hashable, tuple[int, _T]] = OrderedDict()
        self._bytes = 0
        self.made = 0
        """Values that were not there when they were asked for."""

    def get(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """The value of a key, made if it is not held."""
        if key not in self._held:
            value = make()
            size = array_bytes(value)
            self.made += 1
            self._bytes += size
            self._held[key] = size, value
            while self._bytes > self._limit and len(self._held) > 1:
                _, (dropped, _) = self._held.popitem(last=False)
                self._bytes -= dropped
        self._held.move_to_end(key)
        return self._held[key][1]


@dataclass(frozen=True)
class _Inputs:
    network: Network
    operands: OperandSet | None


@dataclass(frozen=True)
class _Executed:
    execution: Execution
    error: float | None
    """Largest error of the output against float64."""


class Reuse:
    """Runs configs one after another, and keeps what the next may need again."""

    def __init__(self) -> None:
        self.inputs: Recent[_Inputs] = Recent(_OPERAND_BYTES)
        self.pruned: Recent[PrunedWeights] = Recent(_OPERAND_BYTES)
        self.executions: Recent[_Executed] = Recent(_EXECUTION_BYTES)

    def summary(self, config: RunConfig) -> dict[str, object]:
        """Summary of a run, equal to that of `accelsim.pipeline.run_config`, without its tables.

        Parameters
        ----------
        config : RunConfig
            Without a file of operands.

        Raises
        ------
        UserError
            As `accelsim.pipeline.run_config`.
        """
        key = _inputs_key(config)
        known = self.inputs.get(key, lambda: _inputs(config))
        network, operands = known.network, known.operands
        config = with_imagined_unit(config, network.dtype)
        check_scheme(network, config)
        costing, pruning = Costing.of(config), (key, _pruning_key(config))
        parameters = parameters_of(operands)
        pruned = self.pruned.get(pruning, lambda: prune_weights(network, config, parameters))
        plan = plan_network(network, config, costing.library, parameters, costing.sparse_library, pruned)
        done = self.executions.get((pruning, execution_key(plan, config)), lambda: _executed(plan, config, operands))
        guarded = guard(plan, done.execution, operands, costing)
        error = done.error
        if guarded.execution is not done.execution:
            error = output_error(guarded.plan, guarded.operands, guarded.execution)
        simulated = costing.simulate(guarded.plan, guarded.execution)
        energy = costing.energy(simulated)
        summary = summarise(config, guarded.plan, guarded.operands, guarded.execution, simulated, energy, error)
        summary |= run_intervals(config, simulated).summary()
        summary |= guard_summary(guarded, simulated, costing) | latency_summary(None)
        return plain(summary | {name: summary.get(name) for name in INTERVAL})  # type: ignore[return-value]


def _inputs(config: RunConfig) -> _Inputs:
    network = build_network(config.workload)
    return _Inputs(network, prepare_operands(network, config))


def _executed(plan: NetworkPlan, config: RunConfig, operands: OperandSet | None) -> _Executed:
    execution = execute(plan, config, operands)
    return _Executed(execution, output_error(plan, operands, execution))


def _inputs_key(config: RunConfig) -> str:
    workload = config.workload.model_dump(mode="json", exclude=set(_AFTER_VALUES))
    files = [_state(workload.get(name)) for name in ("weights", "data")]
    return json.dumps([workload, files, config.seed, config.values], sort_keys=True)


def _pruning_key(config: RunConfig) -> str:
    options = config.pattern_options
    pattern = None if options is None else options.model_dump(mode="json")
    return json.dumps([config.scheme, pattern, _state(config.masks)], sort_keys=True)


def _state(path: str | None) -> list[object] | None:
    """A file with the time of its last change and its size."""
    if path is None:
        return None
    state = Path(path).stat()
    return [path, state.st_mtime_ns, state.st_size]


def execution_key(plan: NetworkPlan, config: RunConfig) -> str:
    """What the execution of a plan depends on, besides operands and pruned weights: SHA-256 in hexadecimal.

    Parameters
    ----------
    plan : NetworkPlan
        Whole but for the weights in its kernels, which follow from how weights were pruned.
    config : RunConfig
        Of it HDP's options and those keys of the GPU that counts refer to.
    """
    digest = hashlib.sha256()
    gpu = config.hardware.gpu
    options = config.hdp.model_dump(mode="json") | {"key_means_state": _state(config.hdp.key_means)}
    counted = [gpu.model_dump(mode="json", include={name})[name] for name in COUNTED]
    digest.update(json.dumps([options, counted], sort_keys=True).encode())
    _feed(digest, plan.operations, {})
    return digest.hexdigest()


def _feed(digest: "hashlib._Hash", node: Any, known: dict[int, bytes]) -> None:
    """Add a value to a digest; tables of thread blocks that several kernels share are read once."""
    if isinstance(node, np.ndarray):
        digest.update(f"{node.dtype}{node.shape}".encode())
        digest.update(np.ascontiguousarray(node).tobytes())
    elif is_dataclass(node) and not isinstance(node, type):
        if id(node) not in known:
            own = hashlib.sha256(type(node).__name__.encode())
            for field in fields(node):
                if field.name != "weights":
                    own.update(f"/{field.name}:".encode())
                    _feed(own, getattr(node, field.name), known)
            known[id(node)] = own.digest()
        digest.update(known[id(node)])
    elif isinstance(node, (tuple, list)):
        digest.update(f"[{len(node)}".encode())
        for item in node:
            _feed(digest, item, known)
    else:
        digest.update(f"{type(node).__name__}={node!r};".encode())


def array_bytes(node: Any) -> int:
    """Bytes of the arrays in a value of dataclasses, mappings and lists; an array that stands twice counts once."""
    seen: set[int] = set()

    def size(node: Any) -> int:
        if id(node) in seen:
            return 0
        seen.add(id(node))
        if isinstance(node, np.ndarray):
            return int(node.nbytes)
        if is_dataclass(node) and not isinstance(node, type):
            return sum(size(getattr(node, field.name)) for field in fields(node))
        if isinstance(node, dict):
            return sum(size(item) for item in node.values())
        return sum(size(item) for item in node) if isinstance(node, (tuple, list)) else 0

    return size(node)
