"""Execute: the real products of a planned network, and exact counts of what every thread block does.

Values never depend on time, so this comes before anything is simulated, and without values (`operands` None) only the
counts remain.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.config.options import Hdp
from accelsim.config.scheme import RunConfig
from accelsim.errors import OperandError
from accelsim.kernels.formats import round_to_format
from accelsim.kernels.fused_attention import fused_attention
from accelsim.kernels.gemm import block_product
from accelsim.kernels.hdp import HdpValues, fixed_point_attention, hdp_attention
from accelsim.kernels.hdp_counts import HdpCounts, block_count, counts_of_mask, dense_counts, seeded_masks
from accelsim.kernels.hdp_padding import (
    counts_of_padded_mask,
    fixed_point_attention_padded,
    hdp_attention_padded,
    seeded_masks_padded,
)
from accelsim.mapping.counts import BlockCounts, count_blocks
from accelsim.mapping.fused_attention import FusedAttentionPlan
from accelsim.mapping.network import Kernel, NetworkPlan, PlannedOperation
from accelsim.mapping.plan import GemmPlan
from accelsim.model.attention import hide_padding, join_heads, lengths_of_heads, split_heads
from accelsim.model.elementwise import ACTIVATIONS, apply_elementwise
from accelsim.model.graph import Attention, Elementwise, Gemm, Network, reads
from accelsim.model.key_means import key_means_of
from accelsim.model.operands import OperandSet
from accelsim.pruning.packed.products import packed_product
from accelsim.pruning.recorded import read_masks, recorded_mask

FloatArray = NDArray[np.float32]
AttentionFunction = Callable[[Attention, FloatArray, FloatArray, FloatArray], FloatArray]
"""From an attention and its Q, K and V, [batch * heads, n, head_dim], to its output of that shape."""


@dataclass(frozen=True)
class HeadMasks:
    """What the heads of an attention keep, and what that takes."""

    block_kept: NDArray[np.bool_]
    """[heads, block rows, block columns]"""
    head_kept: NDArray[np.bool_]
    counts: HdpCounts
    real_length: NDArray[np.int64] | None = None
    """[heads] real tokens of each head's sequence; None when nothing is padded."""
    guarded: NDArray[np.bool_] | None = None
    """[heads] which HDP's guard has made keep everything; None without a guard."""
    unguarded: HdpCounts | None = None
    """What the heads would do by the same decisions without the guard."""
    dense: bool = False
    """Whether scores are whole products, with no decision before them."""
    head_importance: NDArray[np.float64] | None = None
    """[heads] what `tau_h` is compared with, as a mean over blocks; None where nothing was decided by values."""


@dataclass(frozen=True)
class UnitValues:
    """Attention computed on the attention unit."""

    output: FloatArray
    work: HeadMasks
    saturated: int


@dataclass(frozen=True)
class Execution:
    """What came out, and what it took."""

    output: NDArray[Any] | None
    """The network's result; None without values."""
    counts: dict[str, tuple[BlockCounts | None, ...]]
    """By operation, for each of its kernels; None for an element-wise kernel and for fused attention."""
    heads: dict[str, HeadMasks]
    """By attention operation on the attention unit: what each head keeps, computes and fetches."""
    saturated: int
    """Operands of attention that the unit's fixed point could not hold."""
    results: dict[str, NDArray[Any]]
    """Every tensor that nothing reads again (`Network.results`), the output among them; empty without values."""


class _Tensors:
    """Named tensors of a forward pass, rounded to the format that memory holds them in."""

    def __init__(self, operands: OperandSet, dtype: str) -> None:
        self.held: dict[str, NDArray[Any]] = dict(operands.inputs)
        self.parameters = operands.parameters
        self.dtype = dtype

    def drop(self, names: Collection[str]) -> None:
        """Forget tensors that nothing reads any more: those of all layers together would fill gigabytes."""
        for name in names:
            self.held.pop(name, None)

    def __getitem__(self, name: str) -> FloatArray:
        return self.held[name]

    def write(self, name: str, values: NDArray[Any]) -> None:
        """Store a tensor as memory would: integers as they are, others on the format's grid."""
        if values.dtype.kind == "f":
            values = round_to_format(values, self.dtype)
            if not np.isfinite(values).all():
                raise OperandError(
                    f"tensor {name} overflows {self.dtype}: its values leave the format's range; "
                    "take smaller operands, or dtype bf16 or fp32"
                )
        self.held[name] = values


