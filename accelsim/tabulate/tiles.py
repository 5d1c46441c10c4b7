"""The table of a run's tiles: what the thread blocks of each product multiply, and how long they take."""

from math import isqrt
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from accelsim.config.hardware import Gpu
from accelsim.machine.gemm.program import TICKS_PER_CYCLE
from accelsim.machine.simulate import KernelRun, NetworkRun
from accelsim.mapping.plan import GemmPlan

CELLS = 65_536
"""Rows that the table has at most, but for the least of `SIDES`."""
SIDES = (4, 32)
"""Cells along a side of each product's grid: the fewest that many products are cut to, and the most."""

_COLUMNS = (
    *("kernel", "row", "column", "batch", "m0", "m1", "n0", "n1"),
    *("thread_blocks", "kept_share", "duration_us"),
)


def tile_table(run: NetworkRun, gpu: Gpu) -> pd.DataFrame:
    """A row for each cell of a grid over the output tiles of every product on the GPU.

    A cell is an output tile, or, of a product with more of them than the grid has cells, a rectangle of neighbours.
    Batch items lie below each other. Columns are those that the kernel computes: of tile-wise products the kept ones.

    Returns
    -------
    pandas.DataFrame
        kernel, row, column (of the cell); batch (its first item), m0, m1, n0, n1 (ranges of the output, of the first to
        the last tile); thread_blocks; kept_share (multiply-accumulates that count, of those that dense weights would
        need); duration_us (of a thread block, from its dispatch to its end, on average).
    """
    products = [kernel for kernel in run.kernels if isinstance(kernel.kernel, GemmPlan) and kernel.counts is not None]
    side = min(SIDES[1], max(SIDES[0], isqrt(CELLS // max(1, len(products)))))
    known: dict[tuple[object, ...], _Cells] = {}  # products of equal shape share their thread blocks, counts and times
    parts = []
    for kernel in products:
        plan = cast(GemmPlan, kernel.kernel)
        alike = (id(plan.blocks), id(kernel.counts), id(kernel.run), kernel.stretch)
        if alike not in known:
            known[alike] = _cells(kernel, plan, gpu, side)
        parts.append(known[alike])
    if not any(len(part["row"]) for part in parts):
        return pd.DataFrame({name: pd.Series(dtype="str") for name in _COLUMNS})
    names = np.repeat(np.array([kernel.name for kernel in products], object), [len(part["row"]) for part in parts])
    columns = {name: np.concatenate([part[name] for part in parts]) for name in _COLUMNS[1:]}
    return pd.DataFrame({"kernel": names, **columns})


_Cells = dict[str, NDArray[Any]]
"""Columns of `tile_table` but for the kernel's name."""


def _cells(kernel: KernelRun, plan: GemmPlan, gpu: Gpu, side: int) -> _Cells:
    blocks, counts = plan.blocks, kernel.counts
    assert counts is not None
    rows, row = _places(blocks.batch * (plan.gemm.m + 1) + blocks.m0, side)
    columns, column = _places(blocks.n0, side)
    cell = row * columns + column
    cells = rows * columns

    def summed(values: NDArray[np.generic]) -> NDArray[np.float64]:
        return np.bincount(cell, weights=np.asarray(values, np.float64), minlength=cells).astype(np.float64)

    def least(values: NDArray[np.int64], most: bool = False) -> NDArray[np.int64]:
        found = np.full(cells, -1 if most else np.iinfo(np.int64).max, np.int64)
        (np.maximum if most else np.minimum).at(found, cell, values)
        return found

    number = np.bincount(cell, minlength=cells)
    # Shares of k under split-K have the same outputs, whose dense work counts once.
    outputs = (blocks.m1 - blocks.m0) * (blocks.n1 - blocks.n0) * (blocks.split == 0)
    dense = summed(outputs) * plan.gemm.k
    there = number > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            "row": np.arange(cells) // columns,
            "column": np.arange(cells) % columns,
            "batch": least(blocks.batch),
            "m0": least(blocks.m0),
            "m1": least(blocks.m1, most=True),
            "n0": least(blocks.n0),
            "n1": least(blocks.n1, most=True),
            "thread_blocks": number,
            "kept_share": np.minimum(1.0, summed(counts.macs) / dense),
            "duration_us": summed(_durations_us(kernel, gpu, len(blocks))) / number,
        }
    return {name: values[there] for name, values in found.items()}


def _places(keys: NDArray[np.int64], side: int) -> tuple[int, NDArray[np.int64]]:
    """Number of cells along a side, at most `side`, and the place of each key among them: equal keys share one."""
    distinct, place = np.unique(keys, return_inverse=True)
    each = -(-len(distinct) // side) or 1
    return -(-len(distinct) // each), place // each


def _durations_us(kernel: KernelRun, gpu: Gpu, count: int) -> NDArray[np.float64]:
    """Of the first `count` thread blocks, which are the product's own, as the power limit stretches them."""
    ticks = kernel.run.block_end[:count] - kernel.run.block_dispatch[:count]
    return kernel.stretch * 1e6 * ticks.astype(np.float64) / (gpu.clock * TICKS_PER_CYCLE)
