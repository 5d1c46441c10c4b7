"""Rounding to number formats and the error that follows from it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accelsim.kernels import reference
from accelsim.kernels.formats import LARGEST, UNIT_ROUNDOFF, overflow_count, round_to_format, tolerance

FLOATS = ["fp16", "bf16", "tf32", "fp32"]
SPREAD = st.builds(lambda fraction, exponent: fraction * 2.0**exponent, st.floats(-2, 2), st.integers(-150, 128))


@pytest.mark.parametrize("dtype", [*FLOATS, "int8"])
@settings(deadline=None, max_examples=100)
@given(values=arrays(np.float64, 8, elements=SPREAD), single=st.booleans())
def test_rounding_is_to_the_nearest_value_of_the_format(dtype: str, values: np.ndarray, single: bool) -> None:
    with np.errstate(over="ignore", under="ignore"):
        values = values.astype(np.float32) if single else values
    values = values[np.isfinite(values)]
    rounded = round_to_format(values, dtype)
    assert rounded.dtype == (np.int8 if dtype == "int8" else np.float32)
    np.testing.assert_array_equal(rounded, reference.round_to_format(values, dtype))
    np.testing.assert_array_equal(round_to_format(rounded, dtype), rounded)


@pytest.mark.parametrize("dtype", FLOATS)
def test_ties_go_to_even_and_double_rounding_does_not_happen(dtype: str) -> None:
    unit = 2 * UNIT_ROUNDOFF[dtype]
    ties = np.array([1 + unit / 2, 1 + 3 * unit / 2, -1 - unit / 2])
    np.testing.assert_array_equal(round_to_format(ties, dtype), [1, 1 + 2 * unit, -1])
    above = np.float64(1 + unit / 2) + 2.0**-50
    assert round_to_format(above, dtype) == 1 + unit


def test_special_values_stay() -> None:
    for dtype in FLOATS:
        special = round_to_format(np.array([np.nan, np.inf, -np.inf, -0.0], np.float32), dtype)
        np.testing.assert_array_equal(special, [np.nan, np.inf, -np.inf, 0.0])
        assert np.signbit(special[3])


@pytest.mark.parametrize("dtype", FLOATS)
def test_overflow_begins_half_a_unit_beyond_the_largest(dtype: str) -> None:
    largest = LARGEST[dtype]
    half = largest * UNIT_ROUNDOFF[dtype] / (2 - 2 * UNIT_ROUNDOFF[dtype])
    values = np.array([largest, largest + half * 0.99, largest + half, -largest - half, np.inf, np.nan])
    assert overflow_count(values, dtype) == 2
    np.testing.assert_array_equal(round_to_format(values, dtype)[:4], [largest, largest, np.inf, -np.inf])


def test_int8_saturates_and_counts() -> None:
    values = np.array([-128.5, -128.51, 0.5, 1.5, 127.49, 127.5, 300])
    np.testing.assert_array_equal(round_to_format(values, "int8"), [-128, -128, 0, 2, 127, 127, 127])
    assert overflow_count(values, "int8") == 3


@pytest.mark.parametrize("dtype", FLOATS)
@settings(deadline=None, max_examples=30)
@given(k=st.integers(1, 300), seed=st.integers(0, 999))
def test_tolerance_bounds_rounding_and_accumulation(dtype: str, k: int, seed: int) -> None:
    a, b = np.random.default_rng(seed).uniform(0.5, 2, (2, k)) * np.random.default_rng(seed + 1).choice([-1, 1], (2, k))
    rounded = round_to_format(a, dtype), round_to_format(b, dtype)
    total = np.float32(0)
    for left, right in zip(*rounded, strict=True):
        total += left * right
    bound = np.abs(a) @ np.abs(b)
    # The products are rounded here as well, so one step more than fused multiply-adds need.
    assert abs(total - a @ b) <= tolerance(dtype, k + 1) * bound
    wide = rounded[0].astype(np.float64) @ rounded[1].astype(np.float64)
    assert abs(total - wide) <= tolerance(dtype, k + 1, same_operands=True) * bound * 1.01


def test_tolerance_grows_with_k_and_with_the_unit() -> None:
    assert tolerance("int8", 10**6) == 0
    assert tolerance("fp32", 0, same_operands=True) == 0
    assert tolerance("fp16", 64) == pytest.approx(2 * 2.0**-11 + 64 * 2.0**-24, rel=1e-3)
    assert tolerance("bf16", 64) > tolerance("fp16", 64) > tolerance("fp32", 64)
    assert tolerance("fp32", 2**24) == np.inf


def test_unknown_formats_are_refused() -> None:
    for call in (
        lambda: round_to_format([1.0], "fp8"),
        lambda: overflow_count([1.0], "fp8"),
        lambda: tolerance("fp8", 1),
    ):
        with pytest.raises(ValueError, match="unknown format 'fp8'; allowed: fp16"):
            call()
    with pytest.raises(ValueError, match="negative"):
        tolerance("fp16", -1)
