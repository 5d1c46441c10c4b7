"""SpAtten: what the cascade keeps, what it costs on the pipeline, and the closed form."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.config.loader import load_attention_unit
from accelsim.errors import ConfigError, MappingError, OperandError
from accelsim.machine.attention.accelerator import Operands
from accelsim.machine.attention.spatten import SPATTEN, SpattenPruning, kept_count, shares
from accelsim.machine.attention.spatten_behavioural import (
    PIPELINE_DEPTH,
    BehaviouralHead,
    BehaviouralMachine,
    layer_cycles,
)
from accelsim.machine.attention.spatten_pipeline import LayerWork, closed_form, head_traffic, simulate_layer


def machine(name="spatten", **changes):
    """A shipped unit with changes; those of pruning and of the behavioural mode by their own names."""
    unit = load_attention_unit(name)
    parts = {}
    for part in ("spatten", "behavioural"):
        holder = getattr(unit, part)
        mine = {key: changes.pop(key) for key in list(changes) if key in type(holder).model_fields}
        parts[part] = holder.model_copy(update=mine)
    return unit.model_copy(update=parts | changes)


def gaussian(n, heads=2, head_dim=16, seed=0):
    query, key, value = np.random.default_rng(seed).standard_normal((3, heads, n, head_dim)).astype(np.float32)
    return Operands(query, key, value)


def dense(operands):
    scores = operands.query.astype(np.float64) @ operands.key.transpose(0, 2, 1) / np.sqrt(operands.head_dim)
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    return weights / weights.sum(axis=2, keepdims=True) @ operands.value


def plain_layer(n, heads=12, head_dim=64, **changes):
    """A layer's work by hand, nothing pruned."""
    return LayerWork(
        **{
            "sequence": n,
            "head_dim": head_dim,
            "queries": n,
            "tokens": n,
            "weighed": n,
            "all_bits": True,
            "heads": tuple(range(heads)),
            "recomputed": np.zeros((heads, n), dtype=np.bool_),
            "select_cycles": np.zeros((heads, n), dtype=np.int64),
            "value_rows": np.full(heads, n),
            "compared": 0,
            "decision_cycles": 0,
        }
        | changes
    )


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 99), n=st.sampled_from([1, 3, 20, 77]), head_dim=st.sampled_from([1, 16, 64]))
def test_without_pruning_the_output_is_dense_attention_within_the_format(seed, n, head_dim):
    operands = gaussian(n, head_dim=head_dim, seed=seed)
    (work,) = SPATTEN.execute(machine(), [operands], pruning=False)
    # Numbers are rounded to 1/256, which moves a score by about 1/128 and the output by a few times that.
    assert np.abs(work.output - dense(operands)).max() < 0.05
    assert work.keep_ratio == 1
    assert work.effectual_macs == work.dense_macs
    assert work.head_kept.all()
    assert not work.stand_in


@settings(deadline=None, max_examples=20)
@given(
    token_keep=st.floats(0.05, 1),
    head_keep=st.floats(0.05, 1),
    value_keep=st.floats(0.05, 1),
    layers=st.integers(1, 5),
    n=st.integers(1, 30),
    seed=st.integers(0, 20),
)
def test_counts_are_those_of_the_ratios_and_what_is_pruned_never_returns(
    token_keep, head_keep, value_keep, layers, n, seed
):
    unit = machine(token_keep=token_keep, head_keep=head_keep, value_keep=value_keep, lsb_threshold=0.3)
    stack = [gaussian(n, heads=4, seed=seed + layer) for layer in range(layers)]
    works = SPATTEN.execute(unit, stack)
    tokens_before, heads_before = np.ones(n, np.bool_), np.ones(4, np.bool_)
    token_shares = shares(token_keep, layers, unit.spatten)
    head_shares = shares(head_keep, layers, unit.spatten)
    for work, token_share, head_share in zip(works, token_shares, head_shares, strict=True):
        tokens, heads = kept_count(token_share, n), kept_count(head_share, 4)
        weighed = kept_count(value_keep, tokens)
        assert work.token_kept.sum() == tokens
        assert work.head_kept.sum() == heads
        assert not (work.token_kept & ~tokens_before).any()
        assert not (work.head_kept & ~heads_before).any()
        assert not work.output[:, ~work.token_kept].any()
        assert not work.output[~work.head_kept].any()
        assert work.kept_pairs.tolist() == [tokens * weighed * kept for kept in work.head_kept]
        assert (work.kept_pairs <= n * n).all()
        assert work.effectual_macs == heads * tokens * (tokens + weighed) * 16
        tokens_before, heads_before = work.token_kept, work.head_kept


