"""The table of a run's kernels, transfers and attentions: when each ran, what it did, and where its time went."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from accelsim.config.hardware import Gpu
from accelsim.config.scheme import RunConfig
from accelsim.execution import Execution
from accelsim.kernels.sectors import SECTOR_BYTES
from accelsim.machine.gemm.program import TICKS_PER_CYCLE, Cause
from accelsim.machine.simulate import PS_PER_US, KernelRun, NetworkRun, sm_time_ps
from accelsim.mapping.fused_attention import FusedAttentionPlan
from accelsim.mapping.network import NetworkPlan
from accelsim.mapping.plan import GemmPlan
from accelsim.model.graph import Attention, Operation
from accelsim.tabulate.intervals import RunIntervals

_KEPT = 0.5
"""Share of weights that sparse tensor cores multiply."""

_COLUMNS = (
    *("name", "device", "part", "begin_us", "end_us", "duration_us", "low_us", "high_us"),
    *("cycles", "unit", "tile", "split_k", "thread_blocks", "launches", "macs"),
    *("l2_read_bytes", "dram_read_bytes", "dram_write_bytes", "index_bytes", "bank_conflict_ways"),
    *("operation", "executed_macs", "asked_bytes", "fetched_bytes", "peak_compute_us", "peak_dram_us"),
)


def kernel_table(
    config: RunConfig, plan: NetworkPlan, execution: Execution, run: NetworkRun, intervals: RunIntervals
) -> pd.DataFrame:
    """A row for each kernel, transfer and attention on the unit, in order of begin.

    ``time_CAUSE_ps`` are whole picoseconds of a row's time by cause, summed over the copies of its device (SMs, cores);
    together they are the duration times the copies. A transfer has none. ``executed_macs`` holds the padding of tiles
    too; ``asked_bytes`` are the elements of operands that thread blocks load, ``fetched_bytes`` the sectors that hold
    these and the indices that say where they lie. ``peak_compute_us`` is what ``macs`` take at the peak of the unit,
    ``peak_dram_us`` what the traffic takes at the datasheet's bandwidth of DRAM.
    """
    by_name = {kernel.name: kernel for kernel in run.kernels}
    accounts = {unit.operation: unit.run.account_ps for unit in run.units}
    attentions = {planned.operation.name: planned.operation for planned in plan.operations}
    owners = _owners(plan)
    rows = []
    for span in run.spans:
        kernel = by_name.get(span.name)
        part = kernel.part if kernel is not None else "transfer" if span.unit == "link" else "attention"
        row: dict[str, object] = {
            "name": span.name,
            "device": span.unit,
            "part": part,
            "begin_us": span.begin_ps / PS_PER_US,
            "end_us": span.end_ps / PS_PER_US,
            "duration_us": (span.end_ps - span.begin_ps) / PS_PER_US,
            "low_us": _number(intervals.parts[span.name].low),
            "high_us": _number(intervals.parts[span.name].high),
            "operation": kernel.operation if kernel is not None else owners.get(span.name, span.name),
        }
        times: dict[str, int] = {}
        if kernel is not None:
            row |= _work(kernel)
            row |= _peaks(row, config.hardware.gpu, config.workload.dtype)
            times = kernel_time_ps(kernel, config.hardware.gpu.sm_count)
        elif span.name in accounts:
            row["macs"] = unit_macs(attentions[span.name], execution)
            times = accounts[span.name]
        rows.append(row | {f"time_{cause}_ps": ps for cause, ps in times.items()})
    return _frame(rows).sort_values(["begin_us", "end_us"], kind="stable")


def kernel_time_ps(kernel: KernelRun, sm_count: int) -> dict[str, int]:
    """Time of all SMs by cause in whole picoseconds; adds up to `sm_count` times the kernel's duration."""
    times = sm_time_ps(kernel.run, kernel.free_ps, sm_count)
    causes = {cause.name.lower(): int(ps) for cause, ps in zip(Cause, times, strict=True)}
    return causes | {"power_limit": sm_count * kernel.throttled_ps}


