"""One forward pass of a network whose attention is any method that may leave something out, and what it kept.

Methods never see padding: inputs of one real length come together, cut to it, and what a method returns is put back.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.config.hardware import System
from accelsim.config.loader import load_config, load_library
from accelsim.config.options import Hdp
from accelsim.config.scheme import RunConfig, SchemeName
from accelsim.config.workload import Workload
from accelsim.errors import MappingError
from accelsim.execution import forward, parameters_of
from accelsim.mapping.network import NetworkPlan, plan_network
from accelsim.model.build import build_network
from accelsim.model.graph import Attention, Network
from accelsim.model.operands import OperandSet, prepare_operands
from accelsim.model.subset import take_items, take_rows

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

MACHINE = "edge_array"
"""Whose kernels compute the products around attention; values are those of any machine but for rounding."""


@dataclass(frozen=True)
class AttentionCall:
    """One attention layer of inputs that are equally long."""

    attention: Attention
    layer: int
    """Index among the network's attentions."""
    layers: int
    inputs: IntArray
    """Indices of the inputs in the batch."""
    query: FloatArray
    """[inputs x heads, n, head_dim]: the heads of the first input, then those of the next."""
    key: FloatArray
    value: FloatArray

    @property
    def heads(self) -> int:
        """Heads of one input."""
        return self.attention.heads

    @property
    def length(self) -> int:
        """Tokens of each input."""
        return int(self.query.shape[1])


@dataclass(frozen=True)
class Attended:
    """What a method made of a call."""

    output: FloatArray
    """Of the shape of the query."""
    kept_pairs: IntArray
    """[inputs x heads] pairs of query and key that are kept."""
    head_kept: BoolArray
    """[inputs x heads]"""


class AttentionMethod(ABC):
    """A way to compute attention that may leave something out."""

    def begin(self) -> None:  # noqa: B027 (most methods have nothing to forget)
        """Called before each forward pass, for methods that carry something from layer to layer."""

    @abstractmethod
    def attend(self, call: AttentionCall) -> Attended:
        """Compute one layer of inputs of one length."""


@dataclass(frozen=True)
class StudyModel:
    """A network with its inputs, ready for any number of forward passes."""

    name: str
    config: RunConfig
    plan: NetworkPlan
    operands: OperandSet

    @property
    def hdp(self) -> Hdp:
        """HDP's options of the workload and its settings."""
        return self.config.hdp

    @property
    def attentions(self) -> tuple[Attention, ...]:
        """The network's attentions in order."""
        return tuple(op for op in self.plan.network.operations if isinstance(op, Attention))


@dataclass(frozen=True)
class ForwardPass:
    """What came out of a forward pass, and what its attentions kept."""

    output: NDArray[Any]
    kept_pairs: IntArray
    """[layers, items, heads] pairs of query and key that are kept."""
    head_kept: BoolArray
    """[layers, items, heads]"""
    real_pairs: IntArray
    """[layers, items] pairs of real tokens in each head."""
    padded_pairs: int
    """Pairs of each head, padding included."""

    @property
    def pairs_pruned(self) -> float:
        """Share of pairs of real tokens, over all layers and heads, that is left out."""
        heads = self.kept_pairs.shape[2]
        return 1 - float(self.kept_pairs.sum()) / float(heads * self.real_pairs.sum())

    @property
    def pairs_pruned_padded(self) -> float:
        """The same share of all pairs; those of padding count as pruned."""
        return 1 - float(self.kept_pairs.sum()) / float(self.kept_pairs.size * self.padded_pairs)

    @property
    def heads_pruned(self) -> float:
        """Share of heads that are left out."""
        return 1 - float(self.head_kept.mean())


