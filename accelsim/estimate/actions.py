"""What a dense GEMM does in closed form, as far as its energy, and so its power, depends on it."""

import math


def gemm_actions(
    m: int,
    n: int,
    k: int,
    batch: int,
    tile: tuple[int, int, int],
    split_k: int,
    element_bytes: int,
    output_bytes: int,
    shared_bytes_per_step: int,
    dram_read: int,
    multicast: int = 1,
) -> dict[str, int]:
    """Multiply-accumulates (whole tiles) and bytes of a GEMM, by the part of the device that they belong to.

    Each thread block loads its panels from L2; DRAM sees what L2 lacks and each output once.

    Parameters
    ----------
    m, n, k, batch : int
    tile : tuple of int
        tile_m, tile_n, tile_k.
    split_k : int
        Shares of k.
    element_bytes, output_bytes : int
        Of an element of an operand and of the output.
    shared_bytes_per_step : int
        That a thread block's k-step moves through shared memory.
    dram_read : int
        Bytes of A and B that L2 lacks (`accelsim.estimate.gemm.estimate_gemm`).
    multicast : int
        Thread blocks that L2 delivers a shared operand tile to at once.

    Returns
    -------
    dict
        ``mac``, ``shared_byte``, ``l2_byte``, ``dram_byte``.
    """
    tile_m, tile_n, tile_k = tile
    rows, columns = math.ceil(m / tile_m), math.ceil(n / tile_n)
    steps = math.ceil(math.ceil(k / tile_k) / split_k)
    blocks = rows * columns * split_k * batch
    written = m * n * batch * (output_bytes if split_k == 1 else output_bytes + 8 * split_k)
    sides = columns * m, rows * n
    # Thread blocks of a cluster share the wider tile of those that another output tile needs as well.
    by_columns = columns > 1 and (rows == 1 or m / rows > n / columns)
    shared = sides[0] if by_columns else sides[1] if rows > 1 else 0
    loaded = (sum(sides) - (1 - 1 / multicast) * shared) * k * batch * element_bytes
    return {
        "mac": blocks * steps * tile_m * tile_n * tile_k,
        "shared_byte": blocks * steps * shared_bytes_per_step,
        "l2_byte": round(loaded + written),
        "dram_byte": dram_read + m * n * output_bytes * batch,
    }
