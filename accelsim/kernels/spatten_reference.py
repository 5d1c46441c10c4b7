"""Plain twin of `accelsim.kernels.spatten`: one query after another, lists and sorting, nothing shared."""

import math

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.spatten import SpattenValues


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


def _head(
    query: NDArray[np.int64], keys: NDArray[np.int64], value: NDArray[np.int64], seed: int, options: dict[str, float]
) -> tuple[list[list[float]], list[int], list[bool], list[int], int, list[bool]]:
    """One head: rows of output, received steps, recomputed, cycles, numbers compared, values used."""
    n, head_dim = len(keys), query.shape[1]
    factor = 1.0 / (math.sqrt(head_dim) * 2.0 ** (2 * options["fraction_bits"]))
    levels = 2 ** (int(options["probability_bits"]) - 1) - 1
    low_bits, parallelism, keep = (int(options[name]) for name in ("low_bits", "parallelism", "keep_values"))
    high_keys = np.floor_divide(keys, 2**low_bits) * 2**low_bits
    output, recomputed, cycles, compared = [], [], [], 0
    received, used = [0] * n, [False] * n
    for row in range(len(query)):
        weights, largest = _probabilities((high_keys @ query[row]).tolist(), factor)
        recomputed.append(low_bits > 0 and largest < options["low_threshold"])
        if recomputed[row]:
            weights, largest = _probabilities((keys @ query[row]).tolist(), factor)
        received = [total + round(weight * 2.0**24) for total, weight in zip(received, weights, strict=True)]
        kept, passes, numbers = [True] * n, 0, 0
        if keep < n:
            kept, passes, numbers = reference_select(weights, keep, parallelism, seed + row)
        cycles.append(passes)
        compared += numbers
        used = [before or now for before, now in zip(used, kept, strict=True)]
        step = largest / levels
        steps = [round(weight / step) if now else 0 for weight, now in zip(weights, kept, strict=True)]
        total = (np.array(steps, dtype=np.int64) @ value).tolist()
        output.append([number * (step * 2.0 ** -options["fraction_bits"]) for number in total])
    return output, received, recomputed, cycles, compared, used


def reference_spatten_heads(
    query: NDArray[np.int32],
    key: NDArray[np.int32],
    value: NDArray[np.int32],
    *,
    seeds: NDArray[np.int64],
    **options: float,
) -> SpattenValues:
    """What `accelsim.kernels.spatten.spatten_heads` computes, with the same options; see there."""
    found = [
        _head(q.astype(np.int64), k.astype(np.int64), v.astype(np.int64), int(seed), options)
        for q, k, v, seed in zip(query, key, value, seeds, strict=True)
    ]
    output, received, recomputed, cycles, compared, used = zip(*found, strict=True)
    return SpattenValues(
        np.array(output).astype(np.float32),
        np.array(received),
        np.array(recomputed),
        np.array(cycles),
        np.array(compared),
        np.array(used),
    )