def multiply(plan: GemmPlan, a: NDArray[Any], b: NDArray[Any] | None) -> NDArray[Any]:
    """Product of one planned GEMM, thread block by thread block.

    Parameters
    ----------
    plan : GemmPlan
        A plan with packed weights brings them; then `b` is not read.
    a : array [batch, m, k]
    b : array [1 or batch, k, n] or None

    Returns
    -------
    array [batch, m, n]
        float32, for int8 operands int32.
    """
    if plan.weights is not None:
        return packed_product(a, plan.weights, plan.blocks)
    assert b is not None
    return block_product(a, b, plan.blocks)


def _gemm(planned: PlannedOperation, gemm: Gemm, tensors: _Tensors) -> None:
    plan, *overlays = (kernel for kernel in planned.kernels if isinstance(kernel, GemmPlan))
    a = tensors[gemm.a].reshape(gemm.batch, gemm.m, gemm.k)
    b = tensors.parameters[gemm.weight][None] if gemm.weight is not None else tensors[str(gemm.b)]
    product = multiply(plan, a, b.reshape(-1, gemm.k, gemm.n))
    for overlay in overlays:  # adds to what the kernel before it has written
        written = round_to_format(product, tensors.dtype) if product.dtype.kind == "f" else product
        product = written + multiply(overlay, a, None)
    product = product.reshape(-1, gemm.n)
    if gemm.bias is not None:
        product = product + tensors.parameters[gemm.bias]
    if gemm.activation is not None:
        product = ACTIVATIONS[gemm.activation](product)
    tensors.write(gemm.output, product)


def _attention_on_gpu(planned: PlannedOperation, attention: Attention, tensors: _Tensors) -> None:
    query, key, value = (split_heads(tensors[name], attention) for name in _inputs(attention))
    if isinstance(fused := planned.kernels[0], FusedAttentionPlan):
        tile_q, tile_k = fused.kernel.tile_q, fused.kernel.tile_k
        context = fused_attention(
            query,
            key,
            value,
            tile_q=tile_q,
            tile_k=tile_k,
            dtype=attention.dtype,
            lengths=lengths_of_heads(attention),
        )
        tensors.write(attention.output, join_heads(context, attention))
        return
    scores_plan, softmax, context_plan = planned.kernels
    assert isinstance(scores_plan, GemmPlan)
    assert isinstance(softmax, Elementwise)
    assert isinstance(context_plan, GemmPlan)
    scores = multiply(scores_plan, query, np.ascontiguousarray(key.transpose(0, 2, 1)))
    scores = round_to_format(scores, tensors.dtype)
    rows = hide_padding(scores, attention).reshape(-1, attention.sequence)
    probabilities = apply_elementwise(softmax, [rows], tensors.parameters, tensors.dtype).reshape(scores.shape)
    context = multiply(context_plan, probabilities, value)
    tensors.write(attention.output, join_heads(context.astype(np.float32, copy=False), attention))


def _inputs(attention: Attention) -> tuple[str, str, str]:
    return attention.query, attention.key, attention.value


