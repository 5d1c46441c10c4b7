"""The innermost product: a few rows of A times a few columns of B, held in vector registers.

Written as LLVM vector code (`_build`), since the loop vectoriser does not find this shape by itself. The shape follows
the vector width of the CPU that Numba compiles for: `ROWS` x `COLUMNS` accumulators fill half to three quarters of its
registers, so that enough independent multiply-adds are in flight and every load is used several times.

Numba's cache looks at the file of the cached function only: after a change here, delete ``__pycache__``.
"""

from typing import Any

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numpy.typing import NDArray


def accumulator_shape(features: str) -> tuple[int, int, int]:
    """Rows, columns and floats per vector of the accumulators for a CPU.

    Parameters
    ----------
    features : str
        LLVM's list of features, such as ``"+avx2,-avx512f"``.

    Returns
    -------
    tuple of int
        (rows, columns, vector). 16 accumulators of 16 floats in 32 registers (AVX-512), 12 of 8 in 16 (AVX with FMA),
        8 of 4 in at least 16 registers elsewhere (SSE2, NEON).
    """
    enabled = set(features.split(","))
    if "+avx512f" in enabled:
        return 8, 32, 16
    if "+avx" in enabled and "+fma" in enabled:
        return 6, 16, 8
    return 4, 8, 4


ROWS, COLUMNS, _VECTOR = accumulator_shape(cpu_target.target_context.codegen().magic_tuple()[2])

MAX_DEPTH = 1024
"""Longest sum taken in float32 accumulators: 1024 products of two int8 reach 2^24 at most, so each is exact."""


def accumulate_reference(
    a: NDArray[Any], a_start: int, b: NDArray[Any], b_start: int, depth: int, c: NDArray[Any], c_start: int, stride: int
) -> None:
    """What `accumulate` does, in NumPy, but for how sums are rounded; stands in for it when Numba's JIT is off."""
    panel_a = a[a_start : a_start + depth * ROWS].reshape(depth, ROWS)
    panel_b = b[b_start : b_start + depth * COLUMNS].reshape(depth, COLUMNS)
    product = panel_a.T @ panel_b
    for row in range(ROWS):
        start = c_start + row * stride
        c[start : start + COLUMNS] += product[row].astype(c.dtype)


def _data(context: Any, builder: ir.IRBuilder, array_type: types.Array, array: ir.Value, start: ir.Value) -> ir.Value:
    """Address of element `start` of a contiguous 1-D array."""
    pointer = context.make_array(array_type)(context, builder, array).data
    return builder.gep(pointer, [start])


def _load_vector(builder: ir.IRBuilder, pointer: ir.Value, index: ir.Value, kind: ir.VectorType) -> tuple[Any, Any]:
    """Vector from `pointer` + `index` elements, and its address. Aligned like an element, no more."""
    address = builder.bitcast(builder.gep(pointer, [index]), kind.as_pointer())
    return builder.load(address, align=4), address


def _multiply(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, depth: ir.Value) -> list[ir.Value]:
    """Loop over `depth` that leaves the sums of products in registers: ROWS x COLUMNS / _VECTOR vectors, row by row."""
    vector = ir.VectorType(ir.FloatType(), _VECTOR)
    per_row = COLUMNS // _VECTOR
    int64 = ir.IntType(64)
    kind = ir.FunctionType(vector, (vector, vector, vector))
    fused = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{_VECTOR}f32")
    before = builder.basic_block
    loop = builder.append_basic_block("k_loop")
    after = builder.append_basic_block("k_end")
    zeros = ir.Constant(vector, [0.0] * _VECTOR)
    builder.cbranch(builder.icmp_signed(">", depth, int64(0)), loop, after)

    builder.position_at_end(loop)
    step = builder.phi(int64)
    sums = [builder.phi(vector) for _ in range(ROWS * per_row)]
    b_index = builder.mul(step, int64(COLUMNS))
    columns = [
        _load_vector(builder, b, builder.add(b_index, int64(part * _VECTOR)), vector)[0] for part in range(per_row)
    ]
    a_index = builder.mul(step, int64(ROWS))
    undefined = ir.Constant(vector, ir.Undefined)
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), _VECTOR), [0] * _VECTOR)
    updated = []
    for row in range(ROWS):
        element = builder.load(builder.gep(a, [builder.add(a_index, int64(row))]))
        first = builder.insert_element(undefined, element, ir.IntType(32)(0))
        spread = builder.shuffle_vector(first, undefined, lanes)
        for part in range(per_row):
            updated.append(builder.call(fused, [spread, columns[part], sums[row * per_row + part]]))
    following = builder.add(step, int64(1))
    builder.cbranch(builder.icmp_signed("<", following, depth), loop, after)
    step.add_incoming(int64(0), before)
    step.add_incoming(following, loop)

    builder.position_at_end(after)
    results = []
    for partial, new in zip(sums, updated, strict=True):
        partial.add_incoming(zeros, before)
        partial.add_incoming(new, loop)
        result = builder.phi(vector)
        result.add_incoming(zeros, before)
        result.add_incoming(new, loop)
        results.append(result)
    return results


def _build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
    """LLVM code of `accumulate`."""
    a_type, _, b_type, _, _, c_type, _, _ = signature.args
    a_array, a_start, b_array, b_start, depth, c_array, c_start, stride = arguments
    a = _data(context, builder, a_type, a_array, a_start)
    b = _data(context, builder, b_type, b_array, b_start)
    c = _data(context, builder, c_type, c_array, c_start)
    sums = _multiply(builder, a, b, depth)
    integer = c_type.dtype == types.int32
    kind = ir.VectorType(ir.IntType(32) if integer else ir.FloatType(), _VECTOR)
    per_row = COLUMNS // _VECTOR
    for index, value in enumerate(sums):
        row, part = divmod(index, per_row)
        place = builder.add(builder.mul(stride, ir.IntType(64)(row)), ir.IntType(64)(part * _VECTOR))
        old, address = _load_vector(builder, c, place, kind)
        new = builder.add(old, builder.fptosi(value, kind)) if integer else builder.fadd(old, value)
        builder.store(new, address, align=4)
    return context.get_dummy_value()


def _accumulate(
    typingctx: Any, a: Any, a_start: Any, b: Any, b_start: Any, depth: Any, c: Any, c_start: Any, stride: Any
) -> Any:
    """C[ROWS, COLUMNS] += A B for packed panels; for int32 C the sum, exact up to `MAX_DEPTH`, is converted first.

    Panels are 1-D float32 arrays: `a` holds `depth` groups of ROWS from `a_start`, `b` groups of COLUMNS from
    `b_start`. Rows of C lie `stride` apart in `c` from `c_start`. Nothing is checked.
    """
    integer = types.int64
    return types.void(a, integer, b, integer, integer, c, integer, integer), _build


_settings: Any = config
accumulate: Any = accumulate_reference if _settings.DISABLE_JIT else intrinsic(_accumulate)
