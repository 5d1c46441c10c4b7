"""Which rows of a measured table take part in a fit, and which are left out of it."""

import hashlib

from accelsim.validate.rows import MeasuredRow


def is_held_out(row: MeasuredRow, holdout: float = 0.5, seed: int = 0) -> bool:
    """Whether a row takes no part in the fit: by a hash of its shape, so before any fit, and equal shapes together.

    Parameters
    ----------
    row : MeasuredRow
    holdout : float
        Share of shapes that are left out.
    seed : int
        Another one splits otherwise.
    """
    sizes = (row.batch, row.m, row.n, row.k, *row.attention.values())
    text = "/".join(map(str, (seed, row.op, row.dtype, *sizes)))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return number / 2**64 < holdout
