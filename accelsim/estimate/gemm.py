"""A GEMM's time in closed form, for many candidate kernels at once: how a library would choose among them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from accelsim.estimate.waves import Array, Kernel, Reads, kernel_time, lost_before_use, waves

REDUCE_ELEMENTS = 1024
"""Output elements of one thread block of the kernel that adds up split-K's parts."""

REDUCE_WINDOW = 8
"""Parts of an output element that it has in flight at most."""

ACCUMULATOR_BYTES = 4


@dataclass(frozen=True)
class GemmMachine:
    """Plain numbers of a GEMM device, in cycles, bytes, and bytes or operations a cycle."""

    sm_count: int
    macs_per_cycle: float
    """Multiply-accumulates of one SM for the operand format in question, efficiency included."""
    port: float
    """Into one SM."""
    l2_rate: float
    """Over all SMs."""
    load_latency: float
    dram_rate: float
    """Over all channels, efficiency included."""
    miss_latency: float
    l2_capacity: int
    block_setup: float
    epilogue_rate: float
    """Of one SM."""
    shared_rate: float
    """Shared memory of one SM."""
    launch: float
    """Cycles before a kernel's first thread block."""
    reduce_gap: float
    """Cycles between a split-K kernel and the one that adds up its parts."""
    reduce_resident: int = 8
    """Thread blocks of that kernel on an SM."""
    adds_per_cycle: float = 128.0
    """Additions of one SM in it."""
    few_blocks: int = 0
    """Thread blocks up to which kernels for more than `few_rows` rows of C start `few_delay` cycles later."""
    few_rows: int = 0
    few_delay: float = 0.0
    whole_waves: bool = True
    """Whether a last wave of few thread blocks takes as long as a full one."""


@dataclass(frozen=True)
class GemmTime:
    """What a GEMM takes, for every candidate."""

    cycles: Array
    """Launch included."""
    dram_read: Array
    """Bytes of A and B that L2 lacks."""


