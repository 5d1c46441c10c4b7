"""Attention as a GPU runs it unfused, and the layouts of heads that this needs."""

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from accelsim.model.graph import Attention, Elementwise, Gemm
from accelsim.model.parts import elementwise_operation

Scalar = TypeVar("Scalar", bound=np.generic)

SOFTMAX_FLOPS = 9
"""Scaling, maximum, difference, exponential (4), sum and division."""


def attention_as_gemms(attention: Attention) -> tuple[Gemm, Elementwise, Gemm]:
    """The two products and the softmax between them that attention is without fusion.

    The products are batched over batch items and heads. They read the heads of Q, K and V where they lie, in the
    columns of [batch * sequence, heads * head_dim], as strided batched products do, so nothing is moved for them.
    `split_heads` gives their operands in the order of a batched product (B of the scores is the transposed keys).
    Scores and probabilities pass through memory as [batch * heads * sequence, sequence].

    Returns
    -------
    scores : Gemm
        m = n = sequence, k = head_dim; Q K^T, not scaled.
    softmax : Elementwise
        Over rows, of the scores times 1/sqrt(head_dim). With padding it reads a mask [batch, sequence] too;
        who computes values hides the padding (`hide_padding`).
    context : Gemm
        m = sequence, n = head_dim, k = sequence; writes the attention's output.
    """
    batch, sequence, head_dim = attention.batch * attention.heads, attention.sequence, attention.head_dim
    scores, probabilities = f"{attention.name}.scores", f"{attention.name}.probabilities"
    elements = batch * sequence * sequence
    mask = 0 if attention.lengths is None else attention.batch * sequence
    return (
        Gemm(
            scores,
            m=sequence,
            n=sequence,
            k=head_dim,
            batch=batch,
            dtype=attention.dtype,
            a=attention.query,
            weight=None,
            b=attention.key,
            output=scores,
        ),
        elementwise_operation(
            f"{attention.name}.softmax",
            "softmax",
            (scores,),
            probabilities,
            elements,
            elements + mask,
            SOFTMAX_FLOPS,
            attention.dtype,
            {"scale": 1 / math.sqrt(head_dim)},
        ),
        Gemm(
            f"{attention.name}.context",
            m=sequence,
            n=head_dim,
            k=sequence,
            batch=batch,
            dtype=attention.dtype,
            a=probabilities,
            weight=None,
            b=attention.value,
            output=attention.output,
        ),
    )


def hide_padding(scores: NDArray[np.float32], attention: Attention) -> NDArray[np.float32]:
    """Scores [batch * heads, sequence, sequence] with minus infinity at keys that are padding, in place."""
    if attention.lengths is not None:
        for item, length in enumerate(attention.lengths):
            scores[item * attention.heads : (item + 1) * attention.heads, :, length:] = -np.inf
    return scores


def lengths_of_heads(attention: Attention) -> NDArray[np.int64] | None:
    """[batch * heads] real tokens of the sequence of each head; None when nothing is padded."""
    return None if attention.lengths is None else np.repeat(np.asarray(attention.lengths, np.int64), attention.heads)


def split_heads(tensor: NDArray[Scalar], attention: Attention) -> NDArray[Scalar]:
    """[batch * sequence, heads * head_dim] as [batch * heads, sequence, head_dim], contiguous."""
    shape = (attention.batch, attention.sequence, attention.heads, attention.head_dim)
    parts = np.ascontiguousarray(tensor.reshape(shape).transpose(0, 2, 1, 3))
    return parts.reshape(-1, attention.sequence, attention.head_dim)


def join_heads(tensor: NDArray[Scalar], attention: Attention) -> NDArray[Scalar]:
    """Inverse of `split_heads`."""
    shape = (attention.batch, attention.heads, attention.sequence, attention.head_dim)
    parts = np.ascontiguousarray(tensor.reshape(shape).transpose(0, 2, 1, 3))
    return parts.reshape(attention.batch * attention.sequence, -1)
