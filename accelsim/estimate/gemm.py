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
    """Plain numbers of a GEMM device, whatever its kernels: cycles, bytes, and bytes or operations a cycle."""

    sm_count: int
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


@dataclass(frozen=True)
class Product:
    """C[m, n] = A[m, k] B[k, n], `batch` times with operands of their own; sizes broadcast against each other."""

    m: ArrayLike
    n: ArrayLike
    k: ArrayLike
    batch: ArrayLike
    element_bytes: int
    """Of an element of an operand."""
    output_bytes: int
    """Of an element of the output."""
    weights_warm: ArrayLike
    """Whether B lies in L2 at the start, as far as it fits beside A."""
    activations_warm: ArrayLike
    """Whether A does."""
    dram_costs: tuple[ArrayLike, ArrayLike] = (1.0, 1.0)
    """DRAM time of a byte of A, and of B, over that of a long stream."""


@dataclass(frozen=True)
class Candidates:
    """Kernels that may compute a product; arrays broadcast against each other and against its sizes."""

    tile_m: ArrayLike
    tile_n: ArrayLike
    tile_k: ArrayLike
    stages: ArrayLike
    """In shared memory."""
    occupancy: ArrayLike
    """Thread blocks that an SM holds at once."""
    split_k: ArrayLike
    """Shares of k; no more are made than there are k-steps for."""
    macs_per_cycle: ArrayLike
    """Of one SM, efficiency included."""
    shared_bytes: ArrayLike
    """That a k-step moves through shared memory."""
    multicast: ArrayLike = 1
    """Thread blocks that L2 delivers an operand tile to at once, where they share one: the wider tile of those that
    another output tile needs as well."""


def estimate_gemm(product: Product, candidates: Candidates, machine: GemmMachine, strip: int | Array = 8) -> GemmTime:
    """Time and reads of a GEMM on a device, for every candidate.

    The model is that of full waves of thread blocks and a last one; `accelsim.estimate.waves` bounds each. Waves miss
    the tiles that they are the first to touch, and those that L2 lost since a wave before touched them.

    Parameters
    ----------
    product : Product
    candidates : Candidates
    machine : GemmMachine
    strip : int or array of int
        Columns of output tiles that the raster order walks down together.

    Returns
    -------
    GemmTime
        In the shape to which the arrays of product and candidates broadcast.
    """
    grid = _grid(product, candidates, strip)
    kernel = _kernel(product, candidates, grid, machine)
    reads = _reads(kernel, grid, machine, product, product.dram_costs)
    costly = any(np.any(np.asarray(cost) != 1) for cost in product.dram_costs)
    even = _reads(kernel, grid, machine, product, (1.0, 1.0)) if costly else reads
    m, n, batch = (np.asarray(size, dtype=np.float64) for size in (product.m, product.n, product.batch))
    outputs = m * n * batch * np.ones_like(grid.rows)
    few = (kernel.blocks <= machine.few_blocks) & (m > machine.few_rows)
    cycles = (
        machine.launch
        + np.where(few, machine.few_delay, 0.0)
        + kernel_time(kernel, machine.sm_count, reads)
        + np.where(grid.split > 1, _reduction(outputs, grid.split, machine, product.output_bytes), 0.0)
    )
    full, _ = waves(kernel, machine.sm_count)
    return GemmTime(cycles, even.total(full) * machine.dram_rate)


def _grid(product: Product, candidates: Candidates, strip: int | Array) -> "_Grid":
    """Output tiles and shares of k."""
    sizes = (product.m, product.n, product.k, product.batch)
    tiles = (candidates.tile_m, candidates.tile_n, candidates.tile_k, candidates.split_k, candidates.stages)
    m, n, k, batch, tile_m, tile_n, tile_k, split, _ = np.broadcast_arrays(
        *(np.asarray(x, dtype=np.float64) for x in (*sizes, *tiles))
    )
    rows, columns = np.ceil(m / tile_m), np.ceil(n / tile_n)
    steps_all = np.ceil(k / tile_k)
    steps = np.ceil(steps_all / split)
    return _Grid(
        rows=rows,
        columns=columns,
        depth_bytes=steps_all * tile_k * product.element_bytes,
        height=m / rows,
        width=n / columns,
        steps=steps,
        split=np.ceil(steps_all / steps),
        batch=batch,
        strip=strip,
    )


