"""Rates of the product kernels beside NumPy's OpenBLAS, measured in turn in one run.

Two ratios count: the dense product's rate over OpenBLAS's, and the time of a tile-wise product over the dense one's.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from accelsim.kernels.gemm import block_product, tile_wise_product
from accelsim.kernels.panels import default_threads
from accelsim.mapping.plan import BlockTable
from accelsim.pruning.packing import TileWiseWeights


def dense_blocks(m: int, n: int, k: int, tile: int) -> BlockTable:
    """Thread blocks of square tiles, whole in k."""
    m0, n0 = (grid.ravel() for grid in np.meshgrid(np.arange(0, m, tile), np.arange(0, n, tile), indexing="ij"))
    zero = np.zeros_like(m0)
    m1, n1 = np.minimum(m0 + tile, m), np.minimum(n0 + tile, n)
    return BlockTable(batch=zero, m0=m0, m1=m1, n0=n0, n1=n1, k0=zero, k1=zero + k, weight_tile=zero, split=zero)


def tile_wise_weights(k: int, n: int, density: float, granularity: int, seed: int) -> TileWiseWeights:
    """Random weights with sqrt(density) of the columns kept, and as many of the rows in each tile of kept columns."""
    generator = np.random.default_rng(seed)
    columns = np.sort(generator.choice(n, round(n * density**0.5), replace=False))
    tiles = -(-len(columns) // granularity)
    kept = round(k * density**0.5)
    rows = np.concatenate([np.sort(generator.choice(k, kept, replace=False)) for _ in range(tiles)])
    column_start = np.minimum(np.arange(tiles + 1) * granularity, len(columns))
    value_start = column_start * kept
    return TileWiseWeights(
        k=k,
        n=n,
        row_start=np.arange(tiles + 1) * kept,
        column_start=column_start,
        row_offset=(rows - np.tile(np.arange(kept), tiles)).astype(np.int32),
        column_offset=(columns - np.arange(len(columns))).astype(np.int32),
        values=generator.standard_normal(value_start[-1], dtype=np.float32),
        value_start=value_start,
    )


def tile_wise_blocks(m: int, weights: TileWiseWeights, tile: int) -> BlockTable:
    """One thread block for each weight tile and `tile` output rows."""
    rows, tiles = np.arange(0, m, tile), np.arange(weights.tiles)
    m0, weight_tile = (grid.ravel() for grid in np.meshgrid(rows, tiles, indexing="ij"))
    return BlockTable(
        batch=np.zeros_like(m0),
        m0=m0,
        m1=np.minimum(m0 + tile, m),
        n0=weights.column_start[weight_tile],
        n1=weights.column_start[weight_tile + 1],
        k0=np.zeros_like(m0),
        k1=weights.row_count[weight_tile],
        weight_tile=weight_tile,
        split=np.zeros_like(m0),
    )


def best(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Least seconds of each work; they take turns, so that a change of the machine's speed meets all of them."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats + 1):
        for name, work in works.items():
            begin = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - begin)
    return {name: min(values[1:]) for name, values in times.items()}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2048, help="m = n = k (default 2048)")
    parser.add_argument("--tile", type=int, default=128, help="tile_m = tile_n = granularity (default 128)")
    parser.add_argument("--sparsity", type=float, default=0.75, help="share of weights pruned (default 0.75)")
    parser.add_argument("--threads", type=int, default=default_threads(), help="threads of our kernels")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    size, threads = options.size, options.threads
    generator = np.random.default_rng(0)
    a, b = generator.standard_normal((2, 1, size, size), dtype=np.float32)
    dense = dense_blocks(size, size, size, options.tile)
    weights = tile_wise_weights(size, size, 1 - options.sparsity, options.tile, seed=1)
    sparse = tile_wise_blocks(size, weights, options.tile)
    times = best(
        {
            "OpenBLAS": lambda: a[0] @ b[0],
            "dense": lambda: block_product(a, b, dense, threads=threads),
            "tile-wise": lambda: tile_wise_product(a, weights, sparse, threads=threads),
        },
        options.repeats,
    )
    print(f"{size}^3 fp32, {threads} threads, tile {options.tile}, sparsity {options.sparsity:g}")
    for name, seconds in times.items():
        work = float(sparse.macs.sum() if name == "tile-wise" else dense.macs.sum())
        print(f"  {name:10} {seconds * 1e3:8.1f} ms {2e-9 * work / seconds:8.1f} GFLOP/s")
    print(f"  dense / OpenBLAS rate     {times['OpenBLAS'] / times['dense']:.3f}")
    print(f"  tile-wise / dense time    {times['tile-wise'] / times['dense']:.3f}")


if __name__ == "__main__":
    main()
