"""SpAtten's ways to leave something out, for whole batches: tokens and heads for good, and values of each query.

What a head put out and what a token received is added up layer by layer, and the least important go before the next
layer, for that layer and all after it. Schedule and arithmetic are those of `accelsim.machine.attention.spatten` and
`accelsim.kernels.spatten`; the number format is HDP's, all bits of K are read, and probabilities have 16 bits.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.config.options import Hdp
from accelsim.errors import MappingError
from accelsim.explore.accuracy.forward import Attended, AttentionCall, AttentionMethod, BoolArray, FloatArray, IntArray
from accelsim.kernels.fixed_point import quantise
from accelsim.kernels.spatten import spatten_heads
from accelsim.machine.attention.spatten import SpattenPruning, kept_count, shares

_PROBABILITY_BITS = 16
_HEADS_AT_A_TIME = 1024
_STEPS = 400
"""Final shares that are looked through for a schedule."""


@dataclass
class _State:
    """What goes from layer to layer, for inputs of one length."""

    token_kept: BoolArray
    """[inputs, n]"""
    head_kept: BoolArray
    """[inputs, heads]"""
    token_importance: IntArray
    head_importance: NDArray[np.float64]


class Cascade(AttentionMethod):
    """Tokens and heads go for good, by what earlier layers made of them.

    A token that went is neither asked nor asks; its row of the attention's output is 0, so that it goes on by the
    residual path alone.

    Parameters
    ----------
    options : Hdp
        Number format; the scale is not used.
    token_keep, head_keep : float
        Shares that the last layer keeps; see `accelsim.machine.attention.spatten.shares`.
    layers : int
    """

    def __init__(self, options: Hdp, *, token_keep: float = 1.0, head_keep: float = 1.0, layers: int) -> None:
        self.options = options
        self.token_shares = shares(token_keep, layers, SpattenPruning())
        self.head_shares = shares(head_keep, layers, SpattenPruning())
        self._states: dict[int, _State] = {}

    def begin(self) -> None:
        """Everything is there again."""
        self._states = {}

    def attend(self, call: AttentionCall) -> Attended:
        """Leave out what was decided before, attend, and add up for the next layer."""
        inputs, heads, n = len(call.inputs), call.heads, call.length
        if call.layer == 0:
            self._states[n] = _State(
                np.ones((inputs, n), np.bool_),
                np.ones((inputs, heads), np.bool_),
                np.zeros((inputs, n), np.int64),
                np.zeros((inputs, heads)),
            )
        state = self._states[n]
        tokens, alive = kept_count(self.token_shares[call.layer], n), kept_count(self.head_shares[call.layer], heads)
        _leave(state.token_kept, state.token_importance.astype(np.float64), tokens)
        _leave(state.head_kept, state.head_importance, alive)
        rows = np.flatnonzero(state.head_kept.reshape(-1))  # of [inputs x heads]
        places = np.nonzero(state.token_kept)[1].reshape(inputs, tokens)[rows // heads]  # [rows, tokens]
        left = tuple(array[rows[:, None], places] for array in (call.query, call.key, call.value))
        output, received = _attend(left, self.options, tokens)
        whole = np.zeros(call.query.shape, np.float32)
        whole[rows[:, None], places] = output
        np.add.at(state.token_importance, (rows[:, None] // heads, places), received)
        magnitude = np.abs(whole, dtype=np.float64).sum(axis=(1, 2)).reshape(inputs, heads)
        state.head_importance += magnitude
        kept = state.head_kept.reshape(-1)
        return Attended(whole, kept * np.int64(tokens * tokens), kept.copy())


class LocalValues(AttentionMethod):
    """Each query weighs the values of its most probable keys alone; scores are computed for all.

    Parameters
    ----------
    options : Hdp
        Number format.
    ratio : float
        Share of the keys whose values a query leaves out, 0 <= ratio < 1.
    """

    def __init__(self, options: Hdp, ratio: float) -> None:
        self.options = options
        self.ratio = ratio

    def attend(self, call: AttentionCall) -> Attended:
        """Weigh some values."""
        weighed = kept_count(1 - self.ratio, call.length)
        output, _ = _attend((call.query, call.key, call.value), self.options, weighed)
        rows = len(call.query)
        return Attended(output, np.full(rows, call.length * weighed, np.int64), np.ones(rows, np.bool_))


def tokens_cascade(options: Hdp, ratio: float, layers: int) -> Cascade:
    """A cascade of tokens that leaves out about `ratio` of all pairs.

    Raises
    ------
    MappingError
        When the schedule cannot: its first layers keep all.
    """
    keep = _final_share(ratio, layers, 0, square=True)
    return Cascade(options, token_keep=keep, layers=layers)


def heads_cascade(options: Hdp, ratio: float, layers: int, heads: int) -> Cascade:
    """A cascade of heads that leaves out about `ratio` of them; whole heads of each layer allow certain shares only.

    Raises
    ------
    MappingError
        When the schedule cannot: its first layers keep all, and every layer one.
    """
    keep = _final_share(ratio, layers, heads, square=False)
    return Cascade(options, head_keep=keep, layers=layers)


def cascade_counts(ratio: float, layers: int, heads: int) -> tuple[int, ...]:
    """Heads that `heads_cascade` leaves out in each layer.

    Raises
    ------
    MappingError
        As `heads_cascade`.
    """
    keep = _final_share(ratio, layers, heads, square=False)
    return tuple(heads - kept_count(share, heads) for share in shares(keep, layers, SpattenPruning()))


def _final_share(ratio: float, layers: int, heads: int, *, square: bool) -> float:
    """Share that the last layer keeps, so that over all layers `ratio` is pruned as nearly as can be."""

    def pruned(final: float) -> float:
        parts = shares(final, layers, SpattenPruning())
        if heads:
            parts = [kept_count(share, heads) / heads for share in parts]
        return 1 - sum(share**2 if square else share for share in parts) / layers

    finals = [(_STEPS - step) / _STEPS for step in range(_STEPS)]
    nearest = min(finals, key=lambda final: abs(pruned(final) - ratio))
    coarse = 0.51 / (layers * heads) if heads else 0.01
    if layers < 2 or abs(pruned(nearest) - ratio) > coarse:
        raise MappingError(
            f"a cascade over {layers} {'layer' if layers == 1 else 'layers'} cannot leave out {100 * ratio:g} %: the "
            f"first ones keep all, which leaves at most {100 * max(map(pruned, finals)):.3g} %"
        )
    return nearest


def _leave(kept: BoolArray, importance: NDArray[np.float64], count: int) -> None:
    """Keep the `count` most important of what is left in each row, of equals those that come first."""
    order = np.argsort(np.where(kept, -importance, math.inf), axis=1, kind="stable")[:, :count]
    kept[:] = False
    np.put_along_axis(kept, order, True, axis=1)


def _attend(operands: tuple[FloatArray, ...], options: Hdp, weighed: int) -> tuple[FloatArray, IntArray]:
    """Output, and what each key received, of Q, K and V [heads, n, head_dim]; `weighed` values for each query."""
    outputs, received = [], []
    for first in range(0, len(operands[0]), _HEADS_AT_A_TIME):
        some = [array[first : first + _HEADS_AT_A_TIME] for array in operands]
        found = spatten_heads(
            *(quantise(array, options.integer_bits, options.fraction_bits).raw for array in some),
            fraction_bits=options.fraction_bits,
            low_bits=0,
            low_threshold=0.0,
            probability_bits=_PROBABILITY_BITS,
            keep_values=weighed,
            parallelism=1,
            seeds=np.arange(len(some[0]), dtype=np.int64),
        )
        outputs.append(found.output)
        received.append(found.received)
    return np.concatenate(outputs), np.concatenate(received)
