"""Plans of whole GEMMs: the kernel that is chosen, its thread blocks, launches and chunks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.config.hardware import FewBlocks
from accelsim.config.scheme import Mapping, TileWise
from accelsim.config.workload import Caches
from accelsim.errors import MappingError
from accelsim.mapping.choice import choose, rank
from accelsim.mapping.gemm import plan_gemm
from accelsim.mapping.plan import GemmPlan
from accelsim.mapping.tiles import misfit
from accelsim.model.graph import Gemm
from accelsim.pruning.pack import pack
from accelsim.pruning.packing import TileWiseWeights
from accelsim.pruning.seeded import seeded_mask
from accelsim.pruning.tile_wise import TileWiseMask
from tests.mapping.machines import gpu, kernel, library

GPU, LIBRARY, CACHES = gpu(), library(), Caches()


def plan(
    gemm: Gemm, mapping: Mapping | None = None, weights: TileWiseWeights | None = None, **tile_wise: object
) -> GemmPlan:
    options = TileWise(**tile_wise) if tile_wise else None  # type: ignore[arg-type]
    return plan_gemm(gemm, GPU, LIBRARY, mapping or Mapping(), CACHES, weights=weights, tile_wise=options)


def pruned(gemm: Gemm, granularity: int = 64, uneven: float = 0.0) -> TileWiseWeights:
    return pack(None, seeded_mask(gemm.k, gemm.n, 0.75, granularity, 1, uneven))


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 3),
    st.sampled_from(["fp16", "fp32", "int8"]),
)  # fmt: skip
def test_a_dense_plan_has_exactly_m_n_k_macs(m: int, n: int, k: int, batch: int, dtype: str) -> None:
    result = plan(Gemm("g", m, n, k, batch, dtype=dtype))
    assert result.blocks.macs.sum() == batch * m * n * k
    assert not misfit(result.tile, GPU)
    assert [(launch.first_block, launch.block_count) for launch in result.launches] == [(0, len(result.blocks))]
    assert result.split_k == len(set(result.blocks.split))
    assert result.tile.unit == ("cuda_core" if dtype == "fp32" else "tensor_core")


def test_the_chosen_kernel_is_the_cheapest() -> None:
    gemm = Gemm("g", 512, 512, 4096)
    choices = rank(gemm, GPU, LIBRARY, Mapping(), CACHES)
    assert len(choices) == 4 * 3
    assert [choice.cycles for choice in choices] == sorted(choice.cycles for choice in choices)
    assert choose(gemm, GPU, LIBRARY, Mapping(), CACHES) == choices[0]
    assert all(choice.cycles > 0 for choice in choices)


def test_one_row_is_multiplied_on_cuda_cores_where_that_is_faster() -> None:
    both, menu = gpu(cuda_core={"fp32": 64, "fp16": 128}), library(gemv=[kernel(1, 16, tile_k=128, stages=3)])
    row, rows = Gemm("g", 1, 4096, 512), Gemm("g", 2, 4096, 512)
    best, *others = rank(row, both, menu, Mapping(), CACHES)
    assert (best.tile.tile_m, best.tile.unit, best.split_k) == (1, "cuda_core", 1)
    matrix = [choice for choice in others if choice.tile.tile_m > 1]
    assert matrix == rank(row, both, LIBRARY, Mapping(), CACHES)
    assert best.cycles < others[0].cycles
    assert rank(rows, both, menu, Mapping(), CACHES) == rank(rows, both, LIBRARY, Mapping(), CACHES)
    slow = rank(row, gpu(cuda_core={"fp32": 64, "fp16": 1}), menu, Mapping(), CACHES)
    assert slow[-1].tile == best.tile
    weights = pruned(row)
    plan = plan_gemm(row, both, menu, Mapping(), CACHES, weights=weights, tile_wise=TileWise(granularity=64))
    assert plan.tile.tile_m > 1


def test_a_library_cuts_k_only_from_where_it_says() -> None:
    small = Gemm("g", 64, 64, 4096)
    assert choose(small, GPU, LIBRARY, Mapping(), CACHES).split_k > 1
    late = LIBRARY.model_copy(update={"split_k_from": 4097})
    assert choose(small, GPU, late, Mapping(), CACHES).split_k == 1
    assert choose(small, GPU, late, Mapping(split_k=2), CACHES).split_k == 2


def test_kernels_of_few_thread_blocks_start_later_where_the_library_says_so() -> None:
    few = FewBlocks(most=2, rows_over=16, delay="1 us")
    menu = LIBRARY.model_copy(update={"few_blocks": few, "split_k": [1]})
    fixed = Mapping(tile_m=64, tile_n=64)
    for m, n, late in ((64, 128, True), (16, 128, False), (64, 256, False)):
        gemm = Gemm("g", m, n, 256)
        planned = plan_gemm(gemm, GPU, menu, fixed, CACHES)
        assert planned.start_delay == (1e-6 if late else 0.0)
        plain = choose(gemm, GPU, LIBRARY, fixed.model_copy(update={"split_k": 1}), CACHES)
        later = choose(gemm, GPU, menu, fixed, CACHES).cycles - plain.cycles
        assert later == pytest.approx(1e-6 * GPU.clock if late else 0.0)


def test_narrow_ports_ask_for_large_tiles_and_few_outputs_for_split_k() -> None:
    narrow = gpu(l2={"capacity": "6 MiB", "bandwidth": "512 B/cycle", "port": "16 B/cycle"})
    large = choose(Gemm("g", 8192, 8192, 4096), narrow, LIBRARY, Mapping(), CACHES)
    assert large.tile.tile_m * large.tile.tile_n >= 128 * 128
    assert large.split_k == 1
    assert choose(Gemm("g", 64, 64, 65536), GPU, LIBRARY, Mapping(), CACHES).split_k > 1


def test_what_the_mapping_fixes_holds() -> None:
    gemm = Gemm("g", 300, 300, 300)
    mapping = Mapping(tile_m=64, tile_n=32, tile_k=16, stages=3, split_k=2, raster="along_n", shared_layout="linear")
    result = plan(gemm, mapping)
    tile = result.tile
    assert (tile.tile_m, tile.tile_n, tile.tile_k, tile.stages) == (64, 32, 16, 3)
    assert (result.split_k, result.shared_layout) == (2, "linear")
    assert result.blocks.n0[:3].tolist() == [0, 32, 64]
    assert result.blocks.macs.sum() == gemm.macs


def test_split_k_beyond_the_steps_is_cut_back() -> None:
    result = plan(Gemm("g", 64, 64, 40), Mapping(split_k=8))
    assert result.split_k == len(set(result.blocks.split)) == 2
    assert plan(Gemm("g", 64, 64, 5), Mapping(split_k=8)).split_k == 1


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 500), st.integers(64, 500), st.integers(1, 500), st.sampled_from([8, 24, 64]),
    st.sampled_from(["merged", "padded_batch", "stream"]), st.floats(0, 1),
)  # fmt: skip
def test_a_tile_wise_plan_has_exactly_the_kept_macs(
    m: int, n: int, k: int, granularity: int, strategy: str, uneven: float
) -> None:
    gemm = Gemm("g", m, n, k)
    weights = pruned(gemm, granularity, uneven)
    result = plan(gemm, weights=weights, granularity=granularity, strategy=strategy)
    assert result.blocks.macs.sum() == m * weights.kept
    assert result.tile.tile_n <= 8 * -(-granularity // 8)
    assert sum(launch.block_count for launch in result.launches) == len(result.blocks)
    assert (result.activations, result.weights) == ("transposed", weights)
    assert result.padded_k == (weights.row_count.max() if strategy == "padded_batch" else None)
    assert (len(result.launches) == max(1, (weights.row_count > 0).sum())) or strategy != "stream"


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 400))
def test_with_everything_kept_tile_wise_cuts_as_dense_does(m: int, n: int, k: int) -> None:
    gemm = Gemm("g", m, n, k)
    mapping = Mapping(tile_m=64, tile_n=64, split_k=2)
    dense = plan(gemm, mapping)
    whole = plan(gemm, mapping, pack(None, seeded_mask(k, n, 0.0, 64, 0)), granularity=64)
    for name in ("batch", "m0", "m1", "n0", "n1", "k0", "k1", "split"):
        np.testing.assert_array_equal(getattr(dense.blocks, name), getattr(whole.blocks, name))
    assert dense.tile == whole.tile


def test_streams_and_split_k_contradict_each_other() -> None:
    gemm = Gemm("g", 64, 128, 4096)
    weights = pruned(gemm)
    assert plan(gemm, weights=weights, granularity=64, strategy="stream").split_k == 1
    with pytest.raises(MappingError, match=r"split_k is 4.*stream.*split_k of 1"):
        plan(gemm, Mapping(split_k=4), weights, granularity=64, strategy="stream")


def test_weights_of_another_shape() -> None:
    with pytest.raises(MappingError, match=r"ffn: weights are \[64, 64\], the GEMM has \[64, 128\]"):
        plan(Gemm("ffn", 8, 128, 64), weights=pruned(Gemm("g", 8, 64, 64)), granularity=64)


@pytest.mark.parametrize("strategy", ["merged", "padded_batch", "stream"])
def test_nothing_kept(strategy: str) -> None:
    nothing = pack(None, TileWiseMask(32, 32, 8, (), ()))
    tiles_only = pack(None, TileWiseMask(32, 8, 8, (np.arange(8),), (np.zeros(0, np.int64),)))
    for weights in (nothing, tiles_only):
        result = plan(Gemm("g", 16, weights.n, 32), weights=weights, granularity=8, strategy=strategy)
        assert len(result.blocks) == 0
        assert [launch.block_count for launch in result.launches] == [0]
        assert (result.split_k, result.steps_per_chunk) == (1, 1)


@pytest.mark.parametrize(("max_events", "stages", "chunk"), [(4096, 2, 1), (2048, 2, 2), (1000, 2, 5), (4000, 4, 3)])
def test_chunks_keep_the_number_of_events_down(max_events: int, stages: int, chunk: int) -> None:
    mapping = Mapping(tile_m=64, tile_n=64, tile_k=32, stages=stages, split_k=1, max_events=max_events)
    assert plan(Gemm("g", 512, 512, 2048), mapping).steps_per_chunk == chunk


def test_a_tile_that_does_not_fit() -> None:
    with pytest.raises(MappingError, match="needs 128 KiB of shared memory per thread block; tiny allows 96 KiB"):
        plan(Gemm("g", 64, 64, 64), Mapping(tile_m=128, tile_n=128, tile_k=64, stages=4))
