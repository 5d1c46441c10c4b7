"""Published throughputs beside ours: under which share kept, and in which scope, each would hold here."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from accelsim.config.attention_unit import AttentionUnit, accelerator_of
from accelsim.config.loader import load_attention_unit, load_energy
from accelsim.explore.attention.comparison import UnitResult
from accelsim.explore.attention.measure import HERTZ, MULTIPLIERS, measure
from accelsim.explore.attention.operands import draw, exact_attention
from accelsim.explore.attention.thresholds import Threshold, solve, with_value

KEPT = (1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08, 0.05)
"""Shares at which a unit is run; between them throughput is interpolated."""


@dataclass(frozen=True)
class Conditions:
    """When a published figure would hold."""

    unit: str
    published_gops: float
    at_keep_ratio: float | None
    """Share of pairs at which attention alone reaches the figure; None if at none."""
    utilization: float | None
    """There, of multipliers by effectual work."""
    at_keep_ratio_with_projections: float | None
    """Likewise with the projections of Q, K, V and the output on the same multipliers, which nothing prunes."""
    most_gops: float
    """Of attention alone, at the least share that was run."""
    least_gops: float
    """With everything kept."""


def published_conditions(
    units: Sequence[str | Path | AttentionUnit],
    *,
    sequence: int = 384,
    heads: int = 12,
    head_dim: int = 64,
    seed: int = 0,
) -> tuple[Conditions, ...]:
    """Conditions under which units reach what publications give for them at 128 multipliers and 1 GHz.

    Units without a published figure, or without a setting that decides how much they keep, are left out.

    Parameters
    ----------
    units : sequence of str, path or AttentionUnit
    sequence, heads, head_dim : int
        Shape of drawn operands.
    seed : int
        Of operands.
    """
    found = []
    for each in units:
        unit = load_attention_unit(each)
        knob = accelerator_of(unit.algorithm).knob or accelerator_of(unit.algorithm).ratio
        if unit.published_gops is not None and knob is not None:
            found.append(
                _conditions(unit, throughputs(unit, sequence=sequence, heads=heads, head_dim=head_dim, seed=seed))
            )
    return tuple(found)


def throughputs(
    unit: AttentionUnit, *, sequence: int = 384, heads: int = 12, head_dim: int = 64, seed: int = 0
) -> tuple[UnitResult, ...]:
    """A unit at each share of `KEPT`, or as near as its setting comes."""
    accelerator = accelerator_of(unit.algorithm)
    drawn = draw(sequence, heads=heads, head_dim=head_dim, seed=seed)
    exact = tuple(exact_attention(layer) for layer in drawn.layers)
    table = load_energy(unit.energy)
    results = []
    for share in KEPT:
        if share == 1:
            ready, threshold = unit, Threshold("off")
        elif accelerator.knob is not None:
            ready, threshold = solve(accelerator, unit, drawn.layers, share)
        else:
            # Queries and keys of pruned tokens go together, so the pairs are the square of the tokens.
            ready, threshold = with_value(unit, accelerator.ratio.path, share**0.5), Threshold("own")
        results.append(measure(accelerator, ready, drawn.layers, exact, table, threshold))
    return tuple(results)


def _conditions(unit: AttentionUnit, results: tuple[UnitResult, ...]) -> Conditions:
    wanted = unit.published_gops
    assert wanted is not None
    kept = np.array([one.kept_pairs for one in results])
    alone = np.array([one.normalised_gops for one in results])
    whole = np.array([_with_projections(one) for one in results])
    at = _where(kept, alone, wanted)
    used = None if at is None else float(np.interp(at, kept[::-1], [one.utilization for one in results][::-1]))
    return Conditions(unit.name, wanted, at, used, _where(kept, whole, wanted), float(alone.max()), float(alone.min()))


def _with_projections(found: UnitResult) -> float:
    """Normalised throughput with four projections of n x (heads head_dim)^2 MACs on multipliers that never rest."""
    width = found.heads * found.head_dim
    projections = 4 * found.sequence * width * width * found.layers
    seconds = found.latency_us * 1e-6 + projections / (found.multipliers * found.clock_hz)
    gops = 2e-9 * (found.macs + projections) / seconds
    return gops * (MULTIPLIERS / found.multipliers) * (HERTZ / found.clock_hz)


def _where(kept: np.ndarray[Any, Any], gops: np.ndarray[Any, Any], wanted: float) -> float | None:
    """Share at which a throughput that rises as less is kept passes `wanted`."""
    order = np.argsort(gops)
    if not gops[order[0]] <= wanted <= gops[order[-1]]:
        return None
    return float(np.interp(wanted, gops[order], kept[order]))


def conditions_frame(found: Sequence[Conditions]) -> pd.DataFrame:
    """A row for each unit."""
    return pd.DataFrame([asdict(one) for one in found])


def ratios_to(found: Sequence[UnitResult], baseline: str = "hdp_128") -> pd.DataFrame:
    """Throughput and energy efficiency of one unit over every other, under each normalisation.

    Parameters
    ----------
    found : sequence of UnitResult
        Of one length, `baseline` among them.
    baseline : str
        The unit whose figures are divided by the others'.

    Returns
    -------
    pandas.DataFrame
        unit, by_multipliers, by_bits, by_area (None where an area is not known) and energy_efficiency.
    """
    own = next(one for one in found if one.unit == baseline)
    rows = []
    for other in found:
        if other is own:
            continue
        areas = own.gops_per_mm2, other.gops_per_mm2
        efficiencies = own.gop_per_j, other.gop_per_j
        rows.append(
            {
                "unit": other.unit,
                "by_multipliers": own.normalised_gops / other.normalised_gops,
                "by_bits": own.normalised_gops_bits / other.normalised_gops_bits,
                "by_area": None if None in areas else areas[0] / areas[1],  # type: ignore[operator]
                "energy_efficiency": None if None in efficiencies else efficiencies[0] / efficiencies[1],  # type: ignore[operator]
            }
        )
    return pd.DataFrame(rows)
