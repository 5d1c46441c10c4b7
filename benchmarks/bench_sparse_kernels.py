"""Rates of the sparse kernels beside the dense one and SciPy's, measured in turn in one run.

For each pattern at one sparsity: time over the dense product's, rate per executed multiply-accumulate over the dense
rate, and time over that of SciPy's compressed rows (for blocks, of its compressed block rows).
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from accelsim.kernels.gemm import block_product
from accelsim.kernels.panels import default_threads
from accelsim.mapping.blocks import build_blocks, dense_columns, tile_wise_columns
from accelsim.mapping.plan import BlockTable
from accelsim.model.graph import Gemm
from accelsim.pruning.masks import (
    BlockWiseMask,
    ElementWiseMask,
    GroupMask,
    Mask,
    TileElementWiseMask,
    TileVectorWiseMask,
)
from accelsim.pruning.packed import Packed, TileElementWeights, pack_mask
from accelsim.pruning.packed.products import packed_counts, packed_product
from accelsim.pruning.seeded import seeded_mask
from benchmarks.bench_kernels import best

Array = NDArray[Any]


def groups(k: int, n: int, keep: int, group: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """`keep` of every `group` rows of each column (k a multiple of the group)."""
    order = random.random((k // group, group, n)).argsort(axis=1).argsort(axis=1)
    return (order < keep).reshape(k, n)


def masks(size: int, sparsity: float, tile: int, block: int) -> dict[str, Mask]:
    """A mask of every pattern; 2:4 has its own sparsity, tiles of 2:4 keep twice as much."""
    random, density = np.random.default_rng(0), 1 - sparsity
    tiles = seeded_mask(size, size, sparsity, tile, 1)
    half = seeded_mask(size, size, max(0.0, 1 - 2 * density), tile, 2)
    depth = [len(rows) // 4 * 4 for rows in half.rows]
    whole = tuple(rows[:kept] for rows, kept in zip(half.rows, depth, strict=True))
    half = type(half)(size, size, tile, half.columns, whole)
    inner = tuple(
        groups(len(rows), len(columns), 2, 4, random) for rows, columns in zip(half.rows, half.columns, strict=True)
    )
    keep = max(1, round(16 * density))
    grid = random.random((-(-size // block), -(-size // block))) < density
    return {
        "2:4": GroupMask(groups(size, size, 2, 4, random), 4, 2),
        "vector-wise": GroupMask(groups(size, size, keep, 16, random), 16, keep),
        "block-wise": BlockWiseMask(size, size, block, block, grid),
        "tile-wise": tiles,
        "tile-vector-wise": TileVectorWiseMask(half, 4, 2, inner),
        "tile-element-wise": TileElementWiseMask(tiles, random.random((size, size)) < 0.05),
        "element-wise": ElementWiseMask(random.random((size, size)) < density),
    }


def cut(gemm: Gemm, weights: Any, tile: int) -> BlockTable:
    """Thread blocks of `tile` x `tile` outputs, whole in k."""
    return build_blocks(gemm, tile_wise_columns(weights, tile), (tile, 32), 1, ("along_m", 1))


def rival(a: Array, dense: Array, block: int | None) -> Callable[[], object]:
    """SciPy's product of the transposed weights with the transposed activations."""
    if block is None:
        matrix: Any = sparse.csr_array(dense.T)
    else:
        matrix = sparse.bsr_array(dense.T, blocksize=(block, block))
    activations = np.ascontiguousarray(a[0].T)
    return lambda: matrix @ activations


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1024, help="m = n = k, a multiple of 32 (default 1024)")
    parser.add_argument("--tile", type=int, default=128, help="tile_m = tile_n = granularity (default 128)")
    parser.add_argument("--block", type=int, default=32, help="rows and columns of a block (default 32)")
    parser.add_argument("--sparsity", type=float, default=0.75, help="share of weights pruned (default 0.75)")
    parser.add_argument("--threads", type=int, default=default_threads(), help="threads of our kernels")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    size, threads = options.size, options.threads
    a, weights = np.random.default_rng(0).standard_normal((2, 1, size, size), dtype=np.float32)
    gemm = Gemm("product", size, size, size)
    works: dict[str, Callable[[], object]] = {}
    executed, kept = {}, {}
    for name, mask in masks(size, options.sparsity, options.tile, options.block).items():
        packed: Packed = pack_mask(weights[0], mask)
        parts = (packed.tile_wise, packed.overlay) if isinstance(packed, TileElementWeights) else (packed,)
        tables = [cut(gemm, part, options.tile) for part in parts]
        over = tables[1] if len(tables) > 1 else None
        counts = packed_counts(packed, tables[0], size, 2, 2, over)
        executed[name], kept[name] = sum(int(part.executed_macs.sum()) for part in counts), mask.kept / size**2
        works[name] = lambda packed=packed, table=tables[0], over=over: packed_product(  # type: ignore[misc]
            a, packed, table, over, threads=threads
        )
        block = options.block if name == "block-wise" and size % options.block == 0 else None
        works[f"SciPy {name}"] = rival(a, np.where(mask.to_dense(), weights[0], 0), block)
    table = build_blocks(gemm, dense_columns(size, size, options.tile), (options.tile, 32), 1, ("along_m", 1))
    works["dense"] = lambda: block_product(a, weights, table, threads=threads)
    times = best(works, options.repeats)
    dense_rate = size**3 / times["dense"]
    print(f"{size}^3 fp32, {threads} threads, tile {options.tile}, block {options.block}, SciPy in one thread")
    print(f"  dense: {times['dense'] * 1e3:.1f} ms, {2e-9 * dense_rate:.1f} GFLOP/s")
    print(f"  {'':18} {'kept':>6} {'ms':>8} {'time/dense':>11} {'rate/dense':>11} {'time/SciPy':>11}")
    for name in kept:
        seconds = times[name]
        rate = executed[name] / seconds / dense_rate
        ratios = f"{seconds / times['dense']:11.2f} {rate:11.2f} {seconds / times[f'SciPy {name}']:11.3f}"
        print(f"  {name:18} {kept[name]:6.3f} {seconds * 1e3:8.1f} {ratios}")


if __name__ == "__main__":
    main()
