"""The stepped array against the product, the closed forms and recorded systolic products."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.machine.attention.pe_array import Dataflow, gemm_cycles
from accelsim.machine.attention.stepped_array import stepped_gemm

FLOWS: dict[str, Dataflow] = {"os": "output_stationary", "ws": "weight_stationary", "is": "input_stationary"}


def operands(m: int, n: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(-9, 10, (m, k)), rng.integers(-9, 10, (k, n))


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(*[st.integers(1, 11)] * 3), st.integers(1, 6), st.integers(1, 6), st.sampled_from(sorted(FLOWS.values()))
)
def test_computes_the_product_in_the_cycles_of_the_closed_form(
    shape: tuple[int, int, int], rows: int, columns: int, flow: Dataflow
) -> None:
    a, b = operands(*shape, seed=sum(shape))
    stepped = stepped_gemm(a, b, rows, columns, flow)
    np.testing.assert_array_equal(stepped.product, a @ b)
    assert stepped.cycles == gemm_cycles(*shape, rows, columns, flow)
    assert stepped.macs == np.prod(shape)


def test_one_tile_by_hand() -> None:
    a, b = np.array([[1, 2], [3, 4]]), np.array([[5, 6], [7, 8]])
    # 2 x 2 elements, k = 2: the last operands meet in the far corner in the fourth step, cycle 3.
    assert stepped_gemm(a, b, 2, 2).cycles == 3
    # Two steps to shift the weights in, two rows to stream, and two to cross the array and leave it.
    assert stepped_gemm(a, b, 2, 2, "weight_stationary").cycles == 5
    assert stepped_gemm(a, b, 2, 2, "input_stationary").product.tolist() == [[19, 22], [43, 50]]


def test_small_recorded_products() -> None:
    table = Path(os.environ.get("ACCELSIM_DATA", "../shared")) / "oracles" / "systolic_cycles.csv"
    if not table.exists():
        pytest.skip(f"no {table.name}: set ACCELSIM_DATA to the folder that holds oracles/")
    with table.open() as lines:
        rows = list(csv.DictReader(lines))
    small = [row for row in rows if int(row["cycles"]) <= 150 and int(row["rows"]) <= 16 and int(row["cols"]) <= 16]
    seen = set()
    for row in small:
        m, n, k, height, width = (int(row[name]) for name in ("m", "n", "k", "rows", "cols"))
        stepped = stepped_gemm(*operands(m, n, k), height, width, FLOWS[row["dataflow"]])
        assert stepped.cycles == int(row["cycles"]), row
        seen.add(row["dataflow"])
    assert seen == set(FLOWS)
    assert len(small) > 50


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 2\)"):
        stepped_gemm(np.ones((2, 3), np.int64), np.ones((2, 2), np.int64), 2, 2)
    with pytest.raises(ValueError, match="output_stationary, weight_stationary, input_stationary"):
        stepped_gemm(*operands(2, 2, 2), 2, 2, "row_stationary")  # type: ignore[arg-type]