def test_a_share_falls_evenly_after_the_layers_that_keep_all():
    pruning = SpattenPruning(unpruned_layers=0.15)
    assert shares(0.5, 12, pruning) == pytest.approx([1, 1, *(1 - 0.05 * step for step in range(1, 11))])
    # 0.15 x 20 is 3 and a little in binary.
    assert shares(0.5, 20, pruning)[2:4] == pytest.approx([1, 1 - 0.5 / 17])
    assert shares(0.5, 1, pruning) == [0.5]
    assert shares(0.5, 2, SpattenPruning(unpruned_layers=0.9)) == [1, 0.5]
    assert shares(0.5, 4, SpattenPruning(unpruned_layers=0.25, ramp="step")) == [1, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(("share", "total", "kept"), [(0.25, 384, 96), (0.1, 30, 3), (0.5, 3, 2), (0.001, 9, 1)])
def test_kept_counts_are_rounded_and_at_least_one(share, total, kept):
    assert kept_count(share, total) == kept


def test_a_token_that_nobody_attends_to_is_pruned_and_the_layers_after_it_do_without():
    operands = gaussian(10, heads=2, seed=4)
    query, key = np.abs(operands.query), operands.key.copy()
    key[:, 3] = -7.0
    first = Operands(query, key, operands.value)
    unit = machine(token_keep=0.9, head_keep=1.0, unpruned_layers=0.5)
    before, after = SPATTEN.execute(unit, [first, operands])
    assert before.token_kept.all()
    assert np.flatnonzero(~after.token_kept).tolist() == [3]
    left = np.delete(np.arange(10), 3)
    alone = Operands(operands.query[:, left], operands.key[:, left], operands.value[:, left])
    unpruned = SPATTEN.execute(machine(token_keep=1.0, head_keep=1.0), [alone])[0]
    np.testing.assert_array_equal(after.output[:, left], unpruned.output)


def test_the_head_that_put_out_least_is_pruned_from_the_next_layer_on():
    operands = gaussian(12, heads=3, seed=1)
    value = operands.value.copy()
    value[1] *= 0.1
    weak = Operands(operands.query, operands.key, value)
    unit = machine(token_keep=1.0, head_keep=2 / 3, unpruned_layers=0.3, ramp="step")
    works = SPATTEN.execute(unit, [weak, operands, operands])
    assert [work.head_kept.tolist() for work in works] == [[True] * 3, [True, False, True], [True, False, True]]


def test_a_single_layer_stands_in_for_those_before_it():
    (work,) = SPATTEN.execute(machine(token_keep=0.5, head_keep=0.5), [gaussian(20)])
    assert work.stand_in
    assert work.kept_tokens.tolist() in ([10, 0], [0, 10])
    assert not SPATTEN.execute(machine(token_keep=1.0, head_keep=1.0), [gaussian(20)])[0].stand_in


@pytest.mark.parametrize("knob", ["token_keep", "head_keep", "value_keep"])
def test_more_is_kept_as_a_ratio_rises(knob):
    ratios = [0.1, 0.3, 0.5, 0.8, 1.0]
    kept = [SPATTEN.execute(machine(**{knob: ratio}), [gaussian(33, heads=5)])[0].keep_ratio for ratio in ratios]
    assert kept == sorted(kept)
    assert kept[0] < kept[-1]


def test_numbers_that_the_format_cannot_hold_are_counted():
    operands = gaussian(6)
    operands.value[0, :2] = 9.0
    assert SPATTEN.execute(machine(), [operands], pruning=False)[0].saturated == 32


def test_a_small_layer_takes_the_cycles_that_hand_counting_gives():
    """Four tokens, one head: load 1,152 B at 64 B a cycle and 100 of latency; a query takes 4 cycles in each stage."""
    unit, work = load_attention_unit("spatten_eighth"), plain_layer(4, heads=1, decision_cycles=9)
    run = simulate_layer(unit, work)
    loaded = 18 + 100
    last_value = loaded + 4 + 4 + 4 * 4
    decided = last_value + PIPELINE_DEPTH + 9
    written = decided + 384 // 64 + 100
    assert run.end_ps == 1000 * written
    assert run.dram_bytes == 4 * 4 * 96
    assert run.products == {"score": 4 * 4 * 64, "score_again": 0, "value": 4 * 4 * 64}


def test_a_second_pass_takes_the_scores_and_softmax_twice_and_fetches_low_bits_once():
    unit = load_attention_unit("spatten_eighth")
    again = np.array([[True, False, True, False]])
    once = plain_layer(4, heads=1, all_bits=False)
    twice = plain_layer(4, heads=1, all_bits=False, recomputed=again)
    before, after = simulate_layer(unit, once), simulate_layer(unit, twice)
    assert after.core_busy_ps["score"][0] - before.core_busy_ps["score"][0] == 2 * 4 * 1000
    assert after.dram_bytes - before.dram_bytes == 4 * 32
    assert after.products["score_again"] == 2 * 4 * 64
    assert after.actions["softmax_element"] == 16 + 8


def test_rows_beyond_the_buffers_are_read_for_every_query():
    unit = machine("spatten_eighth", key_buffer=3 * 96, value_buffer=5 * 96)
    traffic = head_traffic(unit, plain_layer(7, heads=1), 0)
    assert traffic.load == (7 + 3 + 5) * 96
    assert traffic.fetch == 7 * (4 + 2) * 96
    assert simulate_layer(unit, plain_layer(7, heads=1)).dram_bytes == (15 + 42 + 7) * 96


def test_rows_longer_than_the_multipliers_take_several_cycles():
    unit = load_attention_unit("spatten_eighth")
    run = simulate_layer(unit, plain_layer(5, heads=1, head_dim=128))
    assert run.core_busy_ps["score"][0] == run.core_busy_ps["value"][0] == 5 * 5 * 2 * 1000


@pytest.mark.parametrize("name", ["spatten", "spatten_eighth"])
@pytest.mark.parametrize("n", [128, 384, 1024, 4096])
def test_the_closed_form_holds_with_nothing_pruned(name, n):
    unit, work = load_attention_unit(name), plain_layer(n)
    run = simulate_layer(unit, work)
    assert closed_form(unit, work) == pytest.approx(run.end_ps / 1000, rel=0.01)
    utilisation = 2 * 12 * n * n * 64 / (2 * unit.multipliers * run.end_ps / 1000)
    # DRAM bounds the longest sequence, whose K and V are twice what the buffers hold.
    assert (0.6 if n == 4096 else 0.97) < utilisation <= 1


@settings(deadline=None, max_examples=20)
@given(
    name=st.sampled_from(["spatten", "spatten_eighth", "spatten_progressive"]),
    n=st.sampled_from([1, 3, 40, 77]),
    heads=st.integers(1, 4),
    pruning=st.booleans(),
    seed=st.integers(0, 9),
)
def test_time_adds_up_and_repeats(name, n, heads, pruning, seed):
    unit, operands = load_attention_unit(name), gaussian(n, heads, 64, seed)
    (work,) = SPATTEN.execute(unit, [operands], pruning=pruning)
    run = SPATTEN.simulate(unit, work)
    assert sum(run.account_ps.values()) == run.end_ps
    assert work.effectual_macs <= 2 * unit.multipliers * run.end_ps / 1000
    assert SPATTEN.closed_form_cycles(unit, work) == pytest.approx(run.end_ps / 1000, rel=0.05)
    (same,) = SPATTEN.execute(unit, [operands], pruning=pruning)
    np.testing.assert_array_equal(same.output, work.output)
    assert SPATTEN.simulate(unit, same).actions == run.actions


def test_the_decision_is_in_cycles_and_actions():
    unit, operands = load_attention_unit("spatten"), gaussian(64, heads=4)
    (work,) = SPATTEN.execute(unit, [operands], pruning=False)
    assert work.layer.decision_cycles >= 64 // 16 + 3 + 1 + 3
    actions = SPATTEN.simulate(unit, work).actions
    assert actions["top_k_comparison"] >= 64 + 4
    assert actions["importance_addition"] == 4 * 64 * (64 + 16)


def test_local_pruning_keeps_the_engine_busy_for_every_query():
    operands = gaussian(64, head_dim=64)
    (work,) = SPATTEN.execute(machine(value_keep=0.5), [operands])
    run = SPATTEN.simulate(machine(), work)
    tokens = int(work.token_kept.sum())
    assert (work.layer.select_cycles >= -(-tokens // 16) + 3).all()
    assert run.core_busy_ps["top_k"][0] > run.core_busy_ps["value"][0]
    assert work.layer.value_rows.max() <= tokens


def test_the_behavioural_mode_gives_the_published_cycles_layer_by_layer():
    unit = machine(mode="behavioural")
    stack = [gaussian(128, heads=12, head_dim=64)] * 12
    works = SPATTEN.execute(unit, stack, pruning=False)
    runs = [SPATTEN.simulate(unit, work) for work in works]
    assert sum(run.end_ps for run in runs) == 300_948_000
    assert sum(SPATTEN.closed_form_cycles(unit, work) for work in works) == 300_948
    assert all(sum(run.account_ps.values()) == run.end_ps for run in runs)
    assert runs[0].dram_bytes == 2 * 12 * 128 * 64


@pytest.mark.parametrize(
    "changes",
    [{"fetched_keys": 96}, {"token_keep": 0.25, "unpruned_layers": 0.0, "ramp": "step"}],
)
def test_the_behavioural_mode_leaves_pruned_tokens_as_queries(changes):
    unit = machine(mode="behavioural", head_keep=1.0, **changes)
    works = SPATTEN.execute(unit, [gaussian(384, heads=12, head_dim=64)] * 2)
    assert [SPATTEN.simulate(unit, work).end_ps * 12 for work in works] == [668_388_000] * 2
    assert [work.stand_in for work in works] == [True, False]
    assert [work.keep_ratio for work in works] == [0.25, 0.25]
    assert all(np.abs(work.output).min(axis=2).all() for work in works)
    # The multipliers have more cycles than products.
    assert works[0].effectual_macs == 2 * 12 * 384 * 96 * 64 < 1024 * 668_388 / 12


def test_the_behavioural_mode_takes_its_input_from_the_unit():
    unit = machine(mode="behavioural", fetched_keys=20, key_bits=4, top_k=9, pivots="expected", head_keep=0.5)
    (work,) = SPATTEN.execute(unit, [gaussian(40, heads=2, head_dim=64)])
    head = BehaviouralHead(40, 20, key_bits=4, top_k=9)
    expected = layer_cycles([head], BehaviouralMachine(expected=True)).total
    assert SPATTEN.simulate(unit, work).end_ps == 1000 * expected


def test_the_behavioural_mode_refuses_more_keys_than_there_are():
    with pytest.raises(MappingError, match="fetched_keys is 96"):
        SPATTEN.execute(machine(mode="behavioural", fetched_keys=96), [gaussian(20)])
    unit = machine(mode="behavioural", fetched_keys=6, top_k=7)
    (work,) = SPATTEN.execute(unit, [gaussian(20)])
    with pytest.raises(MappingError, match="top_k is 7"):
        SPATTEN.simulate(unit, work)


def test_operands_that_it_cannot_take_are_refused():
    operands = gaussian(4)
    operands.key[0, 0, 0] = np.nan
    with pytest.raises(OperandError, match="NaN"):
        SPATTEN.execute(machine(), [operands])
    with pytest.raises(MappingError, match="max_head_dim"):
        SPATTEN.execute(machine(), [gaussian(4, head_dim=513)])
    with pytest.raises(OperandError, match="one shape"):
        SPATTEN.execute(machine(), [gaussian(4), gaussian(5)])
    assert SPATTEN.execute(machine(), []) == ()


def test_widths_beyond_the_multipliers_are_refused_with_file_and_line(tmp_path):
    path = tmp_path / "wide.yaml"
    path.write_text("extends: spatten\nname: wide\nspatten:\n  msb_bits: 10\n")
    with pytest.raises(ConfigError, match=r"wide\.yaml.*14 bits together"):
        load_attention_unit(path)


def test_the_unit_has_two_rows_of_multipliers_and_two_buffers():
    unit = load_attention_unit("spatten_eighth")
    assert [(part.count, part.bits) for part in SPATTEN.multipliers(unit)] == [(64, 144), (64, 144)]
    assert SPATTEN.on_chip_bytes(unit) == 2 * 196_608
