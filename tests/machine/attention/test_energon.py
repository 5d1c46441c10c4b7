"""Energon's unit: its timing by hand, its account, its traffic, and what its closed form says."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from accelsim.config.attention_unit import accelerator_of
from accelsim.config.loader import load_attention_unit, load_energy
from accelsim.errors import MappingError, OperandError
from accelsim.machine.attention.accelerator import Operands
from accelsim.machine.attention.energon import ENERGON, EnergonWork
from accelsim.machine.attention.energon_pipeline import energon_costs, stage_cycles
from accelsim.machine.attention.energon_unit import EnergonUnit
from accelsim.machine.attention.run import AttentionRun

quick = settings(deadline=None, max_examples=25)

UNITS = ("energon", "energon_edge", "energon_server")


def make_unit(**changes: Any) -> EnergonUnit:
    fields = {
        "kind": "attention_unit",
        "name": "small",
        "algorithm": "energon",
        "clock": "1 GHz",
        "rounds": [{"query_bits": 4, "key_bits": 2}, {"query_bits": 4, "key_bits": 4}],
        "alpha": 0.0,
        "filter_keys": 2,
        "filter_lanes": 2,
        "filter_key_bits": 2,
        "selector_scores_per_cycle": 2,
        "attention_keys": 1,
        "attention_lanes": 2,
        "softmax_elements_per_cycle": 1,
        "tile_queries": 2,
        "filter_buffer": "64 B",
        "key_value_buffer": "48 B",
        "score_buffer": "4 KiB",
        "max_head_dim": 128,
        "dram_bandwidth": "1 GB/s",
        "dram_latency": "0 ns",
        "process_node": "45 nm",
        "energy": "none",
        "sources": {},
    }
    return EnergonUnit.model_validate(fields | changes)


def draw(heads: int, n: int, head_dim: int, seed: int = 0) -> Operands:
    generator = np.random.default_rng(seed)
    query, key, value = (generator.standard_normal((heads, n, head_dim), dtype=np.float32) for _ in range(3))
    return Operands(query, key, value)


def run_of(unit: EnergonUnit, operands: Operands, *, pruning: bool = True) -> tuple[EnergonWork, AttentionRun]:
    (work,) = ENERGON.execute(unit, [operands], pruning=pruning)
    return work, ENERGON.simulate(unit, work)


def all_kept(unit: EnergonUnit, heads: int, n: int, head_dim: int) -> EnergonWork:
    """Work of a filter that leaves everything, without its values."""
    tile = ENERGON.tile(unit, n)
    needed = np.full((heads, -(-n // tile)), n, dtype=np.int64)
    new = np.zeros_like(needed)
    new[:, 0] = n
    return EnergonWork(
        heads=heads,
        sequence=n,
        head_dim=head_dim,
        output=np.zeros((heads, 0, head_dim), np.float32),
        kept_pairs=np.full(heads, n * n, dtype=np.int64),
        kept_tokens=np.full(heads, n, dtype=np.int64),
        head_kept=np.ones(heads, dtype=np.bool_),
        effectual_macs=2 * heads * n * n * head_dim,
        saturated=0,
        survivors=np.full((heads, n, len(unit.rounds)), n, dtype=np.int64),
        tile=tile,
        needed_keys=needed,
        new_keys=new,
    )


units = st.fixed_dictionaries(
    {
        "cores": st.integers(1, 3),
        "alpha": st.floats(-1, 1),
        "filter_keys": st.integers(1, 5),
        "filter_lanes": st.integers(1, 9),
        "filter_key_bits": st.integers(1, 4),
        "selector_scores_per_cycle": st.integers(1, 5),
        "attention_keys": st.integers(1, 5),
        "attention_lanes": st.integers(1, 9),
        "softmax_elements_per_cycle": st.integers(1, 5),
        "tile_queries": st.integers(1, 9),
        "filter_buffer": st.sampled_from(["1 B", "1 KiB"]),
        "key_value_buffer": st.sampled_from(["1 B", "64 KiB"]),
        "dram_bandwidth": st.sampled_from(["1 GB/s", "100 GB/s"]),
        "dram_latency": st.sampled_from(["0 ns", "70 ns"]),
        "clock": st.sampled_from(["1 GHz", "0.7 GHz"]),
    }
)
shapes = st.tuples(st.integers(1, 3), st.sampled_from([1, 2, 3, 16, 33, 77]), st.integers(1, 9), st.integers(0, 99))


@pytest.mark.parametrize(("buffer", "end_ns"), [("48 B", 64), ("47 B", 80)])
def test_timing_by_hand(buffer: str, end_ns: int) -> None:
    # 3 queries of 2 numbers in tiles of 2 and 1, a byte of DRAM each nanosecond. Load of the first tile: 8 B of Q and
    # 3 B of K's bits until 11. Each query filters 2 + 2 cycles: until 15, 19 and 23. At 19 K and V, 24 B, are asked
    # for; the first query has its half of them at 31 and ends 3 + 3 + 3 later, the second has all at 43 and ends at
    # 52. If they stay, the third leaves the score stage behind it at 49 and ends at 55; writes queue from 52: 60, 64.
    # If not, it asks at 23 for 24 B of its own, which come until 67, and ends at 76; its write ends at 80.
    work = all_kept(make_unit(key_value_buffer=buffer), 1, 3, 2)
    run = ENERGON.simulate(make_unit(key_value_buffer=buffer), work)
    assert run.end_ps == end_ns * 1000
    assert run.core_busy_ps["filter"].tolist() == [12000]
    assert run.core_busy_ps["score"].tolist() == [9000]


def test_stages_by_hand() -> None:
    unit = make_unit(filter_keys=4, filter_lanes=8, attention_keys=2, attention_lanes=8, selector_scores_per_cycle=3)
    survivors = np.array([[[5, 3], [7, 1]]])  # [1 head, 2 queries, 2 rounds]: n is 2 here, and survivors are free
    assert stage_cycles(unit, survivors, 16).tolist() == [[[2 + 2 * 2, 4, 3, 4], [2 + 2 * 2, 2, 1, 2]]]
    slow = make_unit(filter_keys=4, filter_lanes=16, selector_scores_per_cycle=1)
    assert stage_cycles(slow, survivors, 16)[0, :, 0].tolist() == [2 + 5, 2 + 7]


def test_rounds_reuse_scores_when_they_see_the_same_query() -> None:
    assert make_unit().fresh_key_bits == (2, 2)
    anew = make_unit(rounds=[{"query_bits": 2, "key_bits": 2}, {"query_bits": 4, "key_bits": 4}])
    assert anew.fresh_key_bits == (2, 4)
    work = all_kept(anew, 1, 4, 8)
    assert ENERGON.simulate(anew, work).bit_products["filter"] == 16 * 8 * (2 * 2 + 4 * 4)
    assert ENERGON.simulate(make_unit(), work).bit_products["filter"] == 16 * 8 * (4 * 2 + 4 * 2)
    assert [kind.bits for kind in ENERGON.multipliers(anew)] == [8, 256]


@quick
@given(units, shapes, st.booleans())
def test_account_and_counts_add_up(changes: dict[str, Any], shape: tuple[int, int, int, int], pruning: bool) -> None:
    unit, operands = make_unit(**changes), draw(*shape)
    work, run = run_of(unit, operands, pruning=pruning)
    heads, n, head_dim, _ = shape
    assert run.core_account_ps.sum(axis=1).tolist() == [run.end_ps] * unit.cores
    kept = int(work.kept_pairs.sum())
    assert kept <= heads * n * n
    assert pruning or kept == heads * n * n
    assert work.effectual_macs == run.products["score"] + run.products["value"] == 2 * kept * head_dim
    assert run.actions["bit_product"] == sum(run.bit_products.values())
    assert run.actions["softmax_element"] == kept
    cycles = run.end_ps * 1e-12 * unit.clock
    attention = {kind.name: kind.count for kind in ENERGON.multipliers(unit)}["attention"]
    assert work.effectual_macs <= attention * cycles * (1 + 1e-9)
    again = ENERGON.simulate(unit, ENERGON.execute(unit, [operands], pruning=pruning)[0])
    assert again.end_ps == run.end_ps
    assert again.actions == run.actions


@quick
@given(units, shapes)
def test_dram_moves_what_tiles_need(changes: dict[str, Any], shape: tuple[int, int, int, int]) -> None:
    unit, operands = make_unit(**changes), draw(*shape)
    (work,) = ENERGON.execute(unit, [operands])
    run = ENERGON.simulate(unit, work)
    heads, n, head_dim, _ = shape
    tiles = -(-n // work.tile)
    codes = n * -(-head_dim // 2)
    wanted = 2 * 2 * heads * n * head_dim + heads * codes * (1 if 2 * codes <= unit.filter_buffer else tiles)
    held = 8 * n * head_dim <= unit.key_value_buffer
    rows = work.new_keys if held else work.needed_keys
    assert run.dram_bytes == wanted + 4 * head_dim * int(rows.sum())
    assert (work.needed_keys >= work.new_keys).all()


def test_no_two_queries_of_a_tile_fetch_a_key_twice() -> None:
    unit = make_unit(alpha=0.2, tile_queries=8, key_value_buffer="1 B")
    work, run = run_of(unit, draw(2, 32, 8))
    alone, apart = run_of(make_unit(alpha=0.2, tile_queries=1, key_value_buffer="1 B"), draw(2, 32, 8))
    assert alone.needed_keys.sum() == work.kept_pairs.sum() > work.needed_keys.sum()
    assert apart.dram_bytes > run.dram_bytes


@pytest.mark.parametrize("n", [128, 384, 1024, 4096])
@pytest.mark.parametrize("name", UNITS)
def test_closed_form_with_nothing_pruned(name: str, n: int) -> None:
    unit = load_attention_unit(name)
    assert isinstance(unit, EnergonUnit)
    work = all_kept(unit, 12 if n < 4096 else 2, n, 64)
    cycles = ENERGON.simulate(unit, work).end_ps * 1e-12 * unit.clock
    assert ENERGON.closed_form_cycles(unit, work) == pytest.approx(cycles, rel=0.05)


@pytest.mark.parametrize("name", UNITS)
def test_without_pruning_all_is_kept_and_the_filter_still_decides(name: str) -> None:
    unit = load_attention_unit(name)
    assert isinstance(unit, EnergonUnit)
    work, run = run_of(unit, draw(2, 77, 64), pruning=False)
    assert work.keep_ratio == 1
    np.testing.assert_array_equal(work.survivors, all_kept(unit, 2, 77, 64).survivors)
    np.testing.assert_array_equal(work.needed_keys, all_kept(unit, 2, 77, 64).needed_keys)
    np.testing.assert_array_equal(work.new_keys, all_kept(unit, 2, 77, 64).new_keys)
    assert run.actions["threshold_score"] == 2 * 2 * 77 * 77
    assert run.products["filter"] == 2 * 2 * 77 * 77 * 64
    assert set(run.actions) <= set(load_energy(unit.energy).actions)


def test_pruning_saves_time_and_bytes_near_the_cited_share() -> None:
    unit = load_attention_unit("energon").model_copy(update={"alpha": 0.12})
    assert isinstance(unit, EnergonUnit)
    operands = draw(4, 256, 64)
    dense, pruned = run_of(unit, operands, pruning=False), run_of(unit, operands)
    assert pruned[0].keep_ratio == pytest.approx(unit.keep_ratio, abs=0.03)
    assert ENERGON.keep_ratio(unit, [operands]) == pruned[0].keep_ratio
    assert dense[1].end_ps > 5 * pruned[1].end_ps
    assert dense[1].dram_bytes >= pruned[1].dram_bytes
    assert dense[1].buffer_bytes > 3 * pruned[1].buffer_bytes


def test_budget_of_the_normalised_size() -> None:
    unit = load_attention_unit("energon")
    assert isinstance(unit, EnergonUnit)
    assert sum(kind.count * kind.bits for kind in ENERGON.multipliers(unit)) == 128 * 256
    assert ENERGON.on_chip_bytes(unit) == (32 + 256 + 128) * 1024
    assert accelerator_of("energon") is ENERGON
    server = load_attention_unit("energon_server")
    assert isinstance(server, EnergonUnit)
    assert sum(kind.count * kind.bits for kind in ENERGON.multipliers(server)) == 8 * 128 * 256


def test_tiles_shrink_to_the_score_buffer_and_a_query_must_fit() -> None:
    unit = load_attention_unit("energon")
    assert isinstance(unit, EnergonUnit)
    assert [ENERGON.tile(unit, n) for n in (1, 128, 1024, 4096, 32768)] == [1, 32, 32, 8, 1]
    with pytest.raises(MappingError, match=r"sequence 32769 does not fit energon.*at most 32768 keys"):
        ENERGON.tile(unit, 32769)
    with pytest.raises(MappingError, match="score_buffer"):
        ENERGON.check(make_unit(score_buffer="8 B"), draw(1, 3, 2))


def test_remarks_say_what_does_not_stay() -> None:
    unit = load_attention_unit("energon")
    assert isinstance(unit, EnergonUnit)
    found = [ENERGON.remarks(unit, [all_kept(unit, 1, n, 64)]) for n in (512, 513, 8192)]
    assert [len(remarks) for remarks in found] == [0, 2, 2]
    assert found[2][1] == "every tile of 4 queries reads needed rows of K and V from DRAM anew"
    wide = make_unit(filter_buffer="1 B", key_value_buffer="1 B", tile_queries=64)
    assert ENERGON.remarks(wide, [all_kept(wide, 1, 8, 8)]) == []


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 128), (1, 77, 5)])
def test_odd_shapes(shape: tuple[int, int, int]) -> None:
    unit = load_attention_unit("energon")
    assert isinstance(unit, EnergonUnit)
    work, run = run_of(unit, draw(*shape))
    assert np.isfinite(work.output).all()
    assert work.output.shape == shape
    assert run.end_ps > 0


def test_bad_operands_and_settings() -> None:
    unit = make_unit()
    operands = draw(1, 4, 2)
    operands.query[0, 0, 0] = np.nan
    with pytest.raises(OperandError, match="small: 16-bit integers cannot hold NaN or infinity"):
        ENERGON.execute(unit, [operands])
    with pytest.raises(MappingError, match="head_dim 129"):
        ENERGON.execute(unit, [draw(1, 2, 129)])
    with pytest.raises(ValidationError, match="key_bits must grow"):
        make_unit(rounds=[{"query_bits": 4, "key_bits": 4}, {"query_bits": 4, "key_bits": 2}])
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        make_unit(alpha=1.01)


def test_order_of_heads_changes_no_count_and_no_byte() -> None:
    unit = load_attention_unit("energon")
    assert isinstance(unit, EnergonUnit)
    operands = draw(3, 64, 16)
    turned = Operands(operands.query[::-1].copy(), operands.key[::-1].copy(), operands.value[::-1].copy())
    (one, first), (other, second) = run_of(unit, operands), run_of(unit, turned)
    np.testing.assert_array_equal(one.output, other.output[::-1])
    assert first.actions == second.actions
    assert first.dram_bytes == second.dram_bytes


def test_faster_memory_and_wider_stages_are_never_slower() -> None:
    operands = draw(2, 40, 8)
    steps: list[dict[str, Any]] = [
        {},
        {"dram_bandwidth": "4 GB/s"},
        {"dram_bandwidth": "4 GB/s", "filter_keys": 4, "selector_scores_per_cycle": 4},
        {"dram_bandwidth": "4 GB/s", "filter_keys": 4, "selector_scores_per_cycle": 4, "attention_keys": 4},
    ]
    ends = [run_of(make_unit(**changes), operands)[1].end_ps for changes in steps]
    assert all(before >= after for before, after in pairwise(ends))
    assert ends[0] > ends[-1]


def test_costs_name_every_tile() -> None:
    unit = make_unit(tile_queries=4)
    work = all_kept(unit, 2, 10, 4)
    costs = energon_costs(unit, work.survivors, 4, work.tile, work.needed_keys, work.new_keys)
    assert costs.write_bytes.tolist() == [[32, 32, 16]] * 2
    assert costs.load_bytes.tolist() == [[32 + 20, 32, 16]] * 2
    assert costs.fetch_bytes.tolist() == [[160, 160, 160]] * 2
