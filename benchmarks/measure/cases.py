"""Cases: one operation of one shape in one format, by one library, under stated conditions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .shapes import Attention, Product, Shapes

OPS = ("gemm", "sparse24", "attention", "tilewise")
DTYPES = ("fp16", "bf16", "tf32", "fp32", "int8")
LAYOUTS = ("NN", "NT", "TN", "TT")
"""op_a and op_b of row-major operands; NT holds weights as nn.Linear does, [n, k]."""
STRATEGIES = ("merged", "padded_batch", "stream")
LAUNCHES = ("graph", "stream")
BACKENDS = {"flash": "flash_attention", "efficient": "efficient_attention", "cudnn": "cudnn_attention", "math": "math"}
"""Back ends of scaled_dot_product_attention, with the library that their rows name."""
GRANULARITIES = (16, 32, 64, 128, 256)

_BYTES = {"fp16": 2, "bf16": 2, "tf32": 4, "fp32": 4, "int8": 1}
_OUTPUT_BYTES = {**_BYTES, "int8": 4}
_INT32_LIMIT = 2**31


@dataclass(frozen=True)
class Options:
    """What to build cases for; see the command's help for each."""

    ops: Sequence[str]
    dtypes: Sequence[str]
    layouts: Sequence[str] = ("NT",)
    backends: Sequence[str] = tuple(BACKENDS)
    sparse_libraries: Sequence[str] = ("cusparselt", "cutlass")
    sparsities: Sequence[float] = (0.5, 0.75)
    granularities: Sequence[int] = (128,)
    strategies: Sequence[str] = STRATEGIES
    uneven: float = 0.0
    dense_library: str = "cublas"
    tile_library: str = "triton"
    launch: str = "graph"
    copies: int = 6


@dataclass(frozen=True)
class Case:
    """What is measured, and the conditions that make it another measurement."""

    op: str
    dtype: str
    shape: Product | Attention
    library: str
    launch: str
    copies: int
    op_a: str = ""
    op_b: str = ""
    order: str = ""
    sparsity: float = 0.0
    strategy: str = ""
    granularity: int = 0
    uneven: float = 0.0

    def cells(self) -> dict[str, str]:
        """Its columns of the table, as text; those that it does not have are left out."""
        found = {name: getattr(self, name) for name in ("op", "dtype", "library", "op_a", "op_b", "order", "strategy")}
        found |= vars(self.shape) | {"launch": self.launch, "copies": self.copies}
        if isinstance(self.shape, Product):
            found["sparsity"] = self.sparsity
        if self.granularity:
            found |= {"granularity": self.granularity, "uneven": self.uneven}
        return {name: str(value) for name, value in found.items() if value != ""}

    @property
    def product(self) -> Product:
        """Its shape, of an operation that is no attention."""
        assert isinstance(self.shape, Product)
        return self.shape

    @property
    def weight_bytes(self) -> int:
        """Bytes of one copy of what `copies` repeats: the weights, or an attention's keys and values."""
        shape, size = self.shape, _BYTES[self.dtype]
        if isinstance(shape, Attention):
            return 2 * shape.batch * shape.kv_heads * shape.kv_len * shape.head_dim * size
        # 2:4 keeps half of the weights and 2 bits for each that is kept.
        held = 0.5 + 0.125 / size if self.op == "spmm_2to4" else 1.0 - self.sparsity
        weights = shape.m * shape.k if self.order == "column" else shape.n * shape.k
        return int(shape.batch * weights * size * held)

    @property
    def other_bytes(self) -> int:
        """Bytes of what all copies share: activations and output."""
        shape, size, output = self.shape, _BYTES[self.dtype], _OUTPUT_BYTES[self.dtype]
        if isinstance(shape, Attention):
            return shape.batch * shape.q_heads * shape.q_len * shape.head_dim * (size + output)
        activations = shape.n * shape.k if self.order == "column" else shape.m * shape.k
        return shape.batch * (activations * size + shape.m * shape.n * output)

    def reason_against(self) -> str:
        """Why no library runs it, whatever the device; empty when some may."""
        shape = self.shape
        if isinstance(shape, Attention):
            return "" if self.dtype in ("fp16", "bf16", "fp32") else f"attention takes no {self.dtype} operands"
        if self.dtype == "int8" and (shape.batch > 1 or shape.m <= 16 or shape.n % 8 or shape.k % 8):
            return "int8 products need batch 1, m above 16, and n and k that are multiples of 8"
        if self.op == "spmm_2to4" and (shape.m % 32 or shape.k % 64 or shape.n % 8):
            return "2:4 needs weights of multiples of 32 x 64, and tokens that are a multiple of 8"
        if self.op == "tilewise" and max(shape.m, shape.n) * max(shape.n, shape.k) >= _INT32_LIMIT:
            return "tile-wise indices reach 2**31 elements"
        if self.op == "tilewise" and self.granularity > shape.n:
            return f"tiles of {self.granularity} columns are wider than the weights"
        return ""

    def __str__(self) -> str:
        extra = [f"{self.sparsity:.3g} sparse"] if self.sparsity else []
        extra += [f"{self.strategy}, G={self.granularity}"] if self.strategy else []
        return " ".join([self.op, self.dtype, str(self.shape), *extra, f"({self.library})"])


