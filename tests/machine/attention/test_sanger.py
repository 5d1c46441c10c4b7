"""Sanger's unit: its stages by hand, its closed form, its bounds, and its authors' arithmetic."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from accelsim.config.loader import load_attention_unit, load_energy
from accelsim.energy.account import dynamic_energy
from accelsim.errors import MappingError, OperandError
from accelsim.kernels.sanger import segments
from accelsim.machine.attention.accelerator import Operands
from accelsim.machine.attention.sanger import SANGER, SangerUnit, SangerWork, sanger_throughput_ms
from accelsim.machine.attention.sanger_throughput import sanger_throughput_cycles

quick = settings(deadline=None, max_examples=40)

SHIPPED = load_attention_unit("sanger")
assert isinstance(SHIPPED, SangerUnit)

SMALL: dict[str, Any] = {
    "kind": "attention_unit",
    "name": "small",
    "algorithm": "sanger",
    "clock": "1 GHz",
    "threshold": 0.1,
    "pe_rows": 2,
    "row_pes": 2,
    "ports": 4,
    "pack_queries": 2,
    "predict_rows": 2,
    "predict_columns": 2,
    "skew_cycles": 1,
    "exponential_cycles": 1,
    "outputs_per_cycle": 2,
    "operand_buffer": "64 KiB",
    "prediction_buffer": "64 KiB",
    "max_head_dim": 16,
    "dram_bandwidth": "8 GB/s",
    "dram_latency": "5 ns",
    "process_node": "55 nm",
    "energy": "sanger_55nm",
    "sources": {},
}


def make_unit(**changes: Any) -> SangerUnit:
    return SangerUnit.model_validate(SMALL | changes)


def operands(heads: int, n: int, head_dim: int, seed: int = 0, spread: float = 1.5) -> Operands:
    generator = np.random.default_rng(seed)
    return Operands(*((generator.normal(size=(heads, n, head_dim)) * spread).astype(np.float32) for _ in range(3)))


def run_of(unit: SangerUnit, layer: Operands, *, pruning: bool = True) -> tuple[SangerWork, Any]:
    (work,) = SANGER.execute(unit, [layer], pruning=pruning)
    return work, SANGER.simulate(unit, work)


def dense_work(unit: SangerUnit, n: int, heads: int = 12, head_dim: int = 64) -> SangerWork:
    """What execute counts when everything is kept, without its values."""
    vectors = np.full((n, -(-n // unit.ports)), unit.ports)
    vectors[:, -1] = n - unit.ports * (vectors.shape[1] - 1)
    split = segments(vectors, unit.row_pes)
    groups = np.add.reduceat(split, np.arange(0, n, unit.pack_queries), axis=0)
    return SangerWork(
        heads=heads,
        sequence=n,
        head_dim=head_dim,
        output=np.empty((0, 0, 0), dtype=np.float32),
        kept_pairs=np.full(heads, n * n, dtype=np.int64),
        kept_tokens=np.full(heads, n, dtype=np.int64),
        head_kept=np.ones(heads, dtype=np.bool_),
        effectual_macs=2 * heads * n * n * head_dim,
        saturated=0,
        passes=np.tile((-(-groups // unit.pe_rows)).sum(axis=1), (heads, 1)),
        sub_rows=heads * int(split.sum()),
        load_balance=n * n / (unit.row_pes * int(split.sum())),
    )


def utilisation(unit: SangerUnit, work: SangerWork, cycles: float) -> float:
    return work.effectual_macs / (sum(part.count for part in SANGER.multipliers(unit)) * cycles)


# ---- stages ----------------------------------------------------------------------------------------------------------


def test_one_group_by_hand() -> None:
    work, run = run_of(make_unit(), operands(1, 2, 2), pruning=False)
    # Load 3 x 8 B in 3 ns and 5 of latency; predict one tile in 2 + 2 columns to shift out + 2 of fill; pack 2 columns;
    # one pass of 2 (2 + 1) + 1; 4 outputs, 2 a cycle; write 8 B.
    assert work.passes.tolist() == [[1]]
    assert run.end_ps == (8 + 6 + 2 + 7 + 2 + 6) * 1000
    spent = {"load": 8000, "predict": 6000, "pack": 2000, "array": 7000, "divide": 2000, "write": 6000}
    assert run.account_ps == spent | {"fetch": 0, "idle": 0}
    assert run.products == {"predict": 8, "rescale": 8, "score": 8, "value": 8}
    assert run.bit_products == {"predict": 128, "rescale": 2048, "score": 2048, "value": 2048}
    assert run.actions["softmax_element"] == 8
    assert run.actions["mask_element"] == 4
    assert run.dram_bytes == 32


def test_groups_overlap_by_hand() -> None:
    work, run = run_of(make_unit(), operands(1, 4, 2), pruning=False)
    # Each query splits its 4 keys into 2 sub-rows, so a group fills the 2 rows twice: 14 cycles. Groups predict in 12,
    # pack in 4, divide in 2: load 11, first group to the array 16, array 28, divide 2, write 7.
    assert work.passes.tolist() == [[2, 2]]
    assert work.sub_rows == 8
    assert run.end_ps == (11 + 16 + 28 + 2 + 7) * 1000


def test_exponentials_without_room_are_predicted_twice() -> None:
    layer = operands(1, 4, 2)
    # Two groups of 2 queries x 4 keys, each 2 bytes and a bit.
    roomy, tight = make_unit(prediction_buffer="34 B"), make_unit(prediction_buffer="33 B")
    _, once = run_of(roomy, layer, pruning=False)
    _, twice = run_of(tight, layer, pruning=False)
    assert twice.products["predict"] == 2 * once.products["predict"]
    # Prediction takes 24 cycles a group and hides the array's 14: 11 + 48 + 4 + 14 + 2 + 7.
    assert twice.end_ps == (11 + 48 + 4 + 14 + 2 + 7) * 1000
    assert twice.actions["bit_product"] > once.actions["bit_product"]


def test_operands_without_room_are_read_again() -> None:
    layer = operands(2, 16, 4)
    _, held = run_of(make_unit(operand_buffer="384 B"), layer)
    _, streamed = run_of(make_unit(operand_buffer="383 B"), layer)
    matrix, groups = 16 * 4 * 2, 8
    assert held.dram_bytes == 2 * 4 * matrix
    # Q and the output once; K to predict, and K and V to compute, for each group.
    assert streamed.dram_bytes == 2 * (2 + 3 * groups) * matrix
    assert streamed.end_ps >= held.end_ps
    # On a tenth of the bandwidth the reading bounds the head.
    slow = {"dram_bandwidth": "0.8 GB/s"}
    unit = make_unit(operand_buffer="383 B", **slow)
    work, starved = run_of(unit, layer)
    _, fed = run_of(make_unit(operand_buffer="384 B", **slow), layer)
    assert starved.end_ps > 1.5 * fed.end_ps
    assert starved.account_ps["fetch"] > 0
    assert starved.end_ps / 1000 == pytest.approx(SANGER.closed_form_cycles(unit, work), rel=0.05)


@pytest.mark.parametrize("n", [128, 384, 1024, 4096])
def test_nothing_pruned_agrees_with_the_closed_form(n: int) -> None:
    work = dense_work(SHIPPED, n)
    cycles = SANGER.simulate(SHIPPED, work).end_ps * 1e-12 * SHIPPED.clock
    expected = SANGER.closed_form_cycles(SHIPPED, work)
    assert cycles == pytest.approx(expected, rel=0.05)
    # 64 cycles of skew for 64 of work leave the main array half its time, and the others' multipliers count too.
    passes = 12 * 4 * (n // 64) ** 2
    bound = 2 * 12 * n * n * 64 / (5248 * passes * 258)
    assert utilisation(SHIPPED, work, cycles) == pytest.approx(bound, rel=0.05)


def test_counts_of_dense_work_are_those_of_values() -> None:
    (work,) = SANGER.execute(SHIPPED, [operands(2, 130, 64)], pruning=False)
    expected = dense_work(SHIPPED, 130, heads=2)
    np.testing.assert_array_equal(work.passes, expected.passes)
    assert work.sub_rows == expected.sub_rows
    assert work.load_balance == pytest.approx(expected.load_balance)
    assert work.effectual_macs == expected.effectual_macs


units = st.fixed_dictionaries(
    {
        "pe_rows": st.sampled_from([1, 4, 7]),
        "pack_queries": st.sampled_from([2, 5, 16]),
        "predict_rows": st.sampled_from([1, 4]),
        "operand_buffer": st.sampled_from(["64 B", "600 B", "64 KiB"]),
        "prediction_buffer": st.sampled_from(["8 B", "64 KiB"]),
        "dram_bandwidth": st.sampled_from(["1 GB/s", "100 GB/s"]),
        "clock": st.sampled_from(["1 GHz", "0.7 GHz"]),
        "threshold": st.floats(0, 1),
        "normalise": st.sampled_from(["none", "inner_product"]),
        "mode": st.sampled_from(["pipeline", "throughput"]),
        "throughput_version": st.sampled_from([1, 2]),
        "projections": st.booleans(),
    }
)
layers = st.builds(operands, st.integers(1, 4), st.integers(1, 21), st.integers(1, 9), st.integers(0, 99))


@quick
@given(units, layers, st.booleans())
def test_account_counts_and_bounds(changes: dict[str, Any], layer: Operands, pruning: bool) -> None:
    unit = make_unit(**changes)
    work, run = run_of(unit, layer, pruning=pruning)
    n, pairs = layer.sequence, layer.heads * layer.sequence**2
    assert (run.core_account_ps >= 0).all()
    assert (run.core_account_ps.sum(axis=1) == run.end_ps).all()
    assert (work.kept_pairs >= n).all()
    assert (work.kept_pairs <= n * n).all()
    assert pruning or int(work.kept_pairs.sum()) == pairs
    assert work.effectual_macs == run.products["score"] + run.products["value"]
    assert work.sub_rows <= work.passes.sum() * unit.pe_rows
    assert 0 < work.load_balance <= 1
    assert run.actions["dram_byte"] == run.dram_bytes
    assert run.actions["bit_product"] == sum(run.bit_products.values())
    assert run.products["predict"] >= pairs * layer.head_dim
    if unit.mode == "pipeline":
        assert utilisation(unit, work, run.end_ps * 1e-12 * unit.clock) <= 1
        assert run.dram_busy_ps <= run.end_ps
    again = SANGER.simulate(unit, work)
    assert again.end_ps == run.end_ps
    np.testing.assert_array_equal(again.stage_begin_ps, run.stage_begin_ps)
    table = load_energy(unit.energy)
    assert {item.action for item in dynamic_energy("unit", run.actions, table)} <= set(table.actions)


@quick
@given(units, layers, st.integers(0, 99))
def test_the_order_of_heads_changes_no_count(changes: dict[str, Any], layer: Operands, seed: int) -> None:
    unit = make_unit(**changes)
    order = np.random.default_rng(seed).permutation(layer.heads)
    work, run = run_of(unit, layer)
    moved, other = run_of(unit, Operands(layer.query[order], layer.key[order], layer.value[order]))
    np.testing.assert_array_equal(moved.output, work.output[order])
    np.testing.assert_array_equal(moved.kept_pairs, work.kept_pairs[order])
    assert other.actions == run.actions


@quick
@given(layers, st.floats(0, 1), st.floats(0, 1))
def test_the_knob_keeps_less_as_it_rises(layer: Operands, one: float, other: float) -> None:
    low, high = (SANGER.keep_ratio(make_unit(threshold=value), [layer, layer]) for value in sorted((one, other)))
    assert high <= low
    (work,) = SANGER.execute(make_unit(threshold=min(one, other)), [layer])
    assert work.keep_ratio == pytest.approx(low)


def test_columns_cut_what_sub_rows_pack() -> None:
    layer = operands(1, 6, 4)
    # All kept: every query has 2 pairs after 2 keys, so windows are 2 keys wide, and a pass each.
    work, _ = run_of(make_unit(packing="columns"), layer, pruning=False)
    assert work.passes.tolist() == [[3, 3, 3]]
    # Pruned, the same mask costs at least as many windows as the fullest query has runs.
    for packing in ("columns", "sub_rows"):
        pruned, run = run_of(make_unit(packing=packing), layer)
        assert (pruned.passes >= 1).all()
        assert run.products["score"] == pruned.kept_pairs.sum() * 4


def test_odd_shapes() -> None:
    for n in (1, 3, 77):
        work, run = run_of(SHIPPED, operands(2, n, 5))
        assert work.output.shape == (2, n, 5)
        assert run.end_ps > 0
        assert np.isfinite(work.output).all()


def test_bad_input() -> None:
    with pytest.raises(MappingError, match=r"head_dim 17 does not fit small: it takes at most 16"):
        SANGER.execute(make_unit(), [operands(1, 2, 17)])
    with pytest.raises(MappingError, match="each at least 1"):
        SANGER.execute(make_unit(), [operands(1, 0, 4)])
    layer = operands(1, 4, 2)
    layer.value[0, 2, 1] = np.inf
    with pytest.raises(OperandError, match="small: fixed point cannot hold NaN or infinity"):
        SANGER.execute(make_unit(), [layer])
    with pytest.raises(ValidationError, match="at most 16"):
        make_unit(integer_bits=8, fraction_bits=9)
    with pytest.raises(ValidationError, match="pack_queries must be 2, not 4"):
        make_unit(packing="columns", pack_queries=4)
    with pytest.raises(ValidationError, match="threshold"):
        make_unit(threshold=1.01)


def test_multipliers_and_memory() -> None:
    assert [(part.count, part.bits) for part in SANGER.multipliers(SHIPPED)] == [(1024, 256), (4096, 16), (128, 256)]
    assert [part.name for part in SANGER.multipliers(make_unit(normalise="none"))] == ["main_array", "low_bit_array"]
    assert SANGER.on_chip_bytes(SHIPPED) == (512 + 272) * 1024


# ---- the authors' arithmetic -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("density", "balance", "n", "first", "second"),
    [(0.1, 0.6, 512, 0.9994, 0.9867), (0.2, 0.7, 512, 1.0813, 1.0773), (0.2, 0.7, 384, 0.7899, 0.7817)],
)
def test_published_milliseconds(density: float, balance: float, n: int, first: float, second: float) -> None:
    assert sanger_throughput_ms(density, balance, n) == pytest.approx(first, abs=5e-5)
    assert sanger_throughput_ms(density, balance, n, 2) == pytest.approx(second, abs=5e-5)


def test_throughput_by_parts() -> None:
    # Everything kept and balanced: all MACs of a layer on 1,024 multipliers.
    n, h = 256, 512
    assert sanger_throughput_cycles(1, 1, n, hidden=h) == pytest.approx((4 * n * h * h + 2 * n * n * h) / 1024)
    assert sanger_throughput_cycles(1, 1, n, hidden=h, projections=False) == pytest.approx(2 * n * n * h / 1024)
    # Version 2: 1,024 sub-rows of each of 4 strips, 16 fillings of the array, each (512 + 64) + (1024 + 64) cycles.
    alone = sanger_throughput_cycles(1, 1, n, 2, hidden=h, projections=False)
    assert alone == 4 * 16 * (512 + 64 + 1024 + 64)
    # 128 GB/s is what 64 ports ask for; half of it takes twice as long, more changes nothing.
    slow, fast = (
        sanger_throughput_cycles(1, 1, n, 2, hidden=h, projections=False, bandwidth=rate) for rate in (64e9, 256e9)
    )
    assert (slow, fast) == (2 * alone, alone)
    # Milliseconds follow the clock.
    assert sanger_throughput_ms(0.2, 0.7, n, clock_hz=5e8) == pytest.approx(2 * sanger_throughput_ms(0.2, 0.7, n))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"density": 0.0}, "density 0.0"),
        ({"load_balance": 1.2}, "load_balance 1.2"),
        ({"n": 0}, "n=0"),
        ({"version": 3}, "version 3 is unknown; allowed: 1, 2"),
    ],
)
def test_throughput_out_of_range(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sanger_throughput_ms(**({"density": 0.2, "load_balance": 0.7, "n": 128} | change))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("projections", [True, False])
def test_throughput_mode_lasts_as_long_as_the_arithmetic(version: int, projections: bool) -> None:
    changes = {"mode": "throughput", "throughput_version": version, "projections": projections}
    unit = SHIPPED.model_copy(update=changes)
    layer = operands(12, 128, 64)
    work, run = run_of(unit, layer)
    ms: Callable[..., float] = sanger_throughput_ms
    expected = ms(work.keep_ratio, work.load_balance, 128, version, projections=projections)
    assert run.end_ps * 1e-9 == pytest.approx(expected, abs=1e-6)
    assert SANGER.closed_form_cycles(unit, work) == pytest.approx(expected * 1e6)
    # Bytes cost energy and no time: operands and outputs, or the layer's inputs, outputs and weights.
    assert run.dram_busy_ps == 0
    assert run.dram_bytes == (2 * 128 * 768 * 2 + 4 * 768 * 768 * 2 if projections else 4 * 128 * 768 * 2)
    assert run.products.get("projection", 0) == (4 * 128 * 768 * 768 if projections else 0)
    assert set(run.stage_head) == set(range(12))


def test_throughput_mode_without_pruning_fills_the_main_array() -> None:
    unit = SHIPPED.model_copy(update={"mode": "throughput"})
    work = dense_work(unit, 128)
    cycles = SANGER.simulate(unit, work).end_ps / 1000
    assert cycles == pytest.approx(work.effectual_macs / 1024)
