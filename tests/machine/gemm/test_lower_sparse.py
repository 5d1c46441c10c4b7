"""Packed weights of every form from plan to program to run: both engines, and what must move."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import accelsim
from accelsim.config.pattern_options import PATTERN_OPTIONS, PatternOptions
from accelsim.config.scheme import Engine, Mapping
from accelsim.config.workload import Caches
from accelsim.machine.gemm.actions import kernel_actions
from accelsim.machine.gemm.events import run_events
from accelsim.machine.gemm.lower import gemm_program
from accelsim.machine.gemm.program import TICKS_PER_CYCLE, DeviceProgram
from accelsim.machine.gemm.twin import run_simpy
from accelsim.mapping.counts import BlockCounts, count_blocks
from accelsim.mapping.plan import GemmPlan
from accelsim.mapping.sparse import plan_sparse
from accelsim.mapping.tiles import ELEMENT_BYTES, OUTPUT_BYTES, mac_rate
from accelsim.model.graph import Elementwise, Gemm
from accelsim.pruning.masks import ElementWiseMask
from accelsim.pruning.packed import Packed, pack_mask
from accelsim.pruning.packed.elements import ElementWeights, TileElementWeights
from accelsim.pruning.packing import TileWiseWeights
from accelsim.pruning.seeded_patterns import seeded_pattern_mask
from tests.mapping.machines import gpu, library

GPU = gpu(cuda_core={"fp32": 64, "fp16": 128}, sparse_tensor_core={"fp16": 2})
COLD, WARM = (Caches.model_validate({"activations": state, "weights": state}) for state in ("cold", "warm"))
extents = st.integers(1, 300)
layouts = st.sampled_from(["transposed", "row_major"])

OPTIONS: dict[str, dict[str, Any]] = {
    "element_wise": {"sparsity": 0.75},
    "vector_wise": {"sparsity": 0.75},
    "block_wise": {"sparsity": 0.5, "block_rows": 24, "block_columns": 16},
    "n_m": {},
    "tile_element_wise": {"granularity": 16, "delta": 0.1},
    "tile_vector_wise": {"granularity": 16, "strategy": "stream", "streams": 3},
}


def planned(
    kind: str, shape: tuple[int, int, int], changes: dict[str, Any], mapping: dict[str, Any], batch: int = 1
) -> tuple[Packed, list[GemmPlan], list[Elementwise]]:
    m, n, k = shape
    base = dict(OPTIONS[kind])
    if "granularity" in base:
        base["granularity"] = min(n, 16)
    options: PatternOptions = PATTERN_OPTIONS[kind](**(base | changes))
    weights = pack_mask(None, seeded_pattern_mask(k, n, options.pattern, 0))
    kernels = plan_sparse(
        Gemm("g", m, n, k, batch=batch, weight="w"), GPU, library(), Mapping(**mapping), COLD, weights, options
    )
    plans = [kernel for kernel in kernels if isinstance(kernel, GemmPlan)]
    return weights, plans, [kernel for kernel in kernels if isinstance(kernel, Elementwise)]


def lowered(plan: GemmPlan, caches: Caches = COLD) -> tuple[BlockCounts, DeviceProgram]:
    counts = count_blocks(plan, GPU)
    dtype = plan.gemm.dtype
    return counts, gemm_program(plan, counts, GPU, caches, "graph", ELEMENT_BYTES[dtype], OUTPUT_BYTES[dtype])


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(list(OPTIONS)), extents, extents, extents, layouts, st.integers(1, 2), st.sampled_from([60, 40_000])
)
def test_products_move_what_is_kept(
    kind: str, m: int, n: int, k: int, activations: str, batch: int, max_events: int
) -> None:
    mapping = {"max_events": 100 + max_events, "split_k": 1}
    weights, plans, _ = planned(kind, (m, n, k), {"activations": activations}, mapping, batch)
    effectual = 0
    for plan in plans:
        counts, program = lowered(plan)
        run = run_events(program)
        effectual += int(counts.macs.sum())
        assert run.dram_read_bytes <= program.tile_bytes.sum()
        assert run.dram_write_bytes == run.l2_write_bytes == counts.output_bytes.sum()
        asked = (counts.load_a_sectors + counts.load_b_sectors) * 32 + counts.index_bytes + counts.load_c_bytes
        assert run.l2_read_bytes >= asked.sum() * (counts.steps > 0).all()
        cycles = run.end / TICKS_PER_CYCLE
        rate = mac_rate(GPU, "fp16", plan.tile.unit) * plan.efficiency
        assert cycles * GPU.sm_count * rate >= counts.macs.sum()
        assert cycles * GPU.sm_count * GPU.l2.port >= run.l2_read_bytes
        assert (run.sm_time.sum(axis=1) == run.end).all()
        assert (counts.step_macs * counts.steps >= counts.macs).all()
        assert run_events(lowered(plan, WARM)[1]).dram_read_bytes == 0
    assert effectual == m * batch * weights.kept


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(list(OPTIONS)), *[st.integers(1, 120)] * 3, layouts)
def test_both_engines_agree(kind: str, m: int, n: int, k: int, activations: str) -> None:
    for plan in planned(kind, (m, n, k), {"activations": activations}, {"max_events": 100})[1]:
        program = lowered(plan)[1]
        assert run_events(program).same_as(run_simpy(program))


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(["n_m", "vector_wise", "block_wise", "element_wise"]), extents, extents, extents)
def test_weights_are_fetched_packed(kind: str, m: int, n: int, k: int) -> None:
    weights, (plan,), _ = planned(kind, (m, n, k), {}, {})
    counts, program = lowered(plan)
    fetched = int(program.tile_bytes[program.block_b_base.min() :].sum()) if len(counts) else 0
    if kind == "element_wise":
        stored = weights.value_bytes(2) + weights.index_bytes
    elif kind == "block_wise":  # whole blocks are stored, and what lies within k and n is fetched
        stored = 2 * weights.kept
    else:
        stored = weights.value_bytes(2) + weights.kept // 4
    assert stored <= 1.05 * fetched + 64
    assert fetched <= weights.value_bytes(2) + weights.index_bytes + 8 * (n + k)


def test_blocks_are_not_joined_into_chunks_that_span_what_lies_between_them() -> None:
    """More events change nothing, and engines agree, where a few kept blocks of each column are far apart."""
    sizes = [f"workload.{name}={size}" for name, size in {"m": 6400, "n": 768, "k": 3072}.items()]

    def time(engine: Engine, events: int) -> float:
        sets = [*sizes, f"mapping.max_events={events}"]
        result = accelsim.run(
            "v100_pcie", "gemm_1024", scheme="block_wise", sparsity=0.85, sets=sets, values=False, engine=engine
        )
        return float(result.value("latency_us"))

    assert time("events", 20_000) == time("events", 10**6)
    assert time("events", 20_000) == pytest.approx(time("estimate", 20_000), rel=0.15)


@pytest.mark.parametrize("scheme", ["block_wise", "element_wise"])
def test_kernels_of_narrow_tiles_read_activations_about_once(scheme: str) -> None:
    """A of 78 MiB in an L2 of 6: squares of eight narrow tiles read it again for every few columns."""
    sizes = [f"workload.{name}={size}" for name, size in {"m": 6400, "n": 768, "k": 6144}.items()]

    def read(order: str) -> float:
        sets = [*sizes, f"mapping.raster={order}"]
        result = accelsim.run(
            "v100_pcie", "gemm_1024", scheme=scheme, sparsity=0.9, sets=sets, values=False, engine="estimate"
        )
        return float(result.value("dram_bytes")) / (2 * 6400 * (768 + 6144))

    assert 0.8 < read("swizzle") == read("along_n") < 1.5  # block rows that no column keeps are left out
    assert read("along_m") > 1.5 * read("along_n")


def test_two_of_four_executes_half_at_twice_the_rate() -> None:
    sparse = planned("n_m", (256, 256, 512), {}, {"tile_m": 128, "tile_n": 128})[1][0]
    plain = planned("n_m", (256, 256, 512), {"execution": "decompressed"}, {"tile_m": 128, "tile_n": 128})[1][0]
    (counts, program), (dense_counts, dense_program) = lowered(sparse), lowered(plain)
    assert sparse.tile.unit == "sparse_tensor_core"
    assert plain.tile.unit == "tensor_core"
    assert (2 * counts.step_macs == counts.rated_macs).all()
    assert (dense_counts.step_macs == counts.rated_macs).all()
    assert (2 * program.block_compute == dense_program.block_compute).all()
    assert sparse.tile.shared_bytes == 2 * (128 * 32 * 2 + 128 * 32 * 9 // 8)  # values and 2 bits for each of them
    actions = kernel_actions(sparse, counts, run_events(program))
    assert actions["sparse_tensor_mac_fp16"] == 256 * 256 * 512 // 2


def test_block_columns_run_through_their_own_blocks() -> None:
    weights, (plan,), _ = planned("block_wise", (64, 96, 240), {}, {})
    assert plan.tile.tile_n == 16
    assert plan.tile.tile_k == 24
    counts = lowered(plan)[0]
    kept = np.diff(weights.block_start)  # type: ignore[union-attr]
    assert np.array_equal(counts.steps, kept[plan.blocks.weight_tile])
    assert (counts.index_bytes == 4 * (counts.steps + 2)).all()


def test_the_longest_column_of_a_thread_block_decides() -> None:
    mask = np.zeros((200, 8), np.bool_)
    mask[:100, 0], mask[::50, 5], mask[:33, 6] = True, True, True
    weights = pack_mask(None, ElementWiseMask(mask))
    options = PATTERN_OPTIONS["element_wise"]()
    (plan,) = plan_sparse(Gemm("g", 64, 8, 200, weight="w"), GPU, library(), Mapping(), COLD, weights, options)
    assert isinstance(plan, GemmPlan)
    counts = lowered(plan)[0]
    assert counts.steps.tolist() == [4, 2]
    assert counts.load_a_bytes.tolist() == [64 * 100 * 2, 64 * 37 * 2]
    assert counts.step_macs.tolist() == [64 * 100 // 4, -(-64 * 37 // 2)]


def test_restored_elements_are_added_to_columns_that_have_some() -> None:
    weights, (tiles, overlay), _ = planned("tile_element_wise", (200, 64, 96), {}, {})
    assert isinstance(weights, TileElementWeights)
    assert isinstance(tiles.weights, TileWiseWeights)
    assert isinstance(overlay.weights, ElementWeights)
    counts, program = lowered(overlay)
    occupied = np.count_nonzero(np.diff(weights.overlay.element_start))
    assert counts.load_c_bytes.sum() == counts.output_bytes.sum() == 200 * occupied * 2
    run = run_events(program)
    assert run.dram_read_bytes <= program.tile_bytes.sum() - counts.load_c_bytes.sum()  # outputs lie in L2


def test_a_kernel_of_its_own_moves_outputs_if_asked() -> None:
    fused = planned("tile_vector_wise", (64, 64, 96), {"strategy": "merged"}, {})
    apart = planned("tile_vector_wise", (64, 64, 96), {"strategy": "merged", "scatter": "separate"}, {})
    assert fused[2] == []
    (scatter,) = apart[2]
    assert (scatter.bytes_written, scatter.bytes_read) == (64 * 64 * 2, 64 * 64 * 2 + 64 * 4)


@pytest.mark.parametrize("kind", ["n_m", "vector_wise", "tile_vector_wise", "block_wise"])
def test_shares_of_k_add_up(kind: str) -> None:
    changes = {"strategy": "merged"} if kind == "tile_vector_wise" else {}
    plan = planned(kind, (64, 64, 512), changes, {"split_k": 2})[1][0]
    counts, program = lowered(plan)
    whole = lowered(planned(kind, (64, 64, 512), changes, {"split_k": 1})[1][0])[0]
    assert plan.split_k == 2
    assert counts.macs.sum() == whole.macs.sum()
    assert run_events(program).same_as(run_simpy(program))
