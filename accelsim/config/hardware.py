"""Specs of machines: GEMM device, attention unit, link, and a system of them.

Each spec has ``sources``: for every field (a dotted path, or the prefix of one) where its figure comes from, or the
word ``default``. `accelsim hw show` prints them, and whatever rests on a default is named as such in results.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from accelsim.config.actions import ACTIONS
from accelsim.config.attention_unit import AttentionUnit
from accelsim.config.base import Spec
from accelsim.config.fused_attention import FusedAttention
from accelsim.config.meter import Meter
from accelsim.config.options import Hdp
from accelsim.config.quantity import Area, Bandwidth, Bytes, Cycles, Energy, Frequency, Length, Power, Rate, Time
from accelsim.errors import ConfigError

Dtype = Literal["fp16", "bf16", "tf32", "fp32", "int8"]
"""Operand formats. The accumulator is fp32, for int8 int32."""


class SharedMemory(Spec):
    """The SM's scratchpad."""

    per_sm: Bytes
    """Capacity that the resident thread blocks of one SM share."""
    per_block: Bytes
    """Most that one thread block may take."""
    bandwidth: Rate
    """Bytes a cycle of one SM when no two lanes meet in a bank."""
    banks: int = Field(gt=0)
    """Banks of 4 bytes."""


class L2(Spec):
    """The cache that all SMs share."""

    capacity: Bytes
    """Of the whole cache."""
    retained: Bytes | None = None
    """What it still holds of kernels that went before, where that is less than `capacity` (partitions that keep copies
    of each other's lines); tables that tell how many copies of the weights are gone through depend on it."""
    bandwidth: Rate
    """Bytes a cycle over all SMs."""
    port: Rate
    """Bytes a cycle into one SM."""

    @model_validator(mode="after")
    def _retains_no_more(self) -> "L2":
        if self.retained is not None and self.retained > self.capacity:
            raise ValueError(f"retained ({self.retained} B) must be at most capacity ({self.capacity} B)")
        return self


class Dram(Spec):
    """Main memory."""

    capacity: Bytes
    """Of the board."""
    bandwidth: Bandwidth
    """Peak of the datasheet."""
    efficiency: float = Field(ge=1e-3, le=1)
    """Share of the peak that streams reach."""
    channels: int = Field(gt=0, le=64)
    """Independent channels; each serves one request after another."""
    interleave: Annotated[Bytes, Field(gt=0)]
    """Consecutive bytes that lie in one channel."""
    strided_efficiency: float | None = Field(default=None, ge=1e-3, le=1)
    """Share of `efficiency` that is left in strided rows: k lies contiguous, a k-step takes less than `interleave` of
    each row, and rows are no power of two of bytes apart. Left out, all of it."""


class Launch(Spec):
    """What starting a kernel costs."""

    graph: Time
    """From one kernel of a replayed graph to the next."""
    stream: Time
    """From one kernel to the next in a stream."""
    host: Time
    """Between two launches from the host, whatever their stream."""
    reduce: Time
    """From a split-K kernel to the one that adds up its parts, which is queued behind it."""
    start_drain: Time
    """First instruction and last write of a kernel, beyond the work of its thread blocks."""
    sync: Time | None = None
    """From launching a kernel that does nothing on an idle device to the host's knowing that it has ended: what
    launching and waiting for each product adds to its thread blocks' work. Left out, no product is launched so."""


class PowerLimit(Spec):
    """What the board may draw, and how fast its clock follows."""

    limit: Power
    """Sustained board power."""
    rated: Power | None = None
    """Board power of the datasheet, of which a fitted `limit` is a share (`accelsim hw carry-over`); left out, `limit`
    is it."""
    time_constant: Time
    """A kernel much shorter than it runs at full clock, one much longer at the clock that meets the limit."""