def estimate_gemm(
    m: ArrayLike,
    n: ArrayLike,
    k: ArrayLike,
    batch: ArrayLike,
    element_bytes: int,
    tile_m: ArrayLike,
    tile_n: ArrayLike,
    tile_k: ArrayLike,
    stages: ArrayLike,
    occupancy: ArrayLike,
    split_k: ArrayLike,
    machine: GemmMachine,
    weights_warm: bool,
    activations_warm: bool,
    output_bytes: int,
    shared_bytes: ArrayLike | None = None,
    strip: int = 8,
    macs_per_cycle: ArrayLike | None = None,
    dram_costs: tuple[ArrayLike, ArrayLike] = (1.0, 1.0),
    multicast: ArrayLike = 1,
) -> GemmTime:
    """Time and reads of C[m, n] = A[m, k] B[k, n] on a device, for every candidate.

    The model is that of full waves of thread blocks and a last one; `accelsim.estimate.waves` bounds each. Waves miss
    the tiles that they are the first to touch, and those that L2 lost since a wave before touched them.

    Parameters
    ----------
    m, n, k, batch : array_like
        Sizes; batched GEMMs share nothing. All arrays broadcast against each other.
    element_bytes, output_bytes : int
        Of an element of an operand and of the output.
    tile_m, tile_n, tile_k, stages, occupancy, split_k : array_like
        The candidates: tile, stages in shared memory, thread blocks to an SM, shares of k.
    machine : GemmMachine
        The device.
    weights_warm, activations_warm : bool
        Whether B, and A, lie in L2 at the start, as far as they fit.
    shared_bytes : array_like, optional
        Bytes that a k-step moves through shared memory; left out, each operand tile once in and once out.
    strip : int
        Columns of output tiles that the raster order walks down together.
    macs_per_cycle : array_like, optional
        Multiply-accumulates of one SM under each candidate; left out, the machine's.
    dram_costs : tuple of array_like
        DRAM time of a byte of A, and of B, over that of a long stream.
    multicast : array_like
        Thread blocks that L2 delivers an operand tile to at once, where they share one: the wider tile of those that
        another output tile needs as well.

    Returns
    -------
    GemmTime
        In the shape to which the arrays broadcast.
    """
    arrays = [
        np.asarray(x, dtype=np.float64) for x in (m, n, k, batch, tile_m, tile_n, tile_k, stages, occupancy, split_k)
    ]
    m_, n_, k_, batch_, tile_m_, tile_n_, tile_k_, stages_, occupancy_, split = np.broadcast_arrays(*arrays)
    rows, columns = np.ceil(m_ / tile_m_), np.ceil(n_ / tile_n_)
    steps_all = np.ceil(k_ / tile_k_)
    steps = np.ceil(steps_all / split)
    split = np.ceil(steps_all / steps)
    height, width = m_ / rows, n_ / columns
    loads = (height + width) * tile_k_ * element_bytes
    shared_side = np.maximum(np.where(rows > 1, width, 0), np.where(columns > 1, height, 0))
    delivered = loads - (1 - 1 / np.asarray(multicast)) * shared_side * tile_k_ * element_bytes
    operand = (tile_m_ + tile_n_) * tile_k_ * element_bytes
    moved = 2 * operand if shared_bytes is None else np.asarray(shared_bytes, dtype=np.float64)
    rate = machine.macs_per_cycle if macs_per_cycle is None else np.asarray(macs_per_cycle, dtype=np.float64)
    out = height * width * np.where(split > 1, ACCUMULATOR_BYTES, output_bytes)
    parts = rows * columns * split * batch_ * out
    one = np.ones_like(m_)
    kernel = Kernel(
        blocks=rows * columns * split * batch_,
        resident=occupancy_,
        steps=steps,
        compute=np.maximum(tile_m_ * tile_n_ * tile_k_ / rate, moved / machine.shared_rate),
        port=loads / machine.port,
        l2=delivered / machine.l2_rate,
        window=np.maximum(stages_ - 1, 1),
        miss_latency=machine.miss_latency * one,
        last_epilogue=np.minimum(tile_m_, m_)
        * np.minimum(tile_n_, n_)
        * out
        / (height * width)
        / machine.epilogue_rate,
        epilogue_dram=np.where((split > 1) & (parts <= machine.l2_capacity), 0.0, out) / machine.dram_rate,
        **_device(out, machine),
    )
    traffic = _Traffic(rows, columns, steps_all * tile_k_ * element_bytes, height, width, split, batch_, strip)
    reads = _reads(kernel, traffic, machine, weights_warm, activations_warm, dram_costs)
    costly = any(np.any(np.asarray(cost) != 1) for cost in dram_costs)
    even = _reads(kernel, traffic, machine, weights_warm, activations_warm, (1.0, 1.0)) if costly else reads
    time = machine.launch + kernel_time(kernel, machine.sm_count, reads)
    added = np.where(split > 1, _reduction(m_ * n_ * batch_, split, machine, output_bytes), 0.0)
    added = added + np.where((kernel.blocks <= machine.few_blocks) & (m_ > machine.few_rows), machine.few_delay, 0.0)
    full, _ = waves(kernel, machine.sm_count)
    return GemmTime(time + added, even.total(full) * machine.dram_rate)


def _device(written: Array, machine: GemmMachine) -> dict[str, Any]:
    """What a kernel owes to the device: times that it cannot choose, and those of an epilogue of so many bytes."""
    one = np.ones_like(written)
    return {
        "setup": machine.block_setup * one,
        "latency": machine.load_latency * one,
        "epilogue": written / machine.epilogue_rate,
        "epilogue_l2": written / machine.l2_rate,
        "write_backlog": machine.l2_capacity / machine.dram_rate * one,
        "whole_waves": machine.whole_waves,
    }


@dataclass(frozen=True)
class _Traffic:
    """Grid of output tiles and the bytes of its panels."""

    rows: Array
    columns: Array
    depth_bytes: Array
    """Of one row of A or one column of B."""
    height: Array
    width: Array
    split: Array
    batch: Array
    strip: int

    def footprint(self, blocks: Array) -> tuple[Array, Array]:
        """Distinct bytes of A and B that consecutive thread blocks load."""
        grid = self.rows * self.columns
        grids = blocks / grid  # batch items and shares of k follow each other
        inside = np.minimum(blocks, grid)
        strip = np.minimum(self.strip, self.columns)
        tall = np.minimum(np.ceil(inside / strip), self.rows)
        wide = np.minimum(np.maximum(np.ceil(inside / self.rows), np.minimum(strip, inside)), self.columns)
        share = np.maximum(grids, 1.0) * self.depth_bytes / self.split
        return tall * self.height * share, wide * self.width * share

    @property
    def a_bytes(self) -> Array:
        """All of A, in all batch items."""
        return self.rows * self.height * self.depth_bytes * self.batch

    @property
    def b_bytes(self) -> Array:
        """All of B, in all batch items."""
        return self.columns * self.width * self.depth_bytes * self.batch


