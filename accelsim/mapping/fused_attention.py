"""Plan of fused attention on a GPU: a stack's kernel for a shape, and the plain numbers that the closed form takes."""

from dataclasses import dataclass

from accelsim.config.fused_attention import AttentionKernel, AttentionStack, FusedAttention
from accelsim.config.hardware import Gpu, Library
from accelsim.config.names import near
from accelsim.errors import MappingError
from accelsim.estimate.fused_attention import AttentionMachine, AttentionShape, FusedKernel, key_tiles
from accelsim.mapping.plan import IntArray
from accelsim.mapping.tiles import ELEMENT_BYTES, mac_rate
from accelsim.model.graph import Attention

FORMATS = ("fp16", "bf16")
"""Operand formats that fused kernels are written for."""

DEPENDENT_READS = 2
"""Before a thread block's first product: its queries, and its first keys."""

_GROUP_ROWS = 64
"""Rows of a warp group, whose four warps share operands in shared memory where tensor cores read them there."""


@dataclass(frozen=True)
class FusedAttentionPlan:
    """Attention as one kernel of a library."""

    name: str
    shape: AttentionShape
    dtype: str
    kernel: FusedKernel
    stack: str
    """Name of the library's stack that the kernel is from."""
    launch: float
    """Seconds before its first thread block, replayed from a graph."""
    exponentials: float
    """A cycle of one SM."""
    operations: float
    """Instructions of softmax on CUDA cores for each score beside its exponential."""
    shared_readers: int
    """Times that a tile of keys and values is read from shared memory."""

    @property
    def steps(self) -> IntArray:
        """Key tiles of the query tiles of one head."""
        return key_tiles(self.shape, self.kernel.tile_q, self.kernel.tile_k)

    @property
    def tiles(self) -> int:
        """Pairs of a query tile and a key tile that are computed."""
        return self.shape.batch * self.shape.q_heads * int(self.steps.sum())

    @property
    def scores(self) -> int:
        """Computed, padding included."""
        return self.tiles * self.kernel.tile_q * self.kernel.tile_k

    @property
    def macs(self) -> int:
        """Multiply-accumulates of both products, padding included."""
        return 2 * self.scores * self.kernel.head_dim

    @property
    def useful_macs(self) -> int:
        """Multiply-accumulates of scores that softmax sees."""
        shape = self.shape
        seen = shape.q_len * shape.kv_len
        if shape.causal:
            seen -= shape.q_len * (shape.q_len - 1) // 2
        return 2 * shape.batch * shape.q_heads * seen * shape.head_dim

    @property
    def tile_bytes(self) -> int:
        """Of a tile of keys and one of values in shared memory."""
        return 2 * self.kernel.tile_k * self.kernel.head_dim * self.shape.element_bytes

    @property
    def shared_bytes(self) -> int:
        """Moved through shared memory: tiles are written once and read by every reader."""
        return self.tiles * self.tile_bytes * (1 + self.shared_readers)


def plan_fused_attention(
    shape: AttentionShape,
    dtype: str,
    gpu: Gpu,
    library: Library,
    stack: str | None = None,
    prompt: bool = False,
    name: str = "attention",
) -> FusedAttentionPlan:
    """The kernel that a library's stack takes for an attention.

    Parameters
    ----------
    shape : AttentionShape
    dtype : str
        fp16 or bf16.
    gpu, library
        The machine and its menu.
    stack : str, optional
        Of the library; left out, its default.
    prompt : bool
        Whether keys are read from the cache that a prompt's are written to.
    name : str
        Of the kernel.

    Raises
    ------
    MappingError
        The library has no fused attention or no such stack, no kernel of it takes such wide heads, the format is none
        of fused kernels, heads do not divide evenly, or a causal attention has more queries than keys.
    """
    fused = fused_attention_of(library)
    own = stack_of(fused, library, stack)
    _check(shape, dtype, gpu)
    kernel = _best(own, shape, library)
    return FusedAttentionPlan(
        name=name,
        shape=shape,
        dtype=dtype,
        kernel=FusedKernel(
            tile_q=kernel.tile_q,
            tile_k=kernel.tile_k,
            head_dim=kernel.head_dim,
            resident=kernel.resident,
            groups=kernel.groups,
            reads=DEPENDENT_READS + (prompt and own.paged),
            efficiency=own.efficiency,
        ),
        stack=stack or fused.default,
        launch=own.launch,
        exponentials=fused.exponentials,
        operations=fused.operations,
        shared_readers=_readers(kernel, gpu),
    )


