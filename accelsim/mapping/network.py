"""Plan of a whole network under a scheme: where each operation runs, and the kernels that it becomes there."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.config.hardware import Gpu, Library
from accelsim.config.options import LAYER_THRESHOLDS
from accelsim.config.scheme import RunConfig, SchemeName
from accelsim.errors import MappingError
from accelsim.mapping.fused_attention import FusedAttentionPlan, plan_attention
from accelsim.mapping.gemm import plan_gemm
from accelsim.mapping.masks import prunable, prunes_weights, weight_masks
from accelsim.mapping.plan import GemmPlan
from accelsim.mapping.sparse import plan_sparse, require_unit, runs_on_sparse_tensor_cores
from accelsim.model.attention import attention_as_gemms
from accelsim.model.graph import Attention, Elementwise, Gemm, Network, Operation
from accelsim.pruning.masks import Mask
from accelsim.pruning.packed import Packed, pack_mask

Kernel = GemmPlan | FusedAttentionPlan | Elementwise
Place = Literal["gpu", "attention_unit"]


@dataclass(frozen=True)
class PlannedOperation:
    """An operation of the network, where it runs, and its kernels in order (none on the attention unit)."""

    operation: Operation
    place: Place
    kernels: tuple[Kernel, ...]


@dataclass(frozen=True)
class NetworkPlan:
    """Every operation of a network, planned."""

    network: Network
    operations: tuple[PlannedOperation, ...]
    masks: dict[str, Mask]
    """Of each pruned weight, by the parameter's name."""

    @property
    def weight_sparsity(self) -> float:
        """Share of all weights of pruned layers that is pruned; 0 without pruning."""
        kept = sum(mask.kept for mask in self.masks.values())
        total = sum(mask.k * mask.n for mask in self.masks.values())
        return 1 - kept / total if total else 0.0


def uses_unit(scheme: SchemeName) -> bool:
    """Whether a scheme computes attention on the attention unit."""
    return scheme in ("hdp", "tile_wise+hdp", "dense_on_unit")


def check_scheme(network: Network, config: RunConfig) -> None:
    """Refuse a scheme that the machine or the workload cannot carry out."""
    scheme, hardware = config.scheme, config.hardware
    if uses_unit(scheme):
        if hardware.attention_unit is None:
            raise MappingError(
                f"scheme {scheme} computes attention on an attention unit, and {hardware.name} has none; "
                "take a system with one (a100_hdp, edge_hdp) or a scheme that leaves attention to the GPU"
            )
        if not any(isinstance(operation, Attention) for operation in network.operations):
            raise MappingError(f"scheme {scheme} is about attention, and workload {network.name} has none")
        if scheme != "dense_on_unit":
            _check_ratios(config)
            _check_thresholds(network, config)
            _check_guard(network, config)
    if prunes_weights(scheme) and not prunable(network):
        raise MappingError(f"scheme {scheme} prunes weights, and workload {network.name} has none")
    if config.pattern_options is not None:
        require_unit(config.pattern_options, hardware.gpu, network.dtype)


def _check_ratios(config: RunConfig) -> None:
    """With values HDP decides for itself what it prunes; without, it is told."""
    ratios = [f"hdp.{name}" for name in ("block_ratio", "head_ratio") if getattr(config.hdp, name) is not None]
    if ratios and config.values:
        raise MappingError(
            f"{' and '.join(ratios)} name what HDP prunes when values are off; with values it decides for itself "
            "(hdp.rho_b, hdp.tau_h): leave the ratios out, or run without values"
        )
    if not (ratios or config.values or config.masks):
        raise MappingError(
            "without values HDP prunes what you name: set hdp.block_ratio and hdp.head_ratio "
            "(for example --set hdp.block_ratio=0.7 --set hdp.head_ratio=0.1), give masks that a run recorded "
            "(--masks), or run with values"
        )


def _check_thresholds(network: Network, config: RunConfig) -> None:
    """A list of thresholds has one for each attention."""
    layers = sum(isinstance(operation, Attention) for operation in network.operations)
    for key in LAYER_THRESHOLDS:
        given = getattr(config.hdp, key)
        if isinstance(given, list) and len(given) != layers:
            raise MappingError(
                f"hdp.{key} lists {len(given)} thresholds, and workload {network.name} has {layers} attention layers; "
                "give one for each, or a single number for all"
            )