def _kernel(product: Product, candidates: Candidates, grid: "_Grid", machine: GemmMachine) -> Kernel:
    """Thread blocks of the product, and what each takes of the device."""
    tile_m, tile_n, tile_k, stages, resident, rate, moved, multicast = (
        np.asarray(x, dtype=np.float64)
        for x in (
            *(candidates.tile_m, candidates.tile_n, candidates.tile_k, candidates.stages, candidates.occupancy),
            *(candidates.macs_per_cycle, candidates.shared_bytes, candidates.multicast),
        )
    )
    height, width, split, one = grid.height, grid.width, grid.split, np.ones_like(grid.rows)
    loads = (height + width) * tile_k * product.element_bytes
    shared = np.maximum(np.where(grid.rows > 1, width, 0), np.where(grid.columns > 1, height, 0))
    delivered = loads - (1 - 1 / multicast) * shared * tile_k * product.element_bytes
    element = np.where(split > 1, ACCUMULATOR_BYTES, product.output_bytes)
    written = height * width * element
    largest = np.minimum(tile_m, height * grid.rows) * np.minimum(tile_n, width * grid.columns) * element
    blocks = grid.rows * grid.columns * split * grid.batch
    stay = (split > 1) & (blocks * written <= machine.l2_capacity)
    return Kernel(
        blocks=blocks,
        resident=resident * one,
        steps=grid.steps,
        compute=np.maximum(tile_m * tile_n * tile_k / rate, moved / machine.shared_rate) * one,
        port=loads / machine.port,
        l2=delivered / machine.l2_rate,
        window=np.maximum(stages - 1, 1) * one,
        miss_latency=machine.miss_latency * one,
        last_epilogue=largest / machine.epilogue_rate,
        epilogue_dram=np.where(stay, 0.0, written) / machine.dram_rate,
        **_device(written, machine),
    )


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
class _Grid:
    """Grid of output tiles, each shared by `split` thread blocks, and the bytes of its panels."""

    rows: Array
    columns: Array
    depth_bytes: Array
    """Of one row of A or one column of B."""
    height: Array
    """Rows of an output tile, in the mean."""
    width: Array
    steps: Array
    """K-steps of a thread block."""
    split: Array
    batch: Array
    strip: int | Array

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
    grid: _Grid,
    machine: GemmMachine,
    product: Product,
    dram_costs: tuple[ArrayLike, ArrayLike],
) -> Reads:
    """DRAM time of what each wave misses."""
    capacity = machine.l2_capacity
    slots = machine.sm_count * kernel.resident
    full, rest = waves(kernel, machine.sm_count)
    wave_a, wave_b = grid.footprint(np.minimum(kernel.blocks, slots))
    _, last_b = grid.footprint(rest)
    a_bytes, b_bytes = grid.a_bytes, grid.b_bytes
    a_warm = np.minimum(a_bytes, capacity) * np.asarray(product.activations_warm)
    b_warm = np.minimum(b_bytes, capacity - a_warm) * np.asarray(product.weights_warm)
    kept = 1 - lost_before_use(a_bytes + b_bytes, a_warm + b_warm, capacity) / np.maximum(a_warm + b_warm, 1)
    a_cold, b_cold = 1 - a_warm * kept / a_bytes, 1 - b_warm * kept / b_bytes
    # A is used again after a strip of columns, or by the next wave when a wave holds whole strips; B by the next wave.
    one_grid_a, one_grid_b = a_bytes / grid.batch, b_bytes / grid.batch
    strips = np.ceil(grid.columns / np.minimum(grid.strip, grid.columns))
    wave_holds_strip = slots >= grid.rows * np.minimum(grid.strip, grid.columns)
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