def plan_attention(attention: Attention, gpu: Gpu, library: Library, stack: str | None = None) -> FusedAttentionPlan:
    """`plan_fused_attention` of an operation of a network: every query sees every key."""
    heads, sequence = attention.heads, attention.sequence
    if attention.dtype not in FORMATS:
        raise MappingError(_wrong_format(attention.dtype))
    size = ELEMENT_BYTES[attention.dtype]
    shape = AttentionShape(attention.batch, heads, heads, attention.head_dim, sequence, sequence, False, size)
    return plan_fused_attention(shape, attention.dtype, gpu, library, stack, name=attention.name)


def fused_attention_of(library: Library) -> FusedAttention:
    """What a library says of fused attention.

    Raises
    ------
    MappingError
        It says nothing.
    """
    if library.fused_attention is None:
        raise MappingError(
            f"library {library.name} has no fused attention (fused_attention); take mapping.attention=unfused, or a "
            "machine whose library has: cublas_volta, cublas_turing, cublas_ampere, cublas_hopper"
        )
    return library.fused_attention


def stack_of(fused: FusedAttention, library: Library, name: str | None) -> AttentionStack:
    """A stack by name, or the default one.

    Raises
    ------
    MappingError
        No stack has the name.
    """
    known = list(fused.stacks)
    if name is not None and name not in known:
        raise MappingError(f"library {library.name} has no attention stack {name!r}; {near(name, known)}")
    return fused.stacks[name or fused.default]


def attention_machine(gpu: Gpu, plan: FusedAttentionPlan) -> AttentionMachine:
    """Plain numbers of a GPU for a planned kernel."""
    return AttentionMachine(
        sm_count=gpu.sm_count,
        clock=gpu.clock,
        macs_per_cycle=mac_rate(gpu, plan.dtype, "tensor_core"),
        exponentials_per_cycle=plan.exponentials,
        operations_per_cycle=gpu.cuda_core["fp32"],
        operations=plan.operations,
        setup=gpu.block_setup,
        round_trip=gpu.load_latency + gpu.miss_latency,
        epilogue_rate=gpu.epilogue,
        l2_rate=gpu.l2.bandwidth,
        l2_capacity=gpu.l2.capacity,
        dram_rate=gpu.dram.bandwidth * gpu.dram.efficiency / gpu.clock,
        threads_per_sm=gpu.max_threads_per_sm,
        blocks_per_sm=gpu.max_blocks_per_sm,
        launch=gpu.clock * (gpu.launch.graph + gpu.launch.start_drain),
    )


def _check(shape: AttentionShape, dtype: str, gpu: Gpu) -> None:
    if dtype not in FORMATS:
        raise MappingError(_wrong_format(dtype))
    if dtype not in gpu.tensor_core:
        raise MappingError(f"fused attention runs on tensor cores, and those of {gpu.name} do not take {dtype}")
    if shape.q_heads % shape.kv_heads:
        raise MappingError(
            f"{shape.q_heads} heads of queries cannot share {shape.kv_heads} of keys evenly; take a divisor of "
            f"{shape.q_heads}"
        )
    if shape.causal and shape.q_len > shape.kv_len:
        raise MappingError(f"causal attention of {shape.q_len} queries needs at least as many keys, not {shape.kv_len}")


def _wrong_format(dtype: str) -> str:
    return f"fused attention kernels take {' and '.join(FORMATS)}, not {dtype}; take mapping.attention=unfused"


def _best(stack: AttentionStack, shape: AttentionShape, library: Library) -> AttentionKernel:
    """The first of the kernels that pad heads the least."""
    fitting = [
        kernel
        for kernel in stack.kernels
        if kernel.head_dim >= shape.head_dim
        and (kernel.q_len is None or shape.q_len <= kernel.q_len)
        and (kernel.causal is None or kernel.causal == shape.causal)
    ]
    if not fitting:
        widest = max(kernel.head_dim for kernel in stack.kernels)
        raise MappingError(
            f"no fused attention kernel of {library.name} takes heads of {shape.head_dim}; its widest take {widest}"
        )
    return min(fitting, key=lambda kernel: kernel.head_dim)


def _readers(kernel: AttentionKernel, gpu: Gpu) -> int:
    """Warps, or groups of four, that each read a tile of keys and values."""
    if gpu.tensor_operands == "shared_memory":
        return max(1, kernel.tile_q // _GROUP_ROWS)
    return 4 * kernel.groups
