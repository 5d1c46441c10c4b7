"""From a layer's tiles on AccelTran to its time, account, traffic and actions, and the closed form beside it.

The cores of the account are lanes. While a lane works, its time is scores or values. While it waits, its time goes to
what the unit is about at that moment: softmax first, then loads, then writes, and what is left is idle, which is
imbalance between lanes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.dynatran import ACTIVATIONS
from accelsim.machine.attention.acceltran_lanes import (
    ASKED,
    OUTPUT_AT,
    SCORE_BEGIN,
    SCORE_END,
    SOFTMAX_BEGIN,
    SOFTMAX_END,
    VALUE_BEGIN,
    VALUE_END,
    VALUES_AT,
    WRITTEN,
    Pool,
    Tiles,
    play_tiles,
)
from accelsim.machine.attention.acceltran_plan import Plan, Shape, buffer_traffic, plan_buffers
from accelsim.machine.attention.parts import PS_PER_SECOND, Clock
from accelsim.machine.attention.pe_array import ceil_div
from accelsim.machine.attention.run import AttentionRun
from accelsim.machine.system import DeadlockError

if TYPE_CHECKING:
    from accelsim.machine.attention.acceltran import AccelTranUnit

IntArray = NDArray[np.int64]
Cycles = NDArray[np.int32]

CAUSES = ("scores", "values", "softmax", "load", "write", "idle")


def _service(unit: "AccelTranUnit", plan: Plan) -> IntArray:
    """Picoseconds of DRAM for each batch's Q and K, V, and output."""
    bandwidth = round(unit.dram_bandwidth)
    columns = plan.key_bytes, plan.value_bytes, plan.output_bytes
    return np.array([[ceil_div(int(size) * PS_PER_SECOND, bandwidth) for size in sizes] for sizes in columns]).T.copy()


def _softmax_cycles(unit: "AccelTranUnit") -> int:
    return ceil_div(unit.tile * unit.tile, unit.softmax_elements_per_cycle)


def _pool(unit: "AccelTranUnit", shape: Shape, plan: Plan) -> Pool:
    clock = Clock(round(unit.clock))
    return Pool(
        latency=round(unit.dram_latency * PS_PER_SECOND),
        resident=plan.resident,
        in_flight=plan.in_flight,
        lanes=unit.lanes,
        softmax_units=unit.pes * unit.softmax_units_per_pe,
        softmax_tiles=shape.row_tiles,
        softmax_ps=clock.ps(_softmax_cycles(unit)),
        compare_ps=clock.ps(unit.compare_cycles),
        hertz=clock.hertz,
    )


def _tiles(unit: "AccelTranUnit", shape: Shape, plan: Plan, score_cycles: Cycles, value_cycles: Cycles) -> Tiles:
    row_tiles = shape.heads * shape.row_tiles
    batch_of = np.repeat(np.arange(len(plan.head)), plan.row_tiles)
    # One layout for all works, so that one compiled core serves them.
    score, value = (np.ascontiguousarray(each.reshape(row_tiles, -1)) for each in (score_cycles, value_cycles))
    return Tiles(score, value, batch_of, _service(unit, plan))


def _owners(layers: Sequence[IntArray], end: int) -> tuple[IntArray, IntArray]:
    """Times from 0 to `end` between which one layer, or none, explains what waits: edges, and the layer from each on.

    Layers are int64 [spans, 2], the first the strongest; what none covers has their number.
    """
    edges = np.unique(np.concatenate([[0, end], *[spans.ravel() for spans in layers]]))
    owner = np.full(len(edges), len(layers), dtype=np.int64)
    for number in reversed(range(len(layers))):
        depth = np.zeros(len(edges) + 1, dtype=np.int64)
        np.add.at(depth, np.searchsorted(edges, layers[number][:, 0]), 1)
        np.add.at(depth, np.searchsorted(edges, layers[number][:, 1]), -1)
        owner[np.cumsum(depth)[:-1] > 0] = number
    return edges, owner


