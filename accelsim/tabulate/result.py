"""From what the steps leave to a `Result`: summary and tables, each number from the run."""

from collections.abc import Mapping
from importlib.metadata import version

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from accelsim.config.imagined import imagined_unit
from accelsim.config.record import config_hash, to_document
from accelsim.config.scheme import RunConfig
from accelsim.energy.account import EnergyItem
from accelsim.execution import Execution, HeadMasks
from accelsim.machine.gemm.program import TICKS_PER_CYCLE, Cause
from accelsim.machine.simulate import PS_PER_US, NetworkRun, ps_to_cycles
from accelsim.machine.system import idle_ps
from accelsim.mapping.fused_attention import FusedAttentionPlan
from accelsim.mapping.masks import prunes_weights
from accelsim.mapping.network import NetworkPlan
from accelsim.mapping.plan import GemmPlan
from accelsim.model.graph import Attention, Gemm
from accelsim.model.operands import OperandSet
from accelsim.model.reference import dense_results
from accelsim.pruning.patterns import tile_part
from accelsim.pruning.recorded import TILES_SUFFIX
from accelsim.results import Result
from accelsim.results.metrics import accuracy, quality
from accelsim.tabulate.intervals import run_intervals
from accelsim.tabulate.kernels import kernel_table, kernel_time_ps, unit_macs
from accelsim.tabulate.tiles import tile_table

PRODUCTS = ("integer", "cross", "fraction", "score", "value")
"""Kinds of products that the attention unit counts apart; `score` are whole ones, of dense attention."""


def tabulate(
    config: RunConfig,
    plan: NetworkPlan,
    operands: OperandSet | None,
    execution: Execution,
    run: NetworkRun,
    energy: list[EnergyItem],
) -> Result:
    """Result of a run from the values of its steps."""
    intervals = run_intervals(config, run)
    return Result(
        summary=summarise(config, plan, operands, execution, run, energy, output_error(plan, operands, execution))
        | intervals.summary(),
        kernels=kernel_table(config, plan, execution, run, intervals),
        units=_units(config, run),
        account=_account(config, run),
        energy=pd.DataFrame(
            [(e.component, e.action, float(e.count), e.energy_uj, e.source) for e in energy],
            columns=["component", "action", "count", "energy_uj", "source"],
        ),
        output=execution.output,
        tiles=tile_table(run, config.hardware.gpu),
        masks=_masks(plan, execution),
        provenance={
            "accelsim": version("accelsim"),
            "config": to_document(config),
            "config_hash": config_hash(config),
            "seed": config.seed,
        },
    )


def _masks(plan: NetworkPlan, execution: Execution) -> dict[str, NDArray[np.bool_]]:
    weights = {name: mask.to_dense() for name, mask in plan.masks.items()}
    tiles = {f"{name}{TILES_SUFFIX}": tile_part(mask) for name, mask in plan.masks.items()}
    weights |= {name: mask for name, mask in tiles.items() if mask is not None}
    return weights | {f"{name}.blocks": heads.block_kept for name, heads in execution.heads.items()}


def max_rel_error(output: NDArray[np.generic], reference: NDArray[np.float64]) -> float:
    """Largest error over the largest magnitude of the reference; over 1 where the reference is all zero."""
    largest = float(np.abs(reference).max(initial=0.0))
    return float(np.abs(output.astype(np.float64) - reference).max(initial=0.0)) / (largest or 1.0)


def _products(run: NetworkRun) -> dict[str, int | float | None]:
    """Products on the attention unit: plain counts, and as bit products over 256 (what a 16 x 16 multiplier does)."""
    if not run.units:
        return {f"{name}_{kind}": None for kind in ("products", "bit_macs") for name in PRODUCTS}
    found: dict[str, int | float | None] = {}
    for name in PRODUCTS:
        found[f"{name}_products"] = sum(unit.run.products[name] for unit in run.units)
        found[f"{name}_bit_macs"] = sum(unit.run.bit_products[name] for unit in run.units) / 256
    return found


