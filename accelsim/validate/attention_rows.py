"""Measured rows of fused attention: which are predicted, and how far off predictions are, by stack and regime."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from accelsim.config.hardware import EnergyTable, Gpu, Library
from accelsim.config.workload import Caches
from accelsim.errors import MappingError
from accelsim.machine.gemm.actions import dynamic_joule
from accelsim.machine.gemm.events import run_events
from accelsim.machine.gemm.fused_attention import (
    AttentionEstimate,
    call_actions,
    estimate_fused_attention,
    fused_attention_program,
    power_limited,
)
from accelsim.machine.gemm.program import TICKS_PER_CYCLE
from accelsim.validate.errors import summarise
from accelsim.validate.notes import Conditions
from accelsim.validate.power import board_watt
from accelsim.validate.rows import MeasuredRow

SHAPE = ("q_heads", "kv_heads", "head_dim", "q_len", "kv_len", "causal")
"""Columns of a validation that tell an attention's shape."""

HALVES = ("calibrated", "held_out")

REGIMES: dict[str, tuple[str, Callable[[pd.DataFrame], Any]]] = {
    "short": ("up to 128 queries", lambda rows: rows["q_len"] <= 128),
    "medium": ("129 to 2048 queries", lambda rows: (rows["q_len"] > 128) & (rows["q_len"] <= 2048)),
    "long": ("more than 2048 queries", lambda rows: rows["q_len"] > 2048),
    "few_thread_blocks": ("thread blocks fill no wave", lambda rows: rows["waves"] < 1),
    "causal": ("causal", lambda rows: rows["causal"] == 1),
    "without_mask": ("without a mask", lambda rows: rows["causal"] == 0),
}
"""Name of each regime of attention, what it means, and which rows are in it (one row may be in several)."""


@dataclass(frozen=True)
class AttentionPrediction:
    """What the closed form says of a row, by the fields of `accelsim.validate.predict.Prediction`."""

    latency_us: float | None
    reason: str = ""
    kernel: str = ""
    waves: float = math.nan
    library: str = ""
    within_l2: bool = False
    power_w: float = math.nan


def predict_attention(
    row: MeasuredRow, gpu: Gpu, library: Library, energy: EnergyTable, events: bool = False
) -> AttentionPrediction:
    """Latency of a measured attention.

    Parameters
    ----------
    row : MeasuredRow
        op context (a prompt: keys and values go through the stack's cache), encoder or attention (no cache).
    gpu, library, energy
        The machine, its menu and energies. Stacks that the library does not know are predicted as its default.
    events : bool
        Whether the fused kernel is simulated; else it is taken in closed form. What fills the cache always is.
    """
    if row.op == "generation":
        return AttentionPrediction(None, "attention of one query a sequence over a cache (generation) is not modelled")
    told, sizes = row.conditions, row.attention
    fused = library.fused_attention
    stack = told.stack if fused is not None and told.stack in fused.stacks else None
    try:
        found = estimate_fused_attention(
            gpu,
            library,
            row.batch,
            sizes["q_heads"],
            sizes["kv_heads"],
            sizes["head_dim"],
            sizes["q_len"],
            sizes["kv_len"],
            bool(sizes["causal"]),
            stack=stack,
            dtype=row.dtype,
            prompt=row.op == "context",
            energy=energy,
        )
    except MappingError as error:
        return AttentionPrediction(None, str(error))
    if events:
        found = _simulated(found, gpu, energy)
    kernel, shape = found.plan.kernel, found.plan.shape
    seconds = found.seconds + launch_difference(told, gpu, found)
    period = found.seconds if told.launch == "kernel" else seconds
    return AttentionPrediction(
        latency_us=1e6 * seconds,
        kernel=f"{found.plan.stack} {kernel.tile_q}x{kernel.tile_k}x{kernel.head_dim}",
        waves=found.thread_blocks / (gpu.sm_count * kernel.resident),
        library=library.name,
        within_l2=2 * shape.query_bytes + shape.key_bytes <= gpu.l2.capacity,
        power_w=board_watt(dynamic_joule(found.actions, energy), period, gpu, energy),
    )


def _simulated(found: AttentionEstimate, gpu: Gpu, energy: EnergyTable) -> AttentionEstimate:
    """The same with the fused kernel's time and traffic from events; its operands come from DRAM."""
    plan = found.plan
    run = run_events(fused_attention_program(plan, gpu, Caches(activations="cold"), "graph"))
    actions = call_actions(
        plan, run.l2_read_bytes + run.l2_write_bytes, run.dram_read_bytes + run.dram_write_bytes, found.cache
    )
    free = run.end / (TICKS_PER_CYCLE * gpu.clock) + found.cache.seconds
    return replace(found, seconds=power_limited(free, actions, gpu, energy), actions=actions)


def launch_difference(told: Conditions, gpu: Gpu, found: AttentionEstimate) -> float:
    """Seconds by which a row's launch differs from a graph's replay, for which stacks' launch times hold."""
    costs = gpu.launch
    if told.launch == "kernel":
        return -found.plan.launch
    if told.launch == "stream":
        return costs.stream - costs.graph
    if told.launch == "sync" and costs.sync is not None:
        return costs.sync - costs.graph - costs.start_drain
    return 0.0


def attention_columns(rows: Sequence[MeasuredRow], halves: Sequence[str]) -> dict[str, Any]:
    """Columns of a validation that attention alone has: `SHAPE`, stack and half; -1 and empty for other rows."""
    return {
        **{name: np.array([row.attention.get(name, -1) for row in rows], np.int64) for name in SHAPE},
        "stack": [row.conditions.stack or "" for row in rows],
        "half": [half if row.is_attention else "" for row, half in zip(rows, halves, strict=True)],
    }


def attention_summary(rows: pd.DataFrame) -> dict[str, Any]:
    """Errors of attention: over all rows, by machine and stack and by regime, calibrated and held-out halves apart.

    Parameters
    ----------
    rows : pandas.DataFrame
        Predicted rows of attention, with `attention_columns`, hardware, waves, measured_us and predicted_us.

    Returns
    -------
    dict
        n and errors (`ErrorSummary`); ``halves``, the same of each half; ``stacks``, a list with hardware, stack and
        both halves; ``regimes``, both halves of each that occurs.
    """
    stacks = [
        {"hardware": str(hardware), "stack": str(stack), **_halves(alike)}
        for (hardware, stack), alike in rows.groupby(["hardware", "stack"], sort=False)
    ]
    named = {name: rows[np.asarray(holds(rows), bool)] for name, (_, holds) in REGIMES.items()}
    return {
        **_errors(rows),
        "halves": _halves(rows),
        "gpus": {str(name): _halves(alike) for name, alike in rows.groupby("hardware", sort=False)},
        "stacks": stacks,
        "regimes": {name: _halves(alike) for name, alike in named.items() if len(alike)},
    }


def _halves(rows: pd.DataFrame) -> dict[str, Any]:
    return {half: _errors(rows[rows["half"] == half]) for half in HALVES}


def _errors(rows: pd.DataFrame) -> dict[str, Any]:
    return summarise(rows["measured_us"], rows["predicted_us"]).as_dict()
