"""Kernels on padded sequences against the same sequences alone, and fp16's compiled rounding against NumPy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.kernels.formats import round_to_format
from accelsim.kernels.fused_attention import fused_attention, fused_attention_reference
from accelsim.kernels.hdp import fixed_point_attention
from accelsim.kernels.hdp_counts import counts_of_mask
from accelsim.kernels.hdp_padding import counts_of_padded_mask, fixed_point_attention_padded, seeded_masks_padded

LENGTHS = np.asarray([5, 9, 1, 5])


def heads(seed=0, n=9):
    return np.random.default_rng(seed).standard_normal((3, len(LENGTHS), n, 8)).astype(np.float32)


@pytest.mark.parametrize("tile_k", [2, 4, 16])
def test_fused_attention_sees_no_padding(tile_k):
    query, key, value = heads()
    found = fused_attention(query, key, value, tile_q=4, tile_k=tile_k, dtype="fp32", lengths=LENGTHS)
    twin = fused_attention_reference(query, key, value, tile_k=tile_k, dtype="fp32", lengths=LENGTHS)
    np.testing.assert_allclose(found, twin, rtol=1e-5, atol=1e-6)
    for head, length in enumerate(LENGTHS):
        alone = [array[head : head + 1, :length] for array in (key, value)]
        own = fused_attention(query[head : head + 1], *alone, tile_q=4, tile_k=tile_k, dtype="fp32")
        np.testing.assert_array_equal(found[head], own[0])


@pytest.mark.parametrize("lengths", [[0, 1, 1, 1], [10, 1, 1, 1], [1, 1, 1], [1.5, 1, 1, 1]])
def test_lengths_out_of_range_are_refused(lengths):
    query, key, value = heads()
    with pytest.raises(ValueError, match="whole number from 1 to 9"):
        fused_attention(query, key, value, lengths=np.asarray(lengths))
    with pytest.raises(ValueError, match="whole number from 1 to 9"):
        fixed_point_attention_padded(query, key, value, lengths)


def test_dense_attention_on_the_unit_sees_no_padding():
    query, key, value = heads(1)
    output, _ = fixed_point_attention_padded(query, key, value, LENGTHS)
    for head, length in enumerate(LENGTHS):
        alone = (np.ascontiguousarray(array[head : head + 1, :length]) for array in (query, key, value))
        np.testing.assert_array_equal(output[head, :length], fixed_point_attention(*alone)[0][0])
        assert not output[head, length:].any()


@settings(deadline=None, max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 24), min_size=1, max_size=6),
    block_ratio=st.floats(0, 0.9),
    head_ratio=st.floats(0, 0.9),
    seed=st.integers(0, 1000),
)
def test_seeded_masks_prune_shares_of_real_blocks(lengths, block_ratio, head_ratio, seed):
    kept, alive = seeded_masks_padded(lengths, 24, block_ratio, head_ratio, seed)
    assert np.count_nonzero(~alive) == round(head_ratio * len(lengths))
    for head, length in enumerate(lengths):
        side = (length + 1) // 2
        pruned = min(round(block_ratio * side**2), side * (side - 1)) if alive[head] else side**2
        assert np.count_nonzero(kept[head]) == side**2 - pruned
        assert not kept[head, side:].any()
        assert not kept[head, :, side:].any()
    counts = counts_of_padded_mask(kept, alive, 24, 8, lengths)
    assert (counts.integer_products == 24 * 24 * 8).all()
    for head, length in enumerate(lengths):
        side = (length + 1) // 2
        own = counts_of_mask(kept[head : head + 1, :side, :side], alive[head : head + 1], length, 8)
        for name in ("kept_blocks", "kept_elements", "value_products", "key_rows_fetched", "softmax_elements"):
            assert getattr(counts, name)[head] == getattr(own, name)[0], name


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_compiled_rounding_is_numpys(seed):
    """Over all bit patterns, with a share near the ends of fp16's range and on the halves between its steps."""
    generator = np.random.default_rng(seed)
    bits = generator.integers(0, 2**32, 3000, dtype=np.uint32)
    bits[1000:] = (bits[1000:] & np.uint32(0x807FFFFF)) | (generator.integers(98, 146, 2000, dtype=np.uint32) << 23)
    bits[2000:] &= np.uint32(0xFFFFF000)
    values = bits.view(np.float32)
    with np.errstate(all="ignore"):
        wanted = values.astype(np.float16).astype(np.float32)
    found = round_to_format(values, "fp16")
    numbers = ~np.isnan(values)
    np.testing.assert_array_equal(found.view(np.uint32)[numbers], wanted.view(np.uint32)[numbers])
    assert np.isnan(found[~numbers]).all()


def test_rounding_takes_arrays_of_any_layout():
    values = np.arange(12, dtype=np.float32).reshape(3, 4) / 7
    expected = values.astype(np.float16).astype(np.float32)
    frozen = values.copy()
    frozen.flags.writeable = False
    for array, wanted in ((values.T, expected.T), (frozen, expected), (values[:, 1], expected[:, 1])):
        np.testing.assert_array_equal(round_to_format(array, "fp16"), wanted)
    assert round_to_format(np.float32(1 / 3), "fp16") == np.float32(np.float16(1 / 3))
