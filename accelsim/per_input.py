"""Each input of a run on its own: its latency and energy at a batch of one, by what was pruned for it.

A GPU's kernels take the same time for every input; an attention unit with dynamic pruning does not, so that latency has
a distribution. Decisions are those of the run, in which inputs do not touch each other.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from accelsim.costing import Costing
from accelsim.execution import Execution, HeadMasks, execute, parameters_of
from accelsim.guard import Guarded
from accelsim.kernels.hdp_counts import HdpCounts
from accelsim.machine.simulate import KernelRun, NetworkRun, play, unit_run
from accelsim.mapping.network import NetworkPlan, plan_network
from accelsim.model.graph import Attention
from accelsim.model.operands import OperandSet
from accelsim.model.subset import take_items

PERCENTILES = (50, 95)
PS_PER_US = 1e6


@dataclass(frozen=True)
class _One:
    """The network on one input, and its kernels on the GPU, which every input shares."""

    costing: Costing
    plan: NetworkPlan
    counted: Execution
    kernels: tuple[KernelRun, ...]

    def run(self, heads: dict[str, HeadMasks]) -> NetworkRun:
        """One input whose heads keep these masks."""
        execution = replace(self.counted, heads=heads)
        units = [
            unit_run(planned.operation, execution, self.costing.config)
            for planned in self.plan.operations
            if isinstance(planned.operation, Attention) and planned.place == "attention_unit"
        ]
        return play(self.plan, self.kernels, units, self.costing.config.hardware)


def time_each_input(costing: Costing, plan: NetworkPlan, operands: OperandSet | None, guarded: Guarded) -> pd.DataFrame:
    """Latency and energy of each input by itself.

    Parameters
    ----------
    costing : Costing
    plan, operands
        Of all inputs, without any second pass.
    guarded : Guarded
        What the first pass did, and which inputs go through the network again; those pay for both passes.

    Returns
    -------
    pandas.DataFrame
        A row for each input: item, latency_us, energy_uj, block_ratio and head_ratio (NaN without attention on the
        unit), guarded_heads (a count) and second_pass.

    Raises
    ------
    MappingError
        When the workload is no network of inputs that are treated alike.
    """
    config, items, first = costing.config, plan.network.items, guarded.first
    network = take_items(plan.network, [0])
    alone = plan_network(network, config, costing.library, parameters_of(operands), costing.sparse_library)
    counted = execute(alone, config.model_copy(update={"masks": None}), None)
    one = _One(costing, alone, counted, costing.simulate(alone, counted).kernels)
    again = set(guarded.items.tolist())
    unpruned = {name: replace(_of_item(masks, 0, items), dense=True) for name, masks in first.heads.items()}
    dense = one.run(unpruned) if again else None
    rows, known = [], None
    for item in range(items):
        heads = {name: _of_item(masks, item, items) for name, masks in first.heads.items()}
        if known is None or heads:
            run = one.run(heads)
            known = run.latency_ps, costing.total_uj(run)
        ps, microjoule = known
        if item in again and dense is not None:
            ps, microjoule = ps + dense.latency_ps, microjoule + costing.total_uj(dense)
        rows.append((item, ps / PS_PER_US, microjoule, *_shares(heads), item in again))
    columns = ["item", "latency_us", "energy_uj", "block_ratio", "head_ratio", "guarded_heads", "second_pass"]
    return pd.DataFrame(rows, columns=columns)


def latency_summary(table: pd.DataFrame | None) -> dict[str, object]:
    """Percentiles of latency over inputs, by the keys of a result's summary; None without a table.

    A percentile is the least latency that so many percent of the inputs do not exceed.
    """
    if table is None:
        return {f"latency_p{percent}_us": None for percent in PERCENTILES}
    latencies = table["latency_us"].to_numpy(dtype=float)
    return {
        f"latency_p{percent}_us": float(np.percentile(latencies, percent, method="inverted_cdf"))
        for percent in PERCENTILES
    }


def _cut(array: NDArray[Any], item: int, items: int) -> NDArray[Any]:
    each = len(array) // items
    return array[item * each : (item + 1) * each]


def _of_item(masks: HeadMasks, item: int, items: int) -> HeadMasks:
    """Masks and counts of one input's heads, which lie side by side."""
    counts = HdpCounts(**{f.name: _cut(getattr(masks.counts, f.name), item, items) for f in fields(HdpCounts)})
    kept, alive = _cut(masks.block_kept, item, items), _cut(masks.head_kept, item, items)
    lengths = None if masks.real_length is None else _cut(masks.real_length, item, items)
    guarded = None if masks.guarded is None else _cut(masks.guarded, item, items)
    return HeadMasks(kept, alive, counts, lengths, guarded, dense=masks.dense)


def _shares(heads: dict[str, HeadMasks]) -> tuple[float, float, int]:
    """Blocks pruned, heads pruned, and heads that the guard keeps."""
    if not heads:
        return float("nan"), float("nan"), 0
    blocks = sum(_blocks(masks) for masks in heads.values())
    kept = sum(int(masks.counts.kept_blocks.sum()) for masks in heads.values())
    alive = np.concatenate([masks.head_kept for masks in heads.values()])
    guarded = sum(int(masks.guarded.sum()) for masks in heads.values() if masks.guarded is not None)
    return 1 - kept / blocks, 1 - float(alive.mean()), guarded


def _blocks(masks: HeadMasks) -> int:
    """Blocks that touch real tokens."""
    if masks.real_length is None:
        return masks.block_kept.size
    return int((((masks.real_length + 1) // 2) ** 2).sum())
