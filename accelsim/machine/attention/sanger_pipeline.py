"""Time, traffic and actions of Sanger's stages.

Groups of queries pass four stages: the low-bit array predicts, the pack module compares and places, the main array
computes scores, exponentials and P x V of one pass after another, and dividers finish the outputs. Scores stay in the
main array's elements, so a pass is

    (head_dim + skew) + exponential_cycles + (head_dim + skew)

cycles, whatever it holds. Row sums leave the elements while the next pass computes its scores, and cost none.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.sanger import EXPONENTIAL_FRACTION_BITS
from accelsim.machine.attention.pe_array import ceil_div, tile_cycles
from accelsim.machine.attention.pipeline import Job, Tally, run_pipeline
from accelsim.machine.attention.run import AttentionRun
from accelsim.machine.attention.sanger_throughput import sanger_throughput_cycles
from accelsim.machine.attention.sanger_unit import SangerUnit

STAGES = ("predict", "pack", "array", "divide")
RESCALE_BITS = 256
"""Bit-products of a multiplication of a predicted score with the length of a row: 16 x 16."""
EXPONENTIAL_BYTES = ceil_div(EXPONENTIAL_FRACTION_BITS, 8)
SUM_BYTES = 4
"""Of a partial sum of an output, on its way through the passes."""


@dataclass(frozen=True)
class Demand:
    """What the time of a layer depends on."""

    heads: int
    sequence: int
    head_dim: int
    kept_pairs: int
    passes: NDArray[np.int64]
    """[heads, groups]"""
    sub_rows: int
    load_balance: float
    matrix_bytes: int
    """Q, K, V or the output of a head at full width."""

    @property
    def density(self) -> float:
        """Share of pairs kept."""
        return self.kept_pairs / (self.heads * self.sequence**2)


def predictions(unit: SangerUnit, demand: Demand) -> int:
    """Times that each score is predicted: twice when what waits for its row's sum outgrows the prediction buffer.

    That is the exponentials of two strips of queries, one compared while the next is predicted, and the masks of two
    groups. Predicted twice, the first time only yields the sums, and the second is compared as it comes.
    """
    n = demand.sequence
    exponentials = 2 * min(unit.predict_rows, n) * n * EXPONENTIAL_BYTES
    masks = 2 * ceil_div(min(unit.pack_queries, n) * n, 8)
    return 1 if exponentials + masks <= unit.prediction_buffer else 2


def resident(unit: SangerUnit, demand: Demand) -> bool:
    """Whether Q, K and V of a head stay on the chip."""
    return 3 * demand.matrix_bytes <= unit.operand_buffer


def prefetches(unit: SangerUnit, demand: Demand) -> bool:
    """Whether the next head's fit beside them."""
    return 6 * demand.matrix_bytes <= unit.operand_buffer


def pass_cycles(unit: SangerUnit, head_dim: int) -> int:
    """Cycles of one filling of the main array."""
    return 2 * (head_dim + unit.skew_cycles) + unit.exponential_cycles


def group_rows(unit: SangerUnit, demand: Demand) -> NDArray[np.int64]:
    """Queries of each group."""
    groups = demand.passes.shape[1]
    rows = np.full(groups, unit.pack_queries, dtype=np.int64)
    rows[-1] = demand.sequence - unit.pack_queries * (groups - 1)
    return rows


