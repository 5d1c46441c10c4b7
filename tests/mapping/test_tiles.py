"""Tiles, occupancy and the kernels that may be chosen."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.config.scheme import Mapping
from accelsim.errors import MappingError
from accelsim.mapping.candidates import candidate_tiles, vector_tiles
from accelsim.mapping.tiles import ELEMENT_BYTES, built_tile, compute_unit, misfit, occupancy, reader_grid, tile_shape
from tests.mapping.machines import gpu, kernel, library

GPU, LIBRARY = gpu(), library()
sizes = st.sampled_from([8, 16, 24, 32, 64, 96, 128, 256])


def test_a_step_has_the_same_bytes_in_every_format() -> None:
    tiles = {dtype: tile_shape(kernel(128, 64), dtype, "tensor_core") for dtype in ("fp16", "bf16", "tf32", "int8")}
    assert {dtype: tile.tile_k for dtype, tile in tiles.items()} == {"fp16": 32, "bf16": 32, "tf32": 16, "int8": 64}
    assert {tile.shared_bytes for tile in tiles.values()} == {2 * (128 + 64) * 32 * 2}
    cuda = tile_shape(kernel(64, 64, tile_k=8), "fp32", "cuda_core")
    assert (cuda.tile_k, cuda.shared_bytes, cuda.unit) == (8, 2 * 128 * 8 * 4, "cuda_core")


def test_units() -> None:
    assert compute_unit("fp16", GPU) == "tensor_core"
    assert compute_unit("fp32", GPU) == "cuda_core"
    with pytest.raises(MappingError, match="tiny cannot multiply bf16; it takes fp16, fp32, int8"):
        compute_unit("bf16", GPU)


@settings(deadline=None, max_examples=200)
@given(sizes, sizes, st.sampled_from([8, 16, 32, 64]), st.integers(2, 5))
def test_occupancy_is_the_most_that_fits(tile_m: int, tile_n: int, tile_k: int, stages: int) -> None:
    tile = built_tile(tile_m, tile_n, tile_k, stages, "fp16", "tensor_core")
    if misfit(tile, GPU):
        with pytest.raises(MappingError, match="does not fit tiny"):
            occupancy(tile, GPU)
        return

    def fits(count: int) -> bool:
        return (
            count * tile.shared_bytes <= GPU.shared_memory.per_sm
            and count * tile.registers <= GPU.registers_per_sm
            and count * tile.threads <= GPU.max_threads_per_sm
            and count <= GPU.max_blocks_per_sm
        )

    count = occupancy(tile, GPU)
    assert fits(count)
    assert not fits(count + 1)


def test_each_resource_can_be_the_limit() -> None:
    tile = tile_shape(kernel(128, 128), "fp16", "tensor_core")
    assert occupancy(tile, GPU) == 2  # 128 threads x 192 registers: 65536 / 24576
    assert occupancy(tile, gpu(registers_per_sm=1 << 20)) == 3  # 96 KiB / 32 KiB
    assert occupancy(tile, gpu(max_threads_per_sm=128)) == 1
    assert occupancy(tile, gpu(max_blocks_per_sm=1)) == 1


def test_a_tile_that_does_not_fit() -> None:
    large = built_tile(256, 128, 64, 6, "fp16", "tensor_core")
    with pytest.raises(MappingError, match=r"needs 288 KiB of shared memory per thread block; tiny allows 96 KiB"):
        occupancy(large, GPU)
    with pytest.raises(MappingError, match="24576 registers per thread block; tiny has 1024"):
        occupancy(tile_shape(kernel(128, 128), "fp16", "tensor_core"), gpu(registers_per_sm=1024))
    with pytest.raises(MappingError, match="128 threads per thread block; tiny holds 64"):
        occupancy(tile_shape(kernel(128, 128), "fp16", "tensor_core"), gpu(max_threads_per_sm=64))
    with pytest.raises(MappingError, match="accumulators"):
        built_tile(1024, 1024, 8, 2, "fp16", "tensor_core")


@settings(deadline=None, max_examples=100)
@given(sizes, sizes)
def test_built_kernels_hold_their_accumulators(tile_m: int, tile_n: int) -> None:
    tile = built_tile(tile_m, tile_n, 32, 2, "fp16", "tensor_core")
    assert tile_m * tile_n < tile.registers <= 255 * tile.threads
    assert tile.threads == 128 or tile_m * tile_n > 64 * tile.threads


@pytest.mark.parametrize(
    ("tile_m", "tile_n", "threads", "grid"),
    [
        (128, 128, 128, (2, 2)),
        (256, 128, 256, (4, 2)),
        (128, 256, 256, (2, 4)),
        (128, 8, 128, (4, 1)),
        (8, 8, 64, (2, 1)),
    ],
)
def test_warps_stand_so_that_they_read_least(tile_m: int, tile_n: int, threads: int, grid: tuple[int, int]) -> None:
    tile = tile_shape(kernel(tile_m, tile_n, threads=threads), "fp16", "tensor_core")
    assert reader_grid(tile, GPU) == grid


def test_tensor_cores_that_read_shared_memory_do_so_once_for_64_rows() -> None:
    hopper = gpu(tensor_operands="shared_memory")
    assert reader_grid(tile_shape(kernel(192, 128, threads=384), "fp16", "tensor_core"), hopper) == (3, 1)
    assert reader_grid(tile_shape(kernel(128, 128), "fp32", "cuda_core"), hopper) == (2, 2)


def shapes_of(mapping: Mapping, dtype: str = "fp16", granularity: int | None = None) -> list[tuple[int, ...]]:
    tiles = candidate_tiles(dtype, GPU, LIBRARY, mapping, granularity)
    for tile in tiles:
        assert tile.shared_bytes == tile.stages * (tile.tile_m + tile.tile_n) * tile.tile_k * ELEMENT_BYTES[dtype]
    return [(tile.tile_m, tile.tile_n, tile.tile_k, tile.stages) for tile in tiles]


def test_the_menu_is_narrowed_by_what_is_fixed() -> None:
    assert len(shapes_of(Mapping())) == 4
    assert shapes_of(Mapping(tile_m=64)) == [(64, 64, 32, 2), (64, 128, 32, 2)]
    assert shapes_of(Mapping(tile_m=64, tile_n=128, tile_k=32)) == [(64, 128, 32, 2)]
    assert shapes_of(Mapping(tile_k=64, tile_m=64), "int8") == [(64, 64, 64, 2), (64, 128, 64, 2)]


def test_what_no_menu_holds_is_built_from_the_nearest() -> None:
    assert shapes_of(Mapping(tile_m=96, tile_n=48, tile_k=16, stages=3)) == [(96, 48, 16, 3)]
    assert shapes_of(Mapping(tile_m=256, tile_n=64)) == [(256, 64, 32, 2)]
    assert shapes_of(Mapping(stages=3, tile_m=64)) == [(64, 64, 32, 3), (64, 128, 32, 3)]
    kept = candidate_tiles("fp16", GPU, LIBRARY, Mapping(tile_m=256, tile_k=16), None)
    assert [(tile.tile_n, tile.threads, tile.shared_bytes) for tile in kept] == [(128, 256, 2 * 384 * 32)]


def test_stages_give_way_unless_they_are_fixed() -> None:
    deep = library(tensor_core=[kernel(64, 64, stages=4)])
    small = gpu(shared_memory={"per_sm": "24 KiB", "per_block": "24 KiB", "bandwidth": "128 B/cycle", "banks": 32})
    tiles = candidate_tiles("fp16", small, deep, Mapping(tile_m=128), None)
    assert [(tile.tile_m, tile.stages) for tile in tiles] == [(128, 2)]
    with pytest.raises(MappingError, match="needs 48 KiB"):
        candidate_tiles("fp16", small, deep, Mapping(tile_m=128, stages=4), None)
    with pytest.raises(MappingError, match="64 x 64 x 32 in 4 stages does not fit"):
        candidate_tiles("fp16", small, deep, Mapping(), None)


def test_tile_wise_kernels_are_no_wider_than_a_weight_tile() -> None:
    assert {n for _, n, _, _ in shapes_of(Mapping(), granularity=64)} == {64}
    assert {n for _, n, _, _ in shapes_of(Mapping(), granularity=128)} == {64, 128}
    assert {n for _, n, _, _ in shapes_of(Mapping(), granularity=100)} == {64, 104}
    assert {n for _, n, _, _ in shapes_of(Mapping(), granularity=6)} == {8}
    assert {n for _, n, _, _ in shapes_of(Mapping(), granularity=1000)} == {64, 128, 256}
    assert {n for _, n, _, _ in shapes_of(Mapping(tile_n=32), granularity=64)} == {32}
    with pytest.raises(MappingError, match=r"mapping.tile_n is 128.*granularity 64.*at most 64"):
        shapes_of(Mapping(tile_n=128), granularity=64)


def test_an_empty_menu() -> None:
    with pytest.raises(MappingError, match="menu has no tensor_core kernel"):
        candidate_tiles("fp16", GPU, library(tensor_core=[]), Mapping(), None)


def test_matrix_vector_kernels_are_for_formats_of_cuda_cores_and_open_mappings() -> None:
    menu = library(gemv=[kernel(1, 8, tile_k=128), kernel(1, 4096, tile_k=128)])
    both = gpu(cuda_core={"fp32": 64, "fp16": 128})
    (tile,) = vector_tiles("fp16", both, menu, Mapping())
    assert (tile.tile_m, tile.tile_n, tile.tile_k, tile.unit) == (1, 8, 128, "cuda_core")
    (single,) = vector_tiles("fp32", both, menu, Mapping(split_k=1))
    assert (single.tile_k, single.shared_bytes) == (64, tile.shared_bytes)
    assert vector_tiles("fp16", GPU, menu, Mapping()) == []
    assert vector_tiles("fp16", both, menu, Mapping(split_k=2)) == [tile]
    for fixed in (Mapping(tile_n=8), Mapping(stages=2)):
        assert vector_tiles("fp16", both, menu, fixed) == []