def work_done(plan: NetworkPlan, execution: Execution) -> tuple[int, int]:
    """Dense MACs whose result is used: of GEMMs, and of attention (scores of kept blocks and what is weighed of V)."""
    gemms = attention = 0
    for planned in plan.operations:
        done = sum(int(counts.macs.sum()) for counts in execution.counts[planned.operation.name] if counts is not None)
        if isinstance(planned.operation, Gemm):
            gemms += done
        elif isinstance(planned.operation, Attention):
            attention += done + sum(one.useful_macs for one in planned.kernels if isinstance(one, FusedAttentionPlan))
            attention += unit_macs(planned.operation, execution)
    return gemms, attention


def _judged(config: RunConfig, execution: Execution, operands: OperandSet | None) -> dict[str, object]:
    """Accuracy where there are labels, and the metric that the workload is judged by; None without either."""
    if operands is None or execution.output is None:
        return {"accuracy": None, "metric_name": None, "metric": None}
    asked = getattr(config.workload, "metric", None)
    name, value = quality(execution.output, operands.labels, operands.scores, asked, operands.pairs)
    share = None
    if operands.labels is not None:
        share = accuracy(execution.output.argmax(axis=1), operands.labels)
    return {"accuracy": share, "metric_name": name, "metric": value}


def _imbalance(run: NetworkRun) -> float | None:
    """Share of the SMs' time in products that they wait for thread blocks of more k-steps; None without products."""
    waiting = whole = 0
    for kernel in run.kernels:
        if isinstance(kernel.kernel, GemmPlan):
            waiting += int(kernel.run.sm_time[:, Cause.IMBALANCE].sum())
            whole += int(kernel.run.sm_time.sum())
    return 100 * waiting / whole if whole else None


