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
from accelsim.explore.attention.measure import measure
from accelsim.explore.attention.operands import draw, exact_attention
from accelsim.explore.attention.thresholds import Threshold, solve, with_value

KEPT = (1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08, 0.05)
"""Shares at which a unit is run; between them throughput is interpolated."""


COUNTINGS = {
    "multipliers": "all multipliers",
    "main": "the widest multipliers alone",
    "bits": "single-bit products",
}
"""Ways to count a unit's size for normalisation."""


BIT_PRODUCT_MM2 = 9418.7e-6 / 16 / 400
"""Area of a single-bit product: AccelTran's lane of 16 MACs of 20 x 20 bits at 14 nm (its constants.yaml)."""
BUFFER_MM2_PER_BYTE = 0.30e-6
"""Area of a byte of SRAM, likewise (0.30 mm2 a MB)."""


@dataclass(frozen=True)
class Conditions:
    """When a published figure would hold, under one way of counting and in one scope."""

    unit: str
    published_gops: float
    counting: str
    """One of `COUNTINGS`."""
    projections: bool
    """Whether those of Q, K, V and the output are in, on the same multipliers and with nothing pruned."""
    keep_ratio: float | None
    """Share of pairs at which the figure is reached; None if at none of `KEPT`."""
    utilization: float | None
    """There, of all multipliers by effectual work of attention."""
    cited_gops: float | None
    """At the share that publications cite; None where none is."""
    most_gops: float
    """At the least share that was run."""
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
    found: list[Conditions] = []
    for each in units:
        unit = load_attention_unit(each)
        accelerator = accelerator_of(unit.algorithm)
        turned = accelerator.knob_of(unit) or accelerator.ratio
        if unit.published_gops is not None and turned is not None:
            results = throughputs(unit, sequence=sequence, heads=heads, head_dim=head_dim, seed=seed)
            ways = [(counting, projections) for counting in COUNTINGS for projections in (False, True)]
            found += [_conditions(unit, results, *way) for way in ways]
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
        elif accelerator.knob_of(unit) is not None:
            ready, threshold = solve(accelerator, unit, drawn.layers, share)
        else:
            # Queries and keys of pruned tokens go together, so the pairs are the square of the tokens.
            ready, threshold = with_value(unit, accelerator.ratio.path, share**0.5), Threshold("own")
        results.append(measure(accelerator, ready, drawn.layers, exact, table, threshold))
    return tuple(results)


def _conditions(unit: AttentionUnit, results: tuple[UnitResult, ...], counting: str, projections: bool) -> Conditions:
    wanted = unit.published_gops
    assert wanted is not None
    kept = np.array([one.kept_pairs for one in results])
    gops = np.array([normalised(one, counting, projections) for one in results])
    at, used, cited = _where(kept, gops, wanted), None, None
    if at is not None:
        used = float(np.interp(at, kept[::-1], [one.utilization for one in results][::-1]))
    if unit.keep_ratio is not None:
        shares = [one.keep_ratio for one in results]
        cited = float(np.interp(unit.keep_ratio, shares[::-1], gops[::-1]))
    most, least = float(gops.max()), float(gops.min())
    return Conditions(unit.name, wanted, counting, projections, at, used, cited, most, least)


def normalised(found: UnitResult, counting: str, projections: bool = False) -> float:
    """Dense-equivalent GOP/s at the size of 128 multipliers of 16 x 16 bits at 1 GHz.

    Parameters
    ----------
    found : UnitResult
    counting : str
        One of `COUNTINGS`.
    projections : bool
        Whether four projections of n x (heads head_dim)^2 MACs run before and after on the unit's widest multipliers,
        which never rest meanwhile.
    """
    alone = {
        "multipliers": found.normalised_gops,
        "main": found.normalised_gops_main,
        "bits": found.normalised_gops_bits,
    }[counting]
    if not projections:
        return alone
    width = found.heads * found.head_dim
    macs = 4 * found.sequence * width * width * found.layers
    seconds = found.latency_us * 1e-6
    longer = 1 + macs / (found.main_multipliers * found.clock_hz) / seconds
    return alone * (1 + macs / found.macs) / longer


def _where(kept: np.ndarray[Any, Any], gops: np.ndarray[Any, Any], wanted: float) -> float | None:
    """Share at which a throughput that rises as less is kept passes `wanted`."""
    order = np.argsort(gops)
    if not gops[order[0]] <= wanted <= gops[order[-1]]:
        return None
    return float(np.interp(wanted, gops[order], kept[order]))


def conditions_frame(found: Sequence[Conditions]) -> pd.DataFrame:
    """A row for each unit."""
    return pd.DataFrame([asdict(one) for one in found])


def yardstick_mm2(found: UnitResult) -> float | None:
    """Area of a unit's multipliers and buffers by one yardstick, AccelTran's synthesis at 14 nm; None on a GPU.

    Published areas are of different nodes and parts, and none is known of HDP; by one yardstick units can be compared.
    Softmax units, engines that decide, and control are left out.
    """
    if found.on_chip_bytes is None:
        return None
    return found.multiplier_bits * BIT_PRODUCT_MM2 + found.on_chip_bytes * BUFFER_MM2_PER_BYTE


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
        unit, by_multipliers, by_main, by_bits, by_area (by `yardstick_mm2`; None on a GPU) and energy_efficiency.
    """
    own = next(one for one in found if one.unit == baseline)
    rows = []
    for other in found:
        if other is own:
            continue
        areas = yardstick_mm2(own), yardstick_mm2(other)
        efficiencies = own.gop_per_j, other.gop_per_j
        rows.append(
            {
                "unit": other.unit,
                "by_multipliers": own.normalised_gops / other.normalised_gops,
                "by_main": own.normalised_gops_main / other.normalised_gops_main,
                "by_bits": own.normalised_gops_bits / other.normalised_gops_bits,
                "by_area": None if None in areas else own.gops / areas[0] / (other.gops / areas[1]),  # type: ignore[operator]
                "energy_efficiency": None if None in efficiencies else efficiencies[0] / efficiencies[1],  # type: ignore[operator]
            }
        )
    return pd.DataFrame(rows)
