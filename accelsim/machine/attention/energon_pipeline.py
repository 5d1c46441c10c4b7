"""What filtered attention costs a unit of Energon's form, and its way through the unit's pipeline.

A core filters the queries of a tile, asks for the rows of K and V that any of them keeps, and attends while it filters
the next tile. Queries pass four stages one by one: filter, score, softmax, value.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.kernels.energon import OPERAND_BITS
from accelsim.machine.attention.energon_unit import EnergonUnit
from accelsim.machine.attention.pe_array import ceil_div
from accelsim.machine.attention.pipeline import Job, Tally, run_pipeline
from accelsim.machine.attention.run import AttentionRun

IntArray = NDArray[np.int64]

STAGES = ("filter", "score", "softmax", "value")
OPERAND_BYTES = OPERAND_BITS // 8
"""Of a number of Q, K, V and the output."""
SCORE_BYTES = 2
"""Of a score or a probability in the buffer."""


@dataclass(frozen=True)
class Costs:
    """Costs of one layer."""

    cycles: IntArray
    """[heads, n, stages]"""
    tile: int
    load_bytes: IntArray
    """[heads, tiles] Q, and bits of K for filtering."""
    fetch_bytes: IntArray
    """[heads, tiles] rows of K and V."""
    write_bytes: IntArray
    """[heads, tiles]"""
    tally: Tally

    @property
    def dram_bytes(self) -> int:
        """Bytes to and from DRAM."""
        return int(self.load_bytes.sum() + self.fetch_bytes.sum() + self.write_bytes.sum())


def stage_cycles(unit: EnergonUnit, survivors: IntArray, head_dim: int) -> IntArray:
    """Cycles of each query in each stage, [heads, n, stages].

    A round of filtering streams its scores into the selector, so it lasts as long as the slower of the two:
    ``max(ceil(c / keys) ceil(d / lanes) ceil(bits / width), ceil(c / selector))`` for c candidates. Scores and P x V
    of k survivors take ``ceil(k / keys) ceil(d / lanes)`` each.

    Parameters
    ----------
    survivors : int64 [heads, n, rounds]
    """
    candidates = _candidates(survivors)
    steps = ceil_div(head_dim, unit.filter_lanes)
    fresh = np.array([ceil_div(bits, unit.filter_key_bits) for bits in unit.fresh_key_bits])
    products = -(-candidates // unit.filter_keys) * steps * fresh
    selection = -(-candidates // unit.selector_scores_per_cycle)
    kept = survivors[:, :, -1]
    attended = -(-kept // unit.attention_keys) * ceil_div(head_dim, unit.attention_lanes)
    softmax = -(-kept // unit.softmax_elements_per_cycle)
    return np.stack([np.maximum(products, selection).sum(axis=2), attended, softmax, attended], axis=2)


def _candidates(survivors: IntArray) -> IntArray:
    """Keys that each round scores: all, and then what the round before leaves."""
    candidates = np.empty_like(survivors)
    candidates[:, :, 0] = survivors.shape[1]
    candidates[:, :, 1:] = survivors[:, :, :-1]
    return candidates


def code_bytes(unit: EnergonUnit, sequence: int, head_dim: int) -> int:
    """Bytes of the bits of a head's K that filtering reads."""
    return sequence * ceil_div(head_dim * unit.rounds[-1].key_bits, 8)


def holds_codes(unit: EnergonUnit, sequence: int, head_dim: int) -> bool:
    """Whether bits of K stay for all tiles of a head, with room for the next head's."""
    return 2 * code_bytes(unit, sequence, head_dim) <= unit.filter_buffer


def holds_rows(unit: EnergonUnit, sequence: int, head_dim: int) -> bool:
    """Whether fetched rows of K and V stay for all tiles of a head, with room for the next head's."""
    return 2 * 2 * OPERAND_BYTES * sequence * head_dim <= unit.key_value_buffer