class Gpu(Spec):
    """A GEMM device: streaming multiprocessors with tensor cores, an L2, DRAM channels."""

    kind: Literal["gpu"]
    name: str
    description: str = ""
    sm_count: int = Field(gt=0, le=4096)
    """Streaming multiprocessors."""
    clock: Frequency
    """Sustained clock of the SMs; every rate in B/cycle and every latency in cycles refers to it."""
    rated_clock: Frequency | None = None
    """Clock to which the datasheet's peak rates belong, where that is another; `accelsim hw carry-over` needs it."""
    tensor_core: dict[Dtype, int]
    """Multiply-accumulates a cycle of one SM on its tensor cores, for each operand format that they take."""
    cuda_core: dict[Dtype, int]
    """Multiply-accumulates a cycle of one SM without tensor cores."""
    tensor_efficiency: float = Field(ge=1e-3, le=1)
    """Share of the tensor cores' peak that a main loop with its operands at hand reaches."""
    sparse_tensor_core: dict[Dtype, float] = {}
    """Rate of the tensor cores on 2:4 weights over that on dense ones, for each format in which they take such weights;
    left out, they take none."""
    tensor_operands: Literal["registers", "shared_memory"] = "registers"
    """Where tensor cores take operands from: registers that each warp fills for itself, or straight from shared memory,
    where the four warps of a group share what 64 rows of outputs need (Hopper)."""
    shared_memory: SharedMemory
    registers_per_sm: int = Field(gt=0)
    """32-bit registers."""
    max_threads_per_sm: int = Field(gt=0)
    """Threads that one SM holds at once."""
    max_blocks_per_sm: int = Field(gt=0, le=1024)
    """Thread blocks that one SM holds at once."""
    l2: L2
    dram: Dram
    load_latency: Cycles
    """From asking for a tile in L2 to using it, under load (queues, barrier and register fill included)."""
    miss_latency: Cycles
    """What a tile that comes from DRAM waits beyond that."""
    block_setup: Cycles
    """From a thread block's dispatch to its first load."""
    epilogue: Rate
    """Bytes a cycle of one SM from accumulators to L2."""
    launch: Launch
    power: PowerLimit | None = None
    """Left out, the clock does not answer to power."""
    library: str
    """Menu of kernels (`hwconfigs/libraries`) that stands in for the vendor's library."""
    sparse_library: str | None = None
    """Menu that kernels for 2:4 weights on sparse tensor cores are from, with its efficiency of them; left out,
    `library`."""
    energy: str
    """Table of energy per action (`hwconfigs/energy`)."""
    area: Area | None = None
    """Of the die; left out where no source gives it."""
    accuracy: str | None = None
    """How far off its latencies are (`hwconfigs/accuracy`); left out, results have no interval."""
    measured_as: list[str] = []
    """Names under which tables of measurements know this GPU (`accelsim validate`)."""
    sources: dict[str, str]

    @model_validator(mode="after")
    def _rates(self) -> "Gpu":
        if "fp32" not in self.cuda_core:
            raise ValueError("cuda_core needs a rate for fp32: element-wise kernels and sums of split-K run on it")
        for field in ("tensor_core", "cuda_core", "sparse_tensor_core"):
            for dtype, rate in getattr(self, field).items():
                if rate <= 0:
                    raise ValueError(f"{field}.{dtype} must be positive, not {rate}")
        for dtype in self.sparse_tensor_core:
            if dtype not in self.tensor_core:
                raise ValueError(
                    f"sparse_tensor_core.{dtype} refers to the rate of tensor_core.{dtype}, which is missing"
                )
        return self