def _peaks(row: Mapping[str, Any], gpu: Gpu, dtype: str) -> dict[str, object]:
    """Times of a kernel at the machine's peaks. Rates of sparse tensor cores count pruned weights too, half of all."""
    unit = row.get("unit")
    rate = (gpu.cuda_core if unit == "cuda_core" else gpu.tensor_core).get(dtype, 0.0)  # type: ignore[call-overload]
    if unit == "sparse_tensor_core":
        rate *= gpu.sparse_tensor_core.get(dtype, 0.0) * _KEPT  # type: ignore[call-overload]
    traffic = row["dram_read_bytes"] + row["dram_write_bytes"]
    dram_us = PS_PER_US * traffic / gpu.dram.bandwidth
    if "macs" not in row:
        return {"peak_compute_us": 0.0, "peak_dram_us": dram_us}
    peak = rate * gpu.sm_count * gpu.clock
    return {"peak_compute_us": PS_PER_US * row["macs"] / peak if peak else None, "peak_dram_us": dram_us}


def unit_macs(operation: Operation, execution: Execution) -> int:
    """Multiply-accumulates of an attention on the attention unit: scores of kept blocks, and what is weighed of V."""
    heads = execution.heads.get(operation.name)
    if heads is None or not isinstance(operation, Attention):
        return 0
    return int(heads.counts.kept_elements.sum()) * operation.head_dim + int(heads.counts.value_products.sum())


def _owners(plan: NetworkPlan) -> dict[str, str]:
    """Attention that each transfer over the link is for."""
    owners = {}
    for planned in plan.operations:
        operation = planned.operation
        if isinstance(operation, Attention):
            owners[f"{operation.name}.return"] = operation.name
            tensors = (operation.query, operation.key, operation.value)
            owners |= {f"{tensor}.send": operation.name for tensor in tensors}
    return owners


def _frame(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Rows as a table; times that a row has not are zero, so that they stay whole numbers."""
    times = list(dict.fromkeys(key for row in rows for key in row if key.startswith("time_")))
    filled = [dict.fromkeys(times, 0) | row for row in rows]
    return pd.DataFrame(filled).reindex(columns=[*_COLUMNS, *times])


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _work(kernel: KernelRun) -> dict[str, object]:
    run = kernel.run
    columns: dict[str, object] = {
        "cycles": run.end / TICKS_PER_CYCLE,
        "thread_blocks": len(run.block_end),
        "launches": len(run.launch_end),
        "l2_read_bytes": run.l2_read_bytes,
        "dram_read_bytes": run.dram_read_bytes,
        "dram_write_bytes": run.dram_write_bytes,
    }
    if isinstance(kernel.kernel, GemmPlan) and kernel.counts is not None:
        tile, counts = kernel.kernel.tile, kernel.counts
        columns |= {
            "unit": tile.unit,
            "tile": f"{tile.tile_m}x{tile.tile_n}x{tile.tile_k}/{tile.stages}",
            "split_k": kernel.kernel.split_k,
            "macs": int(counts.macs.sum()),
            "index_bytes": int(counts.index_bytes.sum()),
            "bank_conflict_ways": int(
                max(counts.conflict_ways_a.max(initial=1), counts.conflict_ways_b.max(initial=1))
            ),
            "executed_macs": int(np.dot(counts.steps, counts.step_macs)),
            "asked_bytes": int(counts.load_a_bytes.sum() + counts.load_b_bytes.sum()),
            "fetched_bytes": SECTOR_BYTES * int(counts.load_a_sectors.sum() + counts.load_b_sectors.sum())
            + int(counts.index_bytes.sum()),
        }
    elif isinstance(kernel.kernel, FusedAttentionPlan):
        plan, tile_of = kernel.kernel, kernel.kernel.kernel
        columns |= {
            "unit": "tensor_core",
            "tile": f"{tile_of.tile_q}x{tile_of.tile_k}x{tile_of.head_dim}",
            "macs": plan.useful_macs,
            "executed_macs": plan.macs,
        }
    return columns
