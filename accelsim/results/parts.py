"""What a run's latency and MACs consist of, read from its tables."""

from collections.abc import Iterable

import numpy as np

from accelsim.results.result import Result

IDLE = "launch"
"""Part of the time in which no operation is under way."""


def latency_parts(result: Result) -> dict[str, float]:
    """Latency by part (`gemm`, `attention`, ...) in us, `launch` for the time between; adds up to the latency.

    Where operations overlap, time belongs to the one that began first. Parts stand in the order of the table.
    """
    kernels, latency = result.kernels, result.value("latency_us")
    parts = {str(part): 0.0 for part in dict.fromkeys(kernels["part"])}
    reached = 0.0
    columns = (kernels["begin_us"], kernels["end_us"], kernels["part"])
    for begin, end, part in sorted(zip(*columns, strict=True), key=lambda row: (row[0], row[1])):
        start, stop = max(float(begin), reached), min(float(end), latency)
        if stop > start:
            parts[str(part)] += stop - start
            reached = stop
    return parts | {IDLE: max(0.0, latency - sum(parts.values()))}


def attention_share(result: Result) -> float | None:
    """Attention's share of the dense MACs, between 0 and 1; None when the summary does not count it apart."""
    attention, macs = result.summary.get("attention_macs"), result.summary["macs"]
    if not isinstance(attention, int) or not isinstance(macs, int) or not macs:
        return None
    return attention / macs


def defaults(result: Result) -> list[str]:
    """What rests on a default, not on a source: dotted paths of the resolved config, then energies of actions."""
    figures = sorted(set(_defaults(result.provenance.get("config"), "")))
    rows = zip(result.energy["component"], result.energy["action"], result.energy["source"], strict=True)
    energies = {f"energy.{component}.{action}" for component, action, source in rows if _is_default(source)}
    return figures + sorted(energies)


def _defaults(node: object, path: str) -> Iterable[str]:
    if not isinstance(node, dict):
        return
    for key, entry in node.items():
        if key == "sources" and isinstance(entry, dict):
            found = [name for name, source in entry.items() if _is_default(source)]
            yield from (f"{path}{name}" for name in found)
        else:
            yield from _defaults(entry, f"{path}{key}.")


def _is_default(source: object) -> bool:
    return str(source).startswith("default")


def ratio(numerator: float, denominator: float) -> float | None:
    """Quotient, None where it means nothing (a missing operand or a denominator of 0)."""
    if not np.isfinite(numerator) or not np.isfinite(denominator) or denominator == 0:
        return None
    return float(numerator / denominator)
