"""Plain twin of `accelsim.kernels.dynatran`: Python integers, one number at a time. Slow and obviously right."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.dynatran import DynatranOptions
from accelsim.kernels.hdp_reference import reference_quantise

Matrix = list[list[int]]


def _cut(number: int, floor: float) -> int:
    return 0 if abs(number) < floor else number


def _held(number: int, bits: int) -> tuple[int, int]:
    """The number within the format, and whether it had to be held."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    return min(max(number, low), high), int(not low <= number <= high)


def reference_cycles(left: Matrix, right: Matrix, options: DynatranOptions) -> tuple[int, NDArray[np.int32]]:
    """Effectual products of left [rows][k] with right [columns][k], other than 0 counting, and cycles of each tile."""
    tile, multipliers = options.tile, options.multipliers
    rows, columns, k = len(left), len(right), len(left[0])
    tiles = [-(-size // tile) for size in (rows, columns, k)]
    cycles = np.ones(tiles, dtype=np.int32)
    products = 0
    for a, b, c in np.ndindex(*tiles):
        outputs = []
        for i in range(a * tile, min(rows, a * tile + tile)):
            for j in range(b * tile, min(columns, b * tile + tile)):
                depth = range(c * tile, min(k, c * tile + tile))
                outputs.append(sum(1 for x in depth if left[i][x] and right[j][x]))
        products += sum(outputs)
        if options.packing == "tile":
            needed = math.ceil(sum(outputs) / multipliers)
        else:
            needed = sum(math.ceil(effectual / multipliers) for effectual in outputs)
        cycles[a, b, c] = max(1, needed)
    return products, cycles


def _probabilities(scores: list[int], head_dim: int, options: DynatranOptions) -> tuple[list[int], int, int]:
    """Probabilities of a row from its sums of products; how many scores are not 0, and how many had to be held."""
    f, bits = options.fraction_bits, options.integer_bits + options.fraction_bits
    factor = 2.0 ** (options.score_fraction_bits - 2 * f) / math.sqrt(head_dim)
    rounded = [round(_cut(score, options.floor("score", 2 * f)) * factor) for score in scores]
    line, held = zip(*(_held(score, bits) for score in rounded), strict=True)
    exponentials = [math.exp((score - max(line)) * 2.0**-options.score_fraction_bits) for score in line]
    denominator = 0.0
    for exponential in exponentials:
        denominator += exponential
    probabilities = [round(exponential / denominator * 2.0**f) for exponential in exponentials]
    return [_cut(p, options.floor("probability")) for p in probabilities], sum(1 for s in line if s), sum(held)


def reference_dynatran(
    query: NDArray[np.float32],
    key: NDArray[np.float32],
    value: NDArray[np.float32],
    options: DynatranOptions,
) -> dict[str, Any]:
    """Pruned attention of [heads, n, head_dim] operands: the fields of `accelsim.kernels.dynatran.DynatranValues`."""
    f, bits = options.fraction_bits, options.integer_bits + options.fraction_bits
    result: dict[str, Any] = {"saturated": 0}
    heads = []
    for h in range(len(query)):
        raw = []
        for name, matrix in (("query", query[h]), ("key", key[h]), ("value", value[h])):
            pairs = [[reference_quantise(x, options.integer_bits, f, 1.0) for x in row] for row in matrix]
            result["saturated"] += sum(saturated for row in pairs for _, saturated in row)
            raw.append([[_cut(number, options.floor(name)) for number, _ in row] for row in pairs])
        q, k, v = raw
        n, head_dim = len(q), len(q[0])
        probability, scores = [], 0
        for row in q:
            line, nonzero, held = _probabilities([_dot(row, column) for column in k], head_dim, options)
            probability.append(line)
            scores += nonzero
            result["saturated"] += held
        columns = [[v[j][c] for j in range(n)] for c in range(head_dim)]
        output = [[round(_dot(row, column) * 2.0**-f) for column in columns] for row in probability]
        result["saturated"] += sum(_held(x, bits)[1] for row in output for x in row)
        kept = [[_cut(_held(x, bits)[0], options.floor("output")) for x in row] for row in output]
        score_products, score_cycles = reference_cycles(q, k, options)
        value_products, value_cycles = reference_cycles(probability, columns, options)
        counts = [sum(1 for row in matrix for x in row if x) for matrix in (q, k, v, probability, kept)]
        heads.append(
            {
                "output": np.array(kept, dtype=np.float64) * 2.0**-f,
                "nonzero": [*counts[:3], scores, *counts[3:]],
                "score_products": score_products,
                "value_products": value_products,
                "score_cycles": score_cycles,
                "value_cycles": value_cycles,
            }
        )
    for name in heads[0]:
        result[name] = np.array([head[name] for head in heads])
    return result


def _dot(a: list[int], b: list[int]) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True))
