"""Filtered attention written to be read: Python integers, one query at a time. The twin of `energon`.

It shares no code with the compiled kernels.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = list[list[int]]


def reference_scaled(matrix: NDArray[np.float32], largest: float) -> tuple[Matrix, float]:
    """16-bit integers of one head, and what its numbers were multiplied by."""
    scale = 32767.0 / largest if largest else 1.0
    return [[round(Fraction(float(x) * scale)) for x in row] for row in matrix], scale


def reference_upper_bits(raw: int, bits: int, rounding: str) -> int:
    """Uppermost bits of a 16-bit number."""
    exact = Fraction(raw, 2 ** (16 - bits))
    if rounding == "round" and bits < 16:
        exact += Fraction(1, 2)
    return min(math.floor(exact), (1 << (bits - 1)) - 1)


def reference_survivors(scores: dict[int, int], alpha: float) -> list[int]:
    """Keys whose score reaches the threshold, of the scores by key."""
    low, high, mean = min(scores.values()), max(scores.values()), sum(scores.values()) / len(scores)
    if alpha == -1:
        return list(scores)
    threshold = mean + alpha * (high - mean) if alpha >= 0 else mean + alpha * (mean - low)
    threshold = min(max(threshold, float(low)), float(high))
    return [j for j, score in scores.items() if score >= threshold]


def _exponential(x: float, kind: str) -> float:
    if kind == "exact":
        return math.exp(x)
    halvings = math.floor(-x / math.log(2.0))
    if halvings > 60:
        return 0.0
    p = x + halvings * math.log(2.0)
    return (0.3585 * ((p + 1.353) * (p + 1.353)) + 0.344) * 2.0**-halvings


def _dot(a: list[int], b: list[int]) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _filtered(
    query: list[int], key: Matrix, rounds: Sequence[tuple[int, int]], alpha: float, rounding: str
) -> tuple[list[int], list[int]]:
    """Surviving keys of one query, and how many each round leaves."""
    keys, counts = list(range(len(key))), []
    widest = rounds[-1][1]
    for query_bits, key_bits in rounds:
        short = [reference_upper_bits(x, query_bits, rounding) for x in query]
        scores = {}
        for j in keys:
            code = [reference_upper_bits(x, widest, rounding) for x in key[j]]
            scores[j] = _dot(short, [math.floor(Fraction(x, 2 ** (widest - key_bits))) for x in code])
        keys = reference_survivors(scores, alpha)
        counts.append(len(keys))
    return keys, counts


def _attended(
    query: list[int], key: Matrix, value: Matrix, keys: list[int], factor: float, step: float, kind: str
) -> list[np.float32]:
    """Output of one query over the given keys."""
    scores = {j: _dot(query, key[j]) for j in keys}
    peak = max(scores.values())
    exponentials = {j: _exponential((score - peak) * factor, kind) for j, score in scores.items()}
    denominator = 0.0
    for each in exponentials.values():
        denominator += each
    probability = {j: round(each / denominator * 2.0**15) for j, each in exponentials.items()}
    return [
        np.float32(float(sum(probability[j] * value[j][c] for j in keys)) * step * 2.0**-15)
        for c in range(len(value[0]))
    ]


def reference_attention(
    query: NDArray[np.float32],
    key: NDArray[np.float32],
    value: NDArray[np.float32],
    *,
    rounds: Sequence[tuple[int, int]] = ((4, 2), (4, 4)),
    alpha: float = 0.0,
    rounding: str = "floor",
    scaling: str = "head",
    exponential: str = "polynomial",
) -> dict[str, Any]:
    """Filtered attention of [heads, n, head_dim] operands, with the switches of `energon.energon_attention`.

    Returns
    -------
    dict
        ``output`` [heads, n, head_dim], ``kept`` [heads, n, n] and ``survivors`` [heads, n, rounds].
    """
    heads, n, head_dim = query.shape
    result: dict[str, Any] = {"kept": np.zeros((heads, n, n), dtype=bool), "output": [], "survivors": []}
    for h in range(heads):
        pool = slice(None) if scaling == "layer" else slice(h, h + 1)
        (q, q_scale), (k, k_scale), (v, v_scale) = (
            reference_scaled(matrix[h], float(np.abs(matrix[pool]).max())) for matrix in (query, key, value)
        )
        factor = 1.0 / (math.sqrt(head_dim) * q_scale * k_scale)
        found = [_filtered(row, k, rounds, alpha, rounding) for row in q]
        for i, (keys, _) in enumerate(found):
            result["kept"][h, i, keys] = True
        result["survivors"].append([counts for _, counts in found])
        result["output"].append(
            [_attended(q[i], k, v, keys, factor, 1.0 / v_scale, exponential) for i, (keys, _) in enumerate(found)]
        )
    result["output"], result["survivors"] = np.array(result["output"]), np.array(result["survivors"])
    return result


def reference_keys_of_tiles(kept: NDArray[np.bool_], tile: int) -> tuple[Matrix, Matrix]:
    """What `energon.keys_of_tiles` returns, by sets."""
    needed: Matrix = []
    new: Matrix = []
    for mask in kept:
        seen: set[int] = set()
        needed.append([])
        new.append([])
        for begin in range(0, len(mask), tile):
            wanted = {j for row in mask[begin : begin + tile] for j in range(len(row)) if row[j]}
            needed[-1].append(len(wanted))
            new[-1].append(len(wanted - seen))
            seen |= wanted
    return needed, new
