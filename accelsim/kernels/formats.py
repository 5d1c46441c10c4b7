"""Number formats of operands: values are held in float32 (int8 in int8) and lie on the grid of their format."""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

UNIT_ROUNDOFF = {"fp16": 2.0**-11, "bf16": 2.0**-8, "tf32": 2.0**-11, "fp32": 2.0**-24}
"""Largest relative error of rounding to nearest: half the distance of two neighbours above 1, over 1."""

LARGEST = {
    "fp16": 65504.0,
    "bf16": (2 - 2.0**-7) * 2.0**127,
    "tf32": (2 - 2.0**-10) * 2.0**127,
    "fp32": (2 - 2.0**-23) * 2.0**127,
    "int8": 127.0,
}
"""Largest finite value of each format."""

_DROPPED_BITS = {"bf16": 16, "tf32": 13}
"""Bits of float32's fraction that the formats with its exponent lack."""


def _check(dtype: str) -> None:
    if dtype not in LARGEST:
        raise ValueError(f"unknown format {dtype!r}; allowed: {', '.join(LARGEST)}")


def _to_odd_float32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """float32 towards zero, with the last bit set where that was inexact, so that a second rounding errs no further."""
    with np.errstate(over="ignore"):
        nearest = values.astype(np.float32)
    beyond = np.isfinite(values) & (np.abs(nearest).astype(np.float64) > np.abs(values))
    truncated = np.where(beyond, np.nextafter(nearest, np.float32(0)), nearest)
    inexact = np.isfinite(values) & (truncated.astype(np.float64) != values)
    result: NDArray[np.float32] = (truncated.view(np.uint32) | inexact).view(np.float32)
    return result


def _drop_bits(values: NDArray[np.float32], dropped: int) -> NDArray[np.float32]:
    """Rounds float32 to nearest even with `dropped` bits fewer; the carry runs on into the exponent as it should."""
    bits = values.view(np.uint32)
    half = np.uint32((1 << (dropped - 1)) - 1)
    even = (bits >> np.uint32(dropped)) & np.uint32(1)
    rounded = (bits + half + even) & ~np.uint32((1 << dropped) - 1)
    result: NDArray[np.float32] = np.where(np.isnan(values), bits, rounded).astype(np.uint32).view(np.float32)
    return result


@njit(cache=True, nogil=True)
def _to_fp16(values: NDArray[np.float32], rounded: NDArray[np.float32]) -> None:
    """float32 to the grid of fp16; NumPy's own conversion there and back gives the same and takes ten times as long."""
    bits, written = values.view(np.uint32), rounded.view(np.uint32)
    for index in range(len(values)):
        word = bits[index]
        sign, size = word & np.uint32(0x80000000), word & np.uint32(0x7FFFFFFF)
        # Steps of subnormal numbers are those of float32 between 1/2 and 1, so that adding 1/2 rounds to them.
        rounded[index] = np.float32(abs(values[index]) + np.float32(0.5)) - np.float32(0.5)
        if size >= np.uint32(0x38800000):
            even = (size >> np.uint32(13)) & np.uint32(1)
            written[index] = (size + np.uint32(0xFFF) + even) & np.uint32(0xFFFFE000)
        if size >= np.uint32(0x477FF000):
            written[index] = np.uint32(0x7F800000) if size <= np.uint32(0x7F800000) else size
        written[index] |= sign


def round_to_format(array: ArrayLike, dtype: str) -> NDArray[Any]:
    """Values rounded once to the grid of a format, to nearest, ties to even.

    Parameters
    ----------
    array : array of any shape
        int8 needs finite values.
    dtype : str
        fp16, bf16, tf32, fp32 or int8.

    Returns
    -------
    array of float32, or of int8
        Same shape. Beyond the largest value of a float format lies infinity (`overflow_count` counts), int8 saturates.

    Raises
    ------
    ValueError
        For an unknown format.
    """
    _check(dtype)
    values = np.asarray(array)
    if dtype == "int8":
        return np.asarray(np.clip(np.rint(values), -128, 127).astype(np.int8))
    with np.errstate(over="ignore"):
        if dtype == "fp16" and values.dtype == np.float32:
            rounded = np.empty(values.size, np.float32)
            _to_fp16(np.ascontiguousarray(values).reshape(-1), rounded)
            return rounded.reshape(values.shape)
        if dtype == "fp16":
            return np.asarray(values.astype(np.float16).astype(np.float32))
        if dtype == "fp32":
            return np.asarray(values.astype(np.float32))
    if values.dtype in (np.float32, np.float16):
        single = values.astype(np.float32)
    else:
        single = _to_odd_float32(values.astype(np.float64))
    return _drop_bits(single, _DROPPED_BITS[dtype])


def overflow_count(array: ArrayLike, dtype: str) -> int:
    """Finite values of `array` that have no finite neighbour to be rounded to: infinity results, or int8 saturates.

    Parameters
    ----------
    array : array of any shape
    dtype : str
        fp16, bf16, tf32, fp32 or int8.

    Raises
    ------
    ValueError
        For an unknown format.
    """
    _check(dtype)
    values = np.asarray(array)
    if dtype == "int8":
        whole = np.rint(values)
        return int(np.count_nonzero(np.isfinite(values) & ((whole < -128) | (whole > 127))))
    return int(np.count_nonzero(np.isfinite(values) & np.isinf(round_to_format(values, dtype))))


def tolerance(dtype: str, k: int, *, same_operands: bool = False) -> float:
    """Relative error that a format and accumulation of `k` products in float32 allow against float64.

    For every element of C = A B, ``abs(error) <= tolerance * (abs(A) @ abs(B))``. With u the unit roundoff of the
    format and v = 2^-24 that of float32, rounding both operands gives 2u + u^2 to each product, and summation in any
    order the usual gamma = k v / (1 - k v) (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section
    3.1), so the tolerance is (2u + u^2)(1 + gamma) + gamma. Values below the format's normal range are not covered.

    Relative to the largest magnitude of C itself, the bound is certain where the terms of that sum do not cancel.
    Where signs are random, rounding errors cancel much as the sums do, so it holds there too unless C is tiny.

    Parameters
    ----------
    dtype : str
        fp16, bf16, tf32, fp32, or int8 (exact: 0).
    k : int
        Products in a sum.
    same_operands : bool
        Whether the float64 product is of operands that were rounded already; then gamma alone is left.

    Raises
    ------
    ValueError
        For an unknown format or a negative k.
    """
    _check(dtype)
    if k < 0:
        raise ValueError(f"k must not be negative, not {k}")
    if dtype == "int8":
        return 0.0
    steps = k * UNIT_ROUNDOFF["fp32"]
    gamma = steps / (1 - steps) if steps < 1 else math.inf
    if same_operands:
        return gamma
    unit = UNIT_ROUNDOFF[dtype]
    return (2 * unit + unit**2) * (1 + gamma) + gamma