def load_model(
    workload: str | Path | Workload,
    sets: Sequence[str] = (),
    *,
    hardware: str | Path | System = MACHINE,
    scheme: SchemeName = "dense",
    seed: int = 0,
) -> StudyModel:
    """Read a workload with its inputs and plan it with attention on the GPU.

    Parameters
    ----------
    workload
        Name, path or spec.
    sets : sequence of str
        Settings as of `accelsim.pipeline.run`; ``workload.split=calibration`` takes other inputs, ``hdp.*`` are the
        options of methods.
    hardware
        Whose kernels compute the products.
    scheme : str
        ``dense`` or a pattern of weights.
    seed : int
        Of operands that are drawn.

    Raises
    ------
    MappingError
        When the workload has no attention, or attentions of several shapes.
    UserError
        As of `accelsim.pipeline.run`.
    """
    config = load_config(hardware, workload, scheme=scheme, sets=sets, seed=seed)
    network = build_network(config.workload)
    shapes = {(each.batch, each.heads, each.sequence) for each in network.operations if isinstance(each, Attention)}
    if len(shapes) != 1:
        found = "attentions of several shapes" if shapes else "no attention"
        raise MappingError(f"workload {network.name} has {found}; dynamic pruning is studied in stacks of equal layers")
    operands = prepare_operands(network, config)
    assert operands is not None
    return StudyModel(network.name, config, _plan(network, config, operands), operands)


def some_inputs(model: StudyModel, chosen: Sequence[int]) -> StudyModel:
    """The model on some of its inputs alone, which have no labels then.

    Raises
    ------
    MappingError
        When there is no such input.
    """
    network = model.plan.network
    for item in chosen:
        if not 0 <= item < network.items:
            raise MappingError(f"workload {model.name} has no input {item}; allowed: 0 to {network.items - 1}")
    fewer, operands = take_items(network, chosen), take_rows(model.operands, network, chosen)
    return StudyModel(model.name, model.config, _plan(fewer, model.config, operands), operands)


def _plan(network: Network, config: RunConfig, operands: OperandSet) -> NetworkPlan:
    gpu = config.hardware.gpu
    sparse = None if gpu.sparse_library is None else load_library(gpu.sparse_library)
    return plan_network(network, config, load_library(gpu.library), parameters_of(operands), sparse)


def run_model(model: StudyModel, method: AttentionMethod | None = None) -> ForwardPass:
    """One forward pass of all inputs.

    Parameters
    ----------
    model : StudyModel
    method : AttentionMethod, optional
        Left out, the GPU's kernels compute attention and nothing is pruned.
    """
    attentions = model.attentions
    first = attentions[0]
    shape = (len(attentions), first.batch, first.heads)
    kept, alive = np.zeros(shape, np.int64), np.zeros(shape, np.bool_)
    real = np.stack([_lengths(attention) ** 2 for attention in attentions])
    if method is None:
        results = forward(model.plan, model.operands)
        kept[:], alive[:] = real[:, :, None], True
    else:
        method.begin()
        layers = {attention.name: index for index, attention in enumerate(attentions)}

        def attend(attention: Attention, query: FloatArray, key: FloatArray, value: FloatArray) -> FloatArray:
            layer = layers[attention.name]
            output = np.zeros(query.shape, np.float32)
            for call, rows in _calls(attention, layer, len(layers), query, key, value):
                attended = method.attend(call)
                output[rows, : call.length] = attended.output
                kept[layer, call.inputs] = attended.kept_pairs.reshape(-1, call.heads)
                alive[layer, call.inputs] = attended.head_kept.reshape(-1, call.heads)
            return output

        results = forward(model.plan, model.operands, attend)
    return ForwardPass(results[model.plan.network.output], kept, alive, real, first.sequence**2)


def _lengths(attention: Attention) -> IntArray:
    """[batch] real tokens of each input."""
    if attention.lengths is None:
        return np.full(attention.batch, attention.sequence, np.int64)
    return np.asarray(attention.lengths, np.int64)


def _calls(
    attention: Attention, layer: int, layers: int, query: FloatArray, key: FloatArray, value: FloatArray
) -> list[tuple[AttentionCall, IntArray]]:
    """A call for each real length, with the rows of [batch * heads] that it is about."""
    lengths = _lengths(attention)
    calls = []
    for length in np.unique(lengths).tolist():
        inputs = np.flatnonzero(lengths == length).astype(np.int64)
        rows = (inputs[:, None] * attention.heads + np.arange(attention.heads)).reshape(-1)
        operands = (np.ascontiguousarray(array[rows, :length]) for array in (query, key, value))
        calls.append((AttentionCall(attention, layer, layers, inputs, *operands), rows))
    return calls