def _account(busy: IntArray, gaps: IntArray, layers: Sequence[IntArray], end: int) -> IntArray:
    """Time of each lane by cause, [lanes, causes]: every row adds up to `end`."""
    waited = np.zeros(len(busy), dtype=np.int64)
    np.add.at(waited, gaps[:, 0], gaps[:, 2] - gaps[:, 1])
    last = busy.sum(axis=1) + waited
    lanes = np.arange(len(busy))
    gaps = np.concatenate([gaps, np.stack([lanes, last, np.full_like(last, end)], axis=1)])
    edges, owner = _owners(layers, end)
    lengths = np.diff(edges, append=edges[-1])
    account = np.zeros((len(busy), len(CAUSES)), dtype=np.int64)
    account[:, :2] = busy
    for number in range(len(layers) + 1):
        mine = owner == number
        before = np.concatenate(([0], np.cumsum(np.where(mine, lengths, 0))))
        covered = []
        for moment in (gaps[:, 1], gaps[:, 2]):
            place = np.searchsorted(edges, moment, side="right") - 1
            covered.append(before[place] + np.where(mine[place], moment - edges[place], 0))
        np.add.at(account[:, 2 + number], gaps[:, 0], covered[1] - covered[0])
    return account


def _records(plan: Plan, rows: IntArray, batches: IntArray, batch_of: IntArray) -> IntArray:
    """(begin, end, head, cause) of what each head goes through, in order of begin."""
    spans = []
    head_of_row = plan.head[batch_of]
    for head in range(int(plan.head[-1]) + 1):
        mine, of_rows = batches[plan.head == head], rows[head_of_row == head]
        for cause, table, begin, end in (
            ("load", mine, ASKED, VALUES_AT),
            ("scores", of_rows, SCORE_BEGIN, SCORE_END),
            ("softmax", of_rows, SOFTMAX_BEGIN, SOFTMAX_END),
            ("values", of_rows, VALUE_BEGIN, VALUE_END),
            ("write", mine, OUTPUT_AT, WRITTEN),
        ):
            spans.append((int(table[:, begin].min()), int(table[:, end].max()), head, CAUSES.index(cause)))
    return np.array(sorted(spans), dtype=np.int64)


