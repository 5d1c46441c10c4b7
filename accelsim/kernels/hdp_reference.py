"""HDP written to be read: Python integers, one score at a time, the whole matrix in lists. The twin of `hdp`.

It shares no code with the compiled kernels. Counts are taken where the work is done.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = list[list[int]]


def reference_quantise(x: float, integer_bits: int, fraction_bits: int, scale: float = 1.0) -> tuple[int, bool]:
    """Raw fixed point of one number, and whether it had to saturate."""
    scaled = float(x) * (scale * 2.0**fraction_bits)
    nearest = round(Fraction(scaled))
    low, high = -(2 ** (integer_bits + fraction_bits - 1)), 2 ** (integer_bits + fraction_bits - 1) - 1
    return min(max(nearest, low), high), not low <= nearest <= high


def reference_split(raw: int, integer_bits: int, fraction_bits: int, rounding: str) -> tuple[int, int]:
    """Integer and fraction part of one raw number."""
    exact = Fraction(raw, 2**fraction_bits)
    candidates = {"truncate": math.trunc(exact), "floor": math.floor(exact), "round": round(exact)}
    integer = min(candidates[rounding], 2 ** (integer_bits - 1) - 1)
    return integer, raw - integer * 2**fraction_bits


def reference_exponential(x: float, kind: str) -> float:
    """exp(x) for x <= 0."""
    if kind == "exact":
        return math.exp(x)
    halvings = math.floor(-x / math.log(2.0))
    if halvings > 60:
        return 0.0
    p = x + halvings * math.log(2.0)
    return (0.3585 * ((p + 1.353) * (p + 1.353)) + 0.344) * 2.0**-halvings


def _dot(a: list[int], b: list[int]) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _blocks(n: int) -> list[list[int]]:
    """Indices of each block along one side."""
    return [[i for i in (2 * b, 2 * b + 1) if i < n] for b in range((n + 1) // 2)]


def reference_threshold(theta: list[int], rho: float) -> float:
    """Threshold of a block row."""
    low, high, mean = min(theta), max(theta), sum(theta) / len(theta)
    if rho == -1:
        return float(low)
    threshold = mean + rho * (high - mean) if rho >= 0 else mean + rho * (mean - low)
    return min(max(threshold, float(low)), float(high))


def _reference_row(
    scores: list[int], kept: list[bool], value: Matrix, factor: float, fraction_bits: int, pruned_score: str, kind: str
) -> list[np.float32]:
    """One row of the output from its raw scores, those of pruned keys already 0."""
    seen = [j for j in range(len(scores)) if kept[j] or pruned_score != "excluded"]
    peak = max(scores[j] for j in seen)
    exponentials = {j: reference_exponential((scores[j] - peak) * factor, kind) for j in seen}
    # The unit adds kept exponentials in order and the others, which are equal, in one product.
    denominator = 0.0
    for j in seen:
        if kept[j]:
            denominator += exponentials[j]
    others = [j for j in seen if not kept[j]]
    if others:
        denominator += len(others) * exponentials[others[0]]
    weighed = [j for j in seen if kept[j] or pruned_score == "zero"]
    probability = {j: round(exponentials[j] / denominator * 2.0**15) for j in weighed}
    unit = 2.0 ** -(15 + fraction_bits)
    return [np.float32(sum(probability[j] * value[j][c] for j in weighed) * unit) for c in range(len(value[0]))]


def reference_attention(
    query: NDArray[np.float32],
    key: NDArray[np.float32],
    value: NDArray[np.float32],
    *,
    integer_bits: int = 4,
    fraction_bits: int = 12,
    rounding: str = "truncate",
    scale: float = 1.0,
    importance: str = "absolute",
    center_keys: str = "none",
    key_means: NDArray[np.floating] | None = None,
    pruned_score: str = "excluded",
    selection: str = "threshold",
    rho_b: float = 0.0,
    top_k_ratio: float = 0.5,
    tau_h: float = 0.0,
    tau_normalised: bool = True,
    approximation: bool = True,
    exponential: str = "polynomial",
) -> dict[str, Any]:
    """HDP attention of [heads, n, head_dim] operands, with the switches of `accelsim.kernels.hdp.hdp_attention`.

    Returns
    -------
    dict
        ``output``, ``block_kept``, ``head_kept``, ``importance``, ``head_importance``, ``saturated``, and the counts by
        the names of `accelsim.kernels.hdp_counts.HdpCounts`, each a list over heads.
    """
    result: dict[str, Any] = {"saturated": 0}
    heads = []
    for h in range(len(query)):
        keys = [[float(x) for x in row] for row in key[h]]
        if center_keys == "dynamic":
            means = [sum(row[c] for row in keys) / len(keys) for c in range(len(keys[0]))]
            keys = [[x - mean for x, mean in zip(row, means, strict=True)] for row in keys]
        elif center_keys == "static":
            assert key_means is not None
            keys = [[x - float(mean) for x, mean in zip(row, key_means[h], strict=True)] for row in keys]
        raw: list[Matrix] = []
        for matrix, factor in ((query[h], scale), (keys, scale), (value[h], 1.0)):
            pairs = [[reference_quantise(x, integer_bits, fraction_bits, factor) for x in row] for row in matrix]
            result["saturated"] += sum(saturated for row in pairs for _, saturated in row)
            raw.append([[number for number, _ in row] for row in pairs])
        split = [
            [[reference_split(x, integer_bits, fraction_bits, rounding) for x in row] for row in matrix]
            for matrix in raw[:2]
        ]
        factor = 1.0 / (math.sqrt(query.shape[2]) * scale * scale * 2.0 ** (2 * fraction_bits))
        decision = _reference_decision(
            _integer_scores(split), importance, rho_b if selection == "threshold" else None, top_k_ratio, tau_h,
            tau_normalised,
        )  # fmt: skip
        heads.append(
            _reference_head(split, raw[2], factor, fraction_bits, decision, pruned_score, approximation, exponential)
        )
    for name in heads[0]:
        result[name] = np.array([head[name] for head in heads])
    return result


def _integer_scores(split: list[list[list[tuple[int, int]]]]) -> Matrix:
    query, key = ([[pair[0] for pair in row] for row in matrix] for matrix in split)
    return [[_dot(one, other) for other in key] for one in query]


def reference_largest(theta: list[int], ratio: float) -> list[bool]:
    """Which blocks of a row stay when `ratio` of them is pruned, the ratio read as the decimal number that it is."""
    keep = max(1, math.ceil((1 - Fraction(repr(ratio))) * len(theta)))
    order = sorted(range(len(theta)), key=lambda b: (-theta[b], b))
    return [b in order[:keep] for b in range(len(theta))]


@dataclass(frozen=True)
class _Decision:
    """What stays of a head, and why."""

    integer: Matrix
    theta: Matrix
    mask: list[list[bool]]
    head_importance: float
    head_kept: bool


def _reference_decision(
    integer: Matrix, importance: str, rho_b: float | None, top_k_ratio: float, tau_h: float, tau_normalised: bool
) -> _Decision:
    """Importance of the blocks, which of them stay, the head's importance and whether it stays, from integer scores."""
    blocks = _blocks(len(integer))
    magnitude = [[sum(abs(integer[i][j]) for i in rows for j in columns) for columns in blocks] for rows in blocks]
    signed = [[sum(integer[i][j] for i in rows for j in columns) for columns in blocks] for rows in blocks]
    theta = magnitude if importance == "absolute" else signed
    total = sum(map(sum, magnitude))
    head_importance = total / len(blocks) ** 2
    head_kept = (head_importance if tau_normalised else total) >= tau_h
    if rho_b is None:
        mask = [reference_largest(row, top_k_ratio) for row in theta]
    else:
        mask = [[x >= reference_threshold(row, rho_b) for x in row] for row in theta]
    mask = [[head_kept and kept for kept in row] for row in mask]
    return _Decision(integer, theta, mask, head_importance, head_kept)


