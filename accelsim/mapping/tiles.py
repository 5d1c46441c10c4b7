"""A kernel's thread-block tile on a machine: its shape for an operand format, what it occupies, its occupancy."""

import math

from accelsim.config.hardware import Gpu, KernelTile
from accelsim.errors import MappingError
from accelsim.mapping.plan import SparseExecution, TileShape

ELEMENT_BYTES = {"fp16": 2, "bf16": 2, "tf32": 4, "fp32": 4, "int8": 1}
"""Bytes of an operand's element."""

OUTPUT_BYTES = {"fp16": 2, "bf16": 2, "tf32": 4, "fp32": 4, "int8": 4}
"""Bytes of an element that a GEMM writes: its own format, for int8 the int32 of the accumulator."""

ACCUMULATOR_BYTES = 4
"""Accumulators are fp32, for int8 operands int32."""

MENU_BYTES = {"tensor_core": 2, "sparse_tensor_core": 2, "cuda_core": 4, "gemv": 2}
"""Operand bytes for which tile_k is written, by the lists of a library's menu."""

MAX_REGISTERS_PER_THREAD = 255

_KIB = 1024


def compute_unit(dtype: str, gpu: Gpu) -> str:
    """Where products of a format are computed: ``tensor_core`` if those take it, else ``cuda_core``.

    Raises
    ------
    MappingError
        If the machine has neither for this format.
    """
    if dtype in gpu.tensor_core:
        return "tensor_core"
    if dtype in gpu.cuda_core:
        return "cuda_core"
    allowed = sorted({*gpu.tensor_core, *gpu.cuda_core})
    raise MappingError(f"{gpu.name} cannot multiply {dtype}; it takes {', '.join(allowed)}")


def mac_rate(gpu: Gpu, dtype: str, unit: str) -> float:
    """Multiply-accumulates a cycle of one SM in a main loop with its operands at hand; sparse tensor cores' with pruned
    weights among them."""
    if unit == "cuda_core":
        return gpu.cuda_core[dtype]  # type: ignore[index]
    dense = gpu.tensor_core[dtype] * gpu.tensor_efficiency  # type: ignore[index]
    return dense * gpu.sparse_tensor_core[dtype] if unit == "sparse_tensor_core" else dense  # type: ignore[index]


