"""Mean keys of attention heads, measured beforehand: what HDP's static centring takes from every key."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelsim.config.options import Hdp
from accelsim.errors import OperandError
from accelsim.model.operand_files import read_arrays

FloatArray = NDArray[np.floating]


def mean_keys(key: FloatArray, heads: int, real_length: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Mean key of each head over all inputs and their tokens, [heads, head_dim], added up in float64.

    Parameters
    ----------
    key : float [inputs x heads, n, head_dim]
        The heads of the first input, then those of the next.
    heads : int
        Heads of one input.
    real_length : int [inputs x heads], optional
        Tokens before padding, which is left out.
    """
    by_input = np.asarray(key, dtype=np.float64).reshape(-1, heads, *key.shape[1:])
    lengths = np.full(len(key), key.shape[1]) if real_length is None else real_length
    real = (np.arange(key.shape[1]) < lengths[:, None]).reshape(by_input.shape[:3])
    means: NDArray[np.float64] = by_input.mean(axis=(0, 2), where=real[..., None])
    return means


def write_key_means(path: str | Path, means: Mapping[str, FloatArray]) -> None:
    """Write a file for ``hdp.key_means``: [heads, head_dim] by the name of each attention, in the order of layers."""
    np.savez(path, allow_pickle=False, **{name: np.asarray(array, np.float64) for name, array in means.items()})


def key_means_of(
    options: Hdp, key: FloatArray, heads: int, layer: int, name: str | None = None
) -> NDArray[np.float64] | None:
    """Mean keys that HDP takes from the keys of one attention, [inputs x heads, head_dim]; None where it needs none.

    Parameters
    ----------
    options : Hdp
        ``static`` reads its file, ``first_input`` measures the first input.
    key : float [inputs x heads, n, head_dim]
    heads : int
        Heads of one input.
    layer : int
        Index of the attention, for files read without a name.
    name : str, optional
        Name of the attention.

    Raises
    ------
    OperandError
        When the file cannot be read, or has no array of this name (or index) and shape.
    """
    if options.center_keys not in ("static", "first_input"):
        return None
    inputs = key.shape[0] // heads
    means = (
        mean_keys(key[:heads], heads)
        if options.center_keys == "first_input"
        else _read(str(options.key_means), (heads, int(key.shape[2])), layer, name)
    )
    return np.tile(means, (inputs, 1))


def _read(path: str, shape: tuple[int, int], layer: int, name: str | None) -> NDArray[np.float64]:
    arrays = read_arrays(path, None if name is None else (name,))
    if name is None:
        if layer >= len(arrays):
            raise OperandError(f"{path}: holds mean keys of {len(arrays)} attentions, and layer {layer} needs its own")
        name = list(arrays)[layer]
    means = np.asarray(arrays[name], dtype=np.float64)
    if means.shape != shape or not np.isfinite(means).all():
        raise OperandError(
            f"{path}: mean keys {name} must be finite numbers [heads, head_dim], here {list(shape)}; "
            f"found shape {list(means.shape)}"
        )
    return means
