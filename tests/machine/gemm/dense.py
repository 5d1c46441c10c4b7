"""Dense GEMMs as device programs: the short cut of the tests past planning and lowering."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from accelsim.machine.gemm.program import TICKS_PER_CYCLE, DeviceProgram


@dataclass(frozen=True)
class Machine:
    """Rates in bytes a cycle, times in cycles."""

    sm_count: int = 108
    max_blocks_per_sm: int = 32
    shared_bytes_per_sm: int = 164 * 1024
    registers_per_sm: int = 65536
    threads_per_sm: int = 2048
    macs_per_cycle: float = 1014.0
    port: float = 64.0
    l2_rate: float = 3840.0
    load_latency: int = 700
    dram_rate: float = 1110.0
    miss_latency: int = 200
    l2_capacity: int = 40 << 20
    channels: int = 10
    block_setup: int = 150
    epilogue_rate: float = 8.0
    shared_rate: float = 128.0


A100 = Machine()
V100 = Machine(
    sm_count=80, shared_bytes_per_sm=96 * 1024, macs_per_cycle=500.0, port=32.0, l2_rate=1760.0, load_latency=600,
    dram_rate=520.0, l2_capacity=6 << 20, channels=8,
)  # fmt: skip


@dataclass(frozen=True)
class Tile:
    """A kernel's tile; operands of 2 bytes."""

    tile_m: int = 128
    tile_n: int = 128
    tile_k: int = 32
    stages: int = 3
    threads: int = 256

    @property
    def shared_bytes(self) -> int:
        """What a thread block occupies."""
        return self.stages * (self.tile_m + self.tile_n) * self.tile_k * 2


def _ticks(cycles: NDArray[np.float64] | float) -> NDArray[np.int64]:
    result: NDArray[np.int64] = np.ceil(np.asarray(cycles) * TICKS_PER_CYCLE).astype(np.int64)
    return result


