"""Operands from a user's .npz: A and B of a GEMM, or Q, K and V of an attention."""

import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from accelsim.config.workload import AttentionWorkload, GemmWorkload, GraphWorkload, Workload
from accelsim.errors import OperandError
from accelsim.model.attention import join_heads
from accelsim.model.graph import Attention, Gemm, Network
from accelsim.model.operand_set import INT8_MAX, OperandSet, to_format

Array = NDArray[Any]


def load_operands(path: str | Path, network: Network) -> OperandSet:
    """Inputs and parameters of a network from a file, rounded to the network's format.

    A GEMM takes A [m, k] and B [k, n]; an attention Q, K and V, each [heads, sequence, head_dim] or
    [batch, heads, sequence, head_dim]. Other arrays in the file are not looked at.

    Raises
    ------
    OperandError
        For a file that is no .npz, a missing or non-numeric array, a shape that the network does not have, NaN,
        infinity, overflow of fp16, or int8 operands that are not integers within +-127.
    """
    (operation, *others) = network.operations
    if others or not isinstance(operation, Gemm | Attention):
        raise OperandError(_KINDS.format(path=path))
    if isinstance(operation, Gemm):
        arrays = read_arrays(path, ("A", "B"))
        _expect(path, arrays, {"A": (operation.m, operation.k), "B": (operation.k, operation.n)})
        ready = {name: _ready(path, name, array, network.dtype) for name, array in arrays.items()}
        return OperandSet({operation.a: ready["A"]}, {str(operation.weight): ready["B"]}, _description(path, "A and B"))
    arrays = {name: _batched(path, name, array) for name, array in read_arrays(path, ("Q", "K", "V")).items()}
    shape = (operation.batch, operation.heads, operation.sequence, operation.head_dim)
    _expect(path, arrays, dict.fromkeys(arrays, shape))
    inputs = {}
    for name, tensor in zip("QKV", (operation.query, operation.key, operation.value), strict=True):
        ready_heads = _ready(path, name, arrays[name], network.dtype)
        inputs[tensor] = join_heads(ready_heads, operation)
    return OperandSet(inputs, {}, _description(path, "Q, K and V"))


def workload_for_operands(path: str | Path, workload: Workload) -> Workload:
    """The workload with its sizes replaced by those of the arrays in a file, which a list of operations takes as data.

    Raises
    ------
    OperandError
        When the workload takes no operands from a file, or the arrays' shapes contradict each other.
    """
    if isinstance(workload, GraphWorkload):
        plain = next(iter(workload.inputs)) in array_names(path)
        return workload.model_copy(update={"data": str(path)} | ({"split": "test"} if plain else {}))
    if isinstance(workload, GemmWorkload):
        shapes = shapes_of(path, ("A", "B"))
        if any(len(shape) != 2 or 0 in shape for shape in shapes.values()):
            raise OperandError(f"{path}: A and B must be matrices with rows and columns, found {_listed(shapes)}")
        (m, k), (rows, n) = shapes["A"], shapes["B"]
        if rows != k:
            raise OperandError(f"{path}: columns of A and rows of B must be equal, found {_listed(shapes)}")
        return workload.model_copy(update={"m": m, "n": n, "k": k})
    if isinstance(workload, AttentionWorkload):
        shapes = shapes_of(path, ("Q", "K", "V"))
        first = shapes["Q"]
        if len(set(shapes.values())) > 1 or len(first) not in (3, 4) or 0 in first:
            raise OperandError(
                f"{path}: Q, K and V must be of one shape, [heads, sequence, head_dim] or [batch, heads, sequence, "
                f"head_dim], found {_listed(shapes)}"
            )
        batch, heads, sequence, head_dim = first if len(first) == 4 else (1, *first)
        sizes = {"batch": batch, "heads": heads, "sequence": sequence, "head_dim": head_dim}
        return workload.model_copy(update=sizes)
    raise OperandError(_KINDS.format(path=path))


def shapes_of(path: str | Path, names: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Shapes of named arrays of a .npz."""
    return {name: array.shape for name, array in read_arrays(path, names).items()}


def read_arrays(path: str | Path, names: tuple[str, ...] | None = None) -> dict[str, Array]:
    """Named arrays (or all) of a .npz, never unpickled.

    Raises
    ------
    OperandError
        When the file or an array is missing, cannot be read, or does not hold numbers.
    """
    try:
        with Path(path).open("rb") as stream:
            return _archived(path, stream, names)
    except FileNotFoundError:
        raise OperandError(f"{path}: no such file") from None
    except OSError as error:
        raise OperandError(f"{path}: cannot be read ({error})") from None


def array_names(path: str | Path) -> tuple[str, ...]:
    """Names of the arrays of a .npz.

    Raises
    ------
    OperandError
        When the file is missing or no archive of arrays.
    """
    read_arrays(path, ())
    with zipfile.ZipFile(path) as archive:
        return tuple(name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy"))


_KINDS = (
    "{path}: operands from a file fit workloads of kind gemm (A and B), attention (Q, K and V) and graph (its inputs)"
)


def _description(path: str | Path, arrays: str) -> str:
    # The folder stays out: results do not depend on where a file lies.
    return f"{arrays} of {Path(path).name}"


_TEXTS = (".csv", ".tsv", ".txt")


def _archived(path: str | Path, stream: BinaryIO, names: tuple[str, ...] | None) -> dict[str, Array]:
    try:
        file = np.load(stream, allow_pickle=False)
    except (ValueError, EOFError, zipfile.BadZipFile):
        ways = "accelsim import --data makes one of texts" if Path(path).suffix in _TEXTS else "numpy.savez writes them"
        raise OperandError(f"{path}: not a .npz file, or damaged; {ways}") from None
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise OperandError(f"{path}: holds a single array; a .npz of named arrays is needed (numpy.savez)")
    return {name: _numbers(path, name, file) for name in (file.files if names is None else names)}


def _numbers(path: str | Path, name: str, file: "np.lib.npyio.NpzFile") -> Array:
    if name not in file.files:
        raise OperandError(f"{path}: no array {name}; found {', '.join(sorted(file.files)) or 'none'}")
    try:
        array: Array = file[name]
    except (ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise OperandError(f"{path}: array {name} cannot be read ({error})") from None
    if array.dtype.kind not in "fiu":
        raise OperandError(f"{path}: array {name} holds {array.dtype}, not real numbers (floats or integers)")
    return array


def _batched(path: str | Path, name: str, array: Array) -> Array:
    if array.ndim == 3:
        return array[None]
    if array.ndim != 4:
        raise OperandError(
            f"{path}: array {name} must be [heads, sequence, head_dim] or [batch, heads, sequence, head_dim], "
            f"found shape {list(array.shape)}"
        )
    return array


def _expect(path: str | Path, arrays: dict[str, Array], shapes: dict[str, tuple[int, ...]]) -> None:
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise OperandError(
                f"{path}: array {name} has shape {list(arrays[name].shape)}, the workload needs {list(shape)}"
            )


def _ready(path: str | Path, name: str, array: Array, dtype: str) -> Array:
    label = f"{path}: {name}"
    if dtype == "int8":
        unfit = ~((np.abs(array.astype(np.float64)) <= INT8_MAX) & (array == np.rint(array)))
        if unfit.any():
            index = tuple(int(i) for i in np.unravel_index(int(np.argmax(unfit)), array.shape))
            raise OperandError(f"{label}{list(index)} is {array[index]!s}; int8 needs integers within +-{INT8_MAX}")
    return to_format(label, array, dtype)


def _listed(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
