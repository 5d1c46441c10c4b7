"""Weights from files: .npz and .safetensors, which of their tensors to prune, and how those lie as matrices B[k, n]."""

import fnmatch
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.config.names import near
from accelsim.errors import OperandError
from accelsim.model.operand_files import read_arrays

Array = NDArray[Any]
Orientation = Literal["in_out", "out_in"]

_SAFETENSORS = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1",
    "U16": "<u2", "U32": "<u4", "U64": "<u8",
}  # fmt: skip
"""Formats that NumPy has, by their names in the file; BF16 is widened, others (such as 8-bit floats) are not read."""


def read_tensors(path: str | Path, only: Sequence[str] = ()) -> tuple[dict[str, Array], list[str]]:
    """Tensors of a .npz or .safetensors file by name, never unpickled, and the names of those that were left out.

    Parameters
    ----------
    path : str or path-like
    only : sequence of str
        Names, or patterns of names as in a shell (``encoder.*.weight``), each of which has to match something. Without
        any, all tensors are read that hold real numbers.

    Returns
    -------
    dict of name to array
        In the order of a .npz, sorted from .safetensors. bfloat16, which NumPy lacks, becomes float32.
    list of str
        Tensors that hold something else, such as truth values.

    Raises
    ------
    OperandError
        For a file of another kind or one that cannot be read, a pattern without a match, or a tensor that was named and
        does not hold real numbers.
    """
    suffix = Path(path).suffix
    if Path(path).is_dir():
        raise OperandError(f"{path}: is a folder; name a .npz or .safetensors file")
    if suffix not in (".npz", ".safetensors"):
        found = repr(suffix) if suffix else "a file without a suffix"
        raise OperandError(f"{path}: weights are read from .npz and .safetensors files, not from {found}")
    if not Path(path).is_file():
        raise OperandError(f"{path}: no such file")
    return _from_npz(path, only) if suffix == ".npz" else _from_safetensors(path, only)


def _from_npz(path: str | Path, only: Sequence[str]) -> tuple[dict[str, Array], list[str]]:
    read_arrays(path, ())  # tells what is wrong with a file that is no archive
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        wanted = _matching(path, names, only)
        others = [] if only else [name for name in wanted if not _is_numeric(archive, name)]
    return read_arrays(path, tuple(name for name in wanted if name not in others)), others


def _is_numeric(archive: zipfile.ZipFile, name: str) -> bool:
    """Whether an array holds real numbers, by its header; a damaged one counts, so that reading it tells."""
    try:
        with archive.open(f"{name}.npy") as stream:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            return read(stream)[2].kind in "fiu"
    except (ValueError, OSError, zipfile.BadZipFile, zlib.error):
        return True


def _from_safetensors(path: str | Path, only: Sequence[str]) -> tuple[dict[str, Array], list[str]]:
    import safetensors

    try:
        tensors = dict(safetensors.deserialize(Path(path).read_bytes()))
    except OSError as error:
        raise OperandError(f"{path}: cannot be read ({error.strerror})") from None
    except (safetensors.SafetensorError, ValueError) as error:
        raise OperandError(f"{path}: not a .safetensors file, or damaged ({error})") from None
    wanted = _matching(path, sorted(tensors), only)
    known = {*_SAFETENSORS, "BF16"}
    others = [] if only else [name for name in wanted if tensors[name]["dtype"] not in known]
    return {name: _array(path, name, tensors[name]) for name in wanted if name not in others}, others


def _array(path: str | Path, name: str, tensor: Mapping[str, Any]) -> Array:
    dtype, shape, data = str(tensor["dtype"]), tuple(tensor["shape"]), tensor["data"]
    if dtype == "BF16":
        wide = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return wide.view(np.float32).reshape(shape)
    if dtype not in _SAFETENSORS:
        raise OperandError(f"{path}: tensor {name} holds {dtype}; allowed: {', '.join([*_SAFETENSORS, 'BF16'])}")
    return np.frombuffer(data, _SAFETENSORS[dtype]).reshape(shape)


def _matching(path: str | Path, names: Sequence[str], only: Sequence[str]) -> list[str]:
    """Names that are given or match a pattern that is; all when none is given."""
    if not names:
        raise OperandError(f"{path}: holds no tensors")
    for pattern in only:
        if not any(_matches(name, pattern) for name in names):
            raise OperandError(f"{path}: no tensor {pattern!r}; {near(pattern, names)}")
    return [name for name in names if not only or any(_matches(name, pattern) for pattern in only)]


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatch.fnmatchcase(name, pattern)


def prunable(tensors: Mapping[str, Array], named: bool) -> tuple[dict[str, Array], list[str]]:
    """Tensors to prune, and the names of those that are left alone.

    Parameters
    ----------
    tensors : mapping of name to array
    named : bool
        Whether the user named them. Then convolutions [.., .., .., ..] are taken beside matrices; otherwise matrices of
        floating-point numbers and of int8 alone, as wider integers are indices rather than weights.

    Raises
    ------
    OperandError
        When nothing is left to prune.
    """
    taken = {name: array for name, array in tensors.items() if array.size and _is_weight(array, named)}
    if not taken:
        found = ", ".join(f"{name} {list(array.shape)}" for name, array in list(tensors.items())[:5])
        hint = "" if named else " (convolutions are taken when --only names them)"
        among = f"no matrix to prune among {found}" if found else "no tensor of real numbers"
        raise OperandError(f"{among}{hint}")
    return taken, [name for name in tensors if name not in taken]


def _is_weight(array: Array, named: bool) -> bool:
    if named:
        return array.ndim in (2, 4)
    return array.ndim == 2 and (array.dtype.kind == "f" or array.dtype == np.int8)


def as_matrix(array: Array, orientation: Orientation) -> Array:
    """A tensor as B[k, n], n being the layer's outputs.

    Parameters
    ----------
    array : array
        ``in_out``: [in, out], or a convolution [height, width, in, out]; ``out_in`` (PyTorch): [out, in], or
        [out, in, height, width]. A convolution's k runs over height, width and in, in this order.
    orientation : {"in_out", "out_in"}
    """
    if array.ndim == 4:
        ordered = array if orientation == "in_out" else array.transpose(2, 3, 1, 0)
        return ordered.reshape(-1, ordered.shape[-1])
    return array if orientation == "in_out" else array.T


def from_matrix(matrix: Array, shape: Sequence[int], orientation: Orientation) -> Array:
    """What `as_matrix` made a matrix of, in its own shape again."""
    if len(shape) == 4 and orientation == "out_in":
        out, depth, height, width = shape
        return matrix.reshape(height, width, depth, out).transpose(3, 2, 0, 1)
    return matrix.reshape(tuple(shape)) if orientation == "in_out" else matrix.T