def _check_guard(network: Network, config: RunConfig) -> None:
    """A guard looks at values; one of inputs at those of a classifier."""
    guard = config.hdp.guard
    if guard != "none" and not config.values:
        raise MappingError(f"hdp.guard {guard} decides by values; run with values, or leave the guard out")
    if guard == "input" and (getattr(config.workload, "classes", None) or 0) < 2:
        raise MappingError(
            f"hdp.guard input compares the two largest outputs of a classifier, and workload {network.name} has none "
            "of at least two classes; take guard head"
        )


class _Planner:
    """Plans GEMMs of one run; equal dense shapes are planned once."""

    def __init__(self, config: RunConfig, library: Library, sparse_library: Library) -> None:
        self.config = config
        self.library = library
        self.sparse_library = sparse_library
        self.known: dict[Gemm, GemmPlan] = {}

    @property
    def gpu(self) -> Gpu:
        return self.config.hardware.gpu

    def plan(self, gemm: Gemm, weights: Packed | None) -> tuple[Kernel, ...]:
        """Kernels of one GEMM, under its own name."""
        config, caches = self.config, self.config.workload.caches
        if weights is not None:
            options = config.pattern_options
            assert options is not None
            library = self.sparse_library if runs_on_sparse_tensor_cores(options) else self.library
            return plan_sparse(gemm, self.gpu, library, config.mapping, caches, weights, options)
        shape = replace(gemm, name="", a="", b=None, bias=None, output="", weight=None if gemm.weight is None else "")
        if shape not in self.known:
            self.known[shape] = plan_gemm(gemm, self.gpu, self.library, config.mapping, caches)
        return (replace(self.known[shape], gemm=gemm),)

    def attention(self, attention: Attention) -> tuple[Kernel, ...]:
        """Kernels of attention on the GPU: one that is fused, or two products and a softmax."""
        mapping = self.config.mapping
        if mapping.attention == "fused":
            return (plan_attention(attention, self.gpu, self.library, mapping.attention_stack),)
        scores, softmax, context = attention_as_gemms(attention)
        return (*self.plan(scores, None), softmax, *self.plan(context, None))


@dataclass(frozen=True)
class PrunedWeights:
    """What a pattern makes of a network's weights, whatever machine they run on."""

    masks: dict[str, Mask]
    """Of each pruned weight, by the parameter's name."""
    packed: dict[str, Packed]
    """Likewise."""


def prune_weights(
    network: Network, config: RunConfig, parameters: Mapping[str, NDArray[np.float32]] | None
) -> PrunedWeights:
    """Masks of a network's weights under a scheme, and the weights that they leave; see `weight_masks`."""
    masks = weight_masks(network, config, parameters)
    values = parameters or {}
    return PrunedWeights(masks, {name: pack_mask(values.get(name), mask) for name, mask in masks.items()})


def plan_network(
    network: Network,
    config: RunConfig,
    library: Library,
    parameters: Mapping[str, NDArray[np.float32]] | None,
    sparse_library: Library | None = None,
    pruned: PrunedWeights | None = None,
) -> NetworkPlan:
    """Plan every operation of a network.

    Parameters
    ----------
    network : Network
        The workload as a graph.
    config : RunConfig
        Machine, scheme and mapping.
    library : Library
        Kernels to choose from.
    parameters : mapping or None
        Weights by name; None when values are off, and masks come from the seed.
    sparse_library : Library, optional
        Kernels for 2:4 weights on sparse tensor cores; those of `library` when left out.
    pruned : PrunedWeights, optional
        What `prune_weights` made of the same arguments, where that is known.

    Raises
    ------
    MappingError
        When the scheme does not suit machine or workload, or a tile does not fit.
    """
    check_scheme(network, config)
    pruned = pruned or prune_weights(network, config, parameters)
    planner = _Planner(config, library, sparse_library or library)
    planned = tuple(_planned(operation, planner, pruned.packed) for operation in network.operations)
    return NetworkPlan(network, planned, pruned.masks)


def _planned(operation: Operation, planner: _Planner, packed: Mapping[str, Packed]) -> PlannedOperation:
    if isinstance(operation, Gemm):
        weights = None if operation.weight is None else packed.get(operation.weight)
        return PlannedOperation(operation, "gpu", planner.plan(operation, weights))
    if isinstance(operation, Elementwise):
        moves_nothing = operation.bytes_read + operation.bytes_written == 0
        return PlannedOperation(operation, "gpu", () if moves_nothing else (operation,))
    if uses_unit(planner.config.scheme):
        return PlannedOperation(operation, "attention_unit", ())
    return PlannedOperation(operation, "gpu", planner.attention(operation))
