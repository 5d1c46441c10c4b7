"""The guard of HDP's decisions against plain loops, and what a guarded head computes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.kernels.hdp import hdp_attention
from accelsim.kernels.hdp_decision import HdpDecision, decide
from accelsim.kernels.hdp_guard import row_thresholds, uncertain_heads
from accelsim.kernels.hdp_padding import hdp_attention_padded
from accelsim.kernels.hdp_rows import row_threshold


def _operands(seed: int, heads: int = 3, n: int = 9, head_dim: int = 4) -> tuple[np.ndarray, ...]:
    generator = np.random.default_rng(seed)
    return tuple(generator.normal(0, 2, (heads, n, head_dim)).astype(np.float32) for _ in range(3))


def _plainly(
    decision: HdpDecision, selection: str, rho_b: float, tau_h: float, margin: float, share: float
) -> list[bool]:
    """Block by block, row by row."""
    assert decision.importance is not None
    found = []
    for theta, kept, alive, importance in zip(
        decision.importance, decision.block_kept, decision.head_kept, decision.head_importance, strict=True
    ):
        near = 0
        for row, kept_row in zip(theta.tolist(), kept.tolist(), strict=True):
            least_kept = min((value for value, stays in zip(row, kept_row, strict=True) if stays), default=0)
            threshold = least_kept if selection == "top_k" else row_threshold(np.array(row), rho_b)
            lowered = threshold - margin * (max(row) - min(row))
            near += sum(value >= lowered for value, stays in zip(row, kept_row, strict=True) if not stays)
        close = tau_h > 0 and abs(importance - tau_h) <= margin * tau_h
        doubtful = bool(alive) and near / (near + kept.sum()) > share
        found.append(bool((close or doubtful) and not kept.all()))
    return found


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 999),
    n=st.integers(1, 11),
    selection=st.sampled_from(["threshold", "top_k"]),
    rho_b=st.sampled_from([-1.0, -0.4, 0.0, 0.5, 0.9]),
    tau_h=st.sampled_from([0.0, 5.0, 20.0]),
    margin=st.sampled_from([0.0, 0.05, 0.2, 1.0]),
    share=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_agrees_with_plain_loops(
    seed: int, n: int, selection: str, rho_b: float, tau_h: float, margin: float, share: float
) -> None:
    parts = np.random.default_rng(seed).integers(-4, 5, (2, 3, n, 4)).astype(np.int32)
    decision = decide(*parts, selection=selection, rho_b=rho_b, tau_h=tau_h, keep_importance=True)
    options = {"selection": selection, "rho_b": rho_b, "tau_h": tau_h, "margin": margin, "share": share}
    assert uncertain_heads(decision, **options).tolist() == _plainly(decision, *options.values())


@settings(deadline=None, max_examples=40)
@given(
    rows=st.lists(st.lists(st.integers(0, 10**6), min_size=5, max_size=5), min_size=1, max_size=4), rho=st.floats(-1, 1)
)
def test_thresholds_are_those_of_the_decision(rows: list[list[int]], rho: float) -> None:
    theta = np.array(rows, dtype=np.int64)
    assert row_thresholds(theta, rho).tolist() == [row_threshold(row, rho) for row in theta]


def test_guarded_heads_keep_everything_and_pay_for_the_decision() -> None:
    operands = _operands(3)
    plain = hdp_attention(*operands, rho_b=0.3)
    guarded = hdp_attention(*operands, rho_b=0.3, guard_margin=1.0, guard_share=0.0)
    unpruned = hdp_attention(*operands, rho_b=-1.0)
    assert guarded.guarded is not None
    assert guarded.guarded.all()
    assert not plain.block_kept.all()
    assert np.array_equal(guarded.output, unpruned.output)
    assert np.array_equal(guarded.counts.integer_products, plain.counts.integer_products)
    assert np.array_equal(guarded.counts.cross_products, unpruned.counts.cross_products)
    assert guarded.importance is None


def test_a_margin_of_nothing_guards_nothing_that_is_not_at_its_threshold() -> None:
    operands = _operands(4)
    plain = hdp_attention(*operands, rho_b=0.3)
    guarded = hdp_attention(*operands, rho_b=0.3, guard_margin=0.0, guard_share=0.5)
    assert plain.guarded is None
    assert guarded.guarded is not None
    assert not guarded.guarded.any()
    assert np.array_equal(plain.output, guarded.output)


def test_a_pruned_head_near_its_threshold_is_kept() -> None:
    operands = _operands(5)
    importance = hdp_attention(*operands).head_importance
    tau = float(importance.max()) * 1.01
    assert not hdp_attention(*operands, tau_h=tau).head_kept.any()
    guarded = hdp_attention(*operands, tau_h=tau, guard_margin=0.02, guard_share=1.0)
    assert guarded.head_kept.tolist() == (importance >= 0.98 * tau).tolist()
    assert guarded.block_kept[guarded.head_kept].all()
    summed = hdp_attention(*operands, tau_h=25 * tau, tau_normalised=False, guard_margin=0.02, guard_share=1.0)
    assert np.array_equal(summed.head_kept, guarded.head_kept)


def test_padding_takes_no_part() -> None:
    query, key, value = _operands(6, heads=2)
    options = {"rho_b": 0.3, "guard_margin": 0.2, "guard_share": 0.3}
    padded = hdp_attention_padded(query, key, value, np.array([5, 9]), **options)
    alone = hdp_attention(query[:1, :5], key[:1, :5], value[:1, :5], **options)
    whole = hdp_attention(query[1:], key[1:], value[1:], **options)
    assert padded.guarded is not None
    assert alone.guarded is not None
    assert whole.guarded is not None
    assert padded.guarded.tolist() == [*alone.guarded, *whole.guarded]
    assert np.array_equal(padded.output[0, :5], alone.output[0])


def test_refuses_what_makes_no_sense() -> None:
    parts = np.ones((2, 1, 4, 2), dtype=np.int32)
    with pytest.raises(ValueError, match="guard_margin is -1"):
        uncertain_heads(decide(*parts, keep_importance=True), margin=-1)
    with pytest.raises(ValueError, match="importance of every block"):
        uncertain_heads(decide(*parts))
