"""Inputs of a workload to make batches of: all of its data, or so many drawn ones, as one network that can be cut."""

from dataclasses import dataclass, replace

from accelsim.config.loader import load_config
from accelsim.config.scheme import RunConfig
from accelsim.config.workload import (
    AttentionWorkload,
    EncoderWorkload,
    GemmWorkload,
    GraphWorkload,
    TextWorkload,
    VisionWorkload,
    Workload,
)
from accelsim.errors import ConfigError, MappingError
from accelsim.explore.serve.request import ServeRequest
from accelsim.model.build import build_network
from accelsim.model.graph import ELEMENT_BYTES, Attention, Elementwise, Gemm, Network, Operation, reads


@dataclass(frozen=True)
class Population:
    """A config whose network takes many inputs at once."""

    config: RunConfig
    network: Network


def has_data(workload: Workload) -> bool:
    """Whether a workload's inputs come from a file."""
    return getattr(workload, "data", None) is not None


def population(request: ServeRequest, scheme: str, bucket: int | None, inputs: int, taken: int | None) -> Population:
    """Inputs of one length under one scheme.

    Parameters
    ----------
    request : ServeRequest
    scheme : str
    bucket : int or None
        Tokens of every input; None for the workload's own.
    inputs : int
        How many are drawn where the workload has no data.
    taken : int or None
        How many of its data are taken; None for all.

    Raises
    ------
    ConfigError
        When the workload has fewer inputs, or no lengths.
    """
    workload = request.workload
    sets = [*request.sets, *_sizes(workload, inputs, taken)]
    if bucket is not None:
        _check_buckets(workload)
        sets.append(f"workload.sequence={bucket}")
    config = load_config(
        request.hardware,
        workload,
        scheme=scheme,
        sets=sets,
        engine=request.engine,
        values=request.values,
        seed=request.seed,
        force=request.force,
        sparsity=None if scheme == "n_m" else request.sparsity,
    )
    network = build_network(config.workload)
    if isinstance(workload, GemmWorkload):
        network = replace(network, items=inputs)
    return Population(config, network)


def _sizes(workload: Workload, inputs: int, taken: int | None) -> list[str]:
    """Settings that make a workload take so many inputs at once, where it can."""
    if isinstance(workload, GemmWorkload):
        return [f"workload.m={workload.m * inputs}"]
    if isinstance(workload, VisionWorkload | TextWorkload | GraphWorkload) and has_data(workload):
        key = "images" if isinstance(workload, VisionWorkload) else "items"
        return [] if taken is None else [f"workload.{key}={taken}"]
    if isinstance(workload, AttentionWorkload | EncoderWorkload):
        return [f"workload.batch={inputs}"]
    if isinstance(workload, GraphWorkload):
        return [f"workload.items={inputs}"]
    return []


def _check_buckets(workload: Workload) -> None:
    name = workload.name or workload.kind
    if isinstance(workload, VisionWorkload) or not isinstance(workload, AttentionWorkload | EncoderWorkload):
        raise ConfigError(f"buckets: inputs of workload {name} have one length; buckets are for attention and encoders")
    if has_data(workload):
        raise ConfigError(
            f"buckets: the texts of workload {name} come from a file in one length; "
            "--set workload.data=null draws texts of any length"
        )


def check_batch(network: Network, batch: int, workload: str) -> None:
    """Refuse batches of more inputs than a network has.

    Raises
    ------
    ConfigError
    """
    if batch > network.items:
        raise ConfigError(
            f"batch {batch}: workload {workload} has {network.items} input{'s' if network.items > 1 else ''}; "
            f"allowed: 1 to {network.items}"
        )


def check_fits(network: Network, capacity: int, batch: int, fused: bool) -> None:
    """Refuse batches that do not fit into main memory.

    Raises
    ------
    MappingError
    """
    needed = footprint_bytes(network, fused)
    if needed > capacity:
        raise MappingError(
            f"batch {batch}: weights and activations take {needed / 2**30:.3g} GiB, and main memory holds "
            f"{capacity / 2**30:.3g} GiB; take a smaller batch"
        )


def footprint_bytes(network: Network, fused: bool) -> int:
    """Bytes of dense weights and of the activations that are alive at once, at most.

    Parameters
    ----------
    network : Network
        Of one batch.
    fused : bool
        Whether attention keeps no scores in memory.
    """
    width = ELEMENT_BYTES[network.dtype]
    weights = sum(_product(shape) for shape in network.parameters.values())
    last = {tensor: index for index, one in enumerate(network.operations) for tensor in reads(one)}
    alive = {name: _product(shape) for name, shape in network.inputs.items()}
    most = sum(alive.values())
    for index, operation in enumerate(network.operations):
        alive[operation.output] = _elements(operation)
        scores = 0
        if isinstance(operation, Attention) and not fused:
            scores = operation.batch * operation.heads * operation.sequence**2
        most = max(most, sum(alive.values()) + scores)
        for tensor in [name for name in alive if last.get(name, len(last)) <= index]:
            del alive[tensor]
    return width * (weights + most)


def _elements(operation: Operation) -> int:
    if isinstance(operation, Gemm):
        return operation.batch * operation.m * operation.n
    if isinstance(operation, Elementwise):
        return operation.elements
    return operation.batch * operation.sequence * operation.heads * operation.head_dim


def _product(shape: tuple[int, ...]) -> int:
    size = 1
    for extent in shape:
        size *= extent
    return size