def stage_cycles(unit: SangerUnit, demand: Demand) -> NDArray[np.int64]:
    """Cycles of each group in each stage, [heads, groups, stages]."""
    rows, n = group_rows(unit, demand), demand.sequence
    strips = -(-rows // unit.predict_rows)
    # The low-bit array shifts its scores out, a column a cycle, before it takes the next tile.
    tile = tile_cycles(demand.head_dim, unit.predict_rows, unit.predict_columns) + unit.predict_columns
    predict = strips * ceil_div(n, unit.predict_columns) * tile * predictions(unit, demand)
    divide = -(-rows * demand.head_dim // unit.outputs_per_cycle)
    cycles = np.empty((*demand.passes.shape, len(STAGES)), dtype=np.int64)
    cycles[:, :, 0] = predict
    cycles[:, :, 1] = strips * n
    cycles[:, :, 2] = demand.passes * pass_cycles(unit, demand.head_dim)
    cycles[:, :, 3] = divide
    return cycles


def loaded_matrices(unit: SangerUnit, demand: Demand) -> int:
    """Q, K or V that a head reads from DRAM, counted each time: K and V that are not resident for every group."""
    if resident(unit, demand):
        return 3
    return 1 + (predictions(unit, demand) + 2) * int(demand.passes.shape[1])


def buffer_bytes(unit: SangerUnit, demand: Demand) -> int:
    """Bytes written to and read from the unit's buffers."""
    n, d, pairs = demand.sequence, demand.head_dim, demand.heads * demand.sequence**2
    element = unit.row_bits / 8
    moved = (loaded_matrices(unit, demand) + 1) * demand.heads * demand.matrix_bytes
    tiles = demand.heads * ceil_div(n, unit.predict_rows) * ceil_div(n, unit.predict_columns)
    low = tiles * (unit.predict_rows + unit.predict_columns) * d * unit.predict_bits / 8
    times = predictions(unit, demand)
    # Exponentials and mask bits are written once and read once.
    waiting = 2 * EXPONENTIAL_BYTES * pairs if times == 1 else 0
    mask = 2 * pairs / 8
    streamed = int(demand.passes.sum()) * 2 * unit.ports * d * element
    queries = demand.sub_rows * d * element
    # A sub-row's share of an output is added to what the passes before left.
    sums = 2 * SUM_BYTES * demand.sub_rows * d
    return round(moved + times * low + waiting + mask + streamed + queries + sums)


def tally(unit: SangerUnit, demand: Demand) -> Tally:
    """Products, actions and bytes of a layer."""
    pairs, times = demand.heads * demand.sequence**2, predictions(unit, demand)
    kept = demand.kept_pairs * demand.head_dim
    products = {"predict": times * pairs * demand.head_dim, "score": kept, "value": kept}
    in_bits = {
        "predict": products["predict"] * unit.predict_bits**2,
        "score": kept * unit.row_bits**2,
        "value": kept * (EXPONENTIAL_FRACTION_BITS + 1) * unit.row_bits,
    }
    if unit.normalise != "none":
        products["rescale"] = 2 * times * pairs
        in_bits["rescale"] = products["rescale"] * RESCALE_BITS
    actions = {
        "bit_product": sum(in_bits.values()),
        "softmax_element": times * pairs + demand.kept_pairs,
        "mask_element": pairs,
    }
    return Tally(products, in_bits, actions, buffer_bytes=buffer_bytes(unit, demand))


def simulate_stages(unit: SangerUnit, demand: Demand) -> AttentionRun:
    """Play the heads through the stages."""
    cycles, matrix = stage_cycles(unit, demand), demand.matrix_bytes
    # A head begins with all three; what is not resident comes again while it is under way.
    load, again = 3 * matrix, (loaded_matrices(unit, demand) - 3) * matrix
    jobs = [Job(head, load, cycles[head], fetch_bytes=again, write_bytes=matrix) for head in range(demand.heads)]
    return run_pipeline(unit, STAGES, jobs, tally(unit, demand), prefetch=prefetches(unit, demand))


def closed_form_cycles(unit: SangerUnit, demand: Demand) -> float:
    """Cycles of a layer whose groups are all like the mean one: fill, then the busiest stage; or the DRAM's time.

    Heads whose operands cannot be loaded ahead pay for load, fill and output one after the other.
    """
    mean = stage_cycles(unit, demand).mean(axis=(0, 1))
    per_second = unit.clock / unit.dram_bandwidth
    matrix, groups = demand.matrix_bytes * per_second, demand.passes.shape[1]
    alone = 3 * matrix + unit.dram_latency * unit.clock
    fill = float(mean.sum() - mean.max())
    end = matrix + unit.dram_latency * unit.clock
    if prefetches(unit, demand):
        return float(max(alone + fill + demand.heads * groups * mean.max(), demand.heads * 4 * matrix) + end)
    busy = max(groups * float(mean.max()), (loaded_matrices(unit, demand) - 3) * matrix)
    return float(demand.heads * (alone + fill + busy) + end)


def throughput_cycles(unit: SangerUnit, demand: Demand) -> float:
    """The public scripts' arithmetic on this layer's density and load balance."""
    return sanger_throughput_cycles(
        demand.density,
        demand.load_balance,
        demand.sequence,
        unit.throughput_version,
        hidden=demand.heads * demand.head_dim,
        projections=unit.projections,
        rows=unit.pe_rows,
        row_pes=unit.row_pes,
        ports=unit.ports,
        skew=unit.skew_cycles,
        clock_hz=unit.clock,
        bandwidth=unit.dram_bandwidth,
    )


def _with_projections(counted: Tally, unit: SangerUnit, demand: Demand) -> tuple[Tally, int]:
    """The tally with the four projections, all of whose products are taken, and the bytes that they ask of DRAM."""
    hidden = demand.heads * demand.head_dim
    macs = 4 * demand.sequence * hidden**2
    bits = macs * unit.row_bits**2
    actions = counted.actions | {"bit_product": counted.actions["bit_product"] + bits}
    with_them = replace(
        counted,
        products=counted.products | {"projection": macs},
        bit_products=counted.bit_products | {"projection": bits},
        actions=actions,
    )
    # Inputs and outputs of the layer, and four matrices of weights.
    return with_them, 2 * demand.heads * demand.matrix_bytes + 4 * hidden * ceil_div(hidden * unit.row_bits, 8)


def simulate_throughput(unit: SangerUnit, demand: Demand) -> AttentionRun:
    """A run that lasts as long as the scripts say: one stage, heads one after another, memory ideal.

    Bytes of DRAM are counted for their energy and take no time.
    """
    counted, dram = tally(unit, demand), 4 * demand.heads * demand.matrix_bytes
    if unit.projections:
        counted, dram = _with_projections(counted, unit, demand)
    # Rounded where heads meet, so that the whole is rounded once.
    edges = np.rint(throughput_cycles(unit, demand) * np.arange(demand.heads + 1) / demand.heads).astype(np.int64)
    jobs = [Job(head, 0, np.diff(edges)[head].reshape(1, 1)) for head in range(demand.heads)]
    run = run_pipeline(unit, ("array",), jobs, counted)
    return replace(run, dram_bytes=dram, actions=run.actions | {"dram_byte": dram})