def attention_on_unit(
    query: FloatArray,
    key: FloatArray,
    value: FloatArray,
    config: RunConfig,
    layer: int = 0,
    attention: Attention | None = None,
) -> UnitValues:
    """Attention of [heads, n, head_dim] operands on the unit: pruned as the config says, dense_on_unit not at all.

    `layer` is the attention's index among the network's; what it is called, and how many of the heads belong to one
    input, is told by `attention` (left out, all do).
    """
    options = config.hdp
    heads, n, head_dim = query.shape
    lengths = None if attention is None else lengths_of_heads(attention)
    padded: dict[str, Any] = {} if lengths is None else {"real_length": lengths}
    if config.scheme == "dense_on_unit":
        attend = fixed_point_attention if lengths is None else fixed_point_attention_padded
        output, saturated = attend(
            query,
            key,
            value,
            **padded,
            integer_bits=options.integer_bits,
            fraction_bits=options.fraction_bits,
            scale=options.scale,
            exponential=options.exponential,
        )
        return UnitValues(output, _dense_heads(heads, n, head_dim), saturated)
    each = attention.heads if attention else heads
    # Mean keys of the first input are those of its real tokens.
    known = key if lengths is None else key[:, : lengths[0]]
    prune = hdp_attention if lengths is None else hdp_attention_padded
    values = prune(
        query,
        key,
        value,
        **padded,
        **options.switches(layer),
        key_means=key_means_of(options, known, each, layer, attention.name if attention else None),
    )
    shape = n, head_dim
    return UnitValues(values.output, _pruned_heads(values, options, shape, lengths), values.saturated)


def _pruned_heads(
    values: HdpValues, options: Hdp, shape: tuple[int, int], lengths: NDArray[np.int64] | None
) -> HeadMasks:
    """What heads keep by their values, and would without a guard."""
    unguarded = None
    if (kept := values.decided) is not None:
        unguarded = _counts_of(kept, np.asarray(kept.any(axis=(1, 2))), options, shape, lengths)
    return HeadMasks(
        values.block_kept,
        values.head_kept,
        values.counts,
        lengths,
        values.guarded,
        unguarded,
        head_importance=values.head_importance,
    )


def _counts_of(
    kept: NDArray[np.bool_],
    alive: NDArray[np.bool_],
    options: Hdp,
    shape: tuple[int, int],
    lengths: NDArray[np.int64] | None,
) -> HdpCounts:
    switches: dict[str, Any] = {"approximation": options.approximation, "pruned_score": options.pruned_score}
    if lengths is None:
        return counts_of_mask(kept, alive, *shape, **switches)
    return counts_of_padded_mask(kept, alive, *shape, lengths, **switches)


def _dense_heads(heads: int, n: int, head_dim: int) -> HeadMasks:
    """Everything kept."""
    nb = block_count(n)
    kept, alive = np.ones((heads, nb, nb), np.bool_), np.ones(heads, np.bool_)
    return HeadMasks(kept, alive, dense_counts(heads, n, head_dim), dense=True)


def _unvalued_heads(attention: Attention, config: RunConfig, index: int) -> HeadMasks:
    """Counts of attention without values: everything kept, recorded masks, or seeded ones of named ratios.

    Seeded masks of the network's attentions differ, since each has an `index` of its own.
    """
    options, lengths = config.hdp, lengths_of_heads(attention)
    heads = attention.batch * attention.heads
    if config.scheme == "dense_on_unit":
        return _dense_heads(heads, attention.sequence, attention.head_dim)
    if config.masks is not None:
        nb = block_count(attention.sequence)
        kept = recorded_mask(read_masks(config.masks), f"{attention.name}.blocks", (heads, nb, nb), config.masks)
        alive = np.asarray(kept.any(axis=(1, 2)))
    else:
        ratios = options.block_ratio or 0.0, options.head_ratio or 0.0
        if lengths is None:
            kept, alive = seeded_masks(heads, attention.sequence, *ratios, (config.seed, index))
        else:
            kept, alive = seeded_masks_padded(lengths, attention.sequence, *ratios, (config.seed, index))
    counts = _counts_of(kept, alive, options, (attention.sequence, attention.head_dim), lengths)
    return HeadMasks(kept, alive, counts, lengths)


