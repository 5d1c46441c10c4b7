"""Fused attention on a GPU in the terms of a comparison of attention units."""

import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from accelsim.config.hardware import Gpu, System
from accelsim.config.workload import AttentionWorkload
from accelsim.errors import MappingError
from accelsim.explore.attention.comparison import UnitResult
from accelsim.explore.attention.measure import BITS, HERTZ, MULTIPLIERS
from accelsim.explore.attention.operands import rms_rel_error
from accelsim.explore.attention.thresholds import Threshold
from accelsim.machine.attention.accelerator import Operands
from accelsim.pipeline import run
from accelsim.results import Result
from accelsim.tabulate import max_rel_error

FORMAT: Literal["fp16"] = "fp16"
_FUSED = "mapping.attention=fused"


def multipliers_of(gpu: Gpu) -> int:
    """Tensor-core multipliers of a GPU for `FORMAT`.

    Raises
    ------
    MappingError
        When it has none.
    """
    if FORMAT not in gpu.tensor_core:
        raise MappingError(f"{gpu.name} has no tensor cores for {FORMAT}, which fused attention is computed in")
    return gpu.sm_count * gpu.tensor_core[FORMAT]


def measure_gpu(system: System, layers: tuple[Operands, ...], exact: tuple[NDArray[np.float64], ...]) -> UnitResult:
    """Fused attention of consecutive layers on a GPU, each a launch of its own.

    Raises
    ------
    UserError
        When the GPU has no tensor cores for `FORMAT`, no fused kernel for such heads, or numbers overflow the format.
    """
    gpu = system.gpu
    count = multipliers_of(gpu)
    results = [_run(system, operands, values=True) for operands in layers]
    closed_us = sum(_run(system, operands, values=False).value("latency_us") for operands in layers)
    seconds = sum(result.value("latency_us") for result in results) * 1e-6
    macs = sum(2 * layer.heads * layer.sequence**2 * layer.head_dim for layer in layers)
    gops, first = 2e-9 * macs / seconds, layers[0]
    normalised = gops * (HERTZ / gpu.clock) * MULTIPLIERS / count
    outputs = [_heads(result, layer) for result, layer in zip(results, layers, strict=True)]
    pairs = list(zip(outputs, exact, strict=True))
    return UnitResult(
        unit=system.name,
        title="Fused attention on a GPU",
        algorithm="fused",
        threshold=Threshold("off"),
        sequence=first.sequence,
        heads=first.heads,
        head_dim=first.head_dim,
        layers=len(layers),
        keep_ratio=1.0,
        kept_pairs=1.0,
        kept_tokens=1.0,
        kept_heads=1.0,
        kept_blocks=None,
        saturated=0,
        clock_hz=float(gpu.clock),
        multipliers=count,
        multiplier_bits=count * BITS,
        on_chip_bytes=None,
        main_multipliers=count,
        latency_us=seconds * 1e6,
        cycles=round(seconds * gpu.clock),
        closed_form_cycles=closed_us * 1e-6 * gpu.clock,
        macs=macs,
        effectual_macs=macs,
        gops=gops,
        effectual_gops=gops,
        normalised_gops=normalised,
        normalised_gops_main=normalised,
        normalised_gops_bits=normalised,
        utilization=macs / (count * closed_us * 1e-6 * gpu.clock),
        simulated_utilization=macs / (count * seconds * gpu.clock),
        gops_per_mm2=None if gpu.area is None else gops / gpu.area,
        dram_bandwidth=float(gpu.dram.bandwidth),
        **_energy(results, macs),
        decision_cycles=None,
        saved_cycles=None,
        decision_energy_uj=None,
        saved_energy_uj=None,
        max_rel_error=max(max_rel_error(output, wanted) for output, wanted in pairs),
        rms_rel_error=rms_rel_error(outputs, exact),
        published_gops=None,
        published_source=None,
        cited_source=None,
        remarks=("a whole GPU, whose launch counts; it is normalised by its tensor cores' multipliers.",),
        runs=(),
    )


def _run(system: System, operands: Operands, *, values: bool) -> Result:
    """One layer: values and time by events, or the closed form's time alone."""
    heads, sequence, head_dim = operands.query.shape
    workload = AttentionWorkload(
        kind="attention", name="attention", dtype=FORMAT, heads=heads, sequence=sequence, head_dim=head_dim
    )
    if not values:
        return run(system, workload, sets=[_FUSED], engine="estimate", values=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "operands.npz"
        np.savez(path, Q=operands.query, K=operands.key, V=operands.value)
        return run(system, workload, sets=[_FUSED], operands=path)


def _heads(result: Result, operands: Operands) -> NDArray[np.float64]:
    """Output [n, heads head_dim] as [heads, n, head_dim]."""
    assert result.output is not None
    shape = (operands.sequence, operands.heads, operands.head_dim)
    return result.output.astype(np.float64).reshape(shape).transpose(1, 0, 2)


def _energy(results: list[Result], macs: int) -> dict[str, Any]:
    by_action: dict[str, float] = {}
    defaults = set()
    for result in results:
        for row in result.energy.to_dict("records"):
            action = str(row["action"])
            by_action[action] = by_action.get(action, 0.0) + float(row["energy_uj"])
            if str(row["source"]).startswith("default"):
                defaults.add(action)
    energy = sum(by_action.values())
    core = energy - by_action.get("dram_byte", 0.0)
    return {
        "energy_uj": energy,
        "core_energy_uj": core,
        "gop_per_j": 2e-3 * macs / energy if energy else None,
        "core_gop_per_j": 2e-3 * macs / core if core else None,
        "dram_bytes": sum(int(result.value("dram_bytes")) for result in results),
        "spilled_bytes": 0,
        "energy_by_action": by_action,
        "default_energies": sorted(defaults),
    }
