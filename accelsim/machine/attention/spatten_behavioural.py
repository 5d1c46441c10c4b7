"""SpAtten's published behavioural simulator: cycles of each layer as a sum of four terms.

The arithmetic is that of `spatten_hardware/simulator/src/bert.cpp` in the public repository mit-han-lab/spatten, read
there and checked against a build of it. A layer takes

    DRAM + fill + drain + top-k

none of which overlaps another. With ``par = multipliers // head_dim`` keys a cycle and ``batch = ceil(fetched / par)``:

- DRAM: for K and for V of every head ``ceil((batch par head_dim bits // 8 // 32) / channels)``, one burst of 32 bytes a
  cycle and channel; bits of 6 and of more than 8 are taken as 8. Q and the output are not counted.
- fill: for every head ``queries batch``.
- drain: once, of the layer's last head: ``11 + (87 + batch) + 1 + 1 + 3``, for scores, softmax, second pass, top-k and
  values.
- top-k: for every head that asks for it ``batch + sum over passes of (left // comparators + 4) + ceil(top_k / par)``.

The passes depend on random numbers: a Mersenne Twister seeded by the number of the head among those of the layer that
ask for top-k, from which the published program draws the values and then the pivots with the C++ standard library of
GCC 11 and later. Its search does not find the k-th value: it keeps the lower side where it should keep the upper one,
and an unsigned number wraps. A pivot may also be drawn just past the end of the sequence, where the program reads what
happens to lie there and the answer is undefined; here that reads 0. Searches without such a pivot take exactly the
cycles of a build of the program, and nine in ten of all do. `expected_passes` has the mean over pivots instead.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import MappingError

IntArray = NDArray[np.int64]

_BURST_BYTES = 32
_PASS_LATENCY = 4
"""Comparators, zero eliminator, queue, and the state after a pass."""
_WRAP = 2**64
SCORE_LATENCY, SOFTMAX_LATENCY, VALUE_LATENCY = 1 + 1 + 9, 7 + 21 + 23 + 29 + 7, 1 + 1 + 1
PIPELINE_DEPTH = SCORE_LATENCY + SOFTMAX_LATENCY + 1 + 1 + VALUE_LATENCY
"""Cycles from the first operands of a query to its output, beyond the passes over its keys."""


@dataclass(frozen=True)
class BehaviouralHead:
    """A head of a layer, as a row of the published simulator's input has it."""

    queries: int
    fetched: int
    """Keys, and values, that are fetched."""
    head_dim: int = 64
    key_bits: int = 8
    value_bits: int = 8
    top_k: int | None = None
    """How many the top-k engine looks for; None leaves it out."""


@dataclass(frozen=True)
class BehaviouralMachine:
    """Sizes of the machine; the defaults are the published simulator's."""

    multipliers: int = 512
    """Of each of the two products."""
    channels: int = 16
    comparators: int = 4
    expected: bool = False
    """Whether passes of the top-k engine are the mean over pivots rather than drawn."""


@dataclass(frozen=True)
class LayerCycles:
    """Terms of one layer, cycles."""

    dram: int
    fill: int
    drain: int
    top_k: int
    bursts: int
    """Bursts of 32 bytes, of all channels."""

    @property
    def total(self) -> int:
        """Their sum."""
        return self.dram + self.fill + self.drain + self.top_k


def _check(head: BehaviouralHead, machine: BehaviouralMachine) -> None:
    sizes = (head.queries, head.fetched, head.head_dim, head.key_bits, head.value_bits)
    if min(sizes) < 1 or (head.top_k is not None and head.top_k < 1):
        raise MappingError(f"the behavioural mode needs sizes of at least 1, not {head}")
    if min(machine.channels, machine.comparators) < 1 or head.head_dim > machine.multipliers:
        raise MappingError(
            f"the behavioural mode needs channels and comparators, and head_dim {head.head_dim} at most the "
            f"{machine.multipliers} multipliers of a product"
        )