def execute(plan: NetworkPlan, config: RunConfig, operands: OperandSet | None) -> Execution:
    """Compute a planned network on real numbers and count what every thread block does.

    Parameters
    ----------
    plan : NetworkPlan
    config : RunConfig
        For the machine that counts refer to, and HDP's options.
    operands : OperandSet or None
        Inputs and parameters; None counts alone.

    Raises
    ------
    OperandError
        When a tensor overflows its format.
    """
    counts: dict[str, tuple[BlockCounts | None, ...]] = {}
    counted: dict[int, BlockCounts] = {}
    heads: dict[str, HeadMasks] = {}
    saturated = 0
    tensors = None if operands is None else _Tensors(operands, plan.network.dtype)
    last_reads = _last_reads(plan.network)
    for planned in plan.operations:
        operation = planned.operation
        counts[operation.name] = tuple(_count(kernel, config, counted) for kernel in planned.kernels)
        if isinstance(operation, Attention) and planned.place == "attention_unit":
            if tensors is None:
                heads[operation.name] = _unvalued_heads(operation, config, len(heads))
                continue
            query, key, value = (split_heads(tensors[name], operation) for name in _inputs(operation))
            values = attention_on_unit(query, key, value, config, len(heads), operation)
            heads[operation.name] = values.work
            saturated += values.saturated
            tensors.write(operation.output, join_heads(values.output, operation))
        elif tensors is not None:
            _compute(planned, tensors)
        if tensors is not None:
            tensors.drop(last_reads.get(operation.name, ()))
    results = {} if tensors is None else {name: tensors.held[name] for name in plan.network.results}
    return Execution(results.get(plan.network.output), counts, heads, saturated, results)


def forward(
    plan: NetworkPlan, operands: OperandSet, attend: AttentionFunction | None = None
) -> dict[str, NDArray[Any]]:
    """Values of a planned network alone, its attention computed by any function: for studies of what may be left out.

    Parameters
    ----------
    plan : NetworkPlan
        With attention on the GPU.
    operands : OperandSet
    attend : callable, optional
        Called for each attention in order; left out, the GPU's kernels compute it.

    Returns
    -------
    dict
        Every tensor that nothing reads again (`Network.results`).
    """
    tensors = _Tensors(operands, plan.network.dtype)
    for planned in plan.operations:
        operation = planned.operation
        if isinstance(operation, Attention) and attend is not None:
            output = attend(operation, *(split_heads(tensors[name], operation) for name in _inputs(operation)))
            tensors.write(operation.output, join_heads(output, operation))
        else:
            _compute(planned, tensors)
    return {name: tensors.held[name] for name in plan.network.results}


def _last_reads(network: Network) -> dict[str, list[str]]:
    """By operation, the tensors that it is the last to read; results are not among them."""
    reader = {tensor: operation.name for operation in network.operations for tensor in reads(operation)}
    results, found = set(network.results), dict[str, list[str]]()
    for tensor, name in reader.items():
        if tensor not in results:
            found.setdefault(name, []).append(tensor)
    return found


def _compute(planned: PlannedOperation, tensors: _Tensors) -> None:
    operation = planned.operation
    if isinstance(operation, Gemm):
        _gemm(planned, operation, tensors)
    elif isinstance(operation, Attention):
        _attention_on_gpu(planned, operation, tensors)
    else:
        inputs = [tensors[name] for name in operation.inputs]
        tensors.write(operation.output, apply_elementwise(operation, inputs, tensors.parameters, tensors.dtype))


def _count(kernel: Kernel, config: RunConfig, counted: dict[int, BlockCounts]) -> BlockCounts | None:
    """Counts of a kernel; plans of equal shape share their thread blocks, which are counted once."""
    if not isinstance(kernel, GemmPlan):
        return None
    key = id(kernel.blocks)
    if key not in counted:
        counted[key] = count_blocks(kernel, config.hardware.gpu)
    return counted[key]


def parameters_of(operands: OperandSet | None) -> Mapping[str, FloatArray] | None:
    """Weights of a set of operands, if there is one."""
    return None if operands is None else operands.parameters
