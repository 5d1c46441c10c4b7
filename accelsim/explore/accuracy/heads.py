"""Attention that leaves out whole heads and keeps every block of the others, chosen layer by layer.

All compute in HDP's fixed point with its switches, and differ in which heads they keep.
"""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from accelsim.config.options import Hdp
from accelsim.explore.accuracy.blocks import attend_masked, split_call
from accelsim.explore.accuracy.forward import Attended, AttentionCall, AttentionMethod, BoolArray
from accelsim.kernels.hdp import SplitOperands
from accelsim.kernels.hdp_counts import block_count
from accelsim.kernels.hdp_decision import decide

Importances = NDArray[np.float64]


def spread_heads(ratio: float, layers: int, heads: int) -> tuple[int, ...]:
    """Heads to leave out in each layer, so that `ratio` of all are: as evenly as can be, more in later layers.

    >>> spread_heads(0.375, layers=2, heads=4)
    (1, 2)
    """
    total = min(round(ratio * layers * heads), layers * (heads - 1))
    least, more = divmod(total, layers)
    return tuple(least + (layer >= layers - more) for layer in range(layers))


def head_importance(options: Hdp, call: AttentionCall, parts: SplitOperands) -> Importances:
    """HDP's importance of each head: the mean over blocks of the magnitudes of integer scores, or their sum."""
    found = decide(parts.query_integer, parts.key_integer).head_importance
    blocks = 1 if options.tau_normalised else block_count(call.length) ** 2
    return found * blocks


class ChosenHeads(AttentionMethod):
    """Leaves out some heads."""

    def __init__(self, options: Hdp) -> None:
        self.options = options

    def attend(self, call: AttentionCall) -> Attended:
        """Choose heads and attend in them."""
        parts = split_call(self.options, call)
        heads, nb = len(call.query), block_count(call.length)
        every = np.ones((heads, nb, nb), np.bool_)
        return attend_masked(self.options, call, parts, every, self.choose(call, parts))

    @abstractmethod
    def choose(self, call: AttentionCall, parts: SplitOperands) -> BoolArray:
        """[inputs x heads] which stay."""


class HeadThresholds(ChosenHeads):
    """HDP's rule: heads whose importance is below the threshold of their layer go."""

    def __init__(self, options: Hdp, thresholds: Sequence[float]) -> None:
        super().__init__(options)
        self.thresholds = tuple(thresholds)
        self.seen: list[list[Importances]] = []

    def begin(self) -> None:
        """Forget the importances of an earlier pass."""
        self.seen = [[] for _ in self.thresholds]

    def choose(self, call: AttentionCall, parts: SplitOperands) -> BoolArray:
        """Compare; importances are kept in `seen`, by layer, for whoever sets thresholds."""
        importance = head_importance(self.options, call, parts)
        self.seen[call.layer].append(importance)
        return importance >= self.thresholds[call.layer]


class RankedHeads(ChosenHeads):
    """A fixed number of each layer's heads goes: for each input those of least merit.

    Parameters
    ----------
    options : Hdp
    pruned : sequence of int
        Heads that go in each layer; see `spread_heads`.
    """

    def __init__(self, options: Hdp, pruned: Sequence[int]) -> None:
        super().__init__(options)
        self.pruned = tuple(pruned)

    def choose(self, call: AttentionCall, parts: SplitOperands) -> BoolArray:
        """Rank the heads of each input; of equals the later one goes."""
        merit = self.merit(call, parts).reshape(-1, call.heads)
        order = np.argsort(-merit, axis=1, kind="stable")
        kept = np.zeros(merit.shape, np.bool_)
        np.put_along_axis(kept, order[:, : call.heads - self.pruned[call.layer]], True, axis=1)
        return kept.reshape(-1)

    @abstractmethod
    def merit(self, call: AttentionCall, parts: SplitOperands) -> Importances:
        """[inputs x heads], of which the largest stay."""


class TopHeads(RankedHeads):
    """The heads that HDP calls most important stay."""

    def merit(self, call: AttentionCall, parts: SplitOperands) -> Importances:
        """HDP's importance."""
        return head_importance(self.options, call, parts)


class InverseHeads(RankedHeads):
    """The heads that HDP calls most important go: how much its importance means."""

    def merit(self, call: AttentionCall, parts: SplitOperands) -> Importances:
        """HDP's importance, negative."""
        return -head_importance(self.options, call, parts)


class RandomHeads(RankedHeads):
    """The control: heads drawn from a seed, for each input."""

    def __init__(self, options: Hdp, pruned: Sequence[int], seed: int) -> None:
        super().__init__(options, pruned)
        self.seed = seed

    def merit(self, call: AttentionCall, parts: SplitOperands) -> Importances:
        """Uniform numbers."""
        return np.random.default_rng((self.seed, call.layer, call.length)).random(len(call.query))


class OracleHeads(RankedHeads):
    """The oracle: heads whose own output, computed in full, is largest stay (mean magnitude)."""

    def merit(self, call: AttentionCall, parts: SplitOperands) -> Importances:
        """Mean magnitude of the output of each head without pruning."""
        heads, nb = len(call.query), block_count(call.length)
        every, alive = np.ones((heads, nb, nb), np.bool_), np.ones(heads, np.bool_)
        output = attend_masked(self.options, call, parts, every, alive).output
        merit: Importances = np.abs(output, dtype=np.float64).mean(axis=(1, 2))
        return merit
