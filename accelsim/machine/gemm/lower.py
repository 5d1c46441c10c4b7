"""From a planned GEMM and its counts to the flat program that the GEMM device runs.

This is where bytes and multiply-accumulates become ticks: each service time is rounded up once, here, so that the
event core and its SimPy twin add up the same integers. What is fetched from DRAM as a unit is in operands.py.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.config.hardware import Gpu
from accelsim.config.workload import Caches
from accelsim.errors import MappingError
from accelsim.estimate.gemm import REDUCE_ELEMENTS, REDUCE_WINDOW
from accelsim.machine.gemm.element_operands import element_operands
from accelsim.machine.gemm.operands import operand_a, operand_b
from accelsim.machine.gemm.program import TICKS_PER_CYCLE, DeviceProgram, IntArray
from accelsim.mapping.counts import SECTOR_BYTES, BlockCounts
from accelsim.mapping.layout import dram_costs
from accelsim.mapping.plan import GemmPlan
from accelsim.mapping.tiles import mac_rate
from accelsim.model.graph import Layout
from accelsim.pruning.packed.elements import ElementWeights

Fields = dict[str, Any]
"""Fields of a `DeviceProgram` by name."""


@dataclass(frozen=True)
class Clockwork:
    """Rates of one GPU in ticks, and the conversion from what is counted to ticks."""

    gpu: Gpu

    def cycles(self, cycles: float) -> int:
        """Ticks of a number of cycles, rounded up."""
        return int(np.ceil(cycles * TICKS_PER_CYCLE))

    def seconds(self, seconds: float) -> int:
        """Ticks of a time, rounded up."""
        return self.cycles(seconds * self.gpu.clock)

    def stream(self, amount: IntArray | NDArray[np.float64] | int, per_cycle: float) -> IntArray:
        """Ticks that `amount` takes at a rate per cycle, rounded up, elementwise."""
        return np.ceil(np.asarray(amount, dtype=np.float64) * (TICKS_PER_CYCLE / per_cycle)).astype(np.int64)

    @property
    def dram_rate(self) -> float:
        """Bytes a cycle that all channels together stream."""
        return self.gpu.dram.bandwidth * self.gpu.dram.efficiency / self.gpu.clock

    def launch_overhead(self, launch: str) -> int:
        """Ticks before a kernel's first thread block: from the kernel before it, and its start and drain; under sync
        all that launching and waiting take, as if both came first.

        Raises
        ------
        MappingError
            The GPU does not say what waiting for a kernel takes.
        """
        costs = self.gpu.launch
        if launch == "sync":
            if costs.sync is None:
                raise MappingError(f"{self.gpu.name} has no launch.sync; launch may be graph or stream")
            return self.seconds(costs.sync)
        return self.seconds((costs.graph if launch == "graph" else costs.stream) + costs.start_drain)

    def machine(self) -> Fields:
        """The fields of a `DeviceProgram` that describe the device."""
        gpu = self.gpu
        return {
            "sm_count": gpu.sm_count,
            "max_blocks_per_sm": gpu.max_blocks_per_sm,
            "shared_bytes_per_sm": gpu.shared_memory.per_sm,
            "registers_per_sm": gpu.registers_per_sm,
            "threads_per_sm": gpu.max_threads_per_sm,
            "l2_capacity": gpu.l2.capacity,
            "l2_latency": self.cycles(gpu.load_latency),
            "dram_latency": self.cycles(gpu.miss_latency),
            "channels": gpu.dram.channels,
            "block_setup": self.cycles(gpu.block_setup),
            "write_backlog": self.cycles(gpu.l2.capacity / self.dram_rate),
        }

    def tiles(self, tile_bytes: IntArray, cost: NDArray[np.float64] | float = 1.0) -> Fields:
        """Placement of operand tiles, laid one after another in memory, on the DRAM channels.

        `cost` of a tile: DRAM time of its bytes over that of a long stream.
        """
        dram = self.gpu.dram
        address = np.concatenate([[0], np.cumsum(tile_bytes)[:-1]]).astype(np.int64) if len(tile_bytes) else tile_bytes
        channels = np.clip(-(-tile_bytes // dram.interleave), 1, dram.channels)
        share = -(-tile_bytes // channels)
        return {
            "tile_bytes": tile_bytes,
            "tile_dram": self.stream(np.asarray(share * cost, np.float64), self.dram_rate / dram.channels),
            "tile_channel": (address // dram.interleave) % dram.channels,
            "tile_channels": channels,
        }


def _warm(tile_bytes: IntArray, groups: list[IntArray], capacity: int) -> IntArray:
    """Tiles that lie in L2: of each group in order the last written, as far as there is room, oldest first."""
    chosen: list[IntArray] = []
    room = capacity
    for group in groups:
        newest_first = group[::-1]
        fits = newest_first[np.cumsum(tile_bytes[newest_first]) <= room]
        room -= int(tile_bytes[fits].sum())
        chosen.insert(0, fits[::-1])
    return np.concatenate(chosen) if chosen else np.empty(0, np.int64)


def _launches(plan: GemmPlan, clock: Clockwork, launch: str) -> Fields:
    """Launch rows of the plan's own kernels: when the host makes them known, and what precedes each in its stream."""
    gpu, count = clock.gpu, len(plan.launches)
    first = clock.launch_overhead(launch) + clock.seconds(plan.start_delay)
    # The host waits for all launches of a product together: within a stream they follow each other as ever.
    gap = clock.launch_overhead("stream") if launch == "sync" else first
    every = clock.seconds(gpu.launch.graph if launch == "graph" else gpu.launch.host)
    last: dict[int, int] = {}
    after = []
    for index, item in enumerate(plan.launches):
        after.append(last.get(item.stream, -1))
        last[item.stream] = index
    tile = plan.tile

    def whole(value: int) -> IntArray:
        return np.full(count, value, np.int64)

    return {
        "launch_release": first + every * np.arange(count, dtype=np.int64),
        "launch_after": np.asarray(after, np.int64),
        "launch_gap": whole(gap),
        "launch_first_block": np.asarray([item.first_block for item in plan.launches], np.int64),
        "launch_block_count": np.asarray([item.block_count for item in plan.launches], np.int64),
        "launch_shared_bytes": whole(tile.shared_bytes),
        "launch_registers": whole(tile.registers),
        "launch_threads": whole(tile.threads),
        "launch_window": whole(tile.stages - 1),
        "launch_steps_per_chunk": whole(plan.steps_per_chunk),
    }


