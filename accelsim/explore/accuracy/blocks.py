"""Attention that keeps some 2 x 2 blocks of the scores: HDP, controls that draw blocks, and oracles.

Everything is computed in HDP's fixed point. What softmax sees of a pruned block is HDP's switch; controls and oracles
have their own, since it changes what a choice is worth.
"""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.config.options import Hdp
from accelsim.explore.accuracy.forward import Attended, AttentionCall, AttentionMethod, BoolArray, FloatArray
from accelsim.kernels.hdp import SplitOperands, attend, hdp_attention, split_operands
from accelsim.kernels.hdp_counts import block_count, counts_of_mask
from accelsim.kernels.hdp_decision import kept_of_row
from accelsim.model.key_means import key_means_of

_SCORES_AT_A_TIME = 2**24
"""Elements of score matrices that are held at once."""

_SPLIT = ("integer_bits", "fraction_bits", "rounding", "scale", "center_keys")
_ATTEND = ("pruned_score", "approximation", "exponential")


def switches_of(options: Hdp, layer: int, names: tuple[str, ...]) -> dict[str, Any]:
    """Some of HDP's switches as arguments of its kernels."""
    switches = options.switches(layer)
    return {name: switches[name] for name in names}


def means_of(options: Hdp, call: AttentionCall) -> NDArray[np.float64] | None:
    """Mean keys that are taken from the keys of a call."""
    return key_means_of(options, call.key, call.heads, call.layer, call.attention.name)


def split_call(options: Hdp, call: AttentionCall) -> SplitOperands:
    """Operands of a call in fixed point."""
    return split_operands(
        call.query,
        call.key,
        call.value,
        **switches_of(options, call.layer, _SPLIT),
        key_means=means_of(options, call),
    )


def attend_masked(
    options: Hdp, call: AttentionCall, parts: SplitOperands, block_kept: BoolArray, head_kept: BoolArray
) -> Attended:
    """Attention under masks of blocks and heads."""
    output = attend(parts, block_kept, head_kept, **switches_of(options, call.layer, _ATTEND))
    counts = counts_of_mask(block_kept, head_kept, call.length, call.attention.head_dim)
    return Attended(output, counts.kept_elements, head_kept)


class HdpMethod(AttentionMethod):
    """HDP as its options say, thresholds and guard of heads included."""

    def __init__(self, options: Hdp) -> None:
        self.options = options

    def attend(self, call: AttentionCall) -> Attended:
        """Decide and attend."""
        found = hdp_attention(
            call.query,
            call.key,
            call.value,
            **self.options.switches(call.layer),
            key_means=means_of(self.options, call),
        )
        return Attended(found.output, found.counts.kept_elements, found.head_kept)


class ChosenBlocks(AttentionMethod):
    """Every block row keeps as many blocks as HDP's top-k would, chosen by a rule of another kind.

    Parameters
    ----------
    options : Hdp
        Number format, and what softmax sees of a pruned block; what HDP decides by is not read.
    ratio : float
        Share of each block row that is pruned, 0 <= ratio < 1; the number kept is rounded up.
    """

    def __init__(self, options: Hdp, ratio: float) -> None:
        self.options = options
        self.ratio = ratio

    def attend(self, call: AttentionCall) -> Attended:
        """Choose and attend."""
        nb = block_count(call.length)
        keep = kept_of_row(nb, self.ratio)
        parts = split_call(self.options, call)
        kept = np.zeros((len(call.query), nb, nb), np.bool_)
        for heads, merit in self.merits(call):
            order = np.argsort(-merit, axis=2, kind="stable")[:, :, :keep]
            np.put_along_axis(kept[heads], order, True, axis=2)
        return attend_masked(self.options, call, parts, kept, np.ones(len(kept), np.bool_))

    @abstractmethod
    def merits(self, call: AttentionCall) -> Iterator[tuple[slice, NDArray[np.floating]]]:
        """Merit of each block [some heads, nb, nb], of which the largest stay; some heads after others."""


class RandomBlocks(ChosenBlocks):
    """The control: blocks drawn from a seed, anew for each layer and length."""

    def __init__(self, options: Hdp, ratio: float, seed: int) -> None:
        super().__init__(options, ratio)
        self.seed = seed

    def merits(self, call: AttentionCall) -> Iterator[tuple[slice, NDArray[np.floating]]]:
        """Uniform numbers."""
        draw = np.random.default_rng((self.seed, call.layer, call.length))
        nb = block_count(call.length)
        for heads in _some_heads(len(call.query), nb * nb):
            yield heads, draw.random((heads.stop - heads.start, nb, nb), dtype=np.float32)


class OracleBlocks(ChosenBlocks):
    """The oracle: blocks of the largest sums of exact scores, which a unit would have to compute first."""

    def merits(self, call: AttentionCall) -> Iterator[tuple[slice, NDArray[np.floating]]]:
        """Sums of scores."""
        for heads, scores in exact_scores(call):
            yield heads, block_sums(scores)


class MassBlocks(ChosenBlocks):
    """Blocks that hold most of the exact probabilities of their two queries."""

    def merits(self, call: AttentionCall) -> Iterator[tuple[slice, NDArray[np.floating]]]:
        """Sums of probabilities."""
        for heads, scores in exact_scores(call):
            probabilities = np.exp(scores - scores.max(axis=2, keepdims=True))
            yield heads, block_sums(probabilities / probabilities.sum(axis=2, keepdims=True))


def exact_scores(call: AttentionCall) -> Iterator[tuple[slice, FloatArray]]:
    """Scores q k / sqrt(head_dim) [some heads, n, n], some heads after others."""
    factor = np.float32(1 / np.sqrt(call.attention.head_dim))
    for heads in _some_heads(len(call.query), call.length**2):
        yield heads, np.matmul(call.query[heads] * factor, call.key[heads].transpose(0, 2, 1))


def block_sums(elements: FloatArray) -> FloatArray:
    """[heads, n, n] summed over 2 x 2 blocks: [heads, nb, nb]; ragged blocks of odd n have what they hold."""
    heads, n, _ = elements.shape
    nb = block_count(n)
    padded = np.zeros((heads, 2 * nb, 2 * nb), elements.dtype)
    padded[:, :n, :n] = elements
    sums: FloatArray = padded.reshape(heads, nb, 2, nb, 2).sum(axis=(2, 4))
    return sums


def _some_heads(heads: int, each: int) -> Iterator[slice]:
    """Slices of so many heads that their elements stay within bounds."""
    step = max(1, _SCORES_AT_A_TIME // each)
    for first in range(0, heads, step):
        yield slice(first, min(first + step, heads))