def _reference_head(
    split: list[list[list[tuple[int, int]]]],
    value: Matrix,
    factor: float,
    fraction_bits: int,
    decision: _Decision,
    pruned_score: str,
    approximation: bool,
    exponential: str,
) -> dict[str, Any]:
    """One head from its split Q and K, raw V and what stays of it."""
    iq, fq = ([[pair[part] for pair in row] for row in split[0]] for part in (0, 1))
    ik, fk = ([[pair[part] for pair in row] for row in split[1]] for part in (0, 1))
    n, head_dim = len(value), len(value[0])
    integer, mask, head_kept = decision.integer, decision.mask, decision.head_kept
    blocks = _blocks(n)
    counts = dict.fromkeys(
        ("integer_products", "cross_products", "fraction_products", "value_products", "softmax_elements"), 0
    )
    counts["integer_products"] = n * n * head_dim
    output = [[np.float32(0)] * head_dim for _ in range(n)]
    keys_fetched: set[int] = set()
    values_fetched: set[int] = set()
    for i in range(n if head_kept else 0):
        kept = [bool(mask[i // 2][j // 2]) for j in range(n)]
        scores = [0] * n
        for j in range(n):
            if kept[j]:
                keys_fetched.add(j)
                scores[j] = (integer[i][j] << 2 * fraction_bits) + (
                    (_dot(iq[i], fk[j]) + _dot(fq[i], ik[j])) << fraction_bits
                )
                counts["cross_products"] += 2 * head_dim
                if not approximation:
                    scores[j] += _dot(fq[i], fk[j])
                    counts["fraction_products"] += head_dim
            if kept[j] or pruned_score == "zero":
                values_fetched.add(j)
                counts["value_products"] += head_dim
                counts["softmax_elements"] += 1
        counts["softmax_elements"] += pruned_score == "zero_in_denominator" and not all(kept)
        output[i] = _reference_row(scores, kept, value, factor, fraction_bits, pruned_score, exponential)
    return {
        "output": output,
        "block_kept": mask,
        "head_kept": head_kept,
        "importance": decision.theta,
        "head_importance": decision.head_importance,
        "kept_blocks": sum(map(sum, mask)),
        "kept_elements": sum(len(a) * len(b) for i, a in enumerate(blocks) for j, b in enumerate(blocks) if mask[i][j]),
        "query_rows_fetched": n if head_kept else 0,
        "key_rows_fetched": len(keys_fetched),
        "value_rows_fetched": len(values_fetched),
        **counts,
    }