def _parts_stay(plan: GemmPlan, counts: BlockCounts, gpu: Gpu) -> bool:
    """Whether the parts of split-K stay in L2 until they are added up."""
    return plan.split_k > 1 and int(counts.output_bytes.sum()) <= gpu.l2.capacity


def _block_times(plan: GemmPlan, counts: BlockCounts, clock: Clockwork) -> Fields:
    """Service times of the plan's thread blocks."""
    gpu, tile = clock.gpu, plan.tile
    steps = np.maximum(counts.steps, 1)
    dtype = plan.gemm.dtype
    rate = mac_rate(gpu, dtype, tile.unit) * plan.efficiency
    sectors = counts.load_a_sectors + counts.load_b_sectors
    arriving = sectors * SECTOR_BYTES + counts.index_bytes + counts.load_c_bytes
    loads, delivered = -(-arriving // steps), -(-(arriving - _delivered_together(plan, counts)) // steps)
    shared = clock.stream(counts.shared_bytes_per_step, gpu.shared_memory.bandwidth)
    contended = clock.stream(counts.shared_bytes_per_step_with_conflicts, gpu.shared_memory.bandwidth)
    return {
        "block_steps": counts.steps,
        "block_compute": clock.stream(counts.rated_macs, rate),
        "block_shared": shared,
        "block_conflict": contended - shared,
        "block_port": clock.stream(loads, gpu.l2.port),
        "block_l2": clock.stream(delivered, gpu.l2.bandwidth),
        "block_load_bytes": delivered,
        **writes(
            counts.output_bytes,
            clock,
            counts.output_bytes * (0 if _parts_stay(plan, counts, gpu) else 1),
            gpu.epilogue * plan.epilogue,
        ),
    }


def _delivered_together(plan: GemmPlan, counts: BlockCounts) -> IntArray:
    """Bytes of each thread block's loads that L2 delivers to a neighbour at the same time: of the wider tile of those
    that another output tile needs as well."""
    gemm, tile = plan.gemm, plan.tile
    if tile.multicast == 1 or plan.weights is not None:
        return np.zeros(len(counts.steps), np.int64)
    a_shared = counts.load_a_sectors * (gemm.n > tile.tile_n)
    b_shared = counts.load_b_sectors * (gemm.m > tile.tile_m)
    saved: IntArray = np.maximum(a_shared, b_shared) * SECTOR_BYTES * (tile.multicast - 1) // tile.multicast
    return saved


def _reduction(plan: GemmPlan, counts: BlockCounts, clock: Clockwork, output_bytes: int) -> tuple[Fields, Fields]:
    """Launch and blocks of the kernel that adds up the parts of split-K, which lie in L2."""
    gpu, gemm = clock.gpu, plan.gemm
    elements = gemm.batch * gemm.m * _columns(plan)
    count = -(-elements // REDUCE_ELEMENTS)
    bounds = np.minimum(np.arange(count + 1, dtype=np.int64) * REDUCE_ELEMENTS, elements)
    own = np.diff(bounds)
    parts = int(counts.output_bytes.sum())
    # Weight tiles of a tile-wise product may have fewer shares than others: the mean is read everywhere.
    loads = -(-own * parts // (elements * plan.split_k))
    written = own * output_bytes
    launches = {
        "launch_release": 0,
        "launch_after": len(plan.launches) - 1,
        "launch_gap": clock.seconds(gpu.launch.reduce),
        "launch_first_block": len(plan.blocks),
        "launch_block_count": count,
        "launch_shared_bytes": 0,
        "launch_registers": 256 * 32,
        "launch_threads": 256,
        "launch_window": min(plan.split_k, REDUCE_WINDOW),
        "launch_steps_per_chunk": 1,
    }
    zero = np.zeros(count, np.int64)
    blocks = {
        "block_steps": np.full(count, plan.split_k, np.int64),
        "block_compute": clock.stream(own, 2 * gpu.cuda_core["fp32"]),
        "block_shared": zero,
        "block_conflict": zero,
        "block_port": clock.stream(loads, gpu.l2.port),
        "block_l2": clock.stream(loads, gpu.l2.bandwidth),
        "block_load_bytes": loads,
        **writes(written, clock, written),
        "block_a_base": zero - 1,
        "block_a_span": zero,
        "block_b_base": zero - 1,
        "block_b_span": zero,
    }
    return {name: np.asarray([value], np.int64) for name, value in launches.items()}, blocks


def _columns(plan: GemmPlan) -> int:
    """Columns of the output that are computed: without those of weight tiles that keep no row."""
    if plan.weights is None:
        return plan.gemm.n
    return int(plan.weights.column_count[plan.weights.row_count > 0].sum())


def writes(written: IntArray, clock: Clockwork, to_dram: IntArray, rate: float | None = None) -> Fields:
    """Epilogues that write so many bytes, of which some go on to DRAM; at a rate of their SM other than the GPU's, if
    one is given."""
    return {
        "block_epilogue": np.maximum(1, clock.stream(written, rate or clock.gpu.epilogue)),
        "block_epilogue_l2": clock.stream(written, clock.gpu.l2.bandwidth),
        "block_epilogue_dram": clock.stream(to_dram, clock.dram_rate),
        "block_epilogue_bytes": written,
    }


def gemm_program(
    plan: GemmPlan, counts: BlockCounts, gpu: Gpu, caches: Caches, launch: str, element_bytes: int, output_bytes: int
) -> DeviceProgram:
    """Program of one planned GEMM.

    Parameters
    ----------
    plan, counts
        Thread blocks, and what each of them does.
    gpu : Gpu
        The device.
    caches : Caches
        Which operands lie in L2 at the start.
    launch : str
        ``graph``, ``stream`` or ``sync``.
    element_bytes, output_bytes : int
        Bytes of an operand's element and of an element of the output.
    """
    clock = Clockwork(gpu)
    if isinstance(plan.weights, ElementWeights):
        a, b = element_operands(plan, plan.weights, counts, element_bytes)
    else:
        a, b = operand_a(plan, element_bytes), operand_b(plan, element_bytes)
    tile_bytes = np.concatenate([a.tile_bytes, b.tile_bytes])
    a_layout: Layout = "transposed" if plan.activations == "transposed" else "row_major"
    b_layout: Layout = plan.gemm.b_layout if plan.weights is None else "row_major"
    costs = dram_costs(plan.gemm.k, plan.tile.tile_k, plan.gemm.dtype, gpu, a_layout, b_layout)
    a_tiles = np.arange(len(a.tile_bytes), dtype=np.int64)
    b_tiles = len(a_tiles) + np.arange(len(b.tile_bytes), dtype=np.int64)
    second_is_weight = plan.gemm.weight is not None
    warm_groups = [a_tiles] if caches.activations == "warm" else []
    # Outputs that an overlay adds to come from the kernel before it, and are part of its tiles of B.
    if plan.onto or (caches.weights if second_is_weight else caches.activations) == "warm":
        warm_groups.append(b_tiles)
    blocks = _block_times(plan, counts, clock) | {
        "block_a_base": a.base,
        "block_a_span": a.span,
        "block_b_base": b.base + len(a_tiles),
        "block_b_span": b.span + len(a.first),
    }
    launches = _launches(plan, clock, launch)
    if plan.split_k > 1:
        more_launches, more_blocks = _reduction(plan, counts, clock, output_bytes)
        launches = {name: np.concatenate([rows, more_launches[name]]) for name, rows in launches.items()}
        blocks = {name: np.concatenate([rows, more_blocks[name]]) for name, rows in blocks.items()}
    return DeviceProgram(
        **clock.machine(),
        **launches,
        **blocks,
        span_first=np.concatenate([a.first, b.first]),
        span_count=np.concatenate([a.count, b.count]),
        **clock.tiles(tile_bytes, np.repeat(costs, [len(a_tiles), len(b_tiles)])),
        warm_tiles=_warm(tile_bytes, warm_groups, gpu.l2.capacity),
    )
