"""Small machines and menus for the tests of planning."""

from typing import Any

from accelsim.config.hardware import Gpu, KernelTile, Library

_GPU: dict[str, Any] = {
    "kind": "gpu", "name": "tiny", "sm_count": 8, "clock": "1 GHz",
    "tensor_core": {"fp16": 512, "int8": 1024}, "cuda_core": {"fp32": 64}, "tensor_efficiency": 0.9,
    "shared_memory": {"per_sm": "96 KiB", "per_block": "96 KiB", "bandwidth": "128 B/cycle", "banks": 32},
    "registers_per_sm": 65536, "max_threads_per_sm": 2048, "max_blocks_per_sm": 32,
    "l2": {"capacity": "6 MiB", "bandwidth": "512 B/cycle", "port": "64 B/cycle"},
    "dram": {
        "capacity": "1 GiB", "bandwidth": "400 GB/s", "efficiency": 0.8, "channels": 8, "interleave": "256 B",
    },
    "load_latency": "600 cycles", "miss_latency": "200 cycles", "block_setup": "150 cycles",
    "epilogue": "8 B/cycle",
    "launch": {"graph": "1 us", "stream": "2 us", "host": "2 us", "reduce": "1 us", "start_drain": "0.5 us"},
    "library": "menu", "energy": "none", "sources": {},
}  # fmt: skip


def gpu(**changes: Any) -> Gpu:
    """A GPU of eight SMs; `changes` replace top-level fields."""
    return Gpu(**(_GPU | changes))


def kernel(tile_m: int, tile_n: int, tile_k: int = 32, stages: int = 2, threads: int = 128) -> KernelTile:
    """A kernel with registers for its accumulators."""
    registers = min(255, tile_m * tile_n // threads + 64)
    return KernelTile(
        tile_m=tile_m, tile_n=tile_n, tile_k=tile_k, stages=stages, threads=threads, registers_per_thread=registers
    )


def library(**changes: Any) -> Library:
    """A menu of four tensor-core kernels and one without."""
    menu: dict[str, Any] = {
        "kind": "library", "name": "menu",
        "tensor_core": [kernel(128, 128), kernel(256, 128, threads=256), kernel(64, 64), kernel(64, 128)],
        "cuda_core": [kernel(64, 64, tile_k=8)],
        "split_k": [1, 2, 4], "sources": {},
    }  # fmt: skip
    return Library(**(menu | changes))
