"""Attention under DynaTran: activations of small magnitude become zero, and products with a zero are left out.

Q, K, V, scores, probabilities and the output are signed fixed point, of 20 bits in AccelTran. An activation x becomes
zero when \\|x\\| < tau, wherever the unit prunes (`ACTIVATIONS`). A product is effectual when neither of its operands
is zero. Lanes of multipliers take the products tile by tile, and what a tile costs follows from its masks alone.

Products of 20-bit numbers and their sums are below 2**53, so float64 holds them exactly and the order of additions does
not matter: matrix products are NumPy's. Floating point that rounds enters with the exponential. A block of rows is
computed at a time, each row alone, so no array of n x n numbers exists.

`accelsim.kernels.dynatran_reference` is the plain twin, equal bit for bit.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from accelsim.kernels.fixed_point import quantise, raw_range, to_float

FloatArray = NDArray[np.float32]
Doubles = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

ACTIVATIONS = ("query", "key", "value", "score", "probability", "output")
"""What may be pruned, in the order in which it comes about."""

PACKINGS = ("tile", "output")
"""Among which products a lane packs the effectual ones: all of a tile, or those of each of its outputs."""

MAX_BITS = 20
"""Sums of products of so many bits stay below 2**53 for vectors of up to 2**15 numbers."""

MAX_TILE = 32

_ROWS = 256
"""Query rows whose scores are held at once, about."""


@dataclass(frozen=True)
class DynatranOptions:
    """How a unit prunes, and how its lanes take products."""

    integer_bits: int
    fraction_bits: int
    score_fraction_bits: int
    """Of scores, which take as many bits in all."""
    tau: float
    prunes: tuple[str, ...]
    """Names of `ACTIVATIONS`."""
    tile: int
    """Rows, columns and depth of a tile."""
    multipliers: int
    """Of a lane."""
    packing: str
    """One of `PACKINGS`."""

    def floor(self, activation: str, fraction_bits: int | None = None) -> float:
        """Magnitude, in units of ``2**-fraction_bits`` (the format's, left out), below which an activation goes."""
        bits = self.fraction_bits if fraction_bits is None else fraction_bits
        return self.tau * 2.0**bits if activation in self.prunes else 0.0


@dataclass(frozen=True)
class DynatranValues:
    """Attention of some heads, and what it asks of lanes."""

    output: FloatArray
    """[heads, n, head_dim]"""
    nonzero: IntArray
    """[heads, 6] numbers of each kind of `ACTIVATIONS` that are kept."""
    score_products: IntArray
    """[heads] effectual products of Q K^T."""
    value_products: IntArray
    """[heads] likewise of P V."""
    score_cycles: NDArray[np.int32]
    """[heads, row tiles, key tiles, slices of head_dim] cycles of a lane for each tile of products."""
    value_cycles: NDArray[np.int32]
    """[heads, row tiles, tiles of head_dim, slices of keys]"""
    saturated: int
    """Numbers of Q, K, V, scores and output that the format could not hold."""


def tiles_of(size: int, tile: int) -> int:
    """Tiles along a side, the last one ragged."""
    return -(-size // tile)


@njit(cache=True, nogil=True, parallel=True)
def probability_rows(
    scores: Doubles,
    score_floor: float,
    factor: float,
    low: float,
    high: float,
    step: float,
    one: float,
    probability_floor: float,
    counts: IntArray,
) -> None:
    """Turn exact scores into pruned probabilities, in place.

    Parameters
    ----------
    scores : float64 [rows, n]
        Sums of products; they become probabilities as multiples of ``1 / one``.
    score_floor, probability_floor : float
        Smaller magnitudes become 0; in units of the sums, and of the probabilities.
    factor, step : float
        From sums to scores as multiples of `step`, 1 / sqrt(head_dim) included; these are rounded and held within `low`
        and `high`.
    one : float
        A probability of 1.
    counts : int64 [rows, 3]
        Filled with scores other than 0, probabilities other than 0, and scores that had to be held.
    """
    for row in prange(scores.shape[0]):
        line = scores[row]
        peak = low
        nonzero, held = 0, 0
        for j in range(len(line)):
            score = 0.0 if abs(line[j]) < score_floor else np.rint(line[j] * factor)
            if score < low or score > high:
                held += 1
                score = min(max(score, low), high)
            if score != 0.0:
                nonzero += 1
            line[j] = score
            peak = max(peak, score)
        denominator = 0.0
        for j in range(len(line)):
            line[j] = math.exp((line[j] - peak) * step)
            denominator += line[j]
        weighed = 0
        for j in range(len(line)):
            probability = np.rint(line[j] / denominator * one)
            if probability < probability_floor:
                probability = 0.0
            if probability != 0.0:
                weighed += 1
            line[j] = probability
        counts[row, 0], counts[row, 1], counts[row, 2] = nonzero, weighed, held


@njit(cache=True, nogil=True)
def _ones(word: np.uint32) -> np.int64:
    """Number of bits that are set."""
    word = word - ((word >> np.uint32(1)) & np.uint32(0x55555555))
    word = (word & np.uint32(0x33333333)) + ((word >> np.uint32(2)) & np.uint32(0x33333333))
    word = (word + (word >> np.uint32(4))) & np.uint32(0x0F0F0F0F)
    word = word + (word >> np.uint32(8))
    return np.int64((word + (word >> np.uint32(16))) & np.uint32(0x3F))


@njit(cache=True, nogil=True, parallel=True)
def output_cycles(
    left: NDArray[np.uint32], right: NDArray[np.uint32], tile: int, multipliers: int, cycles: NDArray[np.int32]
) -> None:
    """Cycles of each tile of products on a lane that adds up one output at a time: ceil(effectual / multipliers) each.

    Parameters
    ----------
    left, right : uint32 [rows, slices], [columns, slices]
        Masks: bit i of a slice is the i-th number of it.
    tile, multipliers : int
    cycles : int32 [row tiles, column tiles, slices]
        Filled.
    """
    rows, slices = left.shape
    for row_tile in prange(cycles.shape[0]):
        cycles[row_tile] = 0
        for row in range(row_tile * tile, min(rows, (row_tile + 1) * tile)):
            for column in range(right.shape[0]):
                for part in range(slices):
                    effectual = _ones(left[row, part] & right[column, part])
                    cycles[row_tile, column // tile, part] += (effectual + multipliers - 1) // multipliers


def mask_words(mask: BoolArray, tile: int) -> NDArray[np.uint32]:
    """Masks of rows [rows, k] as one word for each slice of `tile` numbers: [rows, slices]."""
    rows, k = mask.shape
    padded = np.zeros((rows, tiles_of(k, tile) * tile), dtype=np.float64)
    padded[:, :k] = mask
    # Powers of two below 2**32 add up exactly in float64.
    words: NDArray[np.uint32] = (padded.reshape(rows, -1, tile) @ 2.0 ** np.arange(tile)).astype(np.uint32)
    return words


def _counts(mask: BoolArray, tile: int) -> Doubles:
    """Kept numbers of each column in each row tile of a mask [rows, k]: [slices of k, row tiles, tile]."""
    rows, k = mask.shape
    tall, wide = tiles_of(rows, tile), tiles_of(k, tile)
    padded = np.zeros((tall * tile, wide * tile), dtype=np.uint8)
    padded[:rows, :k] = mask
    columns = padded.reshape(tall, tile, wide * tile).sum(axis=1, dtype=np.uint8)
    counts: Doubles = columns.reshape(tall, wide, tile).transpose(1, 0, 2).astype(np.float64)
    return counts


def product_cycles(left: BoolArray, right: BoolArray, options: DynatranOptions) -> tuple[int, NDArray[np.int32]]:
    """Effectual products of left [rows, k] times the transpose of right [columns, k], and a lane's cycles for them.

    A tile takes at least one cycle, in which its masks are met.

    Parameters
    ----------
    left, right : bool [rows, k], [columns, k]
        Where the operands are not zero.

    Returns
    -------
    products : int
    cycles : int32 [row tiles, column tiles, slices of k]
    """
    tile, multipliers = options.tile, options.multipliers
    effectual = _counts(left, tile) @ _counts(right, tile).transpose(0, 2, 1)
    if options.packing == "tile":
        cycles = np.ceil(effectual / multipliers).transpose(1, 2, 0).astype(np.int32)
    else:
        slices, tall, wide = effectual.shape
        cycles = np.empty((tall, wide, slices), dtype=np.int32)
        output_cycles(mask_words(left, tile), mask_words(right, tile), tile, multipliers, cycles)
    return int(effectual.sum()), np.maximum(cycles, 1)


def _pruned(values: FloatArray, activation: str, options: DynatranOptions) -> tuple[Doubles, int]:
    """Operands of all heads in fixed point, small ones 0, and how many the format could not hold."""
    held = quantise(values, options.integer_bits, options.fraction_bits, max_bits=MAX_BITS)
    raw = held.raw.astype(np.float64)
    raw[np.abs(raw) < options.floor(activation)] = 0.0
    return raw, held.saturated


class _Head:
    """One head under way."""

    def __init__(self, query: Doubles, key: Doubles, value: Doubles, options: DynatranOptions, keep_all: bool) -> None:
        self.query, self.key, self.value, self.options = query, key, value, options
        self.keep_all = keep_all
        self.value_mask = self._mask(value).T
        n, head_dim = query.shape
        shape = tiles_of(n, options.tile), tiles_of(head_dim, options.tile), tiles_of(n, options.tile)
        self.value_cycles = np.empty(shape, dtype=np.int32)
        self.value_products = 0
        self.output = np.empty((n, head_dim), dtype=np.float32)
        self.counts = np.empty((n, 3), dtype=np.int64)
        self.output_nonzero = self.output_held = 0

    def _mask(self, numbers: Doubles) -> BoolArray:
        mask: BoolArray = np.ones(numbers.shape, dtype=np.bool_) if self.keep_all else numbers != 0
        return mask

    def rows(self, begin: int, end: int) -> None:
        """Output and counts of some rows, the first of which begins a tile."""
        options = self.options
        f, step = options.fraction_bits, 2.0**-options.fraction_bits
        low, high = raw_range(options.integer_bits, f)
        numbers = self.query[begin:end] @ self.key.T
        score_step = 2.0**-options.score_fraction_bits
        factor = step * step / score_step / math.sqrt(self.query.shape[1])
        floors = options.floor("score", 2 * f), options.floor("probability")
        probability_rows(numbers, floors[0], factor, low, high, score_step, 2.0**f, floors[1], self.counts[begin:end])
        products, cycles = product_cycles(self._mask(numbers), self.value_mask, options)
        self.value_products += products
        first = begin // options.tile
        self.value_cycles[first : first + len(cycles)] = cycles
        total = np.rint((numbers @ self.value) * step)
        self.output_held += int(np.count_nonzero((total < low) | (total > high)))
        np.clip(total, low, high, out=total)
        total[np.abs(total) < options.floor("output")] = 0.0
        self.output_nonzero += int(np.count_nonzero(total))
        self.output[begin:end] = to_float(total.astype(np.int64), f)

    def nonzero(self) -> list[int]:
        """Kept numbers by kind."""
        if self.keep_all:
            n, head_dim = self.query.shape
            return [n * head_dim] * 3 + [n * n] * 2 + [n * head_dim]
        operands = [int(np.count_nonzero(matrix)) for matrix in (self.query, self.key, self.value)]
        return [*operands, int(self.counts[:, 0].sum()), int(self.counts[:, 1].sum()), self.output_nonzero]


def dynatran_attention(
    query: FloatArray, key: FloatArray, value: FloatArray, options: DynatranOptions, *, keep_all: bool = False
) -> DynatranValues:
    """Attention of every head with small activations pruned.

    Scores are pruned before they are divided by sqrt(head_dim), as the publication's model does, and divided, rounded
    and held within their format after. Probabilities are rounded to the format's fraction bits and then pruned.

    Parameters
    ----------
    query, key, value : float32 [heads, n, head_dim]
    options : DynatranOptions
    keep_all : bool
        Nothing is pruned, and numbers that are zero by themselves count as kept.

    Returns
    -------
    DynatranValues

    Raises
    ------
    ValueError
        For formats wider than `MAX_BITS`, NaN or infinity.
    """
    if keep_all:
        options = replace(options, tau=0.0)
    pruned, held = zip(
        *(_pruned(x, name, options) for x, name in zip((query, key, value), ACTIVATIONS, strict=False)), strict=True
    )
    heads, n, head_dim = query.shape
    tall, wide = tiles_of(n, options.tile), tiles_of(head_dim, options.tile)
    score_cycles = np.empty((heads, tall, tall, wide), dtype=np.int32)
    value_cycles = np.empty((heads, tall, wide, tall), dtype=np.int32)
    nonzero, products = np.empty((heads, len(ACTIVATIONS)), dtype=np.int64), np.empty((2, heads), dtype=np.int64)
    output = np.empty(query.shape, dtype=np.float32)
    saturated = sum(held)
    block = max(1, _ROWS // options.tile) * options.tile
    for h in range(heads):
        head = _Head(pruned[0][h], pruned[1][h], pruned[2][h], options, keep_all)
        for begin in range(0, n, block):
            head.rows(begin, min(n, begin + block))
        operands = head._mask(head.query), head._mask(head.key)
        products[0, h], score_cycles[h] = product_cycles(*operands, options)
        products[1, h], value_cycles[h] = head.value_products, head.value_cycles
        output[h], nonzero[h] = head.output, head.nonzero()
        saturated += int(head.counts[:, 2].sum()) + head.output_held
    return DynatranValues(output, nonzero, products[0], products[1], score_cycles, value_cycles, saturated)
