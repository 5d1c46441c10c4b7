"""Fixed point against Python integers and fractions, bit for bit."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.kernels.fixed_point import quantise, raw_range, split, to_float
from accelsim.kernels.hdp_reference import reference_quantise, reference_split

formats = st.tuples(st.integers(1, 15), st.integers(0, 15)).filter(lambda bits: sum(bits) <= 16)
numbers = st.floats(-(2.0**17), 2.0**17, width=32)


@settings(deadline=None, max_examples=100)
@given(formats, st.lists(numbers, min_size=1, max_size=8), st.sampled_from([0.25, 1.0, 3.0]))
def test_quantise_is_the_nearest_number_of_the_format(bits: tuple[int, int], values: list[float], scale: float) -> None:
    got = quantise(np.array(values, dtype=np.float32), *bits, scale=scale)
    expected = [reference_quantise(x, *bits, scale) for x in values]
    assert got.raw.dtype == np.int32
    assert got.raw.tolist() == [raw for raw, _ in expected]
    assert got.saturated == sum(saturated for _, saturated in expected)


def test_ties_go_to_even_and_ends_saturate() -> None:
    got = quantise(np.array([0.5, 1.5, 2.5, -0.5, -1.5, 7.4, 7.5, -8.0, -8.5, -8.6]), 4, 0)
    assert got.raw.tolist() == [0, 2, 2, 0, -2, 7, 7, -8, -8, -8]
    assert got.saturated == 2  # 7.5 rounds to 8, -8.6 to -9; -8.5 rounds to -8


def test_error_is_at_most_half_a_step_inside_the_range() -> None:
    values = np.linspace(-7.9, 7.9, 1001)
    got = quantise(values, 4, 12)
    assert got.saturated == 0
    assert np.abs(to_float(got.raw, 12) - values).max() <= 2.0**-13


@settings(deadline=None, max_examples=100)
@given(formats, st.data(), st.sampled_from(["truncate", "floor", "round"]))
def test_split_adds_up_and_is_pythons(bits: tuple[int, int], data: st.DataObject, rounding: str) -> None:
    low, high = raw_range(*bits)
    raw = data.draw(st.lists(st.one_of(st.integers(low, high), st.sampled_from([low, high])), min_size=1, max_size=8))
    integer, fraction = split(np.array(raw, dtype=np.int32), *bits, rounding)
    assert ((integer << bits[1]) + fraction).tolist() == raw
    assert list(zip(integer.tolist(), fraction.tolist(), strict=True)) == [
        reference_split(x, *bits, rounding) for x in raw
    ]
    # The integer part fits its bits, which is what the integer multipliers are made for.
    assert integer.min() >= -(1 << (bits[0] - 1))
    assert integer.max() < 1 << (bits[0] - 1)


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [("truncate", [0, 0, -1, 1, 7]), ("floor", [0, -1, -2, 1, 7]), ("round", [0, 0, -2, 2, 7])],
)
def test_the_three_roundings(rounding: str, expected: list[int]) -> None:
    raw = quantise(np.array([0.25, -0.25, -1.75, 1.5, 7.75]), 4, 12).raw
    assert split(raw, 4, 12, rounding)[0].tolist() == expected


def test_all_values_of_a_format_split_as_documented() -> None:
    raw = np.arange(-(1 << 15), 1 << 15, dtype=np.int32)
    integer, fraction = split(raw, 4, 12, "truncate")
    assert integer.tolist() == [math.trunc(Fraction(int(x), 4096)) for x in raw]
    assert (np.sign(fraction) * np.sign(raw) >= 0).all()
    assert np.abs(fraction).max() < 4096
    assert (split(raw, 4, 12, "floor")[1] >= 0).all()
    inside = raw < 7 * 4096 + 2048
    assert np.abs(split(raw, 4, 12, "round")[1][inside]).max() == 2048


def test_refusals() -> None:
    with pytest.raises(ValueError, match="at most 16 bits"):
        quantise(np.zeros(1), 8, 9)
    with pytest.raises(ValueError, match="integer_bits >= 1"):
        quantise(np.zeros(1), 0, 9)
    with pytest.raises(ValueError, match="NaN or infinity"):
        quantise(np.array([1.0, np.nan]), 4, 12)
    with pytest.raises(ValueError, match="truncate, floor, round"):
        split(np.zeros(1, dtype=np.int32), 4, 12, "nearest")
