"""AccelTran: its lanes against their plain twin, its closed form, its bounds, and the publication's figures."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.config.loader import load_attention_unit, load_energy, load_workload
from accelsim.config.workload import EncoderWorkload
from accelsim.energy.account import dynamic_energy
from accelsim.errors import MappingError, OperandError
from accelsim.kernels.dynatran import ACTIVATIONS, DynatranOptions, product_cycles
from accelsim.machine.attention.accelerator import Operands
from accelsim.machine.attention.acceltran import ACCELTRAN, AccelTranUnit, AccelTranWork, peak_tops
from accelsim.machine.attention.acceltran_lanes import Pool, Tiles, play_tiles
from accelsim.machine.attention.acceltran_plan import Shape, plan_buffers
from accelsim.machine.attention.acceltran_twin import LaneTwin
from accelsim.model.build import build_network

quick = settings(deadline=None, max_examples=30)
SHIPPED = ("acceltran_edge", "acceltran_server")


def make_unit(**changes: Any) -> AccelTranUnit:
    fields = {
        "kind": "attention_unit",
        "name": "small",
        "algorithm": "acceltran",
        "clock": "1 GHz",
        "pes": 1,
        "lanes_per_pe": 2,
        "multipliers_per_lane": 4,
        "softmax_units_per_pe": 1,
        "softmax_elements_per_cycle": 4,
        "tile": 4,
        "activation_buffer": "64 KiB",
        "weight_buffer": "1 KiB",
        "mask_buffer": "8 KiB",
        "max_head_dim": 64,
        "tau": 0.05,
        "dram_bandwidth": "16 GB/s",
        "dram_latency": "10 ns",
        "process_node": "14 nm",
        "energy": "acceltran_14nm",
        "sources": {},
    }
    return AccelTranUnit.model_validate(fields | changes)


def shipped(name: str) -> AccelTranUnit:
    unit = load_attention_unit(name)
    assert isinstance(unit, AccelTranUnit)
    return unit


def draw(heads: int, n: int, head_dim: int, seed: int = 0) -> Operands:
    return Operands(*np.random.default_rng(seed).standard_normal((3, heads, n, head_dim)).astype(np.float32))


def dense_work(unit: AccelTranUnit, heads: int, n: int, head_dim: int) -> AccelTranWork:
    """Work with nothing pruned, without values: what `execute` gives, at any length."""
    bits = unit.integer_bits, unit.fraction_bits, unit.row_bits - unit.score_integer_bits
    options = DynatranOptions(*bits, 0.0, (), unit.tile, unit.multipliers_per_lane, unit.packing)
    rows, keys = np.ones((n, head_dim), dtype=np.bool_), np.ones((n, n), dtype=np.bool_)
    score, score_cycles = product_cycles(rows, rows, options)
    value, value_cycles = product_cycles(keys, np.ascontiguousarray(rows.T), options)
    return AccelTranWork(
        heads=heads,
        sequence=n,
        head_dim=head_dim,
        output=np.zeros((heads, 0, head_dim), dtype=np.float32),
        kept_pairs=np.full(heads, n * n),
        kept_tokens=np.full(heads, n),
        head_kept=np.ones(heads, dtype=np.bool_),
        effectual_macs=heads * (score + value),
        saturated=0,
        nonzero=np.tile([n * head_dim] * 3 + [n * n] * 2 + [n * head_dim], (heads, 1)),
        products=(heads * score, heads * value),
        score_cycles=np.tile(score_cycles, (heads, 1, 1, 1)),
        value_cycles=np.tile(value_cycles, (heads, 1, 1, 1)),
    )


pools = st.builds(
    Pool,
    latency=st.sampled_from([0, 700]),
    resident=st.integers(1, 4),
    in_flight=st.integers(1, 5),
    lanes=st.integers(1, 6),
    softmax_units=st.integers(1, 3),
    softmax_tiles=st.integers(1, 3),
    softmax_ps=st.integers(0, 9000),
    compare_ps=st.sampled_from([0, 1429]),
    hertz=st.sampled_from([700_000_000, 1_000_000_000]),
)


@st.composite
def tile_lists(draw: st.DrawFn) -> Tiles:
    per_batch = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    generator = np.random.default_rng(draw(st.integers(0, 999)))
    rows, score, value = sum(per_batch), draw(st.integers(1, 5)), draw(st.integers(1, 5))
    return Tiles(
        generator.integers(1, 9, (rows, score)).astype(np.int32),
        generator.integers(1, 9, (rows, value)).astype(np.int32),
        np.repeat(np.arange(len(per_batch)), per_batch),
        generator.choice([0, 1500, 20000], (len(per_batch), 3)),
    )


@settings(deadline=None, max_examples=60)
@given(tile_lists(), pools)
def test_lanes_are_their_plain_twin(tiles: Tiles, pool: Pool) -> None:
    for got, wanted in zip(play_tiles(tiles, pool), LaneTwin(tiles, pool).play(), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_times_of_one_head_by_hand() -> None:
    # One head of 8 queries and 4 columns: 2 row tiles of 2 key tiles, each 4 x 4 x 4 products, 16 cycles on a lane.
    unit = make_unit(dram_bandwidth="1e9 GB/s", dram_latency="0 ns", clock="1 GHz")
    work = dense_work(unit, 1, 8, 4)
    run = ACCELTRAN.simulate(unit, work)
    spans = {run.causes[kind]: (int(b), int(e)) for kind, b, e in zip(
        run.stage_kind, run.stage_begin_ps, run.stage_end_ps, strict=True)}  # fmt: skip
    # Operands take a picosecond each and are compared for a cycle. Two lanes take the two score tiles of a row tile.
    assert spans["load"] == (0, 2)
    assert spans["scores"] == (1001, 33001)
    # A row tile's softmax: 2 tiles of 16 / 4 cycles on the one unit, and a cycle to compare.
    assert spans["softmax"] == (17001, 41001)
    # P V of the first row tile (2 slices of keys) follows the scores of the second, the second waits for softmax.
    assert spans["values"] == (33001, 65001)
    assert spans["write"] == (65001, 65002)
    assert run.end_ps == 65002
    account = run.account_ps
    assert (account["scores"], account["values"]) == (4 * 16000, 4 * 16000)
    assert sum(account.values()) == 2 * 65002


@quick
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 21), st.integers(1, 9), st.integers(0, 9)),
    st.sampled_from([0.0, 0.05, 0.5]),
    st.sampled_from(["tile", "output"]),
    st.sampled_from(["700 B", "2 KiB", "64 KiB"]),
    st.sampled_from(["1 GB/s", "100 GB/s"]),
    st.booleans(),
)
def test_account_and_counts(
    shape: tuple[int, int, int, int], tau: float, packing: str, room: str, bandwidth: str, pruning: bool
) -> None:
    unit = make_unit(tau=tau, packing=packing, activation_buffer=room, dram_bandwidth=bandwidth, lanes_per_pe=3)
    (work,) = ACCELTRAN.execute(unit, [draw(*shape)], pruning=pruning)
    run = ACCELTRAN.simulate(unit, work)
    assert (run.core_account_ps >= 0).all()
    assert (run.core_account_ps.sum(axis=1) == run.end_ps).all()
    assert sum(run.account_ps.values()) == unit.lanes * run.end_ps
    busy = run.core_account_ps[:, :2].sum(axis=1)
    np.testing.assert_array_equal(busy, run.core_busy_ps["lanes"])
    assert run.dram_busy_ps <= run.end_ps
    assert run.stage_end_ps.max() == run.end_ps
    assert (run.stage_begin_ps <= run.stage_end_ps).all()
    assert sum(run.products.values()) == work.effectual_macs <= work.dense_macs
    assert run.actions["bit_product"] == 400 * work.effectual_macs == sum(run.bit_products.values())
    assert run.actions["packing_cycle"] == work.score_cycles.sum() + work.value_cycles.sum()
    assert busy.sum() == run.actions["packing_cycle"] * 1000
    assert (work.kept_pairs <= work.sequence**2).all()
    assert work.effectual_macs <= unit.lanes * unit.multipliers_per_lane * run.end_ps / 1000
    again = ACCELTRAN.simulate(unit, work)
    assert (again.end_ps, again.actions) == (run.end_ps, run.actions)
    if not pruning:
        assert work.keep_ratio == work.kept_activations == 1.0


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("sequence", [128, 384, 1024, 4096])
def test_nothing_pruned_the_closed_form_holds(name: str, sequence: int) -> None:
    unit = shipped(name)
    work = dense_work(unit, 12, sequence, 64)
    cycles = ACCELTRAN.simulate(unit, work).end_ps * 1e-12 * unit.clock
    assert ACCELTRAN.closed_form_cycles(unit, work) == pytest.approx(cycles, rel=0.05)
    count = sum(kind.count for kind in ACCELTRAN.multipliers(unit))
    assert work.effectual_macs == 2 * 12 * sequence**2 * 64
    assert work.effectual_macs <= count * cycles


def test_work_without_pruning_is_the_dense_one() -> None:
    unit = make_unit()
    operands = draw(2, 11, 6)
    operands.query[:, 3] = 0.0
    (work,) = ACCELTRAN.execute(unit, [operands], pruning=False)
    wanted = dense_work(unit, 2, 11, 6)
    for name in ("nonzero", "products", "score_cycles", "value_cycles", "effectual_macs", "kept_pairs"):
        np.testing.assert_array_equal(getattr(work, name), getattr(wanted, name), err_msg=name)
    # What decides still decides: comparisons are those of the pruning unit.
    (pruned,) = ACCELTRAN.execute(unit, [operands])
    runs = [ACCELTRAN.simulate(unit, each) for each in (work, pruned)]
    assert runs[0].actions["compared_activation"] == runs[1].actions["compared_activation"] == 2 * 11 * (4 * 6 + 2 * 11)
    assert runs[1].actions["bit_product"] < runs[0].actions["bit_product"]
    assert runs[1].end_ps <= runs[0].end_ps


def test_a_larger_tau_prunes_more_and_lanes_that_pack_by_output_gain_less() -> None:
    operands = draw(3, 48, 32, 1)
    works = [ACCELTRAN.execute(make_unit(tau=tau), [operands])[0] for tau in (0.0, 0.02, 0.1, 0.6, 8.0)]
    ratios = [work.keep_ratio for work in works]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[-1] == 0.0
    cycles = []
    for packing in ("tile", "output"):
        unit = make_unit(tau=0.6, packing=packing)
        (work,) = ACCELTRAN.execute(unit, [operands])
        cycles.append(int(work.score_cycles.sum()))
    assert cycles[0] < cycles[1]


def test_buffers_that_are_too_small_prefetch_less_then_stream_and_then_refuse() -> None:
    ends, moved = [], []
    for room in ("64 KiB", "6000 B", "2 KiB"):
        unit = make_unit(activation_buffer=room)
        work = dense_work(unit, 3, 32, 16)
        run = ACCELTRAN.simulate(unit, work)
        ends.append(run.end_ps)
        moved.append(run.dram_bytes)
    assert ends == sorted(ends)
    matrix = 3 * 32 * 16 * 20 // 8
    assert moved[:2] == [4 * matrix, 4 * matrix]
    # K and V pass once for each group of row tiles.
    assert moved[2] > 4 * matrix
    assert (moved[2] - 2 * matrix) % (2 * matrix) == 0
    with pytest.raises(MappingError, match=r"sequence 32 does not fit small.*activation_buffer"):
        ACCELTRAN.simulate(make_unit(activation_buffer="600 B"), work)
    with pytest.raises(MappingError, match="mask_buffer"):
        ACCELTRAN.simulate(make_unit(mask_buffer="16 B"), work)


@quick
@given(st.integers(1, 4), st.integers(1, 200), st.integers(1, 64), st.integers(300, 60000), st.integers(60, 4000))
def test_what_is_planned_fits_and_covers_every_row(
    heads: int, n: int, head_dim: int, activations: int, masks: int
) -> None:
    shape = Shape("small", heads, n, head_dim, 4, 20, 8, activations, masks)
    try:
        plan = plan_buffers(shape)
    except MappingError:
        assert not shape.fits(12, 4)
        return
    score_rows = plan.in_flight * 4
    if shape.fits(3 * n, 4):
        assert len(plan.head) == heads
        assert shape.fits(3 * n * plan.resident, score_rows)
    else:
        assert plan.resident == 1
        assert shape.fits(2 * 4 + score_rows, score_rows)
    assert plan.row_tiles.sum() == heads * shape.row_tiles
    assert plan.output_bytes.sum() == heads * n * shape.row_bytes
    assert (plan.key_bytes - plan.output_bytes == n * shape.row_bytes).all()


def test_softmax_units_can_bound() -> None:
    few, many = (
        ACCELTRAN.simulate(unit, dense_work(unit, 2, 64, 8))
        for unit in (make_unit(lanes_per_pe=16, softmax_elements_per_cycle=rate) for rate in (1, 64))
    )
    assert few.end_ps > 2 * many.end_ps
    assert few.account_ps["softmax"] > few.account_ps["idle"]


def test_mac_count_of_bert_tiny_is_the_published_simulators() -> None:
    workload = load_workload("bert_tiny")
    assert isinstance(workload, EncoderWorkload)
    workload = workload.model_copy(update={"batch": 4, "sequence": 128})
    b, s, h, f, layers = 4, 128, workload.hidden, workload.ffn, workload.layers
    closed = layers * (3 * b * s * h**2 + 2 * b * s**2 * h + b * s * h**2 + 2 * b * s * h * f)
    assert build_network(workload).macs == closed == 234_881_024


@pytest.mark.parametrize(("name", "tops"), [("acceltran_edge", 22.9), ("acceltran_server", 367.0)])
def test_peaks_are_those_of_the_sizes(name: str, tops: float) -> None:
    assert peak_tops(shipped(name)) == pytest.approx(tops, rel=0.002)


def test_server_peak_is_near_the_published_one() -> None:
    assert peak_tops(shipped("acceltran_server")) == pytest.approx(372, rel=0.015)


def test_a_mac_costs_what_the_lane_was_synthesised_for() -> None:
    unit = shipped("acceltran_edge")
    run = ACCELTRAN.simulate(unit, dense_work(unit, 1, 64, 64))
    items = {item.action: item for item in dynamic_energy("attention_unit", run.actions, load_energy(unit.energy))}
    assert items["bit_product"].energy_uj / sum(run.products.values()) == pytest.approx(0.464e-6, rel=1e-3)
    assert items["dram_byte"].energy_uj / run.dram_bytes == pytest.approx(13.44e-3 / 64, rel=2e-3)
    decision = sum(items[action].energy_uj for action in ("compared_activation", "packing_cycle", "mask_byte"))
    assert 0 < decision < items["bit_product"].energy_uj


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 1), (1, 77, 64), (1, 5, 33)])
def test_odd_shapes(shape: tuple[int, int, int]) -> None:
    unit = shipped("acceltran_server")
    for pruning in (True, False):
        (work,) = ACCELTRAN.execute(unit, [draw(*shape)], pruning=pruning)
        assert work.output.shape == shape
        assert ACCELTRAN.simulate(unit, work).end_ps > 0
        assert work.kept_pairs.max() <= shape[1] ** 2


def test_refusals() -> None:
    operands = draw(1, 3, 65)
    with pytest.raises(MappingError, match="max_head_dim"):
        ACCELTRAN.execute(make_unit(), [operands])
    operands = draw(1, 3, 4)
    operands.value[0, 0, 0] = np.inf
    with pytest.raises(OperandError, match="small: fixed point cannot hold NaN or infinity"):
        ACCELTRAN.execute(make_unit(), [operands])
    with pytest.raises(ValueError, match="at most 20 together"):
        make_unit(integer_bits=5)
    with pytest.raises(ValueError, match="must leave some of 10 bits"):
        make_unit(integer_bits=2, fraction_bits=8, score_integer_bits=10)
    with pytest.raises(ValueError, match="each at most once"):
        make_unit(prunes=["query", "query"])
    assert tuple(make_unit().prunes) == ACTIVATIONS


def test_results_do_not_depend_on_threads() -> None:
    code = (
        "import numpy as np, hashlib\n"
        "from accelsim.kernels.dynatran import DynatranOptions, dynatran_attention\n"
        "x = np.random.default_rng(0).standard_normal((3, 1, 70, 32)).astype(np.float32)\n"
        "o = DynatranOptions(4, 16, 12, 0.02, ('query', 'probability'), 16, 16, 'output')\n"
        "v = dynatran_attention(*x, o)\n"
        "print(hashlib.sha256(v.output.tobytes() + v.value_cycles.tobytes()).hexdigest())\n"
    )
    digests = set()
    for threads in ("1", "2"):
        environment = {"NUMBA_NUM_THREADS": threads, "OMP_NUM_THREADS": threads, "PATH": ""}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        digests.add(done.stdout)
    assert len(digests) == 1