def _actions(
    unit: "AccelTranUnit", shape: Shape, plan: Plan, cycles: int, nonzero: IntArray, bit_products: int
) -> dict[str, int]:
    """Actions; the decision's own are comparisons, masks and packing."""
    heads, n, head_dim = shape.heads, shape.sequence, shape.head_dim
    sizes = dict(zip(ACTIVATIONS, [n * head_dim] * 3 + [n * n] * 2 + [n * head_dim], strict=True))
    passes = dict.fromkeys(("key", "value"), len(plan.head) // heads)
    buffered, masks = buffer_traffic(shape, plan, nonzero)
    return {
        "bit_product": bit_products,
        "softmax_element": heads * n * n,
        "compared_activation": heads * sum(sizes[name] * passes.get(name, 1) for name in unit.prunes),
        "packing_cycle": cycles,
        "mask_byte": masks,
        "buffer_byte": buffered,
    }


def simulate_lanes(
    unit: "AccelTranUnit",
    shape: Shape,
    score_cycles: Cycles,
    value_cycles: Cycles,
    nonzero: IntArray,
    *,
    products: dict[str, int],
    bit_products: dict[str, int],
) -> AttentionRun:
    """Time, traffic and actions of a layer.

    Parameters
    ----------
    unit : AccelTranUnit
    shape : Shape
    score_cycles, value_cycles : int32 [heads, row tiles, ...]
        Cycles of a lane for each tile.
    nonzero : int64 [heads, 6]
    products, bit_products : dict
        By kind.

    Raises
    ------
    MappingError
        When a row tile's scores do not fit the buffers.
    """
    plan = plan_buffers(shape)
    pool = _pool(unit, shape, plan)
    tiles = _tiles(unit, shape, plan, score_cycles, value_cycles)
    busy, gaps, rows, batches, finished = play_tiles(tiles, pool)
    if finished < len(rows):
        raise DeadlockError(f"attention unit: {finished} of {len(rows)} row tiles are done and nothing moves")
    end = int(batches[:, WRITTEN].max())
    layers = rows[:, SOFTMAX_BEGIN : SOFTMAX_END + 1], batches[:, [ASKED, VALUES_AT]], batches[:, [OUTPUT_AT, WRITTEN]]
    records = _records(plan, rows, batches, tiles.batch_of)
    softmax_ps = np.array([len(rows) * shape.row_tiles * pool.softmax_ps // pool.softmax_units])
    moved = int(plan.key_bytes.sum() + plan.value_bytes.sum() + plan.output_bytes.sum())
    cycles = int(score_cycles.sum() + value_cycles.sum())
    actions = _actions(unit, shape, plan, cycles, nonzero, sum(bit_products.values()))
    return AttentionRun(
        end_ps=end,
        stages=CAUSES[:-1],
        causes=CAUSES,
        stage_head=records[:, 2],
        stage_core=np.zeros(len(records), dtype=np.int64),
        stage_kind=records[:, 3],
        stage_begin_ps=records[:, 0],
        stage_end_ps=records[:, 1],
        core_account_ps=_account(busy, gaps, layers, end),
        core_busy_ps={"lanes": busy.sum(axis=1), "softmax": softmax_ps},
        dram_busy_ps=int(tiles.service.sum()),
        dram_bytes=moved,
        buffer_bytes=actions["buffer_byte"],
        spilled_bytes=0,
        products=products,
        bit_products=bit_products,
        actions=actions | {"dram_byte": moved},
    )


def closed_form(unit: "AccelTranUnit", shape: Shape, score_cycles: Cycles, value_cycles: Cycles) -> float:
    """Cycles of a layer from a few numbers of each batch, without its tiles' order.

    DRAM serves the operands of as many batches as the buffers hold, and then, for each that is done, its output and the
    operands of the next. With k and v the times at which a batch's Q and K, and V, are there, S and V its lane cycles
    for both products, and s and p the time of a wave of tiles of either (``ceil(tiles / lanes)`` times a tile's mean),
    the batch is done at the latest of

        L: max(L before, k) + (S + V) / lanes                      all lanes at work,
           v + (S + V - F) / lanes                                 with F of S done before V is there,
        max(X before, k) + tiles / softmax units + p               all softmax units at work,
        max(k + s + softmax, v) + p                                one step after the other,

    softmax being one tile's time with the comparisons around it, and F what row tiles in flight have of S.
    """
    plan = plan_buffers(shape)
    lanes, units = unit.lanes, unit.pes * unit.softmax_units_per_pe
    ratio, latency = unit.clock / unit.dram_bandwidth, unit.dram_latency * unit.clock
    firsts = np.concatenate(([0], np.cumsum(plan.row_tiles)[:-1]))
    tall, softmax = shape.row_tiles, _softmax_cycles(unit)
    row_tiles = shape.heads * tall
    work = [np.add.reduceat(each.reshape(row_tiles, -1).sum(axis=1), firsts) for each in (score_cycles, value_cycles)]
    dram = lanes_free = softmax_free = 0.0
    ends: list[float] = []
    for batch, rows in enumerate(plan.row_tiles.tolist()):
        if batch >= plan.resident:
            done = batch - plan.resident
            dram = max(dram, ends[done]) + float(plan.output_bytes[done]) * ratio
        keys = dram = dram + float(plan.key_bytes[batch]) * ratio
        values = dram = dram + float(plan.value_bytes[batch]) * ratio
        keys, values = keys + latency + unit.compare_cycles, values + latency + unit.compare_cycles
        tiles = rows * tall * shape.depth_tiles
        wave = [ceil_div(tiles, lanes) * float(part[batch]) / tiles for part in work]
        both = float(work[0][batch] + work[1][batch]) / lanes
        ahead = min(1.0, plan.in_flight / rows) * float(work[0][batch]) / lanes
        lanes_free = max(max(lanes_free, keys) + both, values + both - ahead)
        softmax_free = max(softmax_free, keys) + rows * tall * softmax / units
        steps = max(keys + wave[0] + softmax + unit.compare_cycles, values) + wave[1]
        ends.append(max(lanes_free, softmax_free + wave[1], steps))
    for batch in range(max(0, len(ends) - plan.resident), len(ends)):
        dram = max(dram, ends[batch]) + float(plan.output_bytes[batch]) * ratio
    return dram + latency