def _reads(
    kernel: Kernel,
    traffic: _Traffic,
    machine: GemmMachine,
    weights_warm: bool,
    activations_warm: bool,
    dram_costs: tuple[ArrayLike, ArrayLike],
) -> Reads:
    """DRAM time of what each wave misses."""
    capacity = machine.l2_capacity
    slots = machine.sm_count * kernel.resident
    full, rest = waves(kernel, machine.sm_count)
    wave_a, wave_b = traffic.footprint(np.minimum(kernel.blocks, slots))
    _, last_b = traffic.footprint(rest)
    a_bytes, b_bytes = traffic.a_bytes, traffic.b_bytes
    a_warm = np.minimum(a_bytes, capacity) * activations_warm
    b_warm = np.minimum(b_bytes, capacity - a_warm) * weights_warm
    kept = 1 - lost_before_use(a_bytes + b_bytes, a_warm + b_warm, capacity) / np.maximum(a_warm + b_warm, 1)
    a_cold, b_cold = 1 - a_warm * kept / a_bytes, 1 - b_warm * kept / b_bytes
    # A is used again after a strip of columns, or by the next wave when a wave holds whole strips; B by the next wave.
    one_grid_a, one_grid_b = a_bytes / traffic.batch, b_bytes / traffic.batch
    strips = np.ceil(traffic.columns / np.minimum(traffic.strip, traffic.columns))
    wave_holds_strip = slots >= traffic.rows * np.minimum(traffic.strip, traffic.columns)
    distance = np.where(wave_holds_strip, wave_a + wave_b, one_grid_a + one_grid_b / strips)
    a_times = np.where(distance <= capacity, 1.0, np.where(wave_holds_strip, full + 1, strips))
    b_again = np.where(wave_a + wave_b <= capacity, 0.0, 1.0)
    a_cost, b_cost = (np.asarray(cost, dtype=np.float64) for cost in dram_costs)
    total_a, total_b = a_cost * a_bytes * (a_cold + np.maximum(a_times - 1, 0)), b_cost * b_bytes * b_cold
    first_a = np.minimum(a_cost * wave_a * a_cold, total_a)
    first_b = np.minimum(b_cost * wave_b * b_cold, total_b)
    more_b = np.where(full > 0, b_cost * np.clip((wave_b * full + last_b) - b_bytes, 0, None) * b_again, 0.0)
    left = np.clip(total_a - first_a + total_b - first_b + more_b, 0, None)
    share = np.where(full > 0, left / np.maximum(full - 1 + rest / slots, rest / slots), 0.0)
    return Reads(
        first=(first_a + first_b) / machine.dram_rate,
        middle=share / machine.dram_rate,
        last=np.where(full > 0, share * rest / slots, first_a + first_b) / machine.dram_rate,
    )


def _reduction(outputs: Array, split: Array, machine: GemmMachine, output_bytes: int) -> Array:
    """Cycles of the kernel that adds up split-K's parts, which lie in L2, and of the gap before it."""
    one = np.ones_like(outputs)
    elements = np.minimum(outputs, REDUCE_ELEMENTS)
    loads, written = elements * ACCUMULATOR_BYTES, elements * output_bytes
    kernel = Kernel(
        blocks=np.ceil(outputs / REDUCE_ELEMENTS),
        resident=machine.reduce_resident * one,
        steps=split,
        compute=elements / machine.adds_per_cycle,
        port=loads / machine.port,
        l2=loads / machine.l2_rate,
        window=np.clip(split, 1, REDUCE_WINDOW),
        miss_latency=0 * one,
        last_epilogue=written / machine.epilogue_rate,
        epilogue_dram=written / machine.dram_rate,
        **_device(written, machine),
    )
    nothing = np.zeros_like(outputs)
    return machine.reduce_gap + kernel_time(kernel, machine.sm_count, Reads(nothing, nothing, nothing))
