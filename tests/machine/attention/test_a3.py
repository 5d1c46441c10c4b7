"""The A3 unit: its pipeline by hand, its published latency and power, tiles beyond its buffers, what it refuses."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.config.loader import load_attention_unit, load_energy
from accelsim.energy.account import dynamic_energy, static_energy
from accelsim.errors import ConfigError, MappingError, OperandError
from accelsim.machine.attention.a3 import A3_UNIT, A3Unit, A3Work
from accelsim.machine.attention.accelerator import Operands
from accelsim.machine.attention.run import AttentionRun

quick = settings(deadline=None, max_examples=25)


def make_unit(name: str = "a3", **changes: Any) -> A3Unit:
    unit = load_attention_unit(name, [f"hardware.{key}={value}" for key, value in changes.items()])
    assert isinstance(unit, A3Unit)
    return unit


def operands(heads: int, n: int, head_dim: int, seed: int = 0) -> Operands:
    random = np.random.default_rng(seed)
    return Operands(*(random.normal(scale=1.5, size=(3, heads, n, head_dim)).astype(np.float32)))


def run_of(unit: A3Unit, parts: Operands, *, pruning: bool = True) -> tuple[A3Work, AttentionRun]:
    (work,) = A3_UNIT.execute(unit, [parts], pruning=pruning)
    return work, A3_UNIT.simulate(unit, work)


def all_kept(heads: int, n: int) -> Operands:
    """Every key a candidate, one for each iteration: only the first column counts, and it is positive throughout."""
    parts = np.ones((3, heads, n, 64), dtype=np.float32)
    parts[0, :, :, 1:] = 0
    return Operands(*parts)


def power_mw(unit: A3Unit, run: AttentionRun) -> dict[str, float]:
    """Mean power of each action."""
    table = load_energy(unit.energy)
    items = dynamic_energy("unit", run.actions, table) + static_energy("unit", table, run.end_ps)
    return {item.action: item.energy_uj * 1e9 / run.end_ps for item in items}


def stage_span(run: AttentionRun, head: int) -> tuple[int, int]:
    """Begin and end of a head in the modules, in cycles of 1 ns."""
    own = (run.stage_head == head) & (run.stage_kind < run.stages.index("load"))
    return int(run.stage_begin_ps[own].min()) // 1000, int(run.stage_end_ps[own].max()) // 1000


@pytest.mark.parametrize("n", [1, 20, 186, 320])
def test_without_approximation_a_query_takes_3n_27_cycles_and_the_next_follows_n_9_later(n: int) -> None:
    parts = operands(1, n, 64)
    _, run = run_of(make_unit(), parts, pruning=False)
    begin, end = stage_span(run, 0)
    assert end - begin == 3 * n + 27 + (n - 1) * (n + 9)


def test_with_approximation_by_hand() -> None:
    n, iterations = 32, 16
    work, run = run_of(make_unit(), operands(1, n, 64))
    candidates, kept = work.candidates[0, 0], work.kept[0, 0]
    begin, end = stage_span(run, 0)
    # Candidate selection is the slowest module, so the others wait for nothing: M + C + 2K + 36 for the last query, and
    # two cycles in which 32 greedy scores are scanned and one or two in which C scores are compared.
    last = iterations + int(candidates[-1]) + 2 * int(kept[-1]) + 36 + 2 + -(-int(candidates[-1]) // 16)
    assert end - begin == (n - 1) * (iterations + 9) + last
    assert run.actions["candidate_cycle"] == n * (iterations + 9)
    assert run.actions["sorted_key_cycle"] == n * iterations
    assert run.actions["dot_product_cycle"] == candidates.sum() + 9 * n
    assert run.actions["weighted_sum_cycle"] == run.actions["exponent_cycle"] == kept.sum() + 9 * n
    assert run.actions["host_comparison"] == 64 * n * 5
    assert run.products == {"score": 64 * candidates.sum(), "value": 64 * kept.sum()}
    # Q, K and V of 8 bits and sorted numbers with their rows come in, 16-bit output goes out.
    assert run.dram_bytes == n * 64 * (3 + 2 + 2)


def test_all_of_k_and_v_is_loaded_whatever_is_pruned() -> None:
    conservative, aggressive = (run_of(make_unit(name), operands(2, 96, 64))[1] for name in ("a3", "a3_aggressive"))
    assert conservative.dram_bytes == aggressive.dram_bytes == 2 * 96 * 64 * (3 + 2 + 2)
    assert aggressive.end_ps < conservative.end_ps


def test_power_at_full_load_is_that_of_the_published_parts() -> None:
    unit = make_unit(candidate_share="1.0", post_threshold="0.0")
    work, run = run_of(unit, all_kept(4, 320))
    assert (work.kept == 320).all()
    power = power_mw(unit, run)
    core = sum(power.values()) - power["dram_byte"]
    assert core == pytest.approx(110.0, rel=0.05)
    assert power["leakage"] == pytest.approx(11.5)
    # What never rests draws its published power: all but hand-over in buffers, and loads between heads.
    for action, published in (
        ("dot_product_cycle", 14.338), ("exponent_cycle", 0.224), ("weighted_sum_cycle", 50.918),
        ("candidate_cycle", 19.48), ("buffer_byte", 2 * 2.901), ("sorted_key_cycle", 6.10),
    ):  # fmt: skip
        assert power[action] == pytest.approx(published, rel=0.06)
    assert power["host_comparison"] == 0


@pytest.mark.parametrize("pruning", [False, True])
@pytest.mark.parametrize("n", [128, 384, 1024])
def test_closed_form_and_throughput(n: int, pruning: bool) -> None:
    unit = make_unit()
    work, run = run_of(unit, operands(12 if n < 1024 else 4, n, 64), pruning=pruning)
    cycles = run.end_ps * unit.clock / 1e12
    assert A3_UNIT.closed_form_cycles(unit, work) == pytest.approx(cycles, rel=0.02)
    multipliers = sum(part.count for part in A3_UNIT.multipliers(unit))
    assert multipliers == 128
    assert 0 < work.effectual_macs / (multipliers * cycles) <= 1
    if not pruning:
        assert work.effectual_macs == work.dense_macs
        # A query every n + 9 cycles, or every 320 + 13 for each tile, and the loads in between.
        assert work.dense_macs / (multipliers * cycles) > 0.88


def counted(parts: int, heads: int = 12, head_dim: int = 64) -> A3Work:
    """Work of `parts` keys without approximation, by its counts alone."""
    tiles = np.array([min(320, parts - first) for first in range(0, parts, 320)], dtype=np.int32)
    counts = np.broadcast_to(tiles[None, :, None], (heads, len(tiles), parts))
    pairs = np.full(heads, parts * parts, dtype=np.int64)
    macs = 2 * head_dim * int(pairs.sum())
    empty = np.zeros((heads, 0, head_dim), dtype=np.float32)
    kept = np.ones(heads, dtype=np.bool_)
    return A3Work(
        heads, parts, head_dim, empty, pairs, pairs // parts, kept, macs, 0, candidates=counts, kept=counts,
        approximate=False,
    )  # fmt: skip


def test_closed_form_at_sequence_4096() -> None:
    unit, work = make_unit(), counted(4096)
    cycles = A3_UNIT.simulate(unit, work).end_ps * unit.clock / 1e12
    assert A3_UNIT.closed_form_cycles(unit, work) == pytest.approx(cycles, rel=0.02)


changes = st.fixed_dictionaries(
    {
        "max_keys": st.sampled_from(["4", "16", "320"]),
        "query_block": st.sampled_from(["3", "128"]),
        "candidate_share": st.sampled_from(["0.125", "0.5", "1.0"]),
        "post_threshold": st.sampled_from(["0.0", "0.05", "0.9"]),
        "dram_bandwidth": st.sampled_from(["0.1 GB/s", "64 GB/s"]),
        "clock": st.sampled_from(["1 GHz", "0.7 GHz"]),
    }
)


@quick
@given(changes, st.integers(1, 5), st.sampled_from([1, 3, 16, 33]), st.integers(1, 64), st.booleans())
def test_account_bytes_and_bounds(options: dict[str, str], heads: int, n: int, head_dim: int, pruning: bool) -> None:
    unit, parts = make_unit(**options), operands(heads, n, head_dim)
    work, run = run_of(unit, parts, pruning=pruning)
    assert (run.core_account_ps.sum(axis=1) == run.end_ps).all()
    assert (run.core_account_ps >= 0).all()
    assert run.dram_busy_ps <= run.end_ps
    tiles = -(-n // unit.max_keys)
    blocks = -(-n // unit.query_block) if tiles > 1 else 1
    row = head_dim * (2 + (2 if pruning else 0))
    assert run.dram_bytes == heads * n * (blocks * row + tiles * head_dim + 2 * head_dim)
    assert run.actions["dram_byte"] == run.dram_bytes
    assert run.actions["buffer_byte"] == run.buffer_bytes >= heads * blocks * n * row
    assert (work.kept_pairs <= n * n).all()
    assert work.effectual_macs == run.products["value"] * 2 <= work.dense_macs
    assert (work.kept_pairs == n * n).all() or pruning
    assert work.keep_ratio <= 1
    table = load_energy(unit.energy)
    assert {item.action for item in dynamic_energy("unit", run.actions, table)} <= set(table.actions)
    cycles = run.end_ps * unit.clock / 1e12
    for action, counts in run.actions.items():
        if action.endswith("_cycle"):
            assert counts <= cycles + 1, action
    again = A3_UNIT.simulate(unit, work)
    assert again.end_ps == run.end_ps
    np.testing.assert_array_equal(again.core_account_ps, run.core_account_ps)


def test_the_order_of_heads_changes_neither_counts_nor_energy() -> None:
    unit, parts = make_unit(), operands(3, 40, 16)
    order = [1, 2, 0]
    turned = Operands(parts.query[order], parts.key[order], parts.value[order])
    (work, run), (other, again) = run_of(unit, parts), run_of(unit, turned)
    np.testing.assert_array_equal(other.output, work.output[order])
    assert again.actions == run.actions


def test_keep_ratio_falls_as_the_knob_rises() -> None:
    assert A3_UNIT.knob is not None
    assert A3_UNIT.knob.path == "post_threshold"
    parts = operands(2, 60, 64)
    shares = [A3_UNIT.keep_ratio(make_unit(post_threshold=t), [parts]) for t in ("0.0", "0.05", "0.5", "0.99")]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[-1] > 0


def test_more_keys_than_it_holds_are_tiled_or_refused() -> None:
    parts = operands(1, 321, 64)
    work, run = run_of(make_unit(), parts)
    assert work.candidates.shape == (1, 2, 321)
    assert run.core_busy_ps["division"].sum() == 321 * 64 * 1000
    with pytest.raises(MappingError, match="321 does not fit a3: it holds 320"):
        A3_UNIT.execute(make_unit(beyond="refuse"), [parts])
    A3_UNIT.execute(make_unit(beyond="refuse"), [operands(1, 3, 64)])
    assert A3_UNIT.on_chip_bytes(make_unit(beyond="refuse")) == 80 * 1024
    assert A3_UNIT.on_chip_bytes(make_unit()) == 80 * 1024 + 128 * 264


def test_what_it_cannot_take() -> None:
    with pytest.raises(MappingError, match="head_dim 65"):
        A3_UNIT.execute(make_unit(), [operands(1, 4, 65)])
    parts = operands(1, 4, 8)
    parts.key[0, 0, 0] = np.inf
    with pytest.raises(OperandError, match=r"a3: query, key or value: .*infinity"):
        A3_UNIT.execute(make_unit(), [parts])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"post_threshold": "1.0"}, "post_threshold"),
        ({"candidate_share": "0.0"}, "candidate_share"),
        ({"max_keys": "321"}, "key_buffer of 20480 B does not hold 321 keys"),
        ({"integer_bits": "9", "fraction_bits": "8"}, "at most 16"),
        ({"beyond": "spill"}, "beyond"),
    ],
)
def test_specs_that_contradict_themselves(change: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_unit(**change)