class HdpUnit(AttentionUnit):
    """A co-processor of hybrid dynamic pruning: cores of PE arrays, a sparsity engine and a softmax unit."""

    algorithm: Literal["hdp"]
    """What the unit computes."""
    cores: int = Field(gt=0, le=4096)
    """Each core works on one head at a time."""
    pe_rows: int = Field(gt=1, le=4096)
    """Rows of a core's array of processing elements."""
    pe_columns: int = Field(gt=1, le=4096)
    """One 16-bit multiplier a processing element; both even, since pruning decides on 2 x 2 blocks."""
    softmax_elements_per_cycle: int = Field(gt=0)
    """Scores that a core's softmax unit takes in each cycle."""
    sparsity_blocks_per_cycle: int = Field(gt=0)
    """2 x 2 blocks whose importance the sparsity engine takes in each cycle."""
    buffer: Bytes
    """On-chip memory of one core for operands and integer scores of its head."""
    head_decision: Literal["barrier", "speculative"] = "barrier"
    """Whether fractions of a head wait for its decision (barrier) or are fetched before it is known (speculative)."""
    integer_scores: Literal["held", "spilled", "recomputed"] = "spilled"
    """Integer scores beyond the buffer: an error, written to DRAM and read again, or multiplied anew in kept blocks."""
    integer_rows: int | None = Field(default=None, gt=1, le=4096)
    """Rows of a core's array of integer multipliers; `pe_rows` when left out."""
    integer_columns: int | None = Field(default=None, gt=1, le=4096)
    """Columns of it; `pe_columns` when left out."""
    integer_dataflow: Literal["output_stationary", "weight_stationary", "input_stationary"] = "output_stationary"
    """What stays in its elements: scores, keys (weight) or queries (input)."""
    shared_array: bool = False
    """Whether integer scores are multiplied on the main array too, which then does one thing at a time."""
    hdp: Hdp = Hdp()
    """What it decides by in `accelsim attention compare`; runs of networks have the options of the run."""

    @model_validator(mode="after")
    def _even(self) -> "HdpUnit":
        for field in ("pe_rows", "pe_columns", "integer_rows", "integer_columns"):
            if (getattr(self, field) or 0) % 2:
                raise ValueError(f"{field} must be even (2 x 2 blocks), not {getattr(self, field)}")
        if self.shared_array and (self.integer_rows or self.integer_columns):
            raise ValueError(
                "shared_array leaves no array of integer multipliers; leave integer_rows and integer_columns out"
            )
        return self

    @property
    def integer_array(self) -> tuple[int, int]:
        """Rows and columns of the array that integer scores are multiplied on."""
        return self.integer_rows or self.pe_rows, self.integer_columns or self.pe_columns


class Link(Spec):
    """What joins GPU and attention unit."""

    bandwidth: Bandwidth
    """Of the one transfer that is under way; others wait."""
    latency: Time
    """Of one transfer, beyond its bytes."""
    energy_per_byte: Energy
    """Moved, on both sides together."""
    sources: dict[str, str]


class System(Spec):
    """A GEMM device, alone or with an attention unit behind a link."""

    kind: Literal["system"]
    name: str
    description: str = ""
    gpu: Gpu
    """The GEMM device: a name, a path, or its keys (with `extends`, if wanted)."""
    attention_unit: HdpUnit | None = None
    """The co-processor, given likewise; left out, the GPU computes attention."""
    link: Link | None = None
    """Needed if and only if there is an attention unit."""
    sources: dict[str, str] = {}

    @model_validator(mode="after")
    def _linked(self) -> "System":
        if (self.attention_unit is None) != (self.link is None):
            raise ValueError("attention_unit and link belong together: give both or neither")
        return self


class KernelTile(Spec):
    """One kernel of a library: its thread-block tile and what a thread block occupies."""

    tile_m: int = Field(gt=0)
    """Rows of the output tile."""
    tile_n: int = Field(gt=0)
    """Columns of the output tile."""
    tile_k: int = Field(gt=0)
    """Depth of a k-step."""
    stages: int = Field(ge=2, le=16)
    """Tiles in flight in shared memory."""
    threads: int = Field(gt=0, le=1024)
    """Of a thread block."""
    registers_per_thread: int = Field(gt=0, le=255)
    """32-bit registers."""
    multicast: int = Field(default=1, gt=0, le=16)
    """Neighbouring thread blocks (a cluster) of a dense product to which L2 delivers an operand tile that they share
    once; 1 where each reads for itself."""


KernelFamily = Literal["tile_wise", "block_wise", "sparse_tensor_core", "decompressed", "vector_wise", "element_wise"]
"""Kernels for sparse weights, by what they do; dense ones are the library's own."""


