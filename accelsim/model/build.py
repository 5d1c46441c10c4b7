"""From the spec of a workload to its network: the one entrance to this package's builders."""

from accelsim.config.workload import (
    AttentionWorkload,
    EncoderWorkload,
    GemmWorkload,
    GraphWorkload,
    NetworkWorkload,
    TextWorkload,
    VisionWorkload,
    Workload,
)
from accelsim.model.encoder import build_encoder, build_vision
from accelsim.model.graph import Network
from accelsim.model.graph_model import build_graph
from accelsim.model.layers import build_layers
from accelsim.model.parts import NetworkBuilder
from accelsim.model.text import build_text


def build_network(workload: Workload) -> Network:
    """Network of a workload, operations in order of execution.

    Parameters
    ----------
    workload : Workload
        A spec of any kind.

    Returns
    -------
    Network
        Tensors are two-dimensional, [rows, columns]; those of attention are [batch * sequence, heads * head_dim].

    Raises
    ------
    ConfigError
        When sizes contradict each other.
    OperandError
        When a workload's images or texts cannot be read.
    """
    match workload:
        case GemmWorkload():
            return _gemm(workload)
        case AttentionWorkload():
            return _attention(workload)
        case VisionWorkload():
            return build_vision(workload)
        case TextWorkload():
            return build_text(workload)
        case EncoderWorkload():
            return build_encoder(workload)
        case NetworkWorkload():
            return build_layers(workload)
        case GraphWorkload():
            return build_graph(workload)


def _gemm(workload: GemmWorkload) -> Network:
    builder = NetworkBuilder(workload.dtype)
    a = builder.input("input", workload.m, workload.k)
    output = builder.gemm("gemm", a, workload.n, weight="weight", output="output")
    return builder.finish(workload.name or "gemm", output)


def _attention(workload: AttentionWorkload) -> Network:
    builder = NetworkBuilder(workload.dtype)
    shape = (workload.batch * workload.sequence, workload.heads * workload.head_dim)
    query, key, value = (builder.input(role, *shape) for role in ("query", "key", "value"))
    output = builder.attention(
        "attention", query, key, value, batch=workload.batch, heads=workload.heads, output="output"
    )
    return builder.finish(workload.name or "attention", output, items=workload.batch)
