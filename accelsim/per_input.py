"""Some inputs of a run, by what was pruned for them, and each on its own: its latency and energy at a batch of one.

A GPU's kernels take the same time for every input; an attention unit with dynamic pruning does not, so that latency has
a distribution. Decisions are those of the run, in which inputs do not touch each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from accelsim.costing import Costing
from accelsim.execution import Execution, HeadMasks, execute, parameters_of
from accelsim.guard import Guarded
from accelsim.machine.simulate import PS_PER_US, NetworkRun, play, unit_run
from accelsim.mapping.network import NetworkPlan, plan_network
from accelsim.model.graph import Attention, Network
from accelsim.model.operands import OperandSet
from accelsim.model.subset import take_items
from accelsim.tabulate import pruned_ratios

PERCENTILES = (50, 95)


@dataclass(frozen=True)
class SomeInputs:
    """A network on so many of its inputs, and its kernels on the GPU, which take the same time for all of them."""

    costing: Costing
    plan: NetworkPlan
    counted: Execution
    whole: NetworkRun
    """As it is when nothing depends on the inputs."""

    @classmethod
    def of(cls, costing: Costing, network: Network, operands: OperandSet | None, size: int) -> "SomeInputs":
        """Plan, count and simulate the first inputs of a network.

        Parameters
        ----------
        costing : Costing
        network : Network
            Of all inputs.
        operands : OperandSet or None
            Of the same, for their parameters.
        size : int
            Inputs that run at once.

        Raises
        ------
        MappingError
            When the network has no inputs that are treated alike.
        """
        config = costing.config.model_copy(update={"masks": None})  # they are of all inputs
        cut = take_items(network, range(size))
        plan = plan_network(cut, costing.config, costing.library, parameters_of(operands), costing.sparse_library)
        counted = execute(plan, config, None)
        return cls(costing, plan, counted, costing.simulate(plan, counted))

    def run(self, heads: dict[str, HeadMasks] | None = None) -> NetworkRun:
        """The run of inputs whose heads keep these masks (`heads_of`), where they are given."""
        if heads is None:
            return self.whole
        execution = replace(self.counted, heads=heads)
        units = [
            unit_run(planned.operation, execution, self.costing.config)
            for planned in self.plan.operations
            if isinstance(planned.operation, Attention) and planned.place == "attention_unit"
        ]
        return play(self.plan, self.whole.kernels, units, self.costing.config.hardware)


def heads_of(
    heads: dict[str, HeadMasks], chosen: Sequence[int] | NDArray[np.int64], items: int
) -> dict[str, HeadMasks]:
    """Masks and counts of some inputs, whose heads lie side by side.

    Parameters
    ----------
    heads : dict
        By attention, of all inputs.
    chosen : sequence of int
        Inputs.
    items : int
        How many there are.
    """
    found = {}
    for name, masks in heads.items():
        each = len(masks.head_kept) // items
        rows = (np.asarray(chosen)[:, None] * each + np.arange(each)).ravel()
        found[name] = _rows_of(masks, rows)
    return found


def _rows_of(value: Any, rows: NDArray[np.int64]) -> Any:
    """Rows of every array in a dataclass, however deep: each has one for every head."""
    taken: dict[str, Any] = {}
    for field in fields(value):
        part = getattr(value, field.name)
        if isinstance(part, np.ndarray):
            taken[field.name] = part[rows]
        elif is_dataclass(part):
            taken[field.name] = _rows_of(part, rows)
    return replace(value, **taken)


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
    items, first = plan.network.items, guarded.first
    one = SomeInputs.of(costing, plan.network, operands, 1)
    again = set(guarded.items.tolist())
    unpruned = {name: replace(masks, dense=True) for name, masks in heads_of(first.heads, [0], items).items()}
    dense = one.run(unpruned) if again else None
    rows, known = [], None
    for item in range(items):
        heads = heads_of(first.heads, [item], items)
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


def _shares(heads: dict[str, HeadMasks]) -> tuple[float, float, int]:
    """Blocks pruned, heads pruned, and heads that the guard keeps."""
    ratios = pruned_ratios(heads)
    guarded = sum(int(masks.guarded.sum()) for masks in heads.values() if masks.guarded is not None)
    found = (ratios["block_ratio"], ratios["head_ratio"])
    blocks, of_heads = (float("nan") if share is None else share for share in found)
    return blocks, of_heads, guarded