class FewBlocks(Spec):
    """Dense kernels of so few thread blocks that the library precedes them with something else, as their time tells."""

    most: int = Field(gt=0)
    """Thread blocks up to which a kernel is one of them."""
    rows_over: int = Field(ge=0)
    """Rows of C beyond which it is; kernels for fewer rows start as any other."""
    delay: Time
    """By which they start later."""


class Library(Spec):
    """Menu of a vendor library's kernels, among which the closed form chooses."""

    kind: Literal["library"]
    name: str
    description: str = ""
    tensor_core: list[KernelTile]
    """Tensor-core kernels; tile_k for 2-byte operands (scaled so that its bytes stay the same for others)."""
    cuda_core: list[KernelTile]
    """fp32 kernels without tensor cores."""
    gemv: list[KernelTile] = []
    """Matrix-vector kernels on CUDA cores, for dense products of one row: tile_m of 1, tile_k for 2-byte operands."""
    sparse_tensor_core: list[KernelTile] = []
    """Kernels for 2:4 weights; tile_k counts rows of B before they are compressed. Left out, kernels of the shapes of
    ``tensor_core`` stand in."""
    element_wise: list[KernelTile] = []
    """Kernels for compressed sparse columns on CUDA cores: tile_n columns, tile_k elements of each in a k-step. Left
    out, thread blocks of four warps stand in, each with 64 outputs of one column and 32 elements in a k-step, as in
    Gale et al., Sparse GPU Kernels for Deep Learning (SC 2020)."""
    efficiencies: dict[KernelFamily, float] = {}
    """Like `efficiency`, and in its place, for kernels of a family."""
    split_k: list[int] = [1]
    """Values of split-K that the library uses."""
    split_k_from: int = Field(default=1, gt=0)
    """Least k for which it uses them."""
    few_blocks: FewBlocks | None = None
    """Kernels that start later than others."""
    efficiency: float = Field(default=1.0, ge=1e-3, le=1)
    """Rate of its main loops over what the machine's `tensor_efficiency` gives: older kernels issue less well."""
    epilogue: float | None = Field(default=None, ge=1e-3, le=1)
    """Rate of its epilogues over the machine's `epilogue`. Left out, the same."""
    fused_attention: FusedAttention | None = None
    """Kernels that compute attention without writing scores; left out, it has none."""
    sources: dict[str, str]

    @model_validator(mode="after")
    def _one_row(self) -> "Library":
        for index, kernel in enumerate(self.gemv):
            if kernel.tile_m != 1:
                raise ValueError(f"gemv.{index}.tile_m must be 1 (matrix-vector kernels), not {kernel.tile_m}")
        for family, share in self.efficiencies.items():
            if not 1e-3 <= share <= 1:
                raise ValueError(f"efficiencies.{family} must lie between 0.001 and 1, not {share}")
        return self

    def efficiency_of(self, family: KernelFamily | None) -> float:
        """Rate of main loops of a family's kernels (None: dense ones) over the machine's."""
        return self.efficiency if family is None else self.efficiencies.get(family, self.efficiency)


class EnergyTable(Spec):
    """Energy per action and power that flows whatever happens."""

    kind: Literal["energy"]
    name: str
    description: str = ""
    process_node: Length
    """To which the figures belong."""
    actions: dict[str, Energy]
    """Energy of one action, by name (`accelsim.config.actions` lists the names and what one of each is)."""
    static_power: dict[str, Power] = {}
    """Leakage and idle power by component, multiplied by the run's time."""
    meter: Meter | None = None
    """How the measurements that the figures were fitted to were metered; `accelsim validate` reads power through it."""
    sources: dict[str, str]

    def energy_of(self, action: str) -> float:
        """Picojoules of one action.

        Raises
        ------
        ConfigError
            When the table does not have it.
        """
        if action not in self.actions:
            meaning = ACTIONS.get(action, "no known action")
            raise ConfigError(
                f"energy table {self.name} has no action {action!r} ({meaning}); it has {', '.join(self.actions)}"
            )
        return self.actions[action]
