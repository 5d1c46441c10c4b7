"""Energon's filter and attention: equal to the plain twin, exact when nothing is filtered, ordered by its knob."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.kernels.energon import energon_attention, energon_filter, keys_of_tiles, scaled, upper_bits
from accelsim.kernels.energon_reference import (
    reference_attention,
    reference_keys_of_tiles,
    reference_scaled,
    reference_upper_bits,
)

quick = settings(deadline=None, max_examples=30)

ROUNDS = [((4, 2), (4, 4)), ((4, 4),), ((2, 2), (4, 4)), ((3, 1), (3, 2), (5, 6)), ((8, 8),)]

shapes = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 6))
switches = st.fixed_dictionaries(
    {
        "rounds": st.sampled_from(ROUNDS),
        "alpha": st.one_of(st.floats(-1, 1), st.sampled_from([-1.0, 0.0, 1.0])),
        "rounding": st.sampled_from(["floor", "round"]),
        "scaling": st.sampled_from(["layer", "head"]),
    }
)


def draw(shape: tuple[int, int, int], seed: int, spread: float = 1.0) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(shape, dtype=np.float32) * np.float32(spread) for _ in range(3)]


def dense(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    scores = query.astype(np.float64) @ key.astype(np.float64).transpose(0, 2, 1) / np.sqrt(query.shape[2])
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    output: np.ndarray = (weights / weights.sum(axis=2, keepdims=True)) @ value.astype(np.float64)
    return output


@quick
@given(shapes, st.integers(0, 999), st.sampled_from([0.0, 1e-3, 1.0, 50.0]), switches, st.sampled_from([0, 1]))
def test_kernel_equals_plain_twin(
    shape: tuple[int, int, int], seed: int, spread: float, options: dict[str, Any], kind: int
) -> None:
    operands = draw(shape, seed, spread)
    exponential = ("polynomial", "exact")[kind]
    values = energon_attention(*operands, **options, exponential=exponential)
    expected = reference_attention(*operands, **options, exponential=exponential)
    np.testing.assert_array_equal(values.kept, expected["kept"])
    np.testing.assert_array_equal(values.survivors, expected["survivors"])
    np.testing.assert_array_equal(values.output, expected["output"])
    found = energon_filter(*operands[:2], **options)
    np.testing.assert_array_equal(found.kept, values.kept)
    np.testing.assert_array_equal(found.survivors, values.survivors)


@quick
@given(st.integers(-32768, 32767), st.integers(1, 8), st.sampled_from(["floor", "round"]))
def test_upper_bits_equal_plain_twin_and_stay_in_range(raw: int, bits: int, rounding: str) -> None:
    code = int(upper_bits(np.array([raw], dtype=np.int32), bits, rounding)[0])
    assert code == reference_upper_bits(raw, bits, rounding)
    assert -(2 ** (bits - 1)) <= code < 2 ** (bits - 1)
    assert abs(code * 2 ** (16 - bits) - raw) <= 2 ** (16 - bits)


def test_largest_magnitude_fills_16_bits() -> None:
    values = np.array([[[0.5, -2.0]], [[0.25, 0.0]]], dtype=np.float32)
    raw, scale = scaled(values, "head")
    np.testing.assert_array_equal(raw, [[[8192, -32767]], [[32767, 0]]])
    np.testing.assert_array_equal(scale, [32767 / 2, 32767 / 0.25])
    raw, scale = scaled(values, "layer")
    np.testing.assert_array_equal(raw, [[[8192, -32767]], [[4096, 0]]])
    assert reference_scaled(values[1], 2.0) == ([[4096, 0]], scale[1])
    assert scaled(np.zeros((1, 2, 3), np.float32), "head")[1] == 1


def test_a_row_is_filtered_as_by_hand() -> None:
    # Codes of 4 bits: Q is 7; K is 7, 3, 1, -4, whose upper 2 bits are 1, 0, 0, -1. Round scores are 7 times that:
    # mean 0 leaves the first three, whose 4-bit scores 49, 21, 7 have mean 25.7, which the first alone reaches.
    query = np.array([[[32767.0]] * 4], dtype=np.float32)
    key = np.array([[[32767.0], [14000.0], [5000.0], [-16384.0]]], dtype=np.float32)
    found = energon_filter(query, key, alpha=0.0)
    np.testing.assert_array_equal(found.survivors[0], [[3, 1]] * 4)
    np.testing.assert_array_equal(found.kept[0], [[True, False, False, False]] * 4)
    below = energon_filter(query, key, alpha=-0.5)  # thresholds -3.5 and, of 3 keys, 25.7 - 0.5 * 18.7 = 16.3
    np.testing.assert_array_equal(below.survivors[0], [[3, 2]] * 4)


@quick
@given(shapes, st.integers(0, 999), st.floats(0.1, 3.0), switches)
def test_keeping_all_is_dense_attention_within_rounding(
    shape: tuple[int, int, int], seed: int, spread: float, options: dict[str, Any]
) -> None:
    operands = draw(shape, seed, spread)
    values = energon_attention(*operands, **options | {"alpha": -1.0}, exponential="exact")
    assert values.kept.all()
    largest = [float(np.abs(matrix).max()) for matrix in operands]
    # Half a step of V, of a probability at each key, and of Q and K in a score: error of a score moves every weight.
    score = np.sqrt(shape[2]) * largest[0] * largest[1] * 2.0**-15
    bound = largest[2] * (2.0**-15 + shape[1] * 2.0**-16 + 4 * score) + 1e-6
    assert np.abs(values.output - dense(*operands)).max() <= bound


@quick
@given(shapes, st.integers(0, 999), st.floats(-1, 1), st.floats(-1, 1), st.sampled_from([(4, 2), (4, 4), (8, 8)]))
def test_a_round_keeps_less_as_alpha_grows(
    shape: tuple[int, int, int], seed: int, one: float, other: float, widths: tuple[int, int]
) -> None:
    operands = draw(shape, seed)[:2]
    more, less = (energon_filter(*operands, rounds=(widths,), alpha=a).kept for a in sorted((one, other)))
    assert (more | ~less).all()


def test_two_rounds_keep_less_as_alpha_grows() -> None:
    operands = draw((2, 96, 32), 5, 1.5)[:2]
    kept = [energon_filter(*operands, alpha=alpha).kept.mean() for alpha in np.linspace(-1, 1, 21)]
    assert kept[0] == 1
    assert (np.diff(kept) <= 0).all()
    assert kept[-1] < 0.05


@quick
@given(shapes, st.integers(0, 999), switches)
def test_rounds_only_take_away_and_leave_the_largest(
    shape: tuple[int, int, int], seed: int, options: dict[str, Any]
) -> None:
    found = energon_filter(*draw(shape, seed)[:2], **options)
    np.testing.assert_array_equal(found.kept.sum(axis=2), found.survivors[:, :, -1])
    counts = np.concatenate([np.full((*shape[:2], 1), shape[1]), found.survivors], axis=2)
    assert (np.diff(counts, axis=2) <= 0).all()
    assert (found.survivors >= 1).all()


def test_order_of_heads_changes_no_value_and_runs_are_alike() -> None:
    operands = draw((4, 33, 16), 3)
    values = energon_attention(*operands, alpha=0.1, scaling="layer")
    again = energon_attention(*(matrix[::-1].copy() for matrix in operands), alpha=0.1, scaling="layer")
    np.testing.assert_array_equal(values.output, again.output[::-1])
    np.testing.assert_array_equal(values.kept, again.kept[::-1])


@quick
@given(st.integers(1, 3), st.integers(1, 20), st.integers(1, 21), st.floats(0, 1), st.integers(0, 99))
def test_keys_of_tiles_equal_plain_twin(heads: int, n: int, tile: int, share: float, seed: int) -> None:
    kept = np.random.default_rng(seed).random((heads, n, n)) < share
    needed, new = keys_of_tiles(kept, tile)
    expected = reference_keys_of_tiles(kept, tile)
    np.testing.assert_array_equal(needed, expected[0])
    np.testing.assert_array_equal(new, expected[1])
    np.testing.assert_array_equal(new.sum(axis=1), kept.any(axis=1).sum(axis=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.5}, "alpha is 1.5; allowed: -1 <= alpha <= 1"),
        ({"rounds": ((4, 4), (4, 2))}, "key bits that grow"),
        ({"rounds": ()}, "key bits that grow"),
        ({"rounds": ((9, 4),)}, "allowed: 1 to 8"),
        ({"rounding": "up"}, "unknown rounding 'up'; allowed: floor, round"),
        ({"scaling": "row"}, "unknown scaling 'row'; allowed: layer, head"),
        ({"exponential": "table"}, "unknown exponential 'table'"),
    ],
)
def test_switches_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        energon_attention(*draw((1, 3, 2), 0), **options)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_no_operands_that_are_not_finite(bad: float) -> None:
    operands = draw((1, 3, 2), 0)
    operands[1][0, 1, 0] = bad
    with pytest.raises(ValueError, match="NaN or infinity"):
        energon_attention(*operands)
