"""Timing of the HDP unit: its recurrence, its bounds, its account, its traffic."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.config.hardware import HdpUnit
from accelsim.errors import MappingError
from accelsim.kernels.hdp_counts import HdpCounts, counts_of_mask, dense_counts, seeded_masks
from accelsim.machine.attention.hdp_pipeline import Stage, UnitCause, simulate_hdp
from accelsim.machine.attention.run import AttentionRun
from accelsim.machine.attention.work import HeadWork, bit_products, dense_work, hdp_work, head_costs, products

quick = settings(deadline=None, max_examples=80)


def make_unit(**changes: Any) -> HdpUnit:
    fields = {
        "kind": "attention_unit",
        "name": "small",
        "algorithm": "hdp",
        "cores": 1,
        "clock": "1 GHz",
        "pe_rows": 4,
        "pe_columns": 4,
        "softmax_elements_per_cycle": 2,
        "sparsity_blocks_per_cycle": 4,
        "buffer": "64 KiB",
        "max_head_dim": 128,
        "dram_bandwidth": "16 GB/s",
        "dram_latency": "50 ns",
        "process_node": "14 nm",
        "energy": "none",
        "sources": {},
    }
    return HdpUnit.model_validate(fields | changes)


def make_work(
    heads: int = 4, n: int = 16, d: int = 8, blocks: float = 0.5, pruned: float = 0.25, seed: int = 0, **switches: Any
) -> HeadWork:
    masks = seeded_masks(heads, n, blocks, pruned, seed)
    return hdp_work(counts_of_mask(*masks, n, d, **switches), n, d)


def interval(run: AttentionRun, head: int, *stages: Stage) -> tuple[int, int]:
    """From the begin of the first of these stages to the end of the last."""
    chosen = (run.stage_head == head) & np.isin(run.stage_kind, stages)
    return int(run.stage_begin_ps[chosen].min()), int(run.stage_end_ps[chosen].max())


FRONT = (Stage.LOAD, Stage.INTEGER_SCORES, Stage.SPARSITY, Stage.SPILL, Stage.DECISION)
BACK = (Stage.FETCH_FRACTIONS, Stage.FETCH_VALUES, Stage.CROSS, Stage.SOFTMAX, Stage.VALUES)

units = st.fixed_dictionaries(
    {
        "cores": st.integers(1, 3),
        "pe_rows": st.sampled_from([2, 4, 8]),
        "pe_columns": st.sampled_from([2, 4, 8]),
        "softmax_elements_per_cycle": st.integers(1, 8),
        "sparsity_blocks_per_cycle": st.integers(1, 8),
        "buffer": st.sampled_from(["64 B", "400 B", "64 KiB"]),
        "dram_bandwidth": st.sampled_from(["1 GB/s", "100 GB/s"]),
        "dram_latency": st.sampled_from(["0 ns", "80 ns"]),
        "clock": st.sampled_from(["1 GHz", "0.7 GHz"]),
        "head_decision": st.sampled_from(["barrier", "speculative"]),
        "integer_scores": st.sampled_from(["spilled", "recomputed"]),
        "integer_dataflow": st.sampled_from(["output_stationary", "weight_stationary", "input_stationary"]),
    }
)
arrays = st.sampled_from(
    [{}, {}, {"shared_array": True}, {"integer_rows": 8, "integer_columns": 2}, {"integer_rows": 2}]
)
"""Of integer scores."""
units = st.builds(lambda sizes, array: sizes | array, units, arrays)
works = st.builds(
    make_work,
    heads=st.integers(1, 7),
    n=st.integers(1, 21),
    d=st.integers(1, 9),
    blocks=st.floats(0, 0.95),
    pruned=st.floats(0, 0.95),
    seed=st.integers(0, 99),
    approximation=st.booleans(),
    pruned_score=st.sampled_from(["excluded", "zero", "zero_in_denominator"]),
)


@quick
@given(units, works)
def test_account_bounds_and_records(changes: dict[str, Any], work: HeadWork) -> None:
    unit = make_unit(**changes)
    run = simulate_hdp(unit, work)
    assert (run.core_account_ps >= 0).all()
    assert (run.core_account_ps.sum(axis=1) == run.end_ps).all()
    assert sum(run.account_ps.values()) == unit.cores * run.end_ps
    for times in run.core_busy_ps.values():
        assert (times <= run.end_ps).all()
    assert run.dram_busy_ps <= run.end_ps
    assert run.dram_busy_ps >= run.dram_bytes * 10**12 // round(unit.dram_bandwidth)
    assert (run.stage_begin_ps <= run.stage_end_ps).all()
    assert run.stage_end_ps.max() == run.end_ps
    assert set(run.stage_head[run.stage_kind == Stage.CROSS]) == set(np.flatnonzero(work.head_kept))
    assert run.actions["dram_byte"] == run.dram_bytes
    assert run.actions["bit_product"] == sum(run.bit_products.values())
    # Cross products and P x V on the main array are what its busy time consists of.
    lower = -(
        -(run.products["cross"] + run.products["fraction"] + run.products["value"]) // (unit.pe_rows * unit.pe_columns)
    )
    assert run.core_busy_ps["main_array"].sum() >= lower * 10**12 / unit.clock - work.heads * work.sequence
    again = simulate_hdp(unit, work)
    assert again.end_ps == run.end_ps
    np.testing.assert_array_equal(again.stage_begin_ps, run.stage_begin_ps)


@quick
@given(units, works)
def test_a_core_follows_the_recurrence_of_its_two_halves(changes: dict[str, Any], work: HeadWork) -> None:
    run = simulate_hdp(make_unit(**(changes | {"cores": 1, "head_decision": "barrier"})), work)
    front = [interval(run, head, *FRONT) for head in range(work.heads)]
    back = {head: interval(run, head, *BACK) for head in np.flatnonzero(work.head_kept).tolist()}
    hand_over = front[0][1]
    for head in range(work.heads):
        length = back[head][1] - back[head][0] if head in back else 0
        if head in back:
            assert back[head][0] == hand_over
        following = 0
        if head + 1 < work.heads:
            assert front[head + 1][0] == hand_over
            following = front[head + 1][1] - front[head + 1][0]
        hand_over += max(following, length)
    written = run.stage_end_ps[run.stage_kind == Stage.WRITE]
    assert run.end_ps == max(hand_over, int(written.max(initial=0)))


def test_times_of_one_head_by_hand() -> None:
    unit = make_unit(dram_bandwidth="1e9 GB/s", dram_latency="0 ns", softmax_elements_per_cycle=1)
    run = simulate_hdp(unit, make_work(heads=1, n=8, d=8, blocks=0.0, pruned=0.0))
    # Two groups of two block rows; a tile of d = 8 on 4 x 4 elements takes 8 + 6 cycles, 2 tiles a group.
    at = {stage: interval(run, 0, stage) for stage in Stage if stage != Stage.SPILL}
    load = at[Stage.LOAD][1]
    assert load == 1
    assert at[Stage.INTEGER_SCORES] == (load, load + 56_000)
    # 4 blocks at 4 a cycle: a block row a cycle, two behind the last group, and one cycle for the head.
    assert at[Stage.SPARSITY] == (load + 28_000, load + 58_000)
    assert at[Stage.DECISION][1] == load + 59_000
    start = at[Stage.CROSS][0]
    # Two cross products: 2 tiles of 2 * 8 + 6 cycles a group; softmax of 4 rows of 8; P x V 2 tiles of 8 + 6.
    assert at[Stage.CROSS] == (start, start + 88_000)
    assert at[Stage.SOFTMAX] == (start + 44_000, start + 120_000)
    assert at[Stage.VALUES] == (start + 88_000, start + 148_000)
    assert run.core_busy_ps["main_array"].tolist() == [88_000 + 56_000]
    assert run.account_ps["softmax"] == 120_000 - 116_000


def test_traffic_of_one_head_by_hand() -> None:
    work = make_work(heads=2, n=16, d=8, blocks=0.75, pruned=0.5, seed=3)
    kept = int(np.flatnonzero(work.head_kept)[0])
    rows = int(work.counts.key_rows_fetched[kept])
    assert 0 < rows < 16
    costs = head_costs(make_unit(), work)
    # 8 numbers of 4, 12 and 16 bits: 4, 12 and 16 bytes.
    assert costs.load_bytes.tolist() == [2 * 16 * 4] * 2
    assert costs.fraction_bytes[kept] == (16 + rows) * 12
    assert costs.value_bytes[kept] == rows * 16
    assert costs.output_bytes[kept] == 16 * 16
    for array in (costs.fraction_bytes, costs.value_bytes, costs.output_bytes, costs.score_cycles, costs.value_cycles):
        assert not array[1 - kept].any()
    run = simulate_hdp(make_unit(), work)
    assert run.dram_bytes == 2 * 128 + (16 + rows) * 12 + rows * 16 + 256
    speculative = simulate_hdp(make_unit(head_decision="speculative"), work)
    assert speculative.dram_bytes == 2 * (128 + 2 * 16 * 12) + rows * 16 + 256


def test_nothing_pruned_moves_the_bytes_and_bits_of_dense_attention() -> None:
    work = hdp_work(dense_counts(3, 16, 8), 16, 8)
    dense = dense_work(3, 16, 8)
    assert sum(bit_products(work).values()) == sum(bit_products(dense).values())
    one, other = simulate_hdp(make_unit(), work), simulate_hdp(make_unit(), dense)
    assert one.dram_bytes == other.dram_bytes
    assert products(dense) == {
        "integer": 0,
        "cross": 0,
        "fraction": 0,
        "score": 3 * 16 * 16 * 8,
        "value": 3 * 16 * 16 * 8,
    }
    assert other.actions["sparsity_block"] == 0
    assert other.core_busy_ps["integer_array"].tolist() == [0]
    everything = np.ones((3, 8, 8), dtype=bool)
    counted = counts_of_mask(everything, np.ones(3, dtype=bool), 16, 8, approximation=False)
    for name, array in vars(counted).items():
        np.testing.assert_array_equal(array, getattr(work.counts, name), err_msg=name)


def test_pruning_more_takes_less() -> None:
    runs = [simulate_hdp(make_unit(), make_work(n=32, blocks=ratio, pruned=0.0)) for ratio in (0.0, 0.5, 0.9)]
    for more, less in itertools.pairwise(runs):
        assert less.end_ps < more.end_ps
        assert less.actions["bit_product"] < more.actions["bit_product"]
        assert less.buffer_bytes < more.buffer_bytes
    heads = [simulate_hdp(make_unit(), make_work(heads=8, pruned=ratio)) for ratio in (0.0, 0.5)]
    assert heads[1].end_ps < heads[0].end_ps
    assert heads[1].dram_bytes < heads[0].dram_bytes


@quick
@given(units, works, st.integers(0, 99))
def test_order_of_heads_changes_no_count_and_no_byte(changes: dict[str, Any], work: HeadWork, seed: int) -> None:
    unit = make_unit(**changes)
    order = np.random.default_rng(seed).permutation(work.heads)
    turned = HdpCounts(**{name: array[order] for name, array in vars(work.counts).items()})
    straight = simulate_hdp(unit, work)
    other = simulate_hdp(unit, hdp_work(turned, work.sequence, work.head_dim))
    assert other.actions == straight.actions
    assert other.products == straight.products
    assert other.spilled_bytes == straight.spilled_bytes


def test_scores_beyond_the_buffer_spill() -> None:
    work = make_work(n=32, d=8, blocks=0.5, pruned=0.0)
    assert work.score_bytes == 32 * 32 * (4 + 4 + 3) // 8
    operands = 2 * 32 * 4
    room = 1024
    unit = make_unit(buffer=f"{operands + room} B")
    costs = head_costs(unit, work)
    spilled = work.score_bytes - room
    assert (costs.spill_write_bytes == spilled).all()
    assert (costs.spill_read_bytes == spilled // 2).all()
    bounded, roomy = simulate_hdp(unit, work), simulate_hdp(make_unit(), work)
    assert bounded.spilled_bytes == 4 * (spilled + spilled // 2)
    assert roomy.spilled_bytes == 0
    assert bounded.dram_bytes > roomy.dram_bytes
    slow = {"dram_bandwidth": "0.1 GB/s"}
    late = simulate_hdp(make_unit(buffer=f"{operands + room} B", **slow), work)
    assert late.end_ps > simulate_hdp(make_unit(**slow), work).end_ps
    assert late.account_ps["spill"] > 0


def test_integer_scores_of_4096_keys_take_29_megabytes() -> None:
    assert round(dense_work(1, 4096, 64).score_bytes / 1e6) == 29


def test_operands_beyond_the_buffer_are_read_again() -> None:
    work = make_work(n=32, blocks=0.0, pruned=0.0)
    small, large = head_costs(make_unit(buffer="200 B"), work), head_costs(make_unit(), work)
    assert (small.load_bytes == 32 * 4 * (1 + 8)).all()
    assert (small.value_bytes == 8 * large.value_bytes).all()
    few = np.zeros((1, 16, 16), dtype=bool)
    few[:, :, :3] = True
    narrow = hdp_work(counts_of_mask(few, np.ones(1, dtype=bool), 32, 8), 32, 8)
    # 6 rows of K and V take 6 * (4 + 12 + 16) bytes; 32 rows of Q are read once in either case. All integer parts take
    # 256 bytes: below that they come again with the fractions.
    assert head_costs(make_unit(buffer="256 B"), narrow).fraction_bytes.tolist() == [(32 + 6) * 12]
    assert head_costs(make_unit(buffer="192 B"), narrow).fraction_bytes.tolist() == [(32 + 6) * 16]
    assert head_costs(make_unit(buffer="191 B"), narrow).fraction_bytes.tolist() == [(32 + 6 * 8) * 16]
    wide = hdp_work(counts_of_mask(few, np.ones(1, dtype=bool), 32, 64), 32, 64)
    # With head_dim 64 the integer parts fit in 2,048 bytes; rows of K that are read again are read whole.
    assert head_costs(make_unit(buffer="2048 B"), wide).fraction_bytes.tolist() == [(32 + 6) * 96]
    many = hdp_work(dense_counts(1, 32, 64), 32, 64)
    assert head_costs(make_unit(buffer="2048 B"), many).fraction_bytes.tolist() == [32 * 96 + 32 * (8 * 96 + 7 * 32)]
    dense = dense_work(1, 32, 8)
    assert head_costs(make_unit(buffer="200 B"), dense).load_bytes.tolist() == [32 * 16 * (1 + 2 * 8)]
    assert head_costs(make_unit(), dense).load_bytes.tolist() == [32 * 16 * 3]


def test_cores_share_the_work_and_the_dram() -> None:
    work = make_work(heads=12, n=32, pruned=0.0)
    times = [simulate_hdp(make_unit(cores=cores), work).end_ps for cores in (1, 2, 4)]
    assert times[0] > times[1] > times[2]
    starved = [simulate_hdp(make_unit(cores=cores, dram_bandwidth="0.2 GB/s"), work) for cores in (1, 4)]
    assert starved[1].dram_busy_ps == starved[0].dram_busy_ps
    assert starved[1].end_ps > starved[0].end_ps / 2
    assert (
        starved[1].core_account_ps[:, UnitCause.FETCH_WAIT].sum()
        > starved[0].core_account_ps[:, UnitCause.FETCH_WAIT].sum()
    )


def test_speculative_start_hides_the_fetch_and_pays_for_pruned_heads() -> None:
    slow = {"dram_latency": "2 us"}
    work = make_work(heads=6, n=32, pruned=0.0, blocks=0.0)
    barrier = simulate_hdp(make_unit(**slow), work)
    early = simulate_hdp(make_unit(head_decision="speculative", **slow), work)
    assert early.end_ps < barrier.end_ps
    assert early.dram_bytes == barrier.dram_bytes
    pruned = make_work(heads=6, n=32, pruned=0.5)
    assert (
        simulate_hdp(make_unit(head_decision="speculative"), pruned).dram_bytes
        > simulate_hdp(make_unit(), pruned).dram_bytes
    )


def test_a_speculative_fetch_that_nobody_uses_still_has_to_end() -> None:
    pruned = hdp_work(counts_of_mask(np.zeros((1, 8, 8), dtype=bool), np.zeros(1, dtype=bool), 16, 8), 16, 8)
    run = simulate_hdp(make_unit(head_decision="speculative", dram_latency="5 us"), pruned)
    assert run.end_ps == interval(run, 0, Stage.FETCH_FRACTIONS)[1]
    assert run.account_ps["fetch_wait"] == run.end_ps - interval(run, 0, Stage.DECISION)[1]


def test_heads_wait_for_their_operands() -> None:
    work = make_work(heads=3, pruned=0.0)
    arrives = [0, 5_000_000, 9_000_000]
    run = simulate_hdp(make_unit(), work, operands_in_place=arrives)
    loads = run.stage_begin_ps[run.stage_kind == Stage.LOAD]
    assert (loads >= arrives).all()
    assert run.account_ps["idle"] > 0
    with pytest.raises(ValueError, match="2 entries for 3 heads"):
        simulate_hdp(make_unit(), work, operands_in_place=[0, 0])


def test_all_heads_pruned_and_one_key() -> None:
    counts = counts_of_mask(np.zeros((2, 1, 1), dtype=bool), np.zeros(2, dtype=bool), 1, 4)
    run = simulate_hdp(make_unit(), hdp_work(counts, 1, 4))
    assert run.end_ps > 0
    assert run.products["integer"] == 8
    assert run.account_ps["cross"] == run.account_ps["values"] == run.account_ps["fetch_wait"] == 0
    assert simulate_hdp(make_unit(), dense_work(1, 1, 1)).products["value"] == 1


def test_refusals() -> None:
    with pytest.raises(MappingError, match="at most 128"):
        simulate_hdp(make_unit(), dense_work(1, 4, 256))
    with pytest.raises(MappingError, match="do not fit a sequence of 20"):
        hdp_work(dense_counts(1, 16, 8), 20, 8)
    with pytest.raises(MappingError, match="must be at least 1"):
        dense_work(1, 0, 8)
