"""The exponent of the A3 unit: two tables, one for each half of a number's bits."""

import math

import numpy as np
from numpy.typing import NDArray

DISTANCE_BITS = 8
"""Fraction bits of a distance below the largest score, and integer bits before them."""
DISTANCE_STEPS = 1 << DISTANCE_BITS
"""Steps of one unit of distance, and entries of either table."""
LARGEST_DISTANCE = DISTANCE_STEPS * DISTANCE_STEPS - 1
"""Where distances saturate."""
TABLE_BITS = 16
"""Fraction bits of the tables' entries."""
FACTOR_BITS = 16
"""Fraction bits of the constant 1 / sqrt(head_dim)."""


def exponent_tables() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """exp(-i) and exp(-i / 256) for i from 0 to 255, in steps of 2**-16.

    A distance of 8 integer and 8 fraction bits is cut in two, and exp of it is the product of one entry of each table.
    """
    one = 1 << TABLE_BITS
    high = [round(math.exp(-i) * one) for i in range(DISTANCE_STEPS)]
    low = [round(math.exp(-i / DISTANCE_STEPS) * one) for i in range(DISTANCE_STEPS)]
    return np.array(high, dtype=np.int64), np.array(low, dtype=np.int64)


def distance_limit(post_threshold: float) -> int:
    """Greatest distance, in steps, at which a key's exponent is still `post_threshold` of the largest key's."""
    if post_threshold == 0:
        return LARGEST_DISTANCE
    return min(LARGEST_DISTANCE, math.floor(-math.log(post_threshold) * DISTANCE_STEPS))


def score_scaling(head_dim: int, fraction_bits: int) -> tuple[int, int]:
    """Factor and right shift that take a difference of raw scores to a distance: division by sqrt(head_dim)."""
    return round((1 << FACTOR_BITS) / math.sqrt(head_dim)), FACTOR_BITS + 2 * fraction_bits - DISTANCE_BITS
