"""Padded sequences: real tokens as if they were alone, padding counted apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.kernels.hdp import hdp_attention
from accelsim.kernels.hdp_padding import block_ratios, hdp_attention_padded


def draw(shape: tuple[int, int, int], seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(scale=2.0, size=shape).astype(np.float32) for _ in range(3)]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 99), st.sampled_from([-1.0, 0.0, 0.4]))
def test_real_tokens_are_treated_as_if_alone(lengths: list[int], seed: int, rho_b: float) -> None:
    operands = draw((len(lengths), 9, 4), seed)
    tau_h = np.linspace(0, 30, len(lengths))
    padded = hdp_attention_padded(*operands, np.array(lengths), rho_b=rho_b, tau_h=tau_h, center_keys="dynamic")
    for head, length in enumerate(lengths):
        side = (length + 1) // 2
        alone = hdp_attention(
            *(x[head : head + 1, :length] for x in operands), rho_b=rho_b, tau_h=tau_h[head], center_keys="dynamic"
        )
        np.testing.assert_array_equal(padded.output[head, :length], alone.output[0])
        np.testing.assert_array_equal(padded.block_kept[head, :side, :side], alone.block_kept[0])
        assert padded.head_kept[head] == alone.head_kept[0]
        assert padded.head_importance[head] == alone.head_importance[0]
        assert padded.block_kept[head].sum() == alone.block_kept.sum()
        assert not padded.output[head, length:].any()
        for name in ("kept_elements", "cross_products", "value_products", "softmax_elements", "query_rows_fetched"):
            assert getattr(padded.counts, name)[head] == getattr(alone.counts, name)[0]
        assert padded.counts.row_keys[head].sum() == alone.counts.row_keys.sum()
        # The whole length goes through the array before anything is decided.
        assert padded.counts.integer_products[head] == 9 * 9 * 4


def test_ratios_over_real_and_over_all_blocks() -> None:
    kept = np.zeros((2, 4, 4), dtype=bool)
    kept[0, :2, 0] = True
    kept[1] = True
    # Head 0 has 3 real tokens of 8: 2 x 2 blocks touch them, the other 12 only padding.
    ratios = block_ratios(kept, 8, np.array([3, 8]))
    assert (ratios.blocks, ratios.padding_blocks, ratios.kept_blocks) == (32, 12, 18)
    assert ratios.real == 1 - 18 / 20
    assert ratios.padded == 1 - 18 / 32
    whole = block_ratios(kept, 8)
    assert whole.padding_blocks == 0
    assert whole.real == whole.padded == 1 - 18 / 32


def test_padding_inflates_the_share_that_seems_pruned() -> None:
    operands = draw((3, 64, 8), 1)
    lengths = np.array([23, 23, 23])
    values = hdp_attention_padded(*operands, lengths, rho_b=-1.0)
    ratios = block_ratios(values.block_kept, 64, lengths)
    assert ratios.real == 0.0
    assert ratios.padded == pytest.approx(1 - 12 * 12 / (32 * 32))


def test_refusals() -> None:
    operands = draw((2, 6, 4), 0)
    for lengths in ([0, 6], [7, 6], [3], [2.5, 3.0]):
        with pytest.raises(ValueError, match="whole number from 1 to 6 for each of 2 heads"):
            hdp_attention_padded(*operands, np.array(lengths))
    with pytest.raises(ValueError, match="rho_b is 2"):
        hdp_attention_padded(*operands, np.array([3, 3]), rho_b=2.0)