def dense_program(
    m: int, n: int, k: int, machine: Machine, tile: Tile, *, steps_per_chunk: int = 1, split_k: int = 1,
    conflict_cycles: int = 0, warm: str = "", reduce: bool = True,
) -> DeviceProgram:  # fmt: skip
    """A dense GEMM of 2-byte operands. `warm` names the operands ("a", "b") that lie in L2 at the start."""
    panels_m, panels_n = -(-m // tile.tile_m), -(-n // tile.tile_n)
    steps_all = -(-k // tile.tile_k)
    cuts = np.linspace(0, steps_all, split_k + 1).astype(np.int64) // steps_per_chunk * steps_per_chunk
    cuts[-1] = steps_all
    chunks = -(-steps_all // steps_per_chunk)
    split, column, row = (x.ravel() for x in np.mgrid[:split_k, :panels_n, :panels_m])
    blocks = len(row)
    full = np.ones(blocks, np.int64)
    width_a = np.minimum(tile.tile_m, m - row * tile.tile_m)
    width_b = np.minimum(tile.tile_n, n - column * tile.tile_n)
    loads = (width_a + width_b) * tile.tile_k * 2
    out = width_a * width_b * (2 if split_k == 1 else 4)
    compute = tile.tile_m * tile.tile_n * tile.tile_k / machine.macs_per_cycle
    shared = (tile.tile_m + tile.tile_n) * tile.tile_k * 2 / machine.shared_rate
    tile_rows = np.concatenate([
        np.repeat(np.minimum(tile.tile_m, m - np.arange(panels_m) * tile.tile_m), chunks),
        np.repeat(np.minimum(tile.tile_n, n - np.arange(panels_n) * tile.tile_n), chunks),
    ])  # fmt: skip
    tile_bytes = tile_rows * tile.tile_k * 2 * steps_per_chunk
    channels = np.clip(-(-tile_bytes // 4096), 1, machine.channels)
    warm_tiles = np.concatenate([
        np.arange(panels_m * chunks) if "a" in warm else np.zeros(0, np.int64),
        np.arange(panels_n * chunks) + panels_m * chunks if "b" in warm else np.zeros(0, np.int64),
    ]).astype(np.int64)  # fmt: skip
    fits = np.cumsum(tile_bytes[warm_tiles][::-1])[::-1] <= machine.l2_capacity
    program = DeviceProgram(
        sm_count=machine.sm_count, max_blocks_per_sm=machine.max_blocks_per_sm,
        shared_bytes_per_sm=machine.shared_bytes_per_sm, registers_per_sm=machine.registers_per_sm,
        threads_per_sm=machine.threads_per_sm, l2_capacity=machine.l2_capacity,
        l2_latency=machine.load_latency * TICKS_PER_CYCLE, dram_latency=machine.miss_latency * TICKS_PER_CYCLE,
        channels=machine.channels, block_setup=machine.block_setup * TICKS_PER_CYCLE,
        write_backlog=int(machine.l2_capacity / machine.dram_rate * TICKS_PER_CYCLE),
        launch_release=np.zeros(1, np.int64), launch_after=np.full(1, -1), launch_gap=np.zeros(1, np.int64),
        launch_first_block=np.zeros(1, np.int64), launch_block_count=np.array([blocks]),
        launch_shared_bytes=np.array([tile.shared_bytes]), launch_registers=np.array([tile.threads * 128]),
        launch_threads=np.array([tile.threads]), launch_window=np.array([tile.stages - 1]),
        launch_steps_per_chunk=np.array([steps_per_chunk]),
        block_steps=cuts[split + 1] - cuts[split], block_compute=_ticks(compute) * full,
        block_shared=_ticks(shared) * full, block_conflict=_ticks(conflict_cycles) * full,
        block_port=_ticks(loads / machine.port), block_l2=_ticks(loads / machine.l2_rate), block_load_bytes=loads,
        block_a_base=row * chunks, block_a_span=cuts[split] // steps_per_chunk,
        block_b_base=(panels_m + column) * chunks, block_b_span=cuts[split] // steps_per_chunk,
        block_epilogue=_ticks(out / machine.epilogue_rate), block_epilogue_l2=_ticks(out / machine.l2_rate),
        block_epilogue_dram=_ticks(out / machine.dram_rate) if split_k == 1 else 0 * full, block_epilogue_bytes=out,
        span_first=np.arange(chunks), span_count=np.ones(chunks, np.int64),
        tile_bytes=tile_bytes, tile_dram=_ticks(tile_bytes / channels / (machine.dram_rate / machine.channels)),
        tile_channel=np.arange(len(tile_bytes)) * 40503 // 64 % machine.channels, tile_channels=channels,
        warm_tiles=warm_tiles[fits],
    )  # fmt: skip
    return _with_reduction(program, m * n, split_k, machine) if split_k > 1 and reduce else program


def _with_reduction(program: DeviceProgram, outputs: int, split_k: int, machine: Machine) -> DeviceProgram:
    """Append the kernel that adds up split-K's parts: reads and writes at L2's rate, no k-steps."""
    blocks = machine.sm_count
    moved = outputs * (4 * split_k + 2) // blocks
    extra = {
        "launch_release": 0, "launch_after": 0, "launch_gap": 1900 * TICKS_PER_CYCLE,
        "launch_first_block": len(program.block_steps), "launch_block_count": blocks, "launch_shared_bytes": 0,
        "launch_registers": 256 * 32, "launch_threads": 256, "launch_window": 1, "launch_steps_per_chunk": 1,
    }  # fmt: skip
    block = {
        "block_steps": 0, "block_compute": 1, "block_shared": 0, "block_conflict": 0, "block_port": 0, "block_l2": 0,
        "block_load_bytes": 0, "block_a_base": -1, "block_a_span": 0, "block_b_base": -1, "block_b_span": 0,
        "block_epilogue": max(1, int(_ticks(outputs * 2 / blocks / machine.epilogue_rate))),
        "block_epilogue_l2": int(_ticks(moved / machine.l2_rate)),
        "block_epilogue_dram": int(_ticks(outputs * 2 / blocks / machine.dram_rate)),
        "block_epilogue_bytes": outputs * 2 // blocks,
    }  # fmt: skip
    changes = {name: np.append(getattr(program, name), value) for name, value in extra.items()}
    changes |= {name: np.append(getattr(program, name), np.full(blocks, value)) for name, value in block.items()}
    return replace(program, **changes)  # type: ignore[arg-type]
