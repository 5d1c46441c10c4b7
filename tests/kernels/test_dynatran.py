"""DynaTran against its plain twin, and what must hold for any operands."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.kernels import dynatran
from accelsim.kernels.dynatran import (
    ACTIVATIONS,
    DynatranOptions,
    dynatran_attention,
    mask_words,
    output_cycles,
    product_cycles,
)
from accelsim.kernels.dynatran_reference import reference_cycles, reference_dynatran
from accelsim.kernels.hdp import fixed_point_attention

quick = settings(deadline=None, max_examples=25)
PLAIN = DynatranOptions(4, 16, 12, 0.0, ACTIVATIONS, 16, 16, "tile")


def operands(heads: int, n: int, head_dim: int, seed: int, scale: float = 1.0) -> list[np.ndarray[Any, Any]]:
    drawn = np.random.default_rng(seed).standard_normal((3, heads, n, head_dim))
    return list((scale * drawn).astype(np.float32))


options = st.builds(
    DynatranOptions,
    integer_bits=st.integers(2, 5),
    fraction_bits=st.integers(4, 15),
    score_fraction_bits=st.integers(2, 12),
    tau=st.sampled_from([0.0, 0.003, 0.1, 0.5, 2.0]),
    prunes=st.lists(st.sampled_from(ACTIVATIONS), unique=True).map(tuple),
    tile=st.sampled_from([1, 3, 4, 16, 32]),
    multipliers=st.sampled_from([1, 3, 16]),
    packing=st.sampled_from(["tile", "output"]),
)
shapes = st.tuples(st.integers(1, 2), st.integers(1, 11), st.integers(1, 9), st.integers(0, 99))


@quick
@given(options, shapes, st.sampled_from([0.3, 1.0, 6.0]))
def test_it_is_its_plain_twin(chosen: DynatranOptions, shape: tuple[int, int, int, int], scale: float) -> None:
    drawn = operands(*shape, scale)
    values = dynatran_attention(*drawn, chosen)
    for name, wanted in reference_dynatran(*drawn, chosen).items():
        np.testing.assert_array_equal(getattr(values, name), wanted, err_msg=name)


def test_blocks_of_rows_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = operands(2, 13, 5, 5)
    chosen = replace(PLAIN, tau=0.05, tile=2, multipliers=3)
    whole = dynatran_attention(*drawn, chosen)
    monkeypatch.setattr(dynatran, "_ROWS", 4)
    parts = dynatran_attention(*drawn, chosen)
    for name, value in vars(whole).items():
        np.testing.assert_array_equal(getattr(parts, name), value, err_msg=name)


@quick
@given(options, shapes)
def test_counts_are_conserved_and_fall_with_tau(chosen: DynatranOptions, shape: tuple[int, int, int, int]) -> None:
    drawn = operands(*shape)
    heads, n, head_dim, _ = shape
    sizes = np.array([n * head_dim] * 3 + [n * n] * 2 + [n * head_dim])
    weak, strong = (dynatran_attention(*drawn, replace(chosen, tau=tau)) for tau in (0.05, 0.4))
    for values in (weak, strong):
        assert (values.nonzero <= sizes).all()
        assert (values.score_products <= n * n * head_dim).all()
        assert (values.value_products <= values.nonzero[:, ACTIVATIONS.index("probability")] * head_dim).all()
        assert (values.score_cycles >= 1).all()
        lanes = chosen.multipliers * values.score_cycles.reshape(heads, -1).sum(axis=1)
        assert (lanes >= values.score_products).all()
    assert (strong.nonzero[:, :3] <= weak.nonzero[:, :3]).all()
    assert (strong.score_products <= weak.score_products).all()
    assert (strong.score_cycles <= weak.score_cycles).all()
    only = replace(chosen, prunes=("probability",))
    kept = [int(dynatran_attention(*drawn, replace(only, tau=tau)).nonzero[:, 4].sum()) for tau in (0.0, 0.1, 0.3, 1.1)]
    assert kept == sorted(kept, reverse=True)
    assert kept[-1] == 0


@quick
@given(shapes, st.sampled_from([1, 4, 16]), st.sampled_from(["tile", "output"]))
def test_keeping_all_is_dense_attention_at_its_full_cost(
    shape: tuple[int, int, int, int], tile: int, packing: str
) -> None:
    drawn = operands(*shape)
    drawn[0][:, 0] = 0.0  # zeros that nobody pruned
    heads, n, head_dim, _ = shape
    values = dynatran_attention(*drawn, replace(PLAIN, tau=3.0, tile=tile, packing=packing), keep_all=True)
    dense, _ = fixed_point_attention(*drawn, exponential="exact")
    # Both round operands, scores and probabilities; the coarser of the two has 12 fraction bits.
    np.testing.assert_allclose(values.output, dense, atol=2.0**-8)
    assert values.score_products.tolist() == [n * n * head_dim] * heads
    assert values.value_products.tolist() == [n * n * head_dim] * heads
    assert values.nonzero[0].tolist() == [n * head_dim] * 3 + [n * n] * 2 + [n * head_dim]


def test_tiles_take_the_cycles_of_their_effectual_products() -> None:
    left = np.zeros((4, 4), dtype=bool)
    left[0] = [True, True, True, False]
    left[3, 0] = True
    right = np.ones((4, 4), dtype=bool)
    right[1] = False
    chosen = replace(PLAIN, tile=4, multipliers=2)
    # Rows 0 and 3 have 3 and 1 effectual products with each of three columns: 12 in all.
    products, cycles = product_cycles(left, right, chosen)
    assert (products, cycles.tolist()) == (12, [[[6]]])
    # Output by output: three of ceil(3 / 2) and three of ceil(1 / 2) cycles.
    assert product_cycles(left, right, replace(chosen, packing="output"))[1].tolist() == [[[9]]]
    # A tile without any takes the cycle in which its masks are met.
    assert product_cycles(left[1:3], right, chosen)[1].tolist() == [[[1]]]


@quick
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 40), st.sampled_from([1, 5, 32]), st.integers(1, 9))
def test_masks_meet_as_plain_ones_do(rows: int, columns: int, k: int, tile: int, multipliers: int) -> None:
    masks = np.random.default_rng(rows * k).random((rows + columns, k)) < 0.4
    left, right = masks[:rows], masks[rows:]
    chosen = replace(PLAIN, tile=tile, multipliers=multipliers, packing="output")
    products, wanted = reference_cycles(left.astype(int).tolist(), right.astype(int).tolist(), chosen)
    got = product_cycles(left, right, chosen)
    assert got[0] == products
    np.testing.assert_array_equal(got[1], wanted)
    cycles = np.full(wanted.shape, -1, dtype=np.int32)
    output_cycles(mask_words(left, tile), mask_words(right, tile), tile, multipliers, cycles)
    np.testing.assert_array_equal(np.maximum(cycles, 1), wanted)


def test_what_is_pruned_is_what_is_named() -> None:
    query = np.array([[[0.25, 2.0], [1.0, -0.125]]], dtype=np.float32)
    value = np.array([[[0.0625, -0.5], [0.5, 0.25]]], dtype=np.float32)
    pruned = dynatran_attention(query, query, value, replace(PLAIN, tau=0.3, prunes=("query", "value", "output")))
    assert pruned.nonzero[0].tolist()[:3] == [2, 4, 2]
    assert (np.abs(pruned.output[pruned.output != 0]) >= 0.3).all()
    # 0.25 and -0.125 of Q are gone, and of V all but -0.5 and 0.5, so outputs are probabilities times a half.
    scores = np.array([[2 * 2.0, 2 * -0.125], [0.25, 1.0]]) / np.sqrt(2)
    weights = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    wanted = weights @ np.array([[0, -0.5], [0.5, 0]])
    wanted[np.abs(wanted) < 0.3] = 0
    np.testing.assert_allclose(pruned.output[0], wanted, atol=1e-4)


def test_saturation_is_counted_where_it_happens() -> None:
    query, key, value = (np.zeros((1, 2, 1), dtype=np.float32) for _ in range(3))
    query[0, 0] = key[0, 0] = 7.0
    value[0, 1] = 9.0
    narrow = replace(PLAIN, score_fraction_bits=16)
    assert dynatran_attention(query, key, value, narrow).saturated == 2  # 9 in V, and the score 49
    assert dynatran_attention(query, key, value, PLAIN).saturated == 1  # scores reach 128


def test_refusals() -> None:
    drawn = operands(1, 3, 2, 0)
    with pytest.raises(ValueError, match="at most 20 bits"):
        dynatran_attention(*drawn, replace(PLAIN, fraction_bits=17))
    drawn[1][0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity"):
        dynatran_attention(*drawn, PLAIN)