def _batch(head: BehaviouralHead, machine: BehaviouralMachine) -> int:
    return -(-head.fetched // (machine.multipliers // head.head_dim))


def _bursts(head: BehaviouralHead, machine: BehaviouralMachine) -> tuple[int, int]:
    """Of K and of V."""
    numbers = _batch(head, machine) * (machine.multipliers // head.head_dim) * head.head_dim
    of_key, of_value = (
        numbers * (8 if bits == 6 or bits > 8 else bits) // 8 // _BURST_BYTES
        for bits in (head.key_bits, head.value_bits)
    )
    return of_key, of_value


def _uniform(draw: Callable[[], int], largest: int) -> int:
    """A number from 0 to `largest` from 32-bit draws: multiply, keep the upper half, reject what would be uneven.

    This is how the C++ standard library of GCC 11 and later does it (Lemire, ACM TOMACS 29, 2019).
    """
    span = largest + 1
    product = draw() * span
    if product % 2**32 < span:
        uneven = (2**32 - span) % span
        while product % 2**32 < uneven:
            product = draw() * span
    return int(product >> 32)


def drawn_passes(length: int, top_k: int, comparators: int, seed: int) -> int:
    """Cycles of the published search on `length` random values, its pivots drawn."""
    generator = np.random.RandomState(seed)

    def draw() -> int:
        return int(generator.randint(0, 2**32, dtype=np.uint32))

    left = np.array([_uniform(draw, 2**31 - 1) for _ in range(length)], dtype=np.int64)
    cycles, wanted = 0, top_k
    while len(left):
        index = _uniform(draw, len(left))
        pivot = left[index] if index < len(left) else 0
        lower, upper = left[left < pivot], left[left > pivot]
        at_most = len(left) - len(upper)
        cycles += len(left) // comparators + _PASS_LATENCY
        if len(lower) < wanted:
            if at_most >= wanted:
                break
            left = lower
        else:
            left, wanted = upper, (wanted - at_most) % _WRAP
    return cycles


def expected_passes(length: int, top_k: int, comparators: int) -> float:
    """Mean of `drawn_passes` over pivots, for values that differ.

    After its first pass the published search only ever takes the lower side, until nothing is left. With c(s) cycles
    for a pass over s numbers and s + 1 places where a pivot may be drawn, one of which ends the search,
    ``G(s) = c(s) + (G(0) + ... + G(s - 1)) / (s + 1)`` is the mean from there, and the first pass leads to every lower
    side of fewer than `top_k` - 1 numbers, to the end, or to every upper side of fewer than n - `top_k`.
    """
    mean = np.zeros(length)
    before = np.zeros(length + 1)
    for size in range(length):
        if size:
            mean[size] = size // comparators + _PASS_LATENCY + before[size] / (size + 1)
        before[size + 1] = before[size] + mean[size]
    sides = before[min(top_k - 1, length)] + before[max(length - top_k, 0)]
    return float(length // comparators + _PASS_LATENCY + sides / (length + 1))


def layer_cycles(heads: Sequence[BehaviouralHead], machine: BehaviouralMachine = BehaviouralMachine()) -> LayerCycles:
    """Terms of one layer.

    Parameters
    ----------
    heads : sequence of BehaviouralHead
        In order: the last one's drain is the layer's. None take no time.
    machine : BehaviouralMachine

    Raises
    ------
    MappingError
        For sizes below 1, or rows longer than the multipliers of a product.
    """
    dram = fill = bursts = searches = 0
    top_k = 0.0
    for head in heads:
        _check(head, machine)
        batch = _batch(head, machine)
        for count in _bursts(head, machine):
            bursts += count
            dram += -(-count // machine.channels)
        fill += head.queries * batch
        if head.top_k is not None:
            sizes = (head.fetched, head.top_k, machine.comparators)
            passes = expected_passes(*sizes) if machine.expected else drawn_passes(*sizes, searches)
            searches += 1
            top_k += batch + passes - (-head.top_k // (machine.multipliers // head.head_dim))
    drain = PIPELINE_DEPTH + _batch(heads[-1], machine) if heads else 0
    return LayerCycles(dram, fill, drain, round(top_k), bursts)


def behavioural_cycles(
    *,
    layers: int = 12,
    heads: int = 12,
    queries: int,
    fetched: int,
    head_dim: int = 64,
    key_bits: int = 8,
    value_bits: int = 8,
    top_k: int | None = None,
    machine: BehaviouralMachine = BehaviouralMachine(),
) -> int:
    """Cycles of a network whose layers and heads are all alike, by the published behavioural simulator.

    Parameters
    ----------
    layers, heads : int
        Layers, and heads of each.
    queries, fetched, head_dim, key_bits, value_bits, top_k
        Of each head; see `BehaviouralHead`.
    machine : BehaviouralMachine

    Examples
    --------
    >>> behavioural_cycles(queries=128, fetched=128)
    300948
    >>> behavioural_cycles(queries=384, fetched=96)
    668388

    Raises
    ------
    MappingError
        As `layer_cycles`.
    """
    head = BehaviouralHead(queries, fetched, head_dim, key_bits, value_bits, top_k)
    return layers * layer_cycles([head] * heads, machine).total
