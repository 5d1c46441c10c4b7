"""Attention of the A3 unit: equal to its twin bit for bit, and close to attention where nothing is approximated."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from accelsim.kernels.a3 import A3Format, A3Values, a3_attention, selection_iterations, tile_bounds
from accelsim.kernels.a3_reference import reference_candidates, reference_exponent, reference_query, reference_raw
from accelsim.kernels.a3_tables import LARGEST_DISTANCE, distance_limit, exponent_tables, score_scaling

FloatArray = NDArray[np.float32]
quick = settings(deadline=None, max_examples=60)


def operands(heads: int, n: int, head_dim: int, seed: int = 0, scale: float = 1.5) -> list[FloatArray]:
    random = np.random.default_rng(seed)
    return [(scale * random.normal(size=(heads, n, head_dim))).astype(np.float32) for _ in range(3)]


def dense(query: FloatArray, key: FloatArray, value: FloatArray) -> NDArray[np.float64]:
    scores = np.einsum("hid,hjd->hij", query.astype(np.float64), key) / math.sqrt(query.shape[2])
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    result: NDArray[np.float64] = weights / weights.sum(axis=-1, keepdims=True) @ value
    return result


formats = st.builds(
    A3Format,
    integer_bits=st.integers(1, 6),
    fraction_bits=st.integers(0, 7),
    exponent_bits=st.integers(1, 12),
    weight_bits=st.integers(1, 12),
)


@quick
@given(
    st.integers(1, 14),
    st.integers(1, 7),
    st.integers(1, 15),
    st.none() | st.sampled_from([0.1, 0.5, 1.0]),
    st.sampled_from([0.0, 0.05, 0.5, 0.99]),
    formats,
    st.sampled_from([0.2, 1.0, 4.0]),
    st.integers(0, 999),
)
def test_equal_to_the_twin(
    n: int, head_dim: int, tile: int, share: float | None, threshold: float, number: A3Format, scale: float, seed: int
) -> None:
    query, key, value = operands(2, n, head_dim, seed, scale)
    ours = a3_attention(query, key, value, candidate_share=share, post_threshold=threshold, tile=tile, number=number)
    for head in range(2):
        q, k, v = (reference_raw(part[head], number.integer_bits, number.fraction_bits) for part in (query, key, value))
        for row in range(n):
            output, candidates, kept = reference_query(
                q[row], k, v, candidate_share=share, post_threshold=threshold, tile=tile, **vars(number)
            )
            assert ours.output[head, row].tolist() == np.array(output, dtype=np.float32).tolist()
            assert ours.candidates[head, :, row].tolist() == candidates
            assert ours.kept[head, :, row].tolist() == kept


def test_candidates_of_a_small_example_taken_by_hand() -> None:
    query = [2, -1]
    keys = [[3, 0], [-4, 1], [1, -5], [0, 2]]
    # Products: row 0 (6, 0), row 1 (-8, -1), row 2 (2, 5), row 3 (0, -2).
    # 1: +6 to row 0 (sum 6), -8 to row 1 (sum -2). 2: +5 to row 2 (sum 3), -2 to row 3 (sum 1).
    assert reference_candidates(query, keys, 1) == [0]
    assert reference_candidates(query, keys, 2) == [0, 2]
    # The smallest is left alone while the sum is negative: 3 of row 0, -9 of row 1, then 2 of row 2 alone.
    assert reference_candidates([1], [[3], [-9], [2], [-1]], 2) == [0, 2]
    # Nothing is positive: the least negative product's row.
    assert reference_candidates([1], [[-3], [-2], [-4]], 3) == [1]


@pytest.mark.parametrize(("n", "tile"), [(1, 8), (8, 8), (77, 77), (77, 20), (128, 64)])
def test_fine_formats_without_approximation_are_attention(n: int, tile: int) -> None:
    query, key, value = operands(2, n, 16)
    number = A3Format(integer_bits=4, fraction_bits=8, exponent_bits=12, weight_bits=12)
    ours = a3_attention(query, key, value, candidate_share=None, tile=tile, number=number)
    # What remains is the rounding of distances to 1/256 and of n weights to 2**-12, times the largest value.
    bound = (2 / 256 + n * 2.0**-12) * np.abs(value).max()
    assert np.abs(ours.output - dense(query, key, value)).max() < bound
    assert (ours.kept.sum(axis=1) == n).all()
    assert ours.saturated == 0


@quick
@given(st.integers(1, 30), st.integers(1, 9), st.integers(4, 30), st.integers(0, 999))
def test_counts(n: int, head_dim: int, tile: int, seed: int) -> None:
    parts = operands(1, n, head_dim, seed)
    before: A3Values | None = None
    for threshold in (0.0, 0.05, 0.3, 0.9):
        values = a3_attention(*parts, post_threshold=threshold, tile=tile)
        for index, (first, last) in enumerate(tile_bounds(n, tile)):
            assert (values.candidates[:, index] >= 1).all()
            # Each iteration gives a positive product to one row at most.
            assert (values.candidates[:, index] <= selection_iterations(0.5, last - first)).all()
        assert (values.kept <= values.candidates).all()
        assert (values.kept.sum(axis=1) >= 1).all()
        if before is None:
            assert (values.kept == values.candidates).all()
        else:
            assert (values.candidates == before.candidates).all()
            assert (values.kept <= before.kept).all()
        before = values


def test_heads_and_queries_do_not_meet() -> None:
    query, key, value = operands(3, 40, 8)
    whole = a3_attention(query, key, value, tile=16)
    order = [2, 0, 1]
    turned = a3_attention(query[order], key[order], value[order], tile=16)
    assert (turned.output == whole.output[order]).all()
    assert (turned.candidates == whole.candidates[order]).all()
    reversed_queries = a3_attention(query[:, ::-1], key, value, tile=16)
    assert (reversed_queries.output == whole.output[:, ::-1]).all()


def test_exponent_tables() -> None:
    high, low = exponent_tables()
    assert (high[0], low[0]) == (65536, 65536)
    for distance in (0, 1, 255, 256, 1000, 3000, LARGEST_DISTANCE):
        assert abs(reference_exponent(distance, 8) / 256 - math.exp(-distance / 256)) <= 1 / 256
    assert distance_limit(0.05) == math.floor(256 * math.log(20))
    assert distance_limit(0.0) == LARGEST_DISTANCE
    assert score_scaling(64, 4) == (8192, 16)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"candidate_share": 0.0}, "candidate_share"),
        ({"candidate_share": 1.5}, "candidate_share"),
        ({"post_threshold": 1.0}, "post_threshold"),
        ({"tile": 0}, "tile"),
        ({"number": A3Format(exponent_bits=13)}, "exponent_bits"),
        ({"number": A3Format(weight_bits=0)}, "weight_bits"),
        ({"number": A3Format(integer_bits=0)}, "integer_bits"),
    ],
)
def test_values_out_of_range(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        a3_attention(*operands(1, 4, 4), **changes)  # type: ignore[arg-type]


def test_operands_out_of_form() -> None:
    query, key, value = operands(1, 4, 4)
    with pytest.raises(ValueError, match="one shape"):
        a3_attention(query, key[:, :3], value)
    query[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        a3_attention(query, key, value)


def test_what_does_not_fit_is_counted() -> None:
    query, key, value = operands(1, 4, 4, scale=0.5)
    value[0, 0, 0], query[0, 1, 1] = 100.0, -100.0
    assert a3_attention(query, key, value, candidate_share=None).saturated == 2
