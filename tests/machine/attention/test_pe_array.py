"""Cycles of PE arrays against other simulators' results and against stepping through tiles by hand."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.machine.attention.pe_array import (
    Dataflow,
    by_row_group,
    gemm_cycles,
    sparse_product_cycles,
    sparse_tiles,
    weighted_sum_cycles,
)

FLOWS: dict[str, Dataflow] = {"os": "output_stationary", "ws": "weight_stationary", "is": "input_stationary"}


def test_every_recorded_systolic_product() -> None:
    table = Path(os.environ.get("ACCELSIM_DATA", "../shared")) / "oracles" / "systolic_cycles.csv"
    if not table.exists():
        pytest.skip(f"no {table.name}: set ACCELSIM_DATA to the folder that holds oracles/")
    with table.open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) > 1000
    wrong = []
    for row in rows:
        m, n, k, height, width = (int(row[name]) for name in ("m", "n", "k", "rows", "cols"))
        if gemm_cycles(m, n, k, height, width, FLOWS[row["dataflow"]]) != int(row["cycles"]):
            wrong.append(row)
    assert not wrong


def stepped_tile(a: np.ndarray, b: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, int]:
    """One output-stationary tile, cycle by cycle: operands enter skewed and move one element a cycle."""
    m, k = a.shape
    n = b.shape[1]
    right, down = np.zeros((rows, columns)), np.zeros((rows, columns))
    total, cycles = np.zeros((rows, columns)), 0
    while cycles < k + rows + columns - 2:
        right[:, 1:], down[1:] = right[:, :-1].copy(), down[:-1].copy()
        for i in range(rows):
            right[i, 0] = a[i, cycles - i] if i < m and 0 <= cycles - i < k else 0
        for j in range(columns):
            down[0, j] = b[cycles - j, j] if j < n and 0 <= cycles - j < k else 0
        total += right * down
        cycles += 1
    return total[:m, :n], cycles


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 6), st.integers(1, 4), st.integers(1, 4))
def test_a_stepped_array_computes_the_product_in_these_cycles(m: int, n: int, k: int, rows: int, columns: int) -> None:
    rng = np.random.default_rng(m * n * k)
    a, b = rng.integers(-9, 9, (m, k)).astype(float), rng.integers(-9, 9, (k, n)).astype(float)
    product, total = np.zeros((m, n)), 0
    for i in range(0, m, rows):
        for j in range(0, n, columns):
            tile, cycles = stepped_tile(a[i : i + rows], b[:, j : j + columns], rows, columns)
            product[i : i + rows, j : j + columns] = tile
            total += cycles
    np.testing.assert_array_equal(product, a @ b)
    assert gemm_cycles(m, n, k, rows, columns) == total - 1


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=9), st.sampled_from([2, 4, 6]), st.sampled_from([2, 4, 8]))
def test_a_group_lasts_as_long_as_its_busiest_block_row(kept: list[int], rows: int, columns: int) -> None:
    together, side_by_side = rows // 2, columns // 2
    expected = []
    for first in range(0, len(kept), together):
        left, tiles = kept[first : first + together], 0
        while any(left):
            left = [max(0, number - side_by_side) for number in left]
            tiles += 1
        expected.append(tiles)
    assert sparse_tiles(np.array(kept), rows, columns).tolist() == expected
    cycles = sparse_product_cycles(np.array(kept), 10, rows, columns)
    assert cycles.tolist() == [tiles * (10 + rows + columns - 2) for tiles in expected]


def test_everything_kept_costs_what_the_dense_product_costs() -> None:
    nb, d, rows, columns = 12, 16, 8, 8
    kept = np.full(nb, nb)
    assert sparse_product_cycles(kept, d, rows, columns).sum() == gemm_cycles(2 * nb, 2 * nb, d, rows, columns) + 1
    values = weighted_sum_cycles(2 * kept, d, rows, columns)
    assert values.sum() == gemm_cycles(2 * nb, d, 2 * nb, rows, columns) + 1


def test_imbalance_costs_time_at_equal_work() -> None:
    even, uneven = np.array([4, 4, 4, 4]), np.array([1, 1, 1, 13])
    assert sparse_tiles(even, 8, 8).sum() < sparse_tiles(uneven, 8, 8).sum()
    assert weighted_sum_cycles(even, 8, 8, 8).sum() < weighted_sum_cycles(uneven, 8, 8, 8).sum()
    assert weighted_sum_cycles(np.zeros(4, dtype=int), 8, 8, 8).tolist() == [0]
    assert by_row_group(np.array([1, 2, 3]), 4).tolist() == [[1, 2], [3, 0]]


def test_refusals() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        gemm_cycles(0, 1, 1, 4, 4)
    with pytest.raises(ValueError, match="output_stationary, weight_stationary, input_stationary"):
        gemm_cycles(1, 1, 1, 4, 4, "row_stationary")  # type: ignore[arg-type]
