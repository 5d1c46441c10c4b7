"""Counts of thread blocks against sets of addresses, written down one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.mapping.blocks import build_blocks, dense_columns, one_launch, run_lengths, tile_wise_columns
from accelsim.mapping.counts import count_blocks
from accelsim.mapping.plan import GemmPlan
from accelsim.mapping.tiles import ELEMENT_BYTES, built_tile
from accelsim.model.graph import Gemm
from accelsim.pruning.pack import pack
from accelsim.pruning.packing import TileWiseWeights
from accelsim.pruning.seeded import seeded_mask
from tests.mapping.machines import gpu

GPU = gpu()
extents = st.integers(1, 60)
layouts = st.sampled_from(["row_major", "transposed"])
dtypes = st.sampled_from(["fp16", "fp32", "int8"])


def plan_of(
    gemm: Gemm, tile: tuple[int, int, int], split_k: int = 1, weights: TileWiseWeights | None = None,
    activations: str = "row_major", padded: bool = False, shared_layout: str = "swizzled",
) -> GemmPlan:  # fmt: skip
    shape = built_tile(*tile, 2, gemm.dtype, "tensor_core")
    columns = dense_columns(gemm.n, gemm.k, tile[1]) if weights is None else tile_wise_columns(weights, tile[1])
    padded_k = int(weights.row_count.max()) if weights is not None and padded else None
    blocks = build_blocks(gemm, columns, (tile[0], tile[2]), split_k, ("swizzle", 2), padded_k)
    shares = 1 + int(blocks.split.max(initial=0))
    return GemmPlan(
        gemm, shape, blocks, one_launch("g", blocks), shares, 1, activations, shared_layout, weights=weights,
        padded_k=padded_k,
    )  # fmt: skip


def touched(rows: range | list[int], columns: range | list[int], leading: int, element: int) -> int:
    """Sectors of the elements (row, column) of a row-major matrix."""
    return len({(row * leading + column) * element // 32 for row in rows for column in columns})


def steps_of(first: int, last: int, tile_k: int) -> list[range]:
    return [range(k, min(k + tile_k, last)) for k in range(first, last, tile_k)]


@settings(deadline=None, max_examples=40)
@given(extents, extents, extents, dtypes, st.integers(1, 3), layouts)
def test_dense_counts(m: int, n: int, k: int, dtype: str, split_k: int, layout: str) -> None:
    plan = plan_of(Gemm("g", m, n, k, dtype=dtype), (16, 24, 8), split_k, activations=layout)
    counts, element, blocks = count_blocks(plan, GPU), ELEMENT_BYTES[dtype], plan.blocks
    assert counts.macs.sum() == m * n * k
    assert not counts.index_bytes.any()
    for i in range(len(blocks)):
        rows, columns = range(blocks.m0[i], blocks.m1[i]), range(blocks.n0[i], blocks.n1[i])
        steps = steps_of(int(blocks.k0[i]), int(blocks.k1[i]), 8)
        assert counts.steps[i] == len(steps)
        assert counts.load_a_bytes[i] == sum(len(rows) * len(step) for step in steps) * element
        assert counts.load_b_bytes[i] == sum(len(columns) * len(step) for step in steps) * element
        by_row = layout == "row_major"
        expected = (touched(rows, s, k, element) if by_row else touched(s, rows, m, element) for s in steps)
        assert counts.load_a_sectors[i] == sum(expected)
        assert counts.load_b_sectors[i] == sum(touched(step, columns, n, element) for step in steps)


@settings(deadline=None, max_examples=40)
@given(extents, extents, extents, dtypes, st.integers(1, 3), layouts, st.floats(0, 1))
def test_tile_wise_counts(m: int, n: int, k: int, dtype: str, split_k: int, layout: str, uneven: float) -> None:
    mask = seeded_mask(k, n, 0.6, 16, 5, uneven)
    weights = pack(None, mask)
    plan = plan_of(Gemm("g", m, n, k, dtype=dtype), (16, 8, 8), split_k, weights, layout)
    counts, element, blocks = count_blocks(plan, GPU), ELEMENT_BYTES[dtype], plan.blocks
    assert counts.macs.sum() == m * mask.kept
    for i in range(len(blocks)):
        tile = int(blocks.weight_tile[i])
        kept, first = mask.rows[tile].tolist(), int(weights.column_start[tile])
        rows = range(blocks.m0[i], blocks.m1[i])
        columns = range(blocks.n0[i] - first, blocks.n1[i] - first)
        steps = steps_of(int(blocks.k0[i]), int(blocks.k1[i]), 8)
        depth = sum(len(step) for step in steps)
        assert counts.steps[i] == len(steps)
        assert counts.index_bytes[i] == 4 * (depth + len(columns))
        assert counts.load_b_sectors[i] == sum(
            touched(step, columns, len(mask.columns[tile]), element) for step in steps
        )
        gathered = [[kept[position] for position in step] for step in steps]
        by_row = layout == "row_major"
        expected = (touched(rows, g, k, element) if by_row else touched(g, rows, m, element) for g in gathered)
        assert counts.load_a_sectors[i] == sum(expected)


@settings(deadline=None, max_examples=30)
@given(extents, extents, st.integers(1, 3), st.floats(0, 1))
def test_padding_is_loaded_but_not_multiplied(m: int, k: int, split_k: int, uneven: float) -> None:
    mask = seeded_mask(k, 64, 0.6, 16, 5, uneven)
    weights = pack(None, mask)
    gemm = Gemm("g", m, 64, k)
    plain, padded = (
        count_blocks(plan_of(gemm, (16, 16, 8), split_k, weights, "transposed", padding), GPU)
        for padding in (False, True)
    )
    plan = plan_of(gemm, (16, 16, 8), split_k, weights, "transposed", padded=True)
    longest = int(weights.row_count.max())
    column_tiles = int((weights.row_count > 0).sum())
    panels = -(-m // 16)
    assert padded.macs.sum() == plain.macs.sum() == m * mask.kept
    runs = run_lengths(plan.blocks, 8, plan.split_k, plan.padded_k)
    assert runs.sum() == panels * column_tiles * longest
    assert padded.steps.sum() == panels * column_tiles * -(-longest // 8)
    assert padded.load_a_bytes.sum() == 2 * m * column_tiles * longest
    assert padded.load_a_sectors.sum() >= plain.load_a_sectors.sum()
    assert padded.load_b_sectors.sum() >= plain.load_b_sectors.sum()
    if len({len(rows) for rows in mask.rows}) == 1:
        np.testing.assert_array_equal(padded.load_a_sectors, plain.load_a_sectors)
        np.testing.assert_array_equal(padded.load_b_sectors, plain.load_b_sectors)


def test_transposed_gathers_touch_far_fewer_sectors() -> None:
    weights = pack(None, seeded_mask(768, 768, 0.75, 128, 0))
    gemm = Gemm("g", 1024, 768, 768)
    sectors = {
        layout: count_blocks(plan_of(gemm, (128, 128, 32), 1, weights, layout), GPU).load_a_sectors.sum()
        for layout in ("transposed", "row_major")
    }
    assert sectors["transposed"] == 1024 * 384 * 3 * 2 // 32
    assert sectors["row_major"] > 2 * sectors["transposed"]


def test_what_is_written() -> None:
    for dtype, width in (("fp16", 2), ("fp32", 4), ("int8", 4)):
        counts = count_blocks(plan_of(Gemm("g", 40, 50, 60, dtype=dtype), (16, 16, 8)), GPU)
        assert counts.output_bytes.sum() == 40 * 50 * width
    split = count_blocks(plan_of(Gemm("g", 40, 50, 60), (16, 16, 8), 2), GPU)
    assert split.output_bytes.sum() == 40 * 50 * 4 * 2


def test_shared_memory_of_a_step() -> None:
    counts = count_blocks(plan_of(Gemm("g", 256, 256, 64), (128, 128, 32)), GPU)
    tile = 128 * 32 * 2
    assert set(counts.shared_write_per_step) == {2 * tile}
    assert set(counts.shared_read_a_per_step) == set(counts.shared_read_b_per_step) == {2 * tile}  # warps 2 x 2
    assert set(counts.shared_bytes_per_step) == {6 * tile}
    np.testing.assert_array_equal(counts.shared_bytes_per_step, counts.shared_bytes_per_step_with_conflicts)
    assert len(counts) == 4


@pytest.mark.parametrize(("layout", "activations", "ways"), [
    ("swizzled", "row_major", (1, 1)), ("padded", "transposed", (1, 1)),
    ("linear", "row_major", (4, 8)), ("linear", "transposed", (8, 8)),
])  # fmt: skip
def test_conflicts_follow_the_layout(layout: str, activations: str, ways: tuple[int, int]) -> None:
    plan = plan_of(Gemm("g", 256, 256, 64), (128, 128, 32), activations=activations, shared_layout=layout)
    counts = count_blocks(plan, GPU)
    assert (set(counts.conflict_ways_a), set(counts.conflict_ways_b)) == ({ways[0]}, {ways[1]})
    tile = 128 * 32 * 2
    assert set(counts.shared_bytes_per_step_with_conflicts) == {2 * tile + 2 * tile * sum(ways)}


def test_a_plan_without_thread_blocks_counts_nothing() -> None:
    mask = seeded_mask(8, 8, 0.5, 4, 0)
    weights = pack(None, type(mask)(8, 8, 4, (), ()))
    for padded in (False, True):
        shape = built_tile(16, 8, 8, 2, "fp16", "tensor_core")
        blocks = build_blocks(Gemm("g", 8, 8, 8), tile_wise_columns(weights, 8), (16, 8), 2, ("swizzle", 2))
        launches = one_launch("g", blocks)
        plan = GemmPlan(
            Gemm("g", 8, 8, 8), shape, blocks, launches, 1, 1, weights=weights, padded_k=0 if padded else None
        )
        counts = count_blocks(plan, GPU)
        assert len(counts) == counts.load_a_sectors.sum() == 0
