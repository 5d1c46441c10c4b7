"""Products and counts of packed sparse weights once more in plain NumPy: slow, obviously right."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.gemm import PackedWeights
from accelsim.kernels.output_tiles import Blocks
from accelsim.kernels.reference import sectors_of_elements
from accelsim.kernels.sectors import ActivationLayout
from accelsim.kernels.sparse_counts import INDEX_BYTES, SparseCounts
from accelsim.kernels.sparse_formats import BlockForm, ElementForm, GroupedForm, place_mask

Array = NDArray[Any]
Element = tuple[int, int, int]
"""A slot of the packed form: original row and column of the weight, and its number among the values."""


def _exact(array: Array) -> Array:
    return array.astype(np.int64 if array.dtype == np.int8 else np.float64)


def _compact_row(offset: NDArray[np.int32] | None, start: int, row: int) -> int:
    return row if offset is None else row + int(offset[start + row])


def grouped_slots(weights: GroupedForm, blocks: Blocks, block: int) -> list[Element]:
    """Slots that a thread block multiplies, but for those at places beyond the rows of its tile."""
    tile = int(blocks.weight_tile[block])
    first, last = (int(edge) for edge in weights.column_start[tile : tile + 2])
    depth = int(weights.row_start[tile + 1] - weights.row_start[tile])
    bits, mask = place_mask(weights)
    found = []
    for compact in range(int(blocks.n0[block]), int(blocks.n1[block])):
        column = _compact_row(weights.column_offset, 0, compact)
        for group in range(int(blocks.k0[block]) // weights.group, -(-int(blocks.k1[block]) // weights.group)):
            for slot in range(group * weights.slots, (group + 1) * weights.slots):
                word = slot // weights.slots_per_word * (last - first) + compact - first
                shift = slot % weights.slots_per_word * bits
                place = int(weights.metadata[weights.metadata_start[tile] + word]) >> shift & mask
                row = group * weights.group + place
                if row < depth:
                    original = _compact_row(weights.row_offset, int(weights.row_start[tile]), row)
                    number = int(weights.value_start[tile]) + slot * (last - first) + compact - first
                    found.append((original, column, number))
    return found


def block_slots(weights: BlockForm, blocks: Blocks, block: int) -> list[Element]:
    """Weights that a thread block multiplies."""
    tile = int(blocks.weight_tile[block])
    found = []
    for row in range(int(blocks.k0[block]), int(blocks.k1[block])):
        position, within = divmod(row, weights.block_rows)
        number = int(weights.block_start[tile]) + position
        original = int(weights.block_row[number]) * weights.block_rows + within
        for column in range(int(blocks.n0[block]), int(blocks.n1[block])):
            inside = column - tile * weights.block_columns
            value = (number * weights.block_rows + within) * weights.block_columns + inside
            found.append((original, column, value))
    return found


def element_slots(weights: ElementForm, blocks: Blocks, block: int) -> list[Element]:
    """Elements that a thread block multiplies."""
    return [
        (int(weights.row_index[number]), column, number)
        for column in range(int(blocks.n0[block]), int(blocks.n1[block]))
        for number in range(int(weights.element_start[column]), int(weights.element_start[column + 1]))
        if blocks.k0[block] <= weights.row_index[number] < blocks.k1[block]
    ]


def _product(a: Array, n: int, values: Array | None, blocks: Blocks, slots: list[list[Element]]) -> Array:
    assert values is not None
    a = _exact(a)
    flat = values.reshape(-1).astype(a.dtype)
    out = np.zeros((a.shape[0], a.shape[1], n), a.dtype)
    for block, found in enumerate(slots):
        batch, rows = blocks.batch[block], slice(blocks.m0[block], blocks.m1[block])
        for row, column, number in found:
            out[batch, rows, column] += a[batch, rows, row] * flat[number]
    return out


def grouped_product(a: Array, weights: GroupedForm, blocks: Blocks) -> Array:
    """`accelsim.kernels.sparse_groups.grouped_product` in float64 or int64, slot by slot."""
    slots = [grouped_slots(weights, blocks, block) for block in range(len(blocks.m0))]
    return _product(a, weights.n, weights.values, blocks, slots)


def block_sparse_product(a: Array, weights: BlockForm, blocks: Blocks) -> Array:
    """`accelsim.kernels.sparse_blocks.block_sparse_product` in float64 or int64, weight by weight."""
    slots = [block_slots(weights, blocks, block) for block in range(len(blocks.m0))]
    return _product(a, weights.n, weights.values, blocks, slots)


def element_product(a: Array, weights: ElementForm, blocks: Blocks) -> Array:
    """`accelsim.kernels.sparse_elements.element_product` in float64 or int64, element by element."""
    slots = [element_slots(weights, blocks, block) for block in range(len(blocks.m0))]
    return _product(a, weights.n, weights.values, blocks, slots)


def _a_elements(rows: list[int], m0: int, m1: int, m: int, k: int, layout: ActivationLayout) -> list[int]:
    """Elements of A that lie in these rows of the weights and in output rows m0:m1."""
    if layout == "transposed":
        return [row * m + output for row in rows for output in range(m0, m1)]
    return [output * k + row for row in rows for output in range(m0, m1)]


def _cut(first: int, last: int, step: int) -> list[range]:
    step = step or max(1, last - first)
    return [range(begin, min(begin + step, last)) for begin in range(first, last, step)]


def _table(rows: list[list[int]]) -> SparseCounts:
    return SparseCounts(*np.array(rows, np.int64).reshape(-1, 9).T)


def count_groups(
    weights: GroupedForm, blocks: Blocks, m: int, element_bytes: int, output_bytes: int, *, tile_k: int = 0,
    layout: ActivationLayout = "transposed",
) -> SparseCounts:  # fmt: skip
    """`accelsim.kernels.sparse_counts.count_groups`, address by address."""
    table = []
    for block in range(len(blocks.m0)):
        tile, m0, m1 = (int(part[block]) for part in (blocks.weight_tile, blocks.m0, blocks.m1))
        n0, n1 = int(blocks.n0[block]), int(blocks.n1[block])
        first, last = (int(edge) for edge in weights.column_start[tile : tile + 2])
        table.append([0] * 9)
        count = table[-1]
        kept = weights.group_kept[weights.group_start[tile] : weights.group_start[tile + 1]].reshape(-1, last - first)
        for step in _cut(int(blocks.k0[block]), int(blocks.k1[block]), tile_k):
            rows = [_compact_row(weights.row_offset, int(weights.row_start[tile]), row) for row in step]
            groups = range(step[0] // weights.group, step[-1] // weights.group + 1)
            slots = range(groups[0] * weights.slots, (groups[-1] + 1) * weights.slots)
            words = {slot // weights.slots_per_word for slot in slots}
            values = [slot * (last - first) + column - first for slot in slots for column in range(n0, n1)]
            count[0] += (m1 - m0) * int(kept[groups[0] : groups[-1] + 1, n0 - first : n1 - first].sum())
            count[1] += (m1 - m0) * (n1 - n0) * len(slots)
            count[2] += (m1 - m0) * len(rows) * element_bytes
            count[3] += sectors_of_elements(_a_elements(rows, m0, m1, m, weights.k, layout), element_bytes)
            count[4] += len(values) * element_bytes
            count[5] += sectors_of_elements(values, element_bytes)
            count[6] += INDEX_BYTES * (len(words) * (n1 - n0) + (len(rows) if weights.row_offset is not None else 0))
        count[6] += INDEX_BYTES * (n1 - n0 if weights.column_offset is not None else 0)
        count[8] = (m1 - m0) * (n1 - n0) * output_bytes
    return _table(table)


def count_tile_wise(
    weights: PackedWeights, blocks: Blocks, m: int, element_bytes: int, output_bytes: int, *, tile_k: int = 0,
    layout: ActivationLayout = "transposed",
) -> SparseCounts:  # fmt: skip
    """`accelsim.kernels.sparse_counts.count_tile_wise`, address by address."""
    table = []
    for block in range(len(blocks.m0)):
        tile, m0, m1 = (int(part[block]) for part in (blocks.weight_tile, blocks.m0, blocks.m1))
        first, last = (int(edge) for edge in weights.column_start[tile : tile + 2])
        columns = range(int(blocks.n0[block]) - first, int(blocks.n1[block]) - first)
        table.append([0] * 9)
        count = table[-1]
        for step in _cut(int(blocks.k0[block]), int(blocks.k1[block]), tile_k):
            rows = [_compact_row(weights.row_offset, int(weights.row_start[tile]), row) for row in step]
            values = [row * (last - first) + column for row in step for column in columns]
            macs = (m1 - m0) * len(values)
            a = sectors_of_elements(_a_elements(rows, m0, m1, m, weights.k, layout), element_bytes)
            loads = [(m1 - m0) * len(rows) * element_bytes, a, len(values) * element_bytes]
            parts = [macs, macs, *loads, sectors_of_elements(values, element_bytes), INDEX_BYTES * len(rows), 0, 0]
            count[:] = [old + new for old, new in zip(count, parts, strict=True)]
        count[6] += INDEX_BYTES * len(columns)
        count[8] = (m1 - m0) * len(columns) * output_bytes
    return _table(table)


def count_block_sparse(
    weights: BlockForm, blocks: Blocks, m: int, element_bytes: int, output_bytes: int, *, tile_k: int = 0,
    layout: ActivationLayout = "transposed",
) -> SparseCounts:  # fmt: skip
    """`accelsim.kernels.sparse_counts.count_block_sparse`, address by address."""
    table = []
    for block in range(len(blocks.m0)):
        m0, m1 = int(blocks.m0[block]), int(blocks.m1[block])
        columns = int(blocks.n1[block] - blocks.n0[block])
        found = block_slots(weights, blocks, block)
        steps = _cut(0, int(blocks.k1[block] - blocks.k0[block]), tile_k)
        parts = [found[step[0] * columns : (step[-1] + 1) * columns] for step in steps]
        rows = [sorted({row for row, _, _ in part}) for part in parts]
        a = sum(sectors_of_elements(_a_elements(part, m0, m1, m, weights.k, layout), element_bytes) for part in rows)
        values = sum(sectors_of_elements([number for _, _, number in part], element_bytes) for part in parts)
        touched = {row // weights.block_rows for row in range(int(blocks.k0[block]), int(blocks.k1[block]))}
        macs = (m1 - m0) * len(found)
        loads = (m1 - m0) * int(blocks.k1[block] - blocks.k0[block]) * element_bytes
        index = INDEX_BYTES * (len(touched) + 2)
        written = (m1 - m0) * columns * output_bytes
        table.append([macs, macs, loads, a, len(found) * element_bytes, values, index, 0, written])
    return _table(table)


def count_elements(
    weights: ElementForm, blocks: Blocks, m: int, element_bytes: int, output_bytes: int, *, tile_k: int = 0,
    layout: ActivationLayout = "transposed", onto: bool = False,
) -> SparseCounts:  # fmt: skip
    """`accelsim.kernels.sparse_counts.count_elements`, address by address."""
    table = []
    for block in range(len(blocks.m0)):
        m0, m1 = int(blocks.m0[block]), int(blocks.m1[block])
        n0, n1 = int(blocks.n0[block]), int(blocks.n1[block])
        found = element_slots(weights, blocks, block)
        a, values = 0, 0
        for column in range(n0, n1):
            own = [element for element in found if element[1] == column]
            for step in _cut(0, len(own), tile_k):
                rows = [own[position][0] for position in step]
                a += sectors_of_elements(_a_elements(rows, m0, m1, m, weights.k, layout), element_bytes)
                values += sectors_of_elements([own[position][2] for position in step], element_bytes)
        macs = (m1 - m0) * len(found)
        columns = len({column for _, column, _ in found}) if onto else n1 - n0
        written = (m1 - m0) * columns * output_bytes
        index = INDEX_BYTES * (len(found) + n1 - n0 + 1)
        size = len(found) * element_bytes
        table.append([macs, macs, macs * element_bytes, a, size, values, index, written if onto else 0, written])
    return _table(table)