def build_cases(shapes: Shapes, options: Options) -> list[Case]:
    """Cases in the order of operations, formats and shapes, each once.

    A 2:4 product has its weights first, m output features times n tokens; the dense product of the same operands
    comes with it, so that the two can be compared.
    """
    found: list[Case] = []
    for op in options.ops:
        for dtype in options.dtypes:
            found += {"gemm": _dense, "sparse24": _sparse24, "attention": _attention, "tilewise": _tile_wise}[op](
                shapes, dtype, options
            )
    return list(dict.fromkeys(found))


def _dense(shapes: Shapes, dtype: str, options: Options) -> Iterator[Case]:
    library = options.dense_library
    for layout in options.layouts:
        for shape in shapes.products:
            yield Case("gemm", dtype, shape, library, options.launch, options.copies, layout[0], layout[1], "row")


def _sparse24(shapes: Shapes, dtype: str, options: Options) -> Iterator[Case]:
    if dtype not in ("fp16", "bf16"):
        return
    for shape in shapes.sparse:
        if shape.batch == 1:
            weights_first = Product(shape.n, shape.m, shape.k)
            kinds = [
                ("gemm", options.dense_library, 0.0),
                *(("spmm_2to4", library, 0.5) for library in options.sparse_libraries),
            ]
            cases = [
                # Row-major y = x W' is column-major y' = W x', where W lies transposed.
                Case(op, dtype, weights_first, library, options.launch, options.copies, "T", "N", "column", sparsity)
                for op, library, sparsity in kinds
            ]
            if not cases[-1].reason_against():
                yield from cases


def _attention(shapes: Shapes, dtype: str, options: Options) -> Iterator[Case]:
    if dtype in ("fp16", "bf16", "fp32"):
        for shape in shapes.attentions:
            for backend in options.backends:
                yield Case(shape.op, dtype, shape, BACKENDS[backend], options.launch, options.copies)


def _tile_wise(shapes: Shapes, dtype: str, options: Options) -> Iterator[Case]:
    if dtype == "int8":
        return
    for shape in shapes.sparse:
        for sparsity in options.sparsities:
            for granularity in options.granularities:
                for strategy in options.strategies:
                    # A is held transposed: rows of A' that a tile gathers are then contiguous.
                    case = Case(
                        "tilewise", dtype, shape, options.tile_library, options.launch, options.copies, "T", "N",
                        "row", sparsity, strategy, granularity, options.uneven,
                    )  # fmt: skip
                    if shape.batch == 1 and not case.reason_against():
                        yield case


def warm_state(case: Case, l2_bytes: int | None) -> str:
    """What lies in L2 when an operation of `case` starts, in a loop over its copies; empty where it is not certain.

    Certain means a factor of two: what fits into half of L2 stays, and what is gone through in turn and is twice as
    large as L2 is lost.
    """
    if not l2_bytes or isinstance(case.shape, Attention):
        return ""
    cycle = case.copies * case.weight_bytes
    if cycle + case.other_bytes <= l2_bytes // 2:
        return "both"
    if cycle >= 2 * l2_bytes:
        if case.other_bytes <= l2_bytes // 2:
            return "activations"
        if case.other_bytes >= 2 * l2_bytes:
            return "none"
    return ""
