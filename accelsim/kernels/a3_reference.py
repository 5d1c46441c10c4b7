"""The A3 unit's attention written to be read: one query, one key, one product at a time. The twin of `a3`.

It shares no code with the compiled kernels: candidates come from lists of all products, exponents from the definition
of the tables' entries.
"""

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.hdp_reference import reference_quantise


def _column(query: int, keys: list[int], largest: bool) -> Iterator[tuple[int, int]]:
    """Products of one column with their rows, from its largest on (or from its smallest on)."""
    ascending = sorted(range(len(keys)), key=lambda row: keys[row])
    from_the_top = query >= 0 if largest else query <= 0
    for row in reversed(ascending) if from_the_top else ascending:
        yield query * keys[row], row


def reference_candidates(query: list[int], keys: list[list[int]], iterations: int) -> list[int]:
    """Rows of the candidates of one query, ascending.

    Parameters
    ----------
    query : list of int, [head_dim]
    keys : list of lists of int, [keys][head_dim]
    iterations : int
        Each takes the largest product that is left over all columns (when positive), then, unless the sum of all that
        was taken is negative, the smallest one (when negative); the lower column goes first among equals. Rows whose
        products sum to more than 0 are candidates; when there is none, the row of the largest product is.
    """
    columns = range(len(query))
    tops = [list(_column(query[c], [key[c] for key in keys], True)) for c in columns]
    bottoms = [list(_column(query[c], [key[c] for key in keys], False)) for c in columns]
    largest = max(tops, key=lambda column: column[0][0])[0][1]
    greedy, total = [0] * len(keys), 0
    for _ in range(iterations):
        left = [column for column in tops if column]
        best = max(left, key=lambda column: column[0][0]) if left else [(0, 0)]
        if best[0][0] > 0:
            product, row = best.pop(0)
            greedy[row] += product
            total += product
        left = [column for column in bottoms if column]
        worst = min(left, key=lambda column: column[0][0]) if left else [(0, 0)]
        if worst[0][0] < 0 and total >= 0:
            product, row = worst.pop(0)
            greedy[row] += product
            total += product
    return [row for row, score in enumerate(greedy) if score > 0] or [largest]


def _nearest(x: Fraction) -> int:
    """Nearest integer, halves upwards."""
    return math.floor(x + Fraction(1, 2))


def reference_distance(difference: int, head_dim: int, fraction_bits: int) -> int:
    """A difference of raw scores over sqrt(head_dim), in steps of 1/256, at most 65535."""
    constant = Fraction(round(2**16 / math.sqrt(head_dim)), 2**16)
    return min(65535, _nearest(Fraction(difference, 2 ** (2 * fraction_bits)) * constant * 256))


def reference_exponent(distance: int, bits: int) -> int:
    """exp(-distance / 256) in steps of 2**-bits, from 16-bit entries for either half of the distance."""
    high, low = divmod(distance, 256)
    entries = Fraction(round(math.exp(-high) * 2**16), 2**16) * Fraction(round(math.exp(-low / 256) * 2**16), 2**16)
    return min((1 << bits) - 1, _nearest(entries * (1 << bits)))


def reference_query(
    query: list[int],
    keys: list[list[int]],
    values: list[list[int]],
    *,
    candidate_share: float | None,
    post_threshold: float,
    tile: int,
    integer_bits: int,
    fraction_bits: int,
    exponent_bits: int,
    weight_bits: int,
) -> tuple[list[float], list[int], list[int]]:
    """Output [head_dim], and candidates and kept keys of each tile, of one query in raw fixed point."""
    head_dim, one = len(query), 2**weight_bits
    threshold = math.log(post_threshold) if candidate_share is not None and post_threshold > 0 else -math.inf
    best, total, sums = None, 0, [0] * head_dim
    candidates, kept = [], []
    for first in range(0, len(keys), tile):
        part = keys[first : first + tile]
        rows = list(range(len(part)))
        if candidate_share is not None:
            rows = reference_candidates(query, part, max(1, int(candidate_share * len(part))))
        scores = {row: sum(a * b for a, b in zip(query, part[row], strict=True)) for row in rows}
        top = max(scores.values()) if best is None else max(best, *scores.values())
        if best is not None and top > best:
            fade = reference_exponent(reference_distance(top - best, head_dim, fraction_bits), exponent_bits)
            total = _nearest(Fraction(total * fade, 2**exponent_bits))
            sums = [_nearest(Fraction(number * fade, 2**exponent_bits)) for number in sums]
        best = top
        distances = {row: reference_distance(top - score, head_dim, fraction_bits) for row, score in scores.items()}
        weights = {
            row: reference_exponent(distance, exponent_bits)
            for row, distance in distances.items()
            if -distance / 256 >= threshold
        }
        total += sum(weights.values())
        if len(keys) <= tile:
            weights = {row: min(one - 1, _nearest(Fraction(e * one, total))) for row, e in weights.items()}
        for row, weight in weights.items():
            sums = [s + weight * v for s, v in zip(sums, values[first + row], strict=True)]
        candidates.append(len(rows))
        kept.append(len(weights))
    if len(keys) > tile:
        sums = [_nearest(Fraction(number * one, total)) for number in sums]
    half, step = one * 2 ** (fraction_bits + integer_bits - 1), one * 2**fraction_bits
    return [min(max(number, -half), half - 1) / step for number in sums], candidates, kept


def reference_raw(array: NDArray[np.floating], integer_bits: int, fraction_bits: int) -> list[list[int]]:
    """A matrix in raw fixed point."""
    return [[reference_quantise(x, integer_bits, fraction_bits)[0] for x in row] for row in array.tolist()]
