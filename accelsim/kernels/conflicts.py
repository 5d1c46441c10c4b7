"""Bank conflicts of shared memory, from the addresses that lanes ask for.

Consecutive 4-byte words of shared memory lie in consecutive banks. Lanes that want different words of one bank are
served one after another; lanes that want the same word are served together.
"""

from math import gcd
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

SharedLayout = Literal["linear", "padded", "swizzled"]
WORD_BYTES = 4


def bank_ways(word_addresses: ArrayLike, banks: int = 32) -> int:
    """Cycles that one request takes: the largest number of distinct words in a bank.

    Parameters
    ----------
    word_addresses : array of int
        4-byte word that each active lane reads.
    banks : int
        Banks, consecutive words in consecutive banks.

    Returns
    -------
    int
        1 without conflicts, 0 when no lane asks.
    """
    words = np.unique(np.asarray(word_addresses, np.int64))
    return int(np.bincount(words % banks, minlength=1).max())


def chunk_addresses(
    layout: SharedLayout, row_bytes: int, rows: int, chunk_bytes: int = 16, banks: int = 32
) -> NDArray[np.int64]:
    """Byte address of every chunk of an operand tile in shared memory.

    ``linear`` puts row after row; ``padded`` leaves a chunk free after each row; ``swizzled`` exchanges chunks within a
    row by exclusive-or with the row number. Where a row is shorter than a line of all banks (or no multiple of it), the
    row number counts once per so many rows as it takes until rows begin in the same bank again, and the exclusive-or
    stays within groups of so many chunks as come to lie in the same banks. Then equal chunks of as many
    consecutive rows as a line has chunks lie in different banks, whatever the length of a row.

    Parameters
    ----------
    layout : str
        linear, padded or swizzled.
    row_bytes : int
        Bytes of a row; rows begin on whole chunks, so it is rounded up to them.
    rows : int
        Rows of the tile.
    chunk_bytes : int
        Bytes that a lane moves at once.
    banks : int
        Banks of 4 bytes.

    Returns
    -------
    array of int64, [rows, chunks]

    Raises
    ------
    ValueError
        For an unknown layout or a row without bytes.
    """
    if layout not in get_args(SharedLayout):
        raise ValueError(f"unknown layout {layout!r}; allowed: {', '.join(get_args(SharedLayout))}")
    if row_bytes <= 0:
        raise ValueError(f"row_bytes must be positive, not {row_bytes}")
    chunks = -(-row_bytes // chunk_bytes)
    row, chunk = np.arange(rows)[:, None], np.arange(chunks)[None, :]
    pitch = chunks + (layout == "padded")
    if layout == "swizzled":
        slots = max(1, banks * WORD_BYTES // chunk_bytes)
        group = gcd(slots, chunks)
        chunk = chunk ^ (row // (slots // group) % group)
    addresses: NDArray[np.int64] = (row * pitch + chunk) * chunk_bytes
    return addresses


def fragment_ways(
    layout: SharedLayout, row_bytes: int, rows: int = 8, chunk_bytes: int = 16, banks: int = 32
) -> int:  # fmt: skip
    """Cycles that one read of a fragment takes: equal chunks of `rows` consecutive rows, as a phase of ldmatrix reads.

    Parameters are those of `chunk_addresses`; the worst chunk of a row counts.

    Returns
    -------
    int
        1 when all rows come from different banks.

    Raises
    ------
    ValueError
        For an unknown layout or a row without bytes.
    """
    addresses = chunk_addresses(layout, row_bytes, rows, chunk_bytes, banks)
    words = addresses[:, :, None] // WORD_BYTES + np.arange(-(-chunk_bytes // WORD_BYTES))
    return max(bank_ways(words[:, chunk], banks) for chunk in range(words.shape[1]))
