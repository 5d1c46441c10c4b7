"""Fixed point and its products against apytypes, bit for bit."""

import numpy as np
from apytypes import APyFixedArray, OverflowMode, QuantizationMode
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.kernels.fixed_point import quantise, split
from accelsim.kernels.hdp import SplitOperands, split_operands
from accelsim.kernels.hdp_decision import decide
from accelsim.kernels.hdp_rows import _kept_scores

quick = settings(deadline=None, max_examples=40)
formats = st.tuples(st.integers(1, 15), st.integers(0, 15)).filter(lambda bits: sum(bits) <= 16)
TOWARDS = {"truncate": QuantizationMode.TO_ZERO, "floor": QuantizationMode.TO_NEG, "round": QuantizationMode.TIES_EVEN}


def fixed(values: np.ndarray, bits: tuple[int, int]) -> APyFixedArray:
    """Numbers rounded and saturated as the unit does, by apytypes."""
    # 64 bits hold every float32 that is drawn here exactly; the cast rounds once.
    exact = APyFixedArray.from_float(values.astype(np.float64).tolist(), int_bits=24, frac_bits=40)
    return exact.cast(*bits, quantization=QuantizationMode.TIES_EVEN, overflow=OverflowMode.SAT)


def raw_of(number: APyFixedArray) -> np.ndarray:
    """Signed integers that a fixed-point array holds."""
    exact = np.array(number.to_numpy(), dtype=np.float64) * 2.0**number.frac_bits
    assert (np.abs(exact) < 2**53).all()
    return exact.astype(np.int64)


@quick
@given(formats, st.integers(0, 2**32 - 1), st.sampled_from([0.01, 1.0, 300.0]))
def test_quantise(bits: tuple[int, int], seed: int, spread: float) -> None:
    values = (np.random.default_rng(seed).normal(size=24) * spread).astype(np.float32)
    # Multiples of 2**-40 are what the exact form holds.
    values = (np.rint(values.astype(np.float64) * 2.0**24) / 2.0**24).astype(np.float32)
    halves = (np.random.default_rng(seed).integers(-64, 64, 8) + 0.5) * 2.0 ** -bits[1]
    values = np.concatenate([values, halves.astype(np.float32)])
    np.testing.assert_array_equal(quantise(values, *bits).raw, raw_of(fixed(values, bits)))


@quick
@given(formats, st.integers(0, 2**32 - 1), st.sampled_from(sorted(TOWARDS)))
def test_split(bits: tuple[int, int], seed: int, rounding: str) -> None:
    low, high = -(1 << (sum(bits) - 1)), (1 << (sum(bits) - 1)) - 1
    raw = np.random.default_rng(seed).integers(low, high + 1, 32).astype(np.int32)
    number = APyFixedArray(raw.tolist(), int_bits=bits[0], frac_bits=bits[1])
    integer = number.cast(bits[0], 0, quantization=TOWARDS[rounding], overflow=OverflowMode.SAT)
    got_integer, got_fraction = split(raw, *bits, rounding)
    np.testing.assert_array_equal(got_integer, raw_of(integer))
    np.testing.assert_array_equal(got_fraction, raw_of(number - integer))


def parts_of(bits: tuple[int, int], seed: int, rounding: str) -> SplitOperands:
    rng = np.random.default_rng(seed)
    query, key, value = (rng.normal(scale=2.0, size=(1, 4, 6)).astype(np.float32) for _ in range(3))
    return split_operands(query, key, value, integer_bits=bits[0], fraction_bits=bits[1], rounding=rounding)


def as_fixed(raw: np.ndarray, frac_bits: int) -> APyFixedArray:
    """A matrix of raw numbers, with room for all of them."""
    return APyFixedArray.from_array(raw.astype(np.float64) * 2.0**-frac_bits, int_bits=18, frac_bits=frac_bits)


@quick
@given(formats, st.integers(0, 2**32 - 1), st.sampled_from(sorted(TOWARDS)), st.booleans())
def test_scores(bits: tuple[int, int], seed: int, rounding: str, approximation: bool) -> None:
    parts = parts_of(bits, seed, rounding)
    fraction = bits[1]
    iq, ik = (as_fixed(x[0], 0) for x in (parts.query_integer, parts.key_integer))
    fq, fk = (as_fixed(x[0], fraction) for x in (parts.query_fraction, parts.key_fraction))
    expected = iq @ ik.T + iq @ fk.T + fq @ ik.T
    if not approximation:
        expected = expected + fq @ fk.T
    steps = np.array(expected.to_numpy(), dtype=np.float64) * 2.0 ** (2 * fraction)
    scores, columns = np.empty(4, dtype=np.int64), np.arange(4)
    for row in range(4):
        _kept_scores(
            parts.query_integer[0, row], parts.query_fraction[0, row], parts.key_integer[0], parts.key_fraction[0],
            columns, 4, approximation, fraction, np.empty(6, dtype=np.int32), scores,
        )  # fmt: skip
        np.testing.assert_array_equal(scores, steps[row].astype(np.int64))


@quick
@given(formats, st.integers(0, 2**32 - 1))
def test_importance(bits: tuple[int, int], seed: int) -> None:
    parts = parts_of(bits, seed, "truncate")
    got = decide(parts.query_integer, parts.key_integer, importance="absolute", keep_importance=True)
    scores = abs(as_fixed(parts.query_integer[0], 0) @ as_fixed(parts.key_integer[0], 0).T)
    assert got.importance is not None
    for i in range(2):
        for j in range(2):
            block = scores[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            assert got.importance[0, i, j] == int(float(block.sum()))