def tile_shape(kernel: KernelTile, dtype: str, menu: str) -> TileShape:
    """A kernel of one of a library's lists (``tensor_core``, ``sparse_tensor_core``, ``cuda_core`` or ``gemv``) for an
    operand format.

    tile_k is scaled so that a k-step has as many bytes as in the format that the list is written for (2-byte operands,
    on CUDA cores 4-byte ones, but for matrix-vector kernels): half for fp32 and tf32 on tensor cores, double for int8.
    """
    element = ELEMENT_BYTES[dtype]
    tile_k = max(1, kernel.tile_k * MENU_BYTES[menu] // element)
    return TileShape(
        tile_m=kernel.tile_m,
        tile_n=kernel.tile_n,
        tile_k=tile_k,
        stages=kernel.stages,
        threads=kernel.threads,
        registers=kernel.threads * kernel.registers_per_thread,
        shared_bytes=shared_bytes(kernel.tile_m, kernel.tile_n, tile_k, kernel.stages, element, menu),
        unit="cuda_core" if menu == "gemv" else menu,
        multicast=kernel.multicast,
    )


def weight_bytes(tile_n: int, tile_k: int, element_bytes: int, unit: str) -> int:
    """Bytes of B's tile in shared memory. On a sparse tensor core it is 2:4: half of the values, with 2 bits each."""
    if unit == "sparse_tensor_core":
        values = -(-tile_k // 4) * 2 * tile_n
        return values * element_bytes + -(-values // 4)
    return tile_n * tile_k * element_bytes


def shared_bytes(
    tile_m: int, tile_n: int, tile_k: int, stages: int, element_bytes: int, unit: str = "tensor_core"
) -> int:
    """Shared memory of a thread block: both operand tiles of every stage. The epilogue reuses it."""
    return stages * (tile_m * tile_k * element_bytes + weight_bytes(tile_n, tile_k, element_bytes, unit))


def built_tile(tile_m: int, tile_n: int, tile_k: int, stages: int, dtype: str, unit: str) -> TileShape:
    """A kernel that no menu holds, as one would instantiate it from a template.

    Threads: the fewest of 128, 256, 512 and 1024 that leave a thread at most 128 accumulators. Registers of a thread:
    its accumulators and 64 for fragments and addresses, in units of 8, at most 255.

    Raises
    ------
    MappingError
        If 1024 threads cannot hold the accumulators.
    """
    outputs = tile_m * tile_n
    threads = next((count for count in (128, 256, 512, 1024) if outputs <= 128 * count), None)
    if threads is None:
        raise MappingError(
            f"tile {tile_m} x {tile_n} has {outputs} accumulators; a thread block holds at most {128 * 1024}: "
            "smaller tile_m or tile_n"
        )
    registers = min(MAX_REGISTERS_PER_THREAD, 8 * math.ceil((outputs / threads + 64) / 8))
    memory = shared_bytes(tile_m, tile_n, tile_k, stages, ELEMENT_BYTES[dtype], unit)
    return TileShape(tile_m, tile_n, tile_k, stages, threads, threads * registers, memory, unit)


def occupancy(tile: TileShape, gpu: Gpu) -> int:
    """Thread blocks of this tile that one SM holds at once.

    The least of what shared memory, registers, threads and block slots allow. Registers are taken as they are, without
    the hardware's allocation by warps, and so is shared memory, without the runtime's kilobyte for each thread block.

    Raises
    ------
    MappingError
        If not even one fits, with what it needs and what there is.
    """
    problem = misfit(tile, gpu)
    if problem:
        raise MappingError(f"tile {describe(tile)} does not fit {gpu.name}: {problem}")
    limits = [gpu.max_blocks_per_sm, gpu.max_threads_per_sm // tile.threads]
    if tile.shared_bytes:
        limits.append(gpu.shared_memory.per_sm // tile.shared_bytes)
    if tile.registers:
        limits.append(gpu.registers_per_sm // tile.registers)
    return min(limits)


def misfit(tile: TileShape, gpu: Gpu) -> str:
    """Why no thread block of this tile fits on an SM; an empty text when one does."""
    allowed = min(gpu.shared_memory.per_block, gpu.shared_memory.per_sm)
    if tile.shared_bytes > allowed:
        return (
            f"it needs {tile.shared_bytes / _KIB:g} KiB of shared memory per thread block; {gpu.name} allows "
            f"{allowed / _KIB:g} KiB; smaller tile_m, tile_n or tile_k, or fewer stages"
        )
    if tile.registers > gpu.registers_per_sm:
        return (
            f"it needs {tile.registers} registers per thread block; {gpu.name} has {gpu.registers_per_sm}; "
            "smaller tile_m or tile_n"
        )
    if tile.threads > gpu.max_threads_per_sm:
        return (
            f"it needs {tile.threads} threads per thread block; {gpu.name} holds {gpu.max_threads_per_sm}; "
            "smaller tile_m or tile_n"
        )
    return ""


def describe(tile: TileShape) -> str:
    """A tile in words: ``128 x 128 x 32 in 2 stages``."""
    return f"{tile.tile_m} x {tile.tile_n} x {tile.tile_k} in {tile.stages} stages"


def reader_grid(tile: TileShape, gpu: Gpu) -> tuple[int, int]:
    """Readers of a thread block along m and n, each of which reads its part of both operands from shared memory.

    A k-step thus reads A as often as there are readers along n, and B as often as along m. Where operands pass through
    registers a reader is a warp, and of all grids of the warps the one that reads the fewest bytes is taken: four
    warps stand 2 x 2, eight on a tall tile 4 x 2. Grids whose warps would have less than the 16 x 8 outputs of a
    tensor-core instruction are left out where there is another; equals go to the taller grid. Where tensor cores read
    shared memory themselves, a reader is an instruction's 64 rows, whatever number of warps issues or loads.
    """
    if gpu.tensor_operands == "shared_memory" and tile.unit != "cuda_core":
        return math.ceil(tile.tile_m / 64), 1
    warps = max(1, tile.threads // 32)
    grids = [(m, warps // m) for m in range(1, warps + 1) if warps % m == 0]
    roomy = [(m, n) for m, n in grids if tile.tile_m >= 16 * m and tile.tile_n >= 8 * n]
    return min(roomy or grids, key=lambda grid: (grid[1] * tile.tile_m + grid[0] * tile.tile_n, -grid[0]))


def shared_traffic(tile: TileShape, gpu: Gpu, element_bytes: int) -> tuple[int, int, int]:
    """Bytes that a k-step writes to shared memory, and that it reads from there of A and of B.

    Both operand tiles are written once and read as often as `reader_grid` has it.
    """
    a_bytes = tile.tile_m * tile.tile_k * element_bytes
    b_bytes = weight_bytes(tile.tile_n, tile.tile_k, element_bytes, tile.unit)
    readers_m, readers_n = reader_grid(tile, gpu)
    return a_bytes + b_bytes, readers_n * a_bytes, readers_m * b_bytes


def step_traffic(
    tile: TileShape, gpu: Gpu, element_bytes: int, execution: SparseExecution | None = None
) -> tuple[int, int, int]:
    """`shared_traffic` of a kernel for packed weights, if `execution` names one.

    Kernels for vectors on CUDA cores hold weights packed, and every multiplication reads the activation that its
    weight's place names: columns choose different ones, so that registers spare no read as they do in a dense product.
    """
    if execution is None or execution.family != "vector_wise":
        return shared_traffic(tile, gpu, element_bytes)
    b_bytes = execution.packed_bytes(tile.tile_k, tile.tile_n, element_bytes)
    chosen = tile.tile_m * tile.tile_n * execution.kept_rows(tile.tile_k) * element_bytes
    return tile.tile_m * tile.tile_k * element_bytes + b_bytes, chosen, reader_grid(tile, gpu)[0] * b_bytes


def step_macs(tile: TileShape, execution: SparseExecution | None = None) -> tuple[int, int]:
    """Multiply-accumulates of a k-step, padding included: those that a unit carries out, and those that its rate
    (`mac_rate`) counts. A sparse tensor core's rate counts pruned weights too."""
    whole = tile.tile_m * tile.tile_n * tile.tile_k
    if execution is None or execution.packing is None:
        return whole, whole
    done = tile.tile_m * tile.tile_n * execution.kept_rows(tile.tile_k)
    return done, whole if tile.unit == "sparse_tensor_core" else done
