"""The vector code against its NumPy twin."""

from typing import Any

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray

from accelsim.kernels.microkernel import COLUMNS, MAX_DEPTH, ROWS, accumulate, accumulate_reference, accumulator_shape


@njit
def _call(a, a_start, b, b_start, depth, c, c_start, stride):  # type: ignore[no-untyped-def]
    accumulate(a, a_start, b, b_start, depth, c, c_start, stride)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize("depth", [0, 1, 7, MAX_DEPTH])
def test_vector_code_equals_its_twin(dtype: type, depth: int) -> None:
    generator = np.random.default_rng(depth)
    a = generator.integers(-128, 128, 3 + depth * ROWS).astype(np.float32)
    b = generator.integers(-128, 128, 5 + depth * COLUMNS).astype(np.float32)
    c: NDArray[Any] = generator.integers(-99, 99, 2 + ROWS * (COLUMNS + 4)).astype(dtype)
    expected = c.copy()
    _call(a, 3, b, 5, depth, c, 2, COLUMNS + 4)
    accumulate_reference(a, 3, b, 5, depth, expected, 2, COLUMNS + 4)
    np.testing.assert_array_equal(c, expected)


@pytest.mark.parametrize(
    ("features", "shape", "registers"),
    [("+avx512f,+avx,+fma", (8, 32, 16), 32), ("-avx512f,+avx,+fma", (6, 16, 8), 16), ("+neon", (4, 8, 4), 16)],
)
def test_accumulators_fit_in_the_registers(features: str, shape: tuple[int, int, int], registers: int) -> None:
    rows, columns, vector = accumulator_shape(features)
    assert (rows, columns, vector) == shape
    assert columns % vector == 0
    assert rows * columns // vector + columns // vector + 1 <= registers
