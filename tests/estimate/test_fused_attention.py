"""Fused attention in closed form: what it counts, what bounds it, how it grows."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.estimate.fused_attention import (
    AttentionMachine,
    AttentionShape,
    FusedKernel,
    block_overhead,
    cache_write_time,
    fused_attention_time,
    key_tiles,
    step_cycles,
)

MACHINE = AttentionMachine(
    sm_count=108,
    clock=1.41e9,
    macs_per_cycle=1024,
    exponentials_per_cycle=16,
    operations_per_cycle=64,
    operations=4,
    setup=200,
    round_trip=1400,
    epilogue_rate=16,
    l2_rate=3800,
    l2_capacity=40e6,
    dram_rate=1000,
    threads_per_sm=2048,
    blocks_per_sm=32,
    launch=2600,
)
KERNEL = FusedKernel(tile_q=64, tile_k=128, head_dim=128, resident=2, groups=1)

lengths = st.integers(1, 5000)
shapes = st.builds(
    lambda batch, group, kv_heads, head_dim, q_len, more, causal: AttentionShape(
        batch, group * kv_heads, kv_heads, head_dim, q_len, q_len + more, causal
    ),
    st.integers(1, 20),
    st.integers(1, 4),
    st.integers(1, 12),
    st.integers(1, 128),
    lengths,
    st.integers(0, 500),
    st.booleans(),
)
kernels = st.builds(
    FusedKernel,
    tile_q=st.sampled_from([16, 64, 128, 192]),
    tile_k=st.sampled_from([32, 80, 128]),
    head_dim=st.just(128),
    resident=st.integers(1, 3),
    groups=st.integers(1, 3),
)


@settings(deadline=None, max_examples=60)
@given(lengths, st.integers(0, 700), st.integers(1, 200), st.integers(1, 200))
def test_causal_tiles_are_those_that_some_query_sees(q_len: int, more: int, tile_q: int, tile_k: int) -> None:
    shape = AttentionShape(1, 1, 1, 8, q_len, q_len + more, True)
    found = key_tiles(shape, tile_q, tile_k)
    last_query = [min((tile + 1) * tile_q, q_len) - 1 for tile in range(-(-q_len // tile_q))]
    assert found.tolist() == [-(-(more + query + 1) // tile_k) for query in last_query]
    assert (found <= key_tiles(replace(shape, causal=False), tile_q, tile_k)).all()


def test_causal_attention_of_more_queries_than_keys_has_no_meaning() -> None:
    with pytest.raises(ValueError, match="9 queries needs as many keys, not 8"):
        fused_attention_time(AttentionShape(1, 1, 1, 8, 9, 8, True), KERNEL, MACHINE)


@settings(deadline=None, max_examples=80)
@given(shapes, kernels)
def test_time_is_above_every_bound(shape: AttentionShape, kernel: FusedKernel) -> None:
    found = fused_attention_time(shape, kernel, MACHINE)
    cycles = found.seconds * MACHINE.clock * (1 + 1e-9)
    assert found.tiles == shape.batch * shape.q_heads * key_tiles(shape, kernel.tile_q, kernel.tile_k).sum()
    assert found.macs == 2 * found.tiles * kernel.tile_q * kernel.tile_k * kernel.head_dim
    assert cycles >= found.macs / (MACHINE.macs_per_cycle * MACHINE.sm_count)
    assert cycles >= found.scores / (MACHINE.exponentials_per_cycle * MACHINE.sm_count)
    assert cycles >= found.dram_bytes / MACHINE.dram_rate
    assert cycles >= found.l2_bytes / MACHINE.l2_rate
    assert cycles >= block_overhead(shape, kernel, MACHINE) + step_cycles(kernel, MACHINE, 1)
    assert found.dram_bytes >= 2 * shape.query_bytes + shape.key_bytes


@settings(deadline=None, max_examples=60)
@given(shapes, kernels)
def test_more_work_never_takes_less(shape: AttentionShape, kernel: FusedKernel) -> None:
    seconds = fused_attention_time(shape, kernel, MACHINE).seconds
    assert fused_attention_time(replace(shape, batch=shape.batch + 1), kernel, MACHINE).seconds >= seconds
    assert fused_attention_time(shape, replace(kernel, efficiency=0.5), MACHINE).seconds >= seconds
    slower = replace(MACHINE, macs_per_cycle=512)
    assert fused_attention_time(shape, kernel, slower).seconds >= seconds


def test_queries_that_share_keys_read_them_once() -> None:
    own, shared = (AttentionShape(2, 16, heads, 64, 512, 512) for heads in (16, 2))
    found = [fused_attention_time(shape, KERNEL, MACHINE) for shape in (own, shared)]
    assert found[0].macs == found[1].macs
    assert found[0].dram_bytes - found[1].dram_bytes == own.key_bytes - shared.key_bytes == 7 * shared.key_bytes


def test_keys_beyond_l2_are_read_by_every_wave() -> None:
    shape = AttentionShape(1, 4, 4, 128, 16384, 16384)
    small = replace(MACHINE, l2_capacity=1e6)
    assert (
        fused_attention_time(shape, KERNEL, small).dram_bytes > fused_attention_time(shape, KERNEL, MACHINE).dram_bytes
    )


def test_thread_blocks_share_an_sm_without_being_slowed_until_its_units_are_full() -> None:
    # 2048 cycles of products and 64 * 128 * (1/16 + 4/64) = 1024 of softmax.
    assert [step_cycles(KERNEL, MACHINE, active) for active in (1, 2)] == [3072, 4096]
    grouped = replace(KERNEL, tile_q=128, groups=2)
    assert step_cycles(grouped, MACHINE, 1) == step_cycles(KERNEL, MACHINE, 2)


def test_causal_work_is_half_and_its_tail_more() -> None:
    full = AttentionShape(8, 16, 16, 128, 4096, 4096)
    times = [fused_attention_time(replace(full, causal=causal), KERNEL, MACHINE).seconds for causal in (False, True)]
    assert 0.5 < times[1] / times[0] < 0.56


def test_few_heads_leave_the_cache_writer_waiting_for_memory() -> None:
    def seconds(heads: int, threads: int | None) -> float:
        return cache_write_time(AttentionShape(1, heads, heads, 128, 32768, 32768), threads, False, MACHINE).seconds

    # Thread blocks of 512 threads: four to an SM, whatever the heads beyond four.
    assert seconds(4, 512) == pytest.approx(seconds(8, 512))
    assert seconds(1, 512) < 0.4 * seconds(4, 512)
    assert seconds(64, 512) == seconds(64, None) > 2 * seconds(4, 512)


def test_rewritten_queries_are_moved_as_well() -> None:
    shape = AttentionShape(4, 32, 8, 128, 1024, 1024, True)
    with_queries, without = (cache_write_time(shape, None, queries, MACHINE) for queries in (True, False))
    assert with_queries.moved_bytes - without.moved_bytes == 2 * shape.query_bytes
    assert without.moved_bytes == 2 * shape.key_bytes
