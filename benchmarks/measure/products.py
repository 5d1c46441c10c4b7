"""Dense products, 2:4 products and fused attention, as PyTorch runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from .cases import BACKENDS, Case
from .errors import NotMeasurableError
from .shapes import Attention
from .timing import Call

_BACKEND_OF = {library: name for name, library in BACKENDS.items()}


@dataclass(frozen=True)
class Operation:
    """An operation that is ready to run."""

    calls: list[Call]
    """One for each copy of the weights."""
    relative_error: Callable[[], float] | None = None
    """||result - reference|| / ||reference|| of the first copy, where the kernel is not the library's plain one."""
    tile: dict[str, int] | None = None
    """tile_m, tile_n, tile_k and stages, where they are known."""


def torch_dtype(torch: Any, name: str) -> Any:
    """PyTorch's name of a format; tf32 is how float32 is multiplied, not how it is held."""
    return {
        "fp16": torch.float16, "bf16": torch.bfloat16, "tf32": torch.float32, "fp32": torch.float32, "int8": torch.int8,
    }[name]  # fmt: skip


def draw(torch: Any, shape: tuple[int, ...], case: Case, device: Any) -> Any:
    """Random operands: zeros would take less power, and so run faster, than real data."""
    if case.dtype == "int8":
        return torch.randint(-127, 128, shape, dtype=torch.int8, device=device)
    return torch.randn(shape, device=device).to(torch_dtype(torch, case.dtype))


def set_precision(torch: Any, dtype: str) -> None:
    """Let float32 products round their operands to tf32, or not."""
    torch.set_float32_matmul_precision("high" if dtype == "tf32" else "highest")


def dense(torch: Any, case: Case, device: Any) -> Operation:
    """A dense product, or a batch of them, in the case's layout."""
    shape = case.product
    if case.order == "column":
        return _dense_linear(torch, case, device)

    def stored(rows: int, columns: int, op: str) -> Any:
        size = (rows, columns) if op == "N" else (columns, rows)
        held = draw(torch, (shape.batch, *size) if shape.batch > 1 else size, case, device)
        return held if op == "N" else held.transpose(-1, -2)

    a = stored(shape.m, shape.k, case.op_a)
    weights = [stored(shape.k, shape.n, case.op_b) for _ in range(case.copies)]
    if case.dtype == "int8":
        return Operation([partial(torch._int_mm, a, b) for b in weights])
    size = (shape.batch, shape.m, shape.n) if shape.batch > 1 else (shape.m, shape.n)
    output = torch.empty(size, dtype=a.dtype, device=device)
    multiply = torch.bmm if shape.batch > 1 else torch.mm
    return Operation([partial(multiply, a, b, out=output) for b in weights])


def _dense_linear(torch: Any, case: Case, device: Any) -> Operation:
    """The dense product beside a 2:4 one: the same call on the same layout, with weights that are not packed."""
    shape = case.product
    tokens = draw(torch, (shape.n, shape.k), case, device)
    weights = [draw(torch, (shape.m, shape.k), case, device) for _ in range(case.copies)]
    return Operation([partial(torch.nn.functional.linear, tokens, w) for w in weights])


def prune_two_of_four(torch: Any, weights: Any) -> Any:
    """Of every four weights along the last axis, the two of larger magnitude; zeros elsewhere."""
    groups = weights.reshape(-1, 4)
    kept = torch.zeros_like(groups, dtype=torch.bool)
    kept.scatter_(1, groups.abs().topk(2, dim=1).indices, True)
    return (groups * kept).reshape(weights.shape)


def sparse24(torch: Any, case: Case, device: Any) -> Operation:
    """A linear layer whose weights [m, k] are 2:4, on n tokens.

    Raises
    ------
    NotMeasurableError
        Off CUDA, and where PyTorch has no semi-structured sparsity.
    """
    if device.type != "cuda":
        raise NotMeasurableError("2:4 sparsity runs on CUDA alone")
    try:
        from torch.sparse import SparseSemiStructuredTensor, to_sparse_semi_structured
    except ImportError as error:
        raise NotMeasurableError(f"this PyTorch has no semi-structured sparsity ({error})") from None
    shape = case.product
    SparseSemiStructuredTensor._FORCE_CUTLASS = case.library == "cutlass"
    tokens = draw(torch, (shape.n, shape.k), case, device)
    pruned = [prune_two_of_four(torch, draw(torch, (shape.m, shape.k), case, device)) for _ in range(case.copies)]
    packed = [to_sparse_semi_structured(weights) for weights in pruned]
    linear = torch.nn.functional.linear
    first = pruned[0]
    return Operation(
        [partial(linear, tokens, w) for w in packed],
        lambda: relative_error(torch, linear(tokens, packed[0]), linear(tokens, first)),
    )


def attention(torch: Any, case: Case, device: Any) -> Operation:
    """Fused attention by one back end; every copy has keys and values of its own.

    Raises
    ------
    NotMeasurableError
        For a back end that this PyTorch does not have.
    """
    shape = case.shape
    assert isinstance(shape, Attention)
    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError as error:
        raise NotMeasurableError(f"this PyTorch cannot choose the back end of an attention ({error})") from None
    name = {"flash": "FLASH_ATTENTION", "efficient": "EFFICIENT_ATTENTION", "cudnn": "CUDNN_ATTENTION", "math": "MATH"}
    backend = getattr(SDPBackend, name[_BACKEND_OF[case.library]], None)
    if backend is None:
        raise NotMeasurableError(f"this PyTorch has no {case.library}")
    q = draw(torch, (shape.batch, shape.q_heads, shape.q_len, shape.head_dim), case, device)
    size = (shape.batch, shape.kv_heads, shape.kv_len, shape.head_dim)
    pairs = [(draw(torch, size, case, device), draw(torch, size, case, device)) for _ in range(case.copies)]
    shared = {"enable_gqa": True} if shape.q_heads != shape.kv_heads else {}

    def run(k: Any, v: Any) -> Any:
        with sdpa_kernel(backend):
            attend = torch.nn.functional.scaled_dot_product_attention
            return attend(q, k, v, is_causal=bool(shape.causal), **shared)

    return Operation([partial(run, k, v) for k, v in pairs])


def relative_error(torch: Any, result: Any, reference: Any) -> float:
    """||result - reference|| / ||reference||, in float32; NaN and infinity are an error of infinity."""
    result, reference = result.float(), reference.float()
    error = float(torch.linalg.vector_norm(result - reference) / torch.linalg.vector_norm(reference))
    return error if error == error else float("inf")
