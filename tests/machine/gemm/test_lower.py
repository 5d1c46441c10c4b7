"""From plan to program to run: no byte is lost, and no unit is faster than it is."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.config.scheme import Mapping, TileWise
from accelsim.config.workload import Caches
from accelsim.machine.gemm.events import run_events
from accelsim.machine.gemm.lower import gemm_program
from accelsim.machine.gemm.program import TICKS_PER_CYCLE, Cause, DeviceProgram, DeviceRun
from accelsim.mapping.counts import BlockCounts, count_blocks
from accelsim.mapping.gemm import plan_gemm
from accelsim.mapping.plan import GemmPlan
from accelsim.mapping.tiles import ELEMENT_BYTES, OUTPUT_BYTES, mac_rate
from accelsim.model.graph import Gemm
from accelsim.pruning.pack import pack
from accelsim.pruning.packing import TileWiseWeights
from accelsim.pruning.seeded import seeded_mask
from tests.mapping.machines import gpu, library

GPU = gpu()
COLD, WARM = (Caches.model_validate({"activations": state, "weights": state}) for state in ("cold", "warm"))
extents = st.integers(1, 400)
dtypes = st.sampled_from(["fp16", "int8", "fp32"])


def lowered(
    gemm: Gemm, caches: Caches, mapping: dict[str, Any], weights: TileWiseWeights | None = None,
    tile_wise: TileWise | None = None,
) -> tuple[GemmPlan, BlockCounts, DeviceProgram, DeviceRun]:  # fmt: skip
    plan = plan_gemm(gemm, GPU, library(), Mapping(**mapping), caches, weights=weights, tile_wise=tile_wise)
    counts = count_blocks(plan, GPU)
    program = gemm_program(plan, counts, GPU, caches, "graph", ELEMENT_BYTES[gemm.dtype], OUTPUT_BYTES[gemm.dtype])
    return plan, counts, program, run_events(program)


def check_bounds(plan: GemmPlan, counts: BlockCounts, program: DeviceProgram, run: DeviceRun) -> None:
    """No unit serves more than its rate allows."""
    cycles, blocks = run.end / TICKS_PER_CYCLE, len(counts)
    rate = mac_rate(GPU, plan.gemm.dtype, plan.tile.unit) * plan.efficiency
    assert cycles * GPU.sm_count * rate >= counts.macs.sum()
    assert cycles * GPU.l2.bandwidth >= run.l2_read_bytes + run.l2_write_bytes
    assert cycles * GPU.sm_count * GPU.l2.port >= run.l2_read_bytes
    assert cycles * GPU.dram.bandwidth * GPU.dram.efficiency / GPU.clock >= run.dram_read_bytes
    assert cycles * GPU.sm_count * GPU.epilogue >= counts.output_bytes.sum()
    asked = (counts.load_a_sectors + counts.load_b_sectors) * 32 + counts.index_bytes
    assert (program.block_load_bytes[:blocks] * counts.steps >= asked).all()
    assert run.sm_time[:, Cause.COMPUTE].sum() >= counts.macs.sum() / rate * TICKS_PER_CYCLE


@settings(deadline=None, max_examples=40)
@given(extents, extents, extents, dtypes, st.integers(1, 3), st.booleans(), st.sampled_from([100, 40_000]))
def test_dense_products_move_their_operands(
    m: int, n: int, k: int, dtype: str, batch: int, activations: bool, max_events: int
) -> None:
    second = {"weight": None, "b": "b", "batch": batch} if activations else {}
    gemm = Gemm("g", m, n, k, dtype=dtype, **second)  # type: ignore[arg-type]
    mapping = {"split_k": 1, "max_events": max_events}
    plan, counts, program, run = lowered(gemm, COLD, mapping)
    element = ELEMENT_BYTES[dtype]
    items = gemm.batch
    assert program.tile_bytes.sum() == items * (m * k + k * n) * element
    assert run.dram_read_bytes == program.tile_bytes.sum()  # L2 holds all of them
    assert run.dram_write_bytes == run.l2_write_bytes == items * m * n * OUTPUT_BYTES[dtype]
    check_bounds(plan, counts, program, run)
    assert lowered(gemm, WARM, mapping)[3].dram_read_bytes == 0


@settings(deadline=None, max_examples=40)
@given(
    extents, extents, extents, dtypes, st.sampled_from(["merged", "padded_batch", "stream"]),
    st.sampled_from(["transposed", "row_major"]), st.floats(0, 1),
)  # fmt: skip
def test_tile_wise_products_move_what_is_kept(
    m: int, n: int, k: int, dtype: str, strategy: str, activations: str, uneven: float
) -> None:
    options = {"granularity": min(64, n), "strategy": strategy, "activations": activations}
    tile_wise = TileWise.model_validate(options)
    mask = seeded_mask(k, n, 0.75, tile_wise.granularity, 3, uneven)
    weights = pack(None, mask)
    plan, counts, program, run = lowered(Gemm("g", m, n, k, dtype=dtype), COLD, {"split_k": 1}, weights, tile_wise)
    element = ELEMENT_BYTES[dtype]
    rows = np.unique(np.concatenate(mask.rows))
    columns = sum(len(kept) for kept, tile in zip(mask.columns, mask.rows, strict=True) if len(tile))
    wanted = m * len(rows) * element
    if activations == "row_major":  # whole sectors of every row of A
        wanted = max(wanted, m * len(np.unique(rows * element // 32)) * 32)
    kept = [(len(tile), len(columns)) for tile, columns in zip(mask.rows, mask.columns, strict=True) if len(tile)]
    longest = max((depth for depth, _ in kept), default=0)
    depths = [longest if strategy == "padded_batch" else depth for depth, _ in kept]
    packed = sum(depth * (width * element + 4) for depth, (_, width) in zip(depths, kept, strict=True))
    assert run.dram_read_bytes == wanted + packed  # with 4 bytes of row offset for each packed row
    assert run.dram_write_bytes == m * columns * OUTPUT_BYTES[dtype]
    check_bounds(plan, counts, program, run)


def test_what_is_warm_ends_with_the_newest_and_fits() -> None:
    gemm = Gemm("g", 2000, 1000, 2000)
    _, _, program, _ = lowered(gemm, Caches(), {})
    a_tiles = int((np.cumsum(program.tile_bytes) <= 2 * gemm.m * gemm.k).sum())
    assert program.tile_bytes[program.warm_tiles].sum() <= GPU.l2.capacity
    assert program.warm_tiles[-1] == a_tiles - 1
    assert (program.warm_tiles < a_tiles).all()


def test_multicast_spares_l2_what_neighbours_share_and_ports_nothing() -> None:
    alone, pair = (
        library().model_copy(
            update={"tensor_core": [tile.model_copy(update={"multicast": m}) for tile in library().tensor_core]}
        )
        for m in (1, 2)
    )
    fixed = Mapping(tile_m=128, tile_n=64, tile_k=32, stages=2, split_k=1)
    for m, n, share in ((256, 128, 2 / 3), (128, 128, 2 / 3), (256, 64, 1 / 3), (128, 64, 0)):
        gemm = Gemm("g", m, n, 256, dtype="fp16")
        programs = []
        for menu in (alone, pair):
            plan = plan_gemm(gemm, GPU, menu, fixed, WARM)
            counts = count_blocks(plan, GPU)
            programs.append(gemm_program(plan, counts, GPU, WARM, "graph", 2, 2))
        whole, halved = programs
        np.testing.assert_array_equal(whole.block_port, halved.block_port)
        np.testing.assert_allclose(halved.block_load_bytes, whole.block_load_bytes * (1 - share / 2))
        assert run_events(whole).l2_read_bytes - run_events(halved).l2_read_bytes == round(
            whole.block_load_bytes.sum() * 8 * share / 2
        )