def energon_costs(
    unit: EnergonUnit, survivors: IntArray, head_dim: int, tile: int, needed_keys: IntArray, new_keys: IntArray
) -> Costs:
    """Costs of a layer from what its filter left.

    K's bits for filtering come with a head's first tile when two heads' fit `filter_buffer`, else with every tile.
    Likewise fetched rows of K and V stay for the head's later tiles when twice all of them fit `key_value_buffer`;
    else every tile fetches its own, which pass in as many parts as the buffer needs, K for all queries before V.

    Parameters
    ----------
    survivors : int64 [heads, n, rounds]
    tile : int
        Queries of a tile.
    needed_keys, new_keys : int64 [heads, tiles]
        Keys that a tile needs, and those that no earlier one needed.
    """
    n, tiles = survivors.shape[1], needed_keys.shape[1]
    row = OPERAND_BYTES * head_dim
    codes = code_bytes(unit, n, head_dim)
    queries = np.full((len(survivors), tiles), tile, dtype=np.int64)
    queries[:, -1] = n - tile * (tiles - 1)
    load = queries * row
    if holds_codes(unit, n, head_dim):
        load[:, 0] += codes
    else:
        load += codes
    fetch = 2 * row * (new_keys if holds_rows(unit, n, head_dim) else needed_keys)
    moved = int(load.sum() + fetch.sum())
    return Costs(
        cycles=stage_cycles(unit, survivors, head_dim),
        tile=tile,
        load_bytes=load,
        fetch_bytes=fetch,
        write_bytes=queries * row,
        tally=_tally(unit, survivors, head_dim, moved),
    )


def _tally(unit: EnergonUnit, survivors: IntArray, head_dim: int, moved: int) -> Tally:
    """Products, actions and bytes at the buffers; `moved` bytes come from DRAM."""
    heads, n, rounds = survivors.shape
    fresh = unit.fresh_key_bits
    candidates = [int(count) for count in _candidates(survivors).sum(axis=(0, 1))]
    kept = int(survivors[:, :, -1].sum())
    taken = [count * ceil_div(bits, unit.filter_key_bits) for count, bits in zip(candidates, fresh, strict=True)]
    products = {"filter": head_dim * sum(taken), "score": kept * head_dim, "value": kept * head_dim}
    widths = [query_bits for query_bits, _ in unit.widths]
    bits = {
        "filter": head_dim * sum(c * q * k for c, q, k in zip(candidates, widths, fresh, strict=True)),
        "score": OPERAND_BITS**2 * kept * head_dim,
        "value": OPERAND_BITS**2 * kept * head_dim,
    }
    # Filtering reads Q and its bits of K, writes each score and reads it to select, and once more to add to it.
    reused = sum(candidates[turn] for turn in range(1, rounds) if widths[turn] == widths[turn - 1])
    filtered = sum(c * ceil_div(head_dim * k, 8) for c, k in zip(candidates, fresh, strict=True))
    filtered += OPERAND_BYTES * heads * n * head_dim + SCORE_BYTES * (2 * sum(candidates) + reused)
    # Attention reads Q, a row of K and of V for each survivor, and writes and reads scores and probabilities.
    attended = OPERAND_BYTES * head_dim * (heads * n + 2 * kept) + SCORE_BYTES * 4 * kept
    output = OPERAND_BYTES * heads * n * head_dim
    actions = {"bit_product": sum(bits.values()), "threshold_score": sum(candidates), "softmax_element": kept}
    return Tally(products, bits, actions, buffer_bytes=moved + filtered + attended + output)


def simulate_energon(unit: EnergonUnit, costs: Costs) -> AttentionRun:
    """Play a layer, tile by tile."""
    heads, tiles = costs.load_bytes.shape
    jobs = [
        Job(
            head,
            int(costs.load_bytes[head, part]),
            costs.cycles[head, part * costs.tile : (part + 1) * costs.tile],
            fetch_bytes=int(costs.fetch_bytes[head, part]),
            fetch_whole=True,
            write_bytes=int(costs.write_bytes[head, part]),
        )
        for head in range(heads)
        for part in range(tiles)
    ]
    return run_pipeline(unit, STAGES, jobs, costs.tally, cores=unit.cores)
