"""Plain twin of `accelsim.kernels.spatten`: one query after another, lists and sorting, nothing shared."""

import math

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.spatten import SpattenHead


def pivots(seed: int) -> list[int]:
    """The first 31-bit numbers that a seed gives; enough for any search of fewer than 64 passes."""
    state = (seed * 40503 + 2531011) % 2**31
    drawn = []
    for step in range(67):
        state = (state * 1103515245 + 12345) % 2**31
        if step >= 3:
            drawn.append(state)
    return drawn


def reference_select(values: list[float], count: int, parallelism: int, seed: int) -> tuple[list[bool], int, int]:
    """Mask of the `count` largest by sorting; cycles and comparisons of the engine's passes by lists."""
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))
    kept = [False] * len(values)
    for i in order[:count]:
        kept[i] = True
    cycles = compared = 0
    left, wanted = list(values), count
    for drawn in pivots(seed):
        cycles += math.ceil(len(left) / parallelism) + 3
        compared += len(left)
        pivot = left[(drawn // 256) * len(left) // 2**23]
        above = [value for value in left if value > pivot]
        equal = left.count(pivot)
        if len(above) < wanted <= len(above) + equal:
            break
        if wanted <= len(above):
            left = above
        else:
            left = [value for value in left if value < pivot]
            wanted -= len(above) + equal
    return kept, cycles, compared


def _probabilities(scores: list[int], factor: float) -> tuple[list[float], float]:
    peak = max(scores)
    exponentials = [math.exp((score - peak) * factor) for score in scores]
    total = 0.0
    for exponential in exponentials:
        total += exponential
    return [exponential / total for exponential in exponentials], 1.0 / total


def reference_spatten_head(
    query: NDArray[np.int32],
    key: NDArray[np.int32],
    value: NDArray[np.int32],
    *,
    fraction_bits: int,
    low_bits: int,
    low_threshold: float,
    probability_bits: int,
    keep_values: int,
    parallelism: int,
    seed: int = 0,
) -> SpattenHead:
    """What `accelsim.kernels.spatten.spatten_head` computes; see there."""
    n, head_dim = query.shape
    factor = 1.0 / (math.sqrt(head_dim) * 2.0 ** (2 * fraction_bits))
    levels = 2 ** (probability_bits - 1) - 1
    wide_query, wide_key, wide_value = (array.astype(np.int64) for array in (query, key, value))
    high_key = np.floor_divide(wide_key, 2**low_bits) * 2**low_bits
    output = np.empty((n, head_dim), dtype=np.float32)
    received, used = [0.0] * n, [False] * n
    recomputed = np.zeros(n, dtype=np.bool_)
    select_cycles = np.zeros(n, dtype=np.int64)
    compared = 0
    for row in range(n):
        weights, largest = _probabilities((high_key @ wide_query[row]).tolist(), factor)
        if low_bits and largest < low_threshold:
            recomputed[row] = True
            weights, largest = _probabilities((wide_key @ wide_query[row]).tolist(), factor)
        received = [total + weight for total, weight in zip(received, weights, strict=True)]
        kept = [True] * n
        if keep_values < n:
            kept, select_cycles[row], passed = reference_select(weights, keep_values, parallelism, seed + row)
            compared += passed
        used = [before or now for before, now in zip(used, kept, strict=True)]
        steps = [round(weight / largest * levels) if now else 0 for weight, now in zip(weights, kept, strict=True)]
        total = np.array(steps, dtype=np.int64) @ wide_value
        output[row] = total.astype(np.float64) * (largest * (2.0**-fraction_bits / levels))
    return SpattenHead(output, np.array(received), recomputed, select_cycles, compared, np.array(used))