def pruned_ratios(masks: Mapping[str, HeadMasks]) -> dict[str, float | None]:
    """Shares of blocks and of heads that attention on the unit pruned; blocks of pruned heads count as pruned.

    ``block_ratio`` is of blocks that touch real tokens, ``padded_block_ratio`` of all, where there is padding.
    """
    if not masks:
        return {"block_ratio": None, "padded_block_ratio": None, "head_ratio": None}
    blocks = padding = kept = 0
    for heads in masks.values():
        blocks += heads.block_kept.size
        kept += int(heads.counts.kept_blocks.sum())
        if heads.real_length is not None:
            padding += heads.block_kept.size - int((((heads.real_length + 1) // 2) ** 2).sum())
    alive = np.concatenate([heads.head_kept for heads in masks.values()])
    return {
        "block_ratio": 1 - kept / (blocks - padding),
        "padded_block_ratio": 1 - kept / blocks if padding else None,
        "head_ratio": 1 - float(alive.mean()),
    }


def output_error(plan: NetworkPlan, operands: OperandSet | None, execution: Execution) -> float | None:
    """Largest `max_rel_error` of a network's results against float64; None without values."""
    if operands is None or execution.output is None:
        return None
    network = plan.network
    wanted = dense_results(network, operands)
    return max(max_rel_error(found, wanted[name]) for name, found in execution.results.items())


def summarise(
    config: RunConfig,
    plan: NetworkPlan,
    operands: OperandSet | None,
    execution: Execution,
    run: NetworkRun,
    energy: list[EnergyItem],
    error: float | None,
) -> dict[str, object]:
    """Summary of a run but for its interval, from the values of its steps and the `output_error`."""
    network, hardware = plan.network, config.hardware
    gemms, attention = work_done(plan, execution)
    products = _products(run)
    bits = [products[f"{name}_bit_macs"] for name in PRODUCTS]
    areas = [part.area for part in (hardware.gpu, hardware.attention_unit) if part is not None]
    latency_us = run.latency_ps / PS_PER_US
    return {
        "scheme": config.scheme,
        "hardware": hardware.name,
        "workload": network.name,
        "engine": config.engine,
        "cycles": ps_to_cycles(run.latency_ps, hardware.gpu),
        "latency_us": latency_us,
        "energy_uj": sum(item.energy_uj for item in energy),
        "macs": network.macs,
        "effectual_macs": gemms + attention,
        "skipped_macs": network.macs - gemms - attention,
        "attention_macs": sum(op.macs for op in network.operations if isinstance(op, Attention)),
        "max_rel_error": error,
        "attention_latency_us": None if run.attention_ps is None else run.attention_ps / PS_PER_US,
        **_judged(config, execution, operands),
        "items": network.items,
        "items_per_s": network.items / (run.latency_ps * 1e-12) if run.latency_ps else None,
        "bit_macs": gemms + (attention if not execution.heads else sum(part or 0 for part in bits)),
        **products,
        **pruned_ratios(execution.heads),
        "saturated_operands": execution.saturated if execution.heads else None,
        "weight_sparsity": plan.weight_sparsity,
        "imagined": imagined_unit(config),
        "imbalance_percent": _imbalance(run),
        "seed": config.seed,
        "values": config.values,
        "operands": _operands_text(config, operands),
        "area_mm2": None if any(area is None for area in areas) else sum(areas),  # type: ignore[arg-type]
        "dram_bytes": sum(k.run.dram_read_bytes + k.run.dram_write_bytes for k in run.kernels)
        + sum(unit.run.dram_bytes + unit.link_bytes for unit in run.units),
        "launches": sum(len(kernel.run.launch_end) for kernel in run.kernels),
    }


def _operands_text(config: RunConfig, operands: OperandSet | None) -> str:
    if operands is not None:
        return operands.description
    if prunes_weights(config.scheme) or config.scheme.endswith("hdp"):
        masks = "recorded masks" if config.masks is not None else f"synthetic masks of seed {config.seed}"
        return f"none: time from shapes and {masks}"
    return "none: time from shapes alone"


def _units(config: RunConfig, run: NetworkRun) -> pd.DataFrame:
    """Busy time of each unit. A power limit slows the SMs and L2, which share a clock, and not DRAM."""
    gpu, latency = config.hardware.gpu, run.latency_ps
    to_ps = 1e12 / (gpu.clock * TICKS_PER_CYCLE)
    compute = l2 = dram = 0.0
    for kernel in run.kernels:
        compute += kernel.stretch * to_ps * int(kernel.run.sm_time[:, Cause.COMPUTE].sum()) / gpu.sm_count
        l2 += kernel.stretch * to_ps * kernel.run.l2_busy
        dram += to_ps * float(kernel.run.channel_busy.mean())
    rows = [("sm_multipliers", "gpu", compute), ("l2", "gpu", l2), ("dram", "gpu", dram)]
    if config.hardware.attention_unit is not None:
        rows.append(("link", "link", float(latency - idle_ps(run.spans, "link", latency))))
        busy: dict[str, float] = {}
        for unit in run.units:
            for name, ps in unit.run.busy_ps.items():
                busy[name] = busy.get(name, 0.0) + ps
        rows += [(name, "attention_unit", ps) for name, ps in busy.items()]
    return pd.DataFrame(
        [(n, d, ps / PS_PER_US, 100 * ps / latency if latency else 0.0) for n, d, ps in rows],
        columns=["unit", "device", "busy_us", "utilisation_percent"],
    )


def _account(config: RunConfig, run: NetworkRun) -> pd.DataFrame:
    """Whole picoseconds by cause, summed over the copies of a device (SMs, cores); they add up to copies x latency."""
    gpu, latency = config.hardware.gpu, run.latency_ps
    causes: dict[tuple[str, str], int] = {("gpu", cause.name.lower()): 0 for cause in Cause}
    causes["gpu", "power_limit"] = 0
    for kernel in run.kernels:
        for cause, ps in kernel_time_ps(kernel, gpu.sm_count).items():
            causes["gpu", cause] += ps
    causes["gpu", "other_unit"] = gpu.sm_count * idle_ps(run.spans, "gpu", latency)
    copies = {"gpu": gpu.sm_count}
    if (unit := config.hardware.attention_unit) is not None:
        copies["attention_unit"] = unit.cores
        for part in run.units:
            for name, ps in part.run.account_ps.items():
                key = ("attention_unit", name)
                causes[key] = causes.get(key, 0) + ps
        waiting = unit.cores * idle_ps(run.spans, "attention_unit", latency)
        causes["attention_unit", "other_unit"] = waiting
    rows = []
    for (device, name), ps in causes.items():
        share = 100 * ps / (copies[device] * latency) if latency else 0.0
        mean_ps = ps / copies[device]
        cycles = mean_ps * (gpu.clock if device == "gpu" else unit.clock if unit else 0.0) * 1e-12
        rows.append((device, name, ps, mean_ps / PS_PER_US, cycles, share))
    columns = ["device", "cause", "time_total_ps", "time_us", "cycles", "share_percent"]
    return pd.DataFrame(rows, columns=columns)
