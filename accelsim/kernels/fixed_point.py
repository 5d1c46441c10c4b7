"""Signed fixed point, and its split into an integer and a fraction part. Plain NumPy, bit-exact.

A number x is held as the integer ``raw = x * 2**fraction_bits``. ``integer_bits`` counts the bits before the binary
point, the sign among them, so ``raw`` has ``integer_bits + fraction_bits`` bits. The split is
``raw == (I << fraction_bits) + F`` with I in units of 1 and F in units of ``2**-fraction_bits``; how I is taken decides
the range and sign of F.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROUNDINGS = ("truncate", "floor", "round")
"""Ways to take the integer part: towards zero, downwards, or to the nearest (ties to even)."""

MAX_BITS = 16
"""Of formats whose sums of products the kernels of HDP hold exactly; `quantise` takes up to 31 where it is told to."""


@dataclass(frozen=True)
class Quantised:
    """Numbers in fixed point."""

    raw: NDArray[np.int32]
    """Multiples of ``2**-fraction_bits``, of the shape of the input."""
    saturated: int
    """How many numbers lay outside the range and were set to its nearer end."""


def check_format(integer_bits: int, fraction_bits: int, max_bits: int = MAX_BITS) -> None:
    """Refuse formats that are not signed fixed point of at most `max_bits`.

    Raises
    ------
    ValueError
        When a width is out of range; the message names what is allowed.
    """
    if integer_bits < 1 or fraction_bits < 0 or integer_bits + fraction_bits > max_bits:
        raise ValueError(
            f"integer_bits {integer_bits} and fraction_bits {fraction_bits}: "
            f"need integer_bits >= 1, fraction_bits >= 0 and at most {max_bits} bits together"
        )


def raw_range(integer_bits: int, fraction_bits: int) -> tuple[int, int]:
    """Smallest and largest raw number of a format (two's complement)."""
    half = 1 << (integer_bits + fraction_bits - 1)
    return -half, half - 1


def quantise(
    values: NDArray[np.floating],
    integer_bits: int,
    fraction_bits: int,
    *,
    scale: float = 1.0,
    max_bits: int = MAX_BITS,
) -> Quantised:
    """Round ``values * scale`` to fixed point: to nearest, ties to even, saturating at both ends.

    Parameters
    ----------
    values : array of float, any shape
        Finite numbers. They are widened to float64 first, so the only rounding of a float32 is the one to the grid (a
        ``scale`` that is no power of two rounds the product once before).
    integer_bits, fraction_bits : int
        The format.
    scale : float
        Multiplies the values before they are rounded.
    max_bits : int
        Widest format that the caller's sums of products hold, at most 31.

    Raises
    ------
    ValueError
        For a format that does not exist, and for NaN or infinity.
    """
    check_format(integer_bits, fraction_bits, max_bits)
    scaled = np.asarray(values, dtype=np.float64) * (scale * 2.0**fraction_bits)
    if not np.isfinite(scaled).all():
        raise ValueError("fixed point cannot hold NaN or infinity")
    np.rint(scaled, out=scaled)
    low, high = raw_range(integer_bits, fraction_bits)
    saturated = int(np.count_nonzero((scaled < low) | (scaled > high)))
    np.clip(scaled, low, high, out=scaled)
    return Quantised(scaled.astype(np.int32), saturated)


def to_float(raw: NDArray[np.integer], fraction_bits: int) -> NDArray[np.float64]:
    """Numbers that raw fixed point stands for; exact."""
    return np.asarray(raw, dtype=np.float64) * 2.0**-fraction_bits


def split(
    raw: NDArray[np.int32], integer_bits: int, fraction_bits: int, rounding: str = "truncate"
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Integer part I (units of 1) and fraction part F (units of ``2**-fraction_bits``): ``raw == (I << f) + F``.

    Parameters
    ----------
    raw : int32 array, any shape
        Numbers of the format.
    rounding : {"truncate", "floor", "round"}
        ``truncate`` leaves F with the sign of the number, ``floor`` leaves F >= 0, ``round`` leaves \\|F\\| <= 1/2.
        Nearest integers that the integer bits cannot hold (a half below the top of the range and above) become the
        largest one that they can, and F takes the rest.

    Raises
    ------
    ValueError
        For a format or rounding that does not exist.
    """
    check_format(integer_bits, fraction_bits)
    if rounding not in ROUNDINGS:
        raise ValueError(f"unknown rounding {rounding!r}; allowed: {', '.join(ROUNDINGS)}")
    raw = np.asarray(raw, dtype=np.int32)
    if rounding == "truncate":
        integer = np.where(raw < 0, -(-raw >> fraction_bits), raw >> fraction_bits)
    else:
        integer = raw >> fraction_bits
    if rounding == "round" and fraction_bits > 0:
        twice = 2 * (raw - (integer << fraction_bits))
        one = 1 << fraction_bits
        integer = integer + ((twice > one) | ((twice == one) & (integer & 1 == 1)))
        integer = np.minimum(integer, (1 << (integer_bits - 1)) - 1)
    integer = integer.astype(np.int32)
    return integer, (raw - (integer << fraction_bits)).astype(np.int32)
